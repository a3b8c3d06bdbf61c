//! Results as clients see them.

use poem_openapi::Object;
use serde::Serialize;
use uuid::Uuid;

use super::results;
use crate::clock::Time;

/// The results of a question at one moment.
#[derive(Debug, Clone, Object, Serialize)]
pub struct Results {
    pub question_id: Uuid,
    /// How many people have voted.
    pub ballot_count: i64,
    /// In their order.
    pub choices: Vec<ChoiceResult>,
    /// The choices with the most votes; several where they are tied, none without votes.
    pub leading_choice_ids: Vec<Uuid>,
    /// Whether the numbers can no longer move, unless the question is reopened.
    pub is_final: bool,
    /// When they were read.
    pub as_of: Time,
}

/// The result of one choice.
#[derive(Debug, Clone, Object, Serialize)]
pub struct ChoiceResult {
    pub id: Uuid,
    pub choice_text: String,
    /// How many ballots name it.
    pub votes: i64,
    /// The part of the ballots that name it, 0 to 1, with four decimals.
    pub share: f64,
}

impl From<results::Results> for Results {
    fn from(results: results::Results) -> Results {
        Results {
            question_id: results.question_id,
            ballot_count: results.ballot_count,
            choices: results.choices.into_iter().map(ChoiceResult::from).collect(),
            leading_choice_ids: results.leading,
            is_final: results.is_final,
            as_of: results.as_of,
        }
    }
}

impl From<results::ChoiceResult> for ChoiceResult {
    fn from(choice: results::ChoiceResult) -> ChoiceResult {
        ChoiceResult {
            id: choice.id,
            choice_text: choice.choice_text,
            votes: choice.votes,
            share: choice.share,
        }
    }
}
