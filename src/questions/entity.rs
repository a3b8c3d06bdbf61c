//! The table of questions.

use poem_openapi::Enum;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use super::document;
use super::lot::Seed;
use crate::clock::Time;
use crate::tally::{Method, Rules, Threshold, TieBreak};
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
    pub method: Method,
    pub seats: i32,
    pub min_choices: i32,
    /// The number of choices that processes of the version before allow, which know neither other
    /// methods than `multiple_choice`, nor ballots without choices, nor who may vote, nor anonymous
    /// ballots: 0, so that they refuse ballots, where a question has them. See [`Model::limit`].
    pub max_choices: i32,
    /// How many choices a ballot names at most; none for the default of the method.
    pub choice_limit: Option<i32>,
    /// None for the default of the method.
    pub max_score: Option<i32>,
    /// None for the default of the method.
    pub tie_break: Option<TieBreak>,
    pub quorum: Option<i32>,
    #[serde(deserialize_with = "document::text_or_null")]
    pub threshold: Option<Threshold>,
    /// None for a question of the version before that needs no lot.
    #[serde(deserialize_with = "document::text_or_null")]
    pub lot_seed: Option<Seed>,
    /// Whether processes of the version before let voters change and withdraw ballots: false where
    /// they may not take any, because they would subtract them wrongly.
    /// See [`Model::allows_change`].
    #[sea_orm(column_name = "allow_change")]
    #[serde(rename = "allow_change", deserialize_with = "document::flag")]
    pub older_allow_change: bool,
    /// Whether voters may change and withdraw ballots that those processes may not take.
    #[serde(deserialize_with = "document::flag")]
    pub changes_allowed: bool,
    pub results_visibility: Visibility,
    pub electorate: Electorate,
    /// How many ballots of guests one network address may cast; none for any number.
    pub ballots_per_address: Option<i32>,
    /// Whether lists and searches show it.
    #[serde(deserialize_with = "document::flag")]
    pub listed: bool,
    pub ballot_secrecy: BallotSecrecy,
    /// Whether voting went on after a close.
    #[serde(deserialize_with = "document::flag")]
    pub reopened: bool,
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
    /// Since when no ballot can be cast, though it is not sealed yet: only with anonymous ballots,
    /// which are first stored anew.
    #[serde(deserialize_with = "document::time_or_null")]
    pub frozen_at: Option<Time>,
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

/// Who may vote.
///
/// - `accounts`: whoever has signed in.
/// - `verified`: accounts whose email address is verified.
/// - `anyone`: accounts and guests.
/// - `invited`: whoever uses an invitation to this question.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Enum,
    EnumIter,
    DeriveActiveEnum,
    Serialize,
    Deserialize,
)]
#[oai(rename_all = "snake_case")]
#[sea_orm(
    rs_type = "String",
    db_type = "String(StringLen::N(16))",
    rename_all = "snake_case"
)]
#[serde(rename_all = "snake_case")]
pub enum Electorate {
    #[default]
    Accounts,
    Verified,
    Anyone,
    Invited,
}

/// Who learns how somebody voted.
///
/// - `secret`: only the voter.
/// - `public`: whoever may see the results.
/// - `anonymous`: nobody; what was voted is stored apart from who voted.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Enum,
    EnumIter,
    DeriveActiveEnum,
    Serialize,
    Deserialize,
)]
#[oai(rename_all = "snake_case")]
#[sea_orm(
    rs_type = "String",
    db_type = "String(StringLen::N(16))",
    rename_all = "snake_case"
)]
#[serde(rename_all = "snake_case")]
pub enum BallotSecrecy {
    #[default]
    Secret,
    Public,
    Anonymous,
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

/// The highest score where the question does not say otherwise, and always for `star`.
pub const MAX_SCORE: i32 = 5;

impl Model {
    /// How many choices a ballot names at most, as the author has set it; none for the default of
    /// the method.
    pub fn limit(&self) -> Option<i32> {
        match (self.max_choices, self.choice_limit) {
            (0, limit) => limit,
            (1, None) => None,
            // Set by a process of the version before, which knows the one column only.
            (limit, _) => Some(limit),
        }
    }

    /// How many choices a ballot names at most, if the question has this number of choices.
    pub fn effective_limit(&self, choices: usize) -> i32 {
        self.limit().unwrap_or_else(|| match self.method {
            Method::MultipleChoice => 1,
            _ => i32::try_from(choices).unwrap_or(i32::MAX),
        })
    }

    /// Whether voters may change and withdraw their ballots.
    pub fn allows_change(&self) -> bool {
        match self.is_for_all_versions() {
            true => self.older_allow_change,
            false => self.changes_allowed,
        }
    }

    /// Whether processes of the version before may take ballots on it. They know neither other
    /// methods than `multiple_choice`, nor ballots without choices, nor who may vote, nor anonymous
    /// ballots.
    fn is_for_all_versions(&self) -> bool {
        self.method == Method::MultipleChoice
            && self.min_choices > 0
            && matches!(self.electorate, Electorate::Accounts | Electorate::Anyone)
            && !self.is_anonymous()
    }

    /// Sets how many choices a ballot names at most, and whether it may be changed. To be called
    /// after a change of the method, of `min_choices`, of the electorate or of the secrecy, too.
    pub(super) fn set_ballot_rules(&mut self, limit: Option<i32>, allows_change: bool) {
        let for_all = self.is_for_all_versions();
        self.older_allow_change = allows_change && for_all;
        self.changes_allowed = allows_change && !for_all;
        if self.limit() == limit && (self.max_choices > 0) == for_all {
            return;
        }
        self.choice_limit = limit;
        self.max_choices = if for_all { limit.unwrap_or(1) } else { 0 };
    }

    /// The highest score of a scored ballot.
    pub fn effective_max_score(&self) -> i32 {
        self.max_score.unwrap_or(MAX_SCORE)
    }

    pub fn effective_tie_break(&self) -> TieBreak {
        let default = Rules::new(self.method, 1).tie_break;
        self.tie_break.unwrap_or(default)
    }

    /// The commitment to the lot, if ties are broken by lot.
    pub fn lot_commitment(&self) -> Option<String> {
        let seed = self
            .lot_seed
            .filter(|_| self.effective_tie_break() == TieBreak::Lot);
        seed.map(|seed| seed.commitment())
    }

    /// How ballots are counted.
    pub fn rules(&self) -> Rules {
        Rules {
            method: self.method,
            seats: usize::try_from(self.seats).unwrap_or(1),
            quorum: self.quorum.and_then(|quorum| u64::try_from(quorum).ok()),
            threshold: self.threshold,
            tie_break: self.effective_tie_break(),
        }
    }

    /// Whether the numbers can no longer change, unless the question is reopened.
    pub fn is_final(&self) -> bool {
        self.sealed_at.is_some()
    }

    /// The status at `now`.
    pub fn status(&self, now: Time) -> Status {
        let ends = [self.closed_at, self.frozen_at, self.sealed_at];
        let ended = ends.iter().any(Option::is_some);
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

    /// Whether nobody can find out afterwards who has voted for what.
    pub fn is_anonymous(&self) -> bool {
        self.ballot_secrecy == BallotSecrecy::Anonymous
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
