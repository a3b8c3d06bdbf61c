//! Sockets and connections: who may connect, for how long, and how it ends.

use std::convert::Infallible;
use std::fmt;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use http::HeaderValue;
use http::header::CONNECTION;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Body, Endpoint, Request, RequestParts, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixSocket, UnixStream, unix};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
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

/// How many connections the system accepts ahead of us.
const BACKLOG: u32 = 1024;

/// An address that is taken but where nobody is let in yet. A unix socket's file goes when this or
/// the [`Listener`] is dropped.
#[derive(Debug)]
pub struct Bound {
    socket: BoundSocket,
    address: Address,
}

#[derive(Debug)]
enum BoundSocket {
    Tcp(TcpSocket),
    Unix(UnixSocket, SocketFile),
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: Address,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
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

impl Bound {
    /// Takes the configured address, or the unix socket where there is one.
    ///
    /// # Errors
    ///
    /// Those of the system; `AddrInUse` where another server answers there.
    pub async fn new(config: &config::Server) -> io::Result<Bound> {
        if let Some(path) = &config.path {
            remove_stale(path).await?;
            let socket = UnixSocket::new_stream()?;
            socket.bind(path)?;
            let file = SocketFile::of(path)?;
            fs::set_permissions(path, Permissions::from_mode(config.path_mode))?;
            return Ok(Bound {
                socket: BoundSocket::Unix(socket, file),
                address: Address::Unix(path.clone()),
            });
        }
        let socket = match config.host {
            IpAddr::V4(_) => TcpSocket::new_v4()?,
            IpAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // Connections of an earlier process may still be fading away there.
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(config.host, config.port))?;
        Ok(Bound {
            address: Address::Tcp(socket.local_addr()?),
            socket: BoundSocket::Tcp(socket),
        })
    }

    /// The bound address, with the port that the system chose.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Lets clients in. Until then a proxy is refused, and goes on to another process.
    ///
    /// # Errors
    ///
    /// Those of the system; `AddrInUse` where another server has taken the address meanwhile.
    pub fn listen(self) -> io::Result<Listener> {
        let socket = match self.socket {
            BoundSocket::Tcp(socket) => Socket::Tcp(socket.listen(BACKLOG)?),
            BoundSocket::Unix(_, file) if !file.is_there() => {
                return Err(ErrorKind::AddrInUse.into());
            }
            BoundSocket::Unix(socket, file) => Socket::Unix(socket.listen(BACKLOG)?, file),
        };
        Ok(Listener {
            socket,
            address: self.address,
        })
    }
}

impl Listener {
    /// Takes the configured address and lets clients in.
    ///
    /// # Errors
    ///
    /// Those of [`Bound`].
    pub async fn bind(config: &config::Server) -> io::Result<Listener> {
        Bound::new(config).await?.listen()
    }

    /// The bound address, with the port that the system chose.
    pub fn address(&self) -> &Address {
        &self.address
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match &self.socket {
            Socket::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                Accepted::tcp(stream, peer)
            }
            Socket::Unix(socket, _) => {
                let (stream, peer) = socket.accept().await?;
                Ok(Accepted::Unix(stream, Addr::from(peer)))
            }
        }
    }

    /// Takes no more connections, and gives those that the system has accepted already: closing
    /// alone would reset them, with a request in them perhaps.
    ///
    /// A unix socket's file goes first, so that nobody comes in between. A port has no such thing:
    /// who connects to it in the last microseconds is reset.
    fn close(self) -> io::Result<Vec<Accepted>> {
        match self.socket {
            Socket::Tcp(socket) => {
                let socket = socket.into_std()?;
                waiting(|| {
                    let (stream, peer) = socket.accept()?;
                    stream.set_nonblocking(true)?;
                    Accepted::tcp(TcpStream::from_std(stream)?, peer)
                })
            }
            Socket::Unix(socket, file) => {
                drop(file);
                let socket = socket.into_std()?;
                waiting(|| {
                    let (stream, peer) = socket.accept()?;
                    stream.set_nonblocking(true)?;
                    let stream = UnixStream::from_std(stream)?;
                    Ok(Accepted::Unix(
                        stream,
                        Addr::from(unix::SocketAddr::from(peer)),
                    ))
                })
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

/// A connection and who is at its other end.
enum Accepted {
    Tcp(TcpStream, Addr),
    Unix(UnixStream, Addr),
}

impl Accepted {
    fn tcp(stream: TcpStream, peer: SocketAddr) -> io::Result<Accepted> {
        // Without it small answers wait for the client's delayed acknowledgement.
        stream.set_nodelay(true)?;
        Ok(Accepted::Tcp(stream, Addr::SocketAddr(peer)))
    }
}

/// What can be accepted without waiting.
fn waiting(mut accept: impl FnMut() -> io::Result<Accepted>) -> io::Result<Vec<Accepted>> {
    let mut accepted = Vec::new();
    loop {
        match accept() {
            Ok(connection) => accepted.push(connection),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(accepted),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// A unix socket's file, removed when this is dropped.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    id: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<SocketFile> {
        Ok(SocketFile {
            path: path.into(),
            id: file_id(path)?,
        })
    }

    /// Whether it was neither removed by hand nor replaced by another server's.
    fn is_there(&self) -> bool {
        file_id(&self.path).is_ok_and(|id| id == self.id)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_there() {
            // If it cannot be removed, the next server removes it or says why not.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn file_id(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
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
/// Whoever sends a request through a connection that it knows must not find it closed, so the end
/// comes in steps:
/// 1. For `shutdown_delay` all goes on, while `/readyz` already says no.
/// 2. The listener closes. Every answer from now on is the last of its connection, and says so.
/// 3. After `shutdown_linger` connections are closed that wait for a request: by then clients that
///    keep connections have used them once more, or let go of them.
/// 4. After `shutdown_grace` the rest is dropped.
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
        // A client beyond the limit waits in the system's backlog.
        let next = async {
            let slot = slots.clone().acquire_owned().await;
            (slot.ok(), listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = &mut over => break,
            next = next => next,
        };
        match accepted {
            Ok(accepted) => drop(tasks.spawn(server.clone().connection(accepted, slot))),
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
                tasks.spawn(server.clone().connection(accepted, None));
            }
        }
        Err(error) => tracing::warn!(%error, "connections that waited were reset"),
    }
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
        // It would make a timer for each request. `Activity` watches over the whole connection.
        .header_read_timeout(None)
        .max_buf_size(MAX_BUFFER);
    protocol
        .http2()
        .timer(TokioTimer::new())
        // Later than a lull, which its own PING would end.
        .keep_alive_interval(config.header_timeout * 2)
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
    linger: Duration,
    /// The listener closes, and the connections after it.
    closing: CancellationToken,
    /// The grace period is over.
    abandon: CancellationToken,
}

impl<E: Endpoint<Output = Response> + 'static> Server<E> {
    /// Serves a connection to its end; `slot` is its place among those that may be open.
    async fn connection(self: Arc<Self>, accepted: Accepted, slot: Option<OwnedSemaphorePermit>) {
        let _held = (slot, metrics::connection());
        match accepted {
            Accepted::Tcp(stream, peer) => self.converse(stream, RemoteAddr(peer)).await,
            Accepted::Unix(stream, peer) => self.converse(stream, RemoteAddr(peer)).await,
        }
    }

    async fn converse<S>(self: Arc<Self>, stream: S, peer: RemoteAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::new(Activity::default());
        // Tokens of its own, since all connections would queue for the lock of a shared one.
        let closing = self.closing.child_token();
        let abandon = Arc::new(self.abandon.child_token());
        let service = service_fn(|mut request: http::Request<Incoming>| {
            let (server, peer, busy) = (self.clone(), peer.clone(), activity.begin());
            let connection = Connection(abandon.clone());
            request.extensions_mut().insert(connection);
            async move {
                let http1 = request.version() < http::Version::HTTP_2;
                let mut response = server.answer(request, peer).await;
                if http1 && busy.is_last() {
                    // Unless it is an upgrade.
                    let connection = response.headers_mut().entry(CONNECTION);
                    connection.or_insert(HeaderValue::from_static("close"));
                }
                drop(busy);
                Ok::<_, Infallible>(response)
            }
        });
        let io = TokioIo::new(Watched {
            stream,
            activity: activity.clone(),
        });
        let mut connection = pin!(self.protocol.serve_connection_with_upgrades(io, service));
        let signal = |stopping: bool| {
            let (server, activity, closing, abandon) = (&self, &activity, &closing, &abandon);
            async move {
                let over = async {
                    closing.cancelled().await;
                    activity.ending.store(true, Ordering::Relaxed);
                    tokio::time::sleep(server.linger).await;
                };
                tokio::select! {
                    () = abandon.cancelled() => Signal::Abandon,
                    () = over, if !stopping => Signal::Over,
                    () = activity.lull(server.idle) => Signal::Lull,
                }
            }
        };
        // Asked only when there is one, not whenever there is something to read or to write.
        let mut signals = FuturesUnordered::from_iter([signal(false)]);
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
                signal = signals.select_next_some() => match signal {
                    Signal::Abandon => return,
                    Signal::Over => {}
                    // It never asked for anything; or it was told to end, and its client takes
                    // nothing of what is still to be said.
                    Signal::Lull => {
                        if activity.begun.load(Ordering::Relaxed) == 0
                            || std::mem::replace(&mut lulled, true)
                        {
                            return;
                        }
                    }
                }
            }
            if !std::mem::replace(&mut stopping, true) {
                connection.as_mut().graceful_shutdown();
            }
            signals.push(signal(true));
        }
    }

    fn answer(
        &self,
        request: http::Request<Incoming>,
        peer: RemoteAddr,
    ) -> impl Future<Output = http::Response<BoxBody>> {
        let (parts, body) = request.into_parts();
        // An empty body takes no memory this way.
        let body = if body.is_end_stream() {
            Body::empty()
        } else {
            Body::from(BoxBody::new(body.map_err(io::Error::other)))
        };
        let parts = RequestParts::from((parts, self.local.clone(), peer, Scheme::HTTP));
        let request = Request::from_parts(parts, body);
        let answer = self.endpoint.call(request);
        answer.map(|answer| answer.unwrap_or_else(poem::Error::into_response).into())
    }
}

/// Why a connection is to end.
enum Signal {
    /// The grace period is over.
    Abandon,
    /// Its last request has had its time.
    Over,
    /// Nothing happens on it.
    Lull,
}

/// Whether a connection does anything. hyper's own timeouts know neither HTTP/2 nor a client that
/// connects and says nothing.
#[derive(Default)]
struct Activity {
    begun: AtomicU64,
    running: AtomicUsize,
    /// How often bytes went out. Those that come in are a request, or the half of one: whoever
    /// sends a header bit by bit does nothing.
    sent: AtomicU64,
    /// Every answer from now on is the connection's last.
    ending: AtomicBool,
}

impl Activity {
    fn begin(self: &Arc<Self>) -> Busy {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Returns once no request has begun nor run, and no byte was sent, during a whole `span` or
    /// up to a quarter longer.
    async fn lull(&self, span: Duration) {
        let state = || {
            let (begun, sent) = (&self.begun, &self.sent);
            (begun.load(Ordering::Relaxed), sent.load(Ordering::Relaxed))
        };
        let (mut before, mut quiet) = (state(), 0);
        while quiet < 4 {
            tokio::time::sleep(span / 4).await;
            let now = state();
            let is_quiet = now == before && self.running.load(Ordering::Relaxed) == 0;
            quiet = if is_quiet { quiet + 1 } else { 0 };
            before = now;
        }
    }
}

/// A stream that tells when bytes are sent.
struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S> Watched<S> {
    fn note<T>(&self, outcome: &Poll<io::Result<T>>) {
        if matches!(outcome, Poll::Ready(Ok(_))) {
            self.activity.sent.fetch_add(1, Ordering::Relaxed);
        }
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

impl Busy {
    fn is_last(&self) -> bool {
        self.0.ending.load(Ordering::Relaxed)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}
