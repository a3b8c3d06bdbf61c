//! Cells of rate limits: what one account, or one address, has spent of a quota.
//!
//! A quota may be spent at once; then it comes back evenly over the window (the generic cell rate
//! algorithm). All that a cell holds is when it will be whole again: where it is shared, by the
//! clock of the database or of Redis, since those of the processes may differ.

use std::time::Duration;

use sea_orm::Condition;
use sea_orm::entity::prelude::*;
use sha2::{Digest as _, Sha256};

use super::{Share, cell};
use crate::clock::{Clock, Time};
use crate::db::{self, Db, Rows, Transaction};
use crate::failure::Failure;

/// A quota of one account or address.
#[derive(Debug, Clone, Copy)]
pub struct Cell {
    /// A hash of whose quota it is, and of what.
    pub(super) id: Uuid,
    pub(super) quota: Quota,
}

/// So many attempts in a window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quota {
    /// After how long one attempt comes back.
    pub one: Duration,
    pub window: Duration,
}

impl Cell {
    /// The cell of `key` for `quota` attempts in a window. `policy` names what is limited.
    pub fn new(policy: &str, key: &[u8], quota: u32, window: Duration) -> Cell {
        let hash = Sha256::new()
            .chain_update(policy)
            .chain_update([0])
            .chain_update(key)
            .finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        Cell {
            id: uuid::Builder::from_custom_bytes(id).into_uuid(),
            quota: Quota::new(quota, window),
        }
    }
}

impl Quota {
    pub(super) fn new(quota: u32, window: Duration) -> Quota {
        Quota {
            one: window / quota.max(1),
            window,
        }
    }

    /// How long the next attempt has to wait, if it has to.
    pub(super) fn wait(&self, whole_at: Time, now: Time) -> Option<Duration> {
        let wait = (self.owed(whole_at, now) + self.one).saturating_sub(self.window);
        Some(wait).filter(|wait| !wait.is_zero())
    }

    /// How long until it is whole again.
    pub(super) fn owed(&self, whole_at: Time, now: Time) -> Duration {
        self.capped(whole_at, now).since(now)
    }

    /// How many attempts are left where so much is owed.
    pub(super) fn remaining(&self, owed: Duration) -> u32 {
        let left = self.window.saturating_sub(owed).as_micros();
        u32::try_from(left / self.one.as_micros().max(1)).unwrap_or(u32::MAX)
    }

    /// When it is whole again after one more attempt. Attempts that ran at the same time may
    /// overdraw; that is not held against it.
    pub(super) fn spent(&self, whole_at: Time, now: Time) -> Time {
        self.capped(whole_at.max(now).after(self.one), now)
    }

    /// Nobody owes more than the window, whatever another process's clock says.
    pub(super) fn capped(&self, whole_at: Time, now: Time) -> Time {
        whole_at.min(now.after(self.window))
    }
}

impl Share {
    /// How long an attempt has to wait, if it has to, as far as this process knows.
    pub fn known_wait(&self, cell: &Cell) -> Option<Duration> {
        let now = self.inner.clock.now();
        cell.quota.wait(self.inner.known.whole_at(cell, now), now)
    }

    /// How long an attempt has to wait for each of these cells, where it has to.
    pub async fn waits<const N: usize>(&self, cells: [Cell; N]) -> [Option<Duration>; N] {
        let now = self.inner.clock.now();
        if let Some(shared) = self.read(&cells, now).await {
            for (cell, whole_at) in cells.iter().zip(shared) {
                self.inner.known.learn(cell, whole_at, now);
            }
        }
        cells.map(|cell| self.known_wait(&cell))
    }

    /// Counts one attempt in each of the cells.
    pub async fn spend(&self, cells: &[Cell]) {
        let now = self.inner.clock.now();
        for cell in cells {
            self.inner.known.spend(cell, now);
        }
        self.change(cells, now, Spend::Always).await;
    }

    /// Counts one attempt, unless it is one too many; then tells how long it has to wait.
    pub async fn take(&self, cell: &Cell) -> Result<(), Duration> {
        let now = self.inner.clock.now();
        let known = &self.inner.known;
        // Whoever is refused anyway need not be asked for elsewhere.
        if let Some(wait) = self.known_wait(cell) {
            return Err(wait);
        }
        let shared = self.change(&[*cell], now, Spend::IfAllowed).await;
        let wait = match shared.and_then(|before| before.first().copied()) {
            Some(whole_at) => {
                known.learn(cell, whole_at, now);
                let wait = cell.quota.wait(whole_at, now);
                if wait.is_none() {
                    known.spend(cell, now);
                }
                wait
            }
            None => known.take(cell, now),
        };
        wait.map_or(Ok(()), Err)
    }

    /// What is left of a cell, as far as this process knows, and after how long it is whole.
    pub fn known_state(&self, cell: &Cell) -> (u32, Duration) {
        let now = self.inner.clock.now();
        let owed = cell.quota.owed(self.inner.known.whole_at(cell, now), now);
        (cell.quota.remaining(owed), owed)
    }

    /// When each of the cells is whole again, in their order; nothing where that cannot be known.
    async fn read(&self, cells: &[Cell], now: Time) -> Option<Vec<Time>> {
        match &self.inner.redis {
            Some(redis) => redis.read(cells, now).await,
            None => {
                self.within_timeout(read(&self.inner.db, &self.inner.clock, cells, now))
                    .await
            }
        }
    }

    /// Spends one of each cell. Gives when each was whole before; nothing where that cannot be
    /// known.
    async fn change(&self, cells: &[Cell], now: Time, spend: Spend) -> Option<Vec<Time>> {
        if let Some(redis) = &self.inner.redis {
            return redis.change(cells, now, spend).await;
        }
        let (db, clock) = (self.inner.db.clone(), self.inner.clock.clone());
        let cells = cells.to_vec();
        // In a task of its own: a transaction is not to be dropped halfway.
        let changed = tokio::spawn(async move { change(&db, &clock, &cells, now, spend).await });
        let changed = async { changed.await.unwrap_or_else(|e| Err(Failure::internal(e))) };
        self.within_timeout(changed).await
    }

    async fn within_timeout<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Option<T> {
        let error: Box<dyn std::error::Error + Send + Sync> =
            match tokio::time::timeout(self.inner.timeout, work).await {
                Ok(Ok(value)) => return Some(value),
                Ok(Err(failure)) => failure.into(),
                Err(elapsed) => elapsed.into(),
            };
        metrics::counter!("polls_share_failures_total", "through" => "database").increment(1);
        tracing::debug!(%error, "this process counts for itself");
        None
    }

    /// Removes the cells that are whole.
    pub(super) async fn sweep(&self) -> Result<(), Failure> {
        let (db, key) = (&self.inner.db, cell::Column::Id);
        let now = db::moment(db.read(), &self.inner.clock).await?;
        let whole = cell::Column::WholeAt.lte(now);
        db::sweep::<cell::Entity, Uuid>(db, key, Condition::all().add(whole)).await
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spend {
    Always,
    IfAllowed,
}

/// When each of the cells is whole again, by the clock of this process, where it is `now`.
async fn read(db: &Db, clock: &Clock, cells: &[Cell], now: Time) -> Result<Vec<Time>, Failure> {
    let ids = cells.iter().map(|cell| cell.id);
    let rows = cell::Entity::find().filter(cell::Column::Id.is_in(ids));
    let there = db::moment(db.read(), clock).await?;
    let rows = rows.all(db.read()).await?;
    Ok(here(in_order(cells, &rows, there), there, now))
}

/// Moments of the database, where it is `there`, by the clock of this process, where it is `now`.
fn here(mut moments: Vec<Time>, there: Time, now: Time) -> Vec<Time> {
    for moment in &mut moments {
        moment.0 = moment.0.saturating_sub(there.0).saturating_add(now.0);
    }
    moments
}

/// When each cell is whole; `otherwise` for those without a row.
fn in_order(cells: &[Cell], rows: &[cell::Model], otherwise: Time) -> Vec<Time> {
    let whole_at = |cell: &Cell| {
        let row = rows.iter().find(|row| row.id == cell.id);
        row.map_or(otherwise, |row| row.whole_at)
    };
    cells.iter().map(whole_at).collect()
}

async fn change(
    db: &Db,
    clock: &Clock,
    cells: &[Cell],
    now: Time,
    spend: Spend,
) -> Result<Vec<Time>, Failure> {
    db.write(|transaction| async move {
        let there = db::moment(&transaction, clock).await?;
        let before = hold(&transaction, cells, there).await?;
        for (cell, whole_at) in cells.iter().zip(&before) {
            if spend == Spend::IfAllowed && cell.quota.wait(*whole_at, there).is_some() {
                continue;
            }
            let spent = Expr::value(cell.quota.spent(*whole_at, there));
            cell::Entity::update_many()
                .col_expr(cell::Column::WholeAt, spent)
                .filter(cell::Column::Id.eq(cell.id))
                .exec(&transaction)
                .await?;
        }
        Ok(here(before, there, now))
    })
    .await
}

/// Keeps the cells' rows from all others until the commit, and tells what is in them.
async fn hold(transaction: &Transaction, cells: &[Cell], now: Time) -> Result<Vec<Time>, Failure> {
    let mut ids: Vec<Uuid> = cells.iter().map(|cell| cell.id).collect();
    // Everyone takes them in this order, so that nobody waits in a circle.
    ids.sort_unstable();
    let mut rows = Rows::new();
    for id in &ids {
        rows.push(&[*id], &[]);
    }
    let insert = format!(
        "INSERT INTO limit_cells (id, whole_at) SELECT id, ? FROM {} WHERE true ORDER BY id",
        db::rows(transaction, "r", &[db::Column::Id("id")]),
    );
    let values = [now.into(), rows.to_value()];
    let count = ids.len() as u64;
    if db::insert_missing(transaction, &insert, &["id"], values, count).await? {
        return Ok(cells.iter().map(|_| now).collect());
    }
    let rows = cell::Entity::find().filter(cell::Column::Id.is_in(ids));
    let rows = db::lock(transaction, rows).all(transaction).await?;
    Ok(in_order(cells, &rows, now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_database_says_is_told_by_the_own_clock() {
        // The own clock is ten minutes ahead of the database's.
        let (there, now) = (Time(1_000_000_000), Time(1_600_000_000));
        let told = here(vec![there, Time(there.0 + 5), Time(0)], there, now);
        assert_eq!(told, [now, Time(now.0 + 5), Time(600_000_000)]);
    }
}
