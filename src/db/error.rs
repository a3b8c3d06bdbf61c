//! Classifying database errors: what may be retried, and which failure the caller gets.

use std::time::Duration;

use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr, SqlErr};
use sqlx::mysql::MySqlDatabaseError;
use sqlx::sqlite::SqliteError;

use super::link::{Disconnected, Lost};
use crate::failure::{Code, Failure};

/// Whether a unique key refused the row.
pub fn is_unique_violation(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}

/// Whether a retry may succeed: after a deadlock, a serialization failure, a lock timeout, or from
/// a database that is busy, shutting down, or read-only for now.
fn is_transient(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else {
        return false;
    };
    if let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() {
        return matches!(
            error.number(),
            // Lock timeout, deadlock (also between nodes of a cluster), row changed since it was
            // read, savepoint gone because the transaction was rolled back.
            1205 | 1213 | 1020 | 1305
            // Too many connections, shutting down, interrupted, killed, node not in its cluster.
            | 1040 | 1053 | 1317 | 1927 | 1047
            // Statement timeout of MariaDB, of MySQL.
            | 1969 | 3024
            // Read only.
            | 1290 | 1792 | 1836
        );
    }
    let Some(code) = error.code() else {
        return false;
    };
    if error.try_downcast_ref::<SqliteError>().is_some() {
        // The lowest byte of an extended code is the primary code.
        const BUSY: i32 = 5;
        const LOCKED: i32 = 6;
        return code
            .parse::<i32>()
            .is_ok_and(|code| matches!(code & 0xff, BUSY | LOCKED));
    }
    matches!(
        code.as_ref(),
        // Serialization failure, deadlock, lock timeout, statement timeout.
        "40001" | "40P01" | "55P03" | "57014"
        // Shutting down, crashed, starting, too many connections, read only.
        | "57P01" | "57P02" | "57P03" | "53300" | "25006"
    )
}

/// Whether the connection has ended, with or without an error message of the server.
fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolClosed => true,
        sqlx::Error::Database(error) => match error.try_downcast_ref::<MySqlDatabaseError>() {
            Some(error) => matches!(error.number(), 1053 | 1317 | 1927 | 1047),
            None => error.code().is_some_and(|code| code.starts_with("57P")),
        },
        _ => false,
    }
}

/// Whether connecting may succeed later (unlike after a wrong password).
pub(super) fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        error => is_transient(error),
    }
}

/// Whether a retry may succeed, perhaps on another connection.
pub(super) fn is_temporary(error: &DbErr) -> bool {
    match error {
        // An update with a condition found that another transaction was faster.
        DbErr::RecordNotUpdated => true,
        // The host was lost. The next attempt waits for another one, or fails.
        DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed) => true,
        error => sqlx_error(error).is_some_and(|error| is_transient(error) || is_lost(error)),
    }
}

/// Whether a transaction failed because of a conflict or a lost connection, and was certainly not
/// committed.
pub(super) fn may_be_tried_again(failure: &Failure) -> bool {
    failure.code != Code::OutcomeUnknown && db_error(failure).is_some_and(is_temporary)
}

/// The failure for an error of the commit itself. After a conflict nothing was committed. After any
/// other error the outcome is unknown: the connection may have been lost, a Galera node may have
/// lost the other nodes, which have committed, or a disk may have failed.
pub(super) fn at_commit(error: DbErr) -> Failure {
    if sqlx_error(&error).is_some_and(|error| is_transient(error) && !is_lost(error)) {
        return Failure::from(error);
    }
    unknown("The database failed during the commit.").caused_by(error)
}

/// The failure if it is unknown whether the transaction was committed.
pub(super) fn unknown(detail: &'static str) -> Failure {
    Failure::new(Code::OutcomeUnknown, detail).retry_after(Duration::from_secs(1))
}

impl From<DbErr> for Failure {
    /// Overloaded if there was no connection or too many conflicts; any other error is internal.
    fn from(error: DbErr) -> Failure {
        if Disconnected::is_in(&error) {
            // The loss of the connection was logged once, so the error is not added here.
            return Failure::overloaded("The database cannot be reached at the moment.");
        }
        let unavailable = matches!(error, DbErr::ConnectionAcquire(_) | DbErr::Conn(_))
            || is_temporary(&error)
            || matches!(sqlx_error(&error), Some(sqlx::Error::PoolTimedOut));
        if unavailable {
            Failure::overloaded("The database cannot process the request at the moment.")
                .caused_by(error)
        } else {
            Failure::internal(error)
        }
    }
}

impl From<Disconnected> for Failure {
    fn from(disconnected: Disconnected) -> Failure {
        DbErr::from(disconnected).into()
    }
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Failure {
        DbErr::from(lost).into()
    }
}

fn db_error(failure: &Failure) -> Option<&DbErr> {
    failure.source.as_deref()?.downcast_ref::<DbErr>()
}

fn sqlx_error(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn execution(error: sqlx::Error) -> DbErr {
        DbErr::Exec(RuntimeErr::SqlxError(error.into()))
    }

    #[test]
    fn a_connection_that_dies_is_harmless_until_the_commit() {
        let died = || execution(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()));
        assert_eq!(at_commit(died()).code, Code::OutcomeUnknown);
        assert!(!may_be_tried_again(&at_commit(died())));
        assert_eq!(Failure::from(died()).code, Code::Overloaded);
        assert!(may_be_tried_again(&Failure::from(died())));
        let mistake = || execution(sqlx::Error::RowNotFound);
        assert_eq!(at_commit(mistake()).code, Code::OutcomeUnknown);
        assert_eq!(Failure::from(mistake()).code, Code::Internal);
        assert!(!may_be_tried_again(&Failure::from(mistake())));
    }
}
