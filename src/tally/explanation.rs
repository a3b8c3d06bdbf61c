use poem_openapi::Enum;
use serde::Serialize;

use super::{Points, Votes};

/// How an outcome came about. `C` is how a choice is called: its position, its id or its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Explanation<C = usize> {
    /// `instant_runoff` and `single_transferable_vote`.
    Rounds(Rounds<C>),
    /// `ranked_pairs`.
    Pairs(Pairs<C>),
    /// `borda`.
    Points(PointTotals<C>),
    /// `star`.
    Runoff(Runoff<C>),
}

/// The rule that broke a tie, the last one if several were needed:
///
/// - `earlier_round`: the votes in an earlier round.
/// - `head_to_head`: more ballots prefer one of the tied choices to the other.
/// - `higher_sum`: the higher sum of scores.
/// - `most_fives`: the number of scores of 5.
/// - `lot`: the lot, or the order of positions until a lot is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Enum, Serialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum TieBrokenBy {
    /// The votes in an earlier round.
    EarlierRound,
    /// More ballots prefer one of the tied choices to the other.
    HeadToHead,
    /// The higher sum of scores.
    HigherSum,
    /// The number of scores of 5.
    MostFives,
    Lot,
}

/// The rounds of a count that eliminates choices and transfers votes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rounds<C = usize> {
    /// The votes that elect a choice; only for `single_transferable_vote`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<u64>,
    pub rounds: Vec<Round<C>>,
}

/// One round. The sum of the tallies and `exhausted` is the number of ballots that choose something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Round<C = usize> {
    /// The first round is 1.
    pub round: usize,
    /// The votes of every choice that is not eliminated, before the round's transfers.
    pub tallies: Vec<Tally<C>>,
    /// The votes of ballots that name no continuing choice, and what truncation has lost.
    pub exhausted: Votes,
    pub elected_choice_ids: Vec<C>,
    pub eliminated_choice_ids: Vec<C>,
    pub transfers: Vec<Transfer<C>>,
    /// Set if choices were tied for the elimination or for the next surplus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tie_broken_by: Option<TieBrokenBy>,
}

/// The votes of a choice in a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tally<C = usize> {
    pub choice_id: C,
    pub votes: Votes,
}

/// Votes that move from one choice to another, or that no choice gets if `to_choice_id` is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transfer<C = usize> {
    pub from_choice_id: C,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_choice_id: Option<C>,
    pub votes: Votes,
}

/// All choices head to head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pairs<C = usize> {
    /// In the order of locking; pairs with as many for as against come last and are not locked.
    pub pairs: Vec<Pair<C>>,
    /// The choice that beats every other head to head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condorcet_winner_id: Option<C>,
}

/// Two choices head to head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pair<C = usize> {
    pub winner_id: C,
    pub loser_id: C,
    /// The ballots that prefer the winner.
    #[serde(rename = "for")]
    pub supporting: u64,
    /// The ballots that prefer the loser.
    #[serde(rename = "against")]
    pub opposing: u64,
    /// Whether the pair counts. A pair that would close a circle with those before does not.
    pub locked: bool,
    /// Set if the lot decided the order of this pair and others as strong, and the order mattered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tie_broken_by: Option<TieBrokenBy>,
}

/// The points of every choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PointTotals<C = usize> {
    pub totals: Vec<PointTotal<C>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PointTotal<C = usize> {
    pub choice_id: C,
    pub points: Points,
}

/// The run-off between the two choices with the highest sums of scores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Runoff<C = usize> {
    /// The higher sum first.
    pub finalist_ids: Vec<C>,
    pub preferring: Vec<Preferring<C>>,
    /// The ballots that score both finalists alike, abstentions included.
    pub no_preference: u64,
    /// Set if choices were tied for a place in the run-off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finalists_tie_broken_by: Option<TieBrokenBy>,
    /// The tie of the run-off; if the run-off had none, the tie for a place in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tie_broken_by: Option<TieBrokenBy>,
}

/// The ballots that score a finalist higher than the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preferring<C = usize> {
    pub choice_id: C,
    pub ballots: u64,
}

impl<C> Explanation<C> {
    /// The same explanation with other names for the choices.
    pub fn map<D>(self, name: impl Fn(C) -> D) -> Explanation<D> {
        let name = &name;
        match self {
            Self::Rounds(Rounds { quota, rounds }) => Explanation::Rounds(Rounds {
                quota,
                rounds: rounds.into_iter().map(|round| round.map(name)).collect(),
            }),
            Self::Pairs(Pairs {
                pairs,
                condorcet_winner_id,
            }) => Explanation::Pairs(Pairs {
                pairs: pairs.into_iter().map(|pair| pair.map(name)).collect(),
                condorcet_winner_id: condorcet_winner_id.map(name),
            }),
            Self::Points(PointTotals { totals }) => Explanation::Points(PointTotals {
                totals: totals
                    .into_iter()
                    .map(|total| PointTotal {
                        choice_id: name(total.choice_id),
                        points: total.points,
                    })
                    .collect(),
            }),
            Self::Runoff(runoff) => Explanation::Runoff(Runoff {
                finalist_ids: runoff.finalist_ids.into_iter().map(name).collect(),
                preferring: runoff
                    .preferring
                    .into_iter()
                    .map(|one| Preferring {
                        choice_id: name(one.choice_id),
                        ballots: one.ballots,
                    })
                    .collect(),
                no_preference: runoff.no_preference,
                finalists_tie_broken_by: runoff.finalists_tie_broken_by,
                tie_broken_by: runoff.tie_broken_by,
            }),
        }
    }
}

impl<C> Round<C> {
    fn map<D>(self, name: &impl Fn(C) -> D) -> Round<D> {
        Round {
            round: self.round,
            tallies: self
                .tallies
                .into_iter()
                .map(|tally| Tally {
                    choice_id: name(tally.choice_id),
                    votes: tally.votes,
                })
                .collect(),
            exhausted: self.exhausted,
            elected_choice_ids: self.elected_choice_ids.into_iter().map(name).collect(),
            eliminated_choice_ids: self.eliminated_choice_ids.into_iter().map(name).collect(),
            transfers: self
                .transfers
                .into_iter()
                .map(|transfer| Transfer {
                    from_choice_id: name(transfer.from_choice_id),
                    to_choice_id: transfer.to_choice_id.map(name),
                    votes: transfer.votes,
                })
                .collect(),
            tie_broken_by: self.tie_broken_by,
        }
    }
}

impl<C> Pair<C> {
    fn map<D>(self, name: &impl Fn(C) -> D) -> Pair<D> {
        Pair {
            winner_id: name(self.winner_id),
            loser_id: name(self.loser_id),
            supporting: self.supporting,
            opposing: self.opposing,
            locked: self.locked,
            tie_broken_by: self.tie_broken_by,
        }
    }
}
