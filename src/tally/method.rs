use std::fmt;
use std::str::FromStr;

use poem_openapi::Enum;
use sea_orm::entity::prelude::{DeriveActiveEnum, EnumIter, StringLen};
use serde::{Deserialize, Serialize};

/// How the ballots of a question are counted:
///
/// - `multiple_choice`: the choices with the most votes win. With `max_choices` 1 this is
///   plurality, with more it is approval voting.
/// - `instant_runoff`: ballots rank the choices. One choice is eliminated in each round, until one
///   has more than half of the continuing ballots.
/// - `single_transferable_vote`: ballots rank the choices, and several seats are filled in
///   proportion, by the rules of Scottish council elections.
/// - `ranked_pairs`: ballots rank the choices. A choice that beats every other one head to head
///   wins; where there is none, the clearest victories count first.
/// - `borda`: ballots rank the choices, and each place is worth points.
/// - `score`: ballots score the choices, and the highest sums win.
/// - `star`: ballots score the choices from 0 to 5. Of the two with the highest sums the one that
///   more ballots prefer wins.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Default,
    Enum,
    EnumIter,
    DeriveActiveEnum,
    Serialize,
    Deserialize,
)]
#[oai(rename = "VotingMethod", rename_all = "snake_case")]
#[sea_orm(
    rs_type = "String",
    db_type = "String(StringLen::N(32))",
    rename_all = "snake_case"
)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The choices with the most votes: plurality if a ballot names one choice, approval voting if
    /// a ballot may name several.
    #[default]
    MultipleChoice,
    /// Eliminates one choice a round until one has more than half of the continuing ballots.
    InstantRunoff,
    /// Several seats in proportion, by the rules of Scottish council elections.
    SingleTransferableVote,
    /// Tideman's method: head-to-head victories, the largest first.
    RankedPairs,
    /// Points for places: n−1 for the first of n choices, 0 for the last.
    Borda,
    /// The highest sums of scores.
    Score,
    /// Score, then automatic run-off between the two highest sums.
    Star,
}

/// What a ballot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BallotKind {
    /// A set of choices.
    Set,
    /// Choices, best first.
    Ranking,
    /// A score for each choice.
    Scores,
}

impl Method {
    pub const ALL: [Self; 7] = [
        Self::MultipleChoice,
        Self::InstantRunoff,
        Self::SingleTransferableVote,
        Self::RankedPairs,
        Self::Borda,
        Self::Score,
        Self::Star,
    ];

    /// The name in JSON, in files and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MultipleChoice => "multiple_choice",
            Self::InstantRunoff => "instant_runoff",
            Self::SingleTransferableVote => "single_transferable_vote",
            Self::RankedPairs => "ranked_pairs",
            Self::Borda => "borda",
            Self::Score => "score",
            Self::Star => "star",
        }
    }

    #[must_use]
    pub const fn ballot_kind(self) -> BallotKind {
        match self {
            Self::MultipleChoice => BallotKind::Set,
            Self::InstantRunoff
            | Self::SingleTransferableVote
            | Self::RankedPairs
            | Self::Borda => BallotKind::Ranking,
            Self::Score | Self::Star => BallotKind::Scores,
        }
    }

    /// Whether sums are not enough to count by this method, so that a profile of the ballots has
    /// to be read.
    #[must_use]
    pub const fn needs_profile(self) -> bool {
        !matches!(self, Self::MultipleChoice | Self::Score)
    }

    /// Whether the method can only elect one choice.
    #[must_use]
    pub const fn has_one_seat(self) -> bool {
        matches!(self, Self::InstantRunoff | Self::RankedPairs | Self::Star)
    }

    /// Whether a tie for the last seat can be left as the result. The other methods have to break
    /// ties in the middle of the count and always use the lot.
    #[must_use]
    pub const fn can_show_ties(self) -> bool {
        matches!(self, Self::MultipleChoice | Self::Borda | Self::Score)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A method of a name that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownMethod(pub String);

impl fmt::Display for UnknownMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = Method::ALL.iter().map(|method| method.name()).collect();
        write!(
            f,
            "{:?} is not a voting method; the methods are {}",
            self.0,
            names.join(", ")
        )
    }
}

impl std::error::Error for UnknownMethod {}

impl FromStr for Method {
    type Err = UnknownMethod;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|method| method.name() == name)
            .ok_or_else(|| UnknownMethod(name.to_owned()))
    }
}
