//! Guests, and how many ballots of guests each network has cast.
//!
//! A guest is a user with the role `guest`. Processes of the previous version know no such role, so
//! they cannot take a guest for an account.

use sea_orm_migration::prelude::*;

use crate::table::{
    add_column, add_computed, add_index, clustered, drop_column, drop_index, id, integer, reference,
};

#[derive(DeriveMigrationName)]
pub struct Migration;

/// Lists have either accounts or guests. Without this index a list of accounts would read all guests
/// that are newer.
const LIST: &str = "users_listed";

const EXPIRY: &str = "users_guest_expiry";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        add_column(manager, "users", "guest_expires_at", "bigint").await?;
        let expiry = &mut Index::create();
        expiry.col("guest_expires_at");
        add_index(manager, "users", EXPIRY, expiry).await?;
        add_computed(manager, "users", "guest", "boolean", "role = 'guest'").await?;
        let list = &mut Index::create();
        list.col("guest").col("created_at").col("id");
        add_index(manager, "users", LIST, list).await?;

        let networks = clustered(manager, "network_ballots")
            .if_not_exists()
            .col(id("question_id"))
            // A keyed hash of question and network.
            .col(ColumnDef::new("network").binary_len(32).not_null())
            .col(integer("ballots"))
            .primary_key(Index::create().col("question_id").col("network"))
            .foreign_key(&mut reference(
                ("network_ballots", "question_id"),
                ("questions", "id"),
            ))
            .take();
        manager.create_table(networks).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let networks = Table::drop().table("network_ballots").if_exists().take();
        manager.drop_table(networks).await?;
        drop_index(manager, "users", LIST).await?;
        drop_column(manager, "users", "guest").await?;
        drop_index(manager, "users", EXPIRY).await?;
        drop_column(manager, "users", "guest_expires_at").await?;
        // The previous version reads no other roles. Guests become accounts that nobody can use.
        let sessions = "SELECT id FROM sessions \
             WHERE user_id IN (SELECT id FROM users WHERE role = 'guest')";
        for sql in [
            format!("DELETE FROM refresh_tokens WHERE session_id IN ({sessions})"),
            "DELETE FROM sessions WHERE user_id IN (SELECT id FROM users WHERE role = 'guest')"
                .to_owned(),
            "UPDATE users SET role = 'user' WHERE role = 'guest'".to_owned(),
        ] {
            manager.get_connection().execute_unprepared(&sql).await?;
        }
        Ok(())
    }
}
