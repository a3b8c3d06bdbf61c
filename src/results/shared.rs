//! Shared reads: all who ask for something while a query for it is running share the next one.
//!
//! Every answer was read after its request came in, so nothing is ever stale and nothing has to
//! be invalidated, on any number of processes; and a hot question costs the database a handful
//! of queries however many ask for it. Where many different things are asked for, those that
//! wait share a query, too.
//!
//! If somebody waits for the next query already when a query ends, the next one gets what the
//! previous one found ([`Lookup::previous`]) and may ask the database only whether that has
//! changed. Nothing is kept for longer.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::iter::repeat;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use metrics::{Counter, counter};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use crate::failure::Failure;

type Answer<V> = Result<V, Failure>;
type Waiters<V> = Vec<oneshot::Sender<Answer<V>>>;
type Next<K, V> = (Vec<Lookup<K, V>>, Vec<Waiters<V>>);
type Load<K, V> = dyn Fn(Vec<Lookup<K, V>>) -> BoxFuture<'static, Answer<Vec<V>>> + Send + Sync;

/// A key to look up in a query.
#[derive(Debug, Clone)]
pub struct Lookup<K, V> {
    pub key: K,
    /// What the previous query found for the key, if that query has only just ended.
    pub previous: Option<V>,
}

/// A reader whose queries are shared. Clones share them too.
pub struct SharedReader<K, V> {
    inner: Arc<Inner<K, V>>,
}

struct Inner<K, V> {
    load: Box<Load<K, V>>,
    limits: ReadLimits,
    state: Mutex<State<K, V>>,
    reads: Counter,
    queries: Counter,
}

/// The limits of a reader.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    /// How many queries run at once. The more run, the fewer keys each one has.
    pub queries: usize,
    /// How many keys a query has at most.
    pub keys_per_query: usize,
}

struct State<K, V> {
    /// Who waits for the next query for a key: of those that are in the queue, and of those that
    /// a query is running for.
    waiting: HashMap<K, Waiting<V>>,
    /// Keys for which no query is running.
    queue: VecDeque<K>,
    running: usize,
}

/// Those who wait for a key.
struct Waiting<V> {
    waiters: Waiters<V>,
    previous: Option<V>,
}

impl<K, V> Clone for SharedReader<K, V> {
    fn clone(&self) -> Self {
        SharedReader {
            inner: self.inner.clone(),
        }
    }
}

impl<K, V> SharedReader<K, V>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Clone + Send + 'static,
{
    /// A reader of what `load` loads, for several keys at once and in their order. `name` labels
    /// its metrics.
    pub fn new<F>(
        name: &'static str,
        limits: ReadLimits,
        load: impl Fn(Vec<Lookup<K, V>>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Answer<Vec<V>>> + Send + 'static,
    {
        let inner = Inner {
            load: Box::new(move |keys| Box::pin(load(keys))),
            limits,
            state: Mutex::new(State {
                waiting: HashMap::new(),
                queue: VecDeque::new(),
                running: 0,
            }),
            reads: counter!("polls_shared_reads_total", "reader" => name),
            queries: counter!("polls_shared_queries_total", "reader" => name),
        };
        SharedReader {
            inner: Arc::new(inner),
        }
    }

    /// The value of `key`, by a query that begins after this call.
    pub async fn read(&self, key: K) -> Answer<V> {
        self.inner.reads.increment(1);
        let (waiter, answer) = oneshot::channel();
        if self.inner.state().wait(key, waiter, self.inner.limits) {
            // In a task of its own: the others must not depend on this caller's patience.
            tokio::spawn(self.inner.clone().serve());
        }
        answer
            .await
            .unwrap_or_else(|_| Err(Failure::internal("a shared read was dropped")))
    }
}

impl<K, V> Inner<K, V>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Clone + Send + 'static,
{
    /// Queries for those who wait, and again for those who came meanwhile, until nobody did.
    async fn serve(self: Arc<Self>) {
        loop {
            // Requests that have arrived come first, so that they are in this query, too.
            tokio::task::yield_now().await;
            let Some((lookups, waiters)) = self.state().next(self.limits) else {
                return;
            };
            self.queries.increment(1);
            let keys: Vec<K> = lookups.iter().map(|lookup| lookup.key.clone()).collect();
            let loading = AssertUnwindSafe(async { (self.load)(lookups).await });
            let answers = loading
                .catch_unwind()
                .await
                .unwrap_or_else(|_| Err(Failure::internal("a shared read panicked")));
            match answers {
                Ok(values) => {
                    let found = values.iter().cloned().map(Some).chain(repeat(None));
                    self.state().finish(keys.into_iter().zip(found));
                    for (waiters, value) in waiters.into_iter().zip(values) {
                        answer(waiters, value);
                    }
                }
                Err(failure) => {
                    self.state().finish(keys.into_iter().map(|key| (key, None)));
                    for waiter in waiters.into_iter().flatten() {
                        // A waiter that has gone away needs no answer.
                        let _ = waiter.send(Err(failure.again()));
                    }
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State<K, V>> {
        self.state.lock()
    }
}

impl<K: Eq + Hash + Clone, V> State<K, V> {
    /// Adds a waiter. Tells whether somebody must begin to serve.
    fn wait(&mut self, key: K, waiter: oneshot::Sender<Answer<V>>, limits: ReadLimits) -> bool {
        if let Some(waiting) = self.waiting.get_mut(&key) {
            waiting.waiters.push(waiter);
            return false;
        }
        let waiting = Waiting {
            waiters: vec![waiter],
            previous: None,
        };
        self.waiting.insert(key.clone(), waiting);
        self.queue.push_back(key);
        let begins = self.running < limits.queries;
        self.running += usize::from(begins);
        begins
    }

    /// The next keys to ask for, and who waits for each; none where there is nothing to do.
    fn next(&mut self, limits: ReadLimits) -> Option<Next<K, V>> {
        if self.queue.is_empty() {
            self.running -= 1;
            return None;
        }
        let next = self
            .queue
            .drain(..limits.keys_per_query.min(self.queue.len()));
        let next = next.map(|key| {
            let waiting = self.waiting.get_mut(&key);
            let (waiters, previous) = waiting.map_or_else(Default::default, |waiting| {
                (
                    std::mem::take(&mut waiting.waiters),
                    waiting.previous.take(),
                )
            });
            (Lookup { key, previous }, waiters)
        });
        Some(next.unzip())
    }

    /// Stores what a finished query `found`. Keys that were asked for meanwhile are queued again.
    fn finish(&mut self, found: impl Iterator<Item = (K, Option<V>)>) {
        for (key, value) in found {
            match self.waiting.get_mut(&key) {
                Some(waiting) if !waiting.waiters.is_empty() => {
                    waiting.previous = value;
                    self.queue.push_back(key);
                }
                _ => drop(self.waiting.remove(&key)),
            }
        }
    }
}

fn answer<V: Clone>(mut waiters: Waiters<V>, value: V) {
    let last = waiters.pop();
    for waiter in waiters {
        // A waiter that has gone away needs no answer.
        let _ = waiter.send(Ok(value.clone()));
    }
    if let Some(waiter) = last {
        let _ = waiter.send(Ok(value));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    const ONE_KEY: ReadLimits = ReadLimits {
        queries: 4,
        keys_per_query: 1,
    };

    #[tokio::test]
    async fn who_comes_during_a_query_shares_the_next() {
        let (queries, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let reader = SharedReader::new("test", ONE_KEY, {
            let (queries, gate) = (queries.clone(), gate.clone());
            move |keys: Vec<Lookup<u8, usize>>| {
                let (queries, gate) = (queries.clone(), gate.clone());
                async move {
                    let number = queries.fetch_add(1, Ordering::SeqCst);
                    // The second is told what the first has found.
                    assert_eq!(keys[0].previous, number.checked_sub(1));
                    gate.acquire().await.map_err(Failure::internal)?.forget();
                    Ok(vec![number])
                }
            }
        });
        let read = || {
            tokio::spawn({
                let reader = reader.clone();
                async move { reader.read(1).await.unwrap() }
            })
        };
        let first = read();
        while queries.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let later: Vec<_> = (0..10).map(|_| read()).collect();
        while reader
            .inner
            .state()
            .waiting
            .get(&1)
            .map_or(0, |waiting| waiting.waiters.len())
            < 10
        {
            tokio::task::yield_now().await;
        }
        gate.add_permits(2);
        assert_eq!(first.await.unwrap(), 0);
        for read in later {
            assert_eq!(read.await.unwrap(), 1);
        }
        assert_eq!(queries.load(Ordering::SeqCst), 2);
        // Nobody has waited since, so nothing is kept.
        assert_eq!(reader.inner.state().waiting.len(), 0);
    }

    #[tokio::test]
    async fn those_who_wait_for_different_things_share_a_query() {
        let limits = ReadLimits {
            queries: 4,
            keys_per_query: 8,
        };
        let (sizes, gate) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(Semaphore::new(0)),
        );
        let reader = SharedReader::new("test", limits, {
            let (sizes, gate) = (sizes.clone(), gate.clone());
            move |keys: Vec<Lookup<usize, usize>>| {
                sizes.lock().push(keys.len());
                let gate = gate.clone();
                async move {
                    gate.acquire().await.map_err(Failure::internal)?.forget();
                    Ok(keys.iter().map(|key| key.key * 10).collect())
                }
            }
        });
        let read = |key| {
            let reader = reader.clone();
            tokio::spawn(async move { (key, reader.read(key).await.unwrap()) })
        };
        let mut reads = Vec::new();
        for key in 0..limits.queries {
            reads.push(read(key));
            while sizes.lock().len() <= key {
                tokio::task::yield_now().await;
            }
        }
        reads.extend((limits.queries..limits.queries + 10).map(read));
        while reader.inner.state().queue.len() < 10 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(limits.queries + 2);
        for read in reads {
            let (key, value) = read.await.unwrap();
            assert_eq!(value, key * 10);
        }
        let mut sizes = sizes.lock().clone();
        sizes.sort_unstable();
        assert_eq!(sizes, [1, 1, 1, 1, 2, 8]);
        while reader.inner.state().running > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(reader.inner.state().waiting.len(), 0);
    }

    #[tokio::test]
    async fn a_panic_fails_its_waiters_and_nobody_else() {
        let reader = SharedReader::new("test", ONE_KEY, |keys: Vec<Lookup<bool, ()>>| async move {
            assert!(!keys[0].key, "as the test wants it");
            Ok(vec![()])
        });
        assert!(reader.read(true).await.is_err());
        assert!(reader.read(true).await.is_err());
        assert!(reader.read(false).await.is_ok());
    }
}
