//! Invitations to vote on a question, their codes, and the addresses that refuse all of them.

use sea_orm_migration::prelude::*;

use crate::table::{
    add_column, add_index, clustered, drop_column, id, optional_text, reference, table, time,
};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let invitations = table(manager, "invitations")
            .if_not_exists()
            .col(id("id").primary_key())
            .col(id("question_id"))
            .col(id("invited_by"))
            // The guest who votes by it. NULL until the invitation is used.
            .col(ColumnDef::new("user_id").uuid())
            .col(optional_text("label", 100))
            .col(optional_text("email", 254))
            // Short enough for an index on each engine, unlike the address.
            .col(ColumnDef::new("email_hash").binary_len(32))
            .col(time("created_at"))
            .foreign_key(&mut reference(
                ("invitations", "question_id"),
                ("questions", "id"),
            ))
            .foreign_key(&mut reference(
                ("invitations", "invited_by"),
                ("users", "id"),
            ))
            .foreign_key(&mut reference(("invitations", "user_id"), ("users", "id")))
            .take();
        manager.create_table(invitations).await?;
        let list = &mut Index::create();
        list.col("question_id").col("created_at").col("id");
        add_index(manager, "invitations", "invitations_list", list).await?;
        let inviter = &mut Index::create();
        inviter.col("invited_by").col("created_at").col("id");
        add_index(manager, "invitations", "invitations_inviter", inviter).await?;
        let guest = &mut Index::create();
        guest.col("user_id").unique();
        add_index(manager, "invitations", "invitations_guest", guest).await?;
        let address = &mut Index::create();
        address.col("question_id").col("email_hash").unique();
        add_index(manager, "invitations", "invitations_address", address).await?;

        let codes = clustered(manager, "invitation_codes")
            .if_not_exists()
            .col(
                ColumnDef::new("code_hash")
                    .binary_len(32)
                    .not_null()
                    .primary_key(),
            )
            .col(id("invitation_id"))
            .foreign_key(
                reference(("invitation_codes", "invitation_id"), ("invitations", "id"))
                    .on_delete(ForeignKeyAction::Cascade),
            )
            .take();
        manager.create_table(codes).await?;
        let invitation = &mut Index::create();
        invitation.col("invitation_id");
        add_index(
            manager,
            "invitation_codes",
            "invitation_codes_invitation",
            invitation,
        )
        .await?;

        let refusals = clustered(manager, "invitation_refusals")
            .if_not_exists()
            .col(
                ColumnDef::new("recipient")
                    .binary_len(32)
                    .not_null()
                    .primary_key(),
            )
            .take();
        manager.create_table(refusals).await?;

        add_column(
            manager,
            "author_usage",
            "invitation_mails",
            "integer NOT NULL DEFAULT 0",
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_column(manager, "author_usage", "invitation_mails").await?;
        for table in ["invitation_refusals", "invitation_codes", "invitations"] {
            let drop = Table::drop().table(table).if_exists().take();
            manager.drop_table(drop).await?;
        }
        Ok(())
    }
}
