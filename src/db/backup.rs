//! Backups of an SQLite file: made while servers run, and restored while none does.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection};

use super::connect::BUSY_TIMEOUT;
use super::file::{Place, Use};
use super::{ConnectError, Db, MigrateError};
use crate::clock::Time;
use crate::config::{self, DatabaseUrl};
use crate::folder;

/// Why a backup could not be made or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(
        "polls backs up and restores SQLite files only. For PostgreSQL use pg_dump or pg_basebackup, for MariaDB mariadb-dump --single-transaction or mariadb-backup"
    )]
    Server,
    #[error("there is no database {0}")]
    Missing(PathBuf),
    #[error("{0} exists already, and a backup does not overwrite files; name another file")]
    Exists(PathBuf),
    #[error(
        "{0} is not a complete backup: {1} beside it has changes that are not in it. Use a file made by `polls backup`"
    )]
    HasWal(PathBuf, PathBuf),
    #[error("{0} is not a database of polls")]
    NotPolls(PathBuf),
    #[error("{0} is damaged: {1}")]
    Damaged(PathBuf, String),
    #[error(
        "{0} belongs to the user with the id {1}; restore as that user, or the servers could not open the restored database"
    )]
    NotOwner(PathBuf, u32),
    #[error("cannot create {0}")]
    Create(PathBuf, #[source] io::Error),
    #[error("cannot read or write {0}")]
    File(PathBuf, #[source] io::Error),
    #[error("cannot read the database {0}")]
    Read(PathBuf, #[source] sqlx::Error),
    #[error(transparent)]
    Open(#[from] ConnectError),
    #[error(transparent)]
    Migrate(#[from] MigrateError),
}

/// How many rows a database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    pub accounts: i64,
    pub questions: i64,
    pub ballots: i64,
}

/// The location of the database, if it is a file.
fn place_of(config: &config::Database) -> Result<Place, BackupError> {
    Place::of(config)?.ok_or(BackupError::Server)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |error| BackupError::File(path, error)
}

/// Copies the database into a new file, accessible by its owner only, and checks the copy. Servers
/// keep running: the copy is a snapshot, and does not block SQLite's writer.
pub async fn backup(config: &config::Database, to: &Path) -> Result<Contents, BackupError> {
    let place = place_of(config)?;
    if !place.file.exists() {
        return Err(BackupError::Missing(place.file));
    }
    let _in_use = place.take(Use::Shared)?;
    // SQLite would interpret some relative names as URLs.
    let to = std::path::absolute(to).map_err(failed(to))?;
    create_private(&to)?;
    let outcome = copy_into(&place.file, &to).await;
    if outcome.is_err() {
        // Remove the incomplete file, which was created here.
        let _ = fs::remove_file(&to);
    }
    outcome
}

async fn copy_into(from: &Path, to: &Path) -> Result<Contents, BackupError> {
    let unreadable = |error| BackupError::Read(from.to_owned(), error);
    let mut source = open(from).await.map_err(unreadable)?;
    // VACUUM INTO accepts an existing file if it is empty.
    let copied = sqlx::query("VACUUM INTO ?")
        .bind(to.to_string_lossy())
        .execute(&mut source)
        .await;
    copied.map_err(unreadable)?;
    source.close().await.map_err(unreadable)?;
    sync(to)?;
    sync_folder(to)?;
    verify(to).await
}

async fn open(path: &Path) -> sqlx::Result<SqliteConnection> {
    let options = SqliteConnectOptions::new().filename(path);
    options.busy_timeout(BUSY_TIMEOUT).connect().await
}

/// Moves the changes in the WAL, which a killed server has left, into the database file. If that
/// fails, the WAL is kept beside the file: the database may be damaged, which may be the reason for
/// restoring a backup.
async fn checkpoint(path: &Path) {
    let done = async {
        let mut database = open(path).await?;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&mut database)
            .await?;
        database.close().await
    };
    if let Err(error) = done.await {
        tracing::warn!(%error, "the WAL of the replaced database is kept as a separate file");
    }
}

/// Creates a file that only its owner can read, from the first byte on.
fn create_private(path: &Path) -> Result<File, BackupError> {
    let mut options = File::options();
    let created = options.write(true).create_new(true).mode(0o600).open(path);
    created.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(path.to_owned()),
        _ => BackupError::Create(path.to_owned(), folder::named(path, error)),
    })
}

fn sync(path: &Path) -> Result<(), BackupError> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(failed(path))
}

/// Makes sure that the entries of the file's folder survive a power cut.
fn sync_folder(of: &Path) -> Result<(), BackupError> {
    let folder = of.parent().filter(|folder| !folder.as_os_str().is_empty());
    sync(folder.unwrap_or(Path::new(".")))
}

/// Checks that a file is an undamaged database of polls, and counts its rows. No other process may
/// use it.
async fn verify(path: &Path) -> Result<Contents, BackupError> {
    let damaged = |error: sqlx::Error| BackupError::Damaged(path.to_owned(), error.to_string());
    let mut database = open(path).await.map_err(damaged)?;
    let found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_all(&mut database)
        .await
        .map_err(damaged)?;
    if found != ["ok"] {
        return Err(BackupError::Damaged(path.to_owned(), found.join("; ")));
    }
    let orphans = sqlx::query("PRAGMA foreign_key_check")
        .fetch_all(&mut database)
        .await
        .map_err(damaged)?;
    if !orphans.is_empty() {
        let found = format!("{} rows refer to missing rows", orphans.len());
        return Err(BackupError::Damaged(path.to_owned(), found));
    }
    let of_polls = "SELECT COUNT(*) FROM sqlite_master \
        WHERE type = 'table' AND name IN ('seaql_migrations', 'users', 'questions', 'ballots')";
    if count(&mut database, of_polls).await.map_err(damaged)? != 4 {
        return Err(BackupError::NotPolls(path.to_owned()));
    }
    let mut counts = [0; 3];
    for (rows, table) in counts.iter_mut().zip(["users", "questions", "ballots"]) {
        let sql = format!("SELECT COUNT(*) FROM {table}");
        *rows = count(&mut database, &sql).await.map_err(damaged)?;
    }
    database.close().await.map_err(damaged)?;
    let [accounts, questions, ballots] = counts;
    Ok(Contents {
        accounts,
        questions,
        ballots,
    })
}

async fn count(database: &mut SqliteConnection, sql: &str) -> sqlx::Result<i64> {
    let sql = AssertSqlSafe(sql.to_owned());
    sqlx::query_scalar(sql).fetch_one(database).await
}

/// A restore in progress: a copy of the backup beside the database, migrated to this program's
/// schema. If it is dropped without [`Restoring::finish`], nothing has changed.
pub struct Restoring {
    place: Place,
    /// The exclusive lock, which keeps servers from starting.
    _alone: File,
    copy: Copy,
    db: Db,
    pub contents: Contents,
}

impl Restoring {
    /// Copies the backup, checks it, and migrates it. Fails if the database is in use.
    pub async fn begin(config: &config::Database, from: &Path) -> Result<Restoring, BackupError> {
        let place = place_of(config)?;
        let own = rustix::process::geteuid().as_raw();
        if let Ok(metadata) = fs::metadata(&place.file)
            && metadata.uid() != own
        {
            return Err(BackupError::NotOwner(place.file, metadata.uid()));
        }
        let alone = place.take(Use::Alone)?;
        let wal = Place {
            file: from.to_owned(),
            url: String::new(),
        };
        let wal = wal.beside("-wal");
        if fs::metadata(&wal).is_ok_and(|metadata| metadata.len() > 0) {
            return Err(BackupError::HasWal(from.to_owned(), wal));
        }
        let copy = Copy::of(from, &place)?;
        let contents = verify(&copy.0.file).await.map_err(|error| match error {
            // Name the backup, not its copy.
            BackupError::Damaged(_, found) => BackupError::Damaged(from.to_owned(), found),
            BackupError::NotPolls(_) => BackupError::NotPolls(from.to_owned()),
            error => error,
        })?;
        let mut config = config.clone();
        let url = DatabaseUrl::try_from(format!("sqlite:{}", copy.0.file.display()));
        config.url = url.map_err(|error| failed(&copy.0.file)(io::Error::other(error)))?;
        let db = Db::connect(&config).await?;
        db.migrate_up(None).await?;
        Ok(Restoring {
            place,
            _alone: alone,
            copy,
            db,
            contents,
        })
    }

    /// The copy, for changes before the servers use it.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// Replaces the database by the copy. Returns the path under which the replaced database is
    /// kept, if there was one.
    pub async fn finish(self, now: Time) -> Result<Option<PathBuf>, BackupError> {
        let Restoring {
            place, copy, db, ..
        } = &self;
        // Closing the last connection moves the WAL into the file.
        db.close().await;
        sync(&copy.0.file)?;
        let kept = place.beside(&format!(".before-restore-{now}").replace(':', ""));
        let kept = Place {
            file: kept,
            url: String::new(),
        };
        let replaced = place.file.exists();
        if replaced {
            checkpoint(&place.file).await;
            for suffix in ["", "-wal"] {
                let (old, new) = (place.beside(suffix), kept.beside(suffix));
                if old.exists() {
                    // A hard link, so that there is a database at every moment.
                    fs::hard_link(&old, &new).map_err(failed(&new))?;
                }
            }
        }
        // They belong to the replaced database; SQLite would apply them to the new one.
        for suffix in ["-wal", "-shm"] {
            remove(&place.beside(suffix))?;
        }
        fs::rename(&copy.0.file, &place.file).map_err(failed(&place.file))?;
        sync_folder(&place.file)?;
        Ok(replaced.then_some(kept.file))
    }
}

/// A copy of a backup; removed when dropped, with the files beside it.
struct Copy(Place);

impl Copy {
    fn of(from: &Path, place: &Place) -> Result<Copy, BackupError> {
        let file = place.beside("-restore");
        let copy = Copy(Place {
            url: format!("sqlite:{}", file.display()),
            file,
        });
        // Left by a restore that was interrupted.
        copy.remove()?;
        let mut source = File::open(from).map_err(failed(from))?;
        let mut target = create_private(&copy.0.file)?;
        io::copy(&mut source, &mut target).map_err(failed(&copy.0.file))?;
        Ok(copy)
    }

    fn remove(&self) -> Result<(), BackupError> {
        let files = ["", "-wal", "-shm", "-lock", "-migrate"];
        files
            .iter()
            .try_for_each(|suffix| remove(&self.0.beside(suffix)))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!(%error, "temporary files of the restore could not be removed");
        }
    }
}

/// Removes a file, if there is one.
fn remove(path: &Path) -> Result<(), BackupError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(BackupError::File(path.to_owned(), error))
        }
        _ => Ok(()),
    }
}
