//! The table of email addresses whose owners refuse all invitations.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "invitation_refusals")]
pub struct Model {
    /// The address as a keyed hash, and nothing else about it.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Binary(32)")]
    pub recipient: Vec<u8>,
}

impl ActiveModelBehavior for ActiveModel {}
