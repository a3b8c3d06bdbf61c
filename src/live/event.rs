//! The events of a stream, and their two encodings: Server-Sent Events and WebSocket messages.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use poem_openapi::Enum;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use uuid::Uuid;

use crate::failure::Failure;
use crate::results::View;

/// What is sent to a client.
pub(super) enum Event {
    Results(Arc<Snapshot>),
    /// The last event of a stream.
    End(EndReason),
    /// Keeps the connection open when nothing has been sent for a while.
    Heartbeat,
}

impl Event {
    pub(super) fn to_sse(&self) -> Result<Bytes, Failure> {
        Ok(match self {
            Event::Results(snapshot) => snapshot.to_sse()?,
            Event::End(reason) => {
                let reason = reason.name();
                format!("event: end\ndata: {{\"reason\":\"{reason}\"}}\n\n").into()
            }
            Event::Heartbeat => Bytes::from_static(b":\n\n"),
        })
    }

    /// The event as a WebSocket message. None for a heartbeat, because WebSockets have pings.
    pub(super) fn to_message(&self) -> Result<Option<Utf8Bytes>, Failure> {
        Ok(match self {
            Event::Results(snapshot) => Some(snapshot.to_message()?),
            Event::End(reason) => {
                let reason = reason.name();
                Some(format!(r#"{{"type":"end","data":{{"reason":"{reason}"}}}}"#).into())
            }
            Event::Heartbeat => None,
        })
    }
}

/// Why a stream ends, and what to do about it.
///
/// - `closed`: voting is over, and the results before were the final ones.
/// - `deleted`: the question was deleted.
/// - `hidden`: you may not see the results any more.
/// - `token_expired`: get a new access token, and connect again.
/// - `token_revoked`: you were signed out.
/// - `shutting_down`: connect again; another process, or the restarted one, goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
#[oai(rename_all = "snake_case")]
pub enum EndReason {
    Closed,
    Deleted,
    Hidden,
    TokenExpired,
    TokenRevoked,
    ShuttingDown,
}

impl EndReason {
    /// As events and metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            EndReason::Closed => "closed",
            EndReason::Deleted => "deleted",
            EndReason::Hidden => "hidden",
            EndReason::TokenExpired => "token_expired",
            EndReason::TokenRevoked => "token_revoked",
            EndReason::ShuttingDown => "shutting_down",
        }
    }
}

/// A question at one moment. Its results are rendered once for all subscriptions.
pub(super) struct Snapshot {
    /// None if there is no such question.
    pub view: Option<Arc<View>>,
    /// Whether an account has a ballot, for the accounts that may see the results only with one.
    pub voters: HashMap<Uuid, bool>,
    sse: OnceLock<Bytes>,
    message: OnceLock<Utf8Bytes>,
}

impl Snapshot {
    pub(super) fn new(view: Option<Arc<View>>, voters: HashMap<Uuid, bool>) -> Snapshot {
        Snapshot {
            view,
            voters,
            sse: OnceLock::new(),
            message: OnceLock::new(),
        }
    }

    fn to_sse(&self) -> Result<Bytes, Failure> {
        rendered_once(&self.sse, || {
            let (version, results) = self.results()?;
            Ok(format!("id: {version}\nevent: results\ndata: {results}\n\n").into())
        })
    }

    fn to_message(&self) -> Result<Utf8Bytes, Failure> {
        rendered_once(&self.message, || {
            let (version, results) = self.results()?;
            Ok(format!(r#"{{"type":"results","id":"{version}","data":{results}}}"#).into())
        })
    }

    /// The version, and the results as JSON on one line.
    fn results(&self) -> Result<(i64, String), Failure> {
        let missing = || Failure::internal("results of a question that does not exist");
        let view = self.view.as_ref().ok_or_else(missing)?;
        let body = view.results(false)?.body;
        let json = String::from_utf8(body.into()).map_err(Failure::internal)?;
        Ok((view.poll.version, json))
    }
}

fn rendered_once<T: Clone>(
    cell: &OnceLock<T>,
    render: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    if let Some(rendered) = cell.get() {
        return Ok(rendered.clone());
    }
    let rendered = render()?;
    Ok(cell.get_or_init(|| rendered).clone())
}

#[cfg(test)]
mod tests {
    use poem_openapi::types::ToJSON as _;

    use super::*;

    #[test]
    fn reasons_are_written_as_the_document_has_them() {
        for reason in [
            EndReason::Closed,
            EndReason::Deleted,
            EndReason::Hidden,
            EndReason::TokenExpired,
            EndReason::TokenRevoked,
            EndReason::ShuttingDown,
        ] {
            assert_eq!(reason.to_json(), Some(reason.name().into()));
        }
    }
}
