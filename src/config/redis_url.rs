use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use url::Url;

use super::secret::{Secret, SecretUrl, mask_url};

/// The URL of a Redis server: `redis://` or, over TLS, `rediss://` with a host, or a `unix://`
/// socket. Displayed without its password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SecretUrl")]
pub struct RedisUrl(Url);

impl RedisUrl {
    /// Whether the URL has a password.
    pub fn has_password(&self) -> bool {
        self.0.password().is_some()
    }

    /// The URL for the driver, with this password added. It selects RESP3, in which one connection
    /// can both send commands and receive published messages.
    pub fn for_driver(&self, password: Option<&Secret>) -> Secret {
        let mut url = self.0.clone();
        let mut query = form_urlencoded::Serializer::new("protocol=resp3".to_owned());
        if let Some(password) = password {
            if url.scheme() == "unix" {
                query.append_pair("pass", password.expose());
            } else {
                let encoded = utf8_percent_encode(password.expose(), NON_ALPHANUMERIC);
                // This fails only without a host, and there is one.
                let _ = url.set_password(Some(&encoded.to_string()));
            }
        }
        url.set_query(Some(&query.finish()));
        String::from(url).into()
    }
}

impl TryFrom<SecretUrl> for RedisUrl {
    type Error = &'static str;

    fn try_from(url: SecretUrl) -> Result<RedisUrl, &'static str> {
        url.0.try_into()
    }
}

impl TryFrom<String> for RedisUrl {
    type Error = &'static str;

    fn try_from(text: String) -> Result<RedisUrl, &'static str> {
        let url = Url::parse(&text).map_err(|_| {
            "This is not a URL. Special characters in a password must be percent-encoded, or set \
             share.redis_password instead."
        })?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err("Options after the path are not supported.");
        }
        match url.scheme() {
            "redis" | "rediss" => {
                if url.host_str().is_none_or(str::is_empty) {
                    return Err("This has no host. Write redis://HOST:PORT.");
                }
                let database = url.path().trim_start_matches('/');
                if !database.is_empty() && database.parse::<u16>().is_err() {
                    return Err(
                        "The path must be the number of a database. Write redis://HOST:PORT/0.",
                    );
                }
            }
            "unix" => {
                if url.has_host() && url.host_str() != Some("") || url.path().len() < 2 {
                    return Err("This has no socket path. Write unix:///run/redis/redis.sock.");
                }
            }
            _ => return Err("This is not the URL of a Redis server."),
        }
        Ok(RedisUrl(url))
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask_url(self.0.as_str()))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use redis::{ConnectionAddr, IntoConnectionInfo as _, ProtocolVersion};

    use super::*;

    fn parse(text: &str) -> Result<RedisUrl, &'static str> {
        RedisUrl::try_from(text.to_owned())
    }

    #[test]
    fn the_driver_understands_what_is_accepted() {
        let password = Secret::from("p%41/@: &ü".to_owned());
        for (text, database) in [
            ("redis://h", 0),
            ("redis://h:7000/3", 3),
            ("rediss://me@h", 0),
            ("redis://[::1]:7000/", 0),
            ("unix:///run/redis.sock", 0),
        ] {
            let url = parse(text).unwrap().for_driver(Some(&password));
            let info = url.expose().into_connection_info().unwrap();
            let settings = info.redis_settings();
            assert_eq!(settings.db(), database, "{text}");
            assert_eq!(settings.password(), Some(password.expose()), "{text}");
            assert_eq!(settings.protocol(), ProtocolVersion::RESP3, "{text}");
            let tls = matches!(
                info.addr(),
                ConnectionAddr::TcpTls {
                    insecure: false,
                    ..
                }
            );
            assert_eq!(tls, text.starts_with("rediss:"), "{text}");
        }
    }

    #[test]
    fn unusable_urls_are_refused() {
        for text in [
            "",
            "h:6379",
            "http://h",
            "redis:h",
            "redis:///0",
            "redis://h/zero",
            "redis://h/0/1",
            "redis://h:port",
            "rediss://h/#insecure",
            "redis://h?protocol=resp2",
            "unix://run/redis.sock",
            "unix:///",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let url = parse("rediss://me:hunter2@h/0").unwrap();
        assert_eq!(format!("{url:?}"), "rediss://me:********@h/0");
    }
}
