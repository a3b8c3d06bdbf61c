//! Anonymous ballots: what was voted, under receipts and apart from the roll of who has voted.
//!
//! The roll is the table `ballots`. No column of the tables here leads to a voter, a time or an order.

use sea_orm_migration::prelude::*;

use crate::table::{add_column, clustered, drop_column, id, integer, reference};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // When ballots were shut out of an anonymous question; it is sealed some steps later.
        add_column(manager, "questions", "frozen_at", "bigint").await?;

        let key = || Index::create().col("question_id").col("sealed").take();
        let ballots = clustered(manager, "anonymous_ballots")
            .if_not_exists()
            .col(id("question_id"))
            // 0 while people vote. Sealing stores the rows anew, with 1, and so at another place:
            // InnoDB would put a row that is deleted and inserted again where it was.
            .col(integer("sealed"))
            .col(id("receipt"))
            .primary_key(key().col("receipt"))
            .foreign_key(&mut reference(
                ("anonymous_ballots", "question_id"),
                ("questions", "id"),
            ))
            .take();
        manager.create_table(ballots).await?;

        let marks = clustered(manager, "anonymous_marks")
            .if_not_exists()
            .col(id("question_id"))
            .col(integer("sealed"))
            .col(id("receipt"))
            .col(id("choice_id"))
            // As in `ballot_marks`.
            .col(integer("value"))
            .primary_key(key().col("receipt").col("choice_id"))
            .foreign_key(
                ForeignKey::create()
                    .name("anonymous_marks_ballot_fkey")
                    .from("anonymous_marks", ("question_id", "sealed", "receipt"))
                    .to("anonymous_ballots", ("question_id", "sealed", "receipt")),
            )
            .foreign_key(
                ForeignKey::create()
                    .name("anonymous_marks_choice_fkey")
                    .from("anonymous_marks", ("question_id", "choice_id"))
                    .to("choices", ("question_id", "id")),
            )
            .take();
        manager.create_table(marks).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["anonymous_marks", "anonymous_ballots"] {
            let drop = Table::drop().table(table).if_exists().take();
            manager.drop_table(drop).await?;
        }
        drop_column(manager, "questions", "frozen_at").await
    }
}
