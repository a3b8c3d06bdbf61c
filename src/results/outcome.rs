//! The results of a question, made from its votes and from the count of its ballots.

use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::Serialize;
use uuid::Uuid;

use super::explanation::Explanation;
use super::{Poll, counts};
use crate::clock::Time;
use crate::questions::Question;
use crate::tally::{BallotKind, Count, Method, Status};

/// The results of a question at one moment.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(skip_serializing_if_is_none, example)]
pub struct Results {
    /// The question that they are of.
    pub question_id: Uuid,
    pub method: Method,
    /// How many choices are elected.
    pub seats: i32,
    /// How many people have voted.
    pub ballot_count: i64,
    /// How many of them have chosen nothing.
    pub abstentions: i64,
    /// In their order.
    pub choices: Vec<ChoiceResult>,
    /// The choices that are elected or tied if quorum and threshold are left aside; none without
    /// votes.
    pub leading_choice_ids: Vec<Uuid>,
    pub outcome: Outcome,
    /// Absent where no tie is broken by lot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lot: Option<Lot>,
    // Without a description of its own: beside one, openapi-typescript loses what depends on `kind`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
    /// Whether the numbers can no longer move, unless the question is reopened.
    pub is_final: bool,
    /// The revision of the question. If it is not the one that you know, the question was changed,
    /// such as by a new choice: read it again.
    pub revision: i32,
    /// When they were read.
    pub as_of: Time,
}

/// The results of a question beside a ballot: its numbers, without an outcome.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(example)]
pub struct BallotResults {
    /// The question that they are of.
    pub question_id: Uuid,
    pub method: Method,
    /// How many choices are elected.
    pub seats: i32,
    /// How many people have voted.
    pub ballot_count: i64,
    /// How many of them have chosen nothing.
    pub abstentions: i64,
    /// In their order.
    pub choices: Vec<ChoiceResult>,
    /// The choices with the most votes, as many as there are seats, and those that are tied for the
    /// last seat. Who is elected, the results tell: by some methods it is not the one with the most
    /// votes.
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
    /// How many ballots name it. In rankings: as their first choice; with scores: the sum of its
    /// scores.
    pub votes: i64,
    /// The part of the ballots that name it, of those that choose something, 0 to 1, with four
    /// decimals. With scores: the part of the highest possible sum.
    pub share: f64,
}

/// What is decided.
#[derive(Debug, Clone, Object, Serialize)]
pub struct Outcome {
    pub status: Status,
    /// Who is elected, best first. While choices are `tied`: who is elected for certain. Empty with
    /// any other status but `decided`.
    pub elected_choice_ids: Vec<Uuid>,
    /// The choices of which not all have a seat; empty unless `tied`.
    pub tied_choice_ids: Vec<Uuid>,
    /// Whether the lot has decided anything.
    pub decided_by_lot: bool,
    /// Whether positions have decided something in place of the lot, which is drawn when the results
    /// become final.
    pub provisional: bool,
}

/// The lot of a question.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(skip_serializing_if_is_none)]
pub struct Lot {
    /// The SHA-256 of the seed, in hexadecimal digits.
    pub commitment: String,
    /// The 32 bytes that were drawn when the question was asked, in hexadecimal digits. Only once the
    /// results are final and the lot has decided something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
}

impl Results {
    /// The results of a poll that was read at `now`, with its count.
    pub(super) fn of(poll: &Poll, count: &Count, explained: bool, now: Time) -> Results {
        let question = &poll.question;
        let id = |position: usize| poll.choices.get(position).map_or(Uuid::nil(), |c| c.id);
        let outcome = count.outcome.clone().map(id);
        let explanation = count.explanation.clone().filter(|_| explained);
        Results {
            question_id: question.id,
            method: question.method,
            seats: question.seats,
            ballot_count: poll.ballot_count,
            abstentions: poll.abstentions,
            choices: choices(poll),
            leading_choice_ids: count.leading.iter().copied().map(id).collect(),
            lot: lot(question, outcome.decided_by_lot),
            outcome: Outcome {
                status: outcome.status,
                elected_choice_ids: outcome.elected_choice_ids,
                tied_choice_ids: outcome.tied_choice_ids,
                decided_by_lot: outcome.decided_by_lot,
                provisional: outcome.provisional,
            },
            explanation: explanation.map(|explanation| Explanation(explanation.map(id))),
            is_final: question.is_final(),
            revision: question.revision,
            as_of: now,
        }
    }
}

impl BallotResults {
    /// The numbers of a poll that was read at `now`.
    pub fn of(poll: &Poll, now: Time) -> BallotResults {
        let question = &poll.question;
        let leading = counts::by_sums(poll).leading.into_iter();
        let leading = leading.filter_map(|position| poll.choices.get(position));
        BallotResults {
            question_id: question.id,
            method: question.method,
            seats: question.seats,
            ballot_count: poll.ballot_count,
            abstentions: poll.abstentions,
            choices: choices(poll),
            leading_choice_ids: leading.map(|choice| choice.id).collect(),
            is_final: question.is_final(),
            revision: question.revision,
            as_of: now,
        }
    }
}

fn choices(poll: &Poll) -> Vec<ChoiceResult> {
    let highest = match poll.question.method.ballot_kind() {
        BallotKind::Set | BallotKind::Ranking => 1,
        BallotKind::Scores => i64::from(poll.question.effective_max_score()),
    };
    let most = (poll.ballot_count - poll.abstentions).saturating_mul(highest);
    let choices = poll.choices.iter().map(|choice| {
        let votes = choice.votes.unwrap_or(0);
        ChoiceResult {
            id: choice.id,
            choice_text: choice.choice_text.clone(),
            votes,
            share: share(votes, most),
        }
    });
    choices.collect()
}

/// The lot, with its seed once it has decided something.
fn lot(question: &Question, decided: bool) -> Option<Lot> {
    let seed = question.lot_seed.filter(|_| decided);
    Some(Lot {
        commitment: question.lot_commitment()?,
        seed: seed.map(|seed| seed.to_string()),
    })
}

/// The share of the votes that are possible, to four decimals; 0 when there are none.
fn share(votes: i64, most: i64) -> f64 {
    if most <= 0 {
        return 0.0;
    }
    // Counts stay far below 2^53, where every whole number has an exact f64.
    (votes as f64 / most as f64 * 10_000.0).round() / 10_000.0
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
            method: Method::MultipleChoice,
            seats: 1,
            ballot_count: 6,
            abstentions: 0,
            leading_choice_ids: vec![choices[0].id],
            outcome: Outcome {
                status: Status::Decided,
                elected_choice_ids: vec![choices[0].id],
                tied_choice_ids: Vec::new(),
                decided_by_lot: false,
                provisional: false,
            },
            lot: None,
            explanation: None,
            choices,
            is_final: false,
            revision: 1,
            as_of: Time(1_776_282_436_000_000),
        }
    }
}

impl Example for BallotResults {
    fn example() -> Self {
        let results = Results::example();
        BallotResults {
            question_id: results.question_id,
            method: results.method,
            seats: results.seats,
            ballot_count: results.ballot_count,
            abstentions: results.abstentions,
            choices: results.choices,
            leading_choice_ids: results.leading_choice_ids,
            is_final: results.is_final,
            revision: results.revision,
            as_of: results.as_of,
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
