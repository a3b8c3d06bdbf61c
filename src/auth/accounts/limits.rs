//! Limits on guessing passwords and codes, on registering and on mail.
//!
//! All but successful sign-ins are counted [together](crate::share::cells) by all processes.
//! A sign-in checks the limit first and counts only when it fails, which the crate `governor` cannot
//! do. All attempts to sign in, successful ones too, are also counted like
//! [other calls](crate::share::rates), in memory: that bounds the work on passwords.
//!
//! The key of a limit is [what was typed](Login), never the id of an account, so that a limit does
//! not tell whether an account exists.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::config;
use crate::failure::{Failure, RateLimit};
use crate::mail;
use crate::network::Network;
use crate::share::Share;
use crate::share::cells::Cell;
use crate::share::rates::{Rate, Whose};
use crate::users::Login;

/// The limits of all processes.
pub struct Limits {
    enabled: bool,
    share: Share,
    sign_ins_of_account_and_network: Rate,
    sign_ins_from_network: Rate,
    failures_of_account_and_network: Limit,
    failures_of_account: Limit,
    failures_from_network: Limit,
    password_changes: Limit,
    registrations: Limit,
    guests: Limit,
    mails_from_network: Limit,
    mails_to_recipient: Limit,
    code_attempts: Limit,
}

/// Whether a sign-in may be tried after the failures that there were.
#[derive(Debug)]
pub enum Admission {
    Free,
    /// The account had too many failures from all addresses together: only networks that it is
    /// known to sign in from may try. Others get this refusal.
    KnownNetworks(Failure),
    Refused(Failure),
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
            sign_ins_of_account_and_network: Rate::new(
                "sign_ins_per_account",
                config.sign_ins_per_account,
                config.window,
            ),
            sign_ins_from_network: Rate::new(
                "sign_ins_per_address",
                config.sign_ins_per_address,
                config.window,
            ),
            failures_of_account_and_network: limit(
                "sign_in_failures_per_account",
                config.sign_in_failures_per_account,
            ),
            failures_of_account: limit(
                "sign_in_failures_per_account_in_sum",
                config.sign_in_failures_per_account_in_sum,
            ),
            failures_from_network: limit(
                "sign_in_failures_per_address",
                config.sign_in_failures_per_address,
            ),
            password_changes: limit(
                "password_changes_per_account",
                config.password_changes_per_account,
            ),
            registrations: limit(
                "registrations_per_address",
                config.registrations_per_address,
            ),
            guests: limit("guests_per_address", config.guests_per_address),
            mails_from_network: limit("mails_per_address", config.mails_per_address),
            mails_to_recipient: limit("mails_per_recipient", config.mails_per_recipient),
            code_attempts: limit("code_attempts", config.code_attempts),
        }
    }

    /// Counts an attempt to sign in, or refuses it. Uses only what is in memory.
    pub fn take_sign_in(&self, login: &Login, network: Network) -> Result<(), Failure> {
        if !self.enabled {
            return Ok(());
        }
        for (rate, whose) in self.of_sign_in(login, network) {
            self.share
                .take_rate(rate, whose)
                .map_err(Failure::rate_limited)?;
        }
        Ok(())
    }

    /// What is left of the limit on attempts to sign in; none where there are no limits.
    pub fn sign_in_state(&self, login: &Login, network: Network) -> Option<RateLimit> {
        let limits = self.of_sign_in(login, network);
        let states = limits.map(|(rate, whose)| self.share.rate_state(rate, whose));
        let least = states.into_iter().min_by_key(|state| state.remaining);
        least.filter(|_| self.enabled)
    }

    /// The limits that an attempt to sign in counts for.
    fn of_sign_in(&self, login: &Login, network: Network) -> [(&Rate, Whose); 2] {
        let pair = Sha256::new()
            .chain_update(login.key())
            .chain_update(network.key())
            .finalize();
        let mut hash = [0; 16];
        hash.copy_from_slice(&pair[..16]);
        let pair = Whose::Attempt(u128::from_be_bytes(hash));
        let network = Whose::Network(network.bits());
        [
            (&self.sign_ins_of_account_and_network, pair),
            (&self.sign_ins_from_network, network),
        ]
    }

    /// Whether a sign-in may be tried, as far as this process knows.
    pub fn known_admission(&self, login: &Login, network: Network) -> Admission {
        if !self.enabled {
            return Admission::Free;
        }
        let limits = self.of_failure(login, network);
        let waits = limits.map(|(_, cell)| self.share.known_wait(&cell));
        admission(limits.map(|(limit, _)| limit), waits)
    }

    /// Whether a sign-in may be tried after the failures on all processes. Counts nothing.
    pub async fn admission(&self, login: &Login, network: Network) -> Admission {
        if !self.enabled {
            return Admission::Free;
        }
        let limits = self.of_failure(login, network);
        let waits = self.share.waits(limits.map(|(_, cell)| cell)).await;
        admission(limits.map(|(limit, _)| limit), waits)
    }

    /// Counts a sign-in that failed.
    pub async fn count_failed_sign_in(&self, login: &Login, network: Network) {
        if self.enabled {
            let cells = self.of_failure(login, network).map(|(_, cell)| cell);
            self.share.spend(&cells).await;
        }
    }

    /// Whether a code of an invitation may be tried after the failures from this network on all
    /// processes. Counts nothing.
    pub async fn admit_code(&self, network: Network) -> Result<(), Failure> {
        if !self.enabled {
            return Ok(());
        }
        let (limit, cell) = self.failures_from_network.of(&network.key());
        let [wait] = self.share.waits([cell]).await;
        wait.map_or(Ok(()), |wait| Err(limit.refusal(wait)))
    }

    /// Counts a wrong code, as a failed sign-in from this network.
    pub async fn count_wrong_code(&self, network: Network) {
        if self.enabled {
            let (_, cell) = self.failures_from_network.of(&network.key());
            self.share.spend(&[cell]).await;
        }
    }

    /// Counts an attempt to confirm the password of an account by whoever is signed in, or refuses
    /// it. Failed sign-ins are counted separately.
    pub async fn take_password_change(&self, user: Uuid) -> Result<(), Failure> {
        self.take(self.password_changes.of(user.as_bytes())).await
    }

    /// Counts a registration, or refuses it.
    pub async fn take_registration(&self, network: Network) -> Result<(), Failure> {
        self.take(self.registrations.of(&network.key())).await
    }

    /// Counts a guest that is made, or refuses it.
    pub async fn take_guest(&self, network: Network) -> Result<(), Failure> {
        self.take(self.guests.of(&network.key())).await
    }

    /// Counts a message that a network causes, or refuses it. The recipient is what was typed, so
    /// that the limit does not tell whether there is an account. Kinds are counted apart: a stranger
    /// who asks for new passwords in somebody's name does not keep other messages from them.
    pub async fn take_mail(
        &self,
        kind: mail::Kind,
        recipient: &str,
        network: Network,
    ) -> Result<(), Failure> {
        self.take(self.mails_from_network.of(&network.key()))
            .await?;
        let of_kind = format!("{kind:?} {recipient}");
        self.take(self.mails_to_recipient.of(of_kind.as_bytes()))
            .await
    }

    /// Counts an attempt to use a token for a new password, or refuses it.
    pub async fn take_reset_attempt(&self, network: Network) -> Result<(), Failure> {
        self.take(self.code_attempts.of(&network.key())).await
    }

    /// Counts an attempt to verify an email address, or refuses it.
    pub async fn take_verification_attempt(&self, user: Uuid) -> Result<(), Failure> {
        self.take(self.code_attempts.of(user.as_bytes())).await
    }

    /// What is left of the limit on registrations, as far as this process knows; none where there
    /// are no limits.
    pub fn registration_state(&self, network: Network) -> Option<RateLimit> {
        self.known_state(self.registrations.of(&network.key()))
    }

    /// The same of the limit on guests.
    pub fn guest_state(&self, network: Network) -> Option<RateLimit> {
        self.known_state(self.guests.of(&network.key()))
    }

    fn known_state(&self, (limit, cell): (&Limit, Cell)) -> Option<RateLimit> {
        let (remaining, reset) = self.share.known_state(&cell);
        self.enabled.then(|| limit.state(remaining, reset))
    }

    async fn take(&self, (limit, cell): (&Limit, Cell)) -> Result<(), Failure> {
        if !self.enabled {
            return Ok(());
        }
        let taken = self.share.take(&cell).await;
        taken.map_err(|wait| limit.refusal(wait))
    }

    /// The limits that a failed sign-in counts for; the account's sum comes first.
    fn of_failure(&self, login: &Login, network: Network) -> [(&Limit, Cell); 3] {
        [
            self.failures_of_account.of(&login.key()),
            self.failures_of_account_and_network.of_pair(login, network),
            self.failures_from_network.of(&network.key()),
        ]
    }
}

fn admission(
    [in_sum, pair, address]: [&Limit; 3],
    [sum_wait, pair_wait, address_wait]: [Option<Duration>; 3],
) -> Admission {
    let own = [(pair, pair_wait), (address, address_wait)];
    let own = own
        .into_iter()
        .filter_map(|(limit, wait)| Some((limit, wait?)));
    if let Some((limit, wait)) = own.max_by_key(|(_, wait)| *wait) {
        return Admission::Refused(limit.refusal(wait));
    }
    match sum_wait {
        Some(wait) => Admission::KnownNetworks(in_sum.refusal(wait)),
        None => Admission::Free,
    }
}

/// So many attempts in a window.
struct Limit {
    policy: &'static str,
    quota: u32,
    window: Duration,
}

impl Limit {
    /// This limit, and what `key` has spent of it.
    fn of(&self, key: &[u8]) -> (&Limit, Cell) {
        (self, Cell::new(self.policy, key, self.quota, self.window))
    }

    /// This limit, and what one account has spent of it from one network.
    fn of_pair(&self, login: &Login, network: Network) -> (&Limit, Cell) {
        self.of(&[&login.key()[..], &network.key()].concat())
    }

    fn refusal(&self, wait: Duration) -> Failure {
        Failure::rate_limited(self.state(0, wait))
    }

    fn state(&self, remaining: u32, reset: Duration) -> RateLimit {
        RateLimit {
            policy: self.policy,
            quota: self.quota,
            window: self.window,
            remaining,
            reset,
        }
    }
}
