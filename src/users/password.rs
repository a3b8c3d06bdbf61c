//! Passwords: hashed with argon2id, a bounded number at a time, in turns between networks.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};

use poem_openapi::registry::MetaSchema;
use serde::Deserialize;
use validator::{Validate, ValidationErrors};

use crate::background;
use crate::config;
use crate::failure::Failure;
use crate::fair::{FairSemaphore, Permit};
use crate::input::{self, described};
use crate::network::Network;

/// The fewest and the most characters of a password.
pub const LENGTH: std::ops::RangeInclusive<usize> = 8..=128;

/// A password of a request, exactly as it was typed, with at least `MIN` characters.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Password<const MIN: usize>(String);

/// A password that an account is to have.
pub type NewPassword = Password<{ *LENGTH.start() }>;

/// A password that an account may have already, by whatever rules it was chosen.
pub type CurrentPassword = Password<0>;

impl<const MIN: usize> Password<MIN> {
    pub fn new(password: String) -> Self {
        Password(password)
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<const MIN: usize> std::fmt::Debug for Password<MIN> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

impl<const MIN: usize> Validate for Password<MIN> {
    fn validate(&self) -> Result<(), ValidationErrors> {
        input::result(input::length_mistake(&self.0, MIN, *LENGTH.end()))
    }
}

described! {
    [const MIN: usize] Password<MIN>, String,
    Password,
    MetaSchema {
        min_length: (MIN > 0).then_some(MIN),
        max_length: Some(*LENGTH.end()),
        ..MetaSchema::ANY
    }
}

/// How long a request waits for its turn before it is told that the server is overloaded.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many requests of one network may wait for a turn.
const QUEUE: usize = 256;

/// Hashes and checks passwords. Clones share their workers.
#[derive(Clone)]
pub struct Hasher {
    argon2: Argon2<'static>,
    workers: Arc<FairSemaphore>,
    /// Checked where there is no account, so that this takes as long as where there is one.
    decoy: Arc<str>,
}

/// The parameters are not ones that argon2 takes.
#[derive(Debug, thiserror::Error)]
#[error("accounts.password_* do not fit together: {0}")]
pub struct BadParameters(String);

/// What came of checking a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordCheck {
    Wrong,
    Right {
        /// A hash with today's parameters, where the stored one has others.
        new_hash: Option<String>,
    },
}

impl Hasher {
    pub fn new(config: &config::Accounts) -> Result<Hasher, BadParameters> {
        let kibibytes = u32::try_from(config.password_memory / 1024).unwrap_or(u32::MAX);
        let (passes, lanes) = (config.password_iterations, config.password_parallelism);
        let params = Params::new(kibibytes, passes, lanes, None)
            .map_err(|error| BadParameters(error.to_string()))?;
        let decoy = decoy(&params).map_err(|error| BadParameters(error.to_string()))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let workers = match config.password_workers {
            0 => background::spare_cores(),
            workers => workers as usize,
        };
        Ok(Hasher {
            argon2,
            workers: FairSemaphore::new(workers, QUEUE),
            decoy: decoy.into(),
        })
    }

    /// Waits for a free worker. Networks that wait take turns.
    /// [`Code::Overloaded`](crate::failure::Code::Overloaded) after two seconds, and at once where
    /// 256 requests of `network` wait already.
    pub async fn turn(&self, network: Network) -> Result<Turn, Failure> {
        let permit = self.workers.acquire(network, PATIENCE).await;
        let overloaded = || Failure::overloaded("Too many passwords are being checked.");
        Ok(Turn {
            _permit: permit.ok_or_else(overloaded)?,
            hasher: self.clone(),
        })
    }
}

/// The right to occupy a worker.
pub struct Turn {
    _permit: Permit,
    hasher: Hasher,
}

impl Turn {
    /// The password's hash, with a salt of its own.
    pub async fn hash(self, password: String) -> Result<String, Failure> {
        let hashed = self.work(move |hasher| hasher.hash(&password));
        Ok(hashed.await?.0)
    }

    /// Whether the password has this hash. Without a hash it has not, and that takes as long. A
    /// hash with other parameters than today's takes longer, whether the password is right or not:
    /// else a cheap old hash would tell that there is an account.
    ///
    /// Who counts failures should do so before giving the turn away.
    pub async fn verify(
        self,
        password: String,
        hash: Option<String>,
    ) -> Result<(PasswordCheck, Turn), Failure> {
        self.work(move |hasher| {
            let Some(hash) = hash else {
                hasher.matches(&password, &hasher.decoy)?;
                return Ok(PasswordCheck::Wrong);
            };
            let outdated = !hasher.is_current(&hash)?;
            Ok(match (hasher.matches(&password, &hash)?, outdated) {
                (false, false) => PasswordCheck::Wrong,
                (false, true) => {
                    hasher.matches(&password, &hasher.decoy)?;
                    PasswordCheck::Wrong
                }
                (true, false) => PasswordCheck::Right { new_hash: None },
                (true, true) => PasswordCheck::Right {
                    new_hash: Some(hasher.hash(&password)?),
                },
            })
        })
        .await
    }

    /// The permit goes along: the thread works on even when nobody waits for it any more.
    async fn work<T: Send + 'static>(
        self,
        work: impl FnOnce(&Hasher) -> argon2::password_hash::Result<T> + Send + 'static,
    ) -> Result<(T, Turn), Failure> {
        let done = background::run(move || (work(&self.hasher), self));
        let (outcome, turn) = done.await.map_err(Failure::internal)?;
        let value = outcome.map_err(|error| Failure::internal(error.to_string()))?;
        Ok((value, turn))
    }
}

impl Hasher {
    fn hash(&self, password: &str) -> argon2::password_hash::Result<String> {
        let hash = self.argon2.hash_password(password.as_bytes())?;
        Ok(hash.to_string())
    }

    fn matches(&self, password: &str, hash: &str) -> argon2::password_hash::Result<bool> {
        let matches = self
            .argon2
            .verify_password(password.as_bytes(), &parsed(hash)?);
        Ok(matches.is_ok())
    }

    /// Whether a hash was made with today's algorithm and parameters.
    fn is_current(&self, hash: &str) -> argon2::password_hash::Result<bool> {
        let hash = parsed(hash)?;
        Ok(hash.algorithm == Algorithm::Argon2id.ident()
            && hash.version == Some(Version::V0x13.into())
            && hash.params == ParamsString::try_from(self.argon2.params())?)
    }
}

fn parsed(hash: &str) -> argon2::password_hash::Result<PasswordHash> {
    Ok(PasswordHash::new(hash)?)
}

/// What looks like a hash and is that of no password. Nothing is hashed for it: that would take its
/// memory before anybody has signed in.
fn decoy(params: &Params) -> argon2::password_hash::Result<String> {
    let decoy = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params)?,
        salt: Some(Salt::new(&rand::random::<[u8; 16]>())?),
        hash: Some(Output::new(&rand::random::<
            [u8; Params::DEFAULT_OUTPUT_LEN],
        >())?),
    };
    Ok(decoy.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::FutureExt as _;
    use futures_util::future::join_all;

    use super::*;
    use crate::config::Sources;
    use crate::failure::Code;

    fn hasher(workers: u32) -> Hasher {
        hasher_of(workers, 2)
    }

    fn hasher_of(workers: u32, passes: u32) -> Hasher {
        let mut accounts = config::load(&Sources::default()).unwrap().config.accounts;
        accounts.password_memory = 64 * 1024;
        accounts.password_iterations = passes;
        accounts.password_workers = workers;
        Hasher::new(&accounts).unwrap()
    }

    fn network(last: u8) -> Network {
        Network::of(Some([192, 0, 2, last].into()))
    }

    async fn turn(hasher: &Hasher) -> Turn {
        hasher.turn(network(1)).await.unwrap()
    }

    async fn verdict(hasher: &Hasher, password: &str, hash: Option<&str>) -> PasswordCheck {
        let hash = hash.map(str::to_owned);
        let verified = turn(hasher).await.verify(password.into(), hash).await;
        verified.unwrap().0
    }

    const RIGHT: PasswordCheck = PasswordCheck::Right { new_hash: None };

    #[tokio::test]
    async fn a_hash_fits_its_password_alone_and_says_what_it_cost() {
        let hasher = hasher(1);
        let hash = turn(&hasher).await.hash("pass word".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=2,p=1$"), "{hash}");
        for (password, expected) in [
            ("pass word", RIGHT),
            ("pass word ", PasswordCheck::Wrong),
            ("", PasswordCheck::Wrong),
        ] {
            let found = verdict(&hasher, password, Some(&hash)).await;
            assert_eq!(found, expected, "{password:?}");
        }
        // The decoy costs the same, and nothing opens it.
        let parts = |hash: &str| hash.split('$').map(str::to_owned).collect::<Vec<_>>();
        let (decoy, hash) = (parts(&hasher.decoy), parts(&hash));
        assert_eq!(decoy[..4], hash[..4]);
        let lengths = |parts: &[String]| parts.iter().map(String::len).collect::<Vec<_>>();
        assert_eq!(lengths(&decoy), lengths(&hash));
        assert_eq!(verdict(&hasher, "", None).await, PasswordCheck::Wrong);
    }

    #[tokio::test]
    async fn a_hash_with_other_parameters_is_replaced_when_its_password_is_known() {
        let (before, today) = (hasher_of(1, 1), hasher_of(1, 3));
        let old = turn(&before).await.hash("pass word".into()).await.unwrap();
        assert!(!today.is_current(&old).unwrap() && before.is_current(&old).unwrap());
        let wrong = verdict(&today, "another word", Some(&old)).await;
        assert_eq!(wrong, PasswordCheck::Wrong);
        let PasswordCheck::Right {
            new_hash: Some(new),
        } = verdict(&today, "pass word", Some(&old)).await
        else {
            panic!("no new hash");
        };
        assert!(new.starts_with("$argon2id$v=19$m=64,t=3,p=1$"), "{new}");
        assert_eq!(verdict(&today, "pass word", Some(&new)).await, RIGHT);
    }

    #[tokio::test]
    async fn a_cheap_old_hash_costs_the_work_of_the_decoy_as_well() {
        let old = turn(&hasher_of(1, 1)).await.hash("pass word".into());
        let old = old.await.unwrap();
        let mut today = hasher_of(1, 3);
        let new = turn(&today).await.hash("pass word".into()).await.unwrap();
        // Whoever checks this decoy gets an error.
        today.decoy = "no hash".into();
        for (hash, checks_decoy) in [(&old, true), (&new, false)] {
            let turn = turn(&today).await;
            let checked = turn.verify("another word".into(), Some(hash.clone()));
            assert_eq!(checked.await.is_err(), checks_decoy, "{hash}");
        }
    }

    #[tokio::test]
    async fn networks_take_turns_and_each_waits_in_a_bounded_queue() {
        let hasher = hasher(1);
        let held = turn(&hasher).await;
        let order = Mutex::new(Vec::new());
        let (hasher, order) = (&hasher, &order);
        let mut waiting = Vec::new();
        for last in [1, 1, 2] {
            let mut work = Box::pin(async move {
                let turn = hasher.turn(network(last)).await.unwrap();
                order.lock().unwrap().push(last);
                drop(turn);
            });
            // Polled once, so that they stand in the queue in this order.
            assert!(work.as_mut().now_or_never().is_none());
            waiting.push(work);
        }
        let flood: Vec<_> = (0..QUEUE)
            .map(|_| {
                let mut flood = Box::pin(hasher.turn(network(3)));
                assert!(flood.as_mut().now_or_never().is_none());
                flood
            })
            .collect();
        let refused = hasher.turn(network(3)).now_or_never().unwrap();
        assert_eq!(refused.err().unwrap().code, Code::Overloaded);
        drop(flood);
        drop(held);
        join_all(waiting).await;
        assert_eq!(*order.lock().unwrap(), [1, 2, 1]);
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_keeps_its_worker() {
        let hasher = hasher(1);
        let (started, start) = std::sync::mpsc::channel();
        let (finish, finished) = std::sync::mpsc::channel::<()>();
        let turn_taken = turn(&hasher).await;
        let work = turn_taken.work(move |_| {
            started.send(()).unwrap();
            finished.recv().unwrap();
            Ok(())
        });
        let work = tokio::spawn(work);
        tokio::task::spawn_blocking(move || start.recv().unwrap())
            .await
            .unwrap();
        work.abort();
        assert!(work.await.is_err_and(|error| error.is_cancelled()));
        let next = hasher.turn(network(2)).now_or_never();
        assert!(next.is_none(), "the worker is free");
        finish.send(()).unwrap();
        turn(&hasher).await;
    }
}
