//! An index for lists of scheduled questions, so that a list of these few does not read all open
//! ones.

use sea_orm_migration::prelude::*;

use crate::table::{add_index, drop_index};

#[derive(DeriveMigrationName)]
pub struct Migration;

const INDEX: &str = "questions_opens";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = &mut Index::create();
        add_index(manager, "questions", INDEX, index.col("opens_at")).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_index(manager, "questions", INDEX).await
    }
}
