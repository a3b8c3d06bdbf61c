//! Sockets and connections: who may connect, for how long, and how it ends.

use std::convert::Infallible;
use std::fmt;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Body, Endpoint, Request, RequestParts, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{BoxBody, metrics};
use crate::config;

/// How long to wait when no connection can be accepted, typically for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The largest head of an HTTP/2 request, in bytes, and the buffer of an HTTP/1 connection.
const MAX_HEAD: u32 = 16 * 1024;
const MAX_BUFFER: usize = 64 * 1024;

/// How many requests one HTTP/2 connection may have under way.
const MAX_STREAMS: u32 = 64;

/// A bound socket. A unix socket's file goes when this is dropped.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: Address,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(
        UnixListener,
        #[expect(dead_code, reason = "for its Drop")] SocketFile,
    ),
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "http://{address}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Listener {
    /// Binds the configured address, or the unix socket where there is one.
    ///
    /// # Errors
    ///
    /// Those of the system; `AddrInUse` where another server answers on the unix socket.
    pub async fn bind(config: &config::Server) -> io::Result<Listener> {
        if let Some(path) = &config.path {
            remove_stale(path).await?;
            let socket = UnixListener::bind(path)?;
            let file = SocketFile(path.clone());
            fs::set_permissions(path, Permissions::from_mode(config.path_mode))?;
            return Ok(Listener {
                socket: Socket::Unix(socket, file),
                address: Address::Unix(path.clone()),
            });
        }
        let socket = TcpListener::bind((config.host, config.port)).await?;
        Ok(Listener {
            address: Address::Tcp(socket.local_addr()?),
            socket: Socket::Tcp(socket),
        })
    }

    /// The bound address, with the port that the system chose.
    pub fn address(&self) -> &Address {
        &self.address
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match &self.socket {
            Socket::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                // Without it small answers wait for the client's delayed acknowledgement.
                stream.set_nodelay(true)?;
                Ok(Accepted::Tcp(stream, peer))
            }
            Socket::Unix(socket, _) => {
                let (stream, peer) = socket.accept().await?;
                Ok(Accepted::Unix(stream, Addr::from(peer)))
            }
        }
    }

    fn local_addr(&self) -> LocalAddr {
        LocalAddr(match &self.address {
            Address::Tcp(address) => Addr::SocketAddr(*address),
            Address::Unix(path) => Addr::Custom("unix", path.display().to_string().into()),
        })
    }
}

enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream, Addr),
}

#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may have been removed by hand; then there is nothing to do.
        let _ = fs::remove_file(&self.0);
    }
}

/// Removes a socket that an earlier process left behind. Anything else at the path stays.
async fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(file) if file.file_type().is_socket() => {}
        _ => return Ok(()),
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(io::Error::new(
            ErrorKind::AddrInUse,
            format!("another server answers on {}", path.display()),
        )),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

/// Serves `endpoint` until `shutdown`, then finishes what was begun within the grace period.
///
/// `tasks` tracks the connections, and whatever else must be finished before the process ends.
pub async fn serve<E>(
    listener: Listener,
    endpoint: E,
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
        idle: config.header_timeout,
        shutdown: shutdown.clone(),
        abandon: CancellationToken::new(),
    });
    let slots = Arc::new(Semaphore::new(config.max_connections as usize));
    loop {
        // A client beyond the limit waits in the system's backlog.
        let next = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = shutdown.cancelled() => break,
            next = next => next,
        };
        let (stream, peer) = match accepted {
            Ok(Accepted::Tcp(stream, peer)) => (Stream::Tcp(stream), Addr::SocketAddr(peer)),
            Ok(Accepted::Unix(stream, peer)) => (Stream::Unix(stream), peer),
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (server, peer) = (server.clone(), RemoteAddr(peer));
        tasks.spawn(async move {
            let _held = (slot, metrics::connection());
            match stream {
                Stream::Tcp(stream) => server.connection(stream, peer).await,
                Stream::Unix(stream) => server.connection(stream, peer).await,
            }
        });
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(config.shutdown_grace, tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            tasks = tasks.len(),
            "the grace period is over; dropping the rest"
        );
        server.abandon.cancel();
    }
}

/// The connection that a request came over, as its extension.
#[derive(Clone)]
pub struct Connection(Arc<CancellationToken>);

impl Connection {
    /// Ends it at once, whatever is still to be sent.
    pub fn drop_now(&self) {
        self.0.cancel();
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
            | ErrorKind::InvalidInput
    )
}

fn protocol(config: &config::Http) -> auto::Builder<TokioExecutor> {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    protocol
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_buf_size(MAX_BUFFER);
    protocol
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(config.header_timeout)
        .keep_alive_timeout(config.header_timeout)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD);
    protocol
}

struct Server<E> {
    endpoint: E,
    protocol: auto::Builder<TokioExecutor>,
    local: LocalAddr,
    idle: Duration,
    shutdown: CancellationToken,
    /// The grace period is over.
    abandon: CancellationToken,
}

impl<E: Endpoint<Output = Response> + 'static> Server<E> {
    async fn connection<S>(self: Arc<Self>, stream: S, peer: RemoteAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::new(Activity::default());
        // Tokens of its own, since all connections would queue for the lock of a shared one.
        let shutdown = self.shutdown.child_token();
        let abandon = Arc::new(self.abandon.child_token());
        let service = service_fn(|mut request: http::Request<Incoming>| {
            let (server, peer, busy) = (self.clone(), peer.clone(), activity.begin());
            let connection = Connection(abandon.clone());
            request.extensions_mut().insert(connection);
            async move {
                let response = server.answer(request, peer).await;
                drop(busy);
                Ok::<_, Infallible>(response)
            }
        });
        let io = TokioIo::new(Watched {
            stream,
            activity: activity.clone(),
        });
        let mut connection = pin!(self.protocol.serve_connection_with_upgrades(io, service));
        let (mut stopping, mut lulled) = (false, false);
        loop {
            tokio::select! {
                biased;
                end = connection.as_mut() => {
                    if let Err(error) = end {
                        tracing::debug!(%error, "connection ended");
                    }
                    return;
                }
                () = abandon.cancelled() => return,
                () = shutdown.cancelled(), if !stopping => {}
                () = activity.lull(self.idle) => {
                    // It was told to end, and its client takes nothing of what it still has to say.
                    if std::mem::replace(&mut lulled, true) {
                        return;
                    }
                }
            }
            if !std::mem::replace(&mut stopping, true) {
                connection.as_mut().graceful_shutdown();
            }
        }
    }

    async fn answer(
        &self,
        request: http::Request<Incoming>,
        peer: RemoteAddr,
    ) -> http::Response<BoxBody> {
        let (parts, body) = request.into_parts();
        // An empty body takes no memory this way.
        let body = if body.is_end_stream() {
            Body::empty()
        } else {
            Body::from(BoxBody::new(body.map_err(io::Error::other)))
        };
        let parts = RequestParts::from((parts, self.local.clone(), peer, Scheme::HTTP));
        let request = Request::from_parts(parts, body);
        self.endpoint.get_response(request).await.into()
    }
}

/// Whether a connection does anything. hyper's own timeouts know neither HTTP/2 nor a client that
/// connects and says nothing.
#[derive(Default)]
struct Activity {
    begun: AtomicU64,
    running: AtomicUsize,
    /// How often bytes came or went.
    moved: AtomicU64,
}

impl Activity {
    fn begin(self: &Arc<Self>) -> Busy {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Returns once during a whole `span` no request has begun nor run, and no byte has moved.
    async fn lull(&self, span: Duration) {
        let state = || {
            let (begun, moved) = (&self.begun, &self.moved);
            (begun.load(Ordering::Relaxed), moved.load(Ordering::Relaxed))
        };
        let mut before = state();
        loop {
            tokio::time::sleep(span).await;
            let now = state();
            if now == before && self.running.load(Ordering::Relaxed) == 0 {
                return;
            }
            before = now;
        }
    }
}

/// A stream that tells when bytes move.
struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S> Watched<S> {
    fn note<T>(&self, outcome: &Poll<io::Result<T>>) {
        if matches!(outcome, Poll::Ready(Ok(_))) {
            self.activity.moved.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.note(&outcome);
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
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
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}
