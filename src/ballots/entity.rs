//! The table of ballots: who has voted on what.

use sea_orm::entity::prelude::*;

use crate::clock::Time;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ballots")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub question_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    pub cast_at: Time,
    pub updated_at: Time,
    /// The batch that has inserted it; NULL if a process of the version before has.
    pub batch: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
