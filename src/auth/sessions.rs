//! Sessions: where an account is signed in, and ending that.

use sea_orm::sea_query::{Condition, Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};
use uuid::Uuid;

use super::session::{Column, Entity, Model};
use super::{Authority, SignedIn, revocation, revocations};
use crate::clock::Time;
use crate::db::{self, Transaction};
use crate::failure::Failure;
use crate::http::page::Cursor;

/// A generation later than any token's.
const ENDED: i32 = i32::MAX;

/// Which sessions of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    All,
    One(Uuid),
    AllBut(Uuid),
}

impl Authority {
    /// A page of the caller's sessions that have not ended, newest first, and where the next one
    /// begins.
    pub async fn sessions(
        &self,
        of: &SignedIn,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<(Vec<Model>, Option<Cursor>), Failure> {
        let mut query = alive(of.caller.id, Which::All, self.clock.now());
        if let Some(Cursor { key, id }) = after {
            let created = Column::CreatedAt;
            let same_moment = created.eq(Time(key)).and(Column::Id.lt(id));
            query = query.filter(Condition::any().add(created.lt(Time(key))).add(same_moment));
        }
        let mut sessions = query
            .order_by_desc(Column::CreatedAt)
            .order_by_desc(Column::Id)
            .limit(u64::from(limit) + 1)
            .all(self.db.read())
            .await?;
        let more = sessions.len() > limit as usize;
        sessions.truncate(limit as usize);
        let next = sessions.last().filter(|_| more).map(|session| Cursor {
            key: session.created_at.0,
            id: session.id,
        });
        Ok((sessions, next))
    }

    /// Signs the caller out of one session. [`Code::NotFound`](crate::failure::Code::NotFound)
    /// where the caller has no such session, or it has ended.
    pub async fn end_session(&self, of: &SignedIn, session: Uuid) -> Result<(), Failure> {
        self.end_some(of.caller.id, Which::One(session), true).await
    }

    /// Signs the caller out everywhere, here too.
    pub async fn end_all_sessions(&self, of: &SignedIn) -> Result<(), Failure> {
        self.end_some(of.caller.id, Which::All, false).await
    }

    pub(super) async fn end_some(
        &self,
        user: Uuid,
        which: Which,
        must_exist: bool,
    ) -> Result<(), Failure> {
        let listed = self.db.write(|transaction| async move {
            let now = self.clock.now();
            let listed = end(&transaction, user, which, now).await?;
            if must_exist && listed.is_empty() {
                return Err(Failure::not_found("session"));
            }
            Ok(listed)
        });
        self.note_revoked(&listed.await?);
        Ok(())
    }
}

/// Ends sessions. What is returned must be noted once the transaction has committed.
pub async fn end(
    transaction: &Transaction,
    user: Uuid,
    which: Which,
    now: Time,
) -> Result<Vec<revocation::Model>, Failure> {
    let sessions = lock(transaction, user, which, now).await?;
    Entity::update_many()
        .col_expr(Column::EndedAt, Expr::value(now))
        .filter(is_alive(user, which, now))
        .exec(transaction)
        .await?;
    list(transaction, &sessions, |_| ENDED, now).await
}

/// Revokes the access tokens of an account's sessions, which go on: refreshing gives new ones.
/// What is returned must be noted once the transaction has committed.
pub async fn revoke_tokens(
    transaction: &Transaction,
    user: Uuid,
    now: Time,
) -> Result<Vec<revocation::Model>, Failure> {
    let sessions = lock(transaction, user, Which::All, now).await?;
    Entity::update_many()
        .col_expr(Column::Generation, Expr::col(Column::Generation).add(1))
        .filter(is_alive(user, Which::All, now))
        .exec(transaction)
        .await?;
    list(
        transaction,
        &sessions,
        |session| session.generation + 1,
        now,
    )
    .await
}

async fn lock(
    transaction: &Transaction,
    user: Uuid,
    which: Which,
    now: Time,
) -> Result<Vec<Model>, Failure> {
    let sessions = alive(user, which, now).order_by_asc(Column::Id);
    Ok(db::lock(transaction, sessions).all(transaction).await?)
}

async fn list(
    transaction: &Transaction,
    sessions: &[Model],
    generation: impl Fn(&Model) -> i32,
    now: Time,
) -> Result<Vec<revocation::Model>, Failure> {
    let rows: Vec<_> = sessions
        .iter()
        .map(|session| revocation::Model {
            session_id: session.id,
            generation: generation(session),
            revoked_at: now,
            expires_at: session.tokens_expire_at,
        })
        .collect();
    revocations::list(transaction, &rows).await?;
    Ok(rows)
}

fn alive(user: Uuid, which: Which, now: Time) -> sea_orm::Select<Entity> {
    Entity::find().filter(is_alive(user, which, now))
}

fn is_alive(user: Uuid, which: Which, now: Time) -> Condition {
    let alive = Condition::all()
        .add(Column::UserId.eq(user))
        .add(Column::EndedAt.is_null())
        .add(Column::ExpiresAt.gt(now));
    match which {
        Which::All => alive,
        Which::One(id) => alive.add(Column::Id.eq(id)),
        Which::AllBut(id) => alive.add(Column::Id.ne(id)),
    }
}

/// Whether a session, which its account's lock protects, has neither ended nor expired.
pub async fn find_alive(
    connection: &impl ConnectionTrait,
    user: Uuid,
    id: Uuid,
    now: Time,
) -> Result<Option<Model>, Failure> {
    let session = db::lock(connection, alive(user, Which::One(id), now));
    Ok(session.one(connection).await?)
}
