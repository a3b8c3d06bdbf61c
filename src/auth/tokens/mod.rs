//! Access tokens, refresh tokens and the sessions that they belong to.
//!
//! Which revocations are new to a process is told by numbers of the database; no clock of another
//! machine is believed.

mod claims;
mod freshness;
pub mod grant;
mod key;
pub mod keys;
pub mod mint;
pub mod refresh_token;
pub mod reset;
pub mod revocation;
pub mod revocation_slot;
mod revocations;
pub mod session;
pub mod sessions;
pub mod signing_key;

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use tokio::time::Instant;
use uuid::Uuid;

use super::hmac_keys::HmacKeys;
use super::{OpenError, SWEEP_INTERVAL};
use crate::clock::{Clock, Time};
use crate::config::Config;
use crate::db::Db;
use crate::failure::{Code, Failure};
use crate::periodic::try_every;
use crate::share::{News, Share};
use crate::users::Caller;
use crate::users::entity::Model as Account;

use claims::{Claims, Parties};
use freshness::Freshness;
use keys::Keys;
use revocations::Revocations;

/// By how much the clocks of two processes may differ. Sessions and revocations are kept for this
/// much longer than any of their tokens is valid.
const CLOCK_SKEW: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a request waits for revocations and keys to be read again once they are stale.
const CATCH_UP: Duration = Duration::from_secs(1);

/// Issues, checks and revokes tokens. Clones share everything.
#[derive(Clone)]
pub struct Tokens {
    db: Db,
    clock: Clock,
    share: Share,
    keys: Arc<Keys>,
    revocations: Arc<Revocations>,
    freshness: Arc<Freshness>,
    hmac_keys: Arc<HmacKeys>,
    settings: Arc<Settings>,
}

struct Settings {
    parties: Parties,
    public_url: Option<String>,
    access_token_ttl: Duration,
    refresh_token_ttl: Duration,
    guest_ttl: Duration,
    refresh_reuse_window: Duration,
    max_sessions: u64,
    poll_interval: Duration,
    max_staleness: Duration,
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

/// Whether a token that was valid once still is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    Valid,
    Expired,
    Revoked,
}

impl Tokens {
    /// Opens the signing keys, which are made at the first start, and reads the revocation list.
    pub(super) async fn open(
        db: Db,
        clock: Clock,
        share: Share,
        hmac_keys: Arc<HmacKeys>,
        config: &Config,
    ) -> Result<Tokens, OpenError> {
        let auth = &config.auth;
        let public_url = config.server.public_url.as_ref();
        let settings = Settings {
            parties: Parties {
                issuer: config.issuer().to_owned(),
                audience: auth.audience.clone(),
            },
            public_url: public_url.map(|url| url.as_str().to_owned()),
            access_token_ttl: auth.access_token_ttl,
            refresh_token_ttl: auth.refresh_token_ttl,
            guest_ttl: auth.guest_ttl,
            refresh_reuse_window: auth.refresh_reuse_window,
            max_sessions: auth.max_sessions.into(),
            poll_interval: auth.revocation_poll_interval,
            max_staleness: auth.revocation_max_staleness,
        };
        let read_at = Instant::now();
        let keys = Keys::open(db.clone(), clock.clone(), auth).await?;
        let revocations = Revocations::open(db.read(), clock.now()).await?;
        Ok(Tokens {
            keys: Arc::new(keys),
            revocations: Arc::new(revocations),
            freshness: Arc::new(Freshness::new(read_at)),
            settings: Arc::new(settings),
            hmac_keys,
            share,
            db,
            clock,
        })
    }

    /// The issuer (`iss`) of the tokens.
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
        let unread = "keys and revocations could not be read";
        let unswept = "expired sessions and revocations could not be removed";
        // Concurrently: a sweep may have to wait, and must not delay the revocations.
        tokio::join!(
            try_every(self.settings.poll_interval, unread, || self.catch_up()),
            try_every(SWEEP_INTERVAL, unswept, || self.sweep()),
            self.listen(),
        );
    }

    /// Reads revocations as soon as another process announces some. Never returns.
    async fn listen(&self) {
        let mut news = self.share.listen();
        loop {
            match news.next().await {
                News::TokensRevoked | News::Gap => {
                    news.forget();
                    if let Err(failure) = self.catch_up().await {
                        // The next poll tries again, and warns if it fails, too.
                        tracing::debug!(error = ?failure, "announced revocations could not be read");
                    }
                }
                News::QuestionChanged(_) => {}
            }
        }
    }

    /// Adds what was revoked and committed here to the list in memory, and tells the other
    /// processes to read theirs again.
    pub fn announce(&self, revoked: &[revocation::Model]) {
        if !revoked.is_empty() {
            self.revocations.remember(revoked);
            self.share.tell_of_revocation();
        }
    }

    /// Reads the keys and revocations that other processes have written.
    pub async fn catch_up(&self) -> Result<(), Failure> {
        self.freshness
            .renew(async || self.read_changes().await)
            .await
    }

    async fn read_changes(&self) -> Result<(), Failure> {
        self.keys.refresh().await?;
        let now = self.clock.now();
        Ok(self.revocations.refresh(self.db.read(), now).await?)
    }

    /// Removes sessions and revocations that no token can need any more.
    pub(super) async fn sweep(&self) -> Result<(), Failure> {
        let now = self.clock.now();
        self.sweep_sessions(now).await?;
        self.revocations.sweep(&self.db, now).await
    }

    /// Whom an access token speaks for. [`Code::Unauthenticated`] where it is not valid, has
    /// expired or was revoked; [`Code::Overloaded`] where that cannot be known.
    pub async fn authenticate(&self, token: &str) -> Result<SignedIn, Failure> {
        let (claims, key_id) = self.claims(token).await?;
        self.require_freshness().await?;
        let signed_in = SignedIn {
            caller: Caller {
                id: claims.sub,
                standing: claims.standing,
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

    /// Whether a token that was valid when the request came in still is: for streams.
    pub fn validity(&self, signed_in: &SignedIn) -> Validity {
        if signed_in.expires_at <= self.clock.now() {
            Validity::Expired
        } else if self.is_revoked(signed_in) {
            Validity::Revoked
        } else {
            Validity::Valid
        }
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

    /// Refuses to decide on keys and revocations that are stale and cannot be read again.
    async fn require_freshness(&self) -> Result<(), Failure> {
        let max_staleness = self.settings.max_staleness;
        if self.freshness.age() <= max_staleness {
            return Ok(());
        }
        // In a box: it is rare, and every request would need room for it otherwise.
        let caught_up = self
            .freshness
            .renew_if_older(max_staleness, async || self.read_changes().await);
        let unknown = "It cannot be told at the moment which tokens were revoked.";
        match Box::pin(tokio::time::timeout(CATCH_UP, caught_up)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::overloaded(unknown).caused_by(error)),
            Err(elapsed) => Err(Failure::overloaded(unknown).caused_by(elapsed)),
        }
    }

    /// How long a session is valid after its last use: that of a guest is all that the guest has.
    pub(in crate::auth) fn session_lifetime(&self, of: &Account) -> Duration {
        match of.is_guest() {
            true => self.settings.guest_ttl,
            false => self.settings.refresh_token_ttl,
        }
    }

    /// The claims of a token, and the id of the key that signed it.
    async fn claims(&self, token: &str) -> Result<(Claims, Uuid), Failure> {
        claims::check(token, &self.keys, &self.settings.parties, self.clock.now()).await
    }

    /// Signs an access token for `session` that is valid until `expires_at`.
    fn sign(
        &self,
        account: &Account,
        session: &session::Model,
        now: Time,
        expires_at: Time,
    ) -> Result<String, Failure> {
        let claims = Claims {
            iss: self.settings.parties.issuer.clone(),
            aud: self.settings.parties.audience.clone(),
            sub: account.id,
            sid: session.id,
            iat: now.seconds(),
            nbf: None,
            exp: expires_at.seconds(),
            standing: account.standing,
            generation: session.generation,
        };
        self.keys.current().sign(&claims).map_err(Failure::internal)
    }
}

#[cfg(test)]
mod tests;
