//! Access tokens that an operator makes from the command line: no password, and no refresh token.

use std::time::Duration;

use sea_orm::{
    ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};
use uuid::Uuid;

use super::Tokens;
use super::session::{self, Model as Session};
use crate::clock::Time;
use crate::db::Transaction;
use crate::failure::{Code, Failure};
use crate::users::entity::{Column, Entity, Model as Account};
use crate::users::{self, Standing};

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

impl Tokens {
    /// Makes an access token for an account: its session can be revoked but not refreshed.
    /// [`Code::Forbidden`] where the account is disabled.
    pub async fn mint(&self, user: Uuid, ttl: Duration) -> Result<Minted, Failure> {
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

    /// Makes an access token for every active account, or guest, of this standing, in order of their
    /// ids, and hands out each once it is stored. Stops where `each` fails.
    pub async fn mint_all<E: From<Failure>>(
        &self,
        standing: Standing,
        ttl: Duration,
        mut each: impl FnMut(Minted) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut last = Uuid::nil();
        loop {
            let now = self.clock.now();
            let made = self.db.write(|transaction| async move {
                let accounts = Entity::find()
                    .filter(Column::Id.gt(last))
                    .filter(Column::Standing.eq(standing))
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
        let access_token = self.sign(account, session, now, session.tokens_expire_at)?;
        Ok(Minted {
            user_id: account.id,
            access_token,
        })
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
