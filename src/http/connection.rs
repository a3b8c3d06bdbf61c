//! One connection, from its first request to its end.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use http::HeaderValue;
use http::header::{CONNECTION, EXPECT};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use poem::http::uri::Scheme;
use poem::web::RemoteAddr;
use poem::{Body, Endpoint, Request, RequestParts, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::BoxBody;
use super::activity::{Activity, Busy, Unused, Watched};
use super::serve::Server;
use super::unsent::Outbox;
use super::usage::Client;

/// How long, and up to how many bytes, the rest of a request body is read that the handler has not
/// read, so that the connection can be used again.
const DRAIN_TIME: Duration = Duration::from_millis(250);
const DRAIN_BYTES: usize = 256 * 1024;

/// The connection that a request came over, as an extension of the request. Clones share it.
#[derive(Clone)]
pub struct Connection(Arc<Link>);

struct Link {
    abandon: CancellationToken,
    outbox: Arc<Outbox>,
    /// None if a proxy connects on behalf of clients.
    client: Option<Arc<Client>>,
    /// A request body that was not read to its end.
    unread: Mutex<Option<Incoming>>,
    /// Whether a proxy sends requests of several clients over this connection at the same time, with
    /// HTTP/2. One client that does not read its answers must not end the requests of the others.
    shared: AtomicBool,
}

impl Connection {
    /// Ends the connection at once, whatever is still to be sent, unless several clients share it.
    pub fn drop_now(&self) {
        if !self.0.shared.load(Ordering::Relaxed) {
            self.0.abandon.cancel();
        }
    }

    /// What the connection has to send.
    pub(super) fn outbox(&self) -> &Arc<Outbox> {
        &self.0.outbox
    }

    /// The client, if it connects without a proxy.
    pub(super) fn client(&self) -> Option<&Arc<Client>> {
        self.0.client.as_ref()
    }
}

/// Why a connection is to end.
enum Signal {
    /// The grace period of the shutdown is over.
    Abandon,
    /// The server shuts down, and the time for one more request on this connection is over.
    Over,
    Unused(Unused),
}

/// When a connection ends.
struct Ending<'a, E> {
    server: &'a Server<E>,
    activity: &'a Activity,
    shared: &'a AtomicBool,
    // Children of the server's tokens: all connections would contend for the lock of a shared one.
    closing: CancellationToken,
    abandon: CancellationToken,
}

impl<E> Ending<'_, E> {
    /// Waits until there is a reason to end the connection. `stopping` if it has been told to end
    /// after the requests that are under way.
    async fn signal(&self, stopping: bool) -> Signal {
        let server = self.server;
        let over = async {
            self.closing.cancelled().await;
            self.activity.end_soon();
            tokio::time::sleep(server.linger).await;
        };
        let unused = self
            .activity
            .unused(server.idle, server.stalled, self.shared);
        tokio::select! {
            () = self.abandon.cancelled() => Signal::Abandon,
            () = over, if !stopping => Signal::Over,
            unused = unused => Signal::Unused(unused),
        }
    }
}

impl<E: Endpoint<Output = Response> + 'static> Server<E> {
    /// Serves a connection to its end.
    pub(super) async fn converse<S>(
        self: Arc<Self>,
        stream: S,
        peer: RemoteAddr,
        client: Option<Arc<Client>>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::new(Activity::default());
        let (closing, abandon) = (self.closing.child_token(), self.abandon.child_token());
        let link = Arc::new(Link {
            abandon: abandon.clone(),
            outbox: activity.outbox.clone(),
            client,
            unread: Mutex::default(),
            shared: AtomicBool::new(false),
        });
        let service = service_fn(|request| {
            let (server, peer, link) = (self.clone(), peer.clone(), link.clone());
            server.respond(request, peer, link, activity.begin())
        });
        let io = TokioIo::new(Watched::new(stream, activity.clone()));
        let mut connection = pin!(self.protocol.serve_connection_with_upgrades(io, service));
        let ending = Ending {
            server: &*self,
            activity: &activity,
            shared: &link.shared,
            closing,
            abandon,
        };
        // Polled only when it is woken, not whenever bytes arrive or can be sent.
        let mut signals = FuturesUnordered::from_iter([ending.signal(false)]);
        let (mut stopping, mut idle_before) = (false, false);
        loop {
            let signal = tokio::select! {
                biased;
                end = connection.as_mut() => {
                    if let Err(error) = end {
                        tracing::debug!(%error, "connection ended");
                    }
                    return;
                }
                signal = signals.select_next_some() => signal,
            };
            match signal {
                Signal::Abandon | Signal::Unused(Unused::Stalled) => return,
                Signal::Over => {}
                Signal::Unused(Unused::Idle) => {
                    // The client has never sent a request; or it was told to end, and does not
                    // read what is still to be sent.
                    let was_told = std::mem::replace(&mut idle_before, true);
                    if was_told || !activity.has_begun() {
                        return;
                    }
                }
            }
            if !std::mem::replace(&mut stopping, true) {
                connection.as_mut().graceful_shutdown();
            }
            signals.push(ending.signal(true));
        }
    }

    /// Answers one request, and makes the connection fit for the next one.
    fn respond(
        self: Arc<Self>,
        mut request: http::Request<Incoming>,
        peer: RemoteAddr,
        link: Arc<Link>,
        busy: Busy,
    ) -> impl Future<Output = Result<http::Response<BoxBody>, Infallible>> + use<E> {
        request.extensions_mut().insert(Connection(link.clone()));
        async move {
            let http1 = request.version() < http::Version::HTTP_2;
            if !http1 && link.client.is_none() {
                link.shared.store(true, Ordering::Relaxed);
            }
            let has_body = http1 && !request.body().is_end_stream();
            // A client that waits for "100 Continue" has not begun to send the body.
            let waits = has_body && request.headers().contains_key(EXPECT);
            let mut response = self.answer(request, peer, &link).await;
            // An HTTP/1 connection can be used again only once the body has been read.
            let unread = has_body.then(|| link.unread.lock().take()).flatten();
            let ended = match unread {
                None => true,
                Some(rest) => !waits && Box::pin(drain(rest)).await,
            };
            if !ended {
                busy.leave_unread();
            }
            if http1 && (!ended || busy.is_last()) {
                // An upgrade has its own `Connection` header.
                let connection = response.headers_mut().entry(CONNECTION);
                connection.or_insert(HeaderValue::from_static("close"));
            }
            drop(busy);
            Ok(response)
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
            // If the handler does not read it, only this stream is closed, not the connection.
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

/// A request body that goes back to its connection when the handler drops it.
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

/// Reads the rest of a body, within limits. Returns whether it came to its end.
async fn drain(mut body: Incoming) -> bool {
    if body.size_hint().lower() > DRAIN_BYTES as u64 {
        return false;
    }
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
