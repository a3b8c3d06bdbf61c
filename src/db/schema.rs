//! Bringing the schema up to date, by one process at a time.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use migration::{Migration, MigrationStatus, Migrator, MigratorTrait as _};
use sea_orm::DbErr;

use super::Db;

/// Why the schema was not changed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("cannot take the migration lock {0}")]
    Lock(PathBuf, #[source] io::Error),
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
        let lock = match &self.lock_file {
            Some(path) => {
                let locked = lock(path.clone()).await;
                Some(locked.map_err(|error| MigrateError::Lock(path.clone(), error))?)
            }
            None => None,
        };
        let outcome = work().await;
        drop(lock);
        outcome
    }
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
