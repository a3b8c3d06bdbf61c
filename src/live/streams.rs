//! The open streams of this process: how many there may be, and when each has to end.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, counter, gauge};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::event::EndReason;
use crate::auth::{SignedIn, Tokens, Validity};
use crate::config;
use crate::failure::{Code, Failure};
use crate::network::Network;

/// Closes the connection of a stream at once.
pub(super) type CloseConnection = Box<dyn Fn() + Send + Sync>;

/// All open streams of this process.
#[derive(Clone)]
pub(super) struct Streams {
    inner: Arc<Inner>,
}

struct Inner {
    max_streams: usize,
    max_per_network: usize,
    /// How long a client may leave unread what it was sent.
    write_timeout: Duration,
    table: Mutex<Table>,
    /// The origin of [`Streams::now`].
    started: Instant,
    open: Gauge,
    dropped: Counter,
}

#[derive(Default)]
struct Table {
    streams: HashMap<u64, Entry>,
    per_network: HashMap<Network, usize>,
    next_id: u64,
    is_closed: bool,
}

struct Entry {
    /// Whose access token has to stay valid. None for anonymous clients.
    who: Option<SignedIn>,
    end: watch::Sender<Option<EndReason>>,
    unread_since: Arc<UnreadSince>,
    close_connection: Option<CloseConnection>,
}

/// When ([`Streams::now`]) the client was sent something that it has not read yet; 0 if it has
/// read everything.
type UnreadSince = AtomicU64;

/// An open stream, counted until it is dropped.
pub(super) struct OpenStream {
    streams: Streams,
    id: u64,
    network: Network,
    end: watch::Receiver<Option<EndReason>>,
    unread_since: Arc<UnreadSince>,
}

impl Streams {
    pub(super) fn new(config: &config::Live) -> Streams {
        let inner = Inner {
            max_streams: config.max_streams as usize,
            max_per_network: config.max_streams_per_address as usize,
            write_timeout: config.patience,
            table: Mutex::default(),
            started: Instant::now(),
            open: gauge!("polls_live_streams"),
            dropped: counter!("polls_live_dropped_total"),
        };
        Streams {
            inner: Arc::new(inner),
        }
    }

    /// Counts one more stream, unless there are too many already or [`close`](Streams::close) was
    /// called.
    pub(super) fn open(
        &self,
        network: Network,
        close_connection: Option<CloseConnection>,
    ) -> Result<OpenStream, Failure> {
        let mut table = self.inner.table.lock();
        if table.is_closed {
            let detail = "This process is stopping; watch at another.";
            return Err(Failure::new(Code::ShuttingDown, detail));
        }
        if table.streams.len() >= self.inner.max_streams {
            return Err(Failure::overloaded("Too many are watching."));
        }
        let of_network = table.per_network.entry(network).or_default();
        if *of_network >= self.inner.max_per_network {
            return Err(Failure::overloaded("Too many are watching from there."));
        }
        *of_network += 1;
        let id = table.next_id;
        table.next_id += 1;
        let (end, ends) = watch::channel(None);
        let unread_since = Arc::<UnreadSince>::default();
        let entry = Entry {
            who: None,
            end,
            unread_since: unread_since.clone(),
            close_connection,
        };
        table.streams.insert(id, entry);
        self.inner.open.increment(1.0);
        Ok(OpenStream {
            streams: self.clone(),
            id,
            network,
            end: ends,
            unread_since,
        })
    }

    /// Ends all streams, and refuses new ones.
    pub(super) fn close(&self, reason: EndReason) {
        let mut table = self.inner.table.lock();
        table.is_closed = true;
        for stream in table.streams.values() {
            stream.end(reason);
        }
    }

    /// Ends the streams whose access tokens have expired or were revoked, and closes the
    /// connections of clients that have not read anything for longer than the time limit.
    pub(super) fn check(&self, tokens: &Tokens) {
        let now = self.now();
        let limit = u64::try_from(self.inner.write_timeout.as_millis()).unwrap_or(u64::MAX);
        for stream in self.inner.table.lock().streams.values() {
            if let Some(reason) = stream.who.and_then(|who| token_ended(tokens, &who)) {
                stream.end(reason);
            }
            let since = stream.unread_since.load(Ordering::Relaxed);
            let is_stalled = since != 0 && now.saturating_sub(since) > limit;
            if let Some(close) = stream.close_connection.as_ref().filter(|_| is_stalled) {
                close();
                self.inner.dropped.increment(1);
            }
        }
    }

    /// Milliseconds since the process started, plus one: never 0.
    fn now(&self) -> u64 {
        let since = self.inner.started.elapsed().as_millis();
        u64::try_from(since).unwrap_or(u64::MAX - 1) + 1
    }
}

/// Why an access token that was valid when the stream began is not valid any more; None while it
/// is.
pub(super) fn token_ended(tokens: &Tokens, who: &SignedIn) -> Option<EndReason> {
    match tokens.validity(who) {
        Validity::Valid => None,
        Validity::Expired => Some(EndReason::TokenExpired),
        Validity::Revoked => Some(EndReason::TokenRevoked),
    }
}

impl Entry {
    /// Tells the stream to end. If it was told before, the first reason stays.
    fn end(&self, reason: EndReason) {
        self.end.send_if_modified(|end| {
            let is_first = end.is_none();
            *end = end.or(Some(reason));
            is_first
        });
    }
}

impl OpenStream {
    /// Ends the stream when this access token does.
    pub(super) fn authenticate(&self, who: SignedIn) {
        if let Some(stream) = self.streams.inner.table.lock().streams.get_mut(&self.id) {
            stream.who = Some(who);
        }
    }

    /// Waits until the stream has to end. Cancel safe.
    pub(super) async fn ended(&mut self) -> EndReason {
        match self.end.wait_for(Option::is_some).await {
            Ok(reason) => reason.unwrap_or(EndReason::ShuttingDown),
            // Cannot happen: the table keeps the sender until this stream is dropped.
            Err(_) => EndReason::ShuttingDown,
        }
    }

    /// The client is sent something.
    pub(super) fn write_started(&self) {
        let now = self.streams.now();
        self.unread_since.store(now, Ordering::Relaxed);
    }

    /// The client has read everything.
    pub(super) fn write_finished(&self) {
        self.unread_since.store(0, Ordering::Relaxed);
    }

    /// The same time limit for clients whose connection is not closed by [`Streams::check`].
    pub(super) fn write_timeout(&self) -> Duration {
        self.streams.inner.write_timeout
    }

    /// Counts a client that was dropped because it did not read.
    pub(super) fn count_dropped(&self) {
        self.streams.inner.dropped.increment(1);
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut table = self.streams.inner.table.lock();
        table.streams.remove(&self.id);
        if let MapEntry::Occupied(mut streams) = table.per_network.entry(self.network) {
            *streams.get_mut() -= 1;
            if *streams.get() == 0 {
                streams.remove();
            }
        }
        self.streams.inner.open.decrement(1.0);
    }
}
