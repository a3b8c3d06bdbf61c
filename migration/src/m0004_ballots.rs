use sea_orm_migration::prelude::*;

use crate::table::{clustered, id, reference, time};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let ballots = clustered(manager, "ballots")
            .col(id("question_id"))
            .col(id("user_id"))
            .col(time("cast_at"))
            .col(time("updated_at"))
            .primary_key(Index::create().col("question_id").col("user_id"))
            .foreign_key(&mut reference(
                ("ballots", "question_id"),
                ("questions", "id"),
            ))
            .foreign_key(&mut reference(("ballots", "user_id"), ("users", "id")))
            .take();
        manager.create_table(ballots).await?;

        let marks = clustered(manager, "ballot_marks")
            .col(id("question_id"))
            .col(id("user_id"))
            .col(id("choice_id"))
            .primary_key(
                Index::create()
                    .col("question_id")
                    .col("user_id")
                    .col("choice_id"),
            )
            .foreign_key(
                ForeignKey::create()
                    .name("ballot_marks_ballot_fkey")
                    .from("ballot_marks", ("question_id", "user_id"))
                    .to("ballots", ("question_id", "user_id")),
            )
            // By question and choice, so that the primary key is the index for both.
            .foreign_key(
                ForeignKey::create()
                    .name("ballot_marks_choice_fkey")
                    .from("ballot_marks", ("question_id", "choice_id"))
                    .to("choices", ("question_id", "id")),
            )
            .take();
        manager.create_table(marks).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["ballot_marks", "ballots"] {
            manager
                .drop_table(Table::drop().table(table).take())
                .await?;
        }
        Ok(())
    }
}
