//! Passwords: hashed with argon2id, a bounded number at a time.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config;
use crate::failure::Failure;

/// The fewest and the most characters of a password.
pub const LENGTH: std::ops::RangeInclusive<usize> = 8..=128;

/// How long a request waits for its turn before it is told that the server is overloaded.
const PATIENCE: Duration = Duration::from_secs(10);

/// Hashes and checks passwords. Clones share their workers.
#[derive(Clone)]
pub struct Hasher {
    argon2: Argon2<'static>,
    workers: Arc<Semaphore>,
    /// Checked where there is no account, so that this takes as long as where there is one.
    decoy: Arc<str>,
}

/// The parameters are not ones that argon2 takes.
#[derive(Debug, thiserror::Error)]
#[error("accounts.password_* do not fit together: {0}")]
pub struct BadParameters(String);

impl Hasher {
    pub fn new(config: &config::Accounts) -> Result<Hasher, BadParameters> {
        let kibibytes = u32::try_from(config.password_memory / 1024).unwrap_or(u32::MAX);
        let (passes, lanes) = (config.password_iterations, config.password_parallelism);
        let params = Params::new(kibibytes, passes, lanes, None)
            .map_err(|error| BadParameters(error.to_string()))?;
        let decoy = decoy(&params).map_err(|error| BadParameters(error.to_string()))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let workers = match config.password_workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers as usize,
        };
        Ok(Hasher {
            argon2,
            workers: Arc::new(Semaphore::new(workers)),
            decoy: decoy.into(),
        })
    }

    /// Waits for a free worker.
    pub async fn turn(&self) -> Result<Turn, Failure> {
        let permit = tokio::time::timeout(PATIENCE, self.workers.clone().acquire_owned());
        let overloaded = || Failure::overloaded("Too many passwords are being checked.");
        let permit = permit.await.map_err(|_| overloaded())?;
        Ok(Turn {
            _permit: permit.map_err(Failure::internal)?,
            hasher: self.clone(),
        })
    }
}

/// The right to occupy a worker.
pub struct Turn {
    _permit: OwnedSemaphorePermit,
    hasher: Hasher,
}

impl Turn {
    /// The password's hash, with a salt of its own.
    pub async fn hash(self, password: String) -> Result<String, Failure> {
        let hashed = self.work(move |hasher| hash(&hasher.argon2, &password));
        Ok(hashed.await?.0)
    }

    /// Whether the password has this hash. Without a hash it has not, and that takes as long.
    ///
    /// Who counts failures should do so before giving the turn away.
    pub async fn verify(
        self,
        password: String,
        hash: Option<String>,
    ) -> Result<(bool, Turn), Failure> {
        self.work(move |hasher| {
            let known = hash.is_some();
            let hash = hash.as_deref().unwrap_or(&hasher.decoy);
            let hash = PasswordHash::new(hash).map_err(argon2::password_hash::Error::from)?;
            let matches = hasher.argon2.verify_password(password.as_bytes(), &hash);
            Ok(known && matches.is_ok())
        })
        .await
    }

    /// The permit goes along: the thread works on even when nobody waits for it any more.
    async fn work<T: Send + 'static>(
        self,
        work: impl FnOnce(&Hasher) -> argon2::password_hash::Result<T> + Send + 'static,
    ) -> Result<(T, Turn), Failure> {
        let done = tokio::task::spawn_blocking(move || (work(&self.hasher), self));
        let (outcome, turn) = done.await.map_err(Failure::internal)?;
        let value = outcome.map_err(|error| Failure::internal(error.to_string()))?;
        Ok((value, turn))
    }
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

fn hash(argon2: &Argon2<'_>, password: &str) -> argon2::password_hash::Result<String> {
    Ok(argon2.hash_password(password.as_bytes())?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn hasher(workers: u32) -> Hasher {
        let mut accounts = config::load(&Sources::default()).unwrap().config.accounts;
        accounts.password_memory = 64 * 1024;
        accounts.password_workers = workers;
        Hasher::new(&accounts).unwrap()
    }

    #[tokio::test]
    async fn a_hash_fits_its_password_alone_and_says_what_it_cost() {
        let hasher = hasher(1);
        let hash = hasher
            .turn()
            .await
            .unwrap()
            .hash("pass word".into())
            .await
            .unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=2,p=1$"), "{hash}");
        for (password, matches) in [("pass word", true), ("pass word ", false), ("", false)] {
            let turn = hasher.turn().await.unwrap();
            let (found, _turn) = turn
                .verify(password.into(), Some(hash.clone()))
                .await
                .unwrap();
            assert_eq!(found, matches, "{password:?}");
        }
        // The decoy costs the same, and nothing opens it.
        let parts = |hash: &str| hash.split('$').map(str::to_owned).collect::<Vec<_>>();
        let (decoy, hash) = (parts(&hasher.decoy), parts(&hash));
        assert_eq!(decoy[..4], hash[..4]);
        let lengths = |parts: &[String]| parts.iter().map(String::len).collect::<Vec<_>>();
        assert_eq!(lengths(&decoy), lengths(&hash));
        let turn = hasher.turn().await.unwrap();
        assert!(!turn.verify(String::new(), None).await.unwrap().0);
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_keeps_its_worker() {
        let hasher = hasher(1);
        let (started, start) = std::sync::mpsc::channel();
        let (finish, finished) = std::sync::mpsc::channel::<()>();
        let turn = hasher.turn().await.unwrap();
        let work = turn.work(move |_| {
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
        assert_eq!(hasher.workers.available_permits(), 0);
        finish.send(()).unwrap();
        hasher.turn().await.unwrap();
    }
}
