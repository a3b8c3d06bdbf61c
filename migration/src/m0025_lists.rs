//! Indexes for lists of questions that are listed, so that a list of these few does not read all the
//! others; and for the list of one's own ballots.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::table::{add_computed, add_index, drop_column, drop_index};

#[derive(DeriveMigrationName)]
pub struct Migration;

const COLUMN: &str = "is_listed";

const INDEXES: [(&str, &[&str]); 5] = [
    ("questions_listed_created", &[COLUMN, "created_at", "id"]),
    ("questions_listed_closes", &[COLUMN, "closes_order", "id"]),
    (
        "questions_listed_status_created",
        &[COLUMN, "is_sealed", "created_at", "id"],
    ),
    (
        "questions_listed_status_closes",
        &[COLUMN, "is_sealed", "closes_order", "id"],
    ),
    (
        "questions_author_listed",
        &["author_id", COLUMN, "created_at", "id"],
    ),
];

/// The ballots of an account, in the order in which they were cast.
///
/// Beside the list, it serves the removal of idle guests. It costs an insert into a place of its own for
/// each ballot. An index without the time would be smaller, but would write as many pages.
const BALLOTS: &str = "ballots_user";

/// MySQL has an index for the foreign key, and drops it once another one serves it. It is made anew
/// before that one is dropped.
const BALLOTS_KEY: &str = "ballots_user_key";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        mark_terms(manager).await?;
        let value = "CASE WHEN listed THEN 1 ELSE 0 END";
        add_computed(manager, "questions", COLUMN, "integer", value).await?;
        for (name, columns) in INDEXES {
            let index = &mut Index::create();
            for column in columns {
                index.col(*column);
            }
            add_index(manager, "questions", name, index).await?;
        }
        let ballots = &mut Index::create();
        ballots.col("user_id").col("cast_at").col("question_id");
        add_index(manager, "ballots", BALLOTS, ballots).await?;
        drop_index(manager, "ballots", BALLOTS_KEY).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DbBackend::MySql {
            let key = &mut Index::create();
            add_index(manager, "ballots", BALLOTS_KEY, key.col("user_id")).await?;
        }
        drop_index(manager, "ballots", BALLOTS).await?;
        for (name, _) in INDEXES {
            drop_index(manager, "questions", name).await?;
        }
        drop_column(manager, "questions", COLUMN).await?;
        let unmark = "UPDATE search_terms SET term = substr(term, 2) WHERE term LIKE '-%'";
        manager.get_connection().execute_unprepared(unmark).await?;
        Ok(())
    }
}

/// Puts a hyphen before the terms of questions that are not listed.
async fn mark_terms(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let marked = match manager.get_database_backend() {
        // Here `||` is the logical OR.
        DbBackend::MySql => "concat('-', term)",
        _ => "'-' || term",
    };
    let unmarked =
        "term NOT LIKE '-%' AND question_id IN (SELECT id FROM questions WHERE NOT listed)";
    for sql in [
        // A word of 64 letters has no room for the hyphen; its beginning of 63 letters is a term, too.
        format!("DELETE FROM search_terms WHERE substr(term, 64, 1) <> '' AND {unmarked}"),
        format!("UPDATE search_terms SET term = {marked} WHERE {unmarked}"),
    ] {
        manager.get_connection().execute_unprepared(&sql).await?;
    }
    Ok(())
}
