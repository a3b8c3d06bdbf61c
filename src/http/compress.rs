//! Compression of answers, for clients that accept it.

use std::io::{self, Cursor};
use std::sync::Arc;
use std::time::Duration;

use async_compression::Level;
use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use poem::{Body, ResponseParts};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use super::BoxBody;
use crate::background;
use crate::fair::FairSemaphore;
use crate::network::Network;
use crate::rendered::{Coding, Compressed, MIN_COMPRESSED};

/// Above this many bytes compressing takes so long that other requests would notice: it is done by
/// threads of its own.
const SHORT: usize = 32 * 1024;

/// How long a large answer waits for such a thread; then it is sent as it is.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many large answers to one network may wait for a thread.
const QUEUE: usize = 64;

/// Compresses large answers, a few at once, and for all networks in turn.
#[derive(Debug)]
pub(super) struct Compressor(Arc<FairSemaphore>);

impl Default for Compressor {
    fn default() -> Compressor {
        Compressor(FairSemaphore::new(background::spare_cores(), QUEUE))
    }
}

impl Compressor {
    /// None where it would take too long.
    async fn compress(&self, network: Network, coding: Coding, plain: Bytes) -> Option<Bytes> {
        if plain.len() <= SHORT {
            return compressed_form(coding, plain).ok();
        }
        let _turn = self.0.acquire(network, PATIENCE).await?;
        in_background(coding, plain).await.ok()
    }
}

/// Compresses `body` where it pays, and tells whether the answer depends on `Accept-Encoding`.
///
/// Only bodies of known length are touched, hence no stream. A strong `ETag` stays as it is: a
/// weak one could not be used in `If-Match`, and what is served in byte ranges, for which the
/// difference would matter, has a weak one.
pub(super) async fn compress(
    head: &mut ResponseParts,
    body: BoxBody,
    coding: Option<Coding>,
    by: (&Compressor, Network),
) -> (BoxBody, bool) {
    // Caches replace what they stored by the headers of a 304.
    if head.status == StatusCode::NOT_MODIFIED {
        return (body, true);
    }
    let Some(size) = body.size_hint().exact() else {
        return (body, false);
    };
    if !pays(size) || !may_change(&head.headers) {
        return (body, false);
    }
    match coding {
        // In a box, so that the future of every request stays small.
        Some(coding) => Box::pin(compressed(head, body, coding, by)).await,
        None => (body, true),
    }
}

async fn compressed(
    head: &mut ResponseParts,
    body: BoxBody,
    coding: Coding,
    (compressor, network): (&Compressor, Network),
) -> (BoxBody, bool) {
    let plain = match body.collect().await {
        Ok(plain) => plain.to_bytes(),
        // If the body ends with an error, so must the answer.
        Err(error) => {
            let broken = futures_util::stream::iter([Err::<Bytes, _>(error)]);
            return (Body::from_bytes_stream(broken).into(), false);
        }
    };
    let small = async {
        let small = compressor.compress(network, coding, plain.clone()).await;
        small.ok_or(())
    };
    let small = match head.extensions.remove::<Arc<Compressed>>() {
        // All who share it wait no longer than one of them.
        Some(forms) => timeout(PATIENCE, forms.get(coding, small)).await,
        None => Ok(small.await),
    };
    let Ok(Ok(small)) = small else {
        return (Body::from(plain).into(), true);
    };
    head.headers.remove(CONTENT_LENGTH);
    let name = HeaderValue::from_static(coding.name());
    head.headers.insert(CONTENT_ENCODING, name);
    (Body::from(small).into(), true)
}

/// Whether a body of `size` bytes is worth it.
pub(super) fn pays(size: u64) -> bool {
    size >= MIN_COMPRESSED as u64
}

/// Compresses all of `plain` by a thread of low priority.
pub(super) async fn in_background(coding: Coding, plain: Bytes) -> io::Result<Bytes> {
    let small = background::run(move || compressed_form(coding, plain)).await;
    small.unwrap_or_else(|panic| Err(io::Error::other(panic)))
}

fn compressed_form(coding: Coding, plain: Bytes) -> io::Result<Bytes> {
    let mut small = Vec::with_capacity(plain.len() / 2);
    // Reading from memory is always ready.
    let read = encoder(coding, plain)
        .read_to_end(&mut small)
        .now_or_never();
    read.unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))?;
    Ok(small.into())
}

fn may_change(headers: &HeaderMap) -> bool {
    let says = |name, word: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value.contains(word))
    };
    !headers.contains_key(CONTENT_ENCODING)
        && !headers.contains_key(CONTENT_RANGE)
        && !says(CACHE_CONTROL, "no-transform")
        && headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(is_text)
}

/// Whether a media type is a form of text; images, fonts and archives are compressed already.
fn is_text(media: &str) -> bool {
    let media = media.split(';').next().unwrap_or(media).trim();
    if media == "text/event-stream" {
        return false;
    }
    media.starts_with("text/")
        || media.ends_with("+json")
        || media.ends_with("+xml")
        || matches!(
            media,
            "application/json"
                | "application/javascript"
                | "application/yaml"
                | "application/xml"
                | "application/wasm"
        )
}

fn encoder(coding: Coding, plain: Bytes) -> Box<dyn AsyncRead + Send + Unpin> {
    let plain = Cursor::new(plain);
    match coding {
        Coding::Brotli => Box::new(BrotliEncoder::with_quality(plain, Level::Precise(4))),
        Coding::Gzip => Box::new(GzipEncoder::with_quality(plain, Level::Precise(5))),
    }
}

#[cfg(test)]
mod tests {
    use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder};
    use poem::Response;

    use super::*;

    async fn compressed(
        response: Response,
        coding: Option<Coding>,
    ) -> (Option<String>, Vec<u8>, bool) {
        let (mut head, body) = response.into_parts();
        let (compressor, network) = (Compressor::default(), Network::of(None));
        let by = (&compressor, network);
        let (body, varies) = compress(&mut head, body.into(), coding, by).await;
        let encoding = head.headers.get(CONTENT_ENCODING);
        (
            encoding.map(|value| value.to_str().unwrap().to_owned()),
            Body::from(body).into_vec().await.unwrap(),
            varies,
        )
    }

    fn json(size: usize) -> Response {
        Response::builder()
            .content_type("application/json")
            .body("x".repeat(size))
    }

    #[tokio::test]
    async fn every_coding_comes_back_whole_small_or_large() {
        for size in [2_000, 600_000] {
            for coding in [Coding::Brotli, Coding::Gzip] {
                let (encoding, bytes, varies) = compressed(json(size), Some(coding)).await;
                assert_eq!(encoding.as_deref(), Some(coding.name()));
                assert!(varies);
                assert!(bytes.len() < size / 2);
                let mut plain = Vec::new();
                match coding {
                    Coding::Brotli => BrotliDecoder::new(&bytes[..]).read_to_end(&mut plain).await,
                    Coding::Gzip => GzipDecoder::new(&bytes[..]).read_to_end(&mut plain).await,
                }
                .unwrap();
                assert_eq!(plain.len(), size);
            }
        }
    }

    #[tokio::test]
    async fn what_many_are_sent_is_compressed_once() {
        let forms = Arc::new(Compressed::default());
        let forged = async { Ok::<_, io::Error>(Bytes::from_static(b"as kept")) };
        forms.get(Coding::Brotli, forged).await.unwrap();
        let answer = |coding| {
            let mut response = json(2000);
            response.extensions_mut().insert(forms.clone());
            compressed(response, Some(coding))
        };
        assert_eq!(answer(Coding::Brotli).await.1, b"as kept");
        let gzip = answer(Coding::Gzip).await.1;
        assert_eq!(gzip, compressed(json(2000), Some(Coding::Gzip)).await.1);
        let kept = forms.get(Coding::Gzip, std::future::ready(Err(())));
        assert_eq!(kept.await.unwrap(), gzip);
    }

    #[tokio::test]
    async fn what_does_not_pay_stays_plain() {
        let gzip = Some(Coding::Gzip);
        assert_eq!(compressed(json(1023), gzip).await.0, None);
        assert_eq!(
            compressed(json(2000), None).await,
            (None, vec![b'x'; 2000], true)
        );
        let image = json(2000).set_content_type("image/png");
        assert_eq!(compressed(image, gzip).await.0, None);
        let mut part = json(2000);
        part.headers_mut()
            .insert(CONTENT_RANGE, HeaderValue::from_static("bytes 0-1999/9000"));
        assert_eq!(compressed(part, gzip).await.0, None);
        let mut done = json(2000);
        done.headers_mut()
            .insert(CONTENT_ENCODING, HeaderValue::from_static("br"));
        assert_eq!(compressed(done, gzip).await.0.as_deref(), Some("br"));
    }

    #[tokio::test]
    async fn streams_stay_plain() {
        let chunks = futures_util::stream::iter([Ok::<_, io::Error>("x".repeat(5000))]);
        let stream = Response::builder()
            .content_type("application/json")
            .body(Body::from_bytes_stream(chunks));
        let (encoding, bytes, varies) = compressed(stream, Some(Coding::Gzip)).await;
        assert_eq!((encoding, bytes.len(), varies), (None, 5000, false));
    }
}
