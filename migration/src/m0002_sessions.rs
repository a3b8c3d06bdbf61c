use sea_orm_migration::prelude::*;

use crate::table::{
    clustered, id, integer, optional_text, optional_time, reference, table, text, time,
};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sessions = table(manager, "sessions")
            .col(id("id").primary_key())
            .col(id("user_id"))
            .col(optional_text("client", 200))
            .col(integer("generation"))
            .col(time("created_at"))
            .col(time("last_used_at"))
            .col(time("tokens_expire_at"))
            .col(time("expires_at"))
            .col(optional_time("ended_at"))
            .foreign_key(&mut reference(("sessions", "user_id"), ("users", "id")))
            .take();
        manager.create_table(sessions).await?;
        let by_user = Index::create()
            .name("sessions_user")
            .table("sessions")
            .col("user_id")
            .col("created_at")
            .take();
        manager.create_index(by_user).await?;
        let by_end = Index::create()
            .name("sessions_expiry")
            .table("sessions")
            .col("expires_at")
            .take();
        manager.create_index(by_end).await?;

        let refresh_tokens = clustered(manager, "refresh_tokens")
            .col(
                ColumnDef::new("token_hash")
                    .binary_len(32)
                    .not_null()
                    .primary_key(),
            )
            .col(id("session_id"))
            .col(time("issued_at"))
            .col(optional_time("used_at"))
            .foreign_key(
                reference(("refresh_tokens", "session_id"), ("sessions", "id"))
                    .on_delete(ForeignKeyAction::Cascade),
            )
            .take();
        manager.create_table(refresh_tokens).await?;
        let by_session = Index::create()
            .name("refresh_tokens_session")
            .table("refresh_tokens")
            .col("session_id")
            .take();
        manager.create_index(by_session).await?;

        let revocations = clustered(manager, "revocations")
            .col(id("session_id").primary_key())
            .col(integer("generation"))
            .col(time("revoked_at"))
            .col(time("expires_at"))
            .take();
        manager.create_table(revocations).await?;
        for (name, column) in [
            ("revocations_revoked", "revoked_at"),
            ("revocations_expiry", "expires_at"),
        ] {
            let index = Index::create()
                .name(name)
                .table("revocations")
                .col(column)
                .take();
            manager.create_index(index).await?;
        }

        let signing_keys = table(manager, "signing_keys")
            .col(id("id").primary_key())
            .col(text("algorithm", 16))
            .col(ColumnDef::new("secret").text().not_null())
            .col(time("created_at"))
            .col(optional_time("retired_at"))
            .col(optional_time("expires_at"))
            .take();
        manager.create_table(signing_keys).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["signing_keys", "revocations", "refresh_tokens", "sessions"] {
            manager
                .drop_table(Table::drop().table(table).take())
                .await?;
        }
        Ok(())
    }
}
