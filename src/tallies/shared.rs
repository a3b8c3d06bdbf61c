//! Shared reads: all who ask for something while a query for it is running share the next one.
//!
//! Every answer was read after its request came in, so nothing is ever stale and nothing has to
//! be invalidated, on any number of processes; and a hot question costs the database a handful
//! of queries however many ask for it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use metrics::{Counter, counter};
use tokio::sync::oneshot;

use crate::failure::Failure;

type Answer<V> = Result<V, Failure>;
type Waiters<V> = Vec<oneshot::Sender<Answer<V>>>;

/// A reader whose queries are shared. Clones share them too.
pub struct SharedReader<K, V> {
    inner: Arc<Inner<K, V>>,
}

struct Inner<K, V> {
    load: Box<dyn Fn(K) -> BoxFuture<'static, Answer<V>> + Send + Sync>,
    /// For each key that a query is running for: who waits for the next one.
    next: Mutex<HashMap<K, Waiters<V>>>,
    reads: Counter,
    queries: Counter,
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
    /// A reader of what `load` loads. `name` labels its metrics.
    pub fn new<F>(name: &'static str, load: impl Fn(K) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer<V>> + Send + 'static,
    {
        let inner = Inner {
            load: Box::new(move |key| Box::pin(load(key))),
            next: Mutex::default(),
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
        let (sender, receiver) = oneshot::channel();
        let leads = match self.inner.waiting().entry(key.clone()) {
            std::collections::hash_map::Entry::Occupied(mut next) => {
                next.get_mut().push(sender);
                None
            }
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(Vec::new());
                Some(sender)
            }
        };
        if let Some(sender) = leads {
            // In a task of its own: the others must not depend on this caller's patience.
            tokio::spawn(self.inner.clone().serve(key, vec![sender]));
        }
        receiver
            .await
            .unwrap_or_else(|_| Err(Failure::internal("a shared read was dropped")))
    }
}

impl<K, V> Inner<K, V>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Clone + Send + 'static,
{
    /// Queries for the waiters, and again for those who came meanwhile, until nobody did.
    async fn serve(self: Arc<Self>, key: K, mut waiters: Waiters<V>) {
        let mut cleanup = Cleanup {
            inner: &self,
            key: &key,
            done: false,
        };
        loop {
            self.queries.increment(1);
            let answer = (self.load)(key.clone()).await;
            let last = waiters.pop();
            for waiter in waiters.drain(..) {
                let copy = match &answer {
                    Ok(value) => Ok(value.clone()),
                    Err(failure) => Err(failure.again()),
                };
                // A waiter that has gone away needs no answer.
                let _ = waiter.send(copy);
            }
            if let Some(waiter) = last {
                let _ = waiter.send(answer);
            }
            let mut waiting = self.waiting();
            match waiting.get_mut(&key) {
                Some(next) if !next.is_empty() => waiters = std::mem::take(next),
                _ => {
                    waiting.remove(&key);
                    cleanup.done = true;
                    return;
                }
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<K, Waiters<V>>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets the key when a query panics, so that the next caller starts another.
struct Cleanup<'a, K: Eq + Hash, V> {
    inner: &'a Inner<K, V>,
    key: &'a K,
    done: bool,
}

impl<K: Eq + Hash, V> Drop for Cleanup<'_, K, V> {
    fn drop(&mut self) {
        if !self.done {
            let mut waiting = self
                .inner
                .next
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            waiting.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn who_comes_during_a_query_shares_the_next() {
        let (queries, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let reader = SharedReader::new("test", {
            let (queries, gate) = (queries.clone(), gate.clone());
            move |_: u8| {
                let (queries, gate) = (queries.clone(), gate.clone());
                async move {
                    let number = queries.fetch_add(1, Ordering::SeqCst);
                    gate.acquire().await.map_err(Failure::internal)?.forget();
                    Ok(number)
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
        while reader.inner.waiting().get(&1).map_or(0, Vec::len) < 10 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(2);
        assert_eq!(first.await.unwrap(), 0);
        for read in later {
            assert_eq!(read.await.unwrap(), 1);
        }
        assert_eq!(queries.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_panic_fails_its_waiters_and_nobody_else() {
        let reader = SharedReader::new("test", |fail: bool| async move {
            assert!(!fail, "as the test wants it");
            Ok(())
        });
        assert!(reader.read(true).await.is_err());
        assert!(reader.read(true).await.is_err());
        assert!(reader.read(false).await.is_ok());
    }
}
