//! Types of settings that must not be shown, and what is shown in their place.

use std::cell::Cell;
use std::fmt;
use std::iter::once;

use serde::Deserialize;
use serde::de::value::{Error, MapDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Visitor};
use url::Url;

use super::Config;

/// What is shown instead of a secret.
pub const MASK: &str = "********";

/// Text that no log and no message may show.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// The text of a URL, usable or not, that may hold a password. Types of URLs are read from this.
#[derive(Deserialize)]
pub struct SecretUrl(pub String);

/// A list of such URLs, written in any way that [`forms::list`](super::forms::list) reads.
#[derive(Deserialize)]
pub struct SecretUrls(#[serde(deserialize_with = "super::forms::list")] pub Vec<String>);

/// `text` without the password it may hold, whether or not it is a usable URL.
pub fn mask_url(text: &str) -> String {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    match Url::parse(text) {
        _ if scheme == "sqlite" => text.to_owned(),
        Ok(mut url) if (url.has_host() || scheme == "unix") && !url.path().contains('@') => {
            if url.password().is_some() {
                let _ = url.set_password(Some(MASK));
            }
            // Database drivers take options here, such as ssl-mode. Redis URLs have no query.
            let is_redis = matches!(scheme, "redis" | "rediss" | "unix");
            if url
                .query_pairs()
                .any(|(name, _)| is_redis || name.contains("pass"))
            {
                url.set_query(Some(MASK));
            }
            if url.fragment().is_some() {
                url.set_fragment(Some(MASK));
            }
            url.into()
        }
        // Without the parts of a URL, any of the text may be the password.
        _ => format!("{scheme}:{MASK}"),
    }
}

/// How much of a setting may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    Public,
    /// A URL without its password.
    MaskedUrl,
    /// A list of such URLs.
    MaskedUrls,
    Secret,
}

impl Exposure {
    /// How much of `section.name` may be shown, by the type of its field in [`Config`].
    pub fn of(key: &str) -> Exposure {
        let exposure = Cell::new(Exposure::Public);
        let path: Vec<&str> = key.split('.').collect();
        let probe = Probe {
            path: &path,
            exposure: &exposure,
        };
        // A probe holds no value, so this fails once it has met the type.
        let _ = Config::deserialize(probe);
        exposure.get()
    }
}

/// A deserializer that leads to one setting and notes which of the types above asks for it.
#[derive(Clone, Copy)]
struct Probe<'a> {
    /// The names of the fields that lead to the setting from here.
    path: &'a [&'a str],
    exposure: &'a Cell<Exposure>,
}

impl<'de> Deserializer<'de> for Probe<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("a probe holds no value"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.path.split_first() {
            Some((name, path)) => {
                let field = Probe { path, ..self };
                visitor.visit_map(MapDeserializer::new(once((*name, field))))
            }
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match name {
            "Secret" => self.exposure.set(Exposure::Secret),
            "SecretUrl" => self.exposure.set(Exposure::MaskedUrl),
            "SecretUrls" => self.exposure.set(Exposure::MaskedUrls),
            _ => {}
        }
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de> for Probe<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_never_shown() {
        for text in [
            "postgres://me:hunter2@h/polls",
            "postgres://me:hunter2@h:port/polls",
            "postgres://me:x/hunter2@h/polls",
            "postgres:me:hunter2@h/polls",
            "me:hunter2@h/polls",
            "oracle://me:hunter2@h/polls",
            "postgres://h/polls?password=hunter2",
            "mysql://h/me:hunter2@polls",
            "redis://:hunter2@h/0",
            "redis://me:hunter2@h:port/0",
            "redis://me:x/hunter2@h/0",
            "redis://h/0?pass=hunter2",
            "unix:///run/redis.sock?pass=hunter2",
            "rediss://h/#hunter2",
            "smtps://me:hunter2@h",
            "me:hunter2@h",
            "hunter2",
        ] {
            assert!(!mask_url(text).contains("hunter2"), "{text}");
        }
        let options = "mysql://h/polls?ssl-mode=required";
        assert_eq!(mask_url(options), options);
    }

    #[test]
    fn types_decide_what_is_shown() {
        for (key, exposure) in [
            ("auth.key", Exposure::Secret),
            ("database.password", Exposure::Secret),
            ("share.redis_password", Exposure::Secret),
            ("mail.password", Exposure::Secret),
            ("database.url", Exposure::MaskedUrl),
            ("database.urls", Exposure::MaskedUrls),
            ("share.redis_url", Exposure::MaskedUrl),
            ("mail.url", Exposure::MaskedUrl),
            ("database.user", Exposure::Public),
            ("server.trusted_proxies", Exposure::Public),
            ("no.such_key", Exposure::Public),
        ] {
            assert_eq!(Exposure::of(key), exposure, "{key}");
        }
    }
}
