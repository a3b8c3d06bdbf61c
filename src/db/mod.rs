//! The database: connecting, transactions, and whatever differs between engines.
//!
//! Nothing outside this module asks which engine it is.

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
pub use batch::{Column, Rows, among, documents, ids, read_documents, rows};
pub use connect::ConnectError;
pub use dialect::{
    adding, delete, finds, insert_missing, integer, join, join_type, lock, lock_rows, moment, set,
    statement, unindexed,
};
pub use error::is_unique_violation;
pub use link::NoHost;
pub use readiness::{Readiness, Report};
pub use schema::{MigrateError, Step};
pub use script::Script;
pub use sweep::{STEP, sweep};

/// How often something is tried at most.
///
/// On a cluster a process may well lose against others ten times in a row.
const ATTEMPTS: u32 = 24;

/// For how long something is tried anew.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long a commit may take. A primary whose standby has gone keeps it waiting for ever.
const COMMIT: Duration = Duration::from_secs(5);

/// Marks a transaction on a cluster, and makes sure that it is still the same one.
///
/// A Galera node may take a transaction back between two statements, and not every answer of its
/// protocol has room to say so: the statements that follow would be a transaction of their own,
/// without what the first ones have checked. (Writers there have autocommit off, or each of them
/// would be committed at once.)
const MARK: &str = "SAVEPOINT begun";
const MARK_HOLDS: &str = "RELEASE SAVEPOINT begun";

/// How many prepared statements a connection keeps.
const STATEMENTS: usize = 256;

/// A database. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Db {
    reader: Reader,
    lock: schema::Lock,
    /// Tells other processes that a file is in use.
    _in_use: Option<Arc<File>>,
}

impl Db {
    /// For single statements that only read. Each sees all that was committed before it.
    pub fn read(&self) -> &Reader {
        &self.reader
    }

    /// Runs `verb` in a write transaction and commits when it succeeds.
    ///
    /// Begins anew, a bounded number of times, when the transaction loses against another one, or
    /// its connection before the commit: `verb` must do nothing that a rollback does not undo. A
    /// commit that fails in another way gives [`Code::OutcomeUnknown`](crate::failure::Code::OutcomeUnknown).
    ///
    /// Written `db.write(|transaction| async move { … })`; what the block uses from outside must
    /// be a reference or `Copy`. (An async closure would read better, but the compiler cannot yet
    /// prove its future `Send`.)
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
        let mut hold = self.reader.0.here().await?;
        let (mut outcome, transaction) = hold.begin_and(verb).await??;
        if hold.pools.on_cluster() {
            let holds = hold.unless_lost(transaction.execute_unprepared(MARK_HOLDS));
            // Neither success nor failure means anything where the first statements are missing.
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
                    Err(link::Lost) => {
                        Err(error::unknown("The database was lost during the commit."))
                    }
                }
            }
            Err(failure) => {
                // The verb's failure says more than that of a rollback on a dead connection.
                let _ = hold.unless_lost(transaction.rollback()).await;
                Err(failure)
            }
        }
    }

    /// Tells the planner what is in these tables now, as after loading much. By itself it learns
    /// that a minute later, or has no need to.
    ///
    /// Never of an empty table: PostgreSQL would go on reading it from end to end as it grows.
    pub async fn analyze(&self, tables: &[&str]) -> Result<(), DbErr> {
        if self.reader.0.engine == DbBackend::Postgres {
            let sql = format!("ANALYZE {}", tables.join(", "));
            self.reader.execute_unprepared(&sql).await?;
        }
        Ok(())
    }

    /// Lets the next statements read tables from end to end, where there is one connection.
    pub async fn allow_scans(&self) -> Result<(), DbErr> {
        if self.reader.0.engine == DbBackend::Postgres {
            let sql = "SET enable_seqscan = on";
            self.reader.execute_unprepared(sql).await?;
        }
        Ok(())
    }

    /// Lets the connections go, after their work is done or has taken too long.
    pub async fn close(&self) {
        self.reader.0.close().await;
    }
}

/// Where `log.filter` lets `sqlx=trace` through, each statement is logged, without its values. A
/// slow one is no exception: it would show under any filter.
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
            // SQLite takes its write lock at once: a transaction that reads first and then writes
            // would fail where it has to wait.
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
                .ok_or_else(|| Failure::internal("a transaction was kept beyond its end"))?;
            Ok((outcome, transaction))
        })
        .await
    }
}

/// How often and for how long something was tried.
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

    /// Waits a little longer after each attempt, at random so that rivals part.
    async fn pause(&mut self) {
        let most = 5_u64 << self.made.min(5);
        let millis = rand::rng().random_range(1..=most);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        self.made += 1;
    }
}

/// Where single statements are read from; see [`Db::read`].
#[derive(Debug, Clone)]
pub struct Reader(Link);

impl Reader {
    /// Asks again when the connection was lost: reading twice does no harm.
    async fn ask<T>(
        &self,
        statement: Statement,
        ask: fn(DatabaseConnection, Statement) -> BoxFuture<'static, Result<T, DbErr>>,
    ) -> Result<T, DbErr> {
        let mut attempts = Attempts::default();
        loop {
            let mut hold = self.0.here().await?;
            let asked = ask(hold.pools.reader.clone(), statement.clone());
            match hold.unless_lost(asked).await {
                Ok(Err(error)) if error::is_temporary(&error) && attempts.remain() => {
                    attempts.pause().await;
                }
                // The next attempt waits for its return.
                Err(link::Lost) if attempts.remain() => {}
                outcome => return outcome?,
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

/// A write transaction on loan to a verb; ended by [`Db::write`].
#[derive(Debug, Clone)]
pub struct Transaction(Arc<DatabaseTransaction>);

impl Transaction {
    /// Excludes all others that ask for the lock of this name, on every node, until the end of
    /// this transaction: some wait, and some have to begin anew.
    ///
    /// Locks of rows are their node's alone, but of two writes of one row only one is committed.
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
        // The driver stops at the first row, and never sees when an error follows: that a Galera
        // node has taken the transaction back. What comes then would be committed by itself.
        let rows = self.0.query_all_raw(statement).await?;
        Ok(rows.into_iter().next())
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.0.query_all_raw(statement).await
    }
}
