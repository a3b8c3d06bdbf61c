//! Tokens for a grant (RFC 6749): the first ones of a session, and the next ones for a refresh token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use sea_orm::{
    ActiveModelTrait as _, ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::session::Model as Session;
use super::sessions::{self, Which};
use super::{Tokens, refresh_token, revocation, session};
use crate::clock::Time;
use crate::db::{self, Transaction};
use crate::failure::{Code, Failure};
use crate::text;
use crate::users;
use crate::users::entity::Model as Account;

/// The most characters of a client's name that are kept.
const CLIENT_LENGTH: usize = 200;

/// Tokens for a grant.
#[derive(Debug, Object, Serialize)]
#[oai(example)]
pub struct TokenResponse {
    /// Send it as `Authorization: Bearer …`. A JWT; treat it as opaque.
    pub access_token: String,
    /// How the access token is sent.
    pub token_type: TokenType,
    /// For how many seconds the access token is good.
    pub expires_in: u64,
    /// Gets the next tokens; good for one use.
    pub refresh_token: String,
    /// With the code of an invitation: the question that it is for.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question_id: Option<Uuid>,
}

impl Example for TokenResponse {
    fn example() -> Self {
        TokenResponse {
            access_token: "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJIUzI1NiJ9.eyJnZW4iOjB9.c2lnbmF0dXJl"
                .into(),
            token_type: TokenType::Bearer,
            expires_in: 900,
            refresh_token: "8xLOxBtZp8-0Qn2bM3v5Cw1dE6fG7hJ9kL4mN0pR2sT".into(),
            question_id: None,
        }
    }
}

/// The type of all access tokens.
#[derive(Debug, Enum, Serialize)]
pub enum TokenType {
    Bearer,
}

/// Why a grant got no tokens.
#[derive(Debug)]
pub enum GrantFailure {
    /// The grant is not valid; the client is not told why.
    InvalidGrant,
    Other(Failure),
}

impl<F: Into<Failure>> From<F> for GrantFailure {
    fn from(failure: F) -> GrantFailure {
        GrantFailure::Other(failure.into())
    }
}

impl Tokens {
    /// Begins a session of an account, which the transaction has locked, and ends its least
    /// recently used ones where there are too many. The revocations that are returned must be
    /// [announced](Tokens::announce) once the transaction has committed.
    pub async fn begin_session(
        &self,
        transaction: &Transaction,
        account: &Account,
        client: Option<&str>,
        now: Time,
    ) -> Result<(TokenResponse, Vec<revocation::Model>), Failure> {
        let revoked = self.make_room(transaction, account.id, now).await?;
        let session = Session {
            id: now.new_id(),
            user_id: account.id,
            client: client.and_then(displayed),
            generation: 0,
            created_at: now,
            last_used_at: now,
            tokens_expire_at: now.after(self.settings.access_token_ttl),
            expires_at: now.after(self.session_lifetime(account)),
            ended_at: None,
        };
        let row = session.clone().into_active_model();
        row.insert(transaction).await?;
        let refresh_token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        store_refresh_token(transaction, &refresh_token, session.id, now).await?;
        Ok((
            self.granted(account, &session, refresh_token, now)?,
            revoked,
        ))
    }

    /// Exchanges a refresh token for new tokens.
    ///
    /// One that was used a moment ago gets the same refresh token again, since the answer may have
    /// been lost; used again later it must have been stolen, and the session ends.
    pub async fn refresh(&self, refresh_token: &str) -> Result<TokenResponse, GrantFailure> {
        let presented = refresh_token;
        let hash = hash(presented);
        let Some(session) = self.session_of(hash.clone()).await? else {
            return Err(GrantFailure::InvalidGrant);
        };
        let (session, hash) = (&session, &hash);
        let outcome = self.db.write(|transaction| async move {
            let now = self.clock.now();
            let Some(account) = users::lock_active(&transaction, session.user_id).await? else {
                return Ok(Refresh::Denied);
            };
            let lifetime = self.session_lifetime(&account);
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
                (Some(_), Some(salt)) => self.hmac_keys.successor(presented, salt),
                // A process of the version before has used it, and nobody knows its successor.
                (Some(_), None) => return Ok(Refresh::Denied),
                (None, _) => {
                    let salt = rand::random::<[u8; 16]>();
                    let successor = self.hmac_keys.successor(presented, &salt);
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
            if account.is_guest() {
                users::renew_guest(&transaction, &account, now.after(lifetime)).await?;
            }
            self.granted(&account, &session, successor, now)
                .map(Refresh::Done)
        });
        match outcome.await? {
            Refresh::Done(granted) => Ok(granted),
            Refresh::Stolen(ended) => {
                self.announce(&ended);
                tracing::warn!(session = %session.id, "a used refresh token was presented again: session ended");
                Err(GrantFailure::InvalidGrant)
            }
            Refresh::Denied => Err(GrantFailure::InvalidGrant),
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
    ) -> Result<TokenResponse, Failure> {
        let expires_at = now.after(self.settings.access_token_ttl);
        Ok(TokenResponse {
            access_token: self.sign(account, session, now, expires_at)?,
            token_type: TokenType::Bearer,
            refresh_token,
            question_id: None,
            expires_in: self.settings.access_token_ttl.as_secs(),
        })
    }
}

enum Refresh {
    Done(TokenResponse),
    Stolen(Vec<revocation::Model>),
    Denied,
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

/// What a client calls itself, cleaned up for display.
fn displayed(client: &str) -> Option<String> {
    let clean = text::normalise(&client.replace(char::is_control, " "));
    let short: String = clean.chars().take(CLIENT_LENGTH).collect();
    (!short.is_empty() && text::line(&short).is_ok()).then_some(short)
}
