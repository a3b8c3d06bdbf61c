//! The migration lock on a Galera cluster: a row with the holder of the lock and the time at which
//! it expires.
//!
//! Galera's nodes do not share locks and refuse `GET_LOCK`. But of two transactions that write the
//! same row on different nodes only one can commit.

use std::time::Duration;

use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr, Statement};
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::error::is_temporary;
use crate::periodic::try_every;

/// After how many seconds without renewal a lease expires.
const TERM: u32 = 10;

/// How often the holder renews its lease.
const RENEWAL: Duration = Duration::from_secs(2);

/// How often the others try to take it.
const AGAIN: Duration = Duration::from_millis(100);

const TABLE: &str = "CREATE TABLE IF NOT EXISTS migration_lease \
    (id INT NOT NULL PRIMARY KEY, holder CHAR(36) NOT NULL, ends_at BIGINT NOT NULL)";

/// The lock; renewed until it is released.
pub(super) struct Lease {
    connection: DatabaseConnection,
    holder: Uuid,
    renewal: AbortOnDropHandle<()>,
}

impl Lease {
    /// Waits for the lock, at most `patience` seconds.
    pub async fn take(connection: DatabaseConnection, patience: u32) -> Result<Lease, DbErr> {
        let holder = Uuid::from_u128(rand::random());
        let begun = Instant::now();
        while !claim(&connection, holder).await? {
            if begun.elapsed() > Duration::from_secs(patience.into()) {
                let error = format!("another process has held it for {patience} s");
                return Err(DbErr::Custom(error));
            }
            sleep(AGAIN).await;
        }
        let renewed = connection.clone();
        let renewal = tokio::spawn(async move {
            let renew = || async { claim(&renewed, holder).await.map(drop) };
            try_every(RENEWAL, "the migration lock could not be renewed", renew).await;
        });
        Ok(Lease {
            connection,
            holder,
            renewal: AbortOnDropHandle::new(renewal),
        })
    }

    pub async fn release(self) {
        drop(self.renewal);
        let sql = "DELETE FROM migration_lease WHERE holder = ?";
        let released = self.connection.execute_raw(bound(sql, self.holder)).await;
        let released = match released {
            Ok(_) => self.connection.close().await,
            Err(error) => Err(error),
        };
        // It expires anyway.
        if let Err(error) = released {
            tracing::warn!(%error, "the migration lock could not be released");
        }
    }
}

/// Takes the lock if it is free or expired, renews it if it is the holder's. Returns whether the
/// holder has it.
async fn claim(connection: &DatabaseConnection, holder: Uuid) -> Result<bool, DbErr> {
    match try_claim(connection, holder).await {
        // A conflict: another node was faster.
        Err(error) if is_temporary(&error) => Ok(false),
        outcome => outcome,
    }
}

async fn try_claim(connection: &DatabaseConnection, holder: Uuid) -> Result<bool, DbErr> {
    connection.execute_unprepared(TABLE).await?;
    // MariaDB assigns from left to right: the second assignment sees the new holder.
    let claim = format!(
        "INSERT INTO migration_lease (id, holder, ends_at) \
         VALUES (1, ?, UNIX_TIMESTAMP() + {TERM}) ON DUPLICATE KEY UPDATE \
         holder = IF(ends_at < UNIX_TIMESTAMP(), VALUES(holder), holder), \
         ends_at = IF(holder = VALUES(holder), VALUES(ends_at), ends_at)"
    );
    connection.execute_raw(bound(&claim, holder)).await?;
    let held = bound("SELECT 1 FROM migration_lease WHERE holder = ?", holder);
    Ok(connection.query_one_raw(held).await?.is_some())
}

fn bound(sql: &str, holder: Uuid) -> Statement {
    Statement::from_sql_and_values(DbBackend::MySql, sql, [holder.to_string().into()])
}
