//! The table of what accounts have asked, a row for each.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "author_usage")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub author_id: Uuid,
    /// Days since 1970 in UTC: the last one on which the account has asked a question.
    pub day: i32,
    /// Questions asked on that day.
    pub questions: i32,
    /// The text of all its questions and choices, in bytes of UTF-8, since the table exists. Below
    /// zero where older text has become shorter.
    pub bytes: i64,
}

impl ActiveModelBehavior for ActiveModel {}
