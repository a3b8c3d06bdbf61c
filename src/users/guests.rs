//! Guests: who votes without an account. A guest has neither an address nor a password, only the
//! tokens that it gets when it is made.

use sea_orm::{
    ActiveModelTrait as _, ActiveValue::Set, ColumnTrait as _, ConnectionTrait, DbErr,
    EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use uuid::Uuid;

use super::entity::{ActiveModel, Column, Entity, Model};
use super::{Registration, Standing, email, save};
use crate::clock::Time;
use crate::db::Transaction;
use crate::failure::Failure;

/// The id of a guest: it does not tell when the guest was made.
pub fn random_id() -> Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}

/// Makes a guest.
pub async fn make_guest(
    transaction: &Transaction,
    name: Option<String>,
    expires_at: Time,
    now: Time,
) -> Result<Model, Failure> {
    let guest = ActiveModel {
        id: Set(random_id()),
        name: Set(name),
        email: Set(None),
        email_key: Set(None),
        verified_email_key: Set(None),
        phone: Set(None),
        password_hash: Set(None),
        standing: Set(Standing::Guest),
        guest_expires_at: Set(Some(expires_at)),
        disabled_at: Set(None),
        deleted_at: Set(None),
        revision: Set(1),
        created_at: Set(now),
        updated_at: Set(now),
    };
    Ok(guest.insert(transaction).await?)
}

/// Keeps a guest, which the transaction has locked, until `expires_at`, because it is used.
pub async fn renew_guest(
    transaction: &Transaction,
    guest: &Model,
    expires_at: Time,
) -> Result<(), Failure> {
    let renewed = ActiveModel {
        id: Set(guest.id),
        guest_expires_at: Set(Some(expires_at)),
        ..Default::default()
    };
    renewed.update(transaction).await?;
    Ok(())
}

/// Some guests that were not used for so long that they may be removed, the longest unused first.
pub async fn idle_guests(
    connection: &impl ConnectionTrait,
    now: Time,
    limit: u64,
) -> Result<Vec<Uuid>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::GuestExpiresAt.lte(now))
        .order_by_asc(Column::GuestExpiresAt)
        .limit(limit)
        .into_tuple()
        .all(connection)
        .await
}

/// Makes an account of a guest, which the transaction has locked. Its id and its ballots stay.
/// [`Code::AccountTaken`](crate::failure::Code::AccountTaken) where the email address or phone number
/// has an account.
pub async fn register_guest(
    transaction: &Transaction,
    guest: Model,
    new: &Registration,
    password_hash: String,
    now: Time,
) -> Result<Model, Failure> {
    let account = Model {
        name: Some(new.name.clone()),
        email_key: Some(email::key(&new.email)),
        email: Some(new.email.clone()),
        phone: new.phone.clone(),
        password_hash: Some(password_hash),
        standing: Standing::User,
        guest_expires_at: None,
        ..guest.clone()
    };
    save(transaction, guest, account, now).await
}
