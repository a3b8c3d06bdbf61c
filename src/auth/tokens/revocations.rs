//! The revocation list: which access tokens are invalid before they expire.
//!
//! A token is revoked when its generation is lower than the one listed for its session. The list is
//! in the database; each process keeps a copy in memory and asks for what is new.
//!
//! Processes find new rows by numbers of the database, not by a clock. There are 16 slots, and each
//! process uses one of them. A transaction that lists tokens first increments its slot's
//! number, and its rows carry that number. The slot's row is locked until the commit (on a Galera
//! cluster, only one of two transactions that increment one slot is committed), so the numbers of
//! one slot are committed in their order: a process that has read a number has all rows up to it. Numbers of
//! different slots are not compared. Two processes that use the same slot wait for each other.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, DbErr, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _,
};
use uuid::Uuid;

use super::revocation::{Column, Entity, Model};
use super::{CLOCK_SKEW, revocation_slot};
use crate::clock::Time;
use crate::db::{self, Db, Transaction, statement};
use crate::failure::Failure;

/// The number of slots.
const SLOTS: i32 = 16;

/// How far back each poll looks for rows of processes of the version before, whose rows have no
/// numbers: their transactions commit later than the rows say, and clocks differ.
const OVERLAP: Duration = Duration::from_secs(30);

/// Rows that one statement writes.
const CHUNK: usize = 500;

/// This process's copy of the list.
pub struct Revocations {
    /// The slot that this process uses.
    slot: i32,
    listed: RwLock<HashMap<Uuid, Listed>>,
    seen: Mutex<Seen>,
}

#[derive(Clone, Copy)]
struct Listed {
    generation: i32,
    expires_at: Time,
}

/// How far the list was read.
#[derive(Clone)]
struct Seen {
    /// The number of each slot that was ever taken.
    numbers: BTreeMap<i32, i64>,
    /// When the reading began, by the clock of this process.
    at: Time,
}

impl Revocations {
    /// Reads the whole list.
    pub async fn open(connection: &impl ConnectionTrait, now: Time) -> Result<Self, DbErr> {
        let numbers = numbers(connection).await?;
        let rows = Entity::find().all(connection).await?;
        let revocations = Revocations {
            slot: rand::random_range(0..SLOTS),
            listed: RwLock::default(),
            seen: Mutex::new(Seen { numbers, at: now }),
        };
        revocations.remember(&rows);
        Ok(revocations)
    }

    /// Whether tokens of this generation of a session are revoked.
    pub fn is_revoked(&self, session: Uuid, generation: i32) -> bool {
        self.listed
            .read()
            .get(&session)
            .is_some_and(|listed| generation < listed.generation)
    }

    /// Adds rows that were committed by this process, or read from the database.
    pub fn remember(&self, rows: &[Model]) {
        add(&mut self.listed.write(), rows);
    }

    /// Reads what was added since the last time. Not to be called twice at once.
    pub async fn refresh(&self, connection: &impl ConnectionTrait, now: Time) -> Result<(), DbErr> {
        let seen = self.seen.lock().clone();
        let numbers = numbers(connection).await?;
        if has_fallen(&seen.numbers, &numbers) {
            // The database is not the one that was read before, such as a restored backup.
            let rows = Entity::find().all(connection).await?;
            {
                let mut listed = self.listed.write();
                listed.clear();
                add(&mut listed, &rows);
            }
            // Once more: this process may have listed some since they were read.
            self.remember(&Entity::find().all(connection).await?);
        } else {
            // Numbered rows are found as well that a process of the version before has replaced,
            // which changes their time and not their number.
            let since = seen.at.min(now).before(OVERLAP);
            let mut news = Condition::any().add(Column::RevokedAt.gte(since));
            if numbers != seen.numbers {
                // Of every slot, even of those that seem not to have moved: a row may just have
                // been replaced by a later one of such a slot.
                for slot in 0..SLOTS {
                    let known = seen.numbers.get(&slot).copied().unwrap_or(0);
                    let later = Condition::all().add(Column::Slot.eq(slot));
                    news = news.add(later.add(Column::Number.gt(known)));
                }
            }
            self.remember(&Entity::find().filter(news).all(connection).await?);
        }
        *self.seen.lock() = Seen { numbers, at: now };
        Ok(())
    }

    /// Puts rows on the list, each in place of an earlier one of its session. What is returned
    /// must be noted once the transaction has committed.
    ///
    /// Locks this process's slot. A transaction takes all its other locks first, so that there are
    /// no deadlocks.
    pub async fn insert(
        &self,
        transaction: &Transaction,
        mut rows: Vec<Model>,
    ) -> Result<Vec<Model>, DbErr> {
        if rows.is_empty() {
            return Ok(rows);
        }
        let number = self.take_slot(transaction).await?;
        for row in &mut rows {
            (row.slot, row.number) = (Some(self.slot), Some(number));
        }
        for rows in rows.chunks(CHUNK) {
            let rows = rows.iter().map(|row| row.clone().into_active_model());
            let replaced = OnConflict::column(Column::SessionId)
                .update_columns([
                    Column::Generation,
                    Column::RevokedAt,
                    Column::ExpiresAt,
                    Column::Slot,
                    Column::Number,
                ])
                .to_owned();
            let insert = Entity::insert_many(rows).on_conflict(replaced);
            insert.exec_without_returning(transaction).await?;
        }
        Ok(rows)
    }

    /// Increments the slot's number and returns it.
    async fn take_slot(&self, transaction: &Transaction) -> Result<i64, DbErr> {
        let adding = db::adding(transaction, "revocation_slots", "slot", &["number"]);
        let sql = format!("INSERT INTO revocation_slots (slot, number) VALUES (?, 1) {adding}");
        let taking = statement(transaction, &sql, [self.slot.into()]);
        transaction.execute_raw(taking).await?;
        let taken = revocation_slot::Entity::find_by_id(self.slot);
        let taken = taken.one(transaction).await?;
        Ok(taken.ok_or(DbErr::RecordNotUpdated)?.number)
    }

    /// Removes rows whose tokens have all expired, in memory and in the database.
    pub async fn sweep(&self, db: &Db, now: Time) -> Result<(), Failure> {
        let expired = now.before(CLOCK_SKEW);
        let condition = Condition::all().add(Column::ExpiresAt.lte(expired));
        db::sweep::<Entity, Uuid>(db, Column::SessionId, condition).await?;
        self.listed
            .write()
            .retain(|_, listed| listed.expires_at > expired);
        Ok(())
    }
}

fn add(listed: &mut HashMap<Uuid, Listed>, rows: &[Model]) {
    for row in rows {
        let entry = listed.entry(row.session_id).or_insert(Listed {
            generation: row.generation,
            expires_at: row.expires_at,
        });
        entry.generation = entry.generation.max(row.generation);
        entry.expires_at = entry.expires_at.max(row.expires_at);
    }
}

/// The number of each slot that was ever taken.
async fn numbers(connection: &impl ConnectionTrait) -> Result<BTreeMap<i32, i64>, DbErr> {
    let slots = revocation_slot::Entity::find().all(connection).await?;
    Ok(slots.iter().map(|slot| (slot.slot, slot.number)).collect())
}

fn has_fallen(seen: &BTreeMap<i32, i64>, found: &BTreeMap<i32, i64>) -> bool {
    seen.iter()
        .any(|(slot, seen)| found.get(slot).copied().unwrap_or(0) < *seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::tests::Cluster;

    const FAR: Time = Time(9_000_000_000_000_000);

    /// A row whose time is long ago by the clock of whoever reads it.
    fn row(session: u128, slot: i32, number: i64) -> Model {
        Model {
            session_id: Uuid::from_u128(session),
            generation: 1,
            revoked_at: Time(0),
            expires_at: FAR,
            slot: Some(slot),
            number: Some(number),
        }
    }

    /// Writes rows and the numbers of their slots, as they are after the commit.
    async fn commit(db: &Db, rows: &[Model]) {
        for row in rows {
            let insert = Entity::insert(row.clone().into_active_model());
            insert.exec_without_returning(db.read()).await.unwrap();
            let (slot, number) = (row.slot.unwrap(), row.number.unwrap());
            set(db, slot, number).await;
        }
    }

    async fn set(db: &Db, slot: i32, number: i64) {
        let sql = "INSERT INTO revocation_slots (slot, number) VALUES (?, ?) \
                   ON CONFLICT (slot) DO UPDATE SET number = excluded.number";
        let set = statement(db.read(), sql, [slot.into(), number.into()]);
        db.read().execute_raw(set).await.unwrap();
    }

    fn known(revocations: &Revocations) -> Vec<u128> {
        let ids = (1..10).filter(|id| revocations.is_revoked(Uuid::from_u128(*id), 0));
        ids.collect()
    }

    #[tokio::test]
    async fn numbers_of_different_slots_are_followed_apart() {
        let (_cluster, process) = Cluster::new().await;
        let (db, now) = (&process.db, process.clock.now());
        commit(db, &[row(1, 0, 1)]).await;
        let revocations = Revocations::open(db.read(), now).await.unwrap();
        assert_eq!(known(&revocations), [1]);
        commit(db, &[row(2, 3, 1), row(3, 3, 2), row(4, 3, 3)]).await;
        revocations.refresh(db.read(), now).await.unwrap();
        assert_eq!(known(&revocations), [1, 2, 3, 4]);
        // Lower than what was seen, but of a slot that commits later.
        commit(db, &[row(5, 0, 2), row(6, 15, 1)]).await;
        revocations.refresh(db.read(), now).await.unwrap();
        assert_eq!(known(&revocations), [1, 2, 3, 4, 5, 6]);
    }

    #[tokio::test]
    async fn a_number_that_falls_makes_the_list_be_read_anew() {
        let (_cluster, process) = Cluster::new().await;
        let (db, now) = (&process.db, process.clock.now());
        commit(db, &[row(1, 0, 1), row(2, 0, 7)]).await;
        let revocations = Revocations::open(db.read(), now).await.unwrap();
        // A backup from before the second row, in which something else happened since.
        let deleted = Entity::delete_by_id(Uuid::from_u128(2)).exec(db.read());
        deleted.await.unwrap();
        commit(db, &[row(3, 0, 2)]).await;
        revocations.refresh(db.read(), now).await.unwrap();
        assert_eq!(known(&revocations), [1, 3]);
    }

    #[tokio::test]
    async fn rows_of_the_version_before_are_noticed() {
        let (_cluster, process) = Cluster::new().await;
        let (db, now) = (&process.db, process.clock.now());
        commit(db, &[row(1, 0, 1)]).await;
        let revocations = Revocations::open(db.read(), now).await.unwrap();
        let unnumbered = Model {
            revoked_at: now,
            slot: None,
            number: None,
            ..row(2, 0, 0)
        };
        let insert = Entity::insert(unnumbered.into_active_model());
        insert.exec_without_returning(db.read()).await.unwrap();
        // It replaces a numbered row, too, and leaves the number.
        let sql = "UPDATE revocations SET generation = 2, revoked_at = ? WHERE number = 1";
        let replace = statement(db.read(), sql, [now.into()]);
        db.read().execute_raw(replace).await.unwrap();
        revocations.refresh(db.read(), now).await.unwrap();
        assert_eq!(known(&revocations), [1, 2]);
        assert!(revocations.is_revoked(Uuid::from_u128(1), 1));
    }
}
