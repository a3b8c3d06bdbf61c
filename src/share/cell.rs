//! The table of [cells](super::cells), used if there is no Redis.

use sea_orm::entity::prelude::*;

use crate::clock::Time;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "limit_cells")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// When the quota is full again. From then on the row means nothing and is deleted.
    pub whole_at: Time,
}

impl ActiveModelBehavior for ActiveModel {}
