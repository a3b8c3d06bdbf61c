//! The table of the slots that number revocations.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "revocation_slots")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub slot: i32,
    /// How often the slot was taken.
    pub number: i64,
}

impl ActiveModelBehavior for ActiveModel {}
