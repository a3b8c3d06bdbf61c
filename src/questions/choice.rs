//! The table of choices.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "choices")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub question_id: Uuid,
    pub choice_text: String,
    /// 0 comes first; without gaps.
    pub position: i32,
    /// By which the profile of the ballots calls it: the smallest number that no other choice of the
    /// question had when this one was added. It never changes. NULL if a process of the version
    /// before has added the choice.
    pub ordinal: Option<i32>,
}

impl ActiveModelBehavior for ActiveModel {}
