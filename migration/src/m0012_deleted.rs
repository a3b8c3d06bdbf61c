//! An index for lists of deleted questions, so that a list of these few does not read all the
//! others.

use sea_orm_migration::prelude::*;

use crate::table::{add_computed, add_index, drop_column, drop_index};

#[derive(DeriveMigrationName)]
pub struct Migration;

const COLUMN: &str = "is_deleted";
const INDEX: &str = "questions_deleted";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let value = "CASE WHEN deleted_at IS NULL THEN 0 ELSE 1 END";
        add_computed(manager, "questions", COLUMN, "integer", value).await?;
        let index = &mut Index::create();
        index.col(COLUMN).col("created_at").col("id");
        add_index(manager, "questions", INDEX, index).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_index(manager, "questions", INDEX).await?;
        drop_column(manager, "questions", COLUMN).await
    }
}
