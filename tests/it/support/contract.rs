//! Checks responses against the OpenAPI document.
//!
//! Every response that a test receives is checked, see [`Answer`], so that clients can rely on the
//! document.

use std::sync::LazyLock;

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::Answer;
use super::schema::{complaints, resolve};

/// The document, as the server under test serves it.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(polls::app::document);

/// Headers that any response may have.
const OF_HTTP: [&str; 14] = [
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "pragma",
    "server",
    "transfer-encoding",
    "vary",
    "x-accel-buffering",
    "x-content-type-options",
    "content-security-policy",
    "x-request-id",
];

/// Fails the test if `answer` is not declared for this call.
#[track_caller]
pub fn hold(method: &Method, path: &str, answer: &Answer) {
    let found = broken(&DOCUMENT, method, path, answer);
    assert!(
        found.is_empty(),
        "{method} {path}: {} is not as openapi/polls.json says:\n  {}\n{}",
        answer.status,
        found.join("\n  "),
        answer.json,
    );
}

/// Everything in the response that `document` does not declare. Paths outside the API are not
/// checked.
fn broken(document: &Value, method: &Method, path: &str, answer: &Answer) -> Vec<String> {
    let base = document["servers"][0]["url"].as_str().expect("a server");
    let Some(path) = path.strip_prefix(base) else {
        return Vec::new();
    };
    let status = answer.status.as_str();
    let response = match (item(document, path), method.as_str()) {
        (None, _) => outside(document, false),
        (Some(_), "OPTIONS") => json!({"headers": {"allow": {"schema": {"type": "string"}}}}),
        (Some(item), method) => {
            let named = if method == "HEAD" { "GET" } else { method };
            match item.get(named.to_lowercase()) {
                None => outside(document, true),
                Some(operation) => match operation["responses"].get(status) {
                    Some(response) => resolve(document, response).clone(),
                    None => return vec!["the status is not declared".to_owned()],
                },
            }
        }
    };
    let mut found = headers(document, &response, &answer.headers);
    found.extend(body(document, method, &response, answer));
    found
}

/// The path item whose template matches; a fixed segment takes precedence over a parameter.
fn item<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let fits = |template: &str| {
        let (mut wanted, mut given) = (template.split('/'), path.split('/'));
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some(wanted), Some(given)) if wanted == given => {}
                (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => {}
                _ => return false,
            }
        }
    };
    let paths = document["paths"].as_object().expect("paths");
    paths.get(path).or_else(|| {
        let mut fitting = paths.iter().filter(|(template, _)| fits(template));
        fitting.next().map(|(_, item)| item)
    })
}

/// A problem that no operation declares: an unknown path or method.
fn outside(document: &Value, allow: bool) -> Value {
    let mut response = document["components"]["responses"]["NotFound"].clone();
    response["content"]["application/problem+json"]["schema"] =
        json!({"$ref": "#/components/schemas/Problem"});
    if allow {
        response["headers"]["allow"] = json!({"required": true, "schema": {"type": "string"}});
    }
    response
}

fn headers(document: &Value, response: &Value, received: &HeaderMap) -> Vec<String> {
    let mut found = Vec::new();
    let declared = response["headers"].as_object().cloned().unwrap_or_default();
    for name in received.keys().map(reqwest::header::HeaderName::as_str) {
        let known = OF_HTTP.contains(&name)
            || name.starts_with("access-control-")
            || declared
                .keys()
                .any(|known| known.eq_ignore_ascii_case(name));
        if !known {
            found.push(format!("the header {name} is not declared"));
        }
    }
    for (name, header) in &declared {
        let header = resolve(document, header);
        let Some(value) = received.get(name) else {
            if header["required"] == true {
                found.push(format!("the header {name} is missing"));
            }
            continue;
        };
        let text = value.to_str().expect("a readable header");
        let value = match header["schema"]["type"].as_str() {
            Some("integer") => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
            _ => json!(text),
        };
        let wrong = complaints(document, &header["schema"], &value);
        found.extend(wrong.into_iter().map(|wrong| format!("{name}{wrong}")));
    }
    found
}

fn body(document: &Value, method: &Method, response: &Value, answer: &Answer) -> Vec<String> {
    let media = answer.header("content-type");
    let Some(content) = response["content"].as_object() else {
        return match (answer.bytes.is_empty(), media) {
            (true, "") => Vec::new(),
            _ => vec![format!("a body of {media} is not declared")],
        };
    };
    let Some(declared) = content.get(media) else {
        return vec![format!("the content type {media} is not declared")];
    };
    if method == Method::HEAD {
        return match answer.bytes.is_empty() {
            true => Vec::new(),
            false => vec!["HEAD has a body".to_owned()],
        };
    }
    if !media.ends_with("json") {
        let text = json!(String::from_utf8_lossy(&answer.bytes));
        return complaints(document, &declared["schema"], &text);
    }
    complaints(document, &declared["schema"], &answer.json)
}

mod tests {
    use super::*;

    /// The violations of a response to `GET /api/things/7`.
    fn wrong(method: &str, path: &str, raw: &str) -> Vec<String> {
        let problem = json!({
            "headers": {"X-Request-Id": {"required": true, "schema": {"type": "string"}}},
            "content": {"application/problem+json": {"schema": {}}},
        });
        let document = json!({
            "servers": [{"url": "/api"}],
            "paths": {
                "/things/{id}": {"get": {"responses": {
                    "200": {
                        "headers": {
                            "ETag": {"required": true, "schema": {"type": "string"}},
                            "Retry-After": {"schema": {"type": "integer", "minimum": 1}},
                        },
                        "content": {"application/json": {"schema": {
                            "type": "object", "properties": {"id": {"type": "integer"}},
                        }}},
                    },
                    "304": {},
                }}},
            },
            "components": {
                "responses": {"NotFound": problem},
                "schemas": {"Problem": {
                    "type": "object", "required": ["code"],
                    "properties": {"code": {"type": "string"}},
                }},
            },
        });
        let raw = raw.replace('\n', "\r\n");
        let method = method.parse().expect("a method");
        broken(&document, &method, path, &Answer::of_bytes(raw.as_bytes()))
    }

    const THING: &str =
        "HTTP/1.1 200 OK\nContent-Type: application/json\nETag: \"1\"\n\n{\"id\":7}";
    const PROBLEM: &str = "HTTP/1.1 404 x\nContent-Type: application/problem+json\nX-Request-Id: 1\n\n{\"code\":\"a\"}";

    #[test]
    fn what_is_declared_passes() {
        let head = THING.replace("{\"id\":7}", "");
        let not_allowed = PROBLEM.replace("\n\n", "\nAllow: GET\n\n");
        for (method, path, raw) in [
            ("GET", "/api/things/7", THING),
            ("GET", "/api/things/7/", THING),
            ("HEAD", "/api/things/7", &head),
            ("GET", "/api/things/7", "HTTP/1.1 304 x\nDate: now\n\n"),
            ("OPTIONS", "/api/things/7", "HTTP/1.1 204 x\nAllow: GET\n\n"),
            ("GET", "/api/others", PROBLEM),
            ("POST", "/api/things/7", &not_allowed),
            (
                "GET",
                "/elsewhere",
                "HTTP/1.1 418 x\nTea: no\n\nshort and stout",
            ),
        ] {
            assert_eq!(wrong(method, path, raw), [""; 0], "{method} {path}: {raw}");
        }
    }

    #[test]
    fn what_is_not_declared_is_found() {
        let path = "/api/things/7";
        for (from, to) in [
            ("200 OK", "202 OK"),
            ("ETag: \"1\"\n", ""),
            ("ETag", "Sunset: never\nETag"),
            ("ETag", "Retry-After: 0\nETag"),
            ("application/json", "text/plain"),
            ("Content-Type: application/json\n", ""),
            ("7}", "\"7\"}"),
            ("7}", "7,\"more\":1}"),
        ] {
            let raw = THING.replace(from, to);
            assert_eq!(wrong("GET", path, &raw).len(), 1, "{raw}");
        }
        for (method, path, raw) in [
            ("HEAD", path, THING),
            ("GET", path, "HTTP/1.1 304 x\n\nsurprise"),
            ("GET", "/api/others", THING),
            ("POST", path, PROBLEM),
        ] {
            assert_ne!(wrong(method, path, raw), [""; 0], "{method} {path}: {raw}");
        }
    }
}
