//! What a database error means to the caller.

use sea_orm::{DbErr, RuntimeErr, SqlErr};

use crate::failure::{Code, Failure};

/// Whether a unique key refused the row.
pub fn is_unique_violation(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}

/// Whether the same transaction may succeed when it is tried again: deadlock, serialization
/// failure, lock timeout, a busy database.
pub fn is_transient(error: &DbErr) -> bool {
    // A guarded update found that somebody else was faster.
    if matches!(error, DbErr::RecordNotUpdated) {
        return true;
    }
    let Some(sqlx::Error::Database(error)) = sqlx_error(error) else {
        return false;
    };
    let Some(code) = error.code() else {
        return false;
    };
    // SQLite's extended codes keep the primary one in their lowest byte: 5 is SQLITE_BUSY, 6
    // SQLITE_LOCKED.
    let sqlite = error
        .try_downcast_ref::<sqlx::sqlite::SqliteError>()
        .is_some();
    match code.parse::<i32>() {
        Ok(code) if sqlite => matches!(code & 0xff, 5 | 6),
        _ => matches!(code.as_ref(), "40001" | "40P01" | "55P03"),
    }
}

/// Whether a verb failed because its transaction lost against another.
pub(super) fn lost_a_conflict(failure: &Failure) -> bool {
    db_error(failure).is_some_and(is_transient)
}

/// An error of the commit itself. Where the connection died, nobody knows what became of it.
pub(super) fn at_commit(error: DbErr) -> Failure {
    match sqlx_error(&error) {
        Some(sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_)) => {
            Failure::new(
                Code::OutcomeUnknown,
                "The connection to the database was lost during the commit.",
            )
            .retry_after(std::time::Duration::from_secs(1))
            .caused_by(error)
        }
        _ => Failure::from(error),
    }
}

impl From<DbErr> for Failure {
    /// No connection to be had, or too many conflicts: overloaded. Anything else is our fault.
    fn from(error: DbErr) -> Failure {
        let unavailable = matches!(error, DbErr::ConnectionAcquire(_) | DbErr::Conn(_))
            || is_transient(&error)
            || matches!(
                sqlx_error(&error),
                Some(sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed)
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
        assert_eq!(Failure::from(died()).code, Code::Overloaded);
        let mistake = || execution(sqlx::Error::RowNotFound);
        assert_eq!(at_commit(mistake()).code, Code::Internal);
        assert_eq!(Failure::from(mistake()).code, Code::Internal);
    }
}
