//! Limits on guessing and flooding.
//!
//! A key may spend its quota at once; then it comes back evenly over the window (the generic cell
//! rate algorithm). Sign-ins look first and spend only when they fail, which is why this is not
//! `governor`: it cannot look without spending.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use phonenumber::country;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::clock::{Clock, Time};
use crate::config;
use crate::failure::{Code, Failure, RateLimit};
use crate::text;
use crate::users::phone;

/// How many keys are remembered before those with their full quota are looked for.
const PRUNE_FROM: usize = 1024;

/// Whose sign-in fails.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
        let name = phone::normalise(name, region).unwrap_or_else(|| text::fold(name));
        Login::Unknown(Sha256::digest(name).into())
    }
}

/// Where requests come from. Those that do not say share one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place(Option<IpAddr>);

impl Place {
    /// An IPv6 client has a whole /64 to choose from, so that counts as one.
    pub fn of(address: Option<IpAddr>) -> Place {
        let address = address.map(|address| address.to_canonical());
        Place(address.map(|address| match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & (u128::MAX << 64)).into()),
        }))
    }
}

/// The limits of this process.
pub struct Limits {
    enabled: bool,
    clock: Clock,
    failures_of_account: Limit<Login>,
    failures_from_place: Limit<Place>,
    registrations: Limit<Place>,
}

impl Limits {
    pub fn new(config: &config::Limits, clock: Clock) -> Limits {
        let window = config.window;
        Limits {
            enabled: config.enabled,
            clock,
            failures_of_account: Limit::new(
                "sign_in_failures_per_account",
                config.sign_in_failures_per_account,
                window,
            ),
            failures_from_place: Limit::new(
                "sign_in_failures_per_address",
                config.sign_in_failures_per_address,
                window,
            ),
            registrations: Limit::new(
                "registrations_per_address",
                config.registrations_per_address,
                window,
            ),
        }
    }

    /// Refuses a sign-in where there were too many failures. Spends nothing.
    pub fn check_sign_in(&self, login: &Login, place: Place) -> Result<(), Failure> {
        if !self.enabled {
            return Ok(());
        }
        let now = self.clock.now();
        self.failures_of_account.check(login, now)?;
        self.failures_from_place.check(&place, now)
    }

    /// Counts a sign-in that failed.
    pub fn count_failed_sign_in(&self, login: Login, place: Place) {
        let now = self.clock.now();
        self.failures_of_account.spend(login, now);
        self.failures_from_place.spend(place, now);
    }

    /// Counts a registration, or refuses it.
    pub fn take_registration(&self, place: Place) -> Result<(), Failure> {
        if !self.enabled {
            return Ok(());
        }
        let now = self.clock.now();
        self.registrations.take(place, now)
    }
}

/// One limit and what each key has spent of it.
struct Limit<K> {
    policy: &'static str,
    quota: u32,
    window: Duration,
    spent: Mutex<Spent<K>>,
}

struct Spent<K> {
    /// When the key has its full quota again. Keys that have are not kept for long.
    whole_at: HashMap<K, Time>,
    prune_at: usize,
}

impl<K: Eq + Hash> Limit<K> {
    fn new(policy: &'static str, quota: u32, window: Duration) -> Self {
        let spent = Spent {
            whole_at: HashMap::new(),
            prune_at: PRUNE_FROM,
        };
        Limit {
            policy,
            quota: quota.max(1),
            window,
            spent: Mutex::new(spent),
        }
    }

    fn check(&self, key: &K, now: Time) -> Result<(), Failure> {
        self.allow(&self.spent(), key, now)
    }

    fn spend(&self, key: K, now: Time) {
        self.deduct(&mut self.spent(), key, now);
    }

    fn take(&self, key: K, now: Time) -> Result<(), Failure> {
        let mut spent = self.spent();
        self.allow(&spent, &key, now)?;
        self.deduct(&mut spent, key, now);
        Ok(())
    }

    fn allow(&self, spent: &Spent<K>, key: &K, now: Time) -> Result<(), Failure> {
        let owed = spent
            .whole_at
            .get(key)
            .map_or(Duration::ZERO, |whole_at| whole_at.since(now));
        let wait = (owed + self.one()).saturating_sub(self.window);
        if wait.is_zero() {
            Ok(())
        } else {
            Err(self.refusal(wait))
        }
    }

    fn deduct(&self, spent: &mut Spent<K>, key: K, now: Time) {
        if spent.whole_at.len() >= spent.prune_at {
            spent.whole_at.retain(|_, whole_at| *whole_at > now);
            spent.prune_at = PRUNE_FROM.max(2 * spent.whole_at.len());
        }
        let whole_at = spent.whole_at.entry(key).or_insert(now);
        // Attempts that ran at the same time may overdraw; that is not held against the key.
        *whole_at = (*whole_at)
            .max(now)
            .after(self.one())
            .min(now.after(self.window));
    }

    /// After how long one attempt comes back.
    fn one(&self) -> Duration {
        self.window / self.quota
    }

    fn refusal(&self, wait: Duration) -> Failure {
        let seconds = wait.as_millis().div_ceil(1000);
        let detail = format!("Too many attempts. The next is allowed in {seconds} s.");
        let mut failure = Failure::new(Code::RateLimited, detail).retry_after(wait);
        failure.limit = Some(RateLimit {
            policy: self.policy,
            quota: self.quota,
            window: self.window,
            remaining: 0,
            reset: wait,
        });
        failure
    }

    fn spent(&self) -> MutexGuard<'_, Spent<K>> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUARTER: Duration = Duration::from_secs(900);

    #[test]
    fn a_quota_is_spent_at_once_and_comes_back_evenly() {
        let limit = Limit::new("test", 10, QUARTER);
        let start = Clock::default().now();
        for _ in 0..10 {
            limit.take("a", start).unwrap();
        }
        let refused = limit.take("a", start).unwrap_err();
        assert_eq!(refused.retry_after, Some(QUARTER / 10));
        limit.take("b", start).unwrap();

        let later = start.after(QUARTER / 10);
        limit.take("a", later).unwrap();
        limit.take("a", later).unwrap_err();
        for _ in 0..10 {
            limit.take("a", later.after(QUARTER)).unwrap();
        }
    }

    #[test]
    fn looking_spends_nothing_and_overdrawing_is_forgiven() {
        let limit = Limit::new("test", 1, QUARTER);
        let start = Clock::default().now();
        for _ in 0..9 {
            limit.check(&"a", start).unwrap();
        }
        for _ in 0..9 {
            limit.spend("a", start);
        }
        limit.check(&"a", start).unwrap_err();
        limit.check(&"a", start.after(QUARTER)).unwrap();
    }

    #[test]
    fn keys_with_their_full_quota_are_forgotten() {
        let limit = Limit::new("test", 1, QUARTER);
        let start = Clock::default().now();
        for key in 0..PRUNE_FROM {
            limit.spend(key, start);
        }
        limit.spend(PRUNE_FROM, start.after(QUARTER));
        assert_eq!(limit.spent().whole_at.len(), 1);
    }

    #[test]
    fn an_ipv6_network_is_one_place() {
        let place = |text: &str| Place::of(Some(text.parse().unwrap()));
        assert_eq!(place("2001:db8::1"), place("2001:db8::ffff:2"));
        assert_ne!(place("2001:db8::1"), place("2001:db8:0:1::1"));
        assert_eq!(place("::ffff:192.0.2.1"), place("192.0.2.1"));
        assert_ne!(place("192.0.2.1"), place("192.0.2.2"));
    }
}
