//! The table of what accounts have used of their quotas, a row for each.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "author_usage")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub author_id: Uuid,
    /// Days since 1970 in UTC: the last one on which anything was counted.
    pub day: i32,
    /// Questions asked on that day.
    pub questions: i32,
    /// Invitations by mail on that day. (Processes of the version before leave it as it is on a new
    /// day.)
    pub invitation_mails: i32,
    /// The text of all its questions, choices and invitations, in bytes of UTF-8, since the table exists. Below
    /// zero where older text has become shorter.
    pub bytes: i64,
}

impl ActiveModelBehavior for ActiveModel {}
