//! Ballots: who has voted for what.
//!
//! Every ballot goes through the [`BallotBox`], which commits all that wait for it at once.

pub mod api;
mod ballot_box;
mod batch;
pub mod entity;
pub mod mark;
pub mod recount;
pub mod shard;

use std::collections::{BTreeSet, HashMap, HashSet};

use sea_orm::entity::prelude::*;
use serde::Deserialize;

use crate::clock::Time;
use crate::db::{self, Column, Rows};
use crate::failure::Failure;

pub use ballot_box::BallotBox;

/// Somebody's ballot on a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ballot {
    pub question_id: Uuid,
    /// A set, in the order of the ids.
    pub choice_ids: Vec<Uuid>,
    pub cast_at: Time,
    pub updated_at: Time,
}

/// What became of a cast ballot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cast {
    First(Ballot),
    Changed(Ballot),
    /// It was the same as before.
    Unchanged(Ballot),
}

/// Casts a ballot, or changes the one that the user has.
///
/// The same ballot again succeeds whatever has become of the question, so that a client that
/// missed the answer may ask again and be told the truth.
pub async fn cast(
    ballot_box: &BallotBox,
    user: Uuid,
    question: Uuid,
    choices: BTreeSet<Uuid>,
) -> Result<Cast, Failure> {
    ballot_box.cast(user, question, choices).await
}

/// Withdraws the user's ballot.
pub async fn withdraw(ballot_box: &BallotBox, user: Uuid, question: Uuid) -> Result<(), Failure> {
    ballot_box.withdraw(user, question).await
}

/// The user's ballot on a question, if there is one.
pub async fn find(
    db: &impl ConnectionTrait,
    user: Uuid,
    question: Uuid,
) -> Result<Option<Ballot>, DbErr> {
    Ok(read(db, [(question, user)])
        .await?
        .remove(&(question, user)))
}

/// Question and user.
type Key = (Uuid, Uuid);

/// The columns of a [`Key`].
const KEY: [&str; 2] = ["question_id", "user_id"];

/// Those of the ballots that exist, in one statement: a change in between cannot show half of
/// each.
async fn read(
    db: &impl ConnectionTrait,
    keys: impl IntoIterator<Item = Key>,
) -> Result<HashMap<Key, Ballot>, DbErr> {
    let mut rows = Rows::new();
    for (question, user) in keys {
        rows.push(&[question, user], &[]);
    }
    let mut ballots: HashMap<Key, Ballot> = HashMap::new();
    if rows.is_empty() {
        return Ok(ballots);
    }
    let marks = format!(
        "SELECT b.question_id, b.user_id, b.cast_at, b.updated_at, m.choice_id \
         FROM {keys} \
         {join} ballots b ON b.question_id = r.question_id AND b.user_id = r.user_id \
         {join} ballot_marks m ON m.question_id = b.question_id AND m.user_id = b.user_id",
        keys = keys_source(db),
        join = db::join(db),
    );
    let sql = db::documents(db, &[(&MARK, &marks)]);
    let statement = db::statement(db, &sql, [rows.to_value()]);
    let rows = db.query_all_raw(statement).await?;
    for mark in db::read_documents::<Mark>(&rows, 0)? {
        ballots
            .entry((mark.question_id, mark.user_id))
            .or_insert_with(|| Ballot {
                question_id: mark.question_id,
                choice_ids: Vec::new(),
                cast_at: Time(mark.cast_at),
                updated_at: Time(mark.updated_at),
            })
            .choice_ids
            .push(mark.choice_id);
    }
    for ballot in ballots.values_mut() {
        ballot.choice_ids.sort_unstable();
    }
    Ok(ballots)
}

const MARK: [Column; 5] = [
    Column::Id("question_id"),
    Column::Id("user_id"),
    Column::Integer("cast_at"),
    Column::Integer("updated_at"),
    Column::Id("choice_id"),
];

/// A mark and the ballot that it is on.
#[derive(Deserialize)]
struct Mark {
    question_id: Uuid,
    user_id: Uuid,
    cast_at: i64,
    updated_at: i64,
    choice_id: Uuid,
}

/// The keys in the one parameter of a statement.
fn keys_source(db: &impl ConnectionTrait) -> String {
    db::rows(db, "r", &KEY.map(Column::Id))
}

/// On which of the questions the user has a ballot.
pub async fn on_any_of(
    db: &impl ConnectionTrait,
    user: Uuid,
    questions: impl IntoIterator<Item = Uuid>,
) -> Result<HashSet<Uuid>, DbErr> {
    let ballots = entity::Entity::find()
        .filter(entity::Column::UserId.eq(user))
        .filter(entity::Column::QuestionId.is_in(questions))
        .all(db)
        .await?;
    Ok(ballots
        .into_iter()
        .map(|ballot| ballot.question_id)
        .collect())
}

/// Which of the users have a ballot on the question.
pub async fn voters_among(
    db: &impl ConnectionTrait,
    question: Uuid,
    users: &[Uuid],
) -> Result<HashSet<Uuid>, DbErr> {
    if users.is_empty() {
        return Ok(HashSet::new());
    }
    let mut keys = Rows::new();
    for user in users {
        keys.push(&[question, *user], &[]);
    }
    let sql = format!(
        "SELECT b.user_id FROM {} \
         {} ballots b ON b.question_id = r.question_id AND b.user_id = r.user_id",
        keys_source(db),
        db::join(db),
    );
    let statement = db::statement(db, &sql, [keys.to_value()]);
    let rows = db.query_all_raw(statement).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// There is no ballot of the user's.
pub fn none() -> Failure {
    Failure::not_found("ballot of yours on this question")
}
