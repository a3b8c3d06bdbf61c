use sea_orm_migration::prelude::*;

use crate::table::{clustered, id, time};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let limit_cells = clustered(manager, "limit_cells")
            .col(id("id").primary_key())
            .col(time("whole_at"))
            .take();
        manager.create_table(limit_cells).await?;
        let by_end = Index::create()
            .name("limit_cells_whole")
            .table("limit_cells")
            .col("whole_at")
            .take();
        manager.create_index(by_end).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("limit_cells").take())
            .await
    }
}
