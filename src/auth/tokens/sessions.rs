//! Sessions: where an account is signed in, and ending that.

use sea_orm::sea_query::{Condition, Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, Select,
};
use uuid::Uuid;

use super::session::{Column, Entity, Model};
use super::{CLOCK_SKEW, SignedIn, Tokens, refresh_token, revocation};
use crate::clock::Time;
use crate::db::{self, Transaction};
use crate::failure::Failure;
use crate::page::{Cursor, Page, PageRequest};

/// A generation later than any token's.
const ENDED: i32 = i32::MAX;

/// Which sessions of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    All,
    One(Uuid),
    AllBut(Uuid),
}

impl Tokens {
    /// A page of the caller's sessions that have not ended, newest first.
    pub async fn sessions(&self, of: &SignedIn, page: PageRequest) -> Result<Page<Model>, Failure> {
        let sessions = alive(of.caller.id, Which::All, self.clock.now());
        self.newest_first(sessions, page).await
    }

    /// A page of all sessions of an account that are kept, ended ones too, newest first.
    pub async fn all_sessions(
        &self,
        user: Uuid,
        page: PageRequest,
    ) -> Result<Page<Model>, Failure> {
        let sessions = Entity::find().filter(Column::UserId.eq(user));
        self.newest_first(sessions, page).await
    }

    async fn newest_first(
        &self,
        sessions: Select<Entity>,
        page: PageRequest,
    ) -> Result<Page<Model>, Failure> {
        let columns = (Column::CreatedAt, Column::Id);
        let cursor = |session: &Model| Cursor {
            key: session.created_at.0,
            id: session.id,
        };
        let page = page.newest_first(self.db.read(), sessions, columns, cursor);
        Ok(page.await?)
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
            let listed = self.end(&transaction, user, which, now).await?;
            if must_exist && listed.is_empty() {
                return Err(Failure::not_found("session"));
            }
            Ok(listed)
        });
        self.announce(&listed.await?);
        Ok(())
    }

    /// Ends sessions. What is returned must be
    /// [announced](Tokens::announce) once the transaction has committed.
    pub(in crate::auth) async fn end(
        &self,
        transaction: &Transaction,
        user: Uuid,
        which: Which,
        now: Time,
    ) -> Result<Vec<revocation::Model>, Failure> {
        let those = may_be_alive(user, which, now);
        self.end_those(transaction, those, now).await
    }

    /// Ends all sessions of several accounts, as [`end`](Tokens::end) does.
    pub(in crate::auth) async fn end_all_of(
        &self,
        transaction: &Transaction,
        users: &[Uuid],
        now: Time,
    ) -> Result<Vec<revocation::Model>, Failure> {
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let of_users = Column::UserId.is_in(users.iter().copied());
        let those = has_not_ended(now.before(CLOCK_SKEW)).add(of_users);
        self.end_those(transaction, those, now).await
    }

    /// Ends the sessions of an account that are too many once another one begins: those that were
    /// not used for longest. What is returned must be
    /// [announced](Tokens::announce) once the transaction has committed.
    pub(super) async fn make_room(
        &self,
        transaction: &Transaction,
        user: Uuid,
        now: Time,
    ) -> Result<Vec<revocation::Model>, Failure> {
        let too_many: Vec<Uuid> = alive(user, Which::All, now)
            .select_only()
            .column(Column::Id)
            .order_by_desc(Column::LastUsedAt)
            .order_by_desc(Column::Id)
            .offset(self.settings.max_sessions.saturating_sub(1))
            // More of them can be there from before the limit: each sign-in ends some.
            .limit(db::STEP)
            .into_tuple()
            .all(transaction)
            .await?;
        if too_many.is_empty() {
            return Ok(Vec::new());
        }
        let those = may_be_alive(user, Which::All, now).add(Column::Id.is_in(too_many));
        self.end_those(transaction, those, now).await
    }

    async fn end_those(
        &self,
        transaction: &Transaction,
        those: Condition,
        now: Time,
    ) -> Result<Vec<revocation::Model>, Failure> {
        let sessions = lock(transaction, those.clone()).await?;
        Entity::update_many()
            .col_expr(Column::EndedAt, Expr::value(now))
            // The sweep removes sessions by this.
            .col_expr(Column::ExpiresAt, Expr::col(Column::TokensExpireAt))
            .filter(those)
            .exec(transaction)
            .await?;
        self.list(transaction, &sessions, |_| ENDED, now).await
    }

    /// Revokes the access tokens of an account's sessions, which go on: refreshing gives new ones.
    /// What is returned must be
    /// [announced](Tokens::announce) once the transaction has committed.
    pub(in crate::auth) async fn revoke_access_tokens(
        &self,
        transaction: &Transaction,
        user: Uuid,
        now: Time,
    ) -> Result<Vec<revocation::Model>, Failure> {
        let those = may_be_alive(user, Which::All, now);
        let sessions = lock(transaction, those.clone()).await?;
        Entity::update_many()
            .col_expr(Column::Generation, Expr::col(Column::Generation).add(1))
            .filter(those)
            .exec(transaction)
            .await?;
        let next = |session: &Model| session.generation + 1;
        self.list(transaction, &sessions, next, now).await
    }

    async fn list(
        &self,
        transaction: &Transaction,
        sessions: &[Model],
        generation: impl Fn(&Model) -> i32,
        now: Time,
    ) -> Result<Vec<revocation::Model>, Failure> {
        let rows = sessions.iter().map(|session| revocation::Model {
            session_id: session.id,
            generation: generation(session),
            revoked_at: now,
            expires_at: session.tokens_expire_at,
            slot: None,
            number: None,
        });
        Ok(self.revocations.insert(transaction, rows.collect()).await?)
    }

    /// Removes sessions that no token can belong to any more, with their refresh tokens.
    pub(super) async fn sweep_sessions(&self, now: Time) -> Result<(), Failure> {
        let expired = Condition::all().add(Column::ExpiresAt.lte(now.before(CLOCK_SKEW)));
        loop {
            let some = Entity::find().select_only().column(Column::Id);
            let some = some.filter(expired.clone()).limit(db::STEP).into_tuple();
            let some: Vec<Uuid> = some.all(self.db.read()).await?;
            if some.is_empty() {
                return Ok(());
            }
            // First by themselves: one session may have thousands.
            let of_some = refresh_token::Column::SessionId.is_in(some.iter().copied());
            let (key, of_some) = (
                refresh_token::Column::TokenHash,
                Condition::all().add(of_some),
            );
            db::sweep::<refresh_token::Entity, Vec<u8>>(&self.db, key, of_some).await?;
            let some = expired.clone().add(Column::Id.is_in(some));
            db::sweep::<Entity, Uuid>(&self.db, Column::Id, some).await?;
        }
    }
}

async fn lock(transaction: &Transaction, those: Condition) -> Result<Vec<Model>, Failure> {
    let sessions = Entity::find().filter(those).order_by_asc(Column::Id);
    Ok(db::lock(transaction, sessions).all(transaction).await?)
}

fn alive(user: Uuid, which: Which, now: Time) -> Select<Entity> {
    Entity::find().filter(is_alive(user, which, now))
}

/// Sessions that may be alive by the clock of some process. Ending too many does no harm.
fn may_be_alive(user: Uuid, which: Which, now: Time) -> Condition {
    is_alive(user, which, now.before(CLOCK_SKEW))
}

fn is_alive(user: Uuid, which: Which, now: Time) -> Condition {
    let alive = has_not_ended(now).add(Column::UserId.eq(user));
    match which {
        Which::All => alive,
        Which::One(id) => alive.add(Column::Id.eq(id)),
        Which::AllBut(id) => alive.add(Column::Id.ne(id)),
    }
}

fn has_not_ended(now: Time) -> Condition {
    Condition::all()
        .add(Column::EndedAt.is_null())
        .add(Column::ExpiresAt.gt(now))
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
