//! The database engine of the tests, and a fresh database for each test.
//!
//! Everyday runs are on SQLite; `engines` runs the same tests again on the servers it can start.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use polls::config::{self, Flag, Sources};
use polls::db::Db;
use sqlx::{Connection as _, MySqlConnection, PgConnection, Row as _};
use tokio::time::timeout;

/// The URL of the database server, such as `postgres://polls@127.0.0.1:4711`, or those of the nodes
/// of a cluster, separated by commas. Without it the tests use SQLite.
pub const SERVER: &str = "POLLS_TEST_SERVER";

static ADDRESSES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let addresses = std::env::var(SERVER).unwrap_or_default();
    let addresses = addresses.split(',').filter(|address| !address.is_empty());
    addresses.map(str::to_owned).collect()
});

/// The node for the next connection.
static TURN: AtomicUsize = AtomicUsize::new(0);

/// How long a statement of the tests may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The folders of tests whose databases were created on the server.
static MADE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Whether the tests use SQLite.
pub fn is_sqlite() -> bool {
    ADDRESSES.is_empty()
}

/// The URL of the database of a test's folder; in a cluster, at each node in turn.
pub fn database_url(folder: &Path) -> String {
    if ADDRESSES.is_empty() {
        return format!("sqlite:{}", folder.join("polls.db").display());
    }
    make(folder);
    let turn = TURN.fetch_add(1, Ordering::Relaxed) % ADDRESSES.len();
    format!("{}/{}", ADDRESSES[turn], name(folder))
}

/// A connection of the test's own to a database.
pub async fn connect(url: &str) -> Db {
    let flags = vec![Flag {
        name: "--set database.url".to_owned(),
        key: "database.url".to_owned(),
        value: url.to_owned(),
    }];
    let sources = Sources {
        flags,
        ..Sources::default()
    };
    let config = match config::load(&sources) {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{problems}"),
    };
    Db::connect(&config.database).await.expect("the database")
}

/// The name of the newest migration.
pub fn newest_migration() -> String {
    use migration::MigratorTrait as _;
    let all = migration::Migrator::migrations();
    all.last().expect("there are some").name().to_owned()
}

/// Reverts migrations down to this one, and with it.
pub async fn migrate_down_with(db: &Db, migration: &str) {
    let status = db.migration_status().await.expect("the steps");
    let applied: Vec<_> = status.iter().filter(|step| step.applied).collect();
    let from = applied.iter().position(|step| step.name == migration);
    let steps = applied.len() - from.expect("it is applied");
    let steps = Some(u32::try_from(steps).expect("a few"));
    db.migrate_down(steps).await.expect("the version before");
}

/// The name of a folder's database on the server.
pub fn name(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.replace(|c: char| !c.is_ascii_alphanumeric(), "")
}

/// Creates the folder's database if there is none, and drops those of tests that have ended.
fn make(folder: &Path) {
    let mut made = MADE.lock().expect("no panic");
    if made.iter().any(|known| known == folder) {
        return;
    }
    let (alive, over): (Vec<_>, Vec<_>) = made.drain(..).partition(|known| known.exists());
    *made = alive;
    made.push(folder.to_owned());
    let server = &ADDRESSES[0];
    for folder in over {
        // Fails if the database is still in use; then it is deleted together with the server.
        let _ = run(server, &drop_database(server, &name(&folder)));
    }
    let create = match server.starts_with("postgres") {
        true => format!("CREATE DATABASE \"{}\"", name(folder)),
        false => format!("CREATE DATABASE `{}`", name(folder)),
    };
    run(server, &create).expect("a database");
    for node in &ADDRESSES[1..] {
        // Waits until the node has applied what the first one has committed.
        let known = format!(
            "SET wsrep_sync_wait = 15; SHOW CREATE DATABASE `{}`",
            name(folder)
        );
        run(node, &known).expect("the database is there, too");
    }
}

fn drop_database(server: &str, name: &str) -> String {
    match server.starts_with("postgres") {
        true => format!("DROP DATABASE \"{name}\" WITH (FORCE)"),
        false => format!("SET lock_wait_timeout = 1; DROP DATABASE `{name}`"),
    }
}

/// Runs a statement on the server; returns the first column of its rows. It runs in a thread of its
/// own, because the caller may be in an async runtime.
pub fn run(server: &str, statement: &str) -> sqlx::Result<Vec<String>> {
    let (server, statement) = (server.to_owned(), statement.to_owned());
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async {
            let run = timeout(TIMEOUT, try_run(&server, &statement));
            run.await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
        })
    });
    thread.join().expect("no panic")
}

async fn try_run(server: &str, statement: &str) -> sqlx::Result<Vec<String>> {
    let text = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()));
    if server.starts_with("postgres") {
        let mut connection = PgConnection::connect(&format!("{server}/postgres")).await?;
        let rows = text.fetch_all(&mut connection).await?;
        connection.close().await?;
        rows.iter().map(|row| row.try_get_unchecked(0)).collect()
    } else {
        let server = server.replacen("mariadb:", "mysql:", 1);
        let mut connection = MySqlConnection::connect(&server).await?;
        let rows = text.fetch_all(&mut connection).await?;
        connection.close().await?;
        rows.iter().map(|row| row.try_get_unchecked(0)).collect()
    }
}
