//! Getting tokens: signing in, refreshing, and giving them back.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sea_orm::{
    ActiveModelTrait as _, ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _,
};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::limits::Admission;
use super::session::Model as Session;
use super::sessions::{self, Which};
use super::{Authority, refresh_token, session, token};
use crate::clock::Time;
use crate::db::{self, Transaction};
use crate::failure::{Code, Failure, RateLimit};
use crate::network::Network;
use crate::text;
use crate::users::entity::Model as Account;
use crate::users::password::Verdict;
use crate::users::{self, Login};

/// The most characters of a client's name that are kept.
const CLIENT_LENGTH: usize = 200;

/// What a client gets for a grant.
#[derive(Debug)]
pub struct Granted {
    pub access_token: String,
    /// For the next time; each is good for one use.
    pub refresh_token: String,
    /// Seconds.
    pub expires_in: u64,
}

/// Why a grant got no tokens.
#[derive(Debug)]
pub enum Denied {
    /// It is not valid, and nothing more is said.
    Grant,
    Failure(Failure),
}

impl<F: Into<Failure>> From<F> for Denied {
    fn from(failure: F) -> Denied {
        Denied::Failure(failure.into())
    }
}

impl Authority {
    /// Signs in by email address or phone number, and begins a session.
    /// [`Code::RateLimited`] after too many attempts or failures.
    pub async fn sign_in(
        &self,
        login: &str,
        password: String,
        client: Option<&str>,
        network: Network,
    ) -> Result<Granted, Denied> {
        let login = Login::typed(login, self.settings.region);
        self.limits.take_sign_in(&login, network)?;
        // Again where the hash was replaced meanwhile: another sign-in may have brought it up to
        // date.
        for _ in 0..2 {
            let granted = self.try_sign_in(&login, &password, client, network);
            if let Some(granted) = granted.await? {
                return Ok(granted);
            }
        }
        Err(Denied::Grant)
    }

    /// What is left of the limit on attempts to sign in like this; none where there are no limits.
    pub fn sign_in_limit(&self, login: &str, network: Network) -> Option<RateLimit> {
        let login = Login::typed(login, self.settings.region);
        self.limits.sign_in_state(&login, network)
    }

    /// None where the stored hash was replaced meanwhile.
    async fn try_sign_in(
        &self,
        login: &Login,
        password: &str,
        client: Option<&str>,
        network: Network,
    ) -> Result<Option<Granted>, Denied> {
        let account = users::by_login(self.db.read(), login).await?;
        let id = account.as_ref().map(|account| account.id);
        // First to refuse a flood before it queues, then so that what ran meanwhile counts: at
        // most as many guesses as there are workers go beyond the limit.
        self.admit(self.limits.known_admission(login, network), id, network)
            .await?;
        let turn = self.hasher.turn(network).await?;
        self.admit(self.limits.admission(login, network).await, id, network)
            .await?;

        let hash = account
            .as_ref()
            .and_then(|account| account.password_hash.clone());
        let (verdict, turn) = turn.verify(password.to_owned(), hash).await?;
        let account = account.filter(Account::is_active);
        let (Some(account), Verdict::Right { new_hash }) = (account, verdict) else {
            self.limits.count_failed_sign_in(login, network).await;
            return Err(Denied::Grant);
        };
        drop(turn);
        self.begin_session(&account, new_hash, client, network)
            .await
    }

    /// Refuses what the limits do not admit.
    async fn admit(
        &self,
        admission: Admission,
        account: Option<Uuid>,
        network: Network,
    ) -> Result<(), Failure> {
        match admission {
            Admission::Free => Ok(()),
            Admission::Refused(failure) => Err(failure),
            Admission::KnownNetworks(failure) => {
                // In a box: it is rare, and every sign-in would need room for it otherwise.
                match Box::pin(self.knows_network(account, network)).await? {
                    true => Ok(()),
                    false => Err(failure),
                }
            }
        }
    }

    /// Begins a session of an account whose password was verified, and stores `new_hash` of it
    /// where there is one. None where the stored hash was replaced since.
    async fn begin_session(
        &self,
        verified: &Account,
        new_hash: Option<String>,
        client: Option<&str>,
        network: Network,
    ) -> Result<Option<Granted>, Denied> {
        let new_hash = &new_hash;
        let begun = self.db.write(|transaction| async move {
            let now = self.clock.now();
            // The account may have been disabled, or its password changed, since it was read.
            let Some(account) = lock_active(&transaction, verified.id).await? else {
                return Ok(Beginning::Denied);
            };
            if account.password_hash != verified.password_hash {
                return Ok(Beginning::Replaced);
            }
            if let Some(hash) = new_hash {
                users::set_password_hash(&transaction, account.id, hash.clone()).await?;
            }
            self.note_network(&transaction, account.id, network, now)
                .await?;
            let ended = self.make_room(&transaction, account.id, now).await?;
            let session = Session {
                id: now.new_id(),
                user_id: account.id,
                client: client.and_then(shown),
                generation: 0,
                created_at: now,
                last_used_at: now,
                tokens_expire_at: now.after(self.settings.access_token_ttl),
                expires_at: now.after(self.settings.refresh_token_ttl),
                ended_at: None,
            };
            let row = session.clone().into_active_model();
            row.insert(&transaction).await?;
            let refresh_token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
            store_refresh_token(&transaction, &refresh_token, session.id, now).await?;
            let granted = self.granted(&account, &session, refresh_token, now)?;
            Ok(Beginning::Done(granted, ended))
        });
        match begun.await? {
            Beginning::Done(granted, ended) => {
                self.note_revoked(&ended);
                Ok(Some(granted))
            }
            Beginning::Replaced => Ok(None),
            Beginning::Denied => Err(Denied::Grant),
        }
    }

    /// Exchanges a refresh token for new tokens.
    ///
    /// One that was used a moment ago gets the same refresh token again, since the answer may have
    /// been lost; used again later it must have been stolen, and the session ends.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Granted, Denied> {
        let presented = refresh_token;
        let hash = hash(presented);
        let Some(session) = self.session_of(hash.clone()).await? else {
            return Err(Denied::Grant);
        };
        let lifetime = self.settings.refresh_token_ttl;
        let (session, hash) = (&session, &hash);
        let outcome = self.db.write(|transaction| async move {
            let now = self.clock.now();
            let Some(account) = lock_active(&transaction, session.user_id).await? else {
                return Ok(Refresh::Denied);
            };
            let alive = sessions::find_alive(&transaction, account.id, session.id, now).await?;
            let token = refresh_token::Entity::find_by_id(hash.clone());
            let token = db::lock(&transaction, token);
            let (Some(session), Some(token)) = (alive, token.one(&transaction).await?) else {
                return Ok(Refresh::Denied);
            };
            if token.issued_at.after(lifetime) <= now {
                return Ok(Refresh::Denied);
            }
            let successor = match (token.used_at, &token.successor_salt) {
                (Some(used_at), _) if now.since(used_at) > self.settings.refresh_reuse_window => {
                    let which = Which::One(session.id);
                    let ended = self.end(&transaction, account.id, which, now).await?;
                    return Ok(Refresh::Stolen(ended));
                }
                (Some(_), Some(salt)) => self.secrets.successor(presented, salt),
                // A process of the version before has used it, and nobody knows its successor.
                (Some(_), None) => return Ok(Refresh::Denied),
                (None, _) => {
                    let salt = rand::random::<[u8; 16]>();
                    let successor = self.secrets.successor(presented, &salt);
                    let mut used = token.into_active_model();
                    used.used_at = Set(Some(now));
                    used.successor_salt = Set(Some(salt.to_vec()));
                    used.update(&transaction).await?;
                    store_refresh_token(&transaction, &successor, session.id, now).await?;
                    successor
                }
            };
            forget_expired(&transaction, &session, now.before(lifetime)).await?;
            let tokens_expire_at = now.after(self.settings.access_token_ttl);
            let tokens_expire_at = tokens_expire_at.max(session.tokens_expire_at);
            let mut used = session.into_active_model();
            used.last_used_at = Set(now);
            used.tokens_expire_at = Set(tokens_expire_at);
            // Never before its access tokens do: what has expired is not revoked any more.
            used.expires_at = Set(now.after(lifetime).max(tokens_expire_at));
            let session = used.update(&transaction).await?;
            self.granted(&account, &session, successor, now)
                .map(Refresh::Done)
        });
        match outcome.await? {
            Refresh::Done(granted) => Ok(granted),
            Refresh::Stolen(ended) => {
                self.note_revoked(&ended);
                tracing::warn!(session = %session.id, "a used refresh token came back: session ended");
                Err(Denied::Grant)
            }
            Refresh::Denied => Err(Denied::Grant),
        }
    }

    /// Ends the session that a token of either kind belongs to, if it is one.
    pub async fn revoke(&self, token: &str) -> Result<(), Failure> {
        let session = match self.session_of(hash(token)).await? {
            Some(session) => Some((session.user_id, session.id)),
            None => match self.claims(token).await {
                Ok((claims, _)) => Some((claims.sub, claims.sid)),
                Err(failure) if failure.code == Code::Unauthenticated => None,
                Err(failure) => return Err(failure),
            },
        };
        match session {
            Some((user, session)) => self.end_some(user, Which::One(session), false).await,
            None => Ok(()),
        }
    }

    async fn session_of(&self, token_hash: Vec<u8>) -> Result<Option<Session>, Failure> {
        let token = refresh_token::Entity::find_by_id(token_hash)
            .one(self.db.read())
            .await?;
        let Some(token) = token else {
            return Ok(None);
        };
        let session = session::Entity::find_by_id(token.session_id);
        Ok(session.one(self.db.read()).await?)
    }

    fn granted(
        &self,
        account: &Account,
        session: &Session,
        refresh_token: String,
        now: Time,
    ) -> Result<Granted, Failure> {
        let expires_at = now.after(self.settings.access_token_ttl);
        let claims = self.claims_of(account, session, now, expires_at);
        Ok(Granted {
            access_token: token::sign(&self.keys.current(), &claims)?,
            refresh_token,
            expires_in: self.settings.access_token_ttl.as_secs(),
        })
    }
}

enum Beginning {
    Done(Granted, Vec<super::revocation::Model>),
    /// The stored hash is not the one that was verified.
    Replaced,
    Denied,
}

enum Refresh {
    Done(Granted),
    Stolen(Vec<super::revocation::Model>),
    Denied,
}

/// The account, which stays as it is until the transaction ends, unless it may not sign in.
async fn lock_active(transaction: &Transaction, id: Uuid) -> Result<Option<Account>, Failure> {
    match users::lock(transaction, id).await {
        Ok(account) => Ok(Some(account).filter(Account::is_active)),
        Err(failure) if failure.code == Code::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Stores the hash of a refresh token that nobody has used yet.
async fn store_refresh_token(
    connection: &impl ConnectionTrait,
    token: &str,
    session: Uuid,
    now: Time,
) -> Result<(), Failure> {
    let row = refresh_token::Model {
        token_hash: hash(token),
        session_id: session,
        issued_at: now,
        used_at: None,
        successor_salt: None,
    };
    let row = row.into_active_model();
    refresh_token::Entity::insert(row)
        .exec_without_returning(connection)
        .await?;
    Ok(())
}

/// Forgets the session's tokens that were issued so long ago that they have expired.
async fn forget_expired(
    transaction: &Transaction,
    session: &Session,
    issued_before: Time,
) -> Result<(), Failure> {
    let expired = refresh_token::Entity::delete_many()
        .filter(refresh_token::Column::SessionId.eq(session.id))
        .filter(refresh_token::Column::IssuedAt.lte(issued_before));
    expired.exec(transaction).await?;
    Ok(())
}

fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token).to_vec()
}

/// What a client calls itself, fit to be shown.
fn shown(client: &str) -> Option<String> {
    let clean = text::normalise(&client.replace(char::is_control, " "));
    let short: String = clean.chars().take(CLIENT_LENGTH).collect();
    (!short.is_empty() && text::line(&short).is_ok()).then_some(short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::tests::{House, user};
    use crate::users::Standing;

    #[tokio::test]
    async fn what_changed_while_the_password_was_checked_counts() {
        let (_house, authority) = House::new().await;
        let verified = user(&authority, "luxi").await;
        let begin = async || {
            let network = Network::of(None);
            authority
                .begin_session(&verified, None, None, network)
                .await
        };
        assert!(matches!(begin().await, Ok(Some(_))));

        let disable = |disabled| Standing {
            disabled: Some(disabled),
            ..Standing::default()
        };
        let login = "luxi@example.org";
        authority
            .set_standing_by_hand(login, disable(true))
            .await
            .unwrap();
        let refused = begin().await;
        assert!(matches!(refused, Err(Denied::Grant)), "{refused:?}");

        authority
            .set_standing_by_hand(login, disable(false))
            .await
            .unwrap();
        authority
            .set_password_by_hand(login, "another password".to_owned())
            .await
            .unwrap();
        let refused = begin().await;
        assert!(matches!(refused, Ok(None)), "{refused:?}");
    }
}
