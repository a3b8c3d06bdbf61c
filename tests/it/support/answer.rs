//! A response, and the assertions that tests make about it.

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder};
use reqwest::header::{CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;

use super::contract;

/// A response with its whole body.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: bytes::Bytes,
    /// Decompressed; null where the body is not JSON.
    pub json: Value,
    request: String,
}

impl Answer {
    /// Reads a response, and checks it against the OpenAPI document.
    pub async fn read(
        (method, path): (Method, String),
        response: reqwest::Response,
    ) -> reqwest::Result<Answer> {
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await?;
        let coding = headers.get(CONTENT_ENCODING).cloned();
        let plain = plain(&bytes, coding.as_ref().map(HeaderValue::as_bytes)).await;
        let mut answer = Answer::unheld((&method, &path), status, headers, bytes);
        answer.json = serde_json::from_slice(&plain).unwrap_or(Value::Null);
        contract::hold(&method, &path, &answer);
        Ok(answer)
    }

    /// A response that was read already, checked against the OpenAPI document.
    #[track_caller]
    pub fn of(
        (method, path): (Method, &str),
        status: StatusCode,
        headers: HeaderMap,
        bytes: bytes::Bytes,
    ) -> Answer {
        let answer = Answer::unheld((&method, path), status, headers, bytes);
        contract::hold(&method, path, &answer);
        answer
    }

    fn unheld(
        (method, path): (&Method, &str),
        status: StatusCode,
        headers: HeaderMap,
        bytes: bytes::Bytes,
    ) -> Answer {
        Answer {
            status,
            headers,
            json: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            bytes,
            request: format!("{method} {path}"),
        }
    }

    /// Parses a response from a socket, and checks it against the OpenAPI document.
    #[track_caller]
    pub fn parse(method: Method, path: &str, raw: &[u8]) -> Answer {
        let mut answer = Answer::of_bytes(raw);
        answer.request = format!("{method} {path}");
        contract::hold(&method, path, &answer);
        answer
    }

    /// Parses a response whose body extends to the end of the bytes.
    pub fn of_bytes(raw: &[u8]) -> Answer {
        let end = raw
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .expect("a header");
        let head = std::str::from_utf8(&raw[..end]).expect("a readable header");
        let mut lines = head.lines();
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .expect("a status");
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| {
                (
                    name.parse().expect("a name"),
                    value.parse().expect("a value"),
                )
            });
        let bytes = bytes::Bytes::copy_from_slice(&raw[end + 4..]);
        Answer {
            status: status.parse().expect("a status"),
            headers: headers
                .collect::<Vec<(HeaderName, HeaderValue)>>()
                .into_iter()
                .collect(),
            json: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            bytes,
            request: String::new(),
        }
    }

    /// Expects a status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        let text = String::from_utf8_lossy(&self.bytes);
        assert_eq!(self.status.as_u16(), status, "{}: {text}", self.request);
        self
    }

    /// Expects a problem with this code, in the form that all problems have.
    #[track_caller]
    pub fn problem(self, code: &str) -> Answer {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        let context = format!("{}: {} {text}", self.request, self.status);
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{context}"
        );
        assert_eq!(self.json["code"], code, "{context}");
        assert_eq!(self.json["status"], self.status.as_u16(), "{context}");
        assert_eq!(self.json["type"], format!("/problems/{code}"), "{context}");
        assert_eq!(
            self.json["request_id"],
            self.header("x-request-id"),
            "{context}"
        );
        assert!(
            self.json["title"].is_string() && self.json["detail"].is_string(),
            "{context}"
        );
        assert_eq!(
            self.json["errors"].is_array(),
            self.status == 422,
            "{context}"
        );
        self
    }

    /// Expects 422 with exactly these errors: pointer and code of each.
    #[track_caller]
    pub fn fields(self, expected: &[(&str, &str)]) -> Answer {
        let answer = self.problem("invalid_fields");
        let errors = answer.json["errors"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let text = |error: &Value, key: &str| error[key].as_str().unwrap_or_default().to_owned();
        let mut found: Vec<_> = errors
            .iter()
            .map(|error| (text(error, "pointer"), text(error, "code")))
            .collect();
        let mut expected: Vec<_> = expected
            .iter()
            .map(|(at, code)| ((*at).to_owned(), (*code).to_owned()))
            .collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{}: {}", answer.request, answer.json);
        answer
    }

    /// A header, or the empty string.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The headers, sorted, without those that differ from request to request.
    pub fn lasting_headers(&self) -> Vec<(String, String)> {
        let lasting = self
            .headers
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "date" | "x-request-id"));
        let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let mut headers: Vec<_> = lasting
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect();
        headers.sort();
        headers
    }

    /// A string of the JSON body.
    #[track_caller]
    pub fn text(&self, key: &str) -> String {
        let text = self.json[key].as_str();
        text.unwrap_or_else(|| panic!("{}: no {key} in {}", self.request, self.json))
            .to_owned()
    }
}

/// The decompressed body.
async fn plain(bytes: &[u8], coding: Option<&[u8]>) -> Vec<u8> {
    let mut plain = Vec::new();
    let read = match coding {
        Some(b"gzip") => GzipDecoder::new(bytes).read_to_end(&mut plain).await,
        Some(b"br") => BrotliDecoder::new(bytes).read_to_end(&mut plain).await,
        _ => return bytes.to_vec(),
    };
    // The response to HEAD has `Content-Encoding`, but no body.
    assert!(read.is_ok() || bytes.is_empty(), "{read:?}");
    plain
}
