//! The revocation list: which access tokens are dead before they expire.
//!
//! A token is dead when its generation is lower than the one listed for its session. The list is
//! in the database; each process keeps a copy in memory and asks for what is new.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _, sea_query::OnConflict,
};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::revocation::{Column, Entity, Model};
use crate::clock::{Clock, Time};
use crate::db::Transaction;

/// How far back each poll looks beyond the one before: transactions commit later than they say,
/// and the clocks of processes differ.
const OVERLAP: Duration = Duration::from_secs(30);

/// Rows that one statement writes.
const CHUNK: usize = 500;

/// This process's copy of the list.
pub struct Revocations {
    listed: RwLock<HashMap<Uuid, Listed>>,
    /// When the latest successful reading of the list began.
    fresh_at: AtomicI64,
    reading: Mutex<()>,
}

#[derive(Clone, Copy)]
struct Listed {
    generation: i32,
    expires_at: Time,
}

impl Revocations {
    /// Reads the whole list.
    pub async fn open(connection: &impl ConnectionTrait, now: Time) -> Result<Self, DbErr> {
        let rows = Entity::find()
            .filter(Column::ExpiresAt.gt(now))
            .all(connection)
            .await?;
        let revocations = Revocations {
            listed: RwLock::default(),
            fresh_at: AtomicI64::new(now.0),
            reading: Mutex::default(),
        };
        revocations.note(&rows);
        Ok(revocations)
    }

    /// Whether tokens of this generation of a session are dead.
    pub fn is_revoked(&self, session: Uuid, generation: i32) -> bool {
        let listed = self.listed.read().unwrap_or_else(PoisonError::into_inner);
        listed
            .get(&session)
            .is_some_and(|listed| generation < listed.generation)
    }

    /// How long ago the copy was last known to be complete. After the clock was set back nobody
    /// knows.
    pub fn staleness(&self, now: Time) -> Duration {
        match Time(self.fresh_at.load(Ordering::Acquire)) {
            fresh_at if fresh_at > now => Duration::MAX,
            fresh_at => now.since(fresh_at),
        }
    }

    /// Takes over what was committed in this process, or read.
    pub fn note(&self, rows: &[Model]) {
        let mut listed = self.listed.write().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            let entry = listed.entry(row.session_id).or_insert(Listed {
                generation: row.generation,
                expires_at: row.expires_at,
            });
            entry.generation = entry.generation.max(row.generation);
            entry.expires_at = entry.expires_at.max(row.expires_at);
        }
    }

    /// Reads what was added since the last time.
    pub async fn refresh(
        &self,
        connection: &impl ConnectionTrait,
        clock: &Clock,
    ) -> Result<(), DbErr> {
        let _one_at_a_time = self.reading.lock().await;
        self.read_news(connection, clock.now()).await
    }

    /// Like [`refresh`](Self::refresh), unless the copy is younger than `age` when its turn comes.
    pub async fn refresh_if_older(
        &self,
        age: Duration,
        connection: &impl ConnectionTrait,
        clock: &Clock,
    ) -> Result<(), DbErr> {
        let _one_at_a_time = self.reading.lock().await;
        let now = clock.now();
        if self.staleness(now) <= age {
            return Ok(());
        }
        self.read_news(connection, now).await
    }

    async fn read_news(&self, connection: &impl ConnectionTrait, now: Time) -> Result<(), DbErr> {
        let fresh_at = Time(self.fresh_at.load(Ordering::Acquire));
        let since = fresh_at.min(now).before(OVERLAP);
        let news = Entity::find()
            .filter(Column::RevokedAt.gte(since))
            .all(connection)
            .await?;
        self.note(&news);
        self.fresh_at.store(now.0, Ordering::Release);
        Ok(())
    }

    /// Forgets what concerns expired tokens only, here and in the database.
    pub async fn sweep(&self, connection: &impl ConnectionTrait, now: Time) -> Result<(), DbErr> {
        let expired = Entity::delete_many().filter(Column::ExpiresAt.lte(now));
        expired.exec(connection).await?;
        let mut listed = self.listed.write().unwrap_or_else(PoisonError::into_inner);
        listed.retain(|_, listed| listed.expires_at > now);
        Ok(())
    }
}

/// Puts rows on the list, each in place of an earlier one of its session.
pub async fn list(transaction: &Transaction, rows: &[Model]) -> Result<(), DbErr> {
    for rows in rows.chunks(CHUNK) {
        let rows = rows.iter().map(|row| row.clone().into_active_model());
        let replaced = OnConflict::column(Column::SessionId)
            .update_columns([Column::Generation, Column::RevokedAt, Column::ExpiresAt])
            .to_owned();
        let insert = Entity::insert_many(rows).on_conflict(replaced);
        insert.exec_without_returning(transaction).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_back_makes_the_copy_stale() {
        let read_at = Time(1_000_000_000_000);
        let revocations = Revocations {
            listed: RwLock::default(),
            fresh_at: AtomicI64::new(read_at.0),
            reading: Mutex::default(),
        };
        let second = Duration::from_secs(1);
        assert_eq!(revocations.staleness(read_at.after(second)), second);
        assert_eq!(revocations.staleness(read_at.before(second)), Duration::MAX);
    }
}
