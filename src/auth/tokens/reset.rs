//! Sessions, signing keys, codes and mail after a backup was restored: anybody who has the backup has
//! its keys, a session that has ended since the backup would be open again, and a message that was
//! sent since would be sent again.

use sea_orm::EntityTrait as _;

use super::keys::{self, KeysError};
use super::{refresh_token, revocation, session};
use crate::auth::accounts::codes;
use crate::clock::Clock;
use crate::config;
use crate::db::Db;
use crate::mail;

/// Ends all sessions, deletes codes and unsent mail, and makes a new signing key. A configured key
/// stays.
pub async fn after_restore(db: &Db, clock: &Clock, config: &config::Auth) -> Result<(), KeysError> {
    let (key, algorithm) = (&keys::material(config)?, config.algorithm);
    let reset = db.write(|transaction| async move {
        refresh_token::Entity::delete_many()
            .exec(&transaction)
            .await?;
        session::Entity::delete_many().exec(&transaction).await?;
        // They name sessions that do not exist any more.
        revocation::Entity::delete_many().exec(&transaction).await?;
        codes::void_everything(&transaction).await?;
        mail::forget_queued(&transaction).await?;
        let replaced = keys::replace_all(&transaction, key.clone(), algorithm, clock.now());
        replaced.await.map(drop)
    });
    Ok(reset.await?)
}
