//! Adds numbers to revocations, so that processes read them in the order in which the database has
//! stored them, not by their own clocks.
//!
//! Processes of the previous version write revocations without a slot and a number.

use sea_orm_migration::prelude::*;

use crate::table::{add_column, add_index, big_integer, drop_column, drop_index, integer, table};

#[derive(DeriveMigrationName)]
pub struct Migration;

const INDEX: &str = "revocations_number";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let slots = table(manager, "revocation_slots")
            .if_not_exists()
            .col(integer("slot").primary_key())
            .col(big_integer("number"))
            .take();
        manager.create_table(slots).await?;
        add_column(manager, "revocations", "slot", "integer").await?;
        add_column(manager, "revocations", "number", "bigint").await?;
        let index = &mut Index::create();
        index.col("slot").col("number");
        add_index(manager, "revocations", INDEX, index).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_index(manager, "revocations", INDEX).await?;
        drop_column(manager, "revocations", "number").await?;
        drop_column(manager, "revocations", "slot").await?;
        let slots = Table::drop().table("revocation_slots").if_exists().take();
        manager.drop_table(slots).await
    }
}
