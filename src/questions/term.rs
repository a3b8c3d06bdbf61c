//! The table that text search looks things up in.

use sea_orm::entity::prelude::*;

use crate::clock::Time;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "search_terms")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub term: String,
    /// The question's, by which the list is sorted.
    #[sea_orm(primary_key, auto_increment = false)]
    pub created_at: Time,
    #[sea_orm(primary_key, auto_increment = false)]
    pub question_id: Uuid,
}

impl ActiveModelBehavior for ActiveModel {}
