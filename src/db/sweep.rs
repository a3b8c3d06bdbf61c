//! Deleting many rows without blocking other writers.
//!
//! SQLite has one writer, and on the servers a large transaction holds many locks. Deleting
//! 100,000 rows in one transaction made ballots wait for six seconds.

use std::time::Duration;

use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait, QueryFilter as _, QuerySelect as _, TryGetable, Value,
};

use super::Db;
use crate::failure::Failure;

/// How many rows one transaction deletes.
pub const STEP: u64 = 500;

/// The pause between two transactions, in which other writers get their turn.
const PAUSE: Duration = Duration::from_millis(10);

/// Deletes all rows that match `condition`, at most [`STEP`] in one transaction. `key` is the
/// primary key; `condition` should have an index.
pub async fn sweep<E, K>(db: &Db, key: E::Column, condition: Condition) -> Result<(), Failure>
where
    E: EntityTrait,
    K: TryGetable + Into<Value> + Clone + Send + Sync + 'static,
{
    let condition = &condition;
    loop {
        let some = E::find()
            .select_only()
            .column(key)
            .filter(condition.clone())
            .limit(STEP);
        let keys: Vec<K> = some.into_tuple().all(db.read()).await?;
        if keys.is_empty() {
            return Ok(());
        }
        let keys = &keys;
        // The condition is checked again: a row may have changed since it was found.
        let swept = db.write(|transaction| async move {
            let rows = E::delete_many()
                .filter(condition.clone())
                .filter(key.is_in(keys.iter().cloned()));
            Ok(rows.exec(&transaction).await?)
        });
        swept.await?;
        tokio::time::sleep(PAUSE).await;
    }
}
