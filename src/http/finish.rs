//! The way back: from what the handler returned to the answer that is sent.

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use hyper::body::Body as _;
use poem::{Body, Response};

use super::handle::Outcome;
use super::rates::{self, Metered};
use super::routes::Operation;
use super::stack::{Asked, Stack};
use super::unsent::{self, Unsent};
use super::vary::Vary;
use super::{BoxBody, RequestId, compress, problem, request_id};
use crate::failure::Failure;

const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-cache");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// An HTTP/1 connection sends one answer at a time. An answer of up to this many bytes is not
/// counted as unsent.
const SMALL_ANSWER: u64 = unsent::PIECE as u64;

impl Stack {
    /// Adds the headers that every answer has, compresses the body, and returns its length.
    pub(super) async fn finish(
        &self,
        response: Response,
        asked: &Asked,
        id: &RequestId,
    ) -> (Response, Option<u64>) {
        let (mut head, body) = response.into_parts();
        let mut body = BoxBody::from(body);
        if asked.has_already(&head) {
            body = not_modified(&mut head);
        }
        let mut vary = Vary {
            authorization: asked.get_in_api,
            origin: self.cors.varies(),
            encoding: false,
        };
        if self.compression {
            let by = (&self.compressor, asked.from.network);
            let compressing = compress::compress(&mut head, body, asked.coding, by);
            (body, vary.encoding) = compressing.await;
        }
        (head, body) = self.count_unsent(head, body, asked);
        self.add_headers(&mut head, asked, id);
        vary.tell(&mut head.headers);
        if asked.head {
            return (without_body(head, &body), Some(0));
        }
        let bytes = body.size_hint().exact();
        (Response::from_parts(head, body.into()), bytes)
    }

    fn add_headers(&self, head: &mut poem::ResponseParts, asked: &Asked, id: &RequestId) {
        let headers = &mut head.headers;
        if asked.token_sent && head.status == StatusCode::UNAUTHORIZED {
            problem::challenge_bad_token(headers);
        }
        if let Some(state) = asked.metered.as_ref().and_then(Metered::state) {
            rates::tell(headers, &state);
        }
        if asked.get_in_api && !headers.contains_key(CACHE_CONTROL) {
            headers.insert(CACHE_CONTROL, PRIVATE);
        }
        if !asked.same_origin_only {
            self.cors.apply(asked.origin.as_ref(), headers);
        }
        headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        headers.insert(request_id::X_REQUEST_ID, id.header_value());
    }

    /// Counts the bytes that wait to be sent to the client. A client that has too many of them
    /// waiting already gets a problem instead.
    fn count_unsent(
        &self,
        head: poem::ResponseParts,
        body: BoxBody,
        asked: &Asked,
    ) -> (poem::ResponseParts, BoxBody) {
        let Some(connection) = &asked.from.connection else {
            return (head, body);
        };
        let bytes = body.size_hint().exact();
        let small = if asked.http1 { SMALL_ANSWER } else { 0 };
        if asked.head || bytes.is_some_and(|bytes| bytes <= small) || is_endless(&head) {
            return (head, body);
        }
        match Unsent::new(body, &self.client(&asked.from), connection.outbox()) {
            Some(unsent) => (head, BoxBody::new(unsent)),
            None => {
                let detail = "Your network has not yet taken what it was sent before.";
                let (head, body) = problem::render(&Failure::overloaded(detail)).into_parts();
                (head, body.into())
            }
        }
    }
}

fn not_modified(head: &mut poem::ResponseParts) -> BoxBody {
    head.status = StatusCode::NOT_MODIFIED;
    head.headers.remove(CONTENT_TYPE);
    BoxBody::from(Body::empty())
}

/// The answer to a HEAD request: the headers of GET, with the length of its body.
fn without_body(mut head: poem::ResponseParts, body: &BoxBody) -> Response {
    let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
    let bytes = body.size_hint().exact();
    if let Some(bytes) = bytes.filter(|_| !bodiless.contains(&head.status)) {
        head.headers
            .insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    }
    Response::from_parts(head, Body::empty())
}

/// Whether the answer is a stream of events, which ends only when its client does.
fn is_endless(head: &poem::ResponseParts) -> bool {
    let media = head.headers.get(CONTENT_TYPE);
    media.is_some_and(|media| media.as_bytes().starts_with(b"text/event-stream"))
}

/// The answer for what a handler returned. Errors of the framework and panics become problems.
pub(super) fn answer_of(outcome: Outcome, operation: Option<&Operation>) -> Response {
    let failure = match outcome {
        Some(Ok(response)) if !is_bare_error(&response) => return response,
        Some(Ok(response)) => problem::from_status(response.status()),
        Some(Err(error)) => problem::from_handler(error, operation),
        // The panic hook has logged it.
        None => problem::from_status(StatusCode::INTERNAL_SERVER_ERROR),
    };
    problem::log(&failure);
    problem::render(&failure)
}

/// Whether the framework made this answer: handlers answer failures as problems.
fn is_bare_error(response: &Response) -> bool {
    let status = response.status();
    let media = response.headers().get(CONTENT_TYPE);
    (status.is_client_error() || status.is_server_error())
        && media.is_none_or(|media| media.as_bytes().starts_with(b"text/plain"))
}
