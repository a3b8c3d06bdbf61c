use sea_orm_migration::prelude::*;

use crate::table::{clustered, id, integer, optional_time, reference, table, text, time};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let questions = table(manager, "questions")
            .col(id("id").primary_key())
            .col(id("author_id"))
            .col(text("question_text", 200))
            .col(ColumnDef::new("description").text())
            .col(integer("min_choices"))
            .col(integer("max_choices"))
            .col(ColumnDef::new("allow_change").boolean().not_null())
            .col(text("results_visibility", 16))
            .col(optional_time("opens_at"))
            .col(optional_time("closes_at"))
            // `closes_at`, or the greatest time: sorts questions without one last.
            .col(time("closes_order"))
            .col(optional_time("closed_at"))
            .col(optional_time("sealed_at"))
            .col(optional_time("deleted_at"))
            .col(integer("revision"))
            .col(time("created_at"))
            .col(time("updated_at"))
            .foreign_key(&mut reference(("questions", "author_id"), ("users", "id")))
            .take();
        manager.create_table(questions).await?;
        for (name, columns) in [
            ("questions_created", &["created_at", "id"][..]),
            ("questions_closes", &["closes_order", "id"]),
            ("questions_author", &["author_id", "created_at", "id"]),
            // Closed questions that are not sealed yet.
            ("questions_due", &["sealed_at", "closes_order"]),
            ("questions_closed", &["sealed_at", "closed_at"]),
        ] {
            let mut index = Index::create().name(name).table("questions").take();
            for column in columns {
                index.col(*column);
            }
            manager.create_index(index).await?;
        }

        let choices = table(manager, "choices")
            .col(id("id").primary_key())
            .col(id("question_id"))
            .col(text("choice_text", 200))
            .col(integer("position"))
            .foreign_key(&mut reference(
                ("choices", "question_id"),
                ("questions", "id"),
            ))
            .take();
        manager.create_table(choices).await?;
        let texts = Index::create()
            .name("choices_text")
            .table("choices")
            .col("question_id")
            .col("choice_text")
            .unique()
            .take();
        manager.create_index(texts).await?;
        // The target of the marks' foreign key: a mark must name a choice of its own question.
        let ids = Index::create()
            .name("choices_question")
            .table("choices")
            .col("question_id")
            .col("id")
            .unique()
            .take();
        manager.create_index(ids).await?;

        let terms = clustered(manager, "question_terms")
            .col(text("term", 64))
            .col(id("question_id"))
            .primary_key(Index::create().col("term").col("question_id"))
            .foreign_key(&mut reference(
                ("question_terms", "question_id"),
                ("questions", "id"),
            ))
            .take();
        manager.create_table(terms).await?;
        let by_question = Index::create()
            .name("question_terms_question")
            .table("question_terms")
            .col("question_id")
            .take();
        manager.create_index(by_question).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["question_terms", "choices", "questions"] {
            manager
                .drop_table(Table::drop().table(table).take())
                .await?;
        }
        Ok(())
    }
}
