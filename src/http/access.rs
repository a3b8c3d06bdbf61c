//! The access log: one line for each request, under the target `access`.

use std::time::Instant;

use http::header::USER_AGENT;
use http::{HeaderValue, Method, StatusCode, Uri};
use poem::Request;

use super::client::ClientAddr;

/// The logged status if the client hung up before the answer, as nginx logs it.
const CLIENT_GONE: u16 = 499;

/// What the line says about the request, kept while it is answered. Dropped with the request when
/// the client hangs up, it still writes the line.
pub(super) struct Line {
    method: Method,
    uri: Uri,
    client: ClientAddr,
    user_agent: Option<HeaderValue>,
    began: Instant,
    written: bool,
}

impl Line {
    pub(super) fn of(request: &Request, client: ClientAddr, began: Instant) -> Line {
        Line {
            method: request.method().clone(),
            uri: request.original_uri().clone(),
            client,
            user_agent: request.headers().get(USER_AGENT).cloned(),
            began,
            written: false,
        }
    }

    /// Writes the line; `bytes` is the body's length where it is known.
    pub(super) fn write(mut self, status: StatusCode, bytes: Option<u64>) {
        self.log(status.as_u16(), bytes);
        self.written = true;
    }

    /// Query strings are left out, since people put secrets there.
    fn log(&self, status: u16, bytes: Option<u64>) {
        tracing::info!(
            target: "access",
            method = self.method.as_str(),
            path = self.uri.path(),
            status,
            duration_ms = self.began.elapsed().as_micros() as f64 / 1000.0,
            bytes,
            client = self.client.address.map(tracing::field::display),
            user_agent = self.user_agent.as_ref().and_then(|agent| agent.to_str().ok()),
        );
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.written {
            self.log(CLIENT_GONE, None);
        }
    }
}
