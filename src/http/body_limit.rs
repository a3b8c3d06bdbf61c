//! Request bodies are read before anything is reserved for the request, within bounds on bytes and
//! time, whatever the headers claim.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame};

use super::BoxBody;
use super::usage::{Held, WAITING_BODY};
use crate::failure::{Code, Failure};

/// How much more than allowed is read and thrown away, in bytes: a client that still sends would
/// otherwise see a broken connection instead of the answer.
const DRAINED: usize = 256 * 1024;

/// Why a body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the client's network has too many bodies under way")]
    TooMany,
    #[error("the connection broke within the body")]
    Broken,
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
            BodyFault::TooMany => Failure::overloaded(
                "Too many request bodies of your network have begun to arrive and have not ended.",
            ),
            BodyFault::Broken => {
                Failure::new(Code::MalformedRequest, "The request body is not complete.")
            }
        }
    }
}

/// Refuses a body whose `Content-Length` is far larger than `limit`.
pub(super) fn check_claim(headers: &HeaderMap, limit: usize) -> Result<(), BodyFault> {
    let claimed = headers.get(CONTENT_LENGTH);
    let claimed = claimed.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    match claimed {
        Some(length) if length > limit.saturating_add(DRAINED) => Err(BodyFault::TooLarge(limit)),
        _ => Ok(()),
    }
}

/// A request's body, as far as it has arrived.
pub(super) enum Received {
    /// The whole body has arrived, as is nearly always the case.
    Whole(Bytes),
    Begun(Begun),
}

/// A body that has to be waited for.
pub(super) struct Begun {
    first: Option<io::Result<Frame<Bytes>>>,
    rest: BoxBody,
}

/// Takes what is there of a body that may have `limit` bytes. Waits for nothing.
pub(super) fn look(mut body: BoxBody, limit: usize) -> Received {
    let first = match body.frame().now_or_never() {
        Some(None) => return Received::Whole(Bytes::new()),
        Some(Some(Ok(frame))) if body.is_end_stream() => match frame.into_data() {
            Ok(bytes) if bytes.len() <= limit => return Received::Whole(bytes),
            Ok(bytes) => Some(Ok(Frame::data(bytes))),
            Err(other) => Some(Ok(other)),
        },
        first => first.flatten(),
    };
    Received::Begun(Begun { first, rest: body })
}

/// Reads a body to its end: at most `limit` bytes, within `timeout`. `hold` is asked for room for
/// it.
pub(super) async fn receive(
    body: Begun,
    limit: usize,
    timeout: Duration,
    hold: impl Fn(usize) -> Option<Held>,
) -> Result<Bytes, BodyFault> {
    let Begun { first, mut rest } = body;
    let mut held = hold(WAITING_BODY).ok_or(BodyFault::TooMany)?;
    let received = tokio::time::timeout(timeout, async {
        let (mut read, mut bytes) = (0, BytesMut::new());
        let mut piece = match first {
            Some(first) => Some(first),
            None => rest.frame().await,
        };
        while let Some(frame) = piece {
            let frame = frame.map_err(|_| BodyFault::Broken)?;
            let part = frame.into_data().unwrap_or_default();
            read += part.len();
            if read > limit.saturating_add(DRAINED) {
                break;
            }
            if read <= limit {
                if !held.grow(part.len()) {
                    return Err(BodyFault::TooMany);
                }
                bytes.extend_from_slice(&part);
            }
            piece = rest.frame().await;
        }
        match read > limit {
            true => Err(BodyFault::TooLarge(limit)),
            false => Ok(bytes.freeze()),
        }
    });
    received.await.unwrap_or(Err(BodyFault::TooSlow))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use futures_util::stream;

    use super::*;
    use crate::config::{self, Sources};
    use crate::http::usage::{Client, Resource, Usage};
    use crate::network::Network;

    const LONG: Duration = Duration::from_secs(5);

    fn client() -> Arc<Client> {
        let mut http = config::load(&Sources::default()).unwrap().config.http;
        http.max_received_per_address = 1 << 20;
        Usage::new(&http).client(Network::of(None))
    }

    fn chunked(chunks: usize, size: usize) -> BoxBody {
        let chunk = Bytes::from(vec![b'x'; size]);
        let chunks = stream::iter((0..chunks).map(move |_| Ok::<_, io::Error>(chunk.clone())));
        poem::Body::from_bytes_stream(chunks).into()
    }

    async fn read(body: BoxBody, timeout: Duration) -> Result<usize, BodyFault> {
        let client = client();
        let hold = |amount| client.take(Resource::Received, amount);
        let received = match look(body, 100) {
            Received::Whole(bytes) => Ok(bytes),
            Received::Begun(begun) => receive(begun, 100, timeout, hold).await,
        };
        received.map(|bytes| bytes.len())
    }

    #[tokio::test]
    async fn a_body_up_to_the_limit_passes() {
        assert_eq!(read(chunked(4, 25), LONG).await, Ok(100));
        assert_eq!(read(chunked(1, 100), LONG).await, Ok(100));
        assert_eq!(read(chunked(0, 1), LONG).await, Ok(0));
    }

    #[tokio::test]
    async fn one_byte_more_does_not_though_no_length_was_claimed() {
        let fault = Err(BodyFault::TooLarge(100));
        assert_eq!(read(chunked(1, 101), LONG).await, fault);
        assert_eq!(read(chunked(101, 1), LONG).await, fault);
    }

    #[tokio::test]
    async fn an_endless_body_is_not_drained_for_ever() {
        let endless = stream::repeat(Ok::<_, Infallible>("x".repeat(4096)));
        let endless = futures_util::TryStreamExt::map_err(endless, |never| match never {});
        let body = poem::Body::from_bytes_stream::<_, _, io::Error>(endless);
        let fault = Err(BodyFault::TooLarge(100));
        assert_eq!(read(body.into(), LONG).await, fault);
    }

    #[tokio::test]
    async fn a_body_that_stalls_runs_out_of_time() {
        let stalled = stream::pending::<Result<Bytes, io::Error>>();
        let body = poem::Body::from_bytes_stream(stalled).into();
        let fault = Err(BodyFault::TooSlow);
        assert_eq!(read(body, Duration::from_millis(20)).await, fault);
    }

    #[tokio::test]
    async fn a_broken_body_is_the_clients_fault() {
        let broken = stream::iter([Ok(Bytes::from_static(b"{")), Err(io::Error::other("gone"))]);
        let body = poem::Body::from_bytes_stream(broken).into();
        assert_eq!(read(body, LONG).await, Err(BodyFault::Broken));
    }

    #[tokio::test]
    async fn what_has_not_arrived_counts_for_its_network() {
        let client = client();
        let hold = |amount| client.take(Resource::Received, amount);
        let waiting: Vec<_> = (0..255)
            .map(|_| {
                let first = stream::iter([Ok::<_, io::Error>(Bytes::from_static(b"{"))]);
                let stalled = futures_util::StreamExt::chain(first, stream::pending());
                let body = poem::Body::from_bytes_stream(stalled).into();
                let Received::Begun(begun) = look(body, 100) else {
                    panic!("it never ends");
                };
                let mut waiting = Box::pin(receive(begun, 100, LONG, hold));
                assert!(waiting.as_mut().now_or_never().is_none());
                waiting
            })
            .collect();
        let one_more = async || match look(chunked(2, 1), 100) {
            Received::Begun(begun) => receive(begun, 100, LONG, hold).await,
            Received::Whole(_) => panic!("it comes in two pieces"),
        };
        assert_eq!(one_more().await, Err(BodyFault::TooMany));
        drop(waiting);
        assert!(one_more().await.is_ok());
    }

    #[test]
    fn an_absurd_claim_is_refused_at_once() {
        let mut headers = HeaderMap::new();
        let length = http::HeaderValue::from_static("99999999999");
        headers.insert(CONTENT_LENGTH, length);
        assert_eq!(check_claim(&headers, 100), Err(BodyFault::TooLarge(100)));
        assert_eq!(check_claim(&HeaderMap::new(), 100), Ok(()));
    }
}
