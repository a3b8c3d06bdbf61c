//! The profile of a question: how many of its ballots are alike. It is what every voting method can
//! be counted from; see [`tally`](crate::tally).
//!
//! In the table a ballot is a string of bytes: the ordinals of its choices, best first; with scores
//! each ordinal, in ascending order, followed by the score. Ballots that choose nothing have no row.
//! A row whose number is 0 may be left behind.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DbErr};
use uuid::Uuid;

use super::method::{Marks, Ordinals, keeps_profile};
use crate::db::{self, Column, Rows, Script};
use crate::tally::{BallotKind, InvalidBallot, Method, Profile};

/// The key of a ballot in the profile; none if the question keeps no profile or the ballot chooses
/// nothing.
pub(super) fn key(method: Method, marks: &Marks, ordinals: &Ordinals) -> Option<Vec<u8>> {
    if !keeps_profile(method) || marks.is_empty() {
        return None;
    }
    let ordinal = |id| ordinals.get(id).copied().flatten();
    let marks = marks
        .iter()
        .filter_map(|(id, value)| Some((ordinal(id)?, *value)));
    Some(encode(method, marks.collect()))
}

/// The key of a ballot with these marks, each an ordinal and a value.
pub(super) fn encode(method: Method, mut marks: Vec<(u8, i32)>) -> Vec<u8> {
    match method.ballot_kind() {
        BallotKind::Set | BallotKind::Ranking => {
            marks.sort_unstable_by_key(|(_, rank)| *rank);
            marks.into_iter().map(|(ordinal, _)| ordinal).collect()
        }
        BallotKind::Scores => {
            marks.sort_unstable();
            let pairs = marks.into_iter();
            let pairs = pairs.map(|(ordinal, score)| [ordinal, u8::try_from(score).unwrap_or(0)]);
            pairs.flatten().collect()
        }
    }
}

/// The choices of a ballot of the table, called by their ordinals, in the order of the key; each with
/// its score if ballots are scored.
pub(super) fn decode(method: Method, key: &[u8]) -> Vec<(u8, Option<u8>)> {
    match method.ballot_kind() {
        BallotKind::Set | BallotKind::Ranking => {
            key.iter().map(|ordinal| (*ordinal, None)).collect()
        }
        BallotKind::Scores => {
            let (pairs, _) = key.as_chunks();
            let pairs = pairs.iter();
            pairs
                .map(|[ordinal, score]| (*ordinal, Some(*score)))
                .collect()
        }
    }
}

/// Adds ballots of the table to a profile on choices that are called by their ordinals.
pub fn push(
    profile: &mut Profile,
    method: Method,
    key: &[u8],
    count: u64,
) -> Result<(), InvalidBallot> {
    let choice = |ordinal: &u8| usize::from(*ordinal);
    match method.ballot_kind() {
        BallotKind::Set | BallotKind::Ranking => {
            profile.push_choices(count, key.iter().map(choice))
        }
        BallotKind::Scores => {
            let pairs = key.chunks_exact(2);
            profile.push_scores(count, pairs.map(|pair| (choice(&pair[0]), pair[1])))
        }
    }
}

/// Adds to the counters of this process's `slot`. Sorted, so that two transactions cannot wait for
/// each other.
pub(super) fn add(
    db: &impl ConnectionTrait,
    script: &mut Script,
    slot: i32,
    changes: BTreeMap<(Uuid, Vec<u8>), i64>,
) {
    let mut rows = Rows::new();
    for ((question, ballot), change) in changes {
        if change != 0 {
            rows.push_bytes(&[question], &ballot, &[change]);
        }
    }
    if rows.is_empty() {
        return;
    }
    let columns = [
        Column::Id("question_id"),
        Column::Bytes("ballot"),
        Column::Integer("ballots"),
    ];
    let sql = format!(
        "INSERT INTO profile_shards (question_id, shard, ballot, ballots) \
         SELECT question_id, {slot}, ballot, ballots FROM {rows} WHERE true {adding}",
        rows = db::rows(db, "r", &columns),
        adding = db::adding(
            db,
            "profile_shards",
            "question_id, shard, ballot",
            &["ballots"]
        ),
    );
    script.then(sql, [rows.to_value()]);
}

/// A query for the distinct ballots of a question and their numbers. Its parameter is the id of the
/// question.
const DISTINCT: &str = "SELECT ballot AS bytes, SUM(ballots) AS n FROM profile_shards \
                        WHERE question_id = ? GROUP BY ballot HAVING SUM(ballots) <> 0";

/// The same query, packed: its rows are [`db::Packed`]. `ballots` is about how many there are.
pub fn ballots_sql(db: &impl ConnectionTrait, ballots: u64) -> String {
    /// How many ballots are packed into one row.
    const PACK: u64 = 1_000;
    db::packed(db, DISTINCT, ballots / PACK + 1)
}

/// A query for the ballots on a question with `multiple_choice`, which keeps no profile: a row for each
/// that chooses something, with the positions of its choices as text, in any order and with a comma
/// between them. Its parameter is the id of the question.
pub fn sets_sql(db: &impl ConnectionTrait) -> String {
    let positions = db::joined(db, "concat(c.position)");
    format!(
        "SELECT {positions} FROM ballot_marks m {} choices c ON c.id = m.choice_id \
         WHERE m.question_id = ? GROUP BY m.user_id",
        db::join(db)
    )
}

/// The size of a question's profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// The number of distinct ballots.
    pub ballots: u64,
    /// The number of marks on these.
    pub marks: u64,
}

/// Reads how large the profile of a question with this method is.
pub async fn size(
    db: &impl ConnectionTrait,
    (question, method): (Uuid, Method),
) -> Result<Size, DbErr> {
    let bytes_per_mark = match method.ballot_kind() {
        BallotKind::Set | BallotKind::Ranking => 1,
        BallotKind::Scores => 2,
    };
    let sql = format!(
        "SELECT COUNT(*), {} FROM ({DISTINCT}) b",
        db::integer(db, "COALESCE(SUM(LENGTH(bytes)), 0)")
    );
    let row = db
        .query_one_raw(db::statement(db, &sql, [question.into()]))
        .await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("the size of a profile".to_owned()))?;
    let number = |column| row.try_get_by_index::<i64>(column);
    let number = |column| number(column).map(|number| u64::try_from(number).unwrap_or(0));
    Ok(Size {
        ballots: number(0)?,
        marks: number(1)? / bytes_per_mark,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ballot_is_read_as_it_was_written() {
        let ids = [1, 2, 3].map(Uuid::from_u128);
        let ordinals: Ordinals = ids.into_iter().zip([7, 0, 9].map(Some)).collect();
        // The choice with the ordinal 7 stands first in the question.
        let position = |ordinal| [7, 0, 9].iter().position(|of| *of == ordinal);
        let read = |method, marks: &[(usize, i32)]| {
            let marks = marks.iter().map(|(index, value)| (ids[*index], *value));
            let key = key(method, &marks.collect(), &ordinals).unwrap();
            let mut profile = Profile::new(256);
            push(&mut profile, method, &key, 5).unwrap();
            let profile = profile.renumbered(3, position).unwrap();
            let ballot = profile.iter().next().unwrap();
            let marks = ballot.marks.iter().map(|mark| (mark.choice(), mark.score));
            (key, ballot.count, marks.collect::<Vec<_>>())
        };
        let ranked = read(Method::Borda, &[(0, 2), (1, 3), (2, 1)]);
        assert_eq!(ranked, (vec![9, 7, 0], 5, vec![(2, 1), (0, 1), (1, 1)]));
        let scored = read(Method::Star, &[(2, 5), (1, 3)]);
        assert_eq!(scored, (vec![0, 3, 9, 5], 5, vec![(1, 3), (2, 5)]));
        assert_eq!(key(Method::Borda, &Marks::new(), &ordinals), None);
        let one = Marks::from([(ids[0], 1)]);
        assert_eq!(key(Method::MultipleChoice, &one, &ordinals), None);
    }
}
