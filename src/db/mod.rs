//! The database: connecting, transactions, and whatever differs between engines.
//!
//! Nothing outside this module asks which engine it is.

mod batch;
mod connect;
mod dialect;
mod error;
mod pool;
mod schema;
mod script;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    QueryResult, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};

use crate::failure::Failure;

pub use batch::{Column, Rows, documents, ids, read_documents, rows};
pub use connect::ConnectError;
pub use dialect::{adding, delete, insert_missing, integer, lock, lock_rows, set, statement};
pub use error::{is_transient, is_unique_violation};
pub use schema::{MigrateError, Step};
pub use script::Script;

/// How often a write transaction is begun at most.
const ATTEMPTS: u32 = 8;

/// How long connections that are still in use may keep the program from its end.
const GOODBYE: Duration = Duration::from_secs(2);

/// For how long a write transaction is begun anew.
const PATIENCE: Duration = Duration::from_secs(5);

/// A database: one for reading, one for writing, which on a server are the same pool.
///
/// Clones share their connections.
#[derive(Debug, Clone)]
pub struct Db {
    reader: DatabaseConnection,
    writer: DatabaseConnection,
    lock: schema::Lock,
}

impl Db {
    /// For single statements that only read. Each sees all that was committed before it.
    pub fn read(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// Runs `verb` in a write transaction and commits when it succeeds.
    ///
    /// Begins anew, a bounded number of times, when the transaction loses against another one, or
    /// its connection before the commit: `verb` must do nothing that a rollback does not undo. A connection that dies at the commit
    /// gives [`Code::OutcomeUnknown`](crate::failure::Code::OutcomeUnknown).
    ///
    /// Written `db.write(|transaction| async move { … })`; what the block uses from outside must
    /// be a reference or `Copy`. (An async closure would read better, but the compiler cannot yet
    /// prove its future `Send`.)
    pub async fn write<T, F>(&self, verb: impl Fn(Transaction) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let begun = Instant::now();
        let mut attempt = 1;
        loop {
            let again = || attempt < ATTEMPTS && begun.elapsed() < PATIENCE;
            match self.attempt(&verb).await {
                Err(failure) if error::may_be_tried_again(&failure) && again() => {
                    pause(attempt).await;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn attempt<T, F>(&self, verb: &impl Fn(Transaction) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let transaction = Transaction(Arc::new(self.begin().await?));
        let outcome = verb(transaction.clone()).await;
        let transaction = Arc::into_inner(transaction.0)
            .ok_or_else(|| Failure::internal("a transaction was kept beyond its end"))?;
        match outcome {
            Ok(value) => {
                transaction.commit().await.map_err(error::at_commit)?;
                Ok(value)
            }
            Err(failure) => {
                // The verb's failure says more than that of a rollback on a dead connection.
                let _ = transaction.rollback().await;
                Err(failure)
            }
        }
    }

    /// Begins a write transaction. SQLite takes its write lock at once: a transaction that reads
    /// first and then writes would fail where it has to wait.
    async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.writer.begin_with_options(options).await
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), DbErr> {
        self.reader.execute_unprepared("SELECT 1").await.map(drop)
    }

    /// Lets the connections go, after their work is done or has taken too long.
    pub async fn close(&self) {
        for pool in [&self.reader, &self.writer] {
            match tokio::time::timeout(GOODBYE, pool.clone().close()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "closing the database failed"),
                Err(_) => tracing::warn!("connections to the database were still in use"),
            }
        }
    }
}

/// A write transaction on loan to a verb; ended by [`Db::write`].
#[derive(Debug, Clone)]
pub struct Transaction(Arc<DatabaseTransaction>);

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
        self.0.query_one_raw(statement).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.0.query_all_raw(statement).await
    }
}

/// Waits a little longer after each attempt, at random so that rivals part.
async fn pause(attempt: u32) {
    let most = 5_u64 << attempt;
    let millis = rand::rng().random_range(1..=most);
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
