//! SQL that differs between engines, in its text or in the form that its planner needs.

use sea_orm::sea_query::{CaseStatement, Expr, LockType, SelectStatement};
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, EntityTrait, ExprTrait as _, JoinType, QuerySelect as _,
    Select, Statement, Value,
};
use uuid::Uuid;

use super::batch::{Column, Rows, rows};
use crate::clock::{Clock, Time};

/// A statement with its values: `sql` has one `?` for each, and no other `?`. On PostgreSQL they
/// become `$1`, `$2`, ….
pub fn statement(
    db: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Statement {
    let engine = db.get_database_backend();
    match engine {
        DbBackend::Postgres => Statement::from_sql_and_values(engine, numbered(sql), values),
        _ => Statement::from_sql_and_values(engine, sql, values),
    }
}

/// Replaces each `?` by `$1`, `$2`, ….
fn numbered(sql: &str) -> String {
    let mut parts = sql.split('?');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.enumerate().fold(first, |sql, (index, part)| {
        format!("{sql}${}{part}", index + 1)
    })
}

/// The expression cast to a 64-bit integer. (On some engines `SUM` has a wider type.)
pub fn integer(db: &impl ConnectionTrait, expression: &str) -> String {
    match db.get_database_backend() {
        DbBackend::MySql => format!("CAST({expression} AS SIGNED)"),
        _ => format!("CAST({expression} AS bigint)"),
    }
}

/// An expression for the current time of the database's clock, in microseconds since 1970.
pub(super) fn now_micros(db: &impl ConnectionTrait) -> &'static str {
    match db.get_database_backend() {
        DbBackend::MySql => "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
        DbBackend::Postgres => "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)",
        _ => "CAST(unixepoch('now', 'subsec') * 1000000 AS bigint)",
    }
}

/// The current time by the clock that all processes of the database share: that of the database
/// server, plus the span by which a test has moved `own`. On SQLite it is `own`: all processes run
/// on one machine.
pub async fn moment(db: &impl ConnectionTrait, own: &Clock) -> Result<Time, DbErr> {
    if db.get_database_backend() == DbBackend::Sqlite {
        return Ok(own.now());
    }
    let sql = format!("SELECT {}", now_micros(db));
    let row = db.query_one_raw(statement(db, &sql, [])).await?;
    let missing = || DbErr::RecordNotFound("the time".to_owned());
    let there: Time = row.ok_or_else(missing)?.try_get_by_index(0)?;
    Ok(there.after(own.moved()))
}

/// The type of a join whose left side must be read first, because it leads to the few rows that are
/// needed of a large table: `STRAIGHT_JOIN` on MariaDB, which might otherwise begin with the large
/// table, and `JOIN` elsewhere.
pub fn join_type(db: &impl ConnectionTrait) -> JoinType {
    match db.get_database_backend() {
        DbBackend::MySql => JoinType::StraightJoin,
        _ => JoinType::InnerJoin,
    }
}

/// A condition that is true if `subquery` finds a row, evaluated separately for each row of the
/// outer query. The subquery selects `value` of at most one row.
///
/// - On PostgreSQL: `EXISTS (subquery OFFSET 0)`.
/// - Elsewhere: `value = (subquery)`.
pub fn finds(db: &impl ConnectionTrait, value: Expr, mut subquery: SelectStatement) -> Expr {
    match db.get_database_backend() {
        // Without OFFSET, PostgreSQL turns EXISTS into a join and may begin with either side. For
        // an equation it expects a single matching row, and reads a whole table to fill a page.
        DbBackend::Postgres => Expr::exists(subquery.offset(0).take()),
        // MariaDB might evaluate EXISTS or IN for all rows first.
        _ => value.eq(subquery),
    }
}

/// The same condition in a form that no index can serve, so that the planner follows the index of
/// another condition or of the order, and only filters by this one.
///
/// - On SQLite: `CASE WHEN condition THEN 1 ELSE 0 END = 1`.
/// - On PostgreSQL: `COALESCE(condition, FALSE)`.
/// - On MariaDB and MySQL it stays as it is: queries there name the index with `FORCE INDEX`.
pub fn unindexed(db: &impl ConnectionTrait, condition: Expr) -> Expr {
    match db.get_database_backend() {
        DbBackend::MySql => condition,
        // PostgreSQL assumes a selectivity of 50 % for COALESCE. It therefore expects to fill the
        // page soon by following the index, instead of collecting and sorting the matching rows.
        DbBackend::Postgres => Expr::cust_with_expr("COALESCE($1, FALSE)", condition),
        _ => {
            let case = CaseStatement::new().case(condition, Expr::cust("1"));
            Expr::Case(Box::new(case.finally(Expr::cust("0")))).eq(Expr::cust("1"))
        }
    }
}

/// The same condition, of which SQLite then assumes that few rows meet it, so that it prefers an index
/// with the column of this condition over an index with those of the other conditions only. The other
/// engines have statistics, or queries name the index.
pub fn selective(db: &impl ConnectionTrait, condition: Expr) -> Expr {
    match db.get_database_backend() {
        DbBackend::Sqlite => Expr::cust_with_expr("unlikely(?)", condition),
        _ => condition,
    }
}

/// Whether a comparison of rows leads the engine to the index that has all its columns in this order.
/// PostgreSQL seeks by such a row, and would prefer any index that it expects to be short. The others
/// seek by columns, or queries name the index.
pub fn is_led_by_rows(db: &impl ConnectionTrait) -> bool {
    db.get_database_backend() == DbBackend::Postgres
}

/// The SQL keyword of [`join_type`].
pub fn join(db: &impl ConnectionTrait) -> &'static str {
    match join_type(db) {
        JoinType::StraightJoin => "STRAIGHT_JOIN",
        _ => "JOIN",
    }
}

/// The query with a lock on the rows it finds, until the end of the transaction: `FOR NO KEY
/// UPDATE` on PostgreSQL, `FOR UPDATE` on MariaDB and MySQL, nothing on SQLite, which has one
/// writer.
///
/// Other transactions may still insert rows with foreign keys to them: a ballot need not wait for a
/// change of its question.
pub fn lock<E: EntityTrait>(db: &impl ConnectionTrait, query: Select<E>) -> Select<E> {
    match db.get_database_backend() {
        DbBackend::Postgres => query.lock(LockType::NoKeyUpdate),
        // Left out on SQLite.
        _ => query.lock_exclusive(),
    }
}

/// Locks the rows of `table` with the `wanted` ids until the end of the transaction, and returns
/// the ids of those that exist. A row that is inserted while this waits for a lock is not among
/// them.
///
/// SQLite has one writer and needs no locks: there it returns `wanted` as it is.
pub async fn lock_rows<const N: usize>(
    db: &impl ConnectionTrait,
    table: &str,
    ids: &[&'static str; N],
    wanted: Vec<[Uuid; N]>,
) -> Result<Vec<[Uuid; N]>, DbErr> {
    let lock = match db.get_database_backend() {
        DbBackend::Postgres => "FOR NO KEY UPDATE OF t",
        DbBackend::MySql => "FOR UPDATE",
        _ => return Ok(wanted),
    };
    let mut rows = Rows::new();
    for row in &wanted {
        rows.push(row, &[]);
    }
    let own = ids.map(|id| format!("t.{id}")).join(", ");
    let sql = format!(
        "SELECT {own} FROM {} {join} {table} t ON {} ORDER BY {own} {lock}",
        id_rows(db, ids),
        same("t", ids),
        join = join(db),
    );
    let found = db.query_all_raw(statement(db, &sql, [rows.to_value()]));
    let mut locked = Vec::new();
    for row in found.await? {
        let mut ids = [Uuid::nil(); N];
        for (index, id) in ids.iter_mut().enumerate() {
            *id = row.try_get_by_index(index)?;
        }
        locked.push(ids);
    }
    Ok(locked)
}

/// The end of an `INSERT … SELECT` into `table` as an upsert: if a row with the same `keys` exists,
/// the new values of `columns` are added to its own.
///
/// - On SQLite and PostgreSQL: `ON CONFLICT (keys) DO UPDATE SET votes = table.votes +
///   excluded.votes`.
/// - On MariaDB and MySQL: `ON DUPLICATE KEY UPDATE votes = table.votes + VALUES(votes)`.
pub fn adding(db: &impl ConnectionTrait, table: &str, keys: &str, columns: &[&str]) -> String {
    let (head, new) = match db.get_database_backend() {
        DbBackend::MySql => ("ON DUPLICATE KEY UPDATE".to_owned(), ["VALUES(", ")"]),
        _ => (
            format!("ON CONFLICT ({keys}) DO UPDATE SET"),
            ["excluded.", ""],
        ),
    };
    let [before, after] = new;
    let sums = columns
        .iter()
        .map(|column| format!("{column} = {table}.{column} + {before}{column}{after}"));
    format!("{head} {}", sums.collect::<Vec<_>>().join(", "))
}

/// Runs an `INSERT … SELECT` that skips rows whose `keys` exist already, but locks those until the
/// end of the transaction. Returns whether all `expected` rows were new.
pub async fn insert_missing(
    db: &impl ConnectionTrait,
    insert: &str,
    keys: &[&str],
    values: impl IntoIterator<Item = Value>,
    expected: u64,
) -> Result<bool, DbErr> {
    let (key, keys) = (keys[0], keys.join(", "));
    let otherwise = match db.get_database_backend() {
        // INSERT IGNORE would hide real errors, and the number of affected rows includes skipped
        // ones. So a skipped row sets LAST_INSERT_ID, which is otherwise 0 here.
        DbBackend::MySql => format!(
            "ON DUPLICATE KEY UPDATE {key} = IF(LAST_INSERT_ID(1), VALUES({key}), VALUES({key}))"
        ),
        // Unlike DO NOTHING, an update locks the row even if its WHERE is false.
        DbBackend::Postgres => {
            format!("ON CONFLICT ({keys}) DO UPDATE SET {key} = excluded.{key} WHERE false")
        }
        _ => format!("ON CONFLICT ({keys}) DO NOTHING"),
    };
    let sql = format!("{insert} {otherwise}");
    let done = db.execute_raw(statement(db, &sql, values)).await?;
    Ok(match db.get_database_backend() {
        DbBackend::MySql => done.last_insert_id() == 0,
        _ => done.rows_affected() == expected,
    })
}

/// A statement that deletes the rows of `table` with the ids in its one parameter, a [`Rows`].
///
/// - On SQLite and PostgreSQL: `DELETE FROM table WHERE (a, b) IN (SELECT a, b FROM {rows})`.
/// - On MariaDB and MySQL: `DELETE t FROM {rows} STRAIGHT_JOIN table t ON t.a = r.a AND t.b = r.b`.
pub fn delete(db: &impl ConnectionTrait, table: &str, ids: &[&'static str]) -> String {
    let rows = id_rows(db, ids);
    match db.get_database_backend() {
        // MariaDB would evaluate a subquery for every row of the table.
        DbBackend::MySql => format!(
            "DELETE t FROM {rows} STRAIGHT_JOIN {table} t ON {}",
            same("t", ids)
        ),
        _ => format!("DELETE FROM {table} WHERE {}", listed(ids, &rows)),
    }
}

/// A statement that sets `column` to its first parameter, in the rows of `table` with the ids in
/// its second one, a [`Rows`].
///
/// - On SQLite and PostgreSQL: `UPDATE table SET column = ? WHERE (a) IN (SELECT a FROM {rows})`.
/// - On MariaDB and MySQL: `UPDATE (SELECT ? AS value) v STRAIGHT_JOIN {rows} STRAIGHT_JOIN table t
///   ON t.a = r.a SET t.column = v.value`.
pub fn set(db: &impl ConnectionTrait, table: &str, column: &str, ids: &[&'static str]) -> String {
    let rows = id_rows(db, ids);
    match db.get_database_backend() {
        // Parameters are bound in the order of the text, and here the join comes before SET.
        DbBackend::MySql => format!(
            "UPDATE (SELECT ? AS value) v STRAIGHT_JOIN {rows} STRAIGHT_JOIN {table} t ON {} \
             SET t.{column} = v.value",
            same("t", ids)
        ),
        _ => format!(
            "UPDATE {table} SET {column} = ? WHERE {}",
            listed(ids, &rows)
        ),
    }
}

fn id_rows(db: &impl ConnectionTrait, ids: &[&'static str]) -> String {
    let columns: Vec<Column> = ids.iter().map(|id| Column::Id(id)).collect();
    rows(db, "r", &columns)
}

fn same(table: &str, ids: &[&str]) -> String {
    let equal: Vec<String> = ids
        .iter()
        .map(|id| format!("{table}.{id} = r.{id}"))
        .collect();
    equal.join(" AND ")
}

fn listed(ids: &[&str], rows: &str) -> String {
    let ids = ids.join(", ");
    format!("({ids}) IN (SELECT {ids} FROM {rows})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_for_postgresql() {
        assert_eq!(numbered("SELECT 1"), "SELECT 1");
        assert_eq!(numbered("a = ? AND b > ?"), "a = $1 AND b > $2");
    }
}
