//! Whether a connection is in use, idle or stalled.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::linger::Linger;
use super::unsent::Outbox;

/// What happens on a connection. hyper's own timeouts cover neither HTTP/2 nor a client that
/// connects and sends nothing.
#[derive(Default)]
pub(super) struct Activity {
    begun: AtomicU64,
    running: AtomicUsize,
    /// How often bytes were sent. Received bytes do not count: a client that sends a header byte by
    /// byte does not use the connection.
    sent: AtomicU64,
    /// Whether the socket's send buffer is full, because the client does not read.
    blocked: AtomicBool,
    pub outbox: Arc<Outbox>,
    /// Whether the connection ends after its next answer.
    ending: AtomicBool,
    /// Whether the client is still sending when the connection ends.
    unread: AtomicBool,
}

/// Why a connection is no longer in use.
pub(super) enum Unused {
    /// No request has run and no byte was sent for a while.
    Idle,
    /// The client has not read what was sent for a while.
    Stalled,
}

impl Activity {
    /// Counts a request until the returned guard is dropped.
    pub fn begin(self: &Arc<Self>) -> Busy {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Whether a request has ever begun.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed) > 0
    }

    /// From now on the connection ends after its next answer.
    pub fn end_soon(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Returns [`Unused::Idle`] once no request has begun or run and no byte was sent for `idle`,
    /// and [`Unused::Stalled`] once the client has read nothing for `stalled` although there was
    /// something to read. Either may take a quarter longer. A connection that is `shared` by
    /// several clients never counts as stalled.
    pub async fn unused(&self, idle: Duration, stalled: Duration, shared: &AtomicBool) -> Unused {
        let tick = idle.min(stalled) / 4;
        let begun_and_sent = || {
            let (begun, sent) = (&self.begun, &self.sent);
            (begun.load(Ordering::Relaxed), sent.load(Ordering::Relaxed))
        };
        // Bytes that answer an HTTP/2 client's PINGs are not part of a response.
        let taken = || match self.outbox.is_waiting() {
            true => self.outbox.sent(),
            false => self.sent.load(Ordering::Relaxed),
        };
        let (mut quiet, mut stuck) = (Still::new(begun_and_sent()), Still::new(taken()));
        loop {
            tokio::time::sleep(tick).await;
            let is_running = self.running.load(Ordering::Relaxed) > 0;
            if quiet.lasts(begun_and_sent(), is_running, tick) >= idle {
                return Unused::Idle;
            }
            let waits = self.outbox.is_waiting() || self.blocked.load(Ordering::Relaxed);
            let waits = waits && !shared.load(Ordering::Relaxed);
            if stuck.lasts(taken(), !waits, tick) >= stalled {
                return Unused::Stalled;
            }
        }
    }
}

/// For how long something has not changed.
struct Still<T> {
    seen: T,
    lasts: Duration,
}

impl<T: PartialEq> Still<T> {
    fn new(seen: T) -> Still<T> {
        Still {
            seen,
            lasts: Duration::ZERO,
        }
    }

    /// Takes the value a `tick` after the last call, and returns for how long it has not changed.
    /// With `moves` it counts as changed in any case.
    fn lasts(&mut self, now: T, moves: bool, tick: Duration) -> Duration {
        match moves || now != self.seen {
            true => self.lasts = Duration::ZERO,
            false => self.lasts += tick,
        }
        self.seen = now;
        self.lasts
    }
}

/// A stream that notes when bytes are sent.
pub(super) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
    linger: Option<Linger>,
}

impl<S> Watched<S> {
    pub fn new(stream: S, activity: Arc<Activity>) -> Watched<S> {
        Watched {
            stream,
            activity,
            linger: None,
        }
    }

    fn note<T>(&self, outcome: &Poll<io::Result<T>>) {
        if matches!(outcome, Poll::Ready(Ok(_))) {
            self.activity.sent.fetch_add(1, Ordering::Relaxed);
        }
        let blocked = outcome.is_pending();
        self.activity.blocked.store(blocked, Ordering::Relaxed);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Watched {
            stream,
            activity,
            linger,
        } = &mut *self;
        if linger.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
            if !activity.unread.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
        }
        let linger = linger.get_or_insert_with(Linger::new);
        linger.poll(stream, context).map(Ok)
    }
}

/// A request that runs on the connection.
pub(super) struct Busy(Arc<Activity>);

impl Busy {
    /// Whether the connection ends after the answer to this request.
    pub fn is_last(&self) -> bool {
        self.0.ending.load(Ordering::Relaxed)
    }

    /// The rest of the request body will not be read.
    pub fn leave_unread(&self) {
        self.0.unread.store(true, Ordering::Relaxed);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}
