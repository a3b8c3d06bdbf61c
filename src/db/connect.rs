//! Opening the pools.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{
    ConnectOptions, Database, DatabaseConnection, DbErr, SqlxMySqlConnector, SqlxPostgresConnector,
};
use sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection as _, Executor as _};

use super::schema::Lock;
use super::{Db, schema};
use crate::config;

/// How long a statement waits for another process's write transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// For how long a statement of a server waits for somebody else's lock, in seconds.
const LOCK_TIMEOUT: u32 = 5;

/// A server may have gone meanwhile, or come back, when its connection was idle for so long.
const IDLE: Duration = Duration::from_secs(1);

/// How many prepared statements a connection keeps.
const STATEMENTS: usize = 256;

/// What a MySQL session begins with. Under READ COMMITTED each statement sees what was committed
/// before it: a batch of ballots must read its questions as they are once its slots are held.
const MYSQL_SESSION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
    SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', \
    SESSION innodb_lock_wait_timeout = 5, \
    SESSION group_concat_max_len = 1073741824";

/// Why there is no database to work with.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(
        "an in-memory database cannot be shared by the pools; name a file, as in sqlite:polls.db"
    )]
    InMemory,
    #[error("cannot create the folder {0}")]
    Folder(PathBuf, #[source] std::io::Error),
    #[error("cannot lock {0}, as the database needs it to be opened")]
    Lock(PathBuf, #[source] std::io::Error),
    #[error("cannot open the database sqlite:{0}")]
    Create(PathBuf, #[source] std::io::Error),
    #[error("cannot open the database {0}")]
    Open(String, #[source] DbErr),
}

impl Db {
    /// Opens the database that the configuration names; makes the file where SQLite has none.
    pub async fn connect(config: &config::Database) -> Result<Db, ConnectError> {
        let cannot_open = |error| ConnectError::Open(config.url.to_string(), error);
        let Some(path) = sqlite_path(config.connection_url().expose()) else {
            let pool = pool(config, config.min_connections, config.max_connections);
            let pool = pool.await.map_err(cannot_open)?;
            return Ok(Db {
                reader: pool.clone(),
                writer: pool,
                lock: Lock::Server(Arc::new(config.clone())),
            });
        };
        if path.as_os_str().is_empty() || path.as_os_str() == ":memory:" {
            return Err(ConnectError::InMemory);
        }
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            std::fs::create_dir_all(folder)
                .map_err(|error| ConnectError::Folder(folder.to_owned(), error))?;
        }

        let mut lock_file = path.clone().into_os_string();
        lock_file.push("-migrate");
        let lock_file = PathBuf::from(lock_file);
        // Turning to WAL fails at once when another process does the same.
        let lock = schema::lock(lock_file.clone()).await;
        let lock = lock.map_err(|error| ConnectError::Lock(lock_file.clone(), error))?;

        // Its owner's alone: it holds signing keys and the hashes of passwords.
        schema::private(&path).map_err(|error| ConnectError::Create(path.clone(), error))?;

        // One writer per process: SQLite has one write lock, and a queue in the program is
        // fairer and cheaper than its busy handler. It comes first, since it makes the file.
        let writer = Database::connect(sqlite(config, &path, 1));
        let writer = writer.await.map_err(cannot_open)?;
        let reader = Database::connect(sqlite(config, &path, config.max_connections));
        let reader = reader.await.map_err(cannot_open)?;

        drop(lock);
        Ok(Db {
            reader,
            writer,
            lock: Lock::File(lock_file),
        })
    }
}

/// One connection to a server, which is kept until it is closed.
pub(super) async fn alone(config: &config::Database) -> Result<DatabaseConnection, DbErr> {
    let config = config::Database {
        idle_timeout: FOR_EVER,
        max_lifetime: FOR_EVER,
        ..config.clone()
    };
    pool(&config, 1, 1).await
}

const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Connections to a server.
async fn pool(config: &config::Database, min: u32, max: u32) -> Result<DatabaseConnection, DbErr> {
    let url = config.connection_url();
    let mut options = ConnectOptions::new(url.expose());
    options
        .min_connections(min)
        .max_connections(max)
        .acquire_timeout(config.acquire_timeout)
        .idle_timeout(config.idle_timeout)
        .max_lifetime(config.max_lifetime)
        .test_before_acquire_if_idle_for(IDLE)
        .sqlx_logging(false);
    if url.expose().starts_with("mysql:") {
        options
            .map_sqlx_mysql_opts(|mysql| mysql.statement_cache_capacity(STATEMENTS))
            .map_sqlx_mysql_pool_opts(|pool| {
                pool.after_connect(|connection, _| {
                    Box::pin(async move { connection.execute(MYSQL_SESSION).await.map(drop) })
                })
            });
        SqlxMySqlConnector::connect(options).await
    } else {
        options.map_sqlx_postgres_opts(|postgres| {
            postgres
                .statement_cache_capacity(STATEMENTS)
                .application_name("polls")
                .options([
                    // See MYSQL_SESSION.
                    ("default_transaction_isolation", "read committed".to_owned()),
                    ("lock_timeout", format!("{LOCK_TIMEOUT}s")),
                ])
        });
        SqlxPostgresConnector::connect(options).await
    }
}

/// The file that a `sqlite:` URL names.
fn sqlite_path(url: &str) -> Option<PathBuf> {
    let rest = url.strip_prefix("sqlite:")?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    Some(PathBuf::from(rest.split('?').next().unwrap_or(rest)))
}

fn sqlite(config: &config::Database, path: &std::path::Path, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new("sqlite:");
    options
        .max_connections(connections)
        .min_connections(config.min_connections.min(connections))
        .acquire_timeout(config.acquire_timeout)
        .idle_timeout(config.idle_timeout)
        .max_lifetime(config.max_lifetime)
        // A file in this process has no connection that could have died meanwhile.
        .test_before_acquire(false)
        .sqlx_logging(false);
    let path = path.to_owned();
    options.map_sqlx_sqlite_pool_opts(|pool| {
        pool.after_release(|connection, _| {
            // After a commit that failed, on a full disk say, SQLite has no transaction any more
            // while the driver still counts one, and its next commits would commit nothing.
            let clean = !connection.is_in_transaction();
            Box::pin(async move { Ok(clean) })
        })
    });
    options.map_sqlx_sqlite_opts(move |sqlite| {
        sqlite
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // NORMAL loses acknowledged commits at a power cut.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(STATEMENTS)
    });
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_sqlite_url_name_a_file() {
        assert_eq!(sqlite_path("sqlite:polls.db"), Some("polls.db".into()));
        assert_eq!(
            sqlite_path("sqlite:///var/polls.db?mode=rwc"),
            Some("/var/polls.db".into())
        );
        assert_eq!(sqlite_path("postgres://localhost/polls"), None);
    }
}
