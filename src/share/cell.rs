//! The table of the cells of rate limits, where there is no Redis.

use sea_orm::entity::prelude::*;

use crate::clock::Time;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "limit_cells")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// When there is a full quota again; then the row is of no use any more.
    pub whole_at: Time,
}

impl ActiveModelBehavior for ActiveModel {}
