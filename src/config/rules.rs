//! What the types of settings do not check: ranges, and settings that contradict each other.

use std::path::Path;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jsonwebtoken::{EncodingKey, Header};

use super::load::Merged;
use super::manual;
use super::{Address, Algorithm, Auth, Config, Cors, Database, DatabaseUrl};
use super::{Mail, Origin, Origins, Secret, Server, Share, Web};

/// The longest path that a unix socket can have on every system.
const LONGEST_SOCKET_PATH: usize = 103;

/// The most headers that `cors.headers` may name.
const MOST_HEADERS: usize = 50;

/// Reports every value that is out of its range or contradicts another one.
pub fn check(config: &Config, merged: &mut Merged) {
    let mut rules = Rules { merged };
    rules.ranges();
    rules.upper_limits();
    rules.server(&config.server);
    rules.hosts(&config.database);
    rules.credentials(&config.database);
    rules.auth(&config.auth);
    rules.mail(&config.mail, &config.server);
    rules.share(&config.share);
    rules.web(&config.web);
    rules.cors(&config.cors);
}

struct Rules<'a> {
    merged: &'a mut Merged,
}

impl Rules<'_> {
    /// Checks the ranges that `config/default.yaml` documents.
    fn ranges(&mut self) {
        for entry in manual::ENTRIES.iter() {
            let key = &entry.path();
            let range = entry.range();
            // A value that was not understood has been reported already.
            let value = self
                .merged
                .quantity(key)
                .filter(|_| self.merged.are_sound(&[key]));
            match (value, range) {
                (Some(value), Some((least, _))) if value < least => {
                    self.merged.report(key, "This is too small.");
                }
                (Some(value), Some((_, most))) if value > most => {
                    self.merged.report(key, "This is too large.");
                }
                _ => {}
            }
        }
    }

    /// Checks the settings that are upper limits of others.
    fn upper_limits(&mut self) {
        for entry in manual::ENTRIES.iter() {
            let (key, Some(limit)) = (&entry.path(), &entry.upper_limit()) else {
                continue;
            };
            if self.merged.quantity(key) > self.merged.quantity(limit) {
                let why = "This is larger than its upper limit";
                self.contradiction((key, limit), why, "Lower this one or raise the other.");
            }
        }
    }

    fn socket_path(&mut self, key: &str, path: &Path) {
        let length = path.as_os_str().len();
        if length == 0 || length > LONGEST_SOCKET_PATH {
            self.merged.report(key, "This path has the wrong length.");
        }
    }

    fn server(&mut self, server: &Server) {
        if let Some(Address::Unix(path)) = &server.metrics {
            self.socket_path("server.metrics", path);
        }
        if let Some(path) = &server.path {
            self.socket_path("server.path", path);
            for other in ["server.port", "server.host"] {
                let pair = ("server.path", other);
                let why = "The server listens either on a unix socket or on a port";
                let how = "Remove one of them, or set server.path to null.";
                if self.merged.is_set(other) {
                    self.contradiction(pair, why, how);
                }
            }
        }
        if server.public_url.as_ref().is_some_and(|url| !url.is_web()) {
            let reason = "This is not an http:// or https:// address.";
            self.merged.report("server.public_url", reason);
        }
    }

    fn hosts(&mut self, database: &Database) {
        let Some(first) = database.urls.first() else {
            return;
        };
        if self.merged.is_set("database.url") {
            let pair = ("database.urls", "database.url");
            self.contradiction(
                pair,
                "Only one of these settings can be used",
                "Remove one.",
            );
        }
        if database.urls.iter().any(DatabaseUrl::is_file) {
            let reason = "An SQLite file has no hosts. Use database.url.";
            self.merged.report("database.urls", reason);
        } else if database.urls.iter().any(|url| !url.is_like(first)) {
            let reason = "These are not hosts of one database: the kinds of server or the names of \
                the databases differ.";
            self.merged.report("database.urls", reason);
        }
    }

    fn credentials(&mut self, database: &Database) {
        let Database { user, password, .. } = database;
        let urls = database.urls();
        let key = match &*database.urls {
            [] => "database.url",
            _ => "database.urls",
        };
        let (with_user, with_password) = (("database.user", key), ("database.password", key));
        if urls.iter().all(DatabaseUrl::is_file) {
            let why = "An SQLite file has no accounts";
            let how = "Remove it, or change the URL.";
            if user.is_some() {
                self.contradiction(with_user, why, how);
            }
            if password.is_some() {
                self.contradiction(with_password, why, how);
            }
            for (other, set) in [
                ("database.tls", database.tls.is_some()),
                ("database.tls_ca", database.tls_ca.is_some()),
            ] {
                if set {
                    let why = "An SQLite file needs no network connection";
                    self.contradiction((other, key), why, how);
                }
            }
            return;
        }
        if user.is_some() && urls.iter().any(DatabaseUrl::has_user) {
            let why = "The URL has an account already";
            self.contradiction(with_user, why, "Remove one.");
        }
        if password.is_some() && urls.iter().any(DatabaseUrl::has_password) {
            let why = "The URL has a password already";
            self.contradiction(with_password, why, "Remove it from the URL.");
        }
        if password.is_some() && user.is_none() && !urls.iter().all(DatabaseUrl::has_user) {
            let why = "This password has no account";
            self.contradiction(("database.password", "database.user"), why, "Set it.");
        }
    }

    fn auth(&mut self, auth: &Auth) {
        if let Some(key) = &auth.key
            && self.merged.are_sound(&["auth.key", "auth.algorithm"])
            && let Err(reason) = signs(auth.algorithm, key)
        {
            self.merged.report("auth.key", reason);
        }
        for (key, name) in [
            ("auth.issuer", auth.issuer.as_deref()),
            ("auth.audience", Some(auth.audience.as_str())),
        ] {
            if name.is_some_and(|name| !is_name_or_url(name)) {
                self.merged.report(key, "This is neither a name nor a URL.");
            }
        }
    }

    fn mail(&mut self, mail: &Mail, server: &Server) {
        if mail.url.is_some() {
            let missing = [
                ("mail.from", "Messages need a sender", mail.from.is_none()),
                (
                    "server.public_url",
                    "Links in messages need an address",
                    server.public_url.is_none(),
                ),
            ];
            for (other, why, _) in missing.into_iter().filter(|(_, _, missing)| *missing) {
                self.contradiction(("mail.url", other), why, "Set it.");
            }
        }
        if mail.password.is_some() && mail.url.as_ref().is_some_and(|url| !url.is_private()) {
            let why = "The password would be sent without encryption";
            let how = "Use smtps:// or add ?tls=required.";
            self.contradiction(("mail.password", "mail.url"), why, how);
        }
        for (key, set, other, needed) in [
            (
                "mail.user",
                mail.user.is_some(),
                "mail.password",
                mail.password.is_some(),
            ),
            (
                "mail.password",
                mail.password.is_some(),
                "mail.user",
                mail.user.is_some(),
            ),
        ] {
            if set && !needed {
                let why = "The account needs a name and a password";
                self.contradiction((key, other), why, "Set both or none.");
            }
        }
    }

    fn share(&mut self, share: &Share) {
        let named = |letter: char| letter.is_ascii_alphanumeric() || ":._-{}".contains(letter);
        if !(1..=64).contains(&share.prefix.len()) || !share.prefix.chars().all(named) {
            let reason = "This cannot be part of the name of a key.";
            self.merged.report("share.prefix", reason);
        }
        let pair = ("share.redis_password", "share.redis_url");
        match (&share.redis_password, &share.redis_url) {
            (Some(_), None) => {
                let why = "This password has no server";
                self.contradiction(pair, why, "Set it.");
            }
            (Some(_), Some(url)) if url.has_password() => {
                let why = "The URL has a password already";
                self.contradiction(pair, why, "Remove it from the URL.");
            }
            _ => {}
        }
    }

    fn web(&mut self, web: &Web) {
        if web.root.as_ref().is_some_and(|root| !root.is_dir()) {
            self.merged.report("web.root", "There is no such folder.");
        }
        if let Origins::Only(origins) = &web.embed_origins
            && !origins.iter().all(Origin::is_web)
        {
            let reason = "Only http:// and https:// pages have frames.";
            self.merged.report("web.embed_origins", reason);
        }
    }

    fn cors(&mut self, cors: &Cors) {
        if cors.headers.len() > MOST_HEADERS {
            self.merged
                .report("cors.headers", "These are too many headers.");
        }
        if cors.credentials && cors.origins == Origins::Any {
            let why = "Any website could act in the name of its visitors";
            let how = "Name the origins that may send credentials.";
            self.contradiction(("cors.credentials", "cors.origins"), why, how);
        }
    }

    /// Reports that `key` contradicts `other`.
    fn contradiction(&mut self, (key, other): (&str, &str), why: &str, how: &str) {
        // A value with a problem was replaced by its default, which may contradict nothing.
        if self.merged.are_sound(&[key, other]) {
            let (found, layer) = (self.merged.shown(other), self.merged.layer(other));
            let reason = format!("{why}: {other} is {found} (from {layer}). {how}");
            self.merged.report(key, &reason);
        }
    }
}

/// Checks that the key can sign with the algorithm.
fn signs(algorithm: Algorithm, key: &Secret) -> Result<(), &'static str> {
    let pem = key.expose().as_bytes();
    let (key, algorithm) = match algorithm {
        Algorithm::HS256 => {
            return match hmac_key(key) {
                None => Err("This is not base64."),
                Some(bytes) if bytes.len() < 32 => Err("This is too short to be safe."),
                Some(_) => Ok(()),
            };
        }
        Algorithm::ES256 => (
            EncodingKey::from_ec_pem(pem),
            jsonwebtoken::Algorithm::ES256,
        ),
        Algorithm::EdDSA => (
            EncodingKey::from_ed_pem(pem),
            jsonwebtoken::Algorithm::EdDSA,
        ),
    };
    // Only signing shows whether the key is of the right curve.
    let signed = key.and_then(|key| jsonwebtoken::encode(&Header::new(algorithm), &"", &key));
    signed
        .map(drop)
        .map_err(|_| "This is not a private key for auth.algorithm in PKCS#8 PEM.")
}

/// The bytes of an HS256 key in base64, padded or not, on one line or several.
pub fn hmac_key(key: &Secret) -> Option<Vec<u8>> {
    let padding = DecodePaddingMode::Indifferent;
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(padding);
    let text: String = key.expose().split_whitespace().collect();
    GeneralPurpose::new(&STANDARD, config).decode(text).ok()
}

/// Whether the text is a StringOrURI of RFC 7519.
fn is_name_or_url(text: &str) -> bool {
    let plain = !text.contains(|letter: char| letter.is_whitespace() || letter.is_control());
    let url = || url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    (1..=255).contains(&text.chars().count()) && plain && (!text.contains(':') || url())
}
