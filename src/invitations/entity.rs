//! The table of invitations.

use sea_orm::entity::prelude::*;

use crate::clock::Time;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "invitations")]
pub struct Model {
    /// That of its message, too, if it is sent by mail.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub question_id: Uuid,
    /// The account that invites.
    pub invited_by: Uuid,
    /// The guest who votes by it; none until it is used.
    #[sea_orm(unique)]
    pub user_id: Option<Uuid>,
    /// For whom it is, in the words of whoever invites.
    pub label: Option<String>,
    /// The address that it is sent to.
    pub email: Option<String>,
    /// SHA-256 of the [key](crate::users::email::key) of the address. A question has at most one
    /// invitation for each.
    #[sea_orm(column_type = "Binary(32)", nullable)]
    pub email_hash: Option<Vec<u8>>,
    pub created_at: Time,
}

impl ActiveModelBehavior for ActiveModel {}
