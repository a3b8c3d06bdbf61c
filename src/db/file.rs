//! The file of an SQLite database, the files beside it, and their locks.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::ConnectError;
use crate::config;

/// The location of an SQLite database.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub file: PathBuf,
    /// The URL as the operator has written it.
    pub url: String,
}

/// How a process uses a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Together with other processes.
    Shared,
    /// Exclusively.
    Alone,
}

impl Place {
    /// The configured file; None if the database is on a server.
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
        // The folder is not created: a mistake in the path would silently give an empty database.
        let folder = place.folder();
        if !folder.is_dir() {
            return Err(ConnectError::NoFolder(folder.to_owned()));
        }
        Ok(Some(place))
    }

    /// The folder of the database.
    pub fn folder(&self) -> &Path {
        let folder = self.file.parent();
        let named = folder.filter(|folder| !folder.as_os_str().is_empty());
        named.unwrap_or(Path::new("."))
    }

    /// The path of a file beside the database: its name with this suffix.
    pub fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.file.clone().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    }

    /// The file that one process at a time locks while it opens the database or changes its schema.
    pub fn migration_lock(&self) -> PathBuf {
        self.beside("-migrate")
    }

    /// Takes the shared or exclusive lock on the use of the database. It lasts until the returned
    /// file is closed or the process ends, even if it is killed.
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

/// Locks a file beside the database until it is closed or the process ends.
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

/// Opens a file; creates it, accessible by its owner only, if there is none.
pub(super) fn private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).append(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
