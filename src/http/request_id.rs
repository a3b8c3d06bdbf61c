//! The id of a request, in its answer, its problem and every log line about it.

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::fmt::Hyphenated;

use crate::clock::Clock;

pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that a client may choose, in bytes.
const LONGEST: usize = 128;

tokio::task_local! {
    // A task-local costs nothing until somebody writes a log line; a span is formatted at once.
    static CURRENT: RequestId;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Text);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Text {
    /// Most ids are made by the server, and need no allocation in this form.
    Made([u8; Hyphenated::LENGTH]),
    Sent(HeaderValue),
}

impl RequestId {
    /// The client's own id where it is 1 to 128 visible ASCII characters, else a new UUIDv7.
    pub fn of(headers: &HeaderMap, clock: &Clock) -> RequestId {
        match headers.get(X_REQUEST_ID) {
            Some(id) if is_acceptable(id.as_bytes()) => RequestId(Text::Sent(id.clone())),
            _ => RequestId::new(clock),
        }
    }

    fn new(clock: &Clock) -> RequestId {
        let millis = clock.now().0.unsigned_abs() / 1000;
        let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid();
        let mut text = [0; Hyphenated::LENGTH];
        uuid.hyphenated().encode_lower(&mut text);
        RequestId(Text::Made(text))
    }

    /// The id of the request that the current task works for.
    pub fn current() -> Option<RequestId> {
        CURRENT.try_with(RequestId::clone).ok()
    }

    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Made(text) => std::str::from_utf8(text).unwrap_or_default(),
            Text::Sent(id) => id.to_str().unwrap_or_default(),
        }
    }

    pub fn header_value(&self) -> HeaderValue {
        match &self.0 {
            Text::Made(text) => HeaderValue::from_bytes(text)
                .unwrap_or_else(|_| HeaderValue::from_static("unknown")),
            Text::Sent(id) => id.clone(),
        }
    }

    /// Does `work` for this request.
    pub fn enter<T>(self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, work)
    }

    /// Runs `work` for this request. A task that it spawns must be given the id anew.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, work)
    }
}

fn is_acceptable(id: &[u8]) -> bool {
    (1..=LONGEST).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(id: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_str(id).unwrap());
        RequestId::of(&headers, &Clock::default()).as_str().into()
    }

    #[test]
    fn a_client_may_choose_visible_ascii_of_bounded_length() {
        assert_eq!(chosen("trace-1"), "trace-1");
        assert_eq!(chosen(&"x".repeat(128)), "x".repeat(128));
        for bad in ["", "with space", "tab\there", &"x".repeat(129)] {
            let made = chosen(bad);
            let uuid: uuid::Uuid = made.parse().unwrap();
            assert_eq!(uuid.get_version_num(), 7, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_task_knows_its_request_and_no_other() {
        let id = RequestId::new(&Clock::default());
        let seen = id.clone().scope(async { RequestId::current() }).await;
        assert_eq!(seen, Some(id));
        assert_eq!(RequestId::current(), None);
    }
}
