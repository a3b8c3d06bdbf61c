//! Indexes for lists of open and of closed questions, so that a list of the few open ones does not
//! read all the others.

use sea_orm_migration::prelude::*;

use crate::table::{add_computed, add_index, drop_column, drop_index};

#[derive(DeriveMigrationName)]
pub struct Migration;

const COLUMN: &str = "is_sealed";

const INDEXES: [(&str, &str); 2] = [
    ("questions_status_created", "created_at"),
    ("questions_status_closes", "closes_order"),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let value = "CASE WHEN sealed_at IS NULL THEN 0 ELSE 1 END";
        add_computed(manager, "questions", COLUMN, "integer", value).await?;
        for (name, order) in INDEXES {
            let index = &mut Index::create();
            index.col(COLUMN).col(order).col("id");
            add_index(manager, "questions", name, index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, _) in INDEXES {
            drop_index(manager, "questions", name).await?;
        }
        drop_column(manager, "questions", COLUMN).await
    }
}
