//! The usage of each account for the quotas of questions and text. Locking an account's row makes
//! the sums exact. Questions from before this migration are not counted.

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
            // The last day on which the account has asked a question, in days since 1970 (UTC).
            .col(integer("day"))
            // The number of questions on that day.
            .col(integer("questions"))
            // The text of all questions. Negative if texts from before the migration were
            // shortened.
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
