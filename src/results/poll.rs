//! A question with its author, choices and numbers, read in one statement.
//!
//! One statement sees one moment on every engine, so votes and ballot count always fit together.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbErr, QueryResult};
use serde::Deserialize;
use uuid::Uuid;

use super::objects::Choice;
use crate::ballots::profile;
use crate::db::{self, Column, PACKED, Packed, Reader};
use crate::questions::Question;
use crate::questions::document::COLUMNS;
use crate::tally::{InvalidBallot, Method, Profile};

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
    /// How many of the ballots choose nothing.
    pub abstentions: i64,
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
    /// The choices in their order, with their votes.
    pub fn votes(&self) -> impl Iterator<Item = (Uuid, i64)> {
        let choices = self.choices.iter();
        choices.map(|choice| (choice.id, choice.votes.unwrap_or(0)))
    }

    fn sort_choices(&mut self) {
        self.choices
            .sort_by_key(|choice| (choice.position, choice.id));
    }

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
    let [questions, choices] = queries(db);
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
        poll.sort_choices();
    }
    Ok(ids.iter().filter_map(|id| polls.remove(id)).collect())
}

/// The queries for questions and for their choices. Each has a list of ids as its parameter.
fn queries(db: &impl ConnectionTrait) -> [String; 2] {
    let rows = db::rows(db, "r", &[Column::Id("id")]);
    let among = |table, column| db::among(db, table, column, &rows);
    let questions = format!(
        "SELECT q.*, {}, {}, {AUTHOR_NAME}, {VERSION} {}",
        sum_of_slots("ballots", "ballot_count"),
        sum_of_slots("abstentions", "abstentions"),
        among("questions q", "q.id")
    );
    let choices = format!(
        "SELECT c.*, \
           COALESCE((SELECT SUM(s.votes) FROM choice_shards s WHERE s.choice_id = c.id), 0) \
             AS votes \
         {}",
        among("choices c", "c.question_id")
    );
    [questions, choices]
}

fn sum_of_slots(column: &str, name: &str) -> String {
    format!(
        "COALESCE((SELECT SUM(s.{column}) FROM question_shards s WHERE s.question_id = q.id), 0) \
         AS {name}"
    )
}

/// Reads a poll together with the profile of its ballots, which has about this number of distinct
/// ballots. None if there is no such question with this method.
pub async fn with_profile(
    db: &Reader,
    (id, method): (Uuid, Method),
    ballots: u64,
) -> Result<Option<(Poll, Profile)>, DbErr> {
    let [questions, choices] = queries(db);
    let ballots = profile::ballots_sql(db, ballots);
    let question = [&COLUMNS[..], &BESIDE_QUESTION].concat();
    let choice = [&CHOICE[..], &[Column::Integer("ordinal")]].concat();
    let sources = [
        (&question[..], &*questions),
        (&choice, &choices),
        (&PACKED, &ballots),
    ];
    let wanted = db::ids([id]).to_value();
    let values = [wanted.clone(), wanted, id.into()];
    let statement = db::statement(db, &db::document_rows(db, &sources), values);
    let read = db.fold(statement, || WithProfile::new(method), WithProfile::add);
    read.await?.finish()
}

/// A poll and its profile while they are read, in any order.
struct WithProfile {
    poll: Option<Poll>,
    choices: Vec<NumberedChoice>,
    /// On choices that are called by their ordinals.
    profile: Profile,
    method: Method,
}

impl WithProfile {
    fn new(method: Method) -> WithProfile {
        WithProfile {
            poll: None,
            choices: Vec::new(),
            profile: Profile::new(MAX_ORDINALS),
            method,
        }
    }

    fn add(&mut self, row: QueryResult) -> Result<(), DbErr> {
        self.poll = db::documents_of(&row, 0)?.pop().or(self.poll.take());
        self.choices.append(&mut db::documents_of(&row, 1)?);
        for packed in db::documents_of::<Packed>(&row, 2)? {
            packed.unpack(|key, ballots| {
                let count = u64::try_from(ballots).unwrap_or(0);
                profile::push(&mut self.profile, self.method, key, count).map_err(invalid)
            })?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Option<(Poll, Profile)>, DbErr> {
        let Some(mut poll) = self.poll.filter(|poll| poll.question.method == self.method) else {
            return Ok(None);
        };
        self.choices
            .sort_by_key(|numbered| (numbered.choice.position, numbered.choice.id));
        let mut positions = [None; MAX_ORDINALS];
        for (position, numbered) in self.choices.iter().enumerate() {
            if let Some(ordinal) = numbered.ordinal {
                positions[usize::from(ordinal)] = Some(position);
            }
        }
        let choices = self.choices.len();
        let profile = self
            .profile
            .renumbered(choices, |ordinal| positions[ordinal]);
        let mut profile = profile.map_err(invalid)?;
        let abstentions = u64::try_from(poll.abstentions).unwrap_or(0);
        profile.push_choices(abstentions, []).map_err(invalid)?;
        poll.choices = self
            .choices
            .into_iter()
            .map(|numbered| numbered.choice)
            .collect();
        Ok(Some((poll, profile)))
    }
}

/// Ordinals are bytes.
const MAX_ORDINALS: usize = 256;

fn invalid(ballot: InvalidBallot) -> DbErr {
    DbErr::Type(format!("a ballot of the profile is not valid: {ballot}"))
}

#[derive(Deserialize)]
struct NumberedChoice {
    #[serde(flatten)]
    choice: Choice,
    ordinal: Option<u8>,
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
const BESIDE_QUESTION: [Column; 4] = [
    Column::Text("author_name"),
    Column::Integer("ballot_count"),
    Column::Integer("abstentions"),
    Column::Integer("version"),
];
