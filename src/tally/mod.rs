//! How ballots are counted: ballots in, outcome and explanation out.
//!
//! This module is pure. Counting needs no database, no HTTP, no clock and no randomness, and no
//! floating-point number decides anything, so that the API, live results and `polls tally` arrive at
//! the same result on every machine.
//!
//! [`count()`] takes the [`Rules`] of a question, a [`Profile`] (how many ballots are alike) and the
//! [`Lot`]. Choices are known by their position: 0 is the first choice of the question.
//! [`Outcome::map`] and [`Explanation::map`] turn positions into ids or names.
//!
//! # The methods, one module each
//! - `totals`: `multiple_choice` and `score`, where the highest sums win. `borda` shares the
//!   selection of the winners.
//! - `borda`: sums of points for places.
//! - `instant_runoff` and `single_transferable_vote`: rounds of transfers. Both move ballots with
//!   `piles` and break ties by earlier rounds with `ties`.
//! - `ranked_pairs`: every choice against every other.
//! - `star`: the two highest sums, then a run-off.
//!
//! # Limits
//! A profile has at most [`MAX_CHOICES`] choices and [`MAX_BALLOTS`] ballots. All sums therefore fit
//! into 64 bits; the one product that does not (surplus × value) is computed with 128 bits. No input
//! makes the code panic. With *n* choices, the time is at most proportional to marks × *n* (to the
//! marks alone for most methods), plus *n*³ for the locking of pairs. Rounds take about 10 bytes of
//! memory for each distinct ballot beside the profile, the other methods only *n*².

mod borda;
mod explanation;
mod instant_runoff;
mod lot;
mod method;
mod number;
mod outcome;
mod piles;
mod profile;
mod ranked_pairs;
mod rules;
mod single_transferable_vote;
mod star;
mod ties;
mod totals;

#[cfg(test)]
mod tests;

pub use explanation::{
    Explanation, Pair, Pairs, PointTotal, PointTotals, Preferring, Round, Rounds, Runoff, Tally,
    TieBrokenBy, Transfer,
};
pub use lot::Lot;
pub use method::{BallotKind, Method, UnknownMethod};
pub use number::{Fixed, Points, Votes};
pub use outcome::{Count, Outcome, Status};
pub use profile::{Ballot, InvalidBallot, MAX_BALLOTS, MAX_CHOICES, Mark, Profile, Turnout};
pub use rules::{Base, NoThreshold, Rules, Threshold, TieBreak};

use lot::Draw;
use outcome::{Found, conclude};

/// Counts a profile by any method.
#[must_use]
pub fn count(rules: &Rules, profile: &Profile, lot: &Lot) -> Count {
    let votes = totals::votes(rules.method, profile);
    let turnout = profile.turnout();
    match rules.method {
        Method::MultipleChoice | Method::Score => count_totals(rules, votes, turnout, lot),
        Method::Borda => {
            let halves = borda::halves(profile);
            let ranked = profile.named();
            conclude(rules, votes, turnout, lot, |rules, draw| Found {
                explanation: Some(borda::explanation(&halves)),
                ..totals::select(&halves, |choice| ranked[choice], rules, draw)
            })
        }
        Method::InstantRunoff => conclude(rules, votes, turnout, lot, |_, draw| {
            instant_runoff::count(profile, draw)
        }),
        Method::SingleTransferableVote => conclude(rules, votes, turnout, lot, |rules, draw| {
            single_transferable_vote::count(rules.seats.max(1), profile, draw)
        }),
        Method::RankedPairs => conclude(rules, votes, turnout, lot, |_, draw| {
            ranked_pairs::count(profile, draw)
        }),
        Method::Star => {
            let sums = votes.clone();
            conclude(rules, votes, turnout, lot, |_, draw| {
                star::count(profile, &sums, draw)
            })
        }
    }
}

/// Counts by `multiple_choice` or `score` from the sums alone, for questions whose profile is not
/// stored. `votes` has one sum for each choice.
#[must_use]
pub fn count_totals(rules: &Rules, votes: Vec<u64>, turnout: Turnout, lot: &Lot) -> Count {
    let threshold = rules
        .threshold
        .filter(|_| rules.method == Method::MultipleChoice);
    let rules = Rules {
        threshold,
        ..*rules
    };
    let totals = votes.clone();
    conclude(&rules, votes, turnout, lot, |rules, draw| {
        let electable = |choice: usize| {
            let total = totals[choice];
            total > 0
                && rules
                    .threshold
                    .is_none_or(|needed| needed.is_reached(total, turnout))
        };
        totals::select(&totals, electable, rules, draw)
    })
}
