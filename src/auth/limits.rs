//! Limits on guessing and flooding.
//!
//! What is spent is [shared](crate::share::cells) by all processes. Sign-ins look first and spend
//! only when they fail, which is why this is not `governor`: it cannot look without spending.

use std::time::Duration;

use phonenumber::country;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::config;
use crate::failure::{Failure, RateLimit};
use crate::http::{Network, rates};
use crate::share::Share;
use crate::share::cells::Cell;
use crate::users::{email, phone};

/// Whose sign-in fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// However it was named: by email or by phone.
    Account(Uuid),
    /// Nobody's; limited alike, so that this does not tell who exists. A hash, since anybody can
    /// make up long names.
    Unknown([u8; 32]),
}

impl Login {
    /// A name that no account has. However it is written, it is one name, as an account's is.
    pub fn unknown(name: &str, region: country::Id) -> Login {
        let name = phone::normalise(name, region).unwrap_or_else(|| email::key(name));
        Login::Unknown(Sha256::digest(name).into())
    }

    fn key(&self) -> Vec<u8> {
        match self {
            Login::Account(id) => id.as_bytes().to_vec(),
            Login::Unknown(hash) => hash.to_vec(),
        }
    }
}

/// The limits of all processes.
pub struct Limits {
    enabled: bool,
    share: Share,
    failures_of_account: Limit,
    failures_from_network: Limit,
    registrations: Limit,
}

impl Limits {
    pub fn new(config: &config::Limits, share: Share) -> Limits {
        let limit = |policy, quota| Limit {
            policy,
            quota,
            window: config.window,
        };
        Limits {
            enabled: config.enabled,
            share,
            failures_of_account: limit(
                "sign_in_failures_per_account",
                config.sign_in_failures_per_account,
            ),
            failures_from_network: limit(
                "sign_in_failures_per_address",
                config.sign_in_failures_per_address,
            ),
            registrations: limit(
                "registrations_per_address",
                config.registrations_per_address,
            ),
        }
    }

    /// Refuses a sign-in where this process knows of too many failures. Asks nobody.
    pub fn check_known(&self, login: &Login, network: Network) -> Result<(), Failure> {
        if !self.enabled {
            return Ok(());
        }
        for (limit, cell) in self.of_sign_in(login, network) {
            if let Some(wait) = self.share.known_wait(&cell) {
                return Err(limit.refusal(wait));
            }
        }
        Ok(())
    }

    /// Refuses a sign-in where there were too many failures, on whatever process. Spends nothing.
    pub async fn check_sign_in(&self, login: &Login, network: Network) -> Result<(), Failure> {
        if !self.enabled {
            return Ok(());
        }
        let limits = self.of_sign_in(login, network);
        match self.share.wait(&limits.map(|(_, cell)| cell)).await {
            None => Ok(()),
            Some((index, wait)) => Err(limits[index].0.refusal(wait)),
        }
    }

    /// Counts a sign-in that failed.
    pub async fn count_failed_sign_in(&self, login: &Login, network: Network) {
        if self.enabled {
            let cells = self.of_sign_in(login, network).map(|(_, cell)| cell);
            self.share.spend(&cells).await;
        }
    }

    /// Counts a registration, or refuses it.
    pub async fn take_registration(&self, network: Network) -> Result<(), Failure> {
        if !self.enabled {
            return Ok(());
        }
        let limit = &self.registrations;
        let taken = self.share.take(&limit.cell(&network.key())).await;
        taken.map_err(|wait| limit.refusal(wait))
    }

    /// What a failed sign-in spends.
    fn of_sign_in(&self, login: &Login, network: Network) -> [(&Limit, Cell); 2] {
        let (account, from) = (&self.failures_of_account, &self.failures_from_network);
        [
            (account, account.cell(&login.key())),
            (from, from.cell(&network.key())),
        ]
    }
}

/// So many attempts in a window.
struct Limit {
    policy: &'static str,
    quota: u32,
    window: Duration,
}

impl Limit {
    fn cell(&self, key: &[u8]) -> Cell {
        Cell::new(self.policy, key, self.quota, self.window)
    }

    fn refusal(&self, wait: Duration) -> Failure {
        rates::exceeded(RateLimit {
            policy: self.policy,
            quota: self.quota,
            window: self.window,
            remaining: 0,
            reset: wait,
        })
    }
}
