//! What every table has in common.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

/// Starts a table whose text is compared byte by byte on every engine.
///
/// MySQL's default collation takes `a` for `A` and `é` for `e`.
pub fn table(manager: &SchemaManager<'_>, name: &'static str) -> TableCreateStatement {
    let mut table = Table::create();
    table.table(name);
    if manager.get_database_backend() == DbBackend::MySql {
        // Each of the two reads only what is meant for it.
        table
            .character_set("utf8mb4")
            .extra("/*M! COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */");
    }
    table
}

/// Starts a table that is stored by its primary key, as MySQL does anyway and PostgreSQL cannot.
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

/// A moment: microseconds since 1970 in UTC.
pub fn time(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}

/// A moment that may not have come.
pub fn optional_time(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().take()
}

/// Text of at most `length` characters.
pub fn text(name: &'static str, length: u32) -> ColumnDef {
    ColumnDef::new(name).string_len(length).not_null().take()
}

/// Text that may be absent.
pub fn optional_text(name: &'static str, length: u32) -> ColumnDef {
    ColumnDef::new(name).string_len(length).take()
}

/// A count.
pub fn integer(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).integer().not_null().take()
}

/// A count that may pass two thousand million.
pub fn big_integer(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}

/// A reference that forbids its target to go away.
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

/// Adds a column that may be null, unless it is there already.
pub async fn add_column(
    manager: &SchemaManager<'_>,
    table: &'static str,
    name: &'static str,
    kind: &str,
) -> Result<(), DbErr> {
    if !is_there(manager, table, name).await? {
        let add = format!("ALTER TABLE {table} ADD COLUMN {name} {kind}");
        manager.get_connection().execute_unprepared(&add).await?;
    }
    Ok(())
}

/// Adds a column that is computed from others, unless it is there already: PostgreSQL takes all of
/// a migration back that is interrupted, the others commit each step.
pub async fn add_computed(
    manager: &SchemaManager<'_>,
    table: &'static str,
    name: &'static str,
    kind: &str,
    value: &str,
) -> Result<(), DbErr> {
    if is_there(manager, table, name).await? {
        return Ok(());
    }
    // PostgreSQL computes what is stored only, SQLite adds what is not stored only.
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

/// Drops what [`add_computed`] or [`add_column`] has added.
pub async fn drop_computed(
    manager: &SchemaManager<'_>,
    table: &'static str,
    name: &'static str,
) -> Result<(), DbErr> {
    if is_there(manager, table, name).await? {
        let drop = format!("ALTER TABLE {table} DROP COLUMN {name}");
        manager.get_connection().execute_unprepared(&drop).await?;
    }
    Ok(())
}

/// Whether a column is there.
async fn is_there(
    manager: &SchemaManager<'_>,
    table: &'static str,
    name: &'static str,
) -> Result<bool, DbErr> {
    if manager.get_database_backend() != DbBackend::Sqlite {
        return manager.has_column(table, name).await;
    }
    // SQLite lists no computed columns.
    let probe = format!("SELECT {name} FROM {table} WHERE 1 = 0");
    let probed = manager.get_connection().execute_unprepared(&probe).await;
    Ok(probed.is_ok())
}

/// Adds an index, unless it is there already.
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

/// Drops what [`add_index`] has added.
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
