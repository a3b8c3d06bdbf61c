//! Open and closed questions apart, each in the order of the lists: a list of the few that are open
//! does not pass by all that ever were.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(DeriveMigrationName)]
pub struct Migration;

const INDEXES: [(&str, &str); 2] = [
    ("questions_status_created", "created_at"),
    ("questions_status_closes", "closes_order"),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // PostgreSQL computes what is stored only, SQLite adds what is not stored only.
        let kind = match manager.get_database_backend() {
            DbBackend::Postgres => "STORED",
            _ => "VIRTUAL",
        };
        if !is_there(manager).await? {
            let add = format!(
                "ALTER TABLE questions ADD COLUMN is_sealed integer \
                 GENERATED ALWAYS AS (CASE WHEN sealed_at IS NULL THEN 0 ELSE 1 END) {kind}"
            );
            manager.get_connection().execute_unprepared(&add).await?;
        }
        for (name, order) in INDEXES {
            if !manager.has_index("questions", name).await? {
                let index = Index::create()
                    .name(name)
                    .table("questions")
                    .col("is_sealed")
                    .col(order)
                    .col("id")
                    .take();
                manager.create_index(index).await?;
            }
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, _) in INDEXES {
            if manager.has_index("questions", name).await? {
                let index = Index::drop().name(name).table("questions").to_owned();
                manager.drop_index(index).await?;
            }
        }
        if is_there(manager).await? {
            let column = "ALTER TABLE questions DROP COLUMN is_sealed";
            manager.get_connection().execute_unprepared(column).await?;
        }
        Ok(())
    }
}

/// Whether a migration that was interrupted has got as far as the column: PostgreSQL takes all of
/// it back, the others commit each step.
async fn is_there(manager: &SchemaManager<'_>) -> Result<bool, DbErr> {
    if manager.get_database_backend() != DbBackend::Sqlite {
        return manager.has_column("questions", "is_sealed").await;
    }
    // SQLite lists no computed columns.
    let probe = "SELECT is_sealed FROM questions WHERE 1 = 0";
    let probed = manager.get_connection().execute_unprepared(probe).await;
    Ok(probed.is_ok())
}
