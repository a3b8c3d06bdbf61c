//! Secret keys for message authentication codes (HMAC-SHA-256, RFC 2104): one for each use, made
//! at the first start and shared by all processes of a database.

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sea_orm::{ConnectionTrait, DbErr, EntityTrait as _, IntoActiveModel as _};
use uuid::Uuid;

use super::hmac_key::{Entity, Model};
use super::tokens::signing_key::KeyMaterial;
use crate::db::{Db, MigrateError};
use crate::failure::Failure;
use crate::network::Network;

const REFRESH_TOKENS: &str = "refresh_tokens";
const NETWORKS: &str = "networks";
const BALLOTS: &str = "ballots";
const RECIPIENTS: &str = "recipients";

/// Why there are no HMAC keys to work with.
#[derive(Debug, thiserror::Error)]
pub enum HmacKeysError {
    #[error("the secret `{0}` in the database is not 32 bytes in base64")]
    Unreadable(&'static str),
    #[error("cannot read the HMAC keys")]
    Database(#[from] DbErr),
    #[error(transparent)]
    Lock(#[from] MigrateError),
    #[error("cannot store the HMAC keys")]
    Store(#[from] Failure),
}

/// The keys.
pub struct HmacKeys {
    refresh_tokens: hmac::Key,
    networks: hmac::Key,
    ballots: hmac::Key,
    recipients: hmac::Key,
}

impl std::fmt::Debug for HmacKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HmacKeys(…)")
    }
}

impl HmacKeys {
    /// Reads the keys, and makes those that are not there.
    pub async fn open(db: &Db) -> Result<HmacKeys, HmacKeysError> {
        if let Some(secrets) = HmacKeys::read(db.read()).await? {
            return Ok(secrets);
        }
        db.exclusively(async |_| {
            let stored = Entity::find().all(db.read()).await?;
            let missing = [REFRESH_TOKENS, NETWORKS, BALLOTS, RECIPIENTS]
                .into_iter()
                .filter(|name| stored.iter().all(|secret| secret.name != *name));
            let made: Vec<Model> = missing
                .map(|name| Model {
                    name: name.to_owned(),
                    value: KeyMaterial(STANDARD.encode(rand::random::<[u8; 32]>())),
                })
                .collect();
            if !made.is_empty() {
                let made = &made;
                let store = db.write(|transaction| async move {
                    let rows = made.iter().cloned().map(Model::into_active_model);
                    let insert = Entity::insert_many(rows);
                    insert.exec_without_returning(&transaction).await?;
                    Ok(())
                });
                store.await?;
            }
            let secrets = HmacKeys::read(db.read()).await?;
            secrets.ok_or(HmacKeysError::Unreadable(RECIPIENTS))
        })
        .await
    }

    /// None where one of them is missing.
    async fn read(connection: &impl ConnectionTrait) -> Result<Option<HmacKeys>, HmacKeysError> {
        let stored = Entity::find().all(connection).await?;
        let key = |name| match stored.iter().find(|secret| secret.name == name) {
            Some(secret) => key_of(name, &secret.value).map(Some),
            None => Ok(None),
        };
        let keys = (
            key(REFRESH_TOKENS)?,
            key(NETWORKS)?,
            key(BALLOTS)?,
            key(RECIPIENTS)?,
        );
        let (Some(refresh_tokens), Some(networks), Some(ballots), Some(recipients)) = keys else {
            return Ok(None);
        };
        Ok(Some(HmacKeys {
            refresh_tokens,
            networks,
            ballots,
            recipients,
        }))
    }

    /// The refresh token that follows `token`, in the form that clients get. It cannot be
    /// computed without the key and `token`.
    pub fn successor(&self, token: &str, salt: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.refresh_tokens);
        context.update(salt);
        context.update(token.as_bytes());
        URL_SAFE_NO_PAD.encode(context.sign())
    }

    /// The stored form of a network that an account has signed in from. Without the key it reveals
    /// neither the network nor whether two accounts share one.
    pub fn network(&self, user: Uuid, network: Network) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.networks);
        context.update(user.as_bytes());
        context.update(&network.key());
        context.sign().as_ref().to_vec()
    }

    /// The stored form of a network from which guests have voted on a question. Without the key it
    /// reveals neither the network nor whether it has voted on another question.
    pub fn network_of_ballots(&self, question: Uuid, network: Network) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.ballots);
        context.update(question.as_bytes());
        context.update(&network.key());
        context.sign().as_ref().to_vec()
    }

    /// The stored form of an email address whose owner refuses invitations. The address is one as it is
    /// [compared](crate::users::email::key). Without the key its stored form does not reveal it.
    pub fn recipient(&self, address: &str) -> Vec<u8> {
        self.of_recipient(b"address", address.as_bytes())
            .as_ref()
            .to_vec()
    }

    /// A token with which whoever reads the messages to an address refuses invitations: 64 bytes in
    /// base64, the stored form of the address and a proof that this server has made it.
    pub fn refusal_token(&self, address: &str) -> String {
        let recipient = self.recipient(address);
        let proof = self.of_recipient(b"refusal", &recipient);
        URL_SAFE_NO_PAD.encode([&recipient, proof.as_ref()].concat())
    }

    /// The stored form of the address that a token refuses invitations for, if the token is one.
    pub fn refused_recipient(&self, token: &str) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (recipient, proof) = bytes.split_at_checked(32)?;
        let signed = [&b"refusal"[..], recipient].concat();
        hmac::verify(&self.recipients, &signed, proof).ok()?;
        Some(recipient.to_vec())
    }

    fn of_recipient(&self, purpose: &[u8], text: &[u8]) -> hmac::Tag {
        hmac::sign(&self.recipients, &[purpose, text].concat())
    }
}

fn key_of(name: &'static str, value: &KeyMaterial) -> Result<hmac::Key, HmacKeysError> {
    let bytes = STANDARD.decode(&value.0).ok();
    let bytes = bytes.filter(|bytes| bytes.len() == 32);
    let bytes = bytes.ok_or(HmacKeysError::Unreadable(name))?;
    Ok(hmac::Key::new(HMAC_SHA256, &bytes))
}
