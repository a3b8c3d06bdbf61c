use serde::{Deserialize, Serialize};

use super::{Method, Turnout};

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

/// What happens to a tie for the last seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TieBreak {
    /// The tie is the result.
    #[default]
    None,
    /// The lot breaks the tie.
    Lot,
}

/// The part of the votes that a choice needs to be elected.
///
/// Majorities of the votes cast leave abstentions out, as Robert's Rules of Order Newly Revised
/// (12th edition, 44:1) do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    pub numerator: u32,
    pub denominator: u32,
    pub of: Base,
    /// Whether the votes have to exceed the fraction. Otherwise the exact fraction is enough.
    #[serde(default)]
    pub exceed: bool,
}

/// What a threshold is a fraction of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
