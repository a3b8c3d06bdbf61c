//! What will open, apart: a list of the few scheduled questions does not pass by all open ones.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

const INDEX: &str = "questions_opens";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // There already where the migration was interrupted before it was written down.
        if manager.has_index("questions", INDEX).await? {
            return Ok(());
        }
        let index = Index::create()
            .name(INDEX)
            .table("questions")
            .col("opens_at")
            .take();
        manager.create_index(index).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if !manager.has_index("questions", INDEX).await? {
            return Ok(());
        }
        let index = Index::drop().name(INDEX).table("questions").to_owned();
        manager.drop_index(index).await
    }
}
