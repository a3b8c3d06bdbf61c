//! Voting methods: the settings of a question, the value of a mark, and the profile of the ballots.
//!
//! Processes of the previous version write rows without these columns: the defaults make them
//! questions that are counted by `multiple_choice`.

use sea_orm_migration::prelude::*;

use crate::table::{
    add_column, add_index, big_integer, clustered, drop_column, drop_index, id, integer, reference,
};

#[derive(DeriveMigrationName)]
pub struct Migration;

/// Columns of other tables, each with its type.
const COLUMNS: [(&str, &str, &str); 12] = [
    (
        "questions",
        "method",
        "varchar(32) NOT NULL DEFAULT 'multiple_choice'",
    ),
    ("questions", "seats", "integer NOT NULL DEFAULT 1"),
    // NULL in the columns without a default means what the method implies.
    ("questions", "choice_limit", "integer"),
    ("questions", "max_score", "integer"),
    ("questions", "quorum", "integer"),
    ("questions", "threshold", "varchar(60)"),
    ("questions", "tie_break", "varchar(8)"),
    // In hexadecimal digits. NULL for questions of the previous version.
    ("questions", "lot_seed", "varchar(64)"),
    ("choices", "ordinal", "integer"),
    // Which batch has inserted the ballot.
    ("ballots", "batch", "bigint"),
    // 1, a rank or a score, depending on the method.
    ("ballot_marks", "value", "integer NOT NULL DEFAULT 1"),
    (
        "question_shards",
        "abstentions",
        "bigint NOT NULL DEFAULT 0",
    ),
];

const ORDINALS: &str = "choices_ordinal";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, column, kind) in COLUMNS {
            add_column(manager, table, column, kind).await?;
        }
        // Positions have no gaps and no duplicates.
        let number = "UPDATE choices SET ordinal = position WHERE ordinal IS NULL";
        manager.get_connection().execute_unprepared(number).await?;
        let index = &mut Index::create();
        index.col("question_id").col("ordinal").unique();
        add_index(manager, "choices", ORDINALS, index).await?;

        // How many ballots are alike. A ballot is at most 100 ordinals with a score each.
        let profiles = clustered(manager, "profile_shards")
            .if_not_exists()
            .col(id("question_id"))
            .col(integer("shard"))
            .col(ColumnDef::new("ballot").var_binary(200).not_null())
            .col(big_integer("ballots"))
            .primary_key(
                Index::create()
                    .col("question_id")
                    .col("shard")
                    .col("ballot"),
            )
            .foreign_key(&mut reference(
                ("profile_shards", "question_id"),
                ("questions", "id"),
            ))
            .take();
        manager.create_table(profiles).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let profiles = Table::drop().table("profile_shards").if_exists().take();
        manager.drop_table(profiles).await?;
        drop_index(manager, "choices", ORDINALS).await?;
        for (table, column, _) in COLUMNS.into_iter().rev() {
            drop_column(manager, table, column).await?;
        }
        Ok(())
    }
}
