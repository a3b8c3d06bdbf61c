//! The table of the HMAC keys that all processes of a database share.

use sea_orm::entity::prelude::*;

use super::tokens::signing_key::KeyMaterial;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "secrets")]
pub struct Model {
    /// What it is for.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// Base64 of 32 random bytes.
    #[sea_orm(column_type = "Text")]
    pub value: KeyMaterial,
}

impl ActiveModelBehavior for ActiveModel {}
