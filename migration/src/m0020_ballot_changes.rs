//! Whether voters may change and withdraw ballots on questions that processes of the previous version
//! must not take ballots on, such as ranked ones.
//!
//! Those processes know `allow_change` only. It is false for these questions: a ranking that is
//! withdrawn would be subtracted as if it were a set.

use sea_orm_migration::prelude::*;

use crate::table::{add_column, drop_column};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLE: &str = "questions";
const COLUMN: &str = "changes_allowed";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        add_column(manager, TABLE, COLUMN, "boolean NOT NULL DEFAULT false").await?;
        let moved = "UPDATE questions SET changes_allowed = true, allow_change = false \
                     WHERE max_choices = 0 AND allow_change";
        manager.get_connection().execute_unprepared(moved).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let moved = "UPDATE questions SET allow_change = true WHERE changes_allowed";
        manager.get_connection().execute_unprepared(moved).await?;
        drop_column(manager, TABLE, COLUMN).await
    }
}
