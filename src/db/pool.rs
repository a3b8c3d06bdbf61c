//! The metrics of the pools of connections.

use std::time::Duration;

use metrics::gauge;
use sea_orm::{DatabaseConnection, DbBackend};

use super::Db;
use crate::periodic::every;

/// How often the gauges are set.
const INTERVAL: Duration = Duration::from_secs(2);

impl Db {
    /// Keeps the metrics up to date. Never returns; to be dropped.
    pub async fn keep_measuring(self) {
        every(INTERVAL, || async { self.measure() }).await;
    }

    fn measure(&self) {
        let Some(pools) = self.reader.0.pools() else {
            return;
        };
        for (pool, connection) in [("reader", &pools.reader), ("writer", &pools.writer)] {
            let (open, idle) = connections(connection);
            gauge!("polls_database_connections", "pool" => pool, "state" => "idle").set(idle);
            gauge!("polls_database_connections", "pool" => pool, "state" => "busy")
                .set(open - idle);
        }
    }
}

/// How many connections are open, and how many of those are idle.
fn connections(connection: &DatabaseConnection) -> (f64, f64) {
    let (open, idle) = match connection.get_database_backend() {
        DbBackend::Sqlite => {
            let pool = connection.get_sqlite_connection_pool();
            (pool.size(), pool.num_idle())
        }
        DbBackend::Postgres => {
            let pool = connection.get_postgres_connection_pool();
            (pool.size(), pool.num_idle())
        }
        _ => {
            let pool = connection.get_mysql_connection_pool();
            (pool.size(), pool.num_idle())
        }
    };
    // The two numbers are not read at the same moment, so `open` may be the smaller one.
    let idle = idle as f64;
    (f64::from(open).max(idle), idle)
}
