use poem_openapi::Enum;
use serde::{Deserialize, Serialize};

use super::{Draw, Explanation, Lot, Rules, TieBreak, Turnout};

/// Everything that comes of counting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// For each choice: marks (`multiple_choice`), first preferences (ranked methods) or the sum of
    /// scores (`score`, `star`).
    pub votes: Vec<u64>,
    pub turnout: Turnout,
    pub outcome: Outcome,
    /// The choices that are elected or tied if quorum and threshold are left aside.
    pub leading: Vec<usize>,
    /// Present if the outcome is decided or tied and the votes alone do not explain it.
    pub explanation: Option<Explanation>,
}

/// Who is elected. `C` is how a choice is called: its position, its id or its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome<C = usize> {
    pub status: Status,
    /// Best first: by votes, or in the order of election. Empty unless decided or tied.
    pub elected_choice_ids: Vec<C>,
    /// The choices of which not all can have a seat. Empty unless tied.
    pub tied_choice_ids: Vec<C>,
    /// Whether the lot decided anything in the count.
    pub decided_by_lot: bool,
    /// Whether the order of positions decided something in place of a lot that is not drawn yet.
    pub provisional: bool,
}

/// What became of a question, the first that applies:
///
/// - `no_votes`: no ballot chooses anything.
/// - `no_quorum`: there are fewer ballots than the quorum.
/// - `below_threshold`: no choice that would be elected reaches the threshold.
/// - `tied`: some seats are open because choices are tied for them.
/// - `decided`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename = "OutcomeStatus", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// No ballot chooses anything.
    NoVotes,
    /// There are fewer ballots than the quorum.
    NoQuorum,
    /// No choice that would be elected reaches the threshold.
    BelowThreshold,
    /// Some seats are open because choices are tied for them.
    Tied,
    Decided,
}

impl<C> Outcome<C> {
    const fn empty(status: Status) -> Self {
        Self {
            status,
            elected_choice_ids: Vec::new(),
            tied_choice_ids: Vec::new(),
            decided_by_lot: false,
            provisional: false,
        }
    }

    /// The same outcome with other names for the choices.
    pub fn map<D>(self, name: impl Fn(C) -> D) -> Outcome<D> {
        Outcome {
            status: self.status,
            elected_choice_ids: self.elected_choice_ids.into_iter().map(&name).collect(),
            tied_choice_ids: self.tied_choice_ids.into_iter().map(&name).collect(),
            decided_by_lot: self.decided_by_lot,
            provisional: self.provisional,
        }
    }
}

/// What a method finds, quorum left aside.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) elected: Vec<usize>,
    pub(super) tied: Vec<usize>,
    pub(super) explanation: Option<Explanation>,
}

impl Found {
    pub(super) fn leading(self) -> Vec<usize> {
        let mut leading = self.elected;
        leading.extend(self.tied);
        leading
    }
}

/// Applies what is the same for every method: no votes, no quorum, the threshold's place among the
/// statuses, and what the lot has decided.
pub(super) fn conclude(
    rules: &Rules,
    votes: Vec<u64>,
    turnout: Turnout,
    lot: &Lot,
    find: impl Fn(&Rules, &mut Draw<'_>) -> Found,
) -> Count {
    // Who leads is told without a threshold and without drawing a lot that the outcome does not
    // need.
    let lenient = Rules {
        threshold: None,
        tie_break: TieBreak::None,
        ..*rules
    };
    let lead = || find(&lenient, &mut Draw::new(&Lot::Pending)).leading();
    let without = |status, votes, leading| Count {
        votes,
        turnout,
        outcome: Outcome::empty(status),
        leading,
        explanation: None,
    };
    if turnout.valid() == 0 {
        return without(Status::NoVotes, votes, Vec::new());
    }
    if !rules.has_quorum(turnout) {
        return without(Status::NoQuorum, votes, lead());
    }
    let mut draw = Draw::new(lot);
    let found = find(rules, &mut draw);
    let status = match (found.elected.is_empty(), found.tied.is_empty()) {
        (true, true) => return without(Status::BelowThreshold, votes, lead()),
        (_, false) => Status::Tied,
        (false, true) => Status::Decided,
    };
    let leading = if rules.threshold.is_some() && !draw.is_used() {
        lead()
    } else {
        found.elected.iter().chain(&found.tied).copied().collect()
    };
    Count {
        votes,
        turnout,
        outcome: Outcome {
            status,
            elected_choice_ids: found.elected,
            tied_choice_ids: found.tied,
            decided_by_lot: draw.decided(),
            provisional: draw.is_provisional(),
        },
        leading,
        explanation: found.explanation,
    }
}
