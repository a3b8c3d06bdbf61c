//! Opening the pools.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sea_orm::{ConnectOptions, Database, DbErr};
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};

use super::host::Host;
use super::link::{Link, NoHost, Pools};
use super::schema::Lock;
use super::{Db, Reader, STATEMENTS, logged, schema};
use crate::config;

/// How long a statement waits for another process's write transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many readers SQLite has where cores are few.
const FEWEST_READERS: u32 = 4;

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
    #[error("cannot use the database's URL")]
    Url(#[source] sqlx::Error),
    #[error("cannot open the database: {0}")]
    NoHost(#[from] NoHost),
}

impl Db {
    /// Opens the database that the configuration names; makes the file where SQLite has none.
    pub async fn connect(config: &config::Database) -> Result<Db, ConnectError> {
        let mut hosts = Vec::new();
        for url in config.urls() {
            let host = Host::new(url, config).map_err(ConnectError::Url)?;
            hosts.extend(host.map(Arc::new));
        }
        if !hosts.is_empty() {
            let link = Link::to_servers(hosts, config).await?;
            let lock = Lock::Server;
            let reader = Reader(link);
            return Ok(Db { reader, lock });
        }
        let url = &config.url;
        let cannot_open = |error| ConnectError::Open(url.to_string(), error);
        let path = PathBuf::from(url.file().unwrap_or_default());
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
        let reader = Database::connect(sqlite(config, &path, readers(config)));
        let reader = reader.await.map_err(cannot_open)?;

        drop(lock);
        let pools = Pools {
            reader,
            writer,
            host: None,
        };
        Ok(Db {
            reader: Reader(Link::to_file(pools)),
            lock: Lock::File(lock_file),
        })
    }
}

/// How many connections read a file. Their work is this process's own: beyond one for each core
/// they help only while others wait for the disk, and each takes a thread and its caches.
fn readers(config: &config::Database) -> u32 {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let useful = u32::try_from(cores).unwrap_or(u32::MAX).max(FEWEST_READERS);
    config.max_connections.min(useful)
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
        logged(sqlite)
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
