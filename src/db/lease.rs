//! A lock on a cluster: a row that says who has it, and until when.
//!
//! Galera's nodes do not share locks, and refuse `GET_LOCK`, but of two writes of one row they let
//! only one be committed.

use std::time::Duration;

use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr, Statement};
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::error::is_temporary;

/// How long others wait for a holder that has died, in seconds.
const TERM: u32 = 10;

/// How often the holder says that it is alive.
const RENEWAL: Duration = Duration::from_secs(2);

/// How often the others ask.
const AGAIN: Duration = Duration::from_millis(100);

const TABLE: &str = "CREATE TABLE IF NOT EXISTS migration_lease \
    (id INT NOT NULL PRIMARY KEY, holder CHAR(36) NOT NULL, ends_at BIGINT NOT NULL)";

/// The lock, renewed until it is released.
pub(super) struct Lease {
    connection: DatabaseConnection,
    holder: Uuid,
    renewal: AbortOnDropHandle<()>,
}

impl Lease {
    /// Waits for it, at most so many seconds.
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
            loop {
                sleep(RENEWAL).await;
                if let Err(error) = claim(&renewed, holder).await {
                    tracing::warn!(%error, "the migration lease could not be renewed");
                }
            }
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
        // It ends by itself, too.
        if let Err(error) = released {
            tracing::warn!(%error, "the migration lease could not be given back");
        }
    }
}

/// Takes or renews it where it is free, over, or the holder's. Tells whether the holder has it.
async fn claim(connection: &DatabaseConnection, holder: Uuid) -> Result<bool, DbErr> {
    match try_claim(connection, holder).await {
        // Another node was faster.
        Err(error) if is_temporary(&error) => Ok(false),
        outcome => outcome,
    }
}

async fn try_claim(connection: &DatabaseConnection, holder: Uuid) -> Result<bool, DbErr> {
    connection.execute_unprepared(TABLE).await?;
    // MariaDB assigns from left to right: the second assignment sees who holds it now.
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
