//! Ballots that are sent: for each method what its ballots say, and the votes that they add.

use bytes::Bytes;
use rand::seq::SliceRandom as _;
use serde_json::{Value, json};

use super::api::Question;
use crate::tally::{BallotKind, Method};

/// The body of a request that casts a ballot.
#[derive(Debug)]
pub struct Body {
    pub json: Bytes,
    /// The choices, by index, to which the ballot adds votes, and how many.
    pub votes: Vec<(usize, i64)>,
}

/// How many different rankings or scores are sent.
const VARIETY: usize = 240;

/// The ballots for a question. Those that users cast one after the other differ.
pub fn of(question: &Question) -> Vec<Body> {
    let count = question.choices.len();
    let rotated = |first: usize| (first..first + count).map(move |choice| choice % count);
    match question.method.ballot_kind() {
        BallotKind::Set => (0..count)
            .map(|first| {
                let chosen: Vec<usize> = rotated(first).take(question.min_choices).collect();
                Body {
                    json: choices(question, &chosen),
                    votes: chosen.into_iter().map(|choice| (choice, 1)).collect(),
                }
            })
            .collect(),
        // The first choices take turns, and the others follow at random.
        BallotKind::Ranking => (0..VARIETY)
            .map(|number| {
                let mut ranking: Vec<usize> = rotated(number % count).collect();
                ranking[1..].shuffle(&mut rand::rng());
                ranking.truncate(question.max_choices);
                Body {
                    json: choices(question, &ranking),
                    votes: vec![(ranking[0], 1)],
                }
            })
            .collect(),
        // The choices with the highest score take turns, and the others get lower ones at random.
        BallotKind::Scores => (0..VARIETY)
            .map(|number| {
                let most = question.max_score;
                let scores = (0..question.max_choices).map(|place| {
                    let least = i64::from(place < question.min_choices);
                    match place {
                        0 => most,
                        _ => rand::random_range(least..=least.max(most - 1)),
                    }
                });
                let scored = rotated(number % count).zip(scores);
                let votes: Vec<(usize, i64)> = scored.filter(|(_, score)| *score > 0).collect();
                let scores = votes.iter().map(
                    |(choice, score)| json!({"choice_id": question.choices[*choice], "score": score}),
                );
                let scores: Value = scores.collect();
                Body {
                    json: json!({"scores": scores}).to_string().into(),
                    votes,
                }
            })
            .collect(),
    }
}

fn choices(question: &Question, chosen: &[usize]) -> Bytes {
    let ids: Vec<&String> = chosen
        .iter()
        .map(|choice| &question.choices[*choice])
        .collect();
    json!({"choice_ids": ids}).to_string().into()
}

/// The method that the JSON of a question names; servers that know only one do not.
pub fn method(question: &Value) -> Option<Method> {
    match question["method"].as_str() {
        None => Some(Method::MultipleChoice),
        Some(name) => name.parse().ok(),
    }
}
