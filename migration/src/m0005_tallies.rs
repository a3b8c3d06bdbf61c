use sea_orm_migration::prelude::*;

use crate::table::{big_integer, clustered, id, integer, reference};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let question_shards = clustered(manager, "question_shards")
            .col(id("question_id"))
            .col(integer("shard"))
            .col(big_integer("seq"))
            .col(big_integer("ballots"))
            .primary_key(Index::create().col("question_id").col("shard"))
            .foreign_key(&mut reference(
                ("question_shards", "question_id"),
                ("questions", "id"),
            ))
            .take();
        manager.create_table(question_shards).await?;

        let choice_shards = clustered(manager, "choice_shards")
            .col(id("choice_id"))
            .col(integer("shard"))
            .col(big_integer("votes"))
            .primary_key(Index::create().col("choice_id").col("shard"))
            .foreign_key(
                reference(("choice_shards", "choice_id"), ("choices", "id"))
                    .on_delete(ForeignKeyAction::Cascade),
            )
            .take();
        manager.create_table(choice_shards).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["choice_shards", "question_shards"] {
            manager
                .drop_table(Table::drop().table(table).take())
                .await?;
        }
        Ok(())
    }
}
