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
use crate::clock::Time;
use crate::db::{self, Db, Transaction};
use crate::failure::Failure;

/// The digits of codes that people type: Crockford's base 32, in which no two look alike.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// How many digits such a code has: 50 bits, too many to guess within the limits and the code's
/// time.
const LENGTH: usize = 10;

/// A token for a link: 256 random bits.
pub fn token() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// A code for people to type, such as `7Q2MX-C0V9R`.
pub fn code() -> String {
    let digits = rand::random::<[u8; LENGTH]>();
    let digits = digits.map(|byte| char::from(DIGITS[usize::from(byte % 32)]));
    let (first, second) = digits.split_at(LENGTH / 2);
    [first, &['-'], second].into_iter().flatten().collect()
}

/// A code as it was sent, from what was typed.
pub fn typed(text: &str) -> String {
    let letters = text.chars().filter(|letter| letter.is_alphanumeric());
    let digits = letters.map(|letter| match letter.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        letter => letter,
    });
    let mut code: String = digits.collect();
    if code.len() == LENGTH && code.is_ascii() {
        code.insert(LENGTH / 2, '-');
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
        assert_eq!((code.len(), code.find('-')), (LENGTH + 1, Some(LENGTH / 2)));
        for text in [
            code.clone(),
            code.to_lowercase(),
            code.replace('-', ""),
            format!(" {} ", code.replace('-', " ")),
            code.replace('0', "o").replace('1', "l"),
            code.replace('1', "I"),
        ] {
            assert_eq!(typed(&text), code, "{text}");
        }
        for text in ["", "-", "密码密码密码密码密码", "0123456789A"] {
            assert_ne!(typed(text), code, "{text}");
        }
    }
}
