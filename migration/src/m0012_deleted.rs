//! What was deleted, apart: a list of the few deleted questions does not pass by all others.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::table::{add_index, drop_index};

#[derive(DeriveMigrationName)]
pub struct Migration;

const INDEX: &str = "questions_deleted";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = &mut Index::create();
        index.col("deleted_at");
        // SQLite would look for all others by it. MySQL knows no such thing.
        if manager.get_database_backend() != DbBackend::MySql {
            index.cond_where(Expr::col("deleted_at").is_not_null());
        }
        add_index(manager, "questions", INDEX, index).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_index(manager, "questions", INDEX).await
    }
}
