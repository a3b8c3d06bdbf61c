//! The table of refresh tokens, each of which is used once.

use sea_orm::entity::prelude::*;

use crate::clock::Time;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "refresh_tokens")]
pub struct Model {
    /// SHA-256 of the token, which itself is stored nowhere.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Binary(32)")]
    pub token_hash: Vec<u8>,
    pub session_id: Uuid,
    pub issued_at: Time,
    pub used_at: Option<Time>,
    /// From this and the token its successor is computed. Absent while the token is not used, and
    /// where a process of the version before has used it.
    #[sea_orm(column_type = "Binary(16)", nullable)]
    pub successor_salt: Option<Vec<u8>>,
}

impl ActiveModelBehavior for ActiveModel {}
