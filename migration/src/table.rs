//! Helpers for tables, columns and indexes, alike on all engines.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

/// Begins a table whose text is compared byte by byte on every engine.
///
/// In MySQL's default collation `a` equals `A`, and `é` equals `e`.
pub fn table(manager: &SchemaManager<'_>, name: &'static str) -> TableCreateStatement {
    let mut table = Table::create();
    table.table(name);
    if manager.get_database_backend() == DbBackend::MySql {
        // MariaDB and MySQL have different names for this collation; each executes only the comment
        // that is meant for it.
        table
            .character_set("utf8mb4")
            .extra("/*M! COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */");
    }
    table
}

/// Begins a table that is stored in the order of its primary key (WITHOUT ROWID on SQLite). MySQL
/// always does this, PostgreSQL cannot.
pub fn clustered(manager: &SchemaManager<'_>, name: &'static str) -> TableCreateStatement {
    let mut table = table(manager, name);
    if manager.get_database_backend() == DbBackend::Sqlite {
        table.extra("WITHOUT ROWID");
    }
    table
}

/// An id: UUIDv7, 16 bytes.
pub fn id(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).uuid().not_null().take()
}

/// An id, or NULL.
pub fn optional_id(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).uuid().take()
}

/// A moment: microseconds since 1970 in UTC.
pub fn time(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}

/// A moment, or NULL.
pub fn optional_time(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().take()
}

/// Text of at most `length` characters.
pub fn text(name: &'static str, length: u32) -> ColumnDef {
    ColumnDef::new(name).string_len(length).not_null().take()
}

/// Text, or NULL.
pub fn optional_text(name: &'static str, length: u32) -> ColumnDef {
    ColumnDef::new(name).string_len(length).take()
}

/// A count.
pub fn integer(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).integer().not_null().take()
}

/// A 64-bit count.
pub fn big_integer(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}

/// A foreign key whose target cannot be deleted while it is referred to.
pub fn reference(
    from: (&'static str, &'static str),
    to: (&'static str, &'static str),
) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .name(format!("{}_{}_fkey", from.0, from.1))
        .from(from.0, from.1)
        .to(to.0, to.1)
        .take()
}

/// Adds a column that is nullable or has a default, unless it exists already.
pub async fn add_column(
    manager: &SchemaManager<'_>,
    table: &'static str,
    name: &'static str,
    kind: &str,
) -> Result<(), DbErr> {
    if !has_column_of_any_kind(manager, table, name).await? {
        let add = format!("ALTER TABLE {table} ADD COLUMN {name} {kind}");
        manager.get_connection().execute_unprepared(&add).await?;
    }
    Ok(())
}

/// Adds a generated column, unless it exists already. (It may exist after an interrupted migration:
/// PostgreSQL rolls that back, but the other engines commit each step.)
pub async fn add_computed(
    manager: &SchemaManager<'_>,
    table: &'static str,
    name: &'static str,
    kind: &str,
    value: &str,
) -> Result<(), DbErr> {
    if has_column_of_any_kind(manager, table, name).await? {
        return Ok(());
    }
    // PostgreSQL has only stored generated columns; SQLite can add only virtual ones.
    let when = match manager.get_database_backend() {
        DbBackend::Postgres => "STORED",
        _ => "VIRTUAL",
    };
    let add = format!(
        "ALTER TABLE {table} ADD COLUMN {name} {kind} GENERATED ALWAYS AS ({value}) {when}"
    );
    manager.get_connection().execute_unprepared(&add).await?;
    Ok(())
}

/// Drops a column, if it exists.
pub async fn drop_column(
    manager: &SchemaManager<'_>,
    table: &'static str,
    name: &'static str,
) -> Result<(), DbErr> {
    if has_column_of_any_kind(manager, table, name).await? {
        let drop = format!("ALTER TABLE {table} DROP COLUMN {name}");
        manager.get_connection().execute_unprepared(&drop).await?;
    }
    Ok(())
}

/// Whether a column exists, generated or not.
async fn has_column_of_any_kind(
    manager: &SchemaManager<'_>,
    table: &'static str,
    name: &'static str,
) -> Result<bool, DbErr> {
    if manager.get_database_backend() != DbBackend::Sqlite {
        return manager.has_column(table, name).await;
    }
    // SQLite's table_info does not list generated columns.
    let probe = format!("SELECT {name} FROM {table} WHERE 1 = 0");
    let probed = manager.get_connection().execute_unprepared(&probe).await;
    Ok(probed.is_ok())
}

/// Adds an index, unless it exists already.
pub async fn add_index(
    manager: &SchemaManager<'_>,
    table: &'static str,
    name: &'static str,
    index: &mut IndexCreateStatement,
) -> Result<(), DbErr> {
    if manager.has_index(table, name).await? {
        return Ok(());
    }
    manager
        .create_index(index.table(table).name(name).take())
        .await
}

/// Drops an index, if it exists.
pub async fn drop_index(
    manager: &SchemaManager<'_>,
    table: &'static str,
    name: &'static str,
) -> Result<(), DbErr> {
    if !manager.has_index(table, name).await? {
        return Ok(());
    }
    manager
        .drop_index(Index::drop().name(name).table(table).to_owned())
        .await
}
