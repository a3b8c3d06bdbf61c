//! What types cannot tell: the ranges of values, and which values contradict each other.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jsonwebtoken::{EncodingKey, Header};

use super::load::Merged;
use super::{Accounts, Address, Algorithm, Auth, Ballots, Config, Database, Http, Limits, Live};
use super::{Cors, DatabaseUrl, Origin, Origins, Secret, Server, Share, Web};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The longest path that a unix socket can have on every system.
const LONGEST_SOCKET_PATH: usize = 103;

/// Reports every value that is out of its range or contradicts another one.
pub fn check(config: &Config, merged: &mut Merged) {
    let mut rules = Rules { merged };
    rules.server(&config.server);
    rules.database(&config.database);
    rules.auth(&config.auth);
    rules.accounts(&config.accounts);
    rules.limits(&config.limits);
    rules.share(&config.share);
    rules.ballots(&config.ballots);
    rules.live(&config.live);
    rules.http(&config.http);
    rules.web(&config.web);
    rules.cors(&config.cors);
}

/// The most headers that `cors.headers` may name.
const MOST_HEADERS: usize = 50;

struct Rules<'a> {
    merged: &'a mut Merged,
}

impl Rules<'_> {
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
                let why = "The server listens on a socket or on a port, not on both";
                let how = "Remove one, or set server.path to null where it is not wanted.";
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

    fn database(&mut self, database: &Database) {
        self.within(
            "database.min_connections",
            database.min_connections,
            0..=1000,
        );
        self.within(
            "database.max_connections",
            database.max_connections,
            1..=1000,
        );
        self.within(
            "database.acquire_timeout",
            database.acquire_timeout,
            100 * MILLISECOND..=MINUTE,
        );
        self.within("database.idle_timeout", database.idle_timeout, SECOND..=DAY);
        self.within("database.max_lifetime", database.max_lifetime, SECOND..=DAY);
        self.within(
            "database.statement_timeout",
            database.statement_timeout,
            100 * MILLISECOND..=10 * MINUTE,
        );
        self.at_most(
            ("database.min_connections", database.min_connections),
            ("database.max_connections", database.max_connections),
        );

        self.hosts(database);
        self.credentials(database);
    }

    fn hosts(&mut self, database: &Database) {
        let Some(first) = database.urls.first() else {
            return;
        };
        if self.merged.is_set("database.url") {
            let pair = ("database.urls", "database.url");
            self.contradiction(pair, "Only one of them can be used", "Remove one.");
        }
        if database.urls.iter().any(DatabaseUrl::is_file) {
            let reason = "An SQLite file has no hosts. Use database.url.";
            self.merged.report("database.urls", reason);
        } else if database.urls.iter().any(|url| !url.is_like(first)) {
            let reason = "These are not hosts of one database: the servers are of two kinds, or \
                the databases have two names.";
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
            let why = "Nobody signs in to an SQLite file";
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
                    let why = "An SQLite file is not on the network";
                    self.contradiction((other, key), why, how);
                }
            }
            return;
        }
        if user.is_some() && urls.iter().any(DatabaseUrl::has_user) {
            let why = "The account is in the URL already";
            self.contradiction(with_user, why, "Remove one.");
        }
        if password.is_some() && urls.iter().any(DatabaseUrl::has_password) {
            let why = "The password is in the URL already";
            self.contradiction(with_password, why, "Remove it from the URL.");
        }
        if password.is_some() && user.is_none() && !urls.iter().all(DatabaseUrl::has_user) {
            let why = "Nobody is named whose password this is";
            self.contradiction(("database.password", "database.user"), why, "Set it.");
        }
    }

    fn auth(&mut self, auth: &Auth) {
        self.within("auth.access_token_ttl", auth.access_token_ttl, SECOND..=DAY);
        self.within(
            "auth.refresh_token_ttl",
            auth.refresh_token_ttl,
            SECOND..=365 * DAY,
        );
        self.within(
            "auth.refresh_reuse_window",
            auth.refresh_reuse_window,
            Duration::ZERO..=5 * MINUTE,
        );
        self.within("auth.max_sessions", auth.max_sessions, 1..=10_000);
        self.within(
            "auth.revocation_poll_interval",
            auth.revocation_poll_interval,
            50 * MILLISECOND..=900 * MILLISECOND,
        );
        self.within(
            "auth.revocation_max_staleness",
            auth.revocation_max_staleness,
            SECOND..=5 * MINUTE,
        );
        self.at_most(
            ("auth.access_token_ttl", auth.access_token_ttl),
            ("auth.refresh_token_ttl", auth.refresh_token_ttl),
        );
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

    fn accounts(&mut self, accounts: &Accounts) {
        self.within(
            "accounts.password_memory",
            accounts.password_memory,
            64 * KIB..=GIB,
        );
        self.within(
            "accounts.password_iterations",
            accounts.password_iterations,
            1..=20,
        );
        self.within(
            "accounts.password_parallelism",
            accounts.password_parallelism,
            1..=8,
        );
        self.within(
            "accounts.password_workers",
            accounts.password_workers,
            0..=256,
        );
    }

    fn limits(&mut self, limits: &Limits) {
        for (key, count) in [
            ("limits.sign_ins_per_account", limits.sign_ins_per_account),
            ("limits.sign_ins_per_address", limits.sign_ins_per_address),
            (
                "limits.sign_in_failures_per_account",
                limits.sign_in_failures_per_account,
            ),
            (
                "limits.sign_in_failures_per_account_in_sum",
                limits.sign_in_failures_per_account_in_sum,
            ),
            (
                "limits.sign_in_failures_per_address",
                limits.sign_in_failures_per_address,
            ),
            (
                "limits.password_changes_per_account",
                limits.password_changes_per_account,
            ),
            (
                "limits.registrations_per_address",
                limits.registrations_per_address,
            ),
            ("limits.questions_per_day", limits.questions_per_day),
        ] {
            self.within(key, count, 1..=1_000_000);
        }
        for (key, count) in [
            ("limits.reads_per_account", limits.reads_per_account),
            ("limits.reads_per_address", limits.reads_per_address),
            ("limits.writes_per_account", limits.writes_per_account),
            ("limits.writes_per_address", limits.writes_per_address),
            ("limits.ballots_per_account", limits.ballots_per_account),
            ("limits.ballots_per_address", limits.ballots_per_address),
            ("limits.streams_per_account", limits.streams_per_account),
            ("limits.streams_per_address", limits.streams_per_address),
        ] {
            self.within(key, count, 1..=1_000_000_000);
        }
        self.within("limits.window", limits.window, SECOND..=DAY);
        self.within("limits.rate_window", limits.rate_window, SECOND..=DAY);
        self.within(
            "limits.text_per_account",
            limits.text_per_account,
            KIB..=1024 * GIB,
        );
    }

    fn share(&mut self, share: &Share) {
        let named = |letter: char| letter.is_ascii_alphanumeric() || ":._-{}".contains(letter);
        if !(1..=64).contains(&share.prefix.len()) || !share.prefix.chars().all(named) {
            let reason = "This does not fit into the names of keys.";
            self.merged.report("share.prefix", reason);
        }
        self.within(
            "share.timeout",
            share.timeout,
            10 * MILLISECOND..=5 * SECOND,
        );
        let pair = ("share.redis_password", "share.redis_url");
        match (&share.redis_password, &share.redis_url) {
            (Some(_), None) => {
                let why = "Nothing is named that this password is for";
                self.contradiction(pair, why, "Set it.");
            }
            (Some(_), Some(url)) if url.has_password() => {
                let why = "The password is in the URL already";
                self.contradiction(pair, why, "Remove it from the URL.");
            }
            _ => {}
        }
    }

    fn ballots(&mut self, ballots: &Ballots) {
        self.within("ballots.queue", ballots.queue, 1..=1_000_000);
        self.within("ballots.batch", ballots.batch, 1..=10_000);
        self.within(
            "ballots.seal_interval",
            ballots.seal_interval,
            100 * MILLISECOND..=MINUTE,
        );
        self.at_most(
            ("ballots.batch", ballots.batch),
            ("ballots.queue", ballots.queue),
        );
    }

    fn live(&mut self, live: &Live) {
        for (key, count) in [
            ("live.max_streams", live.max_streams),
            ("live.max_streams_per_address", live.max_streams_per_address),
        ] {
            self.within(key, count, 0..=1_000_000);
        }
        self.within(
            "live.poll_interval",
            live.poll_interval,
            50 * MILLISECOND..=10 * SECOND,
        );
        for (key, span) in [
            ("live.heartbeat", live.heartbeat),
            ("live.patience", live.patience),
        ] {
            self.within(key, span, 100 * MILLISECOND..=5 * MINUTE);
        }
    }

    fn http(&mut self, http: &Http) {
        for (key, count) in [
            ("http.max_connections", http.max_connections),
            (
                "http.max_connections_per_address",
                http.max_connections_per_address,
            ),
            ("http.max_requests", http.max_requests),
            (
                "http.max_requests_per_address",
                http.max_requests_per_address,
            ),
        ] {
            self.within(key, count, 1..=1_000_000);
        }
        for (key, size) in [
            ("http.max_received", http.max_received),
            (
                "http.max_received_per_address",
                http.max_received_per_address,
            ),
            ("http.max_unsent", http.max_unsent),
            ("http.max_unsent_per_address", http.max_unsent_per_address),
        ] {
            self.within(key, size, 2 * MIB..=64 * GIB);
        }
        self.within(
            "http.header_timeout",
            http.header_timeout,
            100 * MILLISECOND..=10 * MINUTE,
        );
        self.within(
            "http.body_timeout",
            http.body_timeout,
            100 * MILLISECOND..=10 * MINUTE,
        );
        self.within(
            "http.send_timeout",
            http.send_timeout,
            100 * MILLISECOND..=10 * MINUTE,
        );
        self.within(
            "http.shutdown_delay",
            http.shutdown_delay,
            Duration::ZERO..=10 * MINUTE,
        );
        self.within(
            "http.shutdown_linger",
            http.shutdown_linger,
            Duration::ZERO..=10 * MINUTE,
        );
        self.within(
            "http.shutdown_grace",
            http.shutdown_grace,
            Duration::ZERO..=10 * MINUTE,
        );
        self.within("http.max_body", http.max_body, KIB..=16 * MIB);
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
        self.within("cors.max_age", cors.max_age, Duration::ZERO..=DAY);
        if cors.headers.len() > MOST_HEADERS {
            self.merged.report("cors.headers", "These are too many.");
        }
        if cors.credentials && cors.origins == Origins::Any {
            let why = "Any page on the web could act for whoever visits it";
            let how = "Name the origins that may.";
            self.contradiction(("cors.credentials", "cors.origins"), why, how);
        }
    }

    fn within<T: PartialOrd>(&mut self, key: &str, value: T, range: RangeInclusive<T>) {
        if value < *range.start() {
            self.merged.report(key, "This is too little.");
        } else if value > *range.end() {
            self.merged.report(key, "This is too much.");
        }
    }

    fn at_most<T: PartialOrd>(&mut self, (less, low): (&str, T), (more, high): (&str, T)) {
        if low > high {
            let why = "This is more than the other allows";
            self.contradiction((less, more), why, "Lower the one or raise the other.");
        }
    }

    /// Reports that `key` cannot go together with `other`.
    fn contradiction(&mut self, (key, other): (&str, &str), why: &str, how: &str) {
        // A value that was not understood has been replaced by its default.
        if self.merged.are_sound(&[key, other]) {
            let (found, layer) = (self.merged.shown(other), self.merged.layer(other));
            let reason = format!("{why}: {other} is {found} (from {layer}). {how}");
            self.merged.report(key, &reason);
        }
    }
}

/// Whether the key is one to sign with.
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
    // Only signing shows whether it is the right curve.
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

/// Whether it is a StringOrURI as RFC 7519 has it.
fn is_name_or_url(text: &str) -> bool {
    let plain = !text.contains(|letter: char| letter.is_whitespace() || letter.is_control());
    let url = || url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    (1..=255).contains(&text.chars().count()) && plain && (!text.contains(':') || url())
}
