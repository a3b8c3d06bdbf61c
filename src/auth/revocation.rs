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
}

impl ActiveModelBehavior for ActiveModel {}
