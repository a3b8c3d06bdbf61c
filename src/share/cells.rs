//! Cells: the rate limits of attempts (failed sign-ins, registrations) that all processes count
//! together. A cell is what one account or address has used up of one `Quota`.
//!
//! A cell is one moment, `whole_at`, when its quota is full again. Shared cells use the clock of
//! the database or of Redis, because the clocks of the processes may differ.

use std::time::Duration;

use sea_orm::Condition;
use sea_orm::entity::prelude::*;
use sha2::{Digest as _, Sha256};

use super::quota::{Quota, duration};
use super::{Share, cell};
use crate::clock::{Clock, Time};
use crate::db::{self, Db, Rows, Transaction};
use crate::failure::Failure;

/// The quota of one account or address.
#[derive(Debug, Clone, Copy)]
pub struct Cell {
    /// A hash of the policy and the account or address.
    pub(super) id: Uuid,
    pub(super) quota: Quota,
}

impl Cell {
    /// The cell of the account or address `key`, with `quota` attempts in a window. `policy` names
    /// what is limited.
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

impl Share {
    /// How long an attempt has to wait, if it has to, as far as this process knows. Asks neither
    /// Redis nor the database.
    pub fn known_wait(&self, cell: &Cell) -> Option<Duration> {
        let now = self.inner.clock.now();
        let used = cell.quota.used(self.inner.local.whole_at(cell, now), now);
        cell.quota.wait(used).map(duration)
    }

    /// How long an attempt has to wait for each of these cells, where it has to.
    pub async fn waits<const N: usize>(&self, cells: [Cell; N]) -> [Option<Duration>; N] {
        let now = self.inner.clock.now();
        if let Some(shared) = self.read(&cells, now).await {
            for (cell, whole_at) in cells.iter().zip(shared) {
                self.inner.local.learn(cell, whole_at, now);
            }
        }
        cells.map(|cell| self.known_wait(&cell))
    }

    /// Counts one attempt in each of the cells.
    pub async fn spend(&self, cells: &[Cell]) {
        let now = self.inner.clock.now();
        for cell in cells {
            self.inner.local.spend(cell, now);
        }
        self.change(cells, now, Spend::Always).await;
    }

    /// Counts one attempt. If none is left, counts nothing and returns how long to wait.
    pub async fn take(&self, cell: &Cell) -> Result<(), Duration> {
        let now = self.inner.clock.now();
        let local = &self.inner.local;
        // An attempt that this process refuses needs no round trip.
        if let Some(wait) = self.known_wait(cell) {
            return Err(wait);
        }
        let shared = self.change(&[*cell], now, Spend::IfAllowed).await;
        let wait = match shared.and_then(|before| before.first().copied()) {
            Some(whole_at) => {
                local.learn(cell, whole_at, now);
                let wait = cell
                    .quota
                    .wait(cell.quota.used(whole_at, now))
                    .map(duration);
                if wait.is_none() {
                    local.spend(cell, now);
                }
                wait
            }
            None => local.take(cell, now),
        };
        wait.map_or(Ok(()), Err)
    }

    /// How many attempts are left, and in how long the quota is full again, as far as this process
    /// knows.
    pub fn known_state(&self, cell: &Cell) -> (u32, Duration) {
        let now = self.inner.clock.now();
        let used = cell.quota.used(self.inner.local.whole_at(cell, now), now);
        (cell.quota.remaining(used), duration(used))
    }

    /// `whole_at` of each cell, in their order; None if the store does not answer in time:
    /// Redis if it is configured, else the database.
    async fn read(&self, cells: &[Cell], now: Time) -> Option<Vec<Time>> {
        match &self.inner.redis {
            Some(redis) => redis.read(cells, now).await,
            None => {
                self.within_timeout(read(&self.inner.db, &self.inner.clock, cells, now))
                    .await
            }
        }
    }

    /// Counts one attempt in each cell. Returns each `whole_at` before that; None if the
    /// store does not answer in time.
    async fn change(&self, cells: &[Cell], now: Time, spend: Spend) -> Option<Vec<Time>> {
        if let Some(redis) = &self.inner.redis {
            return redis.change(cells, now, spend).await;
        }
        let (db, clock) = (self.inner.db.clone(), self.inner.clock.clone());
        let cells = cells.to_vec();
        // In a task of its own: the timeout below must not drop a transaction halfway.
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
        tracing::debug!(%error, "the database did not answer; this process counts alone");
        None
    }

    /// Deletes the cells whose quota is full again.
    pub(super) async fn sweep(&self) -> Result<(), Failure> {
        let (db, key) = (&self.inner.db, cell::Column::Id);
        let now = db::moment(db.read(), &self.inner.clock).await?;
        let full = cell::Column::WholeAt.lte(now);
        db::sweep::<cell::Entity, Uuid>(db, key, Condition::all().add(full)).await
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spend {
    Always,
    /// Unless no attempt is left.
    IfAllowed,
}

/// `whole_at` of each cell, by the clock of this process, where it is `now`.
async fn read(db: &Db, clock: &Clock, cells: &[Cell], now: Time) -> Result<Vec<Time>, Failure> {
    let ids = cells.iter().map(|cell| cell.id);
    let rows = cell::Entity::find().filter(cell::Column::Id.is_in(ids));
    let there = db::moment(db.read(), clock).await?;
    let rows = rows.all(db.read()).await?;
    Ok(here(in_order(cells, &rows, there), there, now))
}

/// Converts moments from the database's clock, where it is `there`, to the clock of this process,
/// where it is `now`.
fn here(mut moments: Vec<Time>, there: Time, now: Time) -> Vec<Time> {
    for moment in &mut moments {
        moment.0 = moment.0.saturating_sub(there.0).saturating_add(now.0);
    }
    moments
}

/// `whole_at` of each cell in the order of `cells`; `otherwise` for those without a row.
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
            let used = cell.quota.used(*whole_at, there);
            if spend == Spend::IfAllowed && cell.quota.wait(used).is_some() {
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

/// Locks the cells' rows until the commit, inserting those that are missing, and returns `whole_at`
/// of each.
async fn hold(transaction: &Transaction, cells: &[Cell], now: Time) -> Result<Vec<Time>, Failure> {
    let mut ids: Vec<Uuid> = cells.iter().map(|cell| cell.id).collect();
    // All transactions lock them in this order, so that there is no deadlock.
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
    fn moments_of_the_database_are_converted_to_the_clock_of_the_process() {
        // This process's clock is ten minutes ahead of the database's.
        let (there, now) = (Time(1_000_000_000), Time(1_600_000_000));
        let converted = here(vec![there, Time(there.0 + 5), Time(0)], there, now);
        assert_eq!(converted, [now, Time(now.0 + 5), Time(600_000_000)]);
    }
}
