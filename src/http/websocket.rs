//! The handshake of a WebSocket (RFC 6455, section 4.2), after which tungstenite speaks it.

use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use poem::{OnUpgrade, Request, Response, Upgraded};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::RequestId;
use crate::failure::{Code, Failure};

/// Messages of clients are short.
const READ_BUFFER: usize = 4 * 1024;

/// The most that may wait to be sent, in bytes. The largest results take a quarter of this; what
/// goes beyond is the answers to pings of a client that does not read.
const WRITE_BUFFER: usize = 1 << 20;

/// A socket after its handshake.
pub type Socket = WebSocketStream<Upgraded>;

/// A client that wants a socket.
pub struct Handshake {
    accept: String,
    upgrade: OnUpgrade,
}

impl Handshake {
    /// [`Code::MalformedRequest`] where the request is none.
    pub fn of(request: &Request) -> Result<Handshake, Failure> {
        let headers = request.headers();
        let key = headers.get(SEC_WEBSOCKET_KEY);
        let asks = request.method() == Method::GET
            && lists(headers, UPGRADE, "websocket")
            && lists(headers, CONNECTION, "upgrade")
            && lists(headers, SEC_WEBSOCKET_VERSION, "13");
        let upgrade = request.take_upgrade();
        match (key, upgrade) {
            (Some(key), Ok(upgrade)) if asks => Ok(Handshake {
                accept: derive_accept_key(key.as_bytes()),
                upgrade,
            }),
            _ => Err(Failure::new(
                Code::MalformedRequest,
                "This address is for WebSockets (RFC 6455, version 13) over HTTP/1.1.",
            )),
        }
    }

    /// The answer that opens the socket, which takes messages of at most `max_message` bytes;
    /// `converse` is given it, in a task of its own.
    pub fn accept<F>(
        self,
        max_message: usize,
        converse: impl FnOnce(Socket) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let config = WebSocketConfig::default()
            .max_message_size(Some(max_message))
            .max_frame_size(Some(max_message))
            .read_buffer_size(READ_BUFFER)
            .max_write_buffer_size(WRITE_BUFFER);
        let upgrade = self.upgrade;
        let task = async move {
            match upgrade.await {
                Ok(upgraded) => {
                    let socket = Socket::from_raw_socket(upgraded, Role::Server, Some(config));
                    converse(socket.await).await;
                }
                Err(error) => tracing::debug!(%error, "a client left before its socket was open"),
            }
        };
        match RequestId::current() {
            Some(id) => drop(tokio::spawn(id.scope(task))),
            None => drop(tokio::spawn(task)),
        }
        Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_ACCEPT, self.accept)
            .finish()
    }
}

/// Whether a list header has the word.
fn lists(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let lines = headers.get_all(name).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(word))
}
