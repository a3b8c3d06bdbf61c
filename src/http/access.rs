//! The access log: one line for each request, under the target `access`.

use std::time::Duration;

use http::header::USER_AGENT;
use http::{HeaderValue, Method, StatusCode, Uri};
use poem::Request;

use super::client::ClientAddr;

/// What the line says about the request, kept while it is answered.
pub(super) struct Line {
    method: Method,
    uri: Uri,
    client: ClientAddr,
    user_agent: Option<HeaderValue>,
}

impl Line {
    pub(super) fn of(request: &Request, client: ClientAddr) -> Line {
        Line {
            method: request.method().clone(),
            uri: request.original_uri().clone(),
            client,
            user_agent: request.headers().get(USER_AGENT).cloned(),
        }
    }

    /// Writes the line; `bytes` is the body's length where it is known. Query strings are left
    /// out, since people put secrets there.
    pub(super) fn write(self, status: StatusCode, bytes: Option<u64>, took: Duration) {
        tracing::info!(
            target: "access",
            method = self.method.as_str(),
            path = self.uri.path(),
            status = status.as_u16(),
            duration_ms = took.as_micros() as f64 / 1000.0,
            bytes,
            client = self.client.0.map(tracing::field::display),
            user_agent = self.user_agent.as_ref().and_then(|agent| agent.to_str().ok()),
        );
    }
}
