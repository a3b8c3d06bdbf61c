//! Results as clients see them.

use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::Serialize;
use uuid::Uuid;

use super::results;
use crate::clock::Time;

/// The results of a question at one moment.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(example)]
pub struct Results {
    /// The question that they are of.
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
    /// The choice's id.
    pub id: Uuid,
    /// What people could choose.
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
            choices: results
                .choices
                .into_iter()
                .map(ChoiceResult::from)
                .collect(),
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

impl Example for Results {
    fn example() -> Self {
        let choice = |id, choice_text: &str, votes, share| ChoiceResult {
            id: Uuid::from_u128(id),
            choice_text: choice_text.to_owned(),
            votes,
            share,
        };
        let choices = vec![
            choice(0x0196_3b1c_7a21_7000_8000_0000_0000_0001, "python", 3, 0.5),
            choice(0x0196_3b1c_7a21_7000_8000_0000_0000_0002, "java", 2, 0.3333),
            choice(0x0196_3b1c_7a21_7000_8000_0000_0000_0003, "go", 1, 0.1667),
        ];
        Results {
            question_id: Uuid::from_u128(0x0196_3b1c_7a21_7d4e_9c1f_5a6b_7c8d_9e0f),
            ballot_count: 6,
            leading_choice_ids: vec![choices[0].id],
            choices,
            is_final: false,
            as_of: Time(1_776_282_436_000_000),
        }
    }
}
