//! What a database error means to the caller.

use sea_orm::{DbErr, RuntimeErr, SqlErr};
use sqlx::mysql::MySqlDatabaseError;
use sqlx::sqlite::SqliteError;

use crate::failure::{Code, Failure};

/// Whether a unique key refused the row.
pub fn is_unique_violation(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}

/// Whether the same transaction may succeed when it is tried again: deadlock, serialization
/// failure, lock timeout, a busy database, or one that is about to stop or cannot be written now.
pub fn is_transient(error: &DbErr) -> bool {
    // A guarded update found that somebody else was faster.
    if matches!(error, DbErr::RecordNotUpdated) {
        return true;
    }
    let Some(sqlx::Error::Database(error)) = sqlx_error(error) else {
        return false;
    };
    if let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() {
        return matches!(
            error.number(),
            // Lock timeout, deadlock (of a cluster, too), changed since it was read.
            1205 | 1213 | 1020
            // Too many connections, shutting down, interrupted, killed, not ready in its cluster.
            | 1040 | 1053 | 1317 | 1927 | 1047
            // Read only.
            | 1290 | 1792 | 1836
        );
    }
    let Some(code) = error.code() else {
        return false;
    };
    if error.try_downcast_ref::<SqliteError>().is_some() {
        // Extended codes keep the primary one in their lowest byte.
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

/// Whether the connection ended, with or without a last word.
fn is_lost(error: &DbErr) -> bool {
    match sqlx_error(error) {
        Some(sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_)) => true,
        Some(sqlx::Error::Database(error)) => {
            match error.try_downcast_ref::<MySqlDatabaseError>() {
                Some(error) => matches!(error.number(), 1053 | 1317 | 1927 | 1047),
                None => error.code().is_some_and(|code| code.starts_with("57P")),
            }
        }
        _ => false,
    }
}

/// Whether a verb failed because its transaction lost against another, or lost its connection,
/// and is certain not to have been committed.
pub(super) fn may_be_tried_again(failure: &Failure) -> bool {
    failure.code != Code::OutcomeUnknown
        && db_error(failure).is_some_and(|error| is_transient(error) || is_lost(error))
}

/// An error of the commit itself. Where the connection died, nobody knows what became of it.
pub(super) fn at_commit(error: DbErr) -> Failure {
    if is_lost(&error) {
        let detail = "The connection to the database was lost during the commit.";
        return Failure::new(Code::OutcomeUnknown, detail)
            .retry_after(std::time::Duration::from_secs(1))
            .caused_by(error);
    }
    Failure::from(error)
}

impl From<DbErr> for Failure {
    /// No connection to be had, or too many conflicts: overloaded. Anything else is our fault.
    fn from(error: DbErr) -> Failure {
        let unavailable = matches!(error, DbErr::ConnectionAcquire(_) | DbErr::Conn(_))
            || is_transient(&error)
            || is_lost(&error)
            || matches!(
                sqlx_error(&error),
                Some(sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed)
            );
        if unavailable {
            Failure::overloaded("The database cannot take the request now.").caused_by(error)
        } else {
            Failure::internal(error)
        }
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
        assert_eq!(at_commit(mistake()).code, Code::Internal);
        assert_eq!(Failure::from(mistake()).code, Code::Internal);
        assert!(!may_be_tried_again(&Failure::from(mistake())));
    }
}
