//! The results of a question, computed from its votes.

use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::Serialize;
use uuid::Uuid;

use super::Poll;
use crate::clock::Time;
use crate::questions::Status;

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
    /// The revision of the question. If it is not the one that you know, the question was changed,
    /// such as by a new choice: read it again.
    pub revision: i32,
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

impl Results {
    /// The results of a poll that was read at `now`.
    pub fn of(poll: &Poll, now: Time) -> Results {
        let question = &poll.question;
        let choices = poll.choices.iter().map(|choice| {
            let votes = choice.votes.unwrap_or(0);
            ChoiceResult {
                id: choice.id,
                choice_text: choice.choice_text.clone(),
                votes,
                share: share(votes, poll.ballot_count),
            }
        });
        let choices: Vec<ChoiceResult> = choices.collect();
        let most = choices.iter().map(|choice| choice.votes).max().unwrap_or(0);
        let leading = choices
            .iter()
            .filter(|choice| choice.votes > 0 && choice.votes == most);
        Results {
            question_id: question.id,
            ballot_count: poll.ballot_count,
            leading_choice_ids: leading.map(|choice| choice.id).collect(),
            choices,
            is_final: question.sealed_at.is_some() && question.status(now) == Status::Closed,
            revision: question.revision,
            as_of: now,
        }
    }
}

/// The share of the ballots that name a choice, to four decimals; 0 when there are none.
fn share(votes: i64, ballots: i64) -> f64 {
    if ballots <= 0 {
        return 0.0;
    }
    // Counts stay far below 2^53, where every whole number has an exact f64.
    (votes as f64 / ballots as f64 * 10_000.0).round() / 10_000.0
}

impl Example for Results {
    fn example() -> Self {
        let choice = |id, choice_text: &str, votes| ChoiceResult {
            id: Uuid::from_u128(id),
            choice_text: choice_text.to_owned(),
            votes,
            share: share(votes, 6),
        };
        let choices = vec![
            choice(0x0196_3b1c_7a21_7000_8000_0000_0000_0001, "python", 3),
            choice(0x0196_3b1c_7a21_7000_8000_0000_0000_0002, "java", 2),
            choice(0x0196_3b1c_7a21_7000_8000_0000_0000_0003, "go", 1),
        ];
        Results {
            question_id: Uuid::from_u128(0x0196_3b1c_7a21_7d4e_9c1f_5a6b_7c8d_9e0f),
            ballot_count: 6,
            leading_choice_ids: vec![choices[0].id],
            choices,
            is_final: false,
            revision: 1,
            as_of: Time(1_776_282_436_000_000),
        }
    }
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
