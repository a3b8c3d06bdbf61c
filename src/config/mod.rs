//! Configuration: what can be set, where it comes from, and what is wrong with it.
//!
//! `config/default.yaml` is the documentation and the lowest layer, then come a file, the
//! environment and the command line ([`Sources`]). [`load`] merges them and reports every mistake
//! at once. What one value may look like is told by its type and `forms`, its range and whatever
//! would contradict it by `rules`.

mod address;
mod database_url;
mod forms;
mod load;
mod manual;
mod origin;
mod problem;
mod redis_url;
mod rules;
mod secret;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use phonenumber::country;
use serde::Deserialize;

pub use address::Address;
pub use database_url::DatabaseUrl;
pub use load::{Flag, Loaded, Setting, Sources, load};
pub use origin::{Origin, Origins};
pub use problem::{Problem, Problems};
pub use redis_url::RedisUrl;
pub use rules::hmac_key;
pub use secret::Secret;

/// Everything that can be configured. `config/default.yaml` documents each key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub database: Database,
    pub auth: Auth,
    pub accounts: Accounts,
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
}

/// Where the server listens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    #[serde(deserialize_with = "forms::address")]
    pub host: IpAddr,
    /// 0 picks a free one.
    pub port: u16,
    /// A unix socket instead of host and port.
    pub path: Option<PathBuf>,
    /// The unix socket's permission bits, such as 0o660.
    #[serde(deserialize_with = "forms::mode")]
    pub path_mode: u32,
    /// The address clients use, where it differs (`https://polls.example.org`).
    pub public_url: Option<Origin>,
    /// Networks of proxies whose `X-Forwarded-For` is believed; a unix socket's peer always is.
    #[serde(deserialize_with = "forms::networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Where figures for Prometheus are served, and the health endpoints once more.
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
    /// Hosts of one database, instead of `url`: the first that can be written to is used.
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
    /// How long the server may work on one statement.
    #[serde(deserialize_with = "forms::duration")]
    pub statement_timeout: Duration,
    /// None leaves it to the URL.
    #[serde(deserialize_with = "forms::optional_name")]
    pub tls: Option<Tls>,
    /// A PEM file with the authorities that are trusted, instead of the public ones.
    pub tls_ca: Option<PathBuf>,
    /// Whether `serve` brings the schema up to date.
    pub migrate: bool,
}

impl Database {
    /// The hosts to try, in this order; one where `urls` is empty.
    pub fn urls(&self) -> &[DatabaseUrl] {
        match &*self.urls {
            [] => std::slice::from_ref(&self.url),
            urls => urls,
        }
    }
}

/// How a connection to a database server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    Disable,
    /// Where the server offers it.
    Prefer,
    Require,
    /// The server's certificate must be of a trusted authority.
    VerifyCa,
    /// And name the host.
    VerifyFull,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    #[serde(deserialize_with = "forms::name")]
    pub algorithm: Algorithm,
    /// For HS256: at least 32 bytes of base64. For the others: a PKCS#8 PEM private key.
    pub key: Option<Secret>,
    /// [`Config::issuer`] knows what stands in for it.
    pub issuer: Option<String>,
    pub audience: String,
    #[serde(deserialize_with = "forms::duration")]
    pub access_token_ttl: Duration,
    #[serde(deserialize_with = "forms::duration")]
    pub refresh_token_ttl: Duration,
    /// How long a used refresh token still gets its successor again.
    #[serde(deserialize_with = "forms::duration")]
    pub refresh_reuse_window: Duration,
    /// Sessions of one account; past it the least recently used ones end.
    pub max_sessions: u32,
    #[serde(deserialize_with = "forms::duration")]
    pub revocation_poll_interval: Duration,
    /// After how long without revocations and keys protected calls get 503.
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
    /// Whose phone numbers are understood in national form.
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
    /// How many passwords are hashed at once; 0 takes all cores but one, and one at least.
    pub password_workers: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub enabled: bool,
    /// Sign-ins of one account from one address in `window`, those that succeed too.
    pub sign_ins_per_account: u32,
    /// Sign-ins from one address in `window`, those that succeed too.
    pub sign_ins_per_address: u32,
    /// Failed sign-ins of one account from one address in `window`.
    pub sign_in_failures_per_account: u32,
    /// Failed sign-ins of one account from all addresses in `window`.
    pub sign_in_failures_per_account_in_sum: u32,
    /// Failed sign-ins of one address in `window`.
    pub sign_in_failures_per_address: u32,
    /// Attempts of one account to change its password in `window`.
    pub password_changes_per_account: u32,
    /// Registrations of one address in `window`.
    pub registrations_per_address: u32,
    #[serde(deserialize_with = "forms::duration")]
    pub window: Duration,
    /// Calls in `rate_window`; of an address, those without an account.
    pub reads_per_account: u32,
    pub reads_per_address: u32,
    pub writes_per_account: u32,
    pub writes_per_address: u32,
    pub ballots_per_account: u32,
    pub ballots_per_address: u32,
    /// Live streams that are begun.
    pub streams_per_account: u32,
    pub streams_per_address: u32,
    #[serde(deserialize_with = "forms::duration")]
    pub rate_window: Duration,
    /// Questions that one account asks in a day (UTC).
    pub questions_per_day: u32,
    /// The text of all questions and choices of one account, in bytes of UTF-8.
    #[serde(deserialize_with = "forms::size")]
    pub text_per_account: u64,
}

/// What the processes of one database share.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    pub redis_url: Option<RedisUrl>,
    pub redis_password: Option<Secret>,
    /// What the names of keys and channels begin with.
    pub prefix: String,
    /// How long a request waits for what is shared.
    #[serde(deserialize_with = "forms::duration")]
    pub timeout: Duration,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ballots {
    /// How many ballots may wait for a commit; past it: 503.
    pub queue: u32,
    /// How many ballots one commit takes at most.
    pub batch: u32,
    /// How often closed questions are looked for that wait for their seal.
    #[serde(deserialize_with = "forms::duration")]
    pub seal_interval: Duration,
}

/// Live results.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Live {
    pub max_streams: u32,
    pub max_streams_per_address: u32,
    /// How often versions are asked for where no news comes.
    #[serde(deserialize_with = "forms::duration")]
    pub poll_interval: Duration,
    #[serde(deserialize_with = "forms::duration")]
    pub heartbeat: Duration,
    /// How long a client may leave unread what it was sent.
    #[serde(deserialize_with = "forms::duration")]
    pub patience: Duration,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    pub max_connections: u32,
    /// Of one network address; not of proxies.
    pub max_connections_per_address: u32,
    /// Requests that are being answered, but for those that read over HTTP/1 without a proxy.
    pub max_requests: u32,
    pub max_requests_per_address: u32,
    /// Bytes of request bodies that have not arrived completely.
    #[serde(deserialize_with = "forms::size")]
    pub max_received: u64,
    #[serde(deserialize_with = "forms::size")]
    pub max_received_per_address: u64,
    /// Bytes of answers that clients have not taken.
    #[serde(deserialize_with = "forms::size")]
    pub max_unsent: u64,
    #[serde(deserialize_with = "forms::size")]
    pub max_unsent_per_address: u64,
    /// Until a request's header must have arrived; also how long an idle connection is kept. Either
    /// may take a quarter longer.
    #[serde(deserialize_with = "forms::duration")]
    pub header_timeout: Duration,
    /// Until a request's body must have arrived.
    #[serde(deserialize_with = "forms::duration")]
    pub body_timeout: Duration,
    /// How long a client may take nothing of what it is sent; a quarter longer at most.
    #[serde(deserialize_with = "forms::duration")]
    pub send_timeout: Duration,
    /// How long `/readyz` says no before anything else changes at shutdown.
    #[serde(deserialize_with = "forms::duration")]
    pub shutdown_delay: Duration,
    /// How long connections without a request stay open at shutdown.
    #[serde(deserialize_with = "forms::duration")]
    pub shutdown_linger: Duration,
    /// How long requests may take to finish at shutdown.
    #[serde(deserialize_with = "forms::duration")]
    pub shutdown_grace: Duration,
    /// The largest request body, in bytes, where a route says nothing else.
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
    /// A folder with a page of one's own, instead of the one in the program.
    pub root: Option<PathBuf>,
    /// Whether folders without an `index.html` are listed.
    pub show_index: bool,
    /// Whether symbolic links may lead out of `root`.
    pub follow_symlinks: bool,
    /// Whose pages may show `/embed/…` in a frame.
    #[serde(deserialize_with = "forms::origins")]
    pub embed_origins: Origins,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    #[serde(deserialize_with = "forms::origins")]
    pub origins: Origins,
    /// Whether the calls under `/auth` answer any origin, where `origins` allows any.
    pub auth: bool,
    /// The request headers that pages may send beside those that the API reads.
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
