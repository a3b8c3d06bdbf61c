//! How many may watch, and what each stream hears of its end.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, counter, gauge};
use tokio::sync::watch;

use super::objects::EndReason;
use crate::auth::{SignedIn, Tokens, Validity};
use crate::config;
use crate::failure::{Code, Failure};
use crate::http::Connection;
use crate::network::Network;

/// All streams of this process.
#[derive(Clone)]
pub(super) struct Passes {
    inner: Arc<Inner>,
}

struct Inner {
    most: usize,
    most_of_network: usize,
    table: Mutex<Table>,
    /// Times of readers are counted from here.
    began: Instant,
    open: Gauge,
    dropped: Counter,
}

#[derive(Default)]
struct Table {
    streams: HashMap<u64, Stream>,
    of_network: HashMap<Network, usize>,
    next: u64,
    closed: bool,
}

/// What the hub knows of a stream.
struct Stream {
    who: Option<SignedIn>,
    end: watch::Sender<Option<EndReason>>,
    reader: Arc<Reader>,
    connection: Option<Connection>,
}

/// Whether a client takes what it is given.
#[derive(Default)]
struct Reader {
    /// Milliseconds since the beginning, plus one, at which it was given what it has not yet
    /// taken; 0 where it has taken everything.
    given_at: AtomicU64,
}

/// The right to one stream, given back when it is dropped.
pub(super) struct Pass {
    passes: Passes,
    id: u64,
    network: Network,
    ends: watch::Receiver<Option<EndReason>>,
    reader: Arc<Reader>,
}

impl Passes {
    pub(super) fn new(config: &config::Live) -> Passes {
        let inner = Inner {
            most: config.max_streams as usize,
            most_of_network: config.max_streams_per_address as usize,
            table: Mutex::default(),
            began: Instant::now(),
            open: gauge!("polls_live_streams"),
            dropped: counter!("polls_live_dropped_total"),
        };
        Passes {
            inner: Arc::new(inner),
        }
    }

    pub(super) fn admit(
        &self,
        network: Network,
        connection: Option<Connection>,
    ) -> Result<Pass, Failure> {
        let mut table = self.table();
        if table.closed {
            let detail = "This process is stopping; watch at another.";
            return Err(Failure::new(Code::ShuttingDown, detail));
        }
        if table.streams.len() >= self.inner.most {
            return Err(Failure::overloaded("Too many are watching."));
        }
        let of_network = table.of_network.entry(network).or_default();
        if *of_network >= self.inner.most_of_network {
            return Err(Failure::overloaded("Too many are watching from there."));
        }
        *of_network += 1;
        let id = table.next;
        table.next += 1;
        let (end, ends) = watch::channel(None);
        let reader = Arc::<Reader>::default();
        let stream = Stream {
            who: None,
            end,
            reader: reader.clone(),
            connection,
        };
        table.streams.insert(id, stream);
        self.inner.open.increment(1.0);
        Ok(Pass {
            passes: self.clone(),
            id,
            network,
            ends,
            reader,
        })
    }

    /// Ends all streams, and admits no other.
    pub(super) fn close(&self, reason: EndReason) {
        let mut table = self.table();
        table.closed = true;
        for stream in table.streams.values() {
            stream.end(reason);
        }
    }

    /// Ends the streams whose tokens are no good any more, and drops the connections of those who
    /// have not taken anything for longer than `patience`.
    pub(super) fn look_after(&self, tokens: &Tokens, patience: Duration) {
        let now = self.now();
        let patience = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        for stream in self.table().streams.values() {
            if let Some(reason) = stream.who.and_then(|who| lost_right(tokens, &who)) {
                stream.end(reason);
            }
            let given_at = stream.reader.given_at.load(Ordering::Relaxed);
            let waits = given_at != 0 && now.saturating_sub(given_at) > patience;
            if let Some(connection) = stream.connection.as_ref().filter(|_| waits) {
                connection.drop_now();
                self.inner.dropped.increment(1);
            }
        }
    }

    /// Milliseconds since the beginning, plus one.
    fn now(&self) -> u64 {
        let since = self.inner.began.elapsed().as_millis();
        u64::try_from(since).unwrap_or(u64::MAX - 1) + 1
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        let table = &self.inner.table;
        table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a token that was good when the stream began is no longer, if it is not.
pub(super) fn lost_right(tokens: &Tokens, who: &SignedIn) -> Option<EndReason> {
    match tokens.validity(who) {
        Validity::Valid => None,
        Validity::Expired => Some(EndReason::TokenExpired),
        Validity::Revoked => Some(EndReason::TokenRevoked),
    }
}

impl Stream {
    /// The first reason stays.
    fn end(&self, reason: EndReason) {
        self.end.send_if_modified(|end| {
            let first = end.is_none();
            *end = end.or(Some(reason));
            first
        });
    }
}

impl Pass {
    /// Says whose stream it is.
    pub(super) fn belongs_to(&self, who: SignedIn) {
        if let Some(stream) = self.passes.table().streams.get_mut(&self.id) {
            stream.who = Some(who);
        }
    }

    /// Waits until the stream has to end. May be dropped and called again.
    pub(super) async fn ended(&mut self) -> EndReason {
        match self.ends.wait_for(Option::is_some).await {
            Ok(reason) => reason.unwrap_or(EndReason::ShuttingDown),
            // The table holds the other end for as long as there is this pass.
            Err(_) => EndReason::ShuttingDown,
        }
    }

    /// The client is given something.
    pub(super) fn given(&self) {
        let now = self.passes.now();
        self.reader.given_at.store(now, Ordering::Relaxed);
    }

    /// The client has taken everything.
    pub(super) fn taken(&self) {
        self.reader.given_at.store(0, Ordering::Relaxed);
    }

    /// The client takes nothing and is dropped.
    pub(super) fn dropped(&self) {
        self.passes.inner.dropped.increment(1);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut table = self.passes.table();
        table.streams.remove(&self.id);
        if let MapEntry::Occupied(mut streams) = table.of_network.entry(self.network) {
            *streams.get_mut() -= 1;
            if *streams.get() == 0 {
                streams.remove();
            }
        }
        self.passes.inner.open.decrement(1.0);
    }
}
