//! The table of marks: which choices a ballot names.

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
}

impl ActiveModelBehavior for ActiveModel {}

/// From a ballot to its marks.
pub struct OfBallot;

impl Linked for OfBallot {
    type FromEntity = super::entity::Entity;
    type ToEntity = Entity;

    fn link(&self) -> Vec<RelationDef> {
        let marks = super::entity::Entity::belongs_to(Entity)
            .from((super::entity::Column::QuestionId, super::entity::Column::UserId))
            .to((Column::QuestionId, Column::UserId));
        vec![marks.into()]
    }
}
