use sea_orm_migration::prelude::*;

use crate::table::{id, integer, optional_text, optional_time, table, text, time};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let users = table(manager, "users")
            .col(id("id").primary_key())
            .col(optional_text("name", 40))
            .col(optional_text("email", 254))
            // Case folding can turn one character into three.
            .col(optional_text("email_key", 762).unique_key())
            .col(optional_text("phone", 16).unique_key())
            .col(optional_text("password_hash", 255))
            .col(text("role", 16))
            .col(optional_time("disabled_at"))
            .col(optional_time("deleted_at"))
            .col(integer("revision"))
            .col(time("created_at"))
            .col(time("updated_at"))
            .take();
        manager.create_table(users).await?;
        let by_creation = Index::create()
            .name("users_created")
            .table("users")
            .col("created_at")
            .col("id")
            .take();
        manager.create_index(by_creation).await?;
        let by_role = Index::create()
            .name("users_role")
            .table("users")
            .col("role")
            .take();
        manager.create_index(by_role).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("users").take())
            .await
    }
}
