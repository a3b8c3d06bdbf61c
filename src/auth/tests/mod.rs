//! The verbs of accounts and sessions, on a database of their own each.

mod accounts;
mod clocks;
mod keys;
mod limits;
mod minting;
mod sessions;
mod tokens;

use std::time::Duration;

use uuid::Uuid;

use super::account::Registration;
use super::grant::{Denied, Granted};
use super::{Authority, OpenError, SignedIn};
use crate::clock::Clock;
use crate::config::{self, Config, Flag, Sources};
use crate::db::Db;
use crate::failure::{Code, Failure};
use crate::network::Network;
use crate::share::Share;
use crate::users::Role;
use crate::users::entity::Model as Account;

pub const PASSWORD: &str = "correct-horse";

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A database, and the clock and configuration of all who open it.
pub struct House {
    folder: tempfile::TempDir,
    clock: Clock,
}

impl House {
    /// An empty database, and the first process to open it.
    pub async fn new() -> (House, Authority) {
        House::with(&[]).await
    }

    pub async fn with(settings: &[(&str, &str)]) -> (House, Authority) {
        let folder = tempfile::tempdir().unwrap();
        let house = House {
            folder,
            clock: Clock::default(),
        };
        let db = Db::connect(&house.config(settings).database).await.unwrap();
        db.migrate_up(None).await.unwrap();
        let authority = house.open(settings).await.unwrap();
        (house, authority)
    }

    /// Another process that opens the same database.
    async fn open(&self, settings: &[(&str, &str)]) -> Result<Authority, OpenError> {
        self.open_with(self.clock.clone(), settings).await
    }

    /// One whose clock is its own.
    async fn open_with(
        &self,
        clock: Clock,
        settings: &[(&str, &str)],
    ) -> Result<Authority, OpenError> {
        let config = self.config(settings);
        let db = Db::connect(&config.database).await.unwrap();
        let share = Share::open(&config.share, db.clone(), clock.clone()).unwrap();
        share.connect().await;
        Authority::open(db, clock, share, &config).await
    }

    fn config(&self, settings: &[(&str, &str)]) -> Config {
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

fn registration(name: &str) -> Registration {
    Registration {
        name: name.to_owned(),
        email: format!("{name}@example.org"),
        phone: None,
        password: PASSWORD.to_owned(),
    }
}

fn nowhere() -> Network {
    Network::of(None)
}

pub async fn user(authority: &Authority, name: &str) -> Account {
    authority
        .create_account(registration(name), Role::User)
        .await
        .unwrap()
}

pub async fn admin(authority: &Authority, name: &str) -> Account {
    authority
        .create_account(registration(name), Role::Admin)
        .await
        .unwrap()
}

pub async fn sign_in(authority: &Authority, name: &str) -> Granted {
    let login = format!("{name}@example.org");
    try_sign_in(authority, &login, PASSWORD).await.unwrap()
}

async fn try_sign_in(
    authority: &Authority,
    login: &str,
    password: &str,
) -> Result<Granted, Denied> {
    authority
        .sign_in(login, password.to_owned(), Some("test"), nowhere())
        .await
}

/// Whom the granted access token speaks for.
async fn caller(authority: &Authority, granted: &Granted) -> SignedIn {
    authority.authenticate(&granted.access_token).await.unwrap()
}

/// Why the granted access token is refused, if it is.
async fn refusal(authority: &Authority, granted: &Granted) -> Option<String> {
    let refused = authority.authenticate(&granted.access_token).await.err()?;
    assert_eq!(refused.code, Code::Unauthenticated);
    Some(refused.detail.into_owned())
}

#[track_caller]
fn code<T>(outcome: Result<T, Failure>) -> Code {
    outcome.map(drop).expect_err("succeeded").code
}

#[track_caller]
fn denied(outcome: Result<Granted, Denied>) {
    assert!(matches!(outcome, Err(Denied::Grant)), "{outcome:?}");
}

const REVOKED: &str = "The access token was revoked.";
