//! Unsent bytes: how much of the answers clients have not read yet.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::BoxBody;
use super::usage::{Client, Held, Resource};

/// How much is handed to the connection at once. Less than this in `http.send_timeout` is taken
/// for nothing.
pub(super) const PIECE: usize = 16 * 1024;

/// The unsent answers of a connection. Shared with the task that watches the connection.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Answers of which something is left to send.
    waiting: AtomicUsize,
    /// How many pieces have been sent.
    sent: AtomicU64,
}

impl Outbox {
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

/// A body whose bytes count as unsent until the connection has written them.
pub(super) struct Unsent {
    body: BoxBody,
    /// What the body gave and was not handed on yet.
    rest: Bytes,
    held: Held,
    outbox: Arc<Outbox>,
}

impl Unsent {
    /// None where the client's network has too much to take already. The bytes of a body whose
    /// length is not known are counted as they come.
    pub(super) fn new(body: BoxBody, client: &Arc<Client>, outbox: &Arc<Outbox>) -> Option<Self> {
        let length = body.size_hint().exact().unwrap_or(0);
        let length = usize::try_from(length).ok()?;
        let held = client.take(Resource::Unsent, length)?;
        outbox.waiting.fetch_add(1, Ordering::Relaxed);
        Some(Unsent {
            body,
            rest: Bytes::new(),
            held,
            outbox: outbox.clone(),
        })
    }

    fn piece(&mut self) -> Bytes {
        let bytes = self.rest.split_to(self.rest.len().min(PIECE));
        self.outbox.waiting.fetch_add(1, Ordering::Relaxed);
        Bytes::from_owner(Piece {
            _held: self.held.split(bytes.len()),
            bytes,
            outbox: self.outbox.clone(),
        })
    }
}

impl Body for Unsent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if this.rest.is_empty() {
            let known = this.body.size_hint().exact().is_some();
            let frame = match Pin::new(&mut this.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => frame,
                other => return other,
            };
            match frame.into_data() {
                Ok(bytes) => {
                    if !known {
                        this.held.grow_anyway(bytes.len());
                    }
                    this.rest = bytes;
                }
                Err(other) => return Poll::Ready(Some(Ok(other))),
            }
        }
        Poll::Ready(Some(Ok(Frame::data(this.piece()))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower().saturating_add(rest));
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.outbox.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes that the connection has not written yet.
struct Piece {
    bytes: Bytes,
    _held: Held,
    outbox: Arc<Outbox>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.outbox.waiting.fetch_sub(1, Ordering::Relaxed);
        self.outbox.sent.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::config::{self, Sources};
    use crate::http::usage::Usage;
    use crate::network::Network;

    fn client(most: u64) -> Arc<Client> {
        let mut http = config::load(&Sources::default()).unwrap().config.http;
        http.max_unsent_per_address = most;
        Usage::new(&http).client(Network::of(None))
    }

    fn body(bytes: Vec<u8>) -> BoxBody {
        poem::Body::from(bytes).into()
    }

    #[tokio::test]
    async fn bytes_count_until_they_are_written() {
        let (client, outbox) = (client(50_000), Arc::<Outbox>::default());
        let bytes: Vec<u8> = (0..40_000_u32).map(|number| number as u8).collect();
        let mut unsent = Unsent::new(body(bytes.clone()), &client, &outbox).unwrap();
        assert!(Unsent::new(body(vec![0; 10_001]), &client, &outbox).is_none());
        let mut pieces = Vec::new();
        while let Some(frame) = unsent.frame().await {
            pieces.push(frame.unwrap().into_data().unwrap());
        }
        assert_eq!(pieces.concat(), bytes);
        assert_eq!(pieces.len(), 3);
        drop(unsent);
        // The connection still has the pieces.
        assert!(Unsent::new(body(vec![0; 10_001]), &client, &outbox).is_none());
        assert!(outbox.is_waiting());
        drop(pieces);
        assert!(!outbox.is_waiting());
        assert_eq!(outbox.sent(), 3);
        assert!(Unsent::new(body(vec![0; 50_000]), &client, &outbox).is_some());
    }

    #[tokio::test]
    async fn a_stream_counts_as_it_comes() {
        let (client, outbox) = (client(50_000), Arc::<Outbox>::default());
        let chunks = (0..2).map(|_| Ok::<_, io::Error>(Bytes::from(vec![b'x'; 20_000])));
        let stream = poem::Body::from_bytes_stream(futures_util::stream::iter(chunks));
        let mut unsent = Unsent::new(stream.into(), &client, &outbox).unwrap();
        let first = unsent.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first.len(), PIECE);
        assert!(client.take(Resource::Unsent, 30_001).is_none());
        let rest = unsent.collect().await.unwrap().to_bytes();
        assert_eq!(first.len() + rest.len(), 40_000);
        drop(first);
        assert!(client.take(Resource::Unsent, 50_000).is_some());
    }
}
