//! Who is asking: sign-in, tokens, sessions and their end.
//!
//! Requests are let in on their access token alone, checked against the signing keys and the
//! revocation list that this process has in memory; no request costs a look-up. Whatever takes
//! rights away lists the tokens that say otherwise, in the transaction that takes them. Which
//! revocations are new to a process is told by numbers of the database; no clock of another
//! machine is believed.

pub mod account;
pub mod api;
mod form;
mod freshness;
pub mod grant;
pub mod guard;
mod key;
pub mod keys;
pub mod known_network;
mod known_networks;
pub mod limits;
pub mod operator;
pub mod refresh_token;
pub mod restored;
pub mod revocation;
pub mod revocation_slot;
mod revocations;
pub mod secret;
mod secrets;
pub mod session;
pub mod sessions;
pub mod signing_key;
mod token;

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use phonenumber::country;
use sea_orm::DbErr;
use tokio::time::Instant;
use uuid::Uuid;

use crate::clock::{Clock, Time};
use crate::config::Config;
use crate::db::Db;
use crate::failure::{Code, Failure};
use crate::share::{News, Share};
use crate::users::Caller;
use crate::users::entity::Model as Account;
use crate::users::password::{BadParameters, Hasher};

use freshness::Freshness;
use keys::{Keys, KeysError};
use limits::Limits;
use revocations::Revocations;
use secrets::{Secrets, SecretsError};
use token::{Claims, Parties};

/// How often expired rows are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// By how much the clocks of processes may differ: so much longer than any token of theirs,
/// sessions and revocations are kept.
const CLOCKS: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a call waits for revocations and keys where what is known had become too old.
const CATCH_UP: Duration = Duration::from_secs(1);

/// The issuer and judge of tokens, and the keeper of what they rest on. Clones are one.
#[derive(Clone)]
pub struct Authority {
    db: Db,
    clock: Clock,
    keys: Arc<Keys>,
    revocations: Arc<Revocations>,
    freshness: Arc<Freshness>,
    secrets: Arc<Secrets>,
    hasher: Hasher,
    limits: Arc<Limits>,
    share: Share,
    settings: Arc<Settings>,
}

struct Settings {
    parties: Parties,
    public_url: Option<String>,
    region: country::Id,
    registration: bool,
    access_token_ttl: Duration,
    refresh_token_ttl: Duration,
    refresh_reuse_window: Duration,
    max_sessions: u64,
    poll_interval: Duration,
    max_staleness: Duration,
}

/// Why accounts and tokens are not available.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    #[error("cannot read the revocation list")]
    Revocations(#[from] DbErr),
    #[error(transparent)]
    Passwords(#[from] BadParameters),
}

/// An access token that was checked, and whom it speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedIn {
    pub caller: Caller,
    pub session_id: Uuid,
    pub generation: i32,
    /// The key that signed the token.
    pub key_id: Uuid,
    pub expires_at: Time,
}

impl Authority {
    /// Opens the keys, which are made at the first start, and reads the revocation list. The
    /// schema must be up to date.
    pub async fn open(
        db: Db,
        clock: Clock,
        share: Share,
        config: &Config,
    ) -> Result<Authority, OpenError> {
        let auth = &config.auth;
        let settings = Settings {
            parties: Parties {
                issuer: config.issuer().to_owned(),
                audience: auth.audience.clone(),
            },
            public_url: config
                .server
                .public_url
                .as_ref()
                .map(|url| url.as_str().to_owned()),
            region: config.accounts.default_region,
            registration: config.accounts.registration,
            access_token_ttl: auth.access_token_ttl,
            refresh_token_ttl: auth.refresh_token_ttl,
            refresh_reuse_window: auth.refresh_reuse_window,
            max_sessions: auth.max_sessions.into(),
            poll_interval: auth.revocation_poll_interval,
            max_staleness: auth.revocation_max_staleness,
        };
        // In boxes: both are large, since they may store something.
        let secrets = Box::pin(Secrets::open(&db)).await?;
        let read_at = Instant::now();
        let keys = Box::pin(Keys::open(db.clone(), clock.clone(), auth)).await?;
        let revocations = Revocations::open(db.read(), clock.now()).await?;
        Ok(Authority {
            keys: Arc::new(keys),
            revocations: Arc::new(revocations),
            freshness: Arc::new(Freshness::new(read_at)),
            secrets: Arc::new(secrets),
            hasher: Hasher::new(&config.accounts)?,
            limits: Arc::new(Limits::new(&config.limits, share.clone())),
            share,
            settings: Arc::new(settings),
            db,
            clock,
        })
    }

    /// The database that the accounts are in.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The present moment.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Whose phone numbers are understood in national form.
    pub fn region(&self) -> country::Id {
        self.settings.region
    }

    /// `iss` of the tokens.
    pub fn issuer(&self) -> &str {
        &self.settings.parties.issuer
    }

    /// The address that clients use, if one is configured.
    pub fn public_url(&self) -> Option<&str> {
        self.settings.public_url.as_deref()
    }

    /// The keys that others can check tokens with.
    pub fn public_keys(&self) -> JwkSet {
        self.keys.public()
    }

    /// Keeps keys and revocations up to date and removes what has expired. Never returns; to be
    /// run beside the server and dropped with it.
    pub async fn maintain(self) {
        // Apart from each other: a sweep may have to wait, and nobody must wait for the news.
        tokio::join!(
            repeat(self.settings.poll_interval, || self.catch_up()),
            repeat(SWEEP_INTERVAL, || self.sweep()),
            self.listen(),
        );
    }

    /// Takes over at once what other processes say that they have revoked. Never returns.
    async fn listen(&self) {
        let mut news = self.share.listen();
        loop {
            match news.next().await {
                News::TokensRevoked | News::Gap => {
                    news.forget();
                    if let Err(failure) = self.catch_up().await {
                        // The next poll tries again, and says so where that fails, too.
                        tracing::debug!(error = ?failure, "news of revocations is late");
                    }
                }
                News::QuestionChanged(_) => {}
            }
        }
    }

    /// Takes over what was revoked and committed here, and has the other processes look.
    fn note_revoked(&self, revoked: &[revocation::Model]) {
        if !revoked.is_empty() {
            self.revocations.note(revoked);
            self.share.tell_of_revocation();
        }
    }

    /// Takes over what other processes have changed.
    pub async fn catch_up(&self) -> Result<(), Failure> {
        self.freshness.renew(async || self.read_news().await).await
    }

    async fn read_news(&self) -> Result<(), Failure> {
        self.keys.refresh().await?;
        let now = self.clock.now();
        Ok(self.revocations.refresh(self.db.read(), now).await?)
    }

    /// Removes what no token can need any more, and networks that are not known any more.
    async fn sweep(&self) -> Result<(), Failure> {
        let now = self.clock.now();
        self.sweep_sessions(now).await?;
        self.revocations.sweep(&self.db, now).await?;
        self.sweep_networks(now).await
    }

    /// Whom an access token speaks for. [`Code::Unauthenticated`] where it is not valid, has
    /// expired or was revoked; [`Code::Overloaded`] where that cannot be known.
    pub async fn authenticate(&self, token: &str) -> Result<SignedIn, Failure> {
        let (claims, key_id) = self.claims(token).await?;
        self.be_fresh().await?;
        let signed_in = SignedIn {
            caller: Caller {
                id: claims.sub,
                role: claims.role,
            },
            session_id: claims.sid,
            generation: claims.generation,
            key_id,
            expires_at: Time(claims.exp.saturating_mul(1_000_000)),
        };
        if self.is_revoked(&signed_in) {
            return Err(Failure::new(
                Code::Unauthenticated,
                "The access token was revoked.",
            ));
        }
        Ok(signed_in)
    }

    /// Whether a token that was good when the request came in still is: for streams.
    pub fn is_still(&self, signed_in: &SignedIn) -> bool {
        signed_in.expires_at > self.clock.now() && !self.is_revoked(signed_in)
    }

    /// Whether the token's session, its generation or its key was revoked.
    fn is_revoked(&self, signed_in: &SignedIn) -> bool {
        let SignedIn {
            session_id,
            generation,
            key_id,
            ..
        } = *signed_in;
        self.revocations.is_revoked(session_id, generation) || !self.keys.has(key_id)
    }

    /// Rather no answer than a guess: list and keys must not be too old.
    async fn be_fresh(&self) -> Result<(), Failure> {
        let most = self.settings.max_staleness;
        if self.freshness.age() <= most {
            return Ok(());
        }
        // In a box: it is rare, and every request would need room for it otherwise.
        let caught_up = self
            .freshness
            .renew_if_older(most, async || self.read_news().await);
        let unknown = "It cannot be told at the moment which tokens were revoked.";
        match Box::pin(tokio::time::timeout(CATCH_UP, caught_up)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::overloaded(unknown).caused_by(error)),
            Err(elapsed) => Err(Failure::overloaded(unknown).caused_by(elapsed)),
        }
    }

    /// The claims of a token, and the id of the key that signed it.
    async fn claims(&self, token: &str) -> Result<(Claims, Uuid), Failure> {
        token::check(token, &self.keys, &self.settings.parties, self.clock.now()).await
    }

    /// The claims of a token for `session` until `expires_at`.
    fn claims_of(
        &self,
        account: &Account,
        session: &session::Model,
        now: Time,
        expires_at: Time,
    ) -> Claims {
        Claims {
            iss: self.settings.parties.issuer.clone(),
            aud: self.settings.parties.audience.clone(),
            sub: account.id,
            sid: session.id,
            iat: now.seconds(),
            nbf: None,
            exp: expires_at.seconds(),
            role: account.role,
            generation: session.generation,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;

/// Does `work` again and again.
async fn repeat<F: Future<Output = Result<(), Failure>>>(interval: Duration, work: impl Fn() -> F) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(failure) = work().await {
            tracing::warn!(error = ?failure, "looking after sessions failed; trying again");
        }
    }
}
