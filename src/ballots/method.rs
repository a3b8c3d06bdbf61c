//! What the voting methods mean for ballots: which ballots are well formed, and what a ballot adds to
//! the counters. How the counters make an outcome is in [`tally`](crate::tally).

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::{Paper, Score};
use crate::failure::{FieldError, Rule};
use crate::questions::Question;
use crate::tally::{BallotKind, Method};

/// What a ballot says about the choices that it names: 1 in a set, the rank from 1 on in a ranking,
/// else the score. Scores of 0 are left out. Two ballots are the same if their marks are.
pub type Marks = BTreeMap<Uuid, i32>;

/// The choices of a question, with their ordinals.
pub(super) type Ordinals = HashMap<Uuid, Option<u8>>;

/// The marks of a ballot on this question, if it is well formed; otherwise its mistakes.
pub(super) fn marks(
    question: &Question,
    choices: &Ordinals,
    paper: &Paper,
) -> Result<Marks, Vec<FieldError>> {
    let mut errors = Vec::new();
    let (field, marks) = match (question.method.ballot_kind(), paper) {
        (BallotKind::Set, Paper::Choices(ids)) => {
            ("/choice_ids", ids.iter().map(|id| (*id, 1)).collect())
        }
        (BallotKind::Ranking, Paper::Choices(ids)) => {
            ("/choice_ids", ids.iter().copied().zip(1..).collect())
        }
        (BallotKind::Scores, Paper::Scores(scores)) => {
            let most = question.effective_max_score();
            for (index, score) in scores.iter().enumerate() {
                if score.score.0 > most {
                    let pointer = format!("/scores/{index}/score");
                    let message = format!("must be 0 to {most} on this question");
                    errors.push(FieldError::new(pointer, Rule::Range, message));
                }
            }
            let above_0 = scores.iter().filter(|score| score.score.0 > 0);
            let marks = above_0.map(|score| (score.choice_id, score.score.0));
            ("/scores", marks.collect::<Marks>())
        }
        (BallotKind::Set | BallotKind::Ranking, Paper::Nothing) => ("/choice_ids", Marks::new()),
        (BallotKind::Scores, Paper::Nothing) => ("/scores", Marks::new()),
        (BallotKind::Set | BallotKind::Ranking, Paper::Scores(_)) => {
            return Err(other_kind("/choice_ids", "/scores", question.method));
        }
        (BallotKind::Scores, Paper::Choices(_)) => {
            return Err(other_kind("/scores", "/choice_ids", question.method));
        }
    };
    let count = i32::try_from(marks.len()).unwrap_or(i32::MAX);
    let (min, max) = (
        question.min_choices,
        question.effective_limit(choices.len()),
    );
    if count < min || count > max {
        let range = match min == max {
            true => format!("{min}"),
            false => format!("{min} to {max}"),
        };
        let message = match question.method.ballot_kind() {
            BallotKind::Set | BallotKind::Ranking => {
                format!("must name {range} of the question's choices")
            }
            BallotKind::Scores => format!("must score {range} of the question's choices above 0"),
        };
        errors.push(FieldError::new(field, Rule::Length, message));
    }
    // A process of the version before may have added a choice without an ordinal.
    let can_be_counted =
        |ordinal: &Option<u8>| ordinal.is_some() || !keeps_profile(question.method);
    let exists = |id: Uuid| choices.get(&id).is_some_and(can_be_counted);
    if !paper.choices().all(exists) {
        let message = "must name choices of this question only";
        errors.push(FieldError::new(field, Rule::Choice, message));
    }
    match errors.is_empty() {
        true => Ok(marks),
        false => Err(errors),
    }
}

fn other_kind(required: &str, given: &str, method: Method) -> Vec<FieldError> {
    let needs = match required {
        "/scores" => "scores",
        _ => "choices",
    };
    let message = format!("is not for this question, whose ballots have {needs} ({method})");
    vec![
        FieldError::new(required, Rule::Required, "is required on this question"),
        FieldError::new(given, Rule::Method, message),
    ]
}

/// How many votes a mark of this value is.
pub(super) fn votes(method: Method, value: i32) -> i64 {
    match method.ballot_kind() {
        BallotKind::Set => 1,
        BallotKind::Ranking => i64::from(value == 1),
        BallotKind::Scores => i64::from(value),
    }
}

/// [`votes`] in SQL: an expression of the columns `q.method` and `m.value`.
pub(super) fn votes_sql() -> String {
    let of = |kind| {
        let methods = Method::ALL.into_iter();
        let methods = methods.filter(|method| method.ballot_kind() == kind);
        let names = methods.map(|method| format!("'{method}'"));
        names.collect::<Vec<_>>().join(", ")
    };
    format!(
        "CASE WHEN q.method IN ({}) THEN 1 WHEN q.method IN ({}) THEN m.value \
         WHEN m.value = 1 THEN 1 ELSE 0 END",
        of(BallotKind::Set),
        of(BallotKind::Scores),
    )
}

/// Whether the ballots on questions with this method are kept in a [profile](super::profile). With
/// `multiple_choice` the votes say it all.
pub fn keeps_profile(method: Method) -> bool {
    method != Method::MultipleChoice
}

/// The choices of a ballot as clients see them: those of a set by id, the others best first.
pub(super) fn best_first(method: Method, marks: &Marks) -> (Vec<Uuid>, Option<Vec<Score>>) {
    let mut best: Vec<(Uuid, i32)> = marks.iter().map(|(id, value)| (*id, *value)).collect();
    let kind = method.ballot_kind();
    match kind {
        BallotKind::Set => {}
        BallotKind::Ranking => best.sort_by_key(|(_, rank)| *rank),
        BallotKind::Scores => best.sort_by_key(|(_, score)| -score),
    }
    let scores = (kind == BallotKind::Scores).then(|| {
        let scores = best.iter().map(|(id, score)| Score::new(*id, *score));
        scores.collect()
    });
    (best.into_iter().map(|(id, _)| id).collect(), scores)
}
