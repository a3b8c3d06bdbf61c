//! Bringing the schema up to date, by one process at a time.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use migration::{Migration, MigrationStatus, Migrator, MigratorTrait as _};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr};

use super::{Db, connect};
use crate::config;

/// For how long another process may hold the lock of a server, in seconds.
const LOCK_TIMEOUT: u32 = 60;

/// PostgreSQL's advisory locks have numbers: these are the bytes of "polls".
const LOCK_NUMBER: i64 = 0x70_6f6c_6c73;

/// Why the schema was not changed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("cannot take the migration lock {0}")]
    Lock(PathBuf, #[source] io::Error),
    #[error("cannot take the migration lock of the database")]
    ServerLock(#[source] DbErr),
    #[error("cannot migrate the database")]
    Migrate(#[from] DbErr),
}

/// A migration and whether it is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub name: String,
    pub applied: bool,
}

impl Db {
    /// Applies what is pending, at most `steps` of it.
    pub async fn migrate_up(&self, steps: Option<u32>) -> Result<(), MigrateError> {
        self.exclusively(async || Ok(Migrator::up(&self.writer, steps).await?))
            .await
    }

    /// Takes back what was applied last, `steps` of it or all.
    pub async fn migrate_down(&self, steps: Option<u32>) -> Result<(), MigrateError> {
        self.exclusively(async || Ok(Migrator::down(&self.writer, steps).await?))
            .await
    }

    /// Every migration this program knows, in order.
    pub async fn migration_status(&self) -> Result<Vec<Step>, MigrateError> {
        self.exclusively(async || {
            let applied = Migrator::get_migration_with_status(&self.writer).await?;
            let step = |migration: &Migration| Step {
                name: migration.name().to_owned(),
                applied: migration.status() == MigrationStatus::Applied,
            };
            Ok(applied.iter().map(step).collect())
        })
        .await
    }

    /// Runs `work` while no other process does the same to this database.
    ///
    /// Also for what must happen once per database, such as making its first signing key.
    pub async fn exclusively<T, E: From<MigrateError>>(
        &self,
        work: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let held = self.lock.take().await?;
        let outcome = work().await;
        held.release().await;
        outcome
    }
}

/// What one process at a time can hold.
#[derive(Debug, Clone)]
pub(super) enum Lock {
    /// A file beside the database.
    File(PathBuf),
    /// The lock of a server, which ends with the connection that took it.
    Server(Arc<config::Database>),
}

enum Held {
    File(File),
    Server(DatabaseConnection),
}

impl Lock {
    async fn take(&self) -> Result<Held, MigrateError> {
        match self {
            Lock::File(path) => lock(path.clone())
                .await
                .map(Held::File)
                .map_err(|error| MigrateError::Lock(path.clone(), error)),
            Lock::Server(config) => lock_server(config)
                .await
                .map(Held::Server)
                .map_err(MigrateError::ServerLock),
        }
    }
}

impl Held {
    /// Closing the file or the connection, or the end of the process, unlocks.
    async fn release(self) {
        match self {
            Held::File(file) => drop(file),
            Held::Server(connection) => {
                if let Err(error) = connection.close().await {
                    tracing::warn!(%error, "closing the connection of the lock failed");
                }
            }
        }
    }
}

async fn lock_server(config: &config::Database) -> Result<DatabaseConnection, DbErr> {
    let connection = connect::alone(config).await?;
    let locked = match connection.get_database_backend() {
        DbBackend::Postgres => {
            let patience =
                format!("SET lock_timeout = '{LOCK_TIMEOUT}s'; SET statement_timeout = 0");
            connection.execute_unprepared(&patience).await?;
            let lock = format!("SELECT pg_advisory_lock({LOCK_NUMBER})");
            connection.execute_unprepared(&lock).await?;
            true
        }
        engine => {
            // Locks are the whole server's, their names at most 64 characters long.
            let lock =
                format!("SELECT GET_LOCK(CONCAT('polls.', MD5(DATABASE())), {LOCK_TIMEOUT})");
            let statement = sea_orm::Statement::from_string(engine, lock);
            let row = connection.query_one_raw(statement).await?;
            let locked = row
                .map(|row| row.try_get_by_index::<Option<i64>>(0))
                .transpose()?;
            locked.flatten() == Some(1)
        }
    };
    if locked {
        return Ok(connection);
    }
    let error = format!("another process has held it for {LOCK_TIMEOUT} s");
    Err(DbErr::Custom(error))
}

/// Locks a file beside the database; closing it, or the end of the process, unlocks it.
pub(super) async fn lock(path: PathBuf) -> io::Result<File> {
    let locked = tokio::task::spawn_blocking(move || {
        let file = private(&path)?;
        file.lock()?;
        Ok(file)
    });
    locked
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Opens a file, and makes it, for its owner alone, where there is none.
pub(super) fn private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
