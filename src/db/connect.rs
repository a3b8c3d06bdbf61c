//! Opening the database: the pools of connections, and the checks before.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sea_orm::{ConnectOptions, Database, DbErr};
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use tokio::time::{Instant, sleep};

use super::file::{self, Place, Use};
use super::host::Host;
use super::link::{Link, NoHost, Pools};
use super::schema::Lock;
use super::{Db, Reader, STATEMENTS, logged};
use crate::config;

/// How long a statement waits for another process's write transaction.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// For how long a server may still list the sessions of a process that has ended.
const LEAVING: Duration = Duration::from_secs(2);

/// How often the sessions are listed again meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The least number of connections that read an SQLite file.
const FEWEST_READERS: u32 = 4;

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(
        "an in-memory database cannot be shared by several connections; name a file, as in sqlite:polls.db"
    )]
    InMemory,
    #[error(
        "there is no folder {0} to keep the database in; create it, or correct the path in database.url"
    )]
    NoFolder(PathBuf),
    #[error(
        "cannot write to the folder {0}, where SQLite keeps files beside the database; give this user write permission, or name another folder in database.url"
    )]
    Unwritable(PathBuf, #[source] std::io::Error),
    #[error("cannot lock {0}, which must be locked to open the database")]
    Lock(PathBuf, #[source] std::io::Error),
    #[error(
        "a server or another command uses the database {0}; stop the servers, or try again when the command has ended"
    )]
    InUse(String),
    #[error(
        "another process has locked the database {0}, to restore it or to revert migrations; try again when it has finished"
    )]
    Taken(String),
    #[error(
        "others are connected to the database: {}; stop the servers and end the other sessions",
        .0.join("; ")
    )]
    Sessions(Vec<String>),
    #[error("cannot open the database sqlite:{0}")]
    Create(PathBuf, #[source] std::io::Error),
    #[error("cannot open the database {0}")]
    Open(String, #[source] DbErr),
    #[error("cannot list the other sessions of the database")]
    CannotLook(#[source] sqlx::Error),
    #[error("cannot use the database's URL")]
    Url(#[source] sqlx::Error),
    #[error("cannot open the database: {0}")]
    NoHost(#[from] NoHost),
}

impl Db {
    /// Opens the configured database. Creates the file of an SQLite database if there is none.
    pub async fn connect(config: &config::Database) -> Result<Db, ConnectError> {
        match Place::of(config)? {
            Some(place) => Db::open_file(config, &place, Use::Shared).await,
            None => Db::open_server(config).await,
        }
    }

    /// Opens the database for work during which no server may use it.
    ///
    /// A file stays locked against other processes until this one ends or all clones are dropped.
    /// On a database server this fails if there are other sessions now; new ones are not prevented.
    pub async fn connect_alone(config: &config::Database) -> Result<Db, ConnectError> {
        if let Some(place) = Place::of(config)? {
            return Db::open_file(config, &place, Use::Alone).await;
        }
        let begun = Instant::now();
        loop {
            let others = others(config).await?;
            if others.is_empty() {
                return Db::open_server(config).await;
            }
            if begun.elapsed() > LEAVING {
                return Err(ConnectError::Sessions(others));
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn open_server(config: &config::Database) -> Result<Db, ConnectError> {
        Ok(Db {
            reader: Reader(Link::to_servers(hosts(config)?, config).await?),
            lock: Lock::Server,
            _in_use: None,
        })
    }

    async fn open_file(
        config: &config::Database,
        place: &Place,
        how: Use,
    ) -> Result<Db, ConnectError> {
        let in_use = place.take(how)?;
        let (path, lock_file) = (&place.file, place.migration_lock());
        let cannot_open = |error| ConnectError::Open(place.url.clone(), error);
        // Switching to WAL fails at once if another process does so at the same time.
        let lock = file::lock(lock_file.clone()).await;
        let lock = lock.map_err(|error| place.cannot_lock(&lock_file, error))?;

        // Readable by its owner only: it holds signing keys and the hashes of passwords.
        file::private(path).map_err(|error| ConnectError::Create(path.clone(), error))?;

        // One writer per process: SQLite has one write lock, and a queue in the program is fairer
        // and cheaper than its busy handler. It is opened first, because it creates the file.
        let writer = Database::connect(sqlite(config, path, 1));
        let writer = writer.await.map_err(cannot_open)?;
        let reader = Database::connect(sqlite(config, path, readers(config)));
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
            _in_use: Some(Arc::new(in_use)),
        })
    }
}

/// The sessions of others on all hosts of a database server.
async fn others(config: &config::Database) -> Result<Vec<String>, ConnectError> {
    let mut others = Vec::new();
    for host in hosts(config)? {
        // A host that cannot be reached is skipped. Opening the database will tell whether another
        // one can be used.
        if let Ok(mut session) = host.connect().await {
            let found = session.others().await.map_err(ConnectError::CannotLook)?;
            others.extend(found);
        }
    }
    Ok(others)
}

/// The hosts of a database server.
fn hosts(config: &config::Database) -> Result<Vec<Arc<Host>>, ConnectError> {
    let mut hosts = Vec::new();
    for url in config.urls() {
        let host = Host::new(url, config).map_err(ConnectError::Url)?;
        hosts.extend(host.map(Arc::new));
    }
    Ok(hosts)
}

/// How many connections read a file. SQLite runs in this process, so more than one for each core
/// help only while others wait for the disk, and each takes a thread and its caches.
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
        // A connection to a file cannot be lost while it is idle.
        .test_before_acquire(false)
        .sqlx_logging(false);
    let path = path.to_owned();
    options.map_sqlx_sqlite_pool_opts(|pool| {
        pool.after_release(|connection, _| {
            // After a failed commit, on a full disk for example, SQLite has ended the transaction
            // but the driver believes it still runs, and its next commits would commit nothing.
            // Such a connection is closed.
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
            // Overwrites what is deleted: the order in which ballots came, accounts, codes.
            .pragma("secure_delete", "ON")
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(STATEMENTS)
    });
    options
}
