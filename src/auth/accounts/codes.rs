//! Codes that prove that whoever has one reads the email address of an account.
//!
//! A code is for one purpose and works once. It is void once a newer one is made, once its time is
//! over, and once the account's address changes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _,
};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::code::{Column, Entity, Model, Purpose};
use crate::base32;
use crate::clock::Time;
use crate::db::{self, Db, Transaction};
use crate::failure::Failure;

/// A token for a link: 256 random bits.
pub fn token() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// A code for people to type, such as `7Q2MX-C0V9R`: 50 random bits, too many to guess within the
/// limits and the code's time.
pub fn code() -> String {
    base32::random([5, 5])
}

/// A code as it was sent, from what was typed.
pub fn typed(text: &str) -> String {
    let mut code = base32::digits(text);
    if code.len() == 10 && code.is_ascii() {
        code.insert(5, '-');
    }
    code
}

/// Stores a code, which replaces the one before.
pub async fn store(
    transaction: &Transaction,
    user: Uuid,
    purpose: Purpose,
    code: &str,
    expires_at: Time,
) -> Result<(), Failure> {
    let row = Model {
        user_id: user,
        purpose,
        code_hash: hash(code),
        expires_at,
    };
    let replaced = OnConflict::columns([Column::UserId, Column::Purpose])
        .update_columns([Column::CodeHash, Column::ExpiresAt])
        .to_owned();
    let insert = Entity::insert(row.into_active_model()).on_conflict(replaced);
    insert.exec_without_returning(transaction).await?;
    Ok(())
}

/// The codes of an account.
pub async fn of(connection: &impl ConnectionTrait, user: Uuid) -> Result<Vec<Model>, Failure> {
    let codes = Entity::find().filter(Column::UserId.eq(user));
    Ok(codes.all(connection).await?)
}

/// Whose code this is; nobody's where it is void.
pub async fn owner(
    connection: &impl ConnectionTrait,
    purpose: Purpose,
    code: &str,
    now: Time,
) -> Result<Option<Uuid>, Failure> {
    let found = Entity::find().filter(is_valid(purpose, code, now));
    let found = found.one(connection).await?;
    Ok(found.map(|row| row.user_id))
}

/// Uses a code up. Returns whether the account had it.
pub async fn redeem(
    transaction: &Transaction,
    user: Uuid,
    purpose: Purpose,
    code: &str,
    now: Time,
) -> Result<bool, Failure> {
    let used = Entity::delete_many()
        .filter(Column::UserId.eq(user))
        .filter(is_valid(purpose, code, now));
    Ok(used.exec(transaction).await?.rows_affected == 1)
}

/// Makes the account's code for this purpose void.
pub async fn void(transaction: &Transaction, user: Uuid, purpose: Purpose) -> Result<(), Failure> {
    let code = Entity::delete_by_id((user, purpose));
    code.exec(transaction).await?;
    Ok(())
}

/// Makes all codes of an account void.
pub async fn void_all(transaction: &Transaction, user: Uuid) -> Result<(), Failure> {
    let codes = Entity::delete_many().filter(Column::UserId.eq(user));
    codes.exec(transaction).await?;
    Ok(())
}

/// Makes all codes of all accounts void.
pub async fn void_everything(transaction: &Transaction) -> Result<(), Failure> {
    Entity::delete_many().exec(transaction).await?;
    Ok(())
}

/// Removes codes whose time is over.
pub async fn sweep(db: &Db, now: Time) -> Result<(), Failure> {
    let expired = Condition::all().add(Column::ExpiresAt.lte(now));
    db::sweep::<Entity, Vec<u8>>(db, Column::CodeHash, expired).await
}

fn is_valid(purpose: Purpose, code: &str, now: Time) -> Condition {
    Condition::all()
        .add(Column::CodeHash.eq(hash(code)))
        .add(Column::Purpose.eq(purpose))
        .add(Column::ExpiresAt.gt(now))
}

fn hash(code: &str) -> Vec<u8> {
    Sha256::digest(code).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_recognised_however_it_is_typed() {
        let code = code();
        for text in [code.clone(), code.to_lowercase(), code.replace('-', "")] {
            assert_eq!(typed(&text), code, "{text}");
        }
        for text in ["", "-", "密码密码密码密码密码", "0123456789A"] {
            assert_ne!(typed(text), code, "{text}");
        }
    }
}
