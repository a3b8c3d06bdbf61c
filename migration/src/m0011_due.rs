//! One column with the time at which a question must be sealed. With two conditions (closed, not
//! sealed) PostgreSQL multiplies their selectivities, expects a quarter of all questions and scans
//! the table, although there is hardly ever one.
//!
//! The indexes `questions_due` and `questions_closed`, which it replaces, stay for processes of the
//! previous version that may still be running.

use sea_orm_migration::prelude::*;

use crate::table::{add_computed, add_index, drop_column, drop_index};

#[derive(DeriveMigrationName)]
pub struct Migration;

const COLUMN: &str = "due_at";
const INDEX: &str = "questions_due_at";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // NULL if the question is sealed; in the past if it was closed by hand.
        let value = "CASE WHEN sealed_at IS NOT NULL THEN NULL \
             WHEN closed_at IS NOT NULL THEN 0 ELSE closes_order END";
        add_computed(manager, "questions", COLUMN, "bigint", value).await?;
        let index = &mut Index::create();
        add_index(manager, "questions", INDEX, index.col(COLUMN)).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_index(manager, "questions", INDEX).await?;
        drop_column(manager, "questions", COLUMN).await
    }
}
