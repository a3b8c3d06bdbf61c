//! Statements that each engine words in its own way.

use sea_orm::sea_query::{CaseStatement, Expr, LockType, SelectStatement};
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, EntityTrait, ExprTrait as _, JoinType, QuerySelect as _,
    Select, Statement, Value,
};
use uuid::Uuid;

use super::batch::{Column, Rows, rows};
use crate::clock::{Clock, Time};

/// A statement with its values; `sql` holds `?` for each, and nowhere else.
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

/// Writes `$1`, `$2`, … for each `?`.
fn numbered(sql: &str) -> String {
    let mut parts = sql.split('?');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.enumerate().fold(first, |sql, (index, part)| {
        format!("{sql}${}{part}", index + 1)
    })
}

/// The expression as a 64-bit integer; sums are of wider types on some engines.
pub fn integer(db: &impl ConnectionTrait, expression: &str) -> String {
    match db.get_database_backend() {
        DbBackend::MySql => format!("CAST({expression} AS SIGNED)"),
        _ => format!("CAST({expression} AS bigint)"),
    }
}

/// The present moment by the database's clock, in microseconds since 1970.
pub(super) fn now_micros(db: &impl ConnectionTrait) -> &'static str {
    match db.get_database_backend() {
        DbBackend::MySql => "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
        DbBackend::Postgres => "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)",
        _ => "CAST(unixepoch('now', 'subsec') * 1000000 AS bigint)",
    }
}

/// The moment by the clock that all processes of the database share: that of its server, moved as
/// tests have moved `own`. The processes of an SQLite file are on one machine, which has one clock.
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

/// Joins a large table to what leads to its rows, which is read first. MariaDB might begin with
/// the table.
pub fn join_type(db: &impl ConnectionTrait) -> JoinType {
    match db.get_database_backend() {
        DbBackend::MySql => JoinType::StraightJoin,
        _ => JoinType::InnerJoin,
    }
}

/// Whether `subquery`, which finds one `value` at most, finds it. It is asked for each row anew.
pub fn finds(db: &impl ConnectionTrait, value: Expr, mut subquery: SelectStatement) -> Expr {
    match db.get_database_backend() {
        // Without the offset the two are joined, beginning with either; and an equation is taken
        // for true of a single row, for which a whole table is read for a page.
        DbBackend::Postgres => Expr::exists(subquery.offset(0).take()),
        // MariaDB might read all of a set first.
        _ => value.eq(subquery),
    }
}

/// A condition for rows that the index of another one leads to, in a form that no index is for.
/// MariaDB is told that index.
pub fn unindexed(db: &impl ConnectionTrait, condition: Expr) -> Expr {
    match db.get_database_backend() {
        DbBackend::MySql => condition,
        // Taken for true of every other row: so PostgreSQL follows the index as far as the page
        // goes, where it would else sort whatever it takes for little.
        DbBackend::Postgres => Expr::cust_with_expr("COALESCE($1, FALSE)", condition),
        _ => {
            let case = CaseStatement::new().case(condition, Expr::cust("1"));
            Expr::Case(Box::new(case.finally(Expr::cust("0")))).eq(Expr::cust("1"))
        }
    }
}

/// The word for [`join_type`].
pub fn join(db: &impl ConnectionTrait) -> &'static str {
    match join_type(db) {
        JoinType::StraightJoin => "STRAIGHT_JOIN",
        _ => "JOIN",
    }
}

/// The query, keeping what it finds as it is until the transaction ends.
///
/// Others may still refer to those rows: a ballot need not wait for a change of its question.
pub fn lock<E: EntityTrait>(db: &impl ConnectionTrait, query: Select<E>) -> Select<E> {
    match db.get_database_backend() {
        DbBackend::Postgres => query.lock(LockType::NoKeyUpdate),
        // SQLite has one writer, which needs no locks; they are left out there.
        _ => query.lock_exclusive(),
    }
}

/// Keeps those rows of `table` that have these ids as they are until the transaction ends. Gives
/// their ids: a row that appears while this waits for another's lock is not among them.
pub async fn lock_rows<const N: usize>(
    db: &impl ConnectionTrait,
    table: &str,
    ids: &[&'static str; N],
    wanted: Vec<[Uuid; N]>,
) -> Result<Vec<[Uuid; N]>, DbErr> {
    let lock = match db.get_database_backend() {
        DbBackend::Postgres => "FOR NO KEY UPDATE OF t",
        DbBackend::MySql => "FOR UPDATE",
        // There is one writer.
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

/// The end of an INSERT … SELECT: where a row with these keys is there already, the new values of
/// `columns` are added to it.
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

/// Runs an INSERT … SELECT that leaves alone the rows whose `keys` are there already, but keeps
/// them as they are until the transaction ends. Tells whether all `expected` rows were new.
pub async fn insert_missing(
    db: &impl ConnectionTrait,
    insert: &str,
    keys: &[&str],
    values: impl IntoIterator<Item = Value>,
    expected: u64,
) -> Result<bool, DbErr> {
    let (key, keys) = (keys[0], keys.join(", "));
    let otherwise = match db.get_database_backend() {
        // IGNORE would hide real errors, and a row that is left alone counts as affected, too. So
        // it leaves word where the id of a new row would be reported.
        DbBackend::MySql => format!(
            "ON DUPLICATE KEY UPDATE {key} = IF(LAST_INSERT_ID(1), VALUES({key}), VALUES({key}))"
        ),
        // An update that does nothing locks the row all the same, unlike DO NOTHING.
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

/// Deletes the rows of `table` with the ids in the one parameter.
pub fn delete(db: &impl ConnectionTrait, table: &str, ids: &[&'static str]) -> String {
    let rows = id_rows(db, ids);
    match db.get_database_backend() {
        // MariaDB would run a subquery for every row of the table.
        DbBackend::MySql => format!(
            "DELETE t FROM {rows} STRAIGHT_JOIN {table} t ON {}",
            same("t", ids)
        ),
        _ => format!("DELETE FROM {table} WHERE {}", listed(ids, &rows)),
    }
}

/// Sets a column of the rows of `table` with the ids in the second parameter to the first one.
pub fn set(db: &impl ConnectionTrait, table: &str, column: &str, ids: &[&'static str]) -> String {
    let rows = id_rows(db, ids);
    match db.get_database_backend() {
        // MySQL takes parameters in the order of the text, where the join comes first.
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
