use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use url::Url;

use super::secret::{MASK, Secret};

/// The address of a Redis: `redis://` or, over TLS, `rediss://` with a host, or a `unix://`
/// socket. Shown without its password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RedisUrl(Url);

impl RedisUrl {
    /// Whether a password stands in the URL.
    pub fn has_password(&self) -> bool {
        self.0.password().is_some()
    }

    /// What the driver is given, with the password where the URL has none. It is to speak RESP3,
    /// in which one connection both asks and hears.
    pub fn for_driver(&self, password: Option<&Secret>) -> Secret {
        let mut url = self.0.clone();
        let mut query = form_urlencoded::Serializer::new("protocol=resp3".to_owned());
        if let Some(password) = password {
            if url.scheme() == "unix" {
                query.append_pair("pass", password.expose());
            } else {
                let encoded = utf8_percent_encode(password.expose(), NON_ALPHANUMERIC);
                // This fails without a host only, and there is one.
                let _ = url.set_password(Some(&encoded.to_string()));
            }
        }
        url.set_query(Some(&query.finish()));
        String::from(url).into()
    }

    /// `text` as it may be shown, whether or not it is a usable URL.
    pub fn masked(text: &str) -> String {
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        match Url::parse(text) {
            Ok(mut url) if url.has_host() || scheme == "unix" => {
                if url.password().is_some() {
                    let _ = url.set_password(Some(MASK));
                }
                // Neither belongs there, and either may hold a password.
                if url.query().is_some() {
                    url.set_query(Some(MASK));
                }
                if url.fragment().is_some() {
                    url.set_fragment(Some(MASK));
                }
                match url.path().contains('@') {
                    true => format!("{scheme}:{MASK}"),
                    false => url.into(),
                }
            }
            _ => format!("{scheme}:{MASK}"),
        }
    }
}

impl TryFrom<String> for RedisUrl {
    type Error = &'static str;

    fn try_from(text: String) -> Result<RedisUrl, &'static str> {
        let url = Url::parse(&text).map_err(|_| {
            "This is not a URL. Special characters in a password have to be percent-encoded; \
             better, put it into share.redis_password."
        })?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err("Nothing may follow the path: the server chooses how Redis is spoken to.");
        }
        match url.scheme() {
            "redis" | "rediss" => {
                if url.host_str().is_none_or(str::is_empty) {
                    return Err("This names no host. Write redis://HOST:PORT.");
                }
                let database = url.path().trim_start_matches('/');
                if !database.is_empty() && database.parse::<u16>().is_err() {
                    return Err("The path is the number of a database. Write redis://HOST:PORT/0.");
                }
            }
            "unix" => {
                if url.has_host() && url.host_str() != Some("") || url.path().len() < 2 {
                    return Err("This names no socket. Write unix:///run/redis/redis.sock.");
                }
            }
            _ => return Err("This is not a Redis."),
        }
        Ok(RedisUrl(url))
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&RedisUrl::masked(self.0.as_str()))
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
        for text in [
            "redis://:hunter2@h/0",
            "redis://me:hunter2@h:port/0",
            "redis://me:x/hunter2@h/0",
            "redis://h/0?pass=hunter2",
            "unix:///run/redis.sock?pass=hunter2",
            "rediss://h/#hunter2",
            "me:hunter2@h",
            "hunter2",
        ] {
            assert!(!RedisUrl::masked(text).contains("hunter2"), "{text}");
        }
        let url = parse("rediss://me:hunter2@h/0").unwrap();
        assert_eq!(format!("{url:?}"), "rediss://me:********@h/0");
    }
}
