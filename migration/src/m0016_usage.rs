//! What an account has asked, for the quotas: a row for each, so that its lock makes the sums exact.
//! What was asked before counts as nothing.

use sea_orm_migration::prelude::*;

use crate::table::{big_integer, clustered, id, integer, reference};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let usage = clustered(manager, "author_usage")
            .if_not_exists()
            .col(id("author_id").primary_key())
            // Days since 1970 in UTC: the last one on which a question was asked.
            .col(integer("day"))
            // On that day.
            .col(integer("questions"))
            // Of all time. Below zero where texts from before the migration have become shorter.
            .col(big_integer("bytes"))
            .foreign_key(&mut reference(
                ("author_usage", "author_id"),
                ("users", "id"),
            ))
            .take();
        manager.create_table(usage).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let usage = Table::drop().table("author_usage").if_exists().take();
        manager.drop_table(usage).await
    }
}
