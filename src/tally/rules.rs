use std::fmt;
use std::str::FromStr;

use poem_openapi::{Enum, Object};
use sea_orm::DeriveValueType;
use sea_orm::entity::prelude::{DeriveActiveEnum, EnumIter, StringLen};
use serde::{Deserialize, Serialize};
use validator::Validate;

use super::{Method, Turnout};
use crate::input::exact;

/// The rules of a question that decide its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    pub method: Method,
    /// How many choices are elected. Methods with one seat elect one, whatever stands here.
    pub seats: usize,
    /// The least number of ballots, abstentions included.
    pub quorum: Option<u64>,
    /// Only `multiple_choice` has a threshold; every other method ignores this field.
    pub threshold: Option<Threshold>,
    /// Only methods that can show ties read this field; the others always use the lot.
    pub tie_break: TieBreak,
}

impl Rules {
    /// The rules of a question that says nothing more than its method and seats.
    #[must_use]
    pub const fn new(method: Method, seats: usize) -> Self {
        let tie_break = if method.can_show_ties() {
            TieBreak::None
        } else {
            TieBreak::Lot
        };
        Self {
            method,
            seats,
            quorum: None,
            threshold: None,
            tie_break,
        }
    }

    pub(super) fn has_quorum(&self, turnout: Turnout) -> bool {
        self.quorum.is_none_or(|quorum| turnout.ballots >= quorum)
    }
}

/// What happens to a tie for the last seat:
///
/// - `none`: the tie is the result.
/// - `lot`: the lot breaks the tie.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    Enum,
    EnumIter,
    DeriveActiveEnum,
    Serialize,
    Deserialize,
)]
#[oai(rename_all = "snake_case")]
#[sea_orm(
    rs_type = "String",
    db_type = "String(StringLen::N(8))",
    rename_all = "snake_case"
)]
#[serde(rename_all = "snake_case")]
pub enum TieBreak {
    /// The tie is the result.
    #[default]
    None,
    /// The lot breaks the tie.
    Lot,
}

/// The part of the votes that a choice needs to be elected, such as two thirds of the votes cast.
// Majorities of the votes cast leave abstentions out, as Robert's Rules of Order Newly Revised (12th
// edition, 44:1) do. In text, as the database and files have it, a threshold is `2/3 of votes_cast`
// or `more than 1/2 of ballots`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Object, DeriveValueType, Serialize, Deserialize, Validate,
)]
#[oai(deny_unknown_fields)]
#[sea_orm(value_type = "String")]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// Not greater than the denominator.
    #[oai(validator(minimum(value = "1"), maximum(value = "1000")))]
    #[validate(range(min = 1, max = 1000))]
    pub numerator: u32,
    /// Of how many parts.
    #[oai(validator(minimum(value = "1"), maximum(value = "1000")))]
    #[validate(range(min = 1, max = 1000))]
    pub denominator: u32,
    #[serde(deserialize_with = "exact::word")]
    pub of: Base,
    /// Whether the votes have to exceed the fraction, which then is less than 1. Where false or
    /// absent, the exact fraction is enough.
    #[oai(default)]
    #[serde(default)]
    pub exceed: bool,
}

/// What a threshold is a fraction of:
///
/// - `votes_cast`: the ballots that choose something.
/// - `ballots`: all ballots, abstentions included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename = "ThresholdBase", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Base {
    /// The ballots that choose something.
    VotesCast,
    /// All ballots, abstentions included.
    Ballots,
}

impl Threshold {
    pub(super) fn is_reached(self, votes: u64, turnout: Turnout) -> bool {
        let base = match self.of {
            Base::VotesCast => turnout.valid(),
            Base::Ballots => turnout.ballots,
        };
        let votes = u128::from(votes) * u128::from(self.denominator);
        let needed = u128::from(base) * u128::from(self.numerator);
        if self.exceed {
            votes > needed
        } else {
            votes >= needed
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exceed = if self.exceed { "more than " } else { "" };
        let of = match self.of {
            Base::VotesCast => "votes_cast",
            Base::Ballots => "ballots",
        };
        write!(f, "{exceed}{}/{} of {of}", self.numerator, self.denominator)
    }
}

/// A text that is not a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a threshold is such as `2/3 of votes_cast` or `more than 1/2 of ballots`")]
pub struct NoThreshold;

impl FromStr for Threshold {
    type Err = NoThreshold;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (exceed, fraction) = match text.strip_prefix("more than ") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (fraction, base) = fraction.split_once(" of ").ok_or(NoThreshold)?;
        let (numerator, denominator) = fraction.split_once('/').ok_or(NoThreshold)?;
        let number = |text: &str| text.trim().parse().map_err(|_| NoThreshold);
        let of = match base.trim() {
            "votes_cast" => Base::VotesCast,
            "ballots" => Base::Ballots,
            _ => return Err(NoThreshold),
        };
        Ok(Self {
            numerator: number(numerator)?,
            denominator: number(denominator)?,
            of,
            exceed,
        })
    }
}
