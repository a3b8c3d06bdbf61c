//! Orders search terms like the lists of questions, so that a search reads only its page.

use sea_orm_migration::prelude::*;

use crate::table::{clustered, id, reference, text, time};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // MySQL commits each step by itself, so that an interrupted migration is run again from the
        // beginning. The old table is therefore dropped last.
        let unfinished = Table::drop().table("search_terms").if_exists().take();
        manager.drop_table(unfinished).await?;
        let terms = clustered(manager, "search_terms")
            .col(text("term", 64))
            .col(time("created_at"))
            .col(id("question_id"))
            .primary_key(
                Index::create()
                    .col("term")
                    .col("created_at")
                    .col("question_id"),
            )
            .foreign_key(&mut reference(
                ("search_terms", "question_id"),
                ("questions", "id"),
            ))
            .take();
        manager.create_table(terms).await?;
        let by_question = Index::create()
            .name("search_terms_question")
            .table("search_terms")
            .col("question_id")
            .take();
        manager.create_index(by_question).await?;
        let copy = "INSERT INTO search_terms (term, created_at, question_id) \
                    SELECT t.term, q.created_at, t.question_id \
                    FROM question_terms t JOIN questions q ON q.id = t.question_id";
        manager.get_connection().execute_unprepared(copy).await?;
        let former = Table::drop().table("question_terms").take();
        manager.drop_table(former).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let unfinished = Table::drop().table("question_terms").if_exists().take();
        manager.drop_table(unfinished).await?;
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
        manager.create_index(by_question).await?;
        let copy = "INSERT INTO question_terms (term, question_id) \
                    SELECT term, question_id FROM search_terms";
        manager.get_connection().execute_unprepared(copy).await?;
        let latter = Table::drop().table("search_terms").take();
        manager.drop_table(latter).await
    }
}
