//! Accounts and guests: who people are.
//!
//! The verbs here know nothing of sessions. Where a change ends some, `auth::accounts` does both
//! in one transaction.

pub mod api;
pub mod email;
pub mod entity;
mod guests;
mod login;
pub mod password;
pub mod phone;
pub mod policy;
mod requests;

use std::collections::HashSet;

use phonenumber::country;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ActiveModelTrait as _, ActiveValue::Set, ColumnTrait as _, ConnectionTrait, DbErr,
    EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
};
use uuid::Uuid;

use crate::clock::Time;
use crate::db::{self, Transaction, is_unique_violation};
use crate::failure::{Code, Failure, FieldError, Rule};
use crate::page::{Cursor, Page, PageRequest};
use crate::patch::Patch;
use crate::precondition::IfMatch;

use entity::{ActiveModel, Column, Entity, Model};

pub use entity::{Role, Standing};
pub use guests::{idle_guests, make_guest, random_id, register_guest, renew_guest};
pub use login::Login;
pub use requests::{AccountPatch, Name, NewUser, Registration, UserPatch};

/// Who makes a request: an account that has signed in, or a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    pub id: Uuid,
    pub standing: Standing,
}

impl Caller {
    pub fn is_admin(self) -> bool {
        self.standing == Standing::Admin
    }

    pub fn is_guest(self) -> bool {
        self.standing == Standing::Guest
    }
}

/// Makes an account. [`Code::AccountTaken`] where the email address or phone number has one.
pub async fn register(
    transaction: &Transaction,
    new: &Registration,
    password_hash: String,
    role: Role,
    now: Time,
) -> Result<Model, Failure> {
    let account = ActiveModel {
        id: Set(now.new_id()),
        name: Set(Some(new.name.clone())),
        email_key: Set(Some(email::key(&new.email))),
        email: Set(Some(new.email.clone())),
        verified_email_key: Set(None),
        phone: Set(new.phone.clone()),
        password_hash: Set(Some(password_hash)),
        standing: Set(role.into()),
        guest_expires_at: Set(None),
        disabled_at: Set(None),
        deleted_at: Set(None),
        revision: Set(1),
        created_at: Set(now),
        updated_at: Set(now),
    };
    account.insert(transaction).await.map_err(taken)
}

/// The account, unless it is deleted: [`Code::NotFound`].
pub async fn get(connection: &impl ConnectionTrait, id: Uuid) -> Result<Model, Failure> {
    existing(Entity::find_by_id(id).one(connection).await?)
}

/// The account that signs in by this email address or phone number.
pub async fn by_login(
    connection: &impl ConnectionTrait,
    login: &Login,
) -> Result<Option<Model>, Failure> {
    let is_it = match login {
        Login::Email(email) => Column::EmailKey.eq(email),
        Login::Phone(phone) => Column::Phone.eq(phone),
        Login::Unfit(_) => return Ok(None),
    };
    Ok(Entity::find().filter(is_it).one(connection).await?)
}

/// A page of the accounts, or of the guests, that are not deleted, newest first.
pub async fn list(
    connection: &impl ConnectionTrait,
    guests: bool,
    page: PageRequest,
) -> Result<Page<Model>, Failure> {
    let is_guest = Expr::col((Entity, "guest"));
    let accounts = Entity::find()
        .filter(is_guest.eq(guests))
        .filter(Column::DeletedAt.is_null());
    let columns = (Column::CreatedAt, Column::Id);
    let cursor = |account: &Model| Cursor {
        key: account.created_at.0,
        id: account.id,
    };
    let page = page.newest_first(connection, accounts, columns, cursor);
    Ok(page.await?)
}

/// Those of the accounts whose email address is verified.
pub async fn verified_among(
    connection: &impl ConnectionTrait,
    accounts: impl IntoIterator<Item = Uuid>,
) -> Result<HashSet<Uuid>, DbErr> {
    let rows = db::rows(connection, "r", &[db::Column::Id("id")]);
    let sql = format!(
        "SELECT u.id {} AND u.email_key = u.verified_email_key",
        db::among(connection, "users u", "u.id", &rows)
    );
    let statement = db::statement(connection, &sql, [db::ids(accounts).to_value()]);
    let rows = connection.query_all_raw(statement).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// Changes what is named, and returns the account before and after. A changed email address is not
/// verified. [`Code::AccountTaken`], [`Code::Stale`], [`Code::NotFound`], and
/// [`Code::InvalidFields`] where the email address or phone number would change and the caller has
/// not `confirmed` the password.
pub async fn update(
    transaction: &Transaction,
    account: Model,
    change: AccountPatch,
    confirmed: bool,
    region: country::Id,
    if_match: &IfMatch,
    now: Time,
) -> Result<(Model, Model), Failure> {
    if_match.check(account.revision)?;
    let mut changed = account.clone();
    if let Some(name) = change.name {
        changed.name = Some(name.into());
    }
    if let Some(email) = change.email {
        let key = Some(email::key(email.as_str()));
        if key != changed.email_key {
            changed.verified_email_key = None;
        }
        changed.email_key = key;
        changed.email = Some(email.into_string());
    }
    match change.phone {
        Patch::Unchanged => {}
        Patch::Cleared => changed.phone = None,
        Patch::Set(phone) => {
            let invalid = |mistake| Failure::invalid(vec![mistake]);
            changed.phone = Some(phone.e164(region).map_err(invalid)?);
        }
    }
    let same_logins = (&changed.email, &changed.phone) == (&account.email, &account.phone);
    if !confirmed && !same_logins {
        let message = "is required to change the email address or phone number";
        let missing = FieldError::new("/current_password", Rule::Required, message);
        return Err(Failure::invalid(vec![missing]));
    }
    let changed = save(transaction, account.clone(), changed, now).await?;
    Ok((account, changed))
}

/// Notes that the owner of the account reads its email address.
pub async fn set_verified(
    transaction: &Transaction,
    account: Model,
    now: Time,
) -> Result<Model, Failure> {
    let mut verified = account.clone();
    verified.verified_email_key = verified.email_key.clone();
    save(transaction, account, verified, now).await
}

/// Replaces the password.
pub async fn set_password_hash(
    transaction: &Transaction,
    id: Uuid,
    hash: String,
) -> Result<(), Failure> {
    let mut account = lock(transaction, id).await?.into_active_model();
    account.password_hash = Set(Some(hash));
    account.update(transaction).await?;
    Ok(())
}

/// Changes what is named, and returns the account before and after.
/// [`Code::LastAdmin`], [`Code::Stale`], [`Code::NotFound`], and [`Code::InvalidFields`] for the role
/// of a guest.
pub async fn set_access(
    transaction: &Transaction,
    id: Uuid,
    change: UserPatch,
    if_match: &IfMatch,
    now: Time,
) -> Result<(Model, Model), Failure> {
    let account = lock(transaction, id).await?;
    if_match.check(account.revision)?;
    let mut changed = account.clone();
    if let Some(role) = change.role {
        if account.is_guest() {
            let message = "cannot be given to a guest, who has to register first";
            let error = FieldError::new("/role", Rule::Conflict, message);
            return Err(Failure::invalid(vec![error]));
        }
        changed.standing = role.into();
    }
    if let Some(disabled) = change.disabled {
        changed.disabled_at = disabled.then(|| account.disabled_at.unwrap_or(now));
    }
    if !(changed.is_active() && changed.standing == Standing::Admin) {
        keep_an_admin(transaction, &account).await?;
    }
    let changed = save(transaction, account.clone(), changed, now).await?;
    Ok((account, changed))
}

/// Erases whatever says who it was; its questions and ballots stay. [`Code::LastAdmin`].
pub async fn erase(transaction: &Transaction, account: Model, now: Time) -> Result<(), Failure> {
    keep_an_admin(transaction, &account).await?;
    let erased = Model {
        name: None,
        email: None,
        email_key: None,
        verified_email_key: None,
        phone: None,
        password_hash: None,
        standing: match account.standing {
            Standing::Guest => Standing::Guest,
            Standing::User | Standing::Admin => Standing::User,
        },
        guest_expires_at: None,
        deleted_at: Some(now),
        ..account.clone()
    };
    save(transaction, account, erased, now).await.map(drop)
}

/// Reads an account and keeps it as it is until the transaction ends.
///
/// Whoever locks more than this locks the account first, then its session: no deadlocks.
pub async fn lock(transaction: &Transaction, id: Uuid) -> Result<Model, Failure> {
    let account = db::lock(transaction, Entity::find_by_id(id));
    existing(account.one(transaction).await?)
}

/// The same; none where there is no such account or it may not sign in.
pub async fn lock_active(transaction: &Transaction, id: Uuid) -> Result<Option<Model>, Failure> {
    match lock(transaction, id).await {
        Ok(account) => Ok(Some(account).filter(Model::is_active)),
        Err(failure) if failure.code == Code::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn existing(account: Option<Model>) -> Result<Model, Failure> {
    account
        .filter(|account| account.deleted_at.is_none())
        .ok_or_else(|| Failure::not_found("account"))
}

/// Refuses where `leaving` is the only admin who can act.
///
/// One leaves at a time, so that of two the second sees that the first has.
async fn keep_an_admin(transaction: &Transaction, leaving: &Model) -> Result<(), Failure> {
    if leaving.standing != Standing::Admin || !leaving.is_active() {
        return Ok(());
    }
    transaction.exclude("admins").await?;
    let others = Entity::find()
        .filter(Column::Standing.eq(Standing::Admin))
        .filter(Column::DisabledAt.is_null())
        .filter(Column::DeletedAt.is_null())
        .filter(Column::Id.ne(leaving.id));
    if others.one(transaction).await?.is_some() {
        return Ok(());
    }
    Err(Failure::new(
        Code::LastAdmin,
        "There would be no active admin left.",
    ))
}

/// Writes what differs. A change that changes nothing is no new revision.
async fn save(
    transaction: &Transaction,
    before: Model,
    mut after: Model,
    now: Time,
) -> Result<Model, Failure> {
    if after == before {
        return Ok(before);
    }
    after.revision += 1;
    after.updated_at = now;
    let change = after.clone().into_active_model().reset_all();
    change.update(transaction).await.map_err(taken)?;
    Ok(after)
}

fn taken(error: DbErr) -> Failure {
    if is_unique_violation(&error) {
        Failure::new(
            Code::AccountTaken,
            "Another account has this email address or phone number.",
        )
    } else {
        error.into()
    }
}
