//! Configuration: the settings, their sources, and their checks.
//!
//! `config/default.yaml` documents every setting and is the lowest layer. Above it are a file, the
//! environment and the command line ([`Sources`]). [`load`] merges them and reports all mistakes at
//! once. A setting's type (with `forms`) defines how its value is written; `rules` checks ranges
//! and contradictions; `secret` masks values by their type.

mod address;
mod contact;
mod database_url;
mod forms;
mod load;
mod manual;
mod origin;
mod problem;
mod redis_url;
mod rules;
mod secret;
mod smtp_url;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use lettre::message::Mailbox;
use phonenumber::country;
use serde::Deserialize;

pub use address::Address;
pub use contact::Contact;
pub use database_url::DatabaseUrl;
pub use load::{Flag, Loaded, Setting, Sources, load};
pub use origin::{Origin, Origins};
pub use problem::{Problem, Problems};
pub use redis_url::RedisUrl;
pub use rules::hmac_key;
pub use secret::Secret;
pub use smtp_url::{SmtpEncryption, SmtpUrl};

/// Everything that can be configured. `config/default.yaml` documents each key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub database: Database,
    pub auth: Auth,
    pub accounts: Accounts,
    pub mail: Mail,
    pub limits: Limits,
    pub share: Share,
    pub ballots: Ballots,
    pub live: Live,
    pub http: Http,
    pub web: Web,
    pub cors: Cors,
    pub log: Log,
}

impl Config {
    /// `iss` of the tokens: the configured one, else the public URL, else `polls`.
    pub fn issuer(&self) -> &str {
        let public_url = self.server.public_url.as_ref().map(Origin::as_str);
        self.auth
            .issuer
            .as_deref()
            .or(public_url)
            .unwrap_or("polls")
    }

    /// What clients can use only where the operator has switched it on.
    pub fn features(&self) -> Vec<&'static str> {
        let all = [
            ("mail", self.mail.url.is_some()),
            ("qr_codes", self.server.public_url.is_some()),
            ("registration", self.accounts.registration),
        ];
        let on = all.into_iter().filter(|(_, is_on)| *is_on);
        on.map(|(name, _)| name).collect()
    }
}

/// Where the server listens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    #[serde(deserialize_with = "forms::address")]
    pub host: IpAddr,
    /// 0 picks a free port.
    pub port: u16,
    /// A unix socket instead of host and port.
    pub path: Option<PathBuf>,
    /// The permission bits of the unix socket, such as 0o660.
    #[serde(deserialize_with = "forms::mode")]
    pub path_mode: u32,
    /// The address that clients use, if it differs (`https://polls.example.org`).
    pub public_url: Option<Origin>,
    /// How to reach the operator, for the OpenAPI document.
    pub contact: Option<Contact>,
    /// Networks of proxies whose `X-Forwarded-For` is trusted. Peers on a unix socket always are.
    #[serde(deserialize_with = "forms::networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// A second address, for Prometheus metrics and the health endpoints.
    pub metrics: Option<Address>,
}

impl Server {
    /// Where the API is served: the unix socket, or the host and port.
    pub fn address(&self) -> Address {
        match &self.path {
            Some(path) => Address::Unix(path.clone()),
            None => Address::Tcp(SocketAddr::new(self.host, self.port)),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    pub url: DatabaseUrl,
    /// Hosts of one database, instead of `url`: the first that accepts writes is used.
    #[serde(deserialize_with = "forms::database_urls")]
    pub urls: Vec<DatabaseUrl>,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub min_connections: u32,
    pub max_connections: u32,
    #[serde(deserialize_with = "forms::duration")]
    pub acquire_timeout: Duration,
    #[serde(deserialize_with = "forms::duration")]
    pub idle_timeout: Duration,
    #[serde(deserialize_with = "forms::duration")]
    pub max_lifetime: Duration,
    /// How long one statement may run.
    #[serde(deserialize_with = "forms::duration")]
    pub statement_timeout: Duration,
    /// None leaves it to the URL.
    #[serde(deserialize_with = "forms::optional_name")]
    pub tls: Option<Tls>,
    /// A PEM file with the trusted certificate authorities, instead of the public ones.
    pub tls_ca: Option<PathBuf>,
    /// Whether `serve` migrates the schema.
    pub migrate: bool,
}

impl Database {
    /// The hosts to try, in this order: `urls`, or only `url` if that is empty.
    pub fn urls(&self) -> &[DatabaseUrl] {
        match &*self.urls {
            [] => std::slice::from_ref(&self.url),
            urls => urls,
        }
    }
}

/// The TLS mode of connections to a database server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    Disable,
    /// TLS if the server offers it.
    Prefer,
    Require,
    /// The server's certificate must be signed by a trusted authority.
    VerifyCa,
    /// Like `VerifyCa`, and the certificate must name the host.
    VerifyFull,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    #[serde(deserialize_with = "forms::name")]
    pub algorithm: Algorithm,
    /// For HS256: at least 32 bytes of base64. For the others: a PKCS#8 PEM private key.
    pub key: Option<Secret>,
    /// See [`Config::issuer`] for the default.
    pub issuer: Option<String>,
    pub audience: String,
    #[serde(deserialize_with = "forms::duration")]
    pub access_token_ttl: Duration,
    #[serde(deserialize_with = "forms::duration")]
    pub refresh_token_ttl: Duration,
    /// How long an unused guest is kept, and its session with it.
    #[serde(deserialize_with = "forms::duration")]
    pub guest_ttl: Duration,
    /// How long a used refresh token still gets the same successor.
    #[serde(deserialize_with = "forms::duration")]
    pub refresh_reuse_window: Duration,
    /// The most sessions of one account; above it the least recently used ones end.
    pub max_sessions: u32,
    #[serde(deserialize_with = "forms::duration")]
    pub revocation_poll_interval: Duration,
    /// How old the list of revocations and keys may get before calls that need a token get 503.
    #[serde(deserialize_with = "forms::duration")]
    pub revocation_max_staleness: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Algorithm {
    HS256,
    ES256,
    EdDSA,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    /// The region whose phone numbers may be written without a country code.
    #[serde(deserialize_with = "forms::name")]
    pub default_region: country::Id,
    /// Whether anybody may register.
    pub registration: bool,
    /// argon2id's memory, in bytes.
    #[serde(deserialize_with = "forms::size")]
    pub password_memory: u64,
    /// argon2id's passes.
    pub password_iterations: u32,
    /// argon2id's lanes.
    pub password_parallelism: u32,
    /// How many passwords are hashed at once; 0 means all cores but one, and at least one.
    pub password_workers: u32,
}

/// How mail is sent; none without `url`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    pub url: Option<SmtpUrl>,
    pub user: Option<String>,
    pub password: Option<Secret>,
    /// The sender of all messages.
    #[serde(deserialize_with = "forms::optional_mailbox")]
    pub from: Option<Mailbox>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub enabled: bool,
    /// Sign-ins of one account from one address in `window`, including successful ones.
    pub sign_ins_per_account: u32,
    /// Sign-ins from one address in `window`, including successful ones.
    pub sign_ins_per_address: u32,
    /// Failed sign-ins of one account from one address in `window`.
    pub sign_in_failures_per_account: u32,
    /// Failed sign-ins of one account from all addresses together in `window`.
    pub sign_in_failures_per_account_in_sum: u32,
    /// Failed sign-ins of one address in `window`.
    pub sign_in_failures_per_address: u32,
    /// How often one account may send its current password in `window`.
    pub password_changes_per_account: u32,
    /// Messages that calls from one address cause in `window`.
    pub mails_per_address: u32,
    /// Messages to one recipient in `window`.
    pub mails_per_recipient: u32,
    /// Codes and tokens from messages that one address, or one account, sends in `window`.
    pub code_attempts: u32,
    /// Registrations of one address in `window`.
    pub registrations_per_address: u32,
    /// Guests that one address makes in `window`.
    pub guests_per_address: u32,
    #[serde(deserialize_with = "forms::duration")]
    pub window: Duration,
    /// Calls in `rate_window`. Calls without an account count for the address.
    pub reads_per_account: u32,
    pub reads_per_address: u32,
    pub writes_per_account: u32,
    pub writes_per_address: u32,
    pub ballots_per_account: u32,
    pub ballots_per_address: u32,
    /// Live streams that are opened.
    pub streams_per_account: u32,
    pub streams_per_address: u32,
    #[serde(deserialize_with = "forms::duration")]
    pub rate_window: Duration,
    /// Questions that one account asks in a day (UTC).
    pub questions_per_day: u32,
    /// The text of all questions and choices of one account, in bytes of UTF-8.
    #[serde(deserialize_with = "forms::size")]
    pub text_per_account: u64,
    pub invitations_per_question: u32,
    /// Invitations that one account sends by mail in a day (UTC).
    pub invitation_mails_per_day: u32,
    /// Invitations that one address gets by mail in a day.
    pub invitation_mails_per_recipient: u32,
}

/// How the processes of one database share news and rate limits.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    pub redis_url: Option<RedisUrl>,
    pub redis_password: Option<Secret>,
    /// The prefix of the names of keys and channels.
    pub prefix: String,
    /// How long a request waits for Redis or the shared table.
    #[serde(deserialize_with = "forms::duration")]
    pub timeout: Duration,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ballots {
    /// How many ballots may wait for a commit; above it: 503.
    pub queue: u32,
    /// The most ballots in one commit.
    pub batch: u32,
    /// How often to look for closed questions that are not sealed yet.
    #[serde(deserialize_with = "forms::duration")]
    pub seal_interval: Duration,
}

/// Live results.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Live {
    pub max_streams: u32,
    pub max_streams_per_address: u32,
    /// How often versions are polled if no news arrives.
    #[serde(deserialize_with = "forms::duration")]
    pub poll_interval: Duration,
    #[serde(deserialize_with = "forms::duration")]
    pub heartbeat: Duration,
    /// How long a client may leave sent data unread.
    #[serde(deserialize_with = "forms::duration")]
    pub patience: Duration,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    pub max_connections: u32,
    /// For one network address, except for proxies.
    pub max_connections_per_address: u32,
    /// Concurrent requests, not counting reads over HTTP/1 without a proxy.
    pub max_requests: u32,
    pub max_requests_per_address: u32,
    /// Bytes of incomplete request bodies.
    #[serde(deserialize_with = "forms::size")]
    pub max_received: u64,
    #[serde(deserialize_with = "forms::size")]
    pub max_received_per_address: u64,
    /// Bytes of answers that clients have not received yet.
    #[serde(deserialize_with = "forms::size")]
    pub max_unsent: u64,
    #[serde(deserialize_with = "forms::size")]
    pub max_unsent_per_address: u64,
    /// The time for a request's header to arrive, and for which an idle connection is kept. Up to a
    /// quarter more.
    #[serde(deserialize_with = "forms::duration")]
    pub header_timeout: Duration,
    /// The time for a request's body to arrive.
    #[serde(deserialize_with = "forms::duration")]
    pub body_timeout: Duration,
    /// How long a client may receive nothing of an answer. Up to a quarter more.
    #[serde(deserialize_with = "forms::duration")]
    pub send_timeout: Duration,
    /// At shutdown, how long the server goes on as before while `/readyz` answers 503.
    #[serde(deserialize_with = "forms::duration")]
    pub shutdown_delay: Duration,
    /// At shutdown, how long connections without a request stay open.
    #[serde(deserialize_with = "forms::duration")]
    pub shutdown_linger: Duration,
    /// At shutdown, how long requests may take to finish.
    #[serde(deserialize_with = "forms::duration")]
    pub shutdown_grace: Duration,
    /// The largest request body, in bytes, for operations without a limit of their own.
    #[serde(deserialize_with = "forms::size")]
    pub max_body: u64,
    pub compression: bool,
    /// Whether Swagger UI is served at /docs.
    pub docs: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Web {
    pub enabled: bool,
    /// A folder with another web page, instead of the built-in one.
    pub root: Option<PathBuf>,
    /// Whether folders without an `index.html` are listed.
    pub show_index: bool,
    /// Whether symbolic links may lead out of `root`.
    pub follow_symlinks: bool,
    /// The origins whose pages may show `/embed/…` in a frame.
    #[serde(deserialize_with = "forms::origins")]
    pub embed_origins: Origins,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    #[serde(deserialize_with = "forms::origins")]
    pub origins: Origins,
    /// Whether pages of any origin may call `/auth`, if `origins` allows any.
    pub auth: bool,
    /// The request headers that pages may send, besides those that the API reads.
    #[serde(deserialize_with = "forms::header_names")]
    pub headers: Vec<HeaderName>,
    pub credentials: bool,
    #[serde(deserialize_with = "forms::duration")]
    pub max_age: Duration,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// A tracing filter, such as `info` or `info,polls=debug`.
    #[serde(deserialize_with = "forms::log_filter")]
    pub filter: String,
    #[serde(deserialize_with = "forms::name")]
    pub format: LogFormat,
    /// Whether each request is logged.
    pub access: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Pretty on a terminal, JSON otherwise.
    Auto,
    Pretty,
    Json,
}
