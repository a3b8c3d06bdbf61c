//! The table of questions.

use sea_orm::entity::prelude::*;

use crate::clock::Time;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
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
    pub allow_change: bool,
    pub results_visibility: Visibility,
    pub opens_at: Option<Time>,
    pub closes_at: Option<Time>,
    /// `closes_at`, or the end of time where there is none: sorts those last.
    pub closes_order: Time,
    /// When somebody closed it.
    pub closed_at: Option<Time>,
    /// Since when nothing can be counted into it any more.
    pub sealed_at: Option<Time>,
    pub deleted_at: Option<Time>,
    pub revision: i32,
    pub created_at: Time,
    pub updated_at: Time,
}

impl ActiveModelBehavior for ActiveModel {}

/// Who may see a question's numbers. Its author and admins always may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))")]
pub enum Visibility {
    /// Everyone.
    #[sea_orm(string_value = "always")]
    Always,
    /// Who has a ballot now, and everyone once it is closed.
    #[sea_orm(string_value = "after_vote")]
    AfterVote,
    /// Everyone once it is closed.
    #[sea_orm(string_value = "after_close")]
    AfterClose,
    /// Nobody else.
    #[sea_orm(string_value = "author")]
    Author,
}

/// Whether ballots are taken; told by the clock at every read and write, never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
}
