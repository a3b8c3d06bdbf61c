//! The signing keys of a database, shared by all its processes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jsonwebtoken::jwk::JwkSet;
use sea_orm::{
    ActiveModelTrait as _, ActiveValue::Set, ColumnTrait as _, Condition, ConnectionTrait, DbErr,
    EntityTrait as _, IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::key::{self, BadKey, SigningKey};
use super::session;
use super::signing_key::{Column, Entity, KeyMaterial, Model};
use crate::clock::{Clock, Time};
use crate::config;
use crate::db::{Db, MigrateError, Transaction};
use crate::failure::Failure;

/// The shortest time between two reads of the keys because of tokens with an unknown key. Such
/// tokens wait for the next read: their key may be newer than the last one.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long a token waits for that read.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long after a rotation other processes may still sign with the old key.
const ROTATION_SLACK: Duration = Duration::from_secs(60);

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error(
        "auth.key is not the key of this database, which would sign everybody out. Configure the database's key, leave auth.key empty to use it, or run `polls keys rotate` to make auth.key the new one"
    )]
    OtherKey,
    #[error(
        "auth.algorithm is {configured}, but the key of this database is for {stored}. Configure {stored}, or run `polls keys rotate` to change over"
    )]
    OtherAlgorithm {
        configured: &'static str,
        stored: String,
    },
    #[error("auth.key is the current key already. Configure a new one, or none to have one made")]
    SameKey,
    #[error(
        "auth.key is configured, and a new key cannot be made in its place. Remove auth.key from the configuration of all processes and run this again, which makes a key that is kept in the database; with `polls keys rotate` a newly configured auth.key can take its place then"
    )]
    Configured,
    #[error(transparent)]
    Bad(#[from] BadKey),
    #[error("cannot read or store the signing keys")]
    Database(#[from] DbErr),
    #[error(transparent)]
    Lock(#[from] MigrateError),
    #[error("cannot store the signing keys")]
    Store(#[from] Failure),
}

/// The keys as this process knows them.
pub struct Keys {
    db: Db,
    clock: Clock,
    ring: ArcSwap<Ring>,
    last_look: Mutex<Instant>,
}

struct Ring {
    /// As the database had them.
    ids: Vec<Uuid>,
    current: Arc<SigningKey>,
    /// The current one and those whose tokens may not have expired.
    by_id: HashMap<Uuid, Arc<SigningKey>>,
}

impl Keys {
    /// Reads the keys; makes the first one, or stores the configured one, where there is none.
    pub async fn open(db: Db, clock: Clock, config: &config::Auth) -> Result<Keys, KeysError> {
        let now = clock.now();
        let rows = db
            .exclusively(async |_| {
                let rows = load(db.read(), now).await?;
                if let Some(current) = rows.first() {
                    agrees(current, config)?;
                    return Ok::<_, KeysError>(rows);
                }
                let first = material(config)?;
                let first = &first;
                let stored = db.write(|transaction| async move {
                    insert(&transaction, config.algorithm, first.clone(), now).await
                });
                stored.await?;
                Ok(load(db.read(), now).await?)
            })
            .await?;
        Ok(Keys {
            ring: ArcSwap::from_pointee(Ring::read(&rows)?),
            last_look: Mutex::new(Instant::now()),
            db,
            clock,
        })
    }

    /// The key that signs.
    pub fn current(&self) -> Arc<SigningKey> {
        self.ring.load().current.clone()
    }

    /// The key that a token claims to be signed with; looks into the database where it is not
    /// known yet.
    pub async fn find(&self, token: &str) -> Result<Option<Arc<SigningKey>>, Failure> {
        let ring = self.ring.load();
        // Nearly every token begins with the encoded header of one of a few keys: nothing is decoded.
        if let Some(key) = ring
            .by_id
            .values()
            .find(|key| key.signed_header_matches(token))
        {
            return Ok(Some(key.clone()));
        }
        let Some(id) = key::key_id(token) else {
            return Ok(None);
        };
        if let Some(key) = ring.by_id.get(&id) {
            return Ok(Some(key.clone()));
        }
        drop(ring);
        // In a box: it is rare, and every request would need room for it otherwise.
        Box::pin(self.look_for(id)).await
    }

    async fn look_for(&self, id: Uuid) -> Result<Option<Arc<SigningKey>>, Failure> {
        let asked = Instant::now();
        let unknown =
            || Failure::overloaded("It cannot be told at the moment which keys there are.");
        let last_look = timeout(PATIENCE, self.last_look.lock()).await;
        let mut last_look = last_look.map_err(|elapsed| unknown().caused_by(elapsed))?;
        // Requests that came before a read share it, even if it failed.
        if *last_look < asked {
            sleep_until(*last_look + LOOK_INTERVAL).await;
            *last_look = Instant::now();
            let refreshed = timeout(PATIENCE, self.refresh()).await;
            refreshed.map_err(|elapsed| unknown().caused_by(elapsed))??;
        }
        Ok(self.ring.load().by_id.get(&id).cloned())
    }

    /// Whether the key is good for checking tokens.
    pub fn has(&self, id: Uuid) -> bool {
        self.ring.load().by_id.contains_key(&id)
    }

    /// Reads the keys anew.
    pub async fn refresh(&self) -> Result<(), Failure> {
        let rows = load(self.db.read(), self.clock.now()).await?;
        if self
            .ring
            .load()
            .ids
            .iter()
            .eq(rows.iter().map(|row| &row.id))
        {
            return Ok(());
        }
        self.ring
            .store(Arc::new(Ring::read(&rows).map_err(Failure::internal)?));
        Ok(())
    }

    /// The public keys, for others to check tokens with; none where the keys are secret.
    pub fn public(&self) -> JwkSet {
        let ring = self.ring.load();
        let keys = ring.by_id.values().filter_map(|key| key.public.clone());
        JwkSet {
            keys: keys.collect(),
        }
    }
}

/// Makes the configured key, or a new one, the current one, and forgets those whose tokens have
/// expired. The former key is kept until its tokens have. Returns the new key's id.
pub async fn rotate(db: &Db, clock: &Clock, config: &config::Auth) -> Result<Uuid, KeysError> {
    let next = material(config)?;
    db.exclusively(async |_| {
        let now = clock.now();
        let current = load(db.read(), now).await?.into_iter().next();
        if current.is_some_and(|current| current.secret == next) {
            return Err(KeysError::SameKey);
        }
        let next = &next;
        let rotated = db.write(|transaction| async move {
            let latest = session::Entity::find()
                .select_only()
                .column_as(session::Column::TokensExpireAt.max(), "latest")
                .into_tuple::<Option<Time>>()
                .one(&transaction)
                .await?
                .flatten();
            let latest = latest
                .unwrap_or(now)
                .max(now.after(config.access_token_ttl));
            let expired = Entity::delete_many().filter(Column::ExpiresAt.lte(now));
            expired.exec(&transaction).await?;
            for row in Entity::find()
                .filter(Column::RetiredAt.is_null())
                .all(&transaction)
                .await?
            {
                let mut retired = row.into_active_model();
                retired.retired_at = Set(Some(now));
                retired.expires_at = Set(Some(latest.after(ROTATION_SLACK)));
                retired.update(&transaction).await?;
            }
            insert(&transaction, config.algorithm, next.clone(), now).await
        });
        Ok(rotated.await?)
    })
    .await
}

/// Makes a new key and forgets all others, so that no process honours their tokens any more.
/// Returns the new key's id. [`KeysError::Configured`] where the configuration has a key.
pub async fn revoke(db: &Db, clock: &Clock, config: &config::Auth) -> Result<Uuid, KeysError> {
    if config.key.is_some() {
        return Err(KeysError::Configured);
    }
    let next = key::generate(config.algorithm)?;
    db.exclusively(async |_| {
        let next = &next;
        let revoked = db.write(|transaction| async move {
            let now = clock.now();
            replace_all(&transaction, next.clone(), config.algorithm, now).await
        });
        Ok(revoked.await?)
    })
    .await
}

/// Deletes every key and stores the configured one, or a new one: no token that was ever made is
/// good any more, unless the key is the configured one. Returns the new key's id.
pub(super) async fn replace_all(
    transaction: &Transaction,
    new: KeyMaterial,
    algorithm: config::Algorithm,
    now: Time,
) -> Result<Uuid, Failure> {
    Entity::delete_many().exec(transaction).await?;
    insert(transaction, algorithm, new, now).await
}

impl Ring {
    /// `rows` has the current key first.
    fn read(rows: &[Model]) -> Result<Ring, KeysError> {
        let mut by_id = HashMap::new();
        for row in rows {
            by_id.insert(row.id, Arc::new(SigningKey::read(row)?));
        }
        let current = rows.first().and_then(|row| by_id.get(&row.id)).cloned();
        let missing = || DbErr::RecordNotFound("a signing key that is not retired".to_owned());
        Ok(Ring {
            ids: rows.iter().map(|row| row.id).collect(),
            current: current.ok_or_else(missing)?,
            by_id,
        })
    }
}

/// The keys whose tokens may still be valid, the current one first.
async fn load(connection: &impl ConnectionTrait, now: Time) -> Result<Vec<Model>, DbErr> {
    let alive = Condition::any()
        .add(Column::ExpiresAt.is_null())
        .add(Column::ExpiresAt.gt(now));
    let mut rows = Entity::find()
        .filter(alive)
        .order_by_desc(Column::CreatedAt)
        .all(connection)
        .await?;
    rows.sort_by_key(|row| row.retired_at.is_some());
    Ok(rows)
}

async fn insert(
    connection: &impl ConnectionTrait,
    algorithm: config::Algorithm,
    secret: KeyMaterial,
    now: Time,
) -> Result<Uuid, Failure> {
    let row = Model {
        id: now.new_id(),
        algorithm: key::name(algorithm).to_owned(),
        secret,
        created_at: now,
        retired_at: None,
        expires_at: None,
    };
    // A key that cannot sign must not get into the database.
    SigningKey::read(&row).map_err(Failure::internal)?;
    let row = row.into_active_model();
    Ok(row.insert(connection).await?.id)
}

pub(super) fn material(config: &config::Auth) -> Result<KeyMaterial, BadKey> {
    match &config.key {
        Some(key) => key::configured(config.algorithm, key),
        None => key::generate(config.algorithm),
    }
}

/// Fails where the configuration names another key or algorithm.
fn agrees(current: &Model, config: &config::Auth) -> Result<(), KeysError> {
    let configured = key::name(config.algorithm);
    if current.algorithm != configured {
        let stored = current.algorithm.clone();
        return Err(KeysError::OtherAlgorithm { configured, stored });
    }
    match &config.key {
        Some(key) if key::configured(config.algorithm, key)? != current.secret => {
            Err(KeysError::OtherKey)
        }
        _ => Ok(()),
    }
}
