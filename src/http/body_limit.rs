//! Bounds on what a client may send: bytes and time, whatever its headers claim.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::header::CONTENT_LENGTH;
use hyper::body::{Body, Frame, SizeHint};
use poem::Request;
use tokio::time::{Instant, Sleep};

use super::BoxBody;
use crate::failure::{Code, Failure};

/// How much more than allowed is read and thrown away, in bytes: a client that still sends would
/// otherwise see a broken connection instead of the answer.
const DRAINED: u64 = 256 * 1024;

/// Why a body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    #[error("the body is larger than {0} bytes")]
    TooLarge(u64),
    #[error("the body did not arrive in time")]
    TooSlow,
}

impl From<BodyFault> for Failure {
    fn from(fault: BodyFault) -> Failure {
        match fault {
            BodyFault::TooLarge(limit) => Failure::new(
                Code::PayloadTooLarge,
                format!("This call takes a body of at most {limit} bytes."),
            ),
            BodyFault::TooSlow => Failure::new(
                Code::RequestTimeout,
                "The request body did not arrive in time.",
            ),
        }
    }
}

/// What went wrong with a body, kept apart because readers turn errors into words of their own.
#[derive(Debug, Clone, Default)]
pub(super) struct Verdict(Option<Arc<OnceLock<BodyFault>>>);

impl Verdict {
    pub(super) fn fault(&self) -> Option<BodyFault> {
        self.0.as_ref().and_then(|fault| fault.get().copied())
    }
}

/// Puts the bounds around the request's body. Reading past them fails, and the verdict says why.
///
/// # Errors
///
/// A body that says itself that it is far too large is not read at all.
pub(super) fn bound(
    request: &mut Request,
    limit: u64,
    timeout: Duration,
) -> Result<Verdict, BodyFault> {
    let body = BoxBody::from(request.take_body());
    if body.is_end_stream() {
        request.set_body(poem::Body::from(body));
        return Ok(Verdict::default());
    }
    let claimed = request.headers().get(CONTENT_LENGTH);
    let claimed = claimed.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if claimed.is_some_and(|length| length > limit.saturating_add(DRAINED)) {
        return Err(BodyFault::TooLarge(limit));
    }
    let verdict = Arc::new(OnceLock::new());
    request.set_body(poem::Body::from(BoxBody::new(Bounded {
        inner: body,
        limit,
        read: 0,
        deadline: Deadline::At(Instant::now() + timeout),
        verdict: verdict.clone(),
    })));
    Ok(Verdict(Some(verdict)))
}

struct Bounded {
    inner: BoxBody,
    limit: u64,
    read: u64,
    deadline: Deadline,
    verdict: Arc<OnceLock<BodyFault>>,
}

/// Most bodies are there when they are read, and need no timer.
enum Deadline {
    At(Instant),
    Running(Pin<Box<Sleep>>),
}

impl Deadline {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Deadline::At(instant) = self {
            *self = Deadline::Running(Box::pin(tokio::time::sleep_until(*instant)));
        }
        match self {
            Deadline::At(_) => Poll::Pending,
            Deadline::Running(sleep) => sleep.as_mut().poll(context),
        }
    }
}

impl Bounded {
    fn fail(&self, fault: BodyFault) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let fault = *self.verdict.get_or_init(|| fault);
        Poll::Ready(Some(Err(io::Error::other(fault))))
    }
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        loop {
            let too_large = this.read > this.limit;
            match Pin::new(&mut this.inner).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    let size = frame.data_ref().map_or(0, Buf::remaining);
                    this.read = this.read.saturating_add(size as u64);
                    if this.read <= this.limit {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    if this.read - this.limit > DRAINED {
                        return this.fail(BodyFault::TooLarge(this.limit));
                    }
                }
                Poll::Ready(_) if too_large => return this.fail(BodyFault::TooLarge(this.limit)),
                Poll::Ready(end) => return Poll::Ready(end),
                Poll::Pending if this.deadline.poll(context).is_ready() => {
                    return this.fail(if too_large {
                        BodyFault::TooLarge(this.limit)
                    } else {
                        BodyFault::TooSlow
                    });
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read <= self.limit && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    fn chunked(chunks: usize, size: usize) -> Request {
        let chunk = Bytes::from(vec![b'x'; size]);
        let chunks = stream::iter((0..chunks).map(move |_| Ok::<_, io::Error>(chunk.clone())));
        Request::builder().body(poem::Body::from_bytes_stream(chunks))
    }

    #[tokio::test]
    async fn a_body_up_to_the_limit_passes() {
        let mut request = chunked(4, 25);
        let verdict = bound(&mut request, 100, Duration::from_secs(5)).unwrap();
        assert_eq!(request.into_body().into_vec().await.unwrap().len(), 100);
        assert_eq!(verdict.fault(), None);
    }

    #[tokio::test]
    async fn one_byte_more_does_not_though_no_length_was_claimed() {
        let mut request = chunked(1, 101);
        let verdict = bound(&mut request, 100, Duration::from_secs(5)).unwrap();
        request.into_body().into_vec().await.unwrap_err();
        assert_eq!(verdict.fault(), Some(BodyFault::TooLarge(100)));
    }

    #[tokio::test]
    async fn an_endless_body_is_not_drained_for_ever() {
        let endless = stream::repeat(Ok::<_, Infallible>("x".repeat(4096)));
        let endless = futures_util::TryStreamExt::map_err(endless, |never| match never {});
        let body = poem::Body::from_bytes_stream::<_, _, io::Error>(endless);
        let mut request = Request::builder().body(body);
        let verdict = bound(&mut request, 100, Duration::from_secs(5)).unwrap();
        request.into_body().into_vec().await.unwrap_err();
        assert_eq!(verdict.fault(), Some(BodyFault::TooLarge(100)));
    }

    #[tokio::test]
    async fn a_body_that_stalls_runs_out_of_time() {
        let stalled = stream::pending::<Result<Bytes, io::Error>>();
        let mut request = Request::builder().body(poem::Body::from_bytes_stream(stalled));
        let verdict = bound(&mut request, 100, Duration::from_millis(20)).unwrap();
        request.into_body().into_vec().await.unwrap_err();
        assert_eq!(verdict.fault(), Some(BodyFault::TooSlow));
    }

    #[tokio::test]
    async fn an_absurd_claim_is_refused_at_once() {
        let mut request = chunked(1, 5);
        let length = http::HeaderValue::from_static("99999999999");
        request.headers_mut().insert(CONTENT_LENGTH, length);
        let refused = bound(&mut request, 100, Duration::from_secs(5));
        assert_eq!(refused.unwrap_err(), BodyFault::TooLarge(100));
    }
}
