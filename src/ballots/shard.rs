//! The table of vote counts: one row for each choice and slot.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "choice_shards")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub choice_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub shard: i32,
    pub votes: i64,
}

impl ActiveModelBehavior for ActiveModel {}
