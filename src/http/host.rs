//! The `Host` header, which names the server that an HTTP/1.1 request is meant for.

use std::net::Ipv6Addr;

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Version};

use crate::failure::{Code, Failure};

/// Refuses what RFC 9112, section 3.2, has a server refuse: an HTTP/1.1 request without `Host`, and
/// any HTTP/1 request with more than one or with one that is no host and port. HTTP/2 has
/// `:authority` instead.
pub(super) fn check(version: Version, headers: &HeaderMap) -> Result<(), Failure> {
    if version > Version::HTTP_11 {
        return Ok(());
    }
    let mut hosts = headers.get_all(HOST).iter();
    let detail = match (hosts.next(), hosts.next()) {
        (None, _) if version < Version::HTTP_11 => return Ok(()),
        (Some(host), None) if is_authority(host) => return Ok(()),
        (None, _) => "An HTTP/1.1 request needs a `Host` header.",
        (Some(_), None) => "The `Host` header is not a host name or address with an optional port.",
        (Some(_), Some(_)) => "The `Host` header is given twice.",
    };
    Err(Failure::new(Code::MalformedRequest, detail))
}

/// `uri-host [ ":" port ]` of RFC 9110, section 7.2. Who is asked has a name: `http` URLs with an
/// empty host are invalid.
fn is_authority(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else {
        return false;
    };
    let (is_host, port) = match text.strip_prefix('[').and_then(|it| it.split_once(']')) {
        Some((address, port)) => (address.parse::<Ipv6Addr>().is_ok(), port),
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (!name.is_empty() && name.bytes().all(is_of_name), port)
        }
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    let is_port = port.is_empty() || port.starts_with(':');
    is_host && is_port && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The characters of `reg-name` in RFC 3986, section 3.2.2.
fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_taken(version: Version, hosts: &[&'static str]) -> bool {
        let hosts = hosts
            .iter()
            .map(|host| (HOST, HeaderValue::from_static(host)));
        check(version, &hosts.collect()).is_ok()
    }

    #[test]
    fn a_request_names_one_host() {
        for host in [
            "a",
            "polls.example.org",
            "a:80",
            "a:",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:80",
            "exa_mple",
            "xn--dmin-moa0i.de",
        ] {
            assert!(is_taken(Version::HTTP_11, &[host]), "{host}");
        }
        for host in [
            "", " ", ":80", "a b", "a/b", "a:b", "a:80:80", "user@a", "http://a", "a,b c", "[::1",
            "[::1]80", "[a]", "a]", "::1", "a?b", "a#b",
        ] {
            assert!(!is_taken(Version::HTTP_11, &[host]), "{host:?}");
        }
        assert!(!is_taken(Version::HTTP_11, &[]));
        assert!(!is_taken(Version::HTTP_11, &["a", "a"]));
    }

    #[test]
    fn other_versions_have_other_ways_to_say_it() {
        assert!(is_taken(Version::HTTP_10, &[]) && is_taken(Version::HTTP_10, &["a"]));
        assert!(!is_taken(Version::HTTP_10, &["a", "b"]));
        assert!(is_taken(Version::HTTP_2, &[]));
    }
}
