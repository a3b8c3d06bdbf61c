//! Who may see the numbers of a question.

use crate::clock::Time;
use crate::failure::{Code, Failure};
use crate::questions::{Question, Status, Visibility};
use crate::users::Caller;

/// Whether a caller may see a question's numbers at `now`. Nobody sees those of an anonymous question
/// before they are final.
///
/// `has_ballot` tells whether the caller has a ballot on it now; it matters only with
/// [`Visibility::AfterVote`].
pub fn are_visible(
    question: &Question,
    caller: Option<Caller>,
    has_ballot: bool,
    now: Time,
) -> bool {
    // Whoever sees who votes, and the numbers before and after, would know what was voted.
    if question.is_anonymous() && !question.is_final() {
        return false;
    }
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

/// Whether the caller sees the numbers with a ballot on the question, and does not without.
pub fn depends_on_ballot(question: &Question, caller: Option<Caller>, now: Time) -> bool {
    caller.is_some()
        && !are_visible(question, caller, false, now)
        && are_visible(question, caller, true, now)
}

/// The results are hidden from the caller.
pub fn hidden() -> Failure {
    Failure::new(
        Code::ResultsHidden,
        "The results of this question are not visible to you yet.",
    )
}
