//! When a question is to be sealed, as one value: where half of all are open, PostgreSQL would take
//! a quarter for closed but not sealed, and read them all for what is hardly ever there.
//!
//! `questions_due` and `questions_closed`, which it takes the place of, stay for processes of the
//! version before, which may still be running.

use sea_orm_migration::prelude::*;

use crate::table::{add_computed, add_index, drop_computed, drop_index};

#[derive(DeriveMigrationName)]
pub struct Migration;

const COLUMN: &str = "due_at";
const INDEX: &str = "questions_due_at";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Nothing where it is sealed; at once where it was closed by hand.
        let value = "CASE WHEN sealed_at IS NOT NULL THEN NULL \
             WHEN closed_at IS NOT NULL THEN 0 ELSE closes_order END";
        add_computed(manager, "questions", COLUMN, "bigint", value).await?;
        let index = &mut Index::create();
        add_index(manager, "questions", INDEX, index.col(COLUMN)).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_index(manager, "questions", INDEX).await?;
        drop_computed(manager, "questions", COLUMN).await
    }
}
