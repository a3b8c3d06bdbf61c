//! The table of marks: what a ballot says about choices.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ballot_marks")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub question_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub choice_id: Uuid,
    /// 1 in a set of choices, the rank from 1 on in a ranking, else the score, which is not 0.
    pub value: i32,
}

impl ActiveModelBehavior for ActiveModel {}
