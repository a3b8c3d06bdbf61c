//! The table of questions.

use poem_openapi::Enum;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use super::document;
use crate::clock::Time;
use crate::users::Caller;

/// A question as it is stored. It can also be read as a [document](crate::db::documents).
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Deserialize)]
#[sea_orm(table_name = "questions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub author_id: Uuid,
    pub question_text: String,
    #[sea_orm(column_type = "Text", nullable)]
    pub description: Option<String>,
    pub min_choices: i32,
    pub max_choices: i32,
    #[serde(deserialize_with = "document::flag")]
    pub allow_change: bool,
    pub results_visibility: Visibility,
    #[serde(deserialize_with = "document::time_or_null")]
    pub opens_at: Option<Time>,
    #[serde(deserialize_with = "document::time_or_null")]
    pub closes_at: Option<Time>,
    /// `closes_at`, or the end of time where there is none: sorts those last.
    #[serde(deserialize_with = "document::time")]
    pub closes_order: Time,
    /// When somebody closed it.
    #[serde(deserialize_with = "document::time_or_null")]
    pub closed_at: Option<Time>,
    /// Since when nothing can be counted into it any more.
    #[serde(deserialize_with = "document::time_or_null")]
    pub sealed_at: Option<Time>,
    #[serde(deserialize_with = "document::time_or_null")]
    pub deleted_at: Option<Time>,
    pub revision: i32,
    #[serde(deserialize_with = "document::time")]
    pub created_at: Time,
    #[serde(deserialize_with = "document::time")]
    pub updated_at: Time,
}

impl ActiveModelBehavior for ActiveModel {}

/// Who may see the numbers. The author and admins always may; apart from them:
///
/// - `always`: everyone.
/// - `after_vote`: whoever has a ballot now, and everyone once it is closed.
/// - `after_close`: everyone once it is closed.
/// - `author`: nobody else.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Enum,
    EnumIter,
    DeriveActiveEnum,
    Serialize,
    Deserialize,
)]
#[oai(rename = "ResultsVisibility", rename_all = "snake_case")]
#[sea_orm(
    rs_type = "String",
    db_type = "String(StringLen::N(16))",
    rename_all = "snake_case"
)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    Always,
    AfterVote,
    AfterClose,
    Author,
}

/// Whether ballots are taken: not yet (`scheduled`), now (`open`), or no more (`closed`).
// The status is derived from the times whenever it is needed, and never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum, Serialize)]
#[oai(rename = "QuestionStatus", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Scheduled,
    Open,
    Closed,
}

impl Model {
    /// The status at `now`.
    pub fn status(&self, now: Time) -> Status {
        let ended = self.closed_at.is_some() || self.sealed_at.is_some();
        if ended || self.closes_at.is_some_and(|closes_at| closes_at <= now) {
            Status::Closed
        } else if self.opens_at.is_some_and(|opens_at| opens_at > now) {
            Status::Scheduled
        } else {
            Status::Open
        }
    }

    /// When voting ended, for a question that is closed.
    pub fn ended_at(&self) -> Option<Time> {
        let ends = [self.closed_at, self.closes_at];
        ends.into_iter().flatten().min().or(self.sealed_at)
    }

    /// Whether the caller is the author or an admin.
    pub fn may_be_changed_by(&self, caller: Caller) -> bool {
        self.author_id == caller.id || caller.is_admin()
    }
}

/// The value of the column `closes_order`.
pub(super) fn closes_order(closes_at: Option<Time>) -> Time {
    closes_at.unwrap_or(Time(i64::MAX))
}
