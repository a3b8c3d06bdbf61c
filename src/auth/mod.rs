//! Who is asking: accounts that sign in, and the tokens that they get.
//!
//! [`Tokens`] lets requests in on their access token alone, which it checks against the signing
//! keys and the revocation list that this process has in memory; no request costs a look-up.
//! [`Accounts`] changes accounts. Whatever takes rights away revokes the access tokens that still
//! carry them, in the same transaction.

pub mod accounts;
pub mod api;
pub mod guard;
pub mod hmac_key;
mod hmac_keys;
pub mod tokens;

use std::sync::Arc;
use std::time::Duration;

use sea_orm::DbErr;

use crate::clock::Clock;
use crate::config::Config;
use crate::db::Db;
use crate::mail::Mail;
use crate::share::Share;
use crate::users::password::{BadParameters, Hasher};

use hmac_keys::HmacKeysError;
use tokens::keys::KeysError;

pub use accounts::Accounts;
pub use hmac_keys::HmacKeys;
pub use tokens::{SignedIn, Tokens, Validity};

/// How often expired rows are removed.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// Why accounts and tokens are not available.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    HmacKeys(#[from] HmacKeysError),
    #[error("cannot read the revocation list")]
    Revocations(#[from] DbErr),
    #[error(transparent)]
    Passwords(#[from] BadParameters),
}

/// Opens the keys, which are made at the first start, and reads the revocation list. The schema
/// must be up to date.
pub async fn open(
    db: Db,
    clock: Clock,
    share: Share,
    mail: Mail,
    config: &Config,
) -> Result<(Tokens, Accounts), OpenError> {
    // In boxes: both futures are large, since they may store something.
    let hmac_keys = Arc::new(Box::pin(HmacKeys::open(&db)).await?);
    let hasher = Hasher::new(&config.accounts)?;
    let opened = Tokens::open(
        db.clone(),
        clock.clone(),
        share.clone(),
        hmac_keys.clone(),
        config,
    );
    let tokens = Box::pin(opened).await?;
    let parts = (tokens.clone(), hmac_keys, hasher, mail);
    let accounts = Accounts::new(db, clock, share, parts, config);
    Ok((tokens, accounts))
}

#[cfg(test)]
pub(crate) mod tests;
