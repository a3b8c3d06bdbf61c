//! Ballots: who has voted for what.
//!
//! How a ballot is cast:
//! 1. [`Ballots::cast`] puts the ballot into the queue of the ballot box (`ballot_box.rs`) and
//!    waits.
//! 2. The task of the ballot box takes what is queued, one ballot per voter and question, and
//!    commits it as one transaction (`batch.rs`): it locks a slot of each question, checks every
//!    ballot against its question, and writes ballots, marks and counts (`changes.rs`).
//! 3. After the commit the task announces the questions to whoever watches them, and each waiting
//!    request gets its own result.

pub mod api;
mod ballot_box;
mod batch;
mod changes;
pub mod entity;
pub mod mark;
pub mod recount;
pub mod shard;

use std::collections::{BTreeSet, HashMap, HashSet};

use poem_openapi::Object;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use crate::clock::{Clock, Time};
use crate::config;
use crate::db::{self, Column, Db, Rows};
use crate::failure::Failure;
use crate::share::Share;

use ballot_box::BallotBox;
use batch::{Action, Operation, Outcome};

/// A user's ballot on a question.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize)]
// `Ballot` in the document is `api::BallotWithResults`, which includes these fields.
#[oai(rename = "BallotFields")]
pub struct Ballot {
    /// The question that it answers.
    pub question_id: Uuid,
    /// The choices that it names; a set.
    pub choice_ids: Vec<Uuid>,
    /// When you first voted.
    pub cast_at: Time,
    /// When you last changed it.
    pub updated_at: Time,
}

/// The result of casting a ballot.
#[derive(Debug)]
pub struct Cast {
    pub ballot: Ballot,
    /// Whether the user had no ballot on the question before.
    pub is_first: bool,
}

/// Casting, withdrawing and reading ballots. Clones share one ballot box, which stops accepting
/// ballots when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Ballots {
    db: Db,
    ballot_box: BallotBox,
}

impl Ballots {
    /// Starts the task of the ballot box. The task ends once the box is closed and every ballot
    /// that was queued is committed or refused.
    pub fn open(
        db: Db,
        clock: Clock,
        share: Share,
        config: &config::Ballots,
    ) -> (Ballots, JoinHandle<()>) {
        let (ballot_box, task) = BallotBox::open(db.clone(), clock, share, config);
        (Ballots { db, ballot_box }, task)
    }

    /// Casts the user's ballot, or changes the one that the user has.
    ///
    /// Casting the same ballot again succeeds whatever the question's status is, so that a client
    /// that has lost the answer can repeat the request.
    pub async fn cast(
        &self,
        user: Uuid,
        question: Uuid,
        choices: BTreeSet<Uuid>,
    ) -> Result<Cast, Failure> {
        let operation = Operation {
            question,
            user,
            action: Action::Cast(choices),
        };
        match self.ballot_box.submit(operation).await? {
            Outcome::Cast(cast) => Ok(cast),
            Outcome::Withdrawn => Err(Failure::internal("a ballot was withdrawn, not cast")),
        }
    }

    /// Withdraws the user's ballot.
    pub async fn withdraw(&self, user: Uuid, question: Uuid) -> Result<(), Failure> {
        let operation = Operation {
            question,
            user,
            action: Action::Withdraw,
        };
        self.ballot_box.submit(operation).await.map(drop)
    }

    /// The user's ballot on a question, if there is one.
    pub async fn find(&self, user: Uuid, question: Uuid) -> Result<Option<Ballot>, DbErr> {
        let key = (question, user);
        let mut ballots = read(self.db.read(), [key]).await?;
        Ok(ballots.remove(&key))
    }
}

/// The primary key of a ballot: question and user.
type BallotKey = (Uuid, Uuid);

/// The columns of a [`BallotKey`].
const KEY_COLUMNS: [&str; 2] = ["question_id", "user_id"];

/// Reads the ballots with these keys; keys without a ballot are left out. One statement reads
/// ballots and marks, so that both are of the same moment.
async fn read(
    db: &impl ConnectionTrait,
    keys: impl IntoIterator<Item = BallotKey>,
) -> Result<HashMap<BallotKey, Ballot>, DbErr> {
    let mut rows = Rows::new();
    for (question, user) in keys {
        rows.push(&[question, user], &[]);
    }
    let mut ballots: HashMap<BallotKey, Ballot> = HashMap::new();
    if rows.is_empty() {
        return Ok(ballots);
    }
    let marks = format!(
        "SELECT b.question_id, b.user_id, b.cast_at, b.updated_at, m.choice_id \
         FROM {keys} \
         {join} ballots b ON b.question_id = r.question_id AND b.user_id = r.user_id \
         {join} ballot_marks m ON m.question_id = b.question_id AND m.user_id = b.user_id",
        keys = key_rows(db),
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

/// A mark, with the columns of its ballot.
#[derive(Deserialize)]
struct Mark {
    question_id: Uuid,
    user_id: Uuid,
    cast_at: i64,
    updated_at: i64,
    choice_id: Uuid,
}

/// The SQL that turns a statement's parameter, a list of [`BallotKey`]s, into rows `r`.
fn key_rows(db: &impl ConnectionTrait) -> String {
    db::rows(db, "r", &KEY_COLUMNS.map(Column::Id))
}

/// Those of the questions on which the user has a ballot.
pub async fn voted_on(
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

/// Those of the users who have a ballot on the question.
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
        key_rows(db),
        db::join(db),
    );
    let statement = db::statement(db, &sql, [keys.to_value()]);
    let rows = db.query_all_raw(statement).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// The user has no ballot on the question.
fn not_found() -> Failure {
    Failure::not_found("ballot of yours on this question")
}
