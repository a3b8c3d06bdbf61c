//! Secrets that all processes of a database share, and columns derived from them: the successors of
//! refresh tokens, and the networks from which accounts have signed in.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::table::{
    add_column, add_index, clustered, drop_column, id, reference, table, text, time,
};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let secrets = table(manager, "secrets")
            .if_not_exists()
            .col(text("name", 40).primary_key())
            .col(ColumnDef::new("value").text().not_null())
            .take();
        manager.create_table(secrets).await?;

        // NULL for refresh tokens that are not used yet.
        let bytes = match manager.get_database_backend() {
            DbBackend::Postgres => "bytea",
            DbBackend::MySql => "binary(16)",
            _ => "blob",
        };
        add_column(manager, "refresh_tokens", "successor_salt", bytes).await?;

        let known_networks = clustered(manager, "known_networks")
            .if_not_exists()
            .col(id("user_id"))
            .col(ColumnDef::new("network").binary_len(32).not_null())
            .col(time("seen_at"))
            .primary_key(Index::create().col("user_id").col("network"))
            .foreign_key(&mut reference(
                ("known_networks", "user_id"),
                ("users", "id"),
            ))
            .take();
        manager.create_table(known_networks).await?;
        let index = &mut Index::create();
        index.col("seen_at");
        add_index(manager, "known_networks", "known_networks_seen", index).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop = |table: &'static str| Table::drop().table(table).if_exists().take();
        manager.drop_table(drop("known_networks")).await?;
        drop_column(manager, "refresh_tokens", "successor_salt").await?;
        manager.drop_table(drop("secrets")).await
    }
}
