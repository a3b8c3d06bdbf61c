//! Tallies: what the ballots add up to, and who may see it.

pub mod api;
pub mod objects;
pub mod picture;
pub mod poll;
pub mod results;
pub mod shared;
pub mod view;

use crate::clock::Time;
use crate::questions::{Question, Status, Visibility};
use crate::users::Caller;

pub use poll::{Poll, PollChoice};

/// Whether a caller may see a question's numbers at `now`.
///
/// `has_ballot` tells whether the caller has a ballot on it now; it is asked for only with
/// [`Visibility::AfterVote`].
pub fn are_visible(
    question: &Question,
    caller: Option<Caller>,
    has_ballot: bool,
    now: Time,
) -> bool {
    if caller.is_some_and(|caller| question.may_be_changed_by(caller)) {
        return true;
    }
    let closed = question.status(now) == Status::Closed;
    match question.results_visibility {
        Visibility::Always => true,
        Visibility::AfterVote => has_ballot || closed,
        Visibility::AfterClose => closed,
        Visibility::Author => false,
    }
}

/// Whether it takes the caller's ballot to know what they may see.
pub fn depends_on_ballot(question: &Question, caller: Option<Caller>, now: Time) -> bool {
    caller.is_some()
        && !are_visible(question, caller, false, now)
        && are_visible(question, caller, true, now)
}

/// The share of the ballots that name a choice, to four decimals; 0 when there are none.
pub fn share(votes: i64, ballots: i64) -> f64 {
    if ballots <= 0 {
        return 0.0;
    }
    // Counts stay far below 2^53, where every whole number has an exact f64.
    (votes as f64 / ballots as f64 * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_four_decimals_and_no_division_by_zero() {
        assert_eq!(share(1, 3), 0.3333);
        assert_eq!(share(2, 3), 0.6667);
        assert_eq!(share(0, 0), 0.0);
    }
}
