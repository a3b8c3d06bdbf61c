use sea_orm_migration::prelude::*;

use crate::table::{big_integer, table, text};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let locks = table(manager, "locks")
            .col(text("name", 40).primary_key())
            .col(big_integer("taken"))
            .take();
        manager.create_table(locks).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("locks").take())
            .await
    }
}
