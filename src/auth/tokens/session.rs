//! The table of sessions: where an account is signed in.

use sea_orm::entity::prelude::*;

use crate::clock::Time;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    /// What the client calls itself.
    pub client: Option<String>,
    /// Access tokens of an earlier generation are no longer honoured.
    pub generation: i32,
    pub created_at: Time,
    pub last_used_at: Time,
    /// When the last access token issued for it expires.
    pub tokens_expire_at: Time,
    pub expires_at: Time,
    pub ended_at: Option<Time>,
}

impl ActiveModelBehavior for ActiveModel {}
