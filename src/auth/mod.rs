//! Who is asking: sign-in, tokens, sessions and their end.
//!
//! Requests are let in on their access token alone, checked against the signing keys and the
//! revocation list that this process has in memory; no request costs a look-up. Whatever takes
//! rights away lists the tokens that say otherwise, in the transaction that takes them.

pub mod account;
pub mod api;
mod form;
pub mod grant;
pub mod guard;
mod key;
pub mod keys;
pub mod limits;
pub mod operator;
pub mod refresh_token;
pub mod restored;
pub mod revocation;
mod revocations;
pub mod session;
pub mod sessions;
pub mod signing_key;
mod token;

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use phonenumber::country;
use sea_orm::sea_query::Condition;
use sea_orm::{ColumnTrait as _, DbErr, EntityTrait as _, QueryFilter as _};
use uuid::Uuid;

use crate::clock::{Clock, Time};
use crate::config::Config;
use crate::db::Db;
use crate::failure::{Code, Failure};
use crate::share::{News, Share};
use crate::users::Caller;
use crate::users::entity::Model as Account;
use crate::users::password::{BadParameters, Hasher};

use keys::{Keys, KeysError};
use limits::Limits;
use revocations::Revocations;
use token::{Claims, Parties};

/// How often expired rows are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// How long a call waits for the revocation list where it had become too old.
const CATCH_UP: Duration = Duration::from_secs(1);

/// The issuer and judge of tokens, and the keeper of what they rest on. Clones are one.
#[derive(Clone)]
pub struct Authority {
    db: Db,
    clock: Clock,
    keys: Arc<Keys>,
    revocations: Arc<Revocations>,
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
    poll_interval: Duration,
    max_staleness: Duration,
}

/// Why accounts and tokens are not available.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Keys(#[from] KeysError),
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
            poll_interval: auth.revocation_poll_interval,
            max_staleness: auth.revocation_max_staleness,
        };
        let keys = Keys::open(db.clone(), clock.clone(), auth).await?;
        let revocations = Revocations::open(db.read(), clock.now()).await?;
        Ok(Authority {
            keys: Arc::new(keys),
            revocations: Arc::new(revocations),
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
                    let looked = self.revocations.refresh(self.db.read(), &self.clock);
                    if let Err(error) = looked.await {
                        // The next poll tries again, and says so where that fails, too.
                        tracing::debug!(%error, "news of revocations is late");
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
        self.revocations
            .refresh(self.db.read(), &self.clock)
            .await?;
        self.keys.refresh().await
    }

    /// Removes sessions and revocations that no token can belong to any more.
    async fn sweep(&self) -> Result<(), Failure> {
        let now = self.clock.now();
        let over = Condition::any()
            .add(session::Column::ExpiresAt.lte(now))
            .add(session::Column::EndedAt.is_not_null());
        let unlisted = Condition::all()
            .add(session::Column::TokensExpireAt.lte(now))
            .add(over);
        let unlisted = &unlisted;
        let swept = self.db.write(|transaction| async move {
            let sessions = session::Entity::delete_many().filter(unlisted.clone());
            sessions.exec(&transaction).await?;
            Ok(self.revocations.sweep(&transaction, now).await?)
        });
        swept.await
    }

    /// Whom an access token speaks for. [`Code::Unauthenticated`] where it is not valid, has
    /// expired or was revoked; [`Code::Overloaded`] where that cannot be known.
    pub async fn authenticate(&self, token: &str) -> Result<SignedIn, Failure> {
        let claims = self.claims(token).await?;
        self.be_fresh().await?;
        let signed_in = SignedIn {
            caller: Caller {
                id: claims.sub,
                role: claims.role,
            },
            session_id: claims.sid,
            generation: claims.generation,
            expires_at: Time(claims.exp.saturating_mul(1_000_000)),
        };
        if self
            .revocations
            .is_revoked(signed_in.session_id, signed_in.generation)
        {
            return Err(Failure::new(
                Code::Unauthenticated,
                "The access token was revoked.",
            ));
        }
        Ok(signed_in)
    }

    /// Whether a token that was good when the request came in still is: for streams.
    pub fn is_still(&self, signed_in: &SignedIn) -> bool {
        signed_in.expires_at > self.clock.now()
            && !self
                .revocations
                .is_revoked(signed_in.session_id, signed_in.generation)
    }

    /// Rather no answer than a guess: the list must not be too old.
    async fn be_fresh(&self) -> Result<(), Failure> {
        let most = self.settings.max_staleness;
        if self.revocations.staleness(self.clock.now()) <= most {
            return Ok(());
        }
        // In a box: it is rare, and every request would need room for it otherwise.
        let caught_up = self
            .revocations
            .refresh_if_older(most, self.db.read(), &self.clock);
        let unknown = "It cannot be told at the moment which tokens were revoked.";
        match Box::pin(tokio::time::timeout(CATCH_UP, caught_up)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::overloaded(unknown).caused_by(error)),
            Err(elapsed) => Err(Failure::overloaded(unknown).caused_by(elapsed)),
        }
    }

    async fn claims(&self, token: &str) -> Result<Claims, Failure> {
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
