//! Sockets and connections: who may connect, for how long, and how it ends.

use std::convert::Infallible;
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

use ::metrics::{Counter, counter};
use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use http::HeaderValue;
use http::header::{CONNECTION, EXPECT};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Body, Endpoint, Request, RequestParts, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixSocket, UnixStream, unix};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::TrustedProxies;
use super::unsent::Outbox;
use super::usage::{Client, Resource, Usage};
use super::{BoxBody, metrics};
use crate::config::{self, Config};
use crate::network::Network;

pub use crate::config::Address;

/// How long to wait when no connection can be accepted, typically for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The largest head of an HTTP/2 request, in bytes, and the buffer of an HTTP/1 connection.
const MAX_HEAD: u32 = 16 * 1024;
const MAX_BUFFER: usize = 64 * 1024;

/// How many requests one HTTP/2 connection may have under way.
const MAX_STREAMS: u32 = 64;

/// How many bytes of request bodies an HTTP/2 client may send ahead of us, in one stream and in
/// all of a connection's.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;

/// How long, and how many bytes of, the rest of a body is waited for that nobody wanted. A client
/// that is still sending it would otherwise find the connection closed before it reads the answer.
const DRAIN_TIME: Duration = Duration::from_millis(250);
const DRAIN_BYTES: usize = 256 * 1024;

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

impl Bound {
    /// Takes an address. `mode` is the permissions of a unix socket.
    ///
    /// # Errors
    ///
    /// Those of the system; `AddrInUse` where another server answers there.
    pub async fn new(address: &Address, mode: u32) -> io::Result<Bound> {
        let address = match address {
            Address::Unix(path) => {
                remove_stale(path).await?;
                let socket = UnixSocket::new_stream()?;
                socket.bind(path)?;
                let file = SocketFile::of(path)?;
                fs::set_permissions(path, Permissions::from_mode(mode))?;
                return Ok(Bound {
                    socket: BoundSocket::Unix(socket, file),
                    address: address.clone(),
                });
            }
            Address::Tcp(address) => *address,
        };
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // Connections of an earlier process may still be fading away there.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
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
        let bound = Bound::new(&config.address(), config.path_mode).await?;
        bound.listen()
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
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream, Addr),
}

impl Accepted {
    /// The address of a client that speaks for itself; none of a proxy, which speaks for others.
    fn client(&self, proxies: &TrustedProxies) -> Option<IpAddr> {
        match self {
            Accepted::Tcp(_, peer) => Some(peer.ip()).filter(|peer| !proxies.trusts(*peer)),
            Accepted::Unix(..) => None,
        }
    }

    fn tcp(stream: TcpStream, peer: SocketAddr) -> io::Result<Accepted> {
        // Without it small answers wait for the client's delayed acknowledgement.
        stream.set_nodelay(true)?;
        Ok(Accepted::Tcp(stream, peer))
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
/// `admission` says how many connections one client may have.
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

/// Who may connect, and how often.
#[derive(Clone)]
pub struct Admission {
    pub usage: Arc<Usage>,
    pub proxies: TrustedProxies,
}

impl Admission {
    pub fn new(config: &Config) -> Admission {
        Admission {
            usage: Usage::new(&config.http),
            proxies: TrustedProxies(config.server.trusted_proxies.clone()),
        }
    }
}

/// The connection that a request came over, as its extension. Clones are one.
#[derive(Clone)]
pub struct Connection(Arc<Link>);

struct Link {
    abandon: CancellationToken,
    outbox: Arc<Outbox>,
    /// None where a proxy connects for others.
    client: Option<Arc<Client>>,
    /// A body that was not read to its end.
    unread: Mutex<Option<Incoming>>,
    /// Whether it is a proxy's that speaks HTTP/2: others' requests are on it, too, and one client
    /// that takes nothing must not end them.
    shared: AtomicBool,
}

impl Connection {
    /// Ends it at once, whatever is still to be sent, unless it is shared by several clients.
    pub fn drop_now(&self) {
        if !self.0.shared.load(Ordering::Relaxed) {
            self.0.abandon.cancel();
        }
    }

    /// What the connection has to send.
    pub(super) fn outbox(&self) -> &Arc<Outbox> {
        &self.0.outbox
    }

    /// The client, where it speaks for itself and not through a proxy.
    pub(super) fn client(&self) -> Option<&Arc<Client>> {
        self.0.client.as_ref()
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
        // What a client may send before it is read, and what is kept of an answer that it does
        // not take: of each stream, and of all streams of the connection.
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(STREAM_WINDOW as usize)
        .max_header_list_size(MAX_HEAD);
    protocol
}

struct Server<E> {
    endpoint: E,
    protocol: auto::Builder<TokioExecutor>,
    local: LocalAddr,
    admission: Admission,
    /// Connections beyond the limit of their client.
    refused: Counter,
    idle: Duration,
    /// After how long a connection ends that takes nothing of what it is sent.
    stalled: Duration,
    linger: Duration,
    /// The listener closes, and the connections after it.
    closing: CancellationToken,
    /// The grace period is over.
    abandon: CancellationToken,
}

impl<E: Endpoint<Output = Response> + 'static> Server<E> {
    /// Begins to serve a connection, unless its client has too many; `slot` is its place among
    /// those that may be open.
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

    /// Serves a connection to its end.
    async fn converse<S>(self: Arc<Self>, stream: S, peer: RemoteAddr, client: Option<Arc<Client>>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::new(Activity::default());
        // Tokens of its own, since all connections would queue for the lock of a shared one.
        let closing = self.closing.child_token();
        let abandon = self.abandon.child_token();
        let link = Arc::new(Link {
            abandon: abandon.clone(),
            outbox: activity.outbox.clone(),
            client,
            unread: Mutex::default(),
            shared: AtomicBool::new(false),
        });
        let service = service_fn(|mut request: http::Request<Incoming>| {
            let (server, peer, busy) = (self.clone(), peer.clone(), activity.begin());
            request.extensions_mut().insert(Connection(link.clone()));
            let link = link.clone();
            async move {
                let http1 = request.version() < http::Version::HTTP_2;
                if !http1 && link.client.is_none() {
                    link.shared.store(true, Ordering::Relaxed);
                }
                let has_body = http1 && !request.body().is_end_stream();
                // Such a client has not begun to send, and must not be asked to.
                let waits = has_body && request.headers().contains_key(EXPECT);
                let mut response = server.answer(request, peer, &link).await;
                // What nobody has read keeps an HTTP/1 connection from being used again.
                let unread = has_body.then(|| link.unread.lock().take()).flatten();
                let ended = match unread {
                    None => true,
                    Some(rest) => !waits && Box::pin(drain(rest)).await,
                };
                if http1 && (!ended || busy.is_last()) {
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
            let link = &link;
            let (idle, stalled) = (server.idle, server.stalled);
            async move {
                let over = async {
                    closing.cancelled().await;
                    activity.ending.store(true, Ordering::Relaxed);
                    tokio::time::sleep(server.linger).await;
                };
                tokio::select! {
                    () = abandon.cancelled() => Signal::Abandon,
                    () = over, if !stopping => Signal::Over,
                    signal = activity.watch(idle, stalled, &link.shared) => signal,
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
        link: &Arc<Link>,
    ) -> impl Future<Output = http::Response<BoxBody>> + use<'_, E> {
        let (parts, body) = request.into_parts();
        // An empty body takes no memory this way.
        let body = if body.is_end_stream() {
            Body::empty()
        } else if parts.version >= http::Version::HTTP_2 {
            // Where nobody reads it, its stream alone is closed.
            Body::from(BoxBody::new(body.map_err(io::Error::other)))
        } else {
            let lent = Lent {
                body: Some(body),
                link: link.clone(),
            };
            Body::from(BoxBody::new(lent.map_err(io::Error::other)))
        };
        let parts = RequestParts::from((parts, self.local.clone(), peer, Scheme::HTTP));
        let request = Request::from_parts(parts, body);
        let answer = self.endpoint.call(request);
        answer.map(|answer| answer.unwrap_or_else(poem::Error::into_response).into())
    }
}

/// A body on loan to the handler.
struct Lent {
    body: Option<Incoming>,
    link: Arc<Link>,
}

impl hyper::body::Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.as_ref().map(Incoming::size_hint);
        hint.unwrap_or_else(|| SizeHint::with_exact(0))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let unread = self.body.take().filter(|body| !body.is_end_stream());
        if unread.is_some() {
            *self.link.unread.lock() = unread;
        }
    }
}

/// Reads the rest of a body for a moment. Tells whether it came to its end.
async fn drain(mut body: Incoming) -> bool {
    let rest = async {
        let mut room = DRAIN_BYTES;
        while let Some(frame) = body.frame().await {
            let size = frame.ok()?.data_ref().map_or(0, Bytes::len);
            room = room.checked_sub(size)?;
        }
        Some(())
    };
    matches!(tokio::time::timeout(DRAIN_TIME, rest).await, Ok(Some(())))
}

/// Why a connection is to end.
enum Signal {
    /// The grace period is over, or the client takes nothing of what it is sent.
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
    /// Whether the system takes no more bytes, since the client has not taken the last ones.
    blocked: AtomicBool,
    outbox: Arc<Outbox>,
    /// Every answer from now on is the connection's last.
    ending: AtomicBool,
}

impl Activity {
    fn begin(self: &Arc<Self>) -> Busy {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Returns once no request has begun nor run, and no byte was sent, during all of `idle`; or
    /// once the client has taken nothing during all of `stalled` while there was something to
    /// take. Either may take a quarter longer. A connection that is `shared` by several clients
    /// waits for all of them.
    async fn watch(&self, idle: Duration, stalled: Duration, shared: &AtomicBool) -> Signal {
        let tick = idle.min(stalled) / 4;
        let begun_and_sent = || {
            let (begun, sent) = (&self.begun, &self.sent);
            (begun.load(Ordering::Relaxed), sent.load(Ordering::Relaxed))
        };
        // The answers to an HTTP/2 client's PINGs are bytes, too, but nothing of an answer.
        let taken = || match self.outbox.is_waiting() {
            true => self.outbox.sent(),
            false => self.sent.load(Ordering::Relaxed),
        };
        let (mut quiet, mut stuck) = (Still::new(begun_and_sent()), Still::new(taken()));
        loop {
            tokio::time::sleep(tick).await;
            let is_running = self.running.load(Ordering::Relaxed) > 0;
            if quiet.lasts(begun_and_sent(), is_running, tick) >= idle {
                return Signal::Lull;
            }
            let waits = self.outbox.is_waiting() || self.blocked.load(Ordering::Relaxed);
            let waits = waits && !shared.load(Ordering::Relaxed);
            if stuck.lasts(taken(), !waits, tick) >= stalled {
                return Signal::Abandon;
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

    /// What is seen a `tick` after the last look; `moves` where it counts as changed anyway.
    fn lasts(&mut self, now: T, moves: bool, tick: Duration) -> Duration {
        match moves || now != self.seen {
            true => self.lasts = Duration::ZERO,
            false => self.lasts += tick,
        }
        self.seen = now;
        self.lasts
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
