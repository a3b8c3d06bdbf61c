//! What the tests of accounts and tokens share: processes on a database of their own.

use std::time::Duration;

use super::tokens::grant::{GrantFailure, TokenResponse};
use super::{Accounts, OpenError, SignedIn, Tokens};
use crate::clock::Clock;
use crate::config::{self, Config, Flag, Sources};
use crate::db::Db;
use crate::failure::{Code, Failure};
use crate::mail::Mail;
use crate::network::Network;
use crate::precondition::IfMatch;
use crate::share::Share;
use crate::users::entity::Model as Account;
use crate::users::{Registration, Role, UserPatch};

pub const PASSWORD: &str = "correct-horse";

pub const SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_secs(60);

/// A process of the server, as far as accounts and tokens go.
#[derive(Clone)]
pub struct Process {
    pub tokens: Tokens,
    pub accounts: Accounts,
    pub db: Db,
    pub clock: Clock,
}

/// A database, and the clock and configuration of all processes that open it.
pub struct Cluster {
    pub folder: tempfile::TempDir,
    pub clock: Clock,
}

impl Cluster {
    /// An empty database, and the first process to open it.
    pub async fn new() -> (Cluster, Process) {
        Cluster::with(&[]).await
    }

    pub async fn with(settings: &[(&str, &str)]) -> (Cluster, Process) {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster {
            folder,
            clock: Clock::default(),
        };
        let db = Db::connect(&cluster.config(settings).database)
            .await
            .unwrap();
        db.migrate_up(None).await.unwrap();
        let process = cluster.open(settings).await.unwrap();
        (cluster, process)
    }

    /// Another process that opens the same database.
    pub async fn open(&self, settings: &[(&str, &str)]) -> Result<Process, OpenError> {
        self.open_with(self.clock.clone(), settings).await
    }

    /// One whose clock is its own.
    pub async fn open_with(
        &self,
        clock: Clock,
        settings: &[(&str, &str)],
    ) -> Result<Process, OpenError> {
        let config = self.config(settings);
        let db = Db::connect(&config.database).await.unwrap();
        let share = Share::open(&config.share, db.clone(), clock.clone()).unwrap();
        share.connect().await;
        let mail = Mail::open(db.clone(), clock.clone(), &config).unwrap();
        let opened = super::open(db.clone(), clock.clone(), share, mail, &config);
        let (tokens, accounts) = opened.await?;
        Ok(Process {
            tokens,
            accounts,
            db,
            clock,
        })
    }

    pub fn config(&self, settings: &[(&str, &str)]) -> Config {
        let url = format!("sqlite:{}", self.folder.path().join("test.db").display());
        let usual = [
            ("database.url", url.as_str()),
            // Cheap passwords: what they cost is not what these tests are about.
            ("accounts.password_memory", "64KiB"),
            ("accounts.password_iterations", "1"),
        ];
        let flag = |&(key, value): &(&str, &str)| Flag {
            name: format!("--set {key}"),
            key: key.to_owned(),
            value: value.to_owned(),
        };
        let flags = usual.iter().chain(settings).map(flag).collect();
        config::load(&Sources {
            flags,
            ..Sources::default()
        })
        .unwrap()
        .config
    }
}

pub fn registration(name: &str) -> Registration {
    Registration {
        name: name.to_owned(),
        email: format!("{name}@example.org"),
        phone: None,
        password: PASSWORD.to_owned(),
    }
}

pub fn nowhere() -> Network {
    Network::of(None)
}

pub async fn user(process: &Process, name: &str) -> Account {
    process
        .accounts
        .create_account(registration(name), Role::User)
        .await
        .unwrap()
}

pub async fn admin(process: &Process, name: &str) -> Account {
    process
        .accounts
        .create_account(registration(name), Role::Admin)
        .await
        .unwrap()
}

/// Promotes, demotes, disables or enables an account.
pub async fn set_access(process: &Process, login: &str, change: UserPatch) {
    let account = process.accounts.by_login(login).await.unwrap();
    let changed = process
        .accounts
        .set_access(account.id, change, &IfMatch::default())
        .await;
    changed.unwrap();
}

pub async fn sign_in(process: &Process, name: &str) -> TokenResponse {
    let login = format!("{name}@example.org");
    try_sign_in(process, &login, PASSWORD).await.unwrap()
}

pub async fn try_sign_in(
    process: &Process,
    login: &str,
    password: &str,
) -> Result<TokenResponse, GrantFailure> {
    process
        .accounts
        .sign_in(login, password.to_owned(), Some("test"), nowhere())
        .await
}

/// Whom the granted access token speaks for.
pub async fn caller(process: &Process, granted: &TokenResponse) -> SignedIn {
    process
        .tokens
        .authenticate(&granted.access_token)
        .await
        .unwrap()
}

/// Why the granted access token is refused, if it is.
pub async fn refusal(process: &Process, granted: &TokenResponse) -> Option<String> {
    let refused = process
        .tokens
        .authenticate(&granted.access_token)
        .await
        .err()?;
    assert_eq!(refused.code, Code::Unauthenticated);
    Some(refused.detail.into_owned())
}

#[track_caller]
pub fn code<T>(outcome: Result<T, Failure>) -> Code {
    outcome.map(drop).expect_err("succeeded").code
}

#[track_caller]
pub fn denied(outcome: Result<TokenResponse, GrantFailure>) {
    assert!(
        matches!(outcome, Err(GrantFailure::InvalidGrant)),
        "{outcome:?}"
    );
}

pub const REVOKED: &str = "The access token was revoked.";
