//! Migrating the schema, by one process at a time.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use migration::{Migrator, MigratorTrait as _, SchemaManager};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr, Statement};

use super::Db;
use super::dialect::{integer, statement};
use super::file::lock;
use super::host::{Flavour, Host};
use super::lease::Lease;
use super::link::{self, Pools};

/// How many seconds to wait for the migration lock of a server.
const LOCK_TIMEOUT: u32 = 60;

/// The number of the advisory lock on PostgreSQL: the bytes of "polls".
const LOCK_NUMBER: i64 = 0x70_6f6c_6c73;

/// Why a migration failed, or the schema does not fit.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("cannot take the migration lock {0}")]
    Lock(PathBuf, #[source] io::Error),
    #[error("cannot take the migration lock of the database")]
    ServerLock(#[source] DbErr),
    #[error(
        "a newer version of polls has migrated the database: this version does not know {}. Use the newer version, or revert its migrations with it: `polls migrate down --steps {}`",
        .0.join(", "), .0.len()
    )]
    Newer(Vec<String>),
    #[error("the database is not at this version's schema; run `polls migrate up`")]
    Outdated,
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
    /// Applies all pending migrations, or the next `steps` of them.
    pub async fn migrate_up(&self, steps: Option<u32>) -> Result<(), MigrateError> {
        self.exclusively(async |db| {
            status(db).await?;
            Ok(Migrator::up(db, steps).await?)
        })
        .await
    }

    /// Reverts all migrations, or the last `steps` of them.
    pub async fn migrate_down(&self, steps: Option<u32>) -> Result<(), MigrateError> {
        self.exclusively(async |db| {
            status(db).await?;
            Ok(Migrator::down(db, steps).await?)
        })
        .await
    }

    /// The migrations of this program, in order. [`MigrateError::Newer`] if the database has
    /// others.
    pub async fn migration_status(&self) -> Result<Vec<Step>, MigrateError> {
        self.exclusively(async |db| status(db).await).await
    }

    /// Checks that the database has this program's schema; else [`MigrateError::Newer`] or
    /// [`MigrateError::Outdated`].
    pub async fn require_schema(&self) -> Result<(), MigrateError> {
        let steps = self.migration_status().await?;
        match steps.iter().all(|step| step.applied) {
            true => Ok(()),
            false => Err(MigrateError::Outdated),
        }
    }

    /// How many rows are in the tables that a migration has created and that reverting it drops.
    pub async fn rows_of(&self, step: &Step) -> Result<Vec<(&'static str, i64)>, MigrateError> {
        // On the connection without a statement timeout.
        self.exclusively(async |db| {
            let mut counts = Vec::new();
            for table in migration::tables_of(&step.name) {
                let count = format!("SELECT {} FROM {table}", integer(db, "COUNT(*)"));
                let row = db.query_one_raw(statement(db, &count, [])).await?;
                let rows = row.map(|row| row.try_get_by_index(0)).transpose()?;
                counts.push((*table, rows.unwrap_or_default()));
            }
            Ok(counts)
        })
        .await
    }

    /// Runs `work` under the migration lock: no other process of this database does the same.
    ///
    /// Also for work that must happen once per database, such as creating its first signing key.
    /// The connection has no statement timeout.
    pub async fn exclusively<T, E: From<MigrateError>>(
        &self,
        work: impl AsyncFnOnce(&DatabaseConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let hold = self.reader.0.connected().await.map_err(DbErr::from);
        let pools = hold.map_err(MigrateError::ServerLock)?.pools;
        let held = self.lock.take(&pools).await?;
        let outcome = match &held {
            Held::File(_) => work(&pools.writer).await,
            Held::Session(own) => work(own).await,
            Held::Lease(own, _) => work(own).await,
        };
        held.release().await;
        outcome
    }
}

/// The names of the applied migrations, in order.
async fn applied(db: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let manager = SchemaManager::new(db);
    if !manager.has_table("seaql_migrations").await? {
        return Ok(Vec::new());
    }
    let names = "SELECT version FROM seaql_migrations ORDER BY version";
    let rows = db.query_all_raw(statement(db, names, [])).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}

async fn status(db: &DatabaseConnection) -> Result<Vec<Step>, MigrateError> {
    let mut applied = applied(db).await?;
    let steps = Migrator::migrations().into_iter().map(|migration| {
        let name = migration.name().to_owned();
        let before = applied.len();
        applied.retain(|known| *known != name);
        Step {
            applied: applied.len() < before,
            name,
        }
    });
    let steps = steps.collect();
    match applied.is_empty() {
        true => Ok(steps),
        false => Err(MigrateError::Newer(applied)),
    }
}

/// Where the migration lock is.
#[derive(Debug, Clone)]
pub(super) enum Lock {
    /// On a file beside the database.
    File(PathBuf),
    /// On the database server.
    Server,
}

enum Held {
    File(File),
    /// A lock of the connection, released when that is closed.
    Session(DatabaseConnection),
    /// On a cluster, where a connection's lock would be known to one node only.
    Lease(DatabaseConnection, Lease),
}

impl Lock {
    async fn take(&self, pools: &Pools) -> Result<Held, MigrateError> {
        match (self, &pools.host) {
            (Lock::File(path), _) => lock(path.clone())
                .await
                .map(Held::File)
                .map_err(|error| MigrateError::Lock(path.clone(), error)),
            (Lock::Server, Some((host, flavour))) => lock_server(host, *flavour)
                .await
                .map_err(MigrateError::ServerLock),
            (Lock::Server, None) => Err(MigrateError::ServerLock(link::Disconnected.into())),
        }
    }
}

impl Held {
    /// Releases the lock by closing its file or connection. So does the end of the process.
    async fn release(self) {
        let connection = match self {
            Held::File(file) => return drop(file),
            Held::Session(connection) => connection,
            Held::Lease(connection, lease) => {
                lease.release().await;
                connection
            }
        };
        if let Err(error) = connection.close().await {
            tracing::warn!(%error, "closing the connection of the lock failed");
        }
    }
}

async fn lock_server(host: &Host, flavour: Flavour) -> Result<Held, DbErr> {
    let connection = host.alone(flavour);
    let locked = match flavour {
        Flavour::Postgres => {
            let patience = format!("SET lock_timeout = '{LOCK_TIMEOUT}s'");
            connection.execute_unprepared(&patience).await?;
            let lock = format!("SELECT pg_advisory_lock({LOCK_NUMBER})");
            connection.execute_unprepared(&lock).await?;
            true
        }
        Flavour::MariaDb { galera: true } => {
            let lease = Lease::take(host.alone(flavour), LOCK_TIMEOUT).await?;
            return Ok(Held::Lease(connection, lease));
        }
        Flavour::MariaDb { galera: false } | Flavour::MySql => {
            // The names of locks are shared by all databases of a server, and have at most 64
            // characters.
            let lock =
                format!("SELECT GET_LOCK(CONCAT('polls.', MD5(DATABASE())), {LOCK_TIMEOUT})");
            let statement = Statement::from_string(DbBackend::MySql, lock);
            let row = connection.query_one_raw(statement).await?;
            let locked = row
                .map(|row| row.try_get_by_index::<Option<i64>>(0))
                .transpose()?;
            locked.flatten() == Some(1)
        }
    };
    if locked {
        return Ok(Held::Session(connection));
    }
    Err(DbErr::Custom(format!(
        "another process has held it for {LOCK_TIMEOUT} s"
    )))
}
