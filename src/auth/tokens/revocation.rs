//! The table of revocations, which every process keeps a copy of in memory.

use sea_orm::entity::prelude::*;

use crate::clock::Time;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "revocations")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub session_id: Uuid,
    /// Tokens of the session with a lower generation are revoked.
    pub generation: i32,
    pub revoked_at: Time,
    /// When the last token that this concerns has expired.
    pub expires_at: Time,
    /// The slot that the transaction took which wrote this row, and the slot's number since then.
    /// Processes of the version before write neither, and leave those of a row that they replace.
    pub slot: Option<i32>,
    pub number: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
