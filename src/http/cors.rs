//! Which web pages of other origins may read the answers.
//!
//! No request is refused here. Without the headers the browser withholds the answer from the page,
//! and pages of the server's own origin need no headers.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN,
};
use http::{HeaderMap, HeaderValue};
use url::Url;

use super::API;
use crate::config;

const ANY: HeaderValue = HeaderValue::from_static("*");
const TRUE: HeaderValue = HeaderValue::from_static("true");
const READABLE: HeaderValue = HeaderValue::from_static(
    "ETag, Location, Retry-After, X-Request-Id, RateLimit, RateLimit-Policy",
);
/// The request headers that the API itself reads.
const SENDABLE: &str =
    "Authorization, Content-Type, If-Match, If-None-Match, Last-Event-ID, X-Request-Id";

#[derive(Debug)]
/// Which pages of other origins may call.
pub struct Cors {
    origins: Origins,
    /// Whether the calls under `/auth` answer pages of any origin, too.
    auth: bool,
    /// The origin of the server's own pages, where a proxy may have changed `Host`.
    own: Option<String>,
    sendable: HeaderValue,
    max_age: HeaderValue,
}

#[derive(Debug)]
enum Origins {
    /// Always without credentials, else any page could act for its visitor.
    Any,
    Listed {
        origins: Vec<String>,
        credentials: bool,
    },
}

impl Cors {
    /// `public_url` is the origin by which browsers know the server, if it is configured.
    pub fn new(config: &config::Cors, public_url: Option<&config::Origin>) -> Cors {
        let origins = match &config.origins {
            config::Origins::Any => Origins::Any,
            config::Origins::Only(origins) => Origins::Listed {
                origins: origins
                    .iter()
                    .map(|origin| origin.as_str().to_owned())
                    .collect(),
                credentials: config.credentials,
            },
        };
        let more = config.headers.iter().map(http::HeaderName::as_str);
        let sendable: Vec<&str> = std::iter::once(SENDABLE).chain(more).collect();
        Cors {
            origins,
            auth: config.auth,
            own: public_url.map(|origin| origin.as_str().to_owned()),
            // Names of headers are all that a header's value may hold.
            sendable: HeaderValue::try_from(sendable.join(", "))
                .unwrap_or(HeaderValue::from_static(SENDABLE)),
            max_age: HeaderValue::from(config.max_age.as_secs()),
        }
    }

    /// Whether no page of another origin may read what this path answers: with any origin allowed,
    /// any page on the web could have its visitors' browsers try passwords.
    pub(super) fn withholds(&self, path: &str) -> bool {
        let below = path.strip_prefix(API).unwrap_or_default();
        matches!(self.origins, Origins::Any) && !self.auth && below.starts_with("/auth/")
    }

    /// Whether the page that sends this may open a WebSocket, of which browsers ask nobody.
    /// Programs that are no browsers name no origin.
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        let Origins::Listed { origins, .. } = &self.origins else {
            return true;
        };
        let is_own = |origin| {
            let named = self.own.as_ref().is_some_and(|own| is_same(own, origin));
            named || is_of_host(origin, headers.get(HOST))
        };
        let mut named = headers.get_all(ORIGIN).iter();
        named.all(|origin| is_listed(origins, origin) || is_own(origin))
    }

    /// Whether answers differ by `Origin`, those to requests without one included.
    pub(super) fn varies(&self) -> bool {
        matches!(self.origins, Origins::Listed { .. })
    }

    /// Adds what lets a page of `origin` read the answer.
    pub(super) fn apply(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        match &self.origins {
            // Without an origin too, since a cache may give the answer to a page later.
            Origins::Any => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
            }
            Origins::Listed {
                origins,
                credentials,
            } => {
                let Some(origin) = origin.filter(|origin| is_listed(origins, origin)) else {
                    return;
                };
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                if *credentials {
                    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
                }
            }
        }
        if origin.is_some() {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, READABLE);
        }
    }

    /// Adds what the browser asks before it sends a request; `methods` are those of the path.
    pub(super) fn preflight(&self, methods: &HeaderValue, headers: &mut HeaderMap) {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, self.sendable.clone());
        headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
    }
}

pub(super) fn is_preflight(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Whether the page is of the host that the request is for. Its scheme does not tell: a proxy may
/// have added TLS.
fn is_of_host(origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    let origin = text(origin).and_then(|origin| Url::parse(&origin).ok());
    let (Some(origin), Some(host)) = (origin, host.and_then(text)) else {
        return false;
    };
    let here = Url::parse(&format!("{}://{host}", origin.scheme()));
    here.is_ok_and(|here| {
        origin.has_host()
            && here.host() == origin.host()
            && here.port_or_known_default() == origin.port_or_known_default()
    })
}

fn is_listed(origins: &[String], origin: &HeaderValue) -> bool {
    origins.iter().any(|known| is_same(known, origin))
}

fn is_same(known: &str, origin: &HeaderValue) -> bool {
    known.as_bytes().eq_ignore_ascii_case(origin.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn origins(listed: &[&str]) -> config::Origins {
        let listed: Vec<String> = listed.iter().map(|&origin| origin.to_owned()).collect();
        listed.try_into().unwrap()
    }

    fn cors(listed: &[&str]) -> config::Cors {
        config::Cors {
            origins: origins(listed),
            auth: false,
            headers: vec![http::HeaderName::from_static("traceparent")],
            credentials: false,
            max_age: Duration::from_secs(600),
        }
    }

    fn answer(listed: &[&str], credentials: bool, origin: Option<&'static str>) -> HeaderMap {
        let config = config::Cors {
            credentials,
            ..cors(listed)
        };
        let cors = Cors::new(&config, None);
        let mut headers = HeaderMap::new();
        cors.apply(origin.map(HeaderValue::from_static).as_ref(), &mut headers);
        headers
    }

    #[test]
    fn any_origin_never_gets_credentials() {
        for origin in [None, Some("https://a.example")] {
            let headers = answer(&["*"], true, origin);
            assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
            assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
        }
    }

    #[test]
    fn listed_origins_are_named_and_others_get_nothing() {
        let listed = ["https://a.example"];
        let headers = answer(&listed, true, Some("https://a.example"));
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example");
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(headers[ACCESS_CONTROL_EXPOSE_HEADERS], READABLE);
        for stranger in ["https://a.example.evil", "http://a.example", "null"] {
            assert!(
                answer(&listed, true, Some(stranger)).is_empty(),
                "{stranger}"
            );
        }
        assert!(answer(&listed, true, None).is_empty());
    }

    #[test]
    fn any_origin_may_read_all_but_what_takes_passwords() {
        let withheld = |config: &config::Cors| {
            let cors = Cors::new(config, None);
            [
                "/api/v1/auth/token",
                "/api/v1/auth/sessions",
                "/api/v1/authors",
                "/api/v1/users",
                "/.well-known/jwks.json",
                "/auth/token",
            ]
            .map(|path| cors.withholds(path))
        };
        let [none, auth] = [[false; 6], [true, true, false, false, false, false]];
        assert_eq!(withheld(&cors(&["*"])), auth);
        assert_eq!(withheld(&cors(&["https://a.example"])), none);
        let opened = config::Cors {
            auth: true,
            ..cors(&["*"])
        };
        assert_eq!(withheld(&opened), none);
    }

    #[test]
    fn a_preflight_names_our_headers_and_those_of_the_configuration() {
        let mut headers = HeaderMap::new();
        let methods = HeaderValue::from_static("GET");
        Cors::new(&cors(&["*"]), None).preflight(&methods, &mut headers);
        let allowed = headers[ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap();
        assert_eq!(allowed, format!("{SENDABLE}, traceparent"));
    }

    #[test]
    fn sockets_are_opened_by_whom_cors_lets_read() {
        let admits = |listed: &[&str], sent: &[(&str, &'static str)]| {
            let public_url = "https://public.example".to_owned().try_into().unwrap();
            let cors = Cors::new(&cors(listed), Some(&public_url));
            let mut headers = HeaderMap::new();
            for (name, value) in sent {
                let name: http::HeaderName = name.parse().unwrap();
                headers.append(name, HeaderValue::from_static(value));
            }
            cors.admits(&headers)
        };
        let listed = ["https://a.example"];
        let host = ("host", "polls.example");
        assert!(admits(&["*"], &[host, ("origin", "https://evil.example")]));
        assert!(admits(&listed, &[host]));
        assert!(admits(&listed, &[host, ("origin", "https://a.example")]));
        assert!(admits(
            &listed,
            &[host, ("origin", "https://polls.example")]
        ));
        assert!(admits(
            &[],
            &[("host", "h:8080"), ("origin", "http://h:8080")]
        ));
        // A proxy has put its own name for the server into `Host`.
        let public = ("origin", "https://public.example");
        assert!(admits(&listed, &[("host", "127.0.0.1:8080"), public]));
        for stranger in [
            "https://evil.example",
            "https://polls.example:8443",
            "https://polls.example.evil",
            "https://public.example.evil",
            "http://public.example",
            "null",
            "",
        ] {
            assert!(
                !admits(&listed, &[host, ("origin", stranger)]),
                "{stranger}"
            );
        }
        let both = [
            ("origin", "https://a.example"),
            ("origin", "https://evil.example"),
        ];
        assert!(!admits(&listed, &both));
    }
}
