//! Answers that are rendered once and sent any number of times.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use crate::failure::Failure;

/// From how many bytes on an answer is compressed. A smaller one fits into one packet as it is.
pub const MIN_COMPRESSED: usize = 1024;

/// The entity tag (RFC 9110, section 8.8.3) of a body: `"<revision>.<hash of the body>"`.
pub fn entity_tag(revision: i32, body: &[u8]) -> String {
    let hash = Sha256::digest(body);
    format!("\"{revision}.{}\"", URL_SAFE_NO_PAD.encode(&hash[..12]))
}

/// A body that is rendered once, to be sent any number of times. JSON can also be put into other
/// JSON as it is: serialise a struct that has this as a field.
#[derive(Debug, Clone)]
pub struct Rendered {
    pub body: Bytes,
    pub etag: Option<String>,
    /// The body, if it is JSON.
    json: Option<Json>,
    /// The compressed bodies, if many clients are sent this.
    pub(crate) compressed: Option<Arc<Compressed>>,
}

#[derive(Debug, Clone)]
struct Json(Arc<Box<RawValue>>);

impl AsRef<[u8]> for Json {
    fn as_ref(&self) -> &[u8] {
        self.0.get().as_bytes()
    }
}

impl Serialize for Rendered {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.json {
            Some(json) => json.0.serialize(serializer),
            None => Err(S::Error::custom("a picture is not JSON")),
        }
    }
}

impl Rendered {
    /// JSON without an entity tag.
    pub fn plain(value: &impl Serialize) -> Result<Rendered, Failure> {
        let json = to_raw_value(value).map_err(Failure::internal)?;
        let json = Json(Arc::new(json));
        Ok(Rendered {
            body: Bytes::from_owner(json.clone()),
            etag: None,
            json: Some(json),
            compressed: None,
        })
    }

    /// JSON with the entity tag of `revision`.
    pub fn tagged(value: &impl Serialize, revision: i32) -> Result<Rendered, Failure> {
        let rendered = Rendered::plain(value)?;
        let etag = entity_tag(revision, &rendered.body);
        Ok(rendered.with_etag(etag))
    }

    /// A picture in SVG, with its entity tag.
    pub fn picture(svg: String, etag: String) -> Rendered {
        Rendered {
            body: svg.into(),
            etag: Some(etag),
            json: None,
            compressed: None,
        }
    }

    pub fn with_etag(self, etag: String) -> Rendered {
        let etag = Some(etag);
        Rendered { etag, ..self }
    }

    /// The same for many clients: the compressed bodies are kept.
    pub fn for_many(self) -> Rendered {
        let compressed = (self.body.len() >= MIN_COMPRESSED).then(Arc::default);
        Rendered { compressed, ..self }
    }
}

/// A content coding, the preferred one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Brotli,
    Gzip,
}

impl Coding {
    /// Its name in `Accept-Encoding` and `Content-Encoding`.
    pub const fn name(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Gzip => "gzip",
        }
    }
}

/// The compressed forms of a body that many clients are sent. Each is made when the first client
/// asks for it.
#[derive(Debug, Default)]
pub struct Compressed([OnceCell<Bytes>; 2]);

impl Compressed {
    /// The form in this content coding, made by one of those who want it.
    pub async fn get<E>(
        &self,
        coding: Coding,
        make: impl Future<Output = Result<Bytes, E>>,
    ) -> Result<Bytes, E> {
        self.0[coding as usize]
            .get_or_try_init(|| make)
            .await
            .cloned()
    }
}
