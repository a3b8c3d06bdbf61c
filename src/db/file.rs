//! The file of an SQLite database, and those beside it.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::ConnectError;
use crate::config;

/// Where a database is kept.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub file: PathBuf,
    /// As an operator writes it.
    pub url: String,
}

/// How a process has a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Beside others.
    Shared,
    /// While nobody else may have it.
    Alone,
}

impl Place {
    /// The file that the configuration names; none where that is a server.
    pub fn of(config: &config::Database) -> Result<Option<Place>, ConnectError> {
        let Some(file) = config.url.file().filter(|_| config.urls.is_empty()) else {
            return Ok(None);
        };
        let place = Place {
            file: PathBuf::from(file),
            url: config.url.to_string(),
        };
        if file.is_empty() || file == ":memory:" {
            return Err(ConnectError::InMemory);
        }
        // Not made: a mistake in a path would give an empty database somewhere.
        let folder = place.folder();
        if !folder.is_dir() {
            return Err(ConnectError::NoFolder(folder.to_owned()));
        }
        Ok(Some(place))
    }

    /// The folder with the file and those beside it.
    pub fn folder(&self) -> &Path {
        let folder = self.file.parent();
        let named = folder.filter(|folder| !folder.as_os_str().is_empty());
        named.unwrap_or(Path::new("."))
    }

    /// A file beside the database, whose name has this at its end.
    pub fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.file.clone().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    }

    /// What is locked by one process at a time while it opens the database or changes its schema.
    pub fn migration_lock(&self) -> PathBuf {
        self.beside("-migrate")
    }

    /// Takes the lock that tells others of the use. It lasts until the file is closed or the
    /// process has ended, however it ends.
    pub fn take(&self, how: Use) -> Result<File, ConnectError> {
        let path = self.beside("-lock");
        let file = private(&path).map_err(|error| self.cannot_lock(&path, error))?;
        let locked = match how {
            Use::Shared => file.try_lock_shared(),
            Use::Alone => file.try_lock(),
        };
        match (locked, how) {
            (Ok(()), _) => Ok(file),
            (Err(TryLockError::WouldBlock), Use::Alone) => {
                Err(ConnectError::InUse(self.url.clone()))
            }
            (Err(TryLockError::WouldBlock), Use::Shared) => {
                Err(ConnectError::Taken(self.url.clone()))
            }
            (Err(TryLockError::Error(error)), _) => Err(ConnectError::Lock(path, error)),
        }
    }

    pub fn cannot_lock(&self, path: &Path, error: io::Error) -> ConnectError {
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                if !path.exists() =>
            {
                ConnectError::Unwritable(self.folder().to_owned(), error)
            }
            _ => ConnectError::Lock(path.to_owned(), error),
        }
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
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
