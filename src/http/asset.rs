//! Files that do not change while the program runs: compressed once, and revalidated by clients.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use poem::endpoint::make;
use poem::{Endpoint, Request, Response};

use super::compress;
use super::conditional::names;
use crate::failure::Failure;
use crate::rendered::{Coding, Compressed, entity_tag};

/// A fixed body with its headers. The compressed forms are made when they are first asked for.
pub struct Asset {
    etag: String,
    headers: HeaderMap,
    plain: Bytes,
    compressed: Compressed,
}

impl Asset {
    pub fn new(media: &'static str, text: impl Into<Bytes>) -> Asset {
        let plain = text.into();
        Asset {
            // There is no revision: another version of the program has another body.
            etag: entity_tag(0, &plain),
            headers: HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media))]),
            plain,
            compressed: Compressed::default(),
        }
    }

    /// The same with a further header.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Asset {
        self.headers.insert(name, value);
        self
    }

    /// The answer to a GET with these headers: 304 where the client has the body already.
    pub async fn answer(
        &self,
        request: &HeaderMap,
        compression: bool,
    ) -> Result<Response, Failure> {
        let known = request
            .get(IF_NONE_MATCH)
            .and_then(|value| value.to_str().ok());
        let mut response = if known.is_some_and(|known| names(known, &self.etag)) {
            let mut response = Response::from(StatusCode::NOT_MODIFIED);
            *response.headers_mut() = self.headers.clone();
            response.headers_mut().remove(CONTENT_TYPE);
            response
        } else {
            let coding = Coding::preferred(request)
                .filter(|_| compression && compress::pays(self.plain.len() as u64));
            let mut response = Response::from(self.body(coding).await?);
            let headers = response.headers_mut();
            *headers = self.headers.clone();
            if let Some(coding) = coding {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
                // For uncompressed answers the stack adds this header.
                headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
            }
            response
        };
        let etag = HeaderValue::try_from(&self.etag).map_err(Failure::internal)?;
        response.headers_mut().insert(ETAG, etag);
        Ok(response)
    }

    /// An endpoint that answers with this.
    pub fn endpoint(self, compression: bool) -> impl Endpoint {
        let asset = Arc::new(self);
        make(move |request: Request| {
            let asset = asset.clone();
            async move { asset.answer(request.headers(), compression).await }
        })
    }

    async fn body(&self, coding: Option<Coding>) -> Result<Bytes, Failure> {
        let Some(coding) = coding else {
            return Ok(self.plain.clone());
        };
        let plain = self.plain.clone();
        // Compressing a large file takes long enough to delay other requests.
        let small = async move {
            let small = compress::in_background(coding, plain).await;
            small.map_err(Failure::internal)
        };
        self.compressed.get(coding, small).await
    }
}
