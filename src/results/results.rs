//! What the numbers of a poll come to.

use uuid::Uuid;

use super::{Poll, share};
use crate::clock::Time;
use crate::questions::Status;

/// The results of a question at one moment.
#[derive(Debug, Clone)]
pub struct Results {
    pub question_id: Uuid,
    pub ballot_count: i64,
    pub choices: Vec<ChoiceResult>,
    /// Those with the most votes; none while there are no votes.
    pub leading: Vec<Uuid>,
    /// Whether these numbers can no longer move, unless the question is reopened.
    pub is_final: bool,
    pub as_of: Time,
}

/// The result of one choice.
#[derive(Debug, Clone)]
pub struct ChoiceResult {
    pub id: Uuid,
    pub choice_text: String,
    pub votes: i64,
    /// Of the ballots, 0 to 1.
    pub share: f64,
}

/// The results of a poll that was read at `now`.
pub fn results(poll: &Poll, now: Time) -> Results {
    let most = poll
        .choices
        .iter()
        .map(|choice| choice.votes)
        .max()
        .unwrap_or(0);
    let leads = |votes: i64| votes > 0 && votes == most;
    let question = &poll.question;
    Results {
        question_id: question.id,
        ballot_count: poll.ballot_count,
        choices: poll
            .choices
            .iter()
            .map(|choice| ChoiceResult {
                id: choice.id,
                choice_text: choice.choice_text.clone(),
                votes: choice.votes,
                share: share(choice.votes, poll.ballot_count),
            })
            .collect(),
        leading: poll
            .choices
            .iter()
            .filter(|choice| leads(choice.votes))
            .map(|choice| choice.id)
            .collect(),
        is_final: question.sealed_at.is_some() && question.status(now) == Status::Closed,
        as_of: now,
    }
}
