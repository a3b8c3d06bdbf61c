//! A question with its author, choices and numbers, read in one statement.
//!
//! One statement sees one moment on every engine, so votes and ballot count always fit together.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbErr};
use serde::Deserialize;
use uuid::Uuid;

use super::objects::Choice;
use crate::db::{self, Column};
use crate::questions::Question;
use crate::questions::document::COLUMNS;

/// A question and all that belongs to it at one moment.
#[derive(Debug, Clone, Deserialize)]
pub struct Poll {
    #[serde(flatten)]
    pub question: Question,
    /// Absent when the account was deleted.
    pub author_name: Option<String>,
    /// In their order, with their votes.
    #[serde(skip)]
    pub choices: Vec<Choice>,
    pub ballot_count: i64,
    /// Grows with every batch of ballots.
    pub version: i64,
}

/// Two polls with the same stamp are shown alike, except for the status, which depends on the
/// time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Stamp {
    pub id: Uuid,
    revision: i32,
    sealed_at: Option<i64>,
    author_name: Option<String>,
    version: i64,
}

impl Poll {
    /// The stamp when the poll was read.
    pub fn stamp(&self) -> Stamp {
        Stamp {
            id: self.question.id,
            revision: self.question.revision,
            sealed_at: self.question.sealed_at.map(|at| at.0),
            author_name: self.author_name.clone(),
            version: self.version,
        }
    }
}

/// Reads the stamps of the polls with these ids, in any order.
pub async fn stamps(
    db: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = Uuid>,
) -> Result<Vec<Stamp>, DbErr> {
    let sql = format!(
        "SELECT q.id, q.revision, q.sealed_at, {AUTHOR_NAME}, {VERSION} {}",
        db::among(
            db,
            "questions q",
            "q.id",
            &db::rows(db, "r", &[Column::Id("id")])
        )
    );
    let sql = db::documents(db, &[(&STAMP, &sql)]);
    let wanted = db::ids(ids).to_value();
    let rows = db.query_all_raw(db::statement(db, &sql, [wanted])).await?;
    db::read_documents(&rows, 0)
}

/// The name of the author of the question `q`; null if the account was deleted.
const AUTHOR_NAME: &str = "(SELECT u.name FROM users u WHERE u.id = q.author_id) AS author_name";

/// The version of the results of the question `q`: how often its slots were taken.
const VERSION: &str = "COALESCE((SELECT SUM(s.seq) FROM question_shards s \
    WHERE s.question_id = q.id), 0) AS version";

/// Reads the polls with these ids, in this order; those that don't exist are left out.
pub async fn read(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<Vec<Poll>, DbErr> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = db::rows(db, "r", &[Column::Id("id")]);
    let among = |table, column| db::among(db, table, column, &rows);
    let questions = format!(
        "SELECT q.*, \
           COALESCE((SELECT SUM(s.ballots) FROM question_shards s WHERE s.question_id = q.id), 0) \
             AS ballot_count, \
           {AUTHOR_NAME}, {VERSION} \
         {}",
        among("questions q", "q.id")
    );
    let choices = format!(
        "SELECT c.*, \
           COALESCE((SELECT SUM(s.votes) FROM choice_shards s WHERE s.choice_id = c.id), 0) \
             AS votes \
         {}",
        among("choices c", "c.question_id")
    );
    let question = [&COLUMNS[..], &BESIDE_QUESTION].concat();
    let sql = db::documents(db, &[(&question, &questions), (&CHOICE, &choices)]);
    let wanted = db::ids(ids.iter().copied()).to_value();
    let statement = db::statement(db, &sql, [wanted.clone(), wanted]);
    let rows = db.query_all_raw(statement).await?;
    let mut polls: HashMap<Uuid, Poll> = HashMap::with_capacity(ids.len());
    for poll in db::read_documents::<Poll>(&rows, 0)? {
        polls.insert(poll.question.id, poll);
    }
    for choice in db::read_documents::<Choice>(&rows, 1)? {
        if let Some(poll) = polls.get_mut(&choice.question_id) {
            poll.choices.push(choice);
        }
    }
    for poll in polls.values_mut() {
        poll.choices
            .sort_by_key(|choice| (choice.position, choice.id));
    }
    Ok(ids.iter().filter_map(|id| polls.remove(id)).collect())
}

/// The versions of these polls. A poll whose slots were never taken is left out.
pub async fn versions(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, i64>, DbErr> {
    let sql = format!(
        "SELECT s.question_id, {} AS version {} GROUP BY s.question_id",
        db::integer(db, "SUM(s.seq)"),
        db::among(
            db,
            "question_shards s",
            "s.question_id",
            &db::rows(db, "r", &[Column::Id("id")])
        ),
    );
    let wanted = db::ids(ids.iter().copied()).to_value();
    let rows = db.query_all_raw(db::statement(db, &sql, [wanted])).await?;
    rows.iter()
        .map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?)))
        .collect()
}

const STAMP: [Column; 5] = [
    Column::Id("id"),
    Column::Integer("revision"),
    Column::Integer("sealed_at"),
    Column::Text("author_name"),
    Column::Integer("version"),
];

const CHOICE: [Column; 5] = [
    Column::Id("question_id"),
    Column::Id("id"),
    Column::Text("choice_text"),
    Column::Integer("position"),
    Column::Integer("votes"),
];

/// What a [`Poll`] has beside its question and its choices.
const BESIDE_QUESTION: [Column; 3] = [
    Column::Text("author_name"),
    Column::Integer("ballot_count"),
    Column::Integer("version"),
];
