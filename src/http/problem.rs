//! Failures as RFC 9457 answers, those of the framework included.

use std::error::Error as _;
use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use poem::error::{ReadBodyError, ResponseError};
use poem::{Error, Response};
use poem_openapi::error::{ParseParamError, ParsePathError};
use serde::Serialize;

use super::rates;
use super::request_id::RequestId;
use super::routes::Operation;
use crate::failure::{Code, Failure, FieldError};

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The challenge of RFC 6750, where no token was sent and where a bad one was.
const NO_TOKEN: HeaderValue = HeaderValue::from_static(r#"Bearer realm="polls""#);
const BAD_TOKEN: HeaderValue =
    HeaderValue::from_static(r#"Bearer realm="polls", error="invalid_token""#);

/// When to try again where the failure itself doesn't say.
const SOON: Duration = Duration::from_secs(1);

/// Lets handlers and extractors return a [`Failure`] with `?`.
impl ResponseError for Failure {
    fn status(&self) -> StatusCode {
        status(self.code)
    }

    fn as_response(&self) -> Response {
        render(self)
    }
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

/// The answer for a failure, with the id of the request that the current task works for.
pub fn render(failure: &Failure) -> Response {
    let code = failure.code;
    let request_id = RequestId::current();
    let problem = Problem {
        r#type: format!("/problems/{}", code.name()),
        title: code.title(),
        status: code.status(),
        code: code.name(),
        detail: &failure.detail,
        request_id: request_id.as_ref().map(RequestId::as_str),
        errors: &failure.errors,
    };
    // Strings and numbers alone cannot fail to serialise.
    let mut response = Response::from(serde_json::to_vec(&problem).unwrap_or_default());
    response.set_status(status(code));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, PROBLEM_JSON);
    if code.status() == 401 {
        headers.insert(WWW_AUTHENTICATE, NO_TOKEN);
    }
    if let Some(after) = retry_after(failure) {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds(after).max(1)));
    }
    if let Some(limit) = &failure.limit {
        rates::tell(headers, limit);
    }
    response
}

/// Turns the challenge of a 401 into the one for a token that is not valid.
pub(super) fn challenge_bad_token(headers: &mut HeaderMap) {
    if headers.get(WWW_AUTHENTICATE) == Some(&NO_TOKEN) {
        headers.insert(WWW_AUTHENTICATE, BAD_TOKEN);
    }
}

fn retry_after(failure: &Failure) -> Option<Duration> {
    let hinted = failure.limit.map(|limit| limit.reset);
    let needed = matches!(failure.code.status(), 429 | 503).then_some(SOON);
    failure.retry_after.or(hinted).or(needed)
}

/// Whole seconds, rounded up.
pub(super) fn seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

fn status(code: Code) -> StatusCode {
    StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// What an error of an operation's handler means.
pub(super) fn from_handler(error: Error, operation: Option<&Operation>) -> Failure {
    let of_path = error.downcast_ref().map(|it: &ParsePathError| it.name);
    let parameter = of_path.or_else(|| error.downcast_ref().map(|it: &ParseParamError| it.name));
    let refused = parameter.and_then(|name| operation?.bad_parameter(name));
    refused.unwrap_or_else(|| from_error(error))
}

/// What an error that came up through poem means. Its own words are not used: they speak of Rust's
/// types, and those about bodies may repeat what was sent.
pub(super) fn from_error(error: Error) -> Failure {
    let error = match error.downcast::<Failure>() {
        Ok(failure) => return failure,
        Err(error) => error,
    };
    if matches!(error.downcast_ref(), Some(ReadBodyError::BodyHasBeenTaken)) {
        return Failure::internal(error);
    }
    let failure = from_status(error.status());
    match failure.code.status() {
        500.. => failure.caused_by(error),
        _ => failure,
    }
}

/// The failure for a status that has no words of its own.
pub(super) fn from_status(status: StatusCode) -> Failure {
    let (code, detail) = match status.as_u16() {
        401 => (
            Code::Unauthenticated,
            "This call needs a valid access token.",
        ),
        403 => (Code::Forbidden, "This account may not do that."),
        404 => (Code::NotFound, "There is nothing at this address."),
        405 => (
            Code::MethodNotAllowed,
            "The address does not have this method.",
        ),
        406 => (
            Code::NotAcceptable,
            "The server has no form that `Accept` allows.",
        ),
        408 => (Code::RequestTimeout, "The request did not arrive in time."),
        412 => (Code::Stale, "It is no longer what `If-Match` says."),
        413 => (Code::PayloadTooLarge, "The request body is too large."),
        415 => (
            Code::UnsupportedMediaType,
            "The `Content-Type` is missing or not one that this call takes.",
        ),
        429 => (Code::RateLimited, "Too many requests."),
        503 => (Code::Overloaded, "The server cannot take the request now."),
        500.. => (Code::Internal, "The server could not do this."),
        _ => (Code::MalformedRequest, "The request cannot be understood."),
    };
    Failure::new(code, detail)
}

/// Logs what the caller is not told. Failures without a cause speak for themselves.
pub(super) fn log(failure: &Failure) {
    let Some(cause) = failure.source() else {
        return;
    };
    if failure.code.status() < 500 {
        return;
    }
    let mut causes = cause.to_string();
    let mut next = cause.source();
    while let Some(cause) = next {
        causes.push_str(": ");
        causes.push_str(&cause.to_string());
        next = cause.source();
    }
    tracing::error!(code = failure.code.name(), cause = causes, "request failed");
}

#[cfg(test)]
mod tests {
    use poem::http::header::RETRY_AFTER;

    use super::*;
    use crate::failure::{RateLimit, Rule};

    async fn body(response: Response) -> serde_json::Value {
        response.into_body().into_json().await.unwrap()
    }

    #[tokio::test]
    async fn the_shape_is_the_contract() {
        let errors = vec![FieldError::new(
            "/name",
            Rule::Length,
            "must have 1 to 40 characters",
        )];
        let response = render(&Failure::invalid(errors));
        assert_eq!(response.status(), 422);
        assert_eq!(response.content_type(), Some("application/problem+json"));
        assert_eq!(
            body(response).await,
            serde_json::json!({
                "type": "/problems/invalid_fields",
                "title": "Some fields are not valid",
                "status": 422,
                "code": "invalid_fields",
                "detail": "One field is not valid.",
                "errors": [{
                    "pointer": "/name", "code": "length", "message": "must have 1 to 40 characters",
                }],
            })
        );
        let plain = body(render(&Failure::not_found("question"))).await;
        assert!(plain.get("errors").is_none());
    }

    #[test]
    fn limits_and_waits_are_told() {
        let failure = Failure {
            limit: Some(RateLimit {
                policy: "sign-in",
                quota: 10,
                window: Duration::from_secs(900),
                remaining: 0,
                reset: Duration::from_millis(1500),
            }),
            ..Failure::new(Code::RateLimited, "Wait.")
        };
        let response = render(&failure);
        let header = |name| response.header(name).unwrap();
        assert_eq!(header("RateLimit-Policy"), r#""sign-in";q=10;w=900"#);
        assert_eq!(header("RateLimit"), r#""sign-in";r=0;t=2"#);
        assert_eq!(header("Retry-After"), "2");
        for code in Code::ALL {
            let response = render(&Failure::new(code, ""));
            let waits = response.headers().contains_key(RETRY_AFTER);
            assert_eq!(waits, matches!(code.status(), 429 | 503), "{code:?}");
        }
    }

    #[test]
    fn errors_of_the_framework_have_codes() {
        let code = |error: Error| from_error(error).code;
        let failure = Failure::new(Code::AlreadyVoted, "You have voted.");
        assert_eq!(code(failure.into()), Code::AlreadyVoted);
        assert_eq!(code(poem::error::NotFoundError.into()), Code::NotFound);
        assert_eq!(
            code(Error::from_status(StatusCode::IM_A_TEAPOT)),
            Code::MalformedRequest
        );
        assert_eq!(
            code(Error::from_status(StatusCode::BAD_GATEWAY)),
            Code::Internal
        );
        let payload = poem_openapi::error::ParseRequestPayloadError {
            reason: "hunter2".into(),
        };
        let failure = from_error(payload.into());
        assert_eq!(failure.code, Code::MalformedRequest);
        assert!(!failure.detail.contains("hunter2"));
    }

    #[test]
    fn only_faults_of_the_server_carry_a_cause() {
        let cause = || std::io::Error::other("disk on fire");
        assert!(
            from_error(poem::error::BadRequest(cause()))
                .source
                .is_none()
        );
        let failure = from_error(poem::error::InternalServerError(cause()));
        assert!(failure.source.is_some());
        assert!(!failure.detail.contains("disk"));
    }
}
