//! Configuration: what can be set, where it comes from, and what is wrong with it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

/// Everything that can be configured. `config/default.yaml` documents each key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub database: Database,
    pub auth: Auth,
    pub accounts: Accounts,
    pub limits: Limits,
    pub ballots: Ballots,
    pub http: Http,
    pub cors: Cors,
    pub log: Log,
}

/// Where the server listens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub host: IpAddr,
    /// 0 picks a free one.
    pub port: u16,
    /// A unix socket instead of host and port.
    pub path: Option<PathBuf>,
    /// The unix socket's permission bits, such as 0o660.
    pub path_mode: u32,
    /// The address clients use, where it differs (`https://polls.example.org`): `iss`, metadata.
    pub public_url: Option<String>,
    /// Networks of proxies whose `X-Forwarded-For` is believed; a unix socket's peer always is.
    pub trusted_proxies: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    pub url: String,
    pub user: Option<String>,
    pub password: Option<String>,
    pub min_connections: u32,
    pub max_connections: u32,
    pub acquire_timeout: Duration,
    pub idle_timeout: Duration,
    pub max_lifetime: Duration,
    /// Whether `serve` brings the schema up to date.
    pub migrate: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    pub algorithm: Algorithm,
    /// For HS256: at least 32 bytes of base64. For the others: a PKCS#8 PEM private key.
    pub key: Option<String>,
    pub issuer: String,
    pub audience: String,
    pub access_token_ttl: Duration,
    pub refresh_token_ttl: Duration,
    /// How long a used refresh token still gets a sibling.
    pub refresh_reuse_window: Duration,
    pub revocation_poll_interval: Duration,
    /// After how long without the revocation list protected calls get 503.
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
    /// ISO 3166 code for phone numbers in national form, such as `CN`.
    pub default_region: String,
    /// Whether anybody may register.
    pub registration: bool,
    /// argon2id: memory, passes and lanes.
    pub password_memory: u32,
    pub password_iterations: u32,
    pub password_parallelism: u32,
    /// How many passwords are hashed at once; 0 takes the number of cores.
    pub password_workers: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub enabled: bool,
    /// Failed sign-ins of one account in `window`.
    pub sign_in_failures_per_account: u32,
    /// Failed sign-ins of one address in `window`.
    pub sign_in_failures_per_address: u32,
    /// Registrations of one address in `window`.
    pub registrations_per_address: u32,
    pub window: Duration,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ballots {
    /// How many ballots may wait for a commit; past it: 503.
    pub queue: u32,
    /// How many ballots one commit takes at most.
    pub batch: u32,
    /// How often closed questions are looked for that wait for their seal.
    pub seal_interval: Duration,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    pub max_connections: u32,
    /// Until a request's header must have arrived; also how long an idle connection is kept.
    pub header_timeout: Duration,
    /// Until a request's body must have arrived.
    pub body_timeout: Duration,
    /// How long requests may take to finish at shutdown.
    pub shutdown_grace: Duration,
    /// The largest request body, in bytes, where a route says nothing else.
    pub max_body: u64,
    pub compression: bool,
    /// Whether Swagger UI is served at /docs.
    pub docs: bool,
    /// Whether /metrics is served.
    pub metrics: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// `*`, or origins such as `https://app.example.org`.
    pub origins: Vec<String>,
    pub credentials: bool,
    pub max_age: Duration,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// A tracing filter, such as `info` or `polls=debug,sqlx=warn`.
    pub filter: String,
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
