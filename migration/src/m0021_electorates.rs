//! Who may vote on a question, and who sees what.
//!
//! Processes of the previous version write rows without these columns: the defaults make them listed
//! questions with secret ballots, for all accounts.

use sea_orm_migration::prelude::*;

use crate::table::{add_column, drop_column};

#[derive(DeriveMigrationName)]
pub struct Migration;

/// Columns of other tables, each with its type.
const COLUMNS: [(&str, &str, &str); 5] = [
    (
        "questions",
        "electorate",
        "varchar(16) NOT NULL DEFAULT 'accounts'",
    ),
    ("questions", "ballots_per_address", "integer"),
    ("questions", "listed", "boolean NOT NULL DEFAULT true"),
    (
        "questions",
        "ballot_secrecy",
        "varchar(16) NOT NULL DEFAULT 'secret'",
    ),
    ("questions", "reopened", "boolean NOT NULL DEFAULT false"),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, column, kind) in COLUMNS {
            add_column(manager, table, column, kind).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, column, _) in COLUMNS.into_iter().rev() {
            drop_column(manager, table, column).await?;
        }
        Ok(())
    }
}
