//! The database: connecting, transactions, and everything that differs between engines.
//!
//! Code outside this module does not ask which engine is in use.

mod backup;
mod batch;
mod connect;
mod dialect;
mod error;
mod file;
mod host;
mod lease;
mod link;
mod pool;
mod readiness;
mod schema;
mod script;
mod sweep;

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use log::LevelFilter;
use rand::RngExt as _;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    QueryResult, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};
use tokio::time::timeout;

use crate::failure::Failure;
use link::{Hold, Link};

pub use backup::{BackupError, Contents, Restoring, backup};
pub use batch::{
    Column, PACKED, Packed, Rows, among, document_rows, documents, documents_of, ids, joined,
    packed, read_documents, rows,
};
pub use connect::ConnectError;
pub use dialect::{
    adding, delete, finds, insert_missing, integer, is_led_by_rows, join, join_type, lock,
    lock_rows, moment, selective, set, statement, unindexed,
};
pub use error::is_unique_violation;
pub use link::NoHost;
pub use readiness::{Readiness, Report};
pub use schema::{MigrateError, Step};
pub use script::Script;
pub use sweep::{STEP, sweep};

/// The most attempts of a transaction or a read.
///
/// On a Galera cluster a transaction may well lose against others ten times in a row.
const ATTEMPTS: u32 = 24;

/// For how long a transaction or a read is retried.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long a commit may take. PostgreSQL with synchronous replication waits forever for a standby
/// that is down.
const COMMIT: Duration = Duration::from_secs(5);

/// A savepoint at the beginning of each transaction on a Galera cluster. Releasing it before the
/// commit fails if it is no longer the same transaction.
///
/// A Galera node may roll a transaction back between two statements without the client noticing.
/// The following statements would then be a new transaction, without the checks of the first ones.
/// (Writers there have autocommit off, so that those statements are not committed one by one.)
const MARK: &str = "SAVEPOINT begun";
const MARK_HOLDS: &str = "RELEASE SAVEPOINT begun";

/// How many prepared statements a connection caches.
const STATEMENTS: usize = 256;

/// A database. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Db {
    reader: Reader,
    lock: schema::Lock,
    /// The lock that tells other processes that the file is in use.
    _in_use: Option<Arc<File>>,
}

impl Db {
    /// For single statements that only read. Each sees everything that was committed before it.
    pub fn read(&self) -> &Reader {
        &self.reader
    }

    /// Runs `verb` in a write transaction and commits if it succeeds.
    ///
    /// Retries a bounded number of times if the transaction loses against another one or loses its
    /// connection before the commit, so `verb` must do nothing that a rollback does not undo. If
    /// the commit itself fails for another reason than a conflict, the failure is
    /// [`Code::OutcomeUnknown`](crate::failure::Code::OutcomeUnknown).
    ///
    /// Written `db.write(|transaction| async move { … })`; the block may capture only references
    /// and `Copy` values. (An async closure would read better, but the compiler cannot yet prove
    /// its future `Send`.)
    pub async fn write<T, F>(&self, verb: impl Fn(Transaction) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let mut attempts = Attempts::default();
        loop {
            match self.attempt(&verb).await {
                Err(failure) if error::may_be_tried_again(&failure) && attempts.remain() => {
                    attempts.pause().await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn attempt<T, F>(&self, verb: &impl Fn(Transaction) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let mut hold = self.reader.0.connected().await?;
        let (mut outcome, transaction) = hold.begin_and(verb).await??;
        if hold.pools.on_cluster() {
            let holds = hold.unless_lost(transaction.execute_unprepared(MARK_HOLDS));
            // If the first statements were rolled back, the outcome of the others means nothing.
            if let Err(error) = holds.await? {
                outcome = Err(error.into());
            }
        }
        match outcome {
            Ok(value) => {
                let committed = hold.unless_lost(timeout(COMMIT, transaction.commit()));
                match committed.await {
                    Ok(Ok(Ok(()))) => Ok(value),
                    Ok(Ok(Err(error))) => Err(error::at_commit(error)),
                    Ok(Err(_)) => Err(error::unknown("The commit took too long.")),
                    Err(link::Lost) => Err(error::unknown(
                        "The connection to the database was lost during the commit.",
                    )),
                }
            }
            Err(failure) => {
                // If the rollback fails, too, the verb's failure is the one that matters.
                let _ = hold.unless_lost(transaction.rollback()).await;
                Err(failure)
            }
        }
    }

    /// Updates the planner's statistics of these tables after much was inserted. (Only PostgreSQL
    /// needs it: autovacuum would do so a minute later.)
    ///
    /// Not for empty tables: PostgreSQL would keep scanning them while they grow.
    pub async fn analyze(&self, tables: &[&str]) -> Result<(), DbErr> {
        if self.reader.0.engine == DbBackend::Postgres {
            let sql = format!("ANALYZE {}", tables.join(", "));
            self.reader.execute_unprepared(&sql).await?;
        }
        Ok(())
    }

    /// Allows the planner to scan whole tables in the next statements. Has an effect only if there
    /// is one connection.
    pub async fn allow_scans(&self) -> Result<(), DbErr> {
        if self.reader.0.engine == DbBackend::Postgres {
            let sql = "SET enable_seqscan = on";
            self.reader.execute_unprepared(sql).await?;
        }
        Ok(())
    }

    /// Closes the connections once their work is done, or after a timeout.
    pub async fn close(&self) {
        self.reader.0.close().await;
    }
}

/// Has each statement logged at the level TRACE, without its values. Slow statements are not logged
/// separately: sqlx would log them at a level that every filter lets through.
fn logged<O: sqlx::ConnectOptions>(options: O) -> O {
    options
        .log_statements(LevelFilter::Trace)
        .log_slow_statements(LevelFilter::Off, Duration::MAX)
}

impl Hold {
    /// Begins a transaction and runs `verb` in it.
    async fn begin_and<T, F>(
        &mut self,
        verb: &impl Fn(Transaction) -> F,
    ) -> Result<Result<(Result<T, Failure>, DatabaseTransaction), Failure>, link::Lost>
    where
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let (writer, on_cluster) = (self.pools.writer.clone(), self.pools.on_cluster());
        self.unless_lost(async move {
            // SQLite takes its write lock at once (BEGIN IMMEDIATE): a transaction that reads first
            // could not wait for the lock later, and would fail.
            let options = TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..TransactionOptions::default()
            };
            let transaction = Transaction(Arc::new(writer.begin_with_options(options).await?));
            if on_cluster {
                transaction.execute_unprepared(MARK).await?;
            }
            let outcome = verb(transaction.clone()).await;
            let transaction = Arc::into_inner(transaction.0)
                .ok_or_else(|| Failure::internal("a verb kept its transaction beyond its end"))?;
            Ok((outcome, transaction))
        })
        .await
    }
}

/// Counts attempts, and decides whether there is another one.
struct Attempts {
    begun: Instant,
    made: u32,
}

impl Default for Attempts {
    fn default() -> Attempts {
        Attempts {
            begun: Instant::now(),
            made: 1,
        }
    }
}

impl Attempts {
    fn remain(&self) -> bool {
        self.made < ATTEMPTS && self.begun.elapsed() < PATIENCE
    }

    /// Waits a little longer after each attempt, with jitter, so that rivals do not meet again.
    async fn pause(&mut self) {
        let most = 5_u64 << self.made.min(5);
        let millis = rand::rng().random_range(1..=most);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        self.made += 1;
    }
}

/// Runs single statements that only read; see [`Db::read`].
#[derive(Debug, Clone)]
pub struct Reader(Link);

impl Reader {
    /// Runs the statement, and retries it after a conflict or a lost connection. Reading twice does
    /// no harm.
    async fn ask<T>(
        &self,
        statement: Statement,
        ask: fn(DatabaseConnection, Statement) -> BoxFuture<'static, Result<T, DbErr>>,
    ) -> Result<T, DbErr> {
        let mut attempts = Attempts::default();
        loop {
            let mut hold = self.0.connected().await?;
            let asked = ask(hold.pools.reader.clone(), statement.clone());
            match hold.unless_lost(asked).await {
                Ok(Err(error)) if error::is_temporary(&error) && attempts.remain() => {
                    attempts.pause().await;
                }
                // The next attempt waits until a host is connected again.
                Err(link::Lost) if attempts.remain() => {}
                outcome => return outcome?,
            }
        }
    }
}

impl Reader {
    /// Reads the rows of a statement one after the other, so that they need not fit into memory
    /// together. `take` adds a row to what `begin` has made; after a conflict or a lost connection
    /// both begin again.
    pub async fn fold<T: Send>(
        &self,
        statement: Statement,
        begin: impl Fn() -> T + Send + Sync,
        take: impl Fn(&mut T, QueryResult) -> Result<(), DbErr> + Send + Sync,
    ) -> Result<T, DbErr> {
        let mut attempts = Attempts::default();
        loop {
            let mut hold = self.0.connected().await?;
            let (pool, mut folded) = (hold.pools.reader.clone(), begin());
            let statement = statement.clone();
            let reading = async {
                let mut rows = sea_orm::StreamTrait::stream_raw(&pool, statement).await?;
                while let Some(row) = rows.try_next().await? {
                    take(&mut folded, row)?;
                }
                Ok::<(), DbErr>(())
            };
            match hold.unless_lost(reading).await {
                Ok(Ok(())) => return Ok(folded),
                Ok(Err(error)) if error::is_temporary(&error) && attempts.remain() => {
                    attempts.pause().await;
                }
                // The next attempt waits until a host is connected again.
                Err(link::Lost) if attempts.remain() => {}
                Ok(Err(error)) => return Err(error),
                Err(lost) => return Err(lost.into()),
            }
        }
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Reader {
    fn get_database_backend(&self) -> DbBackend {
        self.0.engine
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.ask(statement, |db, statement| {
            Box::pin(async move { db.execute_raw(statement).await })
        })
        .await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let statement = Statement::from_string(self.0.engine, sql);
        self.ask(statement, |db, statement| {
            Box::pin(async move { db.execute_unprepared(&statement.sql).await })
        })
        .await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.ask(statement, |db, statement| {
            Box::pin(async move { db.query_one_raw(statement).await })
        })
        .await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.ask(statement, |db, statement| {
            Box::pin(async move { db.query_all_raw(statement).await })
        })
        .await
    }
}

/// A write transaction, as a verb sees it; [`Db::write`] begins and ends it.
#[derive(Debug, Clone)]
pub struct Transaction(Arc<DatabaseTransaction>);

impl Transaction {
    /// Takes the lock of this name until the end of this transaction, on all nodes of a cluster.
    /// Other transactions that ask for it wait, or are retried.
    ///
    /// It is an update of a row in the table `locks`. Row locks are known to one Galera node only,
    /// but of two transactions that write the same row on different nodes only one can commit.
    pub async fn exclude(&self, name: &str) -> Result<(), DbErr> {
        let adding = adding(self, "locks", "name", &["taken"]);
        let sql = format!("INSERT INTO locks (name, taken) VALUES (?, 1) {adding}");
        let taking = statement(self, &sql, [name.into()]);
        self.execute_raw(taking).await.map(drop)
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        self.0.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.0.execute_raw(statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.0.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        // All rows: reading only the first, the driver would miss a following error with which a
        // Galera node reports that it has rolled the transaction back. Later statements would then
        // be committed without the first ones.
        let rows = self.0.query_all_raw(statement).await?;
        Ok(rows.into_iter().next())
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.0.query_all_raw(statement).await
    }
}
