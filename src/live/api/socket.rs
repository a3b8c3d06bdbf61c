//! The WebSocket of a subscription: authentication by the first message, pings, and close codes.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use uuid::Uuid;

use crate::auth::Tokens;
use crate::failure::{Code, Failure};
use crate::http::websocket::Socket;
use crate::live::Hub;
use crate::live::event::{EndReason, Event};
use crate::live::streams::OpenStream;
use crate::live::subscription::Subscription;

/// The largest message that a client may send, in bytes. An access token takes a few hundred.
pub(super) const MAX_MESSAGE: usize = 16 * 1024;

/// How long a client may take to send its first message.
const FIRST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// How many pings and pongs a client may send between two pings of the server. Browsers send one
/// pong.
const MAX_CONTROL_FRAMES: u32 = 16;

/// How long the server waits for the client to close its side.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The first message of a client, which is also its last.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum FirstMessage {
    Authenticate {
        access_token: String,
        last_event_id: Option<String>,
    },
    Anonymous {
        last_event_id: Option<String>,
    },
}

impl FirstMessage {
    pub fn parse(text: &str) -> serde_json::Result<FirstMessage> {
        serde_json::from_str(text)
    }
}

/// The code and the reason of a close frame.
struct Close(u16, &'static str);

impl Close {
    const MALFORMED: Close = Close(4400, "malformed_request");
    const TIMEOUT: Close = Close(4408, "request_timeout");
    const BINARY: Close = Close(1003, "unsupported_media_type");
    const TOO_LARGE: Close = Close(1009, "payload_too_large");
    const FLOOD: Close = Close(1008, "rate_limited");
}

impl From<EndReason> for Close {
    fn from(reason: EndReason) -> Close {
        let code = match reason {
            EndReason::Closed | EndReason::Deleted => 1000,
            EndReason::Hidden => 4403,
            EndReason::TokenExpired | EndReason::TokenRevoked => 4401,
            EndReason::ShuttingDown => 1001,
        };
        Close(code, reason.name())
    }
}

impl From<Failure> for Close {
    fn from(failure: Failure) -> Close {
        let code = match failure.code {
            Code::Unauthenticated => 4401,
            Code::ResultsHidden | Code::Forbidden => 4403,
            Code::NotFound => 4404,
            Code::Overloaded => 1013,
            Code::ShuttingDown => 1001,
            _ => {
                tracing::error!(?failure, "a live socket failed");
                1011
            }
        };
        Close(code, failure.code.name())
    }
}

/// How the exchange of messages ends.
enum Ending {
    /// The server sends a close frame.
    Close(Close),
    /// The client has closed the connection, or does not answer pings.
    Disconnected,
    /// The client does not read.
    Stalled,
}

impl<C: Into<Close>> From<C> for Ending {
    fn from(close: C) -> Ending {
        Ending::Close(close.into())
    }
}

/// Authenticates the client, sends it the events of its subscription, and closes the socket.
pub(super) async fn serve(
    mut socket: Socket,
    hub: &Hub,
    tokens: &Tokens,
    question: Uuid,
    stream: OpenStream,
) {
    let ending = match subscribe(&mut socket, hub, tokens, question, stream).await {
        Ok(mut subscription) => {
            let ending = send_events(&mut socket, hub, &mut subscription).await;
            if matches!(ending, Ending::Stalled) {
                subscription.stream.count_dropped();
            }
            ending
        }
        Err(ending) => ending,
    };
    if let Ending::Close(Close(code, reason)) = ending {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.into(),
        };
        let closing = async {
            // An error means that the client has disconnected.
            if socket.close(Some(frame)).await.is_ok() {
                // Messages that were sent before the client's own close frame are ignored.
                let mut rest = socket.take(MAX_CONTROL_FRAMES as usize);
                while let Some(Ok(_)) = rest.next().await {}
            }
        };
        let _ = timeout(CLOSE_TIMEOUT, closing).await;
    }
}

/// Reads the first message and subscribes the client that it names.
async fn subscribe(
    socket: &mut Socket,
    hub: &Hub,
    tokens: &Tokens,
    question: Uuid,
    mut stream: OpenStream,
) -> Result<Subscription, Ending> {
    let message = tokio::select! {
        biased;
        reason = stream.ended() => return Err(reason.into()),
        message = timeout(FIRST_MESSAGE_TIMEOUT, first_message(socket)) => match message {
            Ok(message) => message?,
            Err(_) => return Err(Close::TIMEOUT.into()),
        },
    };
    let (who, last_event_id) = match message {
        FirstMessage::Anonymous { last_event_id } => (None, last_event_id),
        FirstMessage::Authenticate {
            access_token,
            last_event_id,
        } => (
            Some(tokens.authenticate(&access_token).await?),
            last_event_id,
        ),
    };
    let seen = last_event_id.as_deref();
    Ok(hub.subscribe(question, who, stream, seen).await?)
}

async fn first_message(socket: &mut Socket) -> Result<FirstMessage, Ending> {
    for _ in 0..MAX_CONTROL_FRAMES {
        let text = match socket.next().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            other => return Err(unexpected(other)),
        };
        return FirstMessage::parse(&text).map_err(|_| Close::MALFORMED.into());
    }
    Err(Close::FLOOD.into())
}

/// How the exchange ends after anything but an expected message.
fn unexpected(received: Option<Result<Message, Error>>) -> Ending {
    match received {
        Some(Ok(Message::Text(_))) => Close::MALFORMED.into(),
        Some(Ok(Message::Binary(_))) => Close::BINARY.into(),
        Some(Err(Error::Capacity(_))) => Close::TOO_LARGE.into(),
        Some(Err(Error::Utf8(_))) => Close(1007, "malformed_request").into(),
        Some(Err(Error::Protocol(_))) => Close(1002, "malformed_request").into(),
        _ => Ending::Disconnected,
    }
}

/// Sends events until the last one, or until the client sends something or disconnects.
async fn send_events(socket: &mut Socket, hub: &Hub, subscription: &mut Subscription) -> Ending {
    let heartbeat = hub.inner.heartbeat;
    let write_timeout = subscription.stream.write_timeout();
    let mut pings = interval_at(Instant::now() + heartbeat, heartbeat);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // How many the client has sent since the last ping. It begins with 1, because the first ping
    // follows no earlier one that had to be answered.
    let mut control_frames = 1;
    loop {
        let (message, end) = tokio::select! {
            event = subscription.next() => {
                let end = match event {
                    Event::End(reason) => Some(reason),
                    _ => None,
                };
                match event.to_message() {
                    Ok(Some(text)) => (Message::Text(text), end),
                    Ok(None) => continue,
                    Err(failure) => return failure.into(),
                }
            }
            received = socket.next() => match received {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {
                    control_frames += 1;
                    if control_frames > MAX_CONTROL_FRAMES {
                        return Close::FLOOD.into();
                    }
                    continue;
                }
                other => return unexpected(other),
            },
            _ = pings.tick() => {
                if std::mem::take(&mut control_frames) == 0 {
                    return Ending::Disconnected;
                }
                (Message::Ping(Bytes::new()), None)
            }
        };
        match timeout(write_timeout, socket.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Ending::Disconnected,
            Err(_) => return Ending::Stalled,
        }
        if let Some(reason) = end {
            return reason.into();
        }
    }
}
