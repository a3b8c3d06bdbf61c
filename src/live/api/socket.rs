//! What is said over a WebSocket.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message, Utf8Bytes};
use uuid::Uuid;

use super::{count_end, version};
use crate::auth::Tokens;
use crate::failure::{Code, Failure};
use crate::http::websocket::Socket;
use crate::live::Hub;
use crate::live::objects::EndReason;
use crate::live::pass::Pass;
use crate::live::watcher::{Event, Watcher};

/// The most that a client may say at once, in bytes. A token takes some hundred.
pub(super) const MAX_MESSAGE: usize = 16 * 1024;

/// How long a client may take to say who it is.
const INTRODUCTION: Duration = Duration::from_secs(5);

/// How many pings and pongs a client may send between two of our pings. Browsers send one pong.
const CONTROL_FRAMES: u32 = 16;

/// How long a client may take to close, too.
const GOODBYE: Duration = Duration::from_secs(1);

/// The first message of a client, its only one.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Hello {
    Authenticate {
        access_token: String,
        last_event_id: Option<String>,
    },
    Anonymous {
        last_event_id: Option<String>,
    },
}

/// Why a socket is closed: the code, and a word for programs.
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
        Close(reason.close_code(), reason.name())
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

/// Why nothing more is said.
enum Over {
    /// We close, and say why.
    Close(Close),
    /// The client has closed, or is gone.
    Gone,
    /// The client does not read.
    Stalled,
}

impl<C: Into<Close>> From<C> for Over {
    fn from(close: C) -> Over {
        Over::Close(close.into())
    }
}

/// Lets the client say who it is, tells it what it may see, and closes.
pub(super) async fn converse(
    mut socket: Socket,
    hub: &Hub,
    tokens: &Tokens,
    question: Uuid,
    pass: Pass,
) {
    let over = match introduce(&mut socket, hub, tokens, question, pass).await {
        Ok(mut watcher) => {
            let over = tell(&mut socket, hub, &mut watcher).await;
            if matches!(over, Over::Stalled) {
                watcher.pass.dropped();
            }
            over
        }
        Err(over) => over,
    };
    if let Over::Close(Close(code, reason)) = over {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.into(),
        };
        let goodbye = async {
            // Who has gone already needs none.
            if socket.close(Some(frame)).await.is_ok() {
                // What was on its way may still come, and then the client's own close.
                let mut rest = socket.take(CONTROL_FRAMES as usize);
                while let Some(Ok(_)) = rest.next().await {}
            }
        };
        let _ = timeout(GOODBYE, goodbye).await;
    }
}

async fn introduce(
    socket: &mut Socket,
    hub: &Hub,
    tokens: &Tokens,
    question: Uuid,
    mut pass: Pass,
) -> Result<Watcher, Over> {
    let hello = tokio::select! {
        biased;
        reason = pass.ended() => return Err(reason.into()),
        hello = timeout(INTRODUCTION, hello(socket)) => match hello {
            Ok(hello) => hello?,
            Err(_) => return Err(Close::TIMEOUT.into()),
        },
    };
    let (who, seen) = match hello {
        Hello::Anonymous { last_event_id } => (None, last_event_id),
        Hello::Authenticate {
            access_token,
            last_event_id,
        } => (
            Some(tokens.authenticate(&access_token).await?),
            last_event_id,
        ),
    };
    let seen = seen.and_then(|id| version(&id));
    Ok(hub.watch(question, who, pass, seen).await?)
}

async fn hello(socket: &mut Socket) -> Result<Hello, Over> {
    for _ in 0..CONTROL_FRAMES {
        let text = match socket.next().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            other => return Err(unexpected(other)),
        };
        return serde_json::from_str(&text).map_err(|_| Close::MALFORMED.into());
    }
    Err(Close::FLOOD.into())
}

/// What becomes of a socket that says something else.
fn unexpected(said: Option<Result<Message, Error>>) -> Over {
    match said {
        Some(Ok(Message::Text(_))) => Close::MALFORMED.into(),
        Some(Ok(Message::Binary(_))) => Close::BINARY.into(),
        Some(Err(Error::Capacity(_))) => Close::TOO_LARGE.into(),
        Some(Err(Error::Utf8(_))) => Close(1007, "malformed_request").into(),
        Some(Err(Error::Protocol(_))) => Close(1002, "malformed_request").into(),
        _ => Over::Gone,
    }
}

/// Sends events until there is an end.
async fn tell(socket: &mut Socket, hub: &Hub, watcher: &mut Watcher) -> Over {
    let (heartbeat, patience) = (hub.inner.heartbeat, hub.inner.patience);
    let mut pings = interval_at(Instant::now() + heartbeat, heartbeat);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Of the client, since our last ping.
    let mut control_frames = 1;
    loop {
        let (message, end) = tokio::select! {
            event = watcher.next() => match event {
                Event::Results(snapshot) => match snapshot.message() {
                    Ok(text) => (Message::Text(text), None),
                    Err(failure) => return failure.into(),
                },
                Event::End(reason) => (Message::Text(end_message(reason)), Some(reason)),
                Event::Heartbeat => continue,
            },
            said = socket.next() => match said {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {
                    control_frames += 1;
                    if control_frames > CONTROL_FRAMES {
                        return Close::FLOOD.into();
                    }
                    continue;
                }
                other => return unexpected(other),
            },
            _ = pings.tick() => {
                if std::mem::take(&mut control_frames) == 0 {
                    return Over::Gone;
                }
                (Message::Ping(Bytes::new()), None)
            }
        };
        match timeout(patience, socket.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Over::Gone,
            Err(_) => return Over::Stalled,
        }
        if let Some(reason) = end {
            count_end(reason);
            return reason.into();
        }
    }
}

fn end_message(reason: EndReason) -> Utf8Bytes {
    let name = reason.name();
    format!(r#"{{"type":"end","data":{{"reason":"{name}"}}}}"#).into()
}
