//! What stays as it is while the program runs: sent once to each client, compressed once for all.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use poem::Response;

use super::compress::{self, Forms};
use super::conditional::{entity_tag, names};
use super::negotiate::Coding;
use crate::failure::Failure;

/// A fixed body with its headers. The compressed forms are made when they are first asked for.
pub struct Asset {
    etag: String,
    headers: HeaderMap,
    plain: Bytes,
    forms: Forms,
}

impl Asset {
    pub fn new(media: &'static str, text: impl Into<Bytes>) -> Asset {
        let plain = text.into();
        Asset {
            // Whoever runs another version has another body, whatever its revision.
            etag: entity_tag(0, &plain),
            headers: HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media))]),
            plain,
            forms: Forms::default(),
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
                // Of what leaves here plain, the stack around it says so.
                headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
            }
            response
        };
        let etag = HeaderValue::try_from(&self.etag).map_err(Failure::internal)?;
        response.headers_mut().insert(ETAG, etag);
        Ok(response)
    }

    async fn body(&self, coding: Option<Coding>) -> Result<Bytes, Failure> {
        let Some(coding) = coding else {
            return Ok(self.plain.clone());
        };
        let plain = self.plain.clone();
        // Some are large enough to keep others waiting.
        let small = async move {
            let small = compress::in_background(coding, plain).await;
            small.map_err(Failure::internal)
        };
        self.forms.form(coding, small).await
    }
}
