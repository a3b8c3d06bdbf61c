//! The server: it accepts connections, and ends them when it shuts down.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ::metrics::{Counter, counter};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::Admission;
use super::listener::{Accepted, Listener, is_of_one_connection};
use super::metrics;
use super::usage::Resource;
use crate::config;
use crate::network::Network;

/// How long to wait when no connection can be accepted, typically because there are no more file
/// descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The largest head of an HTTP/2 request, in bytes, and the buffer of an HTTP/1 connection.
const MAX_HEAD: u32 = 16 * 1024;
const MAX_BUFFER: usize = 64 * 1024;

/// How many requests may run on one HTTP/2 connection at the same time.
const MAX_STREAMS: u32 = 64;

/// How many bytes of request bodies an HTTP/2 client may send before the server reads them: in one
/// stream, and in all streams of a connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;

/// Serves `endpoint` until `shutdown`, then finishes the requests that are under way.
///
/// The shutdown is graceful. A client that sends a request on an open connection must not find the
/// connection closed, so the shutdown has several steps:
/// 1. For `shutdown_delay` the server goes on as before, while `/readyz` reports that it stops.
/// 2. The listener closes. Each connection ends after its next answer, which says so.
/// 3. After `shutdown_linger` idle connections are closed. By then clients that keep connections
///    open have sent another request, or have closed them.
/// 4. After `shutdown_grace` the remaining connections are dropped.
///
/// `tasks` tracks the connections, and other work that must end before the process does.
pub async fn serve<E>(
    listener: Listener,
    endpoint: E,
    admission: Admission,
    config: &config::Http,
    shutdown: CancellationToken,
    tasks: TaskTracker,
) where
    E: Endpoint<Output = Response> + 'static,
{
    let server = Arc::new(Server {
        endpoint,
        protocol: protocol(config),
        local: listener.local_addr(),
        admission,
        refused: counter!("http_connections_refused_total"),
        idle: config.header_timeout,
        stalled: config.send_timeout,
        linger: config.shutdown_linger,
        closing: CancellationToken::new(),
        abandon: CancellationToken::new(),
    });
    let slots = Arc::new(Semaphore::new(config.max_connections as usize));
    let mut over = pin!(async {
        shutdown.cancelled().await;
        tokio::time::sleep(config.shutdown_delay).await;
    });
    loop {
        // Connections beyond the limit wait in the backlog of the listener.
        let next = async {
            let slot = slots.clone().acquire_owned().await;
            (slot.ok(), listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = &mut over => break,
            next = next => next,
        };
        match accepted {
            Ok(accepted) => server.clone().begin(accepted, slot, &tasks),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    server.closing.cancel();
    match listener.close() {
        Ok(last) => {
            for accepted in last {
                server.clone().begin(accepted, None, &tasks);
            }
        }
        Err(error) => tracing::warn!(%error, "the connections in the backlog were reset"),
    }
    tasks.close();
    if tokio::time::timeout(config.shutdown_grace, tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            tasks = tasks.len(),
            "the grace period is over; the remaining connections are dropped"
        );
        server.abandon.cancel();
    }
}

fn protocol(config: &config::Http) -> auto::Builder<TokioExecutor> {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    protocol
        .http1()
        // This would make a timer for each request. `Activity` watches the whole connection.
        .header_read_timeout(None)
        .max_buf_size(MAX_BUFFER);
    protocol
        .http2()
        .timer(TokioTimer::new())
        // Longer than the idle timeout, since a PING is sent bytes and would restart the idle time.
        .keep_alive_interval(config.header_timeout * 2)
        .keep_alive_timeout(config.header_timeout)
        .max_concurrent_streams(MAX_STREAMS)
        // How much a client may send before the server reads it, and how much of an answer is
        // buffered while the client does not read.
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(STREAM_WINDOW as usize)
        .max_header_list_size(MAX_HEAD);
    protocol
}

pub(super) struct Server<E> {
    pub endpoint: E,
    pub protocol: auto::Builder<TokioExecutor>,
    pub local: LocalAddr,
    admission: Admission,
    /// Counts connections beyond the limit of their client.
    refused: Counter,
    /// After how long an idle connection ends.
    pub idle: Duration,
    /// After how long a connection ends whose client does not read what it is sent.
    pub stalled: Duration,
    pub linger: Duration,
    /// Cancelled when the listener closes, and the connections are to end.
    pub closing: CancellationToken,
    /// Cancelled when the grace period is over.
    pub abandon: CancellationToken,
}

impl<E: Endpoint<Output = Response> + 'static> Server<E> {
    /// Begins to serve a connection, unless its client has too many. `slot` is the connection's
    /// permit among those that may be open.
    fn begin(
        self: Arc<Self>,
        accepted: Accepted,
        slot: Option<OwnedSemaphorePermit>,
        tasks: &TaskTracker,
    ) {
        let Admission { usage, proxies } = &self.admission;
        let address = accepted.client(proxies);
        let client = address.map(|address| usage.client(Network::of(Some(address))));
        let held = client
            .as_ref()
            .map(|client| client.take(Resource::Connections, 1));
        if matches!(held, Some(None)) {
            return self.refused.increment(1);
        }
        let held = (slot, held, metrics::connection());
        tasks.spawn(async move {
            match accepted {
                Accepted::Tcp(stream, peer) => {
                    let peer = RemoteAddr(Addr::SocketAddr(peer));
                    self.converse(stream, peer, client).await;
                }
                Accepted::Unix(stream, peer) => {
                    self.converse(stream, RemoteAddr(peer), client).await;
                }
            }
            drop(held);
        });
    }
}
