//! Mail: messages that wait to be sent, codes that prove that somebody reads an email address, and
//! the address that each account has proved.

use sea_orm_migration::prelude::*;

use crate::table::{
    add_column, add_index, drop_column, id, integer, optional_id, optional_text, optional_time,
    reference, table, text, time,
};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The key of the address, not a flag: processes of the version before change the address
        // and leave this column as it is.
        add_column(manager, "users", "verified_email_key", "varchar(762)").await?;

        let outgoing_mail = table(manager, "outgoing_mail")
            .if_not_exists()
            .col(id("id").primary_key())
            .col(text("kind", 24))
            .col(optional_id("about"))
            .col(text("recipient", 762))
            .col(text("language", 2))
            .col(text("status", 8))
            .col(integer("attempts"))
            // NULL once the message is sent or given up.
            .col(optional_time("due_at"))
            .col(optional_text("error", 500))
            .col(time("created_at"))
            .col(time("expires_at"))
            .take();
        manager.create_table(outgoing_mail).await?;
        let due = &mut Index::create();
        due.col("due_at");
        add_index(manager, "outgoing_mail", "outgoing_mail_due", due).await?;
        let newest = &mut Index::create();
        newest.col("created_at").col("id");
        add_index(manager, "outgoing_mail", "outgoing_mail_created", newest).await?;
        let by_status = &mut Index::create();
        by_status.col("status").col("created_at").col("id");
        add_index(manager, "outgoing_mail", "outgoing_mail_status", by_status).await?;
        let recipient = &mut Index::create();
        recipient.col("recipient");
        add_index(
            manager,
            "outgoing_mail",
            "outgoing_mail_recipient",
            recipient,
        )
        .await?;

        let codes = table(manager, "account_codes")
            .if_not_exists()
            .col(id("user_id"))
            .col(text("purpose", 24))
            .col(ColumnDef::new("code_hash").binary_len(32).not_null())
            .col(time("expires_at"))
            .primary_key(Index::create().col("user_id").col("purpose"))
            .foreign_key(&mut reference(
                ("account_codes", "user_id"),
                ("users", "id"),
            ))
            .take();
        manager.create_table(codes).await?;
        let hash = &mut Index::create();
        hash.col("code_hash");
        add_index(manager, "account_codes", "account_codes_hash", hash).await?;
        let expiry = &mut Index::create();
        expiry.col("expires_at");
        add_index(manager, "account_codes", "account_codes_expiry", expiry).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop = |table: &'static str| Table::drop().table(table).if_exists().take();
        manager.drop_table(drop("account_codes")).await?;
        manager.drop_table(drop("outgoing_mail")).await?;
        drop_column(manager, "users", "verified_email_key").await
    }
}
