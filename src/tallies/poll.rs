//! A question with its author, choices and numbers, read in one statement.
//!
//! One statement sees one moment on every engine, so votes and ballot count always fit together.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbErr, QueryResult};
use uuid::Uuid;

use crate::db::{self, Column};
use crate::questions::Question;

/// A question and all that belongs to it at one moment.
#[derive(Debug, Clone)]
pub struct Poll {
    pub question: Question,
    /// Absent when the account was deleted.
    pub author_name: Option<String>,
    /// In their order.
    pub choices: Vec<PollChoice>,
    pub ballot_count: i64,
    /// Grows with every batch of ballots.
    pub version: i64,
}

/// A choice and its votes.
#[derive(Debug, Clone)]
pub struct PollChoice {
    pub id: Uuid,
    pub choice_text: String,
    pub position: i32,
    pub votes: i64,
}

/// Reads the polls with these ids, in this order; those that don't exist are left out.
pub async fn read(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<Vec<Poll>, DbErr> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = db::rows("r", &[Column::Id("id")]);
    let sql = format!(
        "SELECT q.id, NULL, q.author_id, u.name, q.question_text, q.description, q.min_choices, \
           q.max_choices, q.allow_change, q.results_visibility, q.opens_at, q.closes_at, \
           q.closes_order, q.closed_at, q.sealed_at, q.deleted_at, q.revision, q.created_at, \
           q.updated_at, \
           COALESCE((SELECT SUM(s.ballots) FROM question_shards s WHERE s.question_id = q.id), 0), \
           COALESCE((SELECT SUM(s.seq) FROM question_shards s WHERE s.question_id = q.id), 0) \
         FROM questions q JOIN users u ON u.id = q.author_id \
         WHERE q.id IN (SELECT id FROM {rows}) \
         UNION ALL \
         SELECT c.question_id, c.id, NULL, NULL, c.choice_text, NULL, c.position, \
           NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
           COALESCE((SELECT SUM(s.votes) FROM choice_shards s WHERE s.choice_id = c.id), 0), NULL \
         FROM choices c WHERE c.question_id IN (SELECT id FROM {rows})"
    );
    let wanted = db::ids(ids.iter().copied()).to_value();
    let statement = db::statement(db, &sql, [wanted.clone(), wanted]);
    let mut polls: HashMap<Uuid, Poll> = HashMap::with_capacity(ids.len());
    let mut choices: HashMap<Uuid, Vec<PollChoice>> = HashMap::with_capacity(ids.len());
    for row in db.query_all_raw(statement).await? {
        let question: Uuid = row.try_get_by_index(0)?;
        match row.try_get_by_index::<Option<Uuid>>(1)? {
            None => {
                polls.insert(question, poll(&row)?);
            }
            Some(id) => choices.entry(question).or_default().push(PollChoice {
                id,
                choice_text: row.try_get_by_index(4)?,
                position: row.try_get_by_index(6)?,
                votes: row.try_get_by_index(19)?,
            }),
        }
    }
    let complete = |id| {
        let mut poll = polls.remove(id)?;
        poll.choices = choices.remove(id).unwrap_or_default();
        poll.choices.sort_by_key(|choice| (choice.position, choice.id));
        Some(poll)
    };
    Ok(ids.iter().filter_map(complete).collect())
}

fn poll(row: &QueryResult) -> Result<Poll, DbErr> {
    Ok(Poll {
        question: Question {
            id: row.try_get_by_index(0)?,
            author_id: row.try_get_by_index(2)?,
            question_text: row.try_get_by_index(4)?,
            description: row.try_get_by_index(5)?,
            min_choices: row.try_get_by_index(6)?,
            max_choices: row.try_get_by_index(7)?,
            allow_change: row.try_get_by_index(8)?,
            results_visibility: row.try_get_by_index(9)?,
            opens_at: row.try_get_by_index(10)?,
            closes_at: row.try_get_by_index(11)?,
            closes_order: row.try_get_by_index(12)?,
            closed_at: row.try_get_by_index(13)?,
            sealed_at: row.try_get_by_index(14)?,
            deleted_at: row.try_get_by_index(15)?,
            revision: row.try_get_by_index(16)?,
            created_at: row.try_get_by_index(17)?,
            updated_at: row.try_get_by_index(18)?,
        },
        author_name: row.try_get_by_index(3)?,
        choices: Vec::new(),
        ballot_count: row.try_get_by_index(19)?,
        version: row.try_get_by_index(20)?,
    })
}
