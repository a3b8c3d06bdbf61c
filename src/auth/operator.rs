//! What an operator does from the command line.

use std::time::Duration;

use sea_orm::{
    ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};
use uuid::Uuid;

use super::account::Registration;
use super::session::{self, Model as Session};
use super::{Authority, token};
use crate::clock::Time;
use crate::db::Transaction;
use crate::failure::{Code, Failure, FieldError};
use crate::precondition::IfMatch;
use crate::text;
use crate::users::entity::{Column, Entity, Model as Account};
use crate::users::policy::{self, Owner};
use crate::users::{self, Login, Role, Standing, email, phone};

/// What the sessions of minted tokens say they are.
const CLIENT: &str = "polls token";

/// For how many accounts tokens are minted in one transaction.
const BATCH: u64 = 1000;

/// A minted access token and whose it is.
#[derive(Debug, Clone)]
pub struct Minted {
    pub user_id: Uuid,
    pub access_token: String,
}

impl Authority {
    /// Makes an account as the command line names it, under the same rules as registration.
    pub async fn create_by_hand(&self, new: Registration, role: Role) -> Result<Account, Failure> {
        self.create_account(self.checked(new)?, role).await
    }

    /// Replaces the password of the account with this email address or phone number.
    pub async fn set_password_by_hand(&self, login: &str, new: String) -> Result<(), Failure> {
        let account = self.named(login).await?;
        if let Some(mistake) = policy::mistake("/password", &new, Owner::of(&account)) {
            return Err(Failure::invalid(vec![mistake]));
        }
        self.reset_password(account.id, new).await
    }

    /// Promotes, demotes, disables or enables the account with this email address or phone
    /// number. [`Code::LastAdmin`], [`Code::NotFound`].
    pub async fn set_standing_by_hand(
        &self,
        login: &str,
        change: Standing,
    ) -> Result<Account, Failure> {
        let account = self.named(login).await?;
        self.set_standing(account.id, change, &IfMatch::default())
            .await
    }

    /// Makes an access token for the account with this email address or phone number: a session
    /// that can be revoked but not refreshed. [`Code::Forbidden`] where the account is disabled.
    pub async fn mint(&self, login: &str, ttl: Duration) -> Result<Minted, Failure> {
        let user = self.named(login).await?.id;
        let now = self.clock.now();
        let made = self.db.write(|transaction| async move {
            let account = users::lock(&transaction, user).await?;
            if !account.is_active() {
                return Err(Failure::new(Code::Forbidden, "The account is disabled."));
            }
            let sessions = store(&transaction, std::slice::from_ref(&account), now, ttl).await?;
            Ok((account, sessions))
        });
        let (account, sessions) = made.await?;
        let session = sessions
            .first()
            .ok_or_else(|| Failure::internal("no session was made"))?;
        self.minted(&account, session, now)
    }

    /// Makes an access token for every active account but the admins', in order of their ids, and
    /// hands out each once it is stored. Stops where `each` fails.
    pub async fn mint_all<E: From<Failure>>(
        &self,
        ttl: Duration,
        mut each: impl FnMut(Minted) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut last = Uuid::nil();
        loop {
            let now = self.clock.now();
            let made = self.db.write(|transaction| async move {
                let accounts = Entity::find()
                    .filter(Column::Id.gt(last))
                    .filter(Column::Role.eq(Role::User))
                    .filter(Column::DisabledAt.is_null())
                    .filter(Column::DeletedAt.is_null())
                    .order_by_asc(Column::Id)
                    .limit(BATCH)
                    .lock_exclusive()
                    .all(&transaction)
                    .await?;
                let sessions = store(&transaction, &accounts, now, ttl).await?;
                Ok((accounts, sessions))
            });
            let (accounts, sessions) = made.await?;
            let Some(end) = accounts.last() else {
                return Ok(());
            };
            last = end.id;
            for (account, session) in accounts.iter().zip(&sessions) {
                each(self.minted(account, session, now)?)?;
            }
        }
    }

    fn minted(&self, account: &Account, session: &Session, now: Time) -> Result<Minted, Failure> {
        let claims = self.claims_of(account, session, now, session.tokens_expire_at);
        Ok(Minted {
            user_id: account.id,
            access_token: token::sign(&self.keys.current(), &claims)?,
        })
    }

    async fn named(&self, login: &str) -> Result<Account, Failure> {
        let login = Login::typed(login, self.settings.region);
        let account = users::by_login(self.db.read(), &login).await?;
        account.ok_or_else(|| Failure::not_found("account"))
    }

    /// Normalises, and checks what a request's type would have checked.
    fn checked(&self, new: Registration) -> Result<Registration, Failure> {
        let mut mistakes = Vec::new();
        let name = text::normalise(&new.name);
        if !(1..=users::NAME_LENGTH).contains(&name.chars().count()) {
            let message = format!("must have 1 to {} characters", users::NAME_LENGTH);
            mistakes.push(FieldError::new("/name", "length", message));
        } else if let Err(error) = text::line(&name) {
            let message = error.message.unwrap_or(error.code);
            mistakes.push(FieldError::new("/name", "line", message));
        }
        let email = email::shown(&new.email);
        if email.chars().count() > email::MAX_LENGTH || email::plausible(&email).is_err() {
            mistakes.push(FieldError::new(
                "/email",
                "email",
                "must be an email address",
            ));
        }
        let phone = new.phone.map(|text| {
            phone::normalise(&text::normalise(&text), self.settings.region).ok_or_else(|| {
                mistakes.push(FieldError::new("/phone", "phone", phone::EXPECTED));
            })
        });
        let phone = phone.transpose();
        let owner = Owner {
            name: &name,
            email: &email,
            phone: phone
                .as_ref()
                .ok()
                .and_then(Option::as_deref)
                .unwrap_or_default(),
        };
        mistakes.extend(policy::mistake("/password", &new.password, owner));
        match phone {
            Ok(phone) if mistakes.is_empty() => Ok(Registration {
                name,
                email,
                phone,
                ..new
            }),
            _ => Err(Failure::invalid(mistakes)),
        }
    }
}

/// Stores a session without refresh tokens for each account.
async fn store(
    transaction: &Transaction,
    accounts: &[Account],
    now: Time,
    ttl: Duration,
) -> Result<Vec<Session>, Failure> {
    let expires_at = now.after(ttl);
    let session = |account: &Account| Session {
        id: now.new_id(),
        user_id: account.id,
        client: Some(CLIENT.to_owned()),
        generation: 0,
        created_at: now,
        last_used_at: now,
        tokens_expire_at: expires_at,
        expires_at,
        ended_at: None,
    };
    let sessions: Vec<Session> = accounts.iter().map(session).collect();
    if !sessions.is_empty() {
        let rows = sessions
            .iter()
            .map(|session| session.clone().into_active_model());
        session::Entity::insert_many(rows)
            .exec_without_returning(transaction)
            .await?;
    }
    Ok(sessions)
}
