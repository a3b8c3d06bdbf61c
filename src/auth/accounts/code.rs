//! The table of codes that were sent by mail. An account has at most one for each purpose: a new one
//! replaces the one before.

use sea_orm::entity::prelude::*;

use crate::clock::Time;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "account_codes")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub purpose: Purpose,
    /// SHA-256 of the code, which itself is stored nowhere.
    #[sea_orm(column_type = "Binary(32)")]
    pub code_hash: Vec<u8>,
    pub expires_at: Time,
}

impl ActiveModelBehavior for ActiveModel {}

/// What a code is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(
    rs_type = "String",
    db_type = "String(StringLen::N(24))",
    rename_all = "snake_case"
)]
pub enum Purpose {
    PasswordReset,
    EmailVerification,
}
