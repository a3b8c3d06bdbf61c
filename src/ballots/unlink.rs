//! Removing what links anonymous ballots to their voters, before their question is sealed.
//!
//! While people vote, the database knows which rows were inserted together: PostgreSQL keeps the
//! number of the transaction in each row (`xmin`), InnoDB too, and rows lie in the order in which they
//! came. So, once no ballot can be cast any more, everything that tells what was voted is stored anew
//! in the order of its keys: the ballots under other keys, the profile and the counters in another
//! slot, since InnoDB would put a row that is deleted and inserted again at its old place. The roll
//! is stored anew, too.
//!
//! What the engine has not overwritten yet (write-ahead and binary logs, old versions of rows, freed
//! pages, backups) still tells.
//!
//! A question may have a million ballots, and SQLite one writer. So this takes several transactions,
//! each of which stores some thousand rows anew; if a process dies, the next one goes on. The numbers
//! of the question and its receipts are shown only after the last one.

use futures_util::future::BoxFuture;
use sea_orm::{ConnectionTrait as _, DbErr, Value};
use serde::Deserialize;
use uuid::Uuid;

use super::KEY_COLUMNS;
use super::anonymous::{SEALED, UNSEALED, insert_roll};
use crate::db::{self, Column, Rows, Script, Transaction};
use crate::questions::closing::Unlinking;
use crate::questions::slot::{self, SLOTS};
use crate::questions::{Question, choices};

/// About how many rows of a kind one transaction stores anew.
const STEP: usize = 2_000;

/// The slot of the counters of a sealed question. While people vote, no process writes to it.
const SEALED_SLOT: i32 = SLOTS;

/// Stores some of the rows of a question anew, of which the roll was stored anew up to the user
/// `roll_to`: an [`Unlink`](crate::questions::closing::Unlink).
pub fn step<'a>(
    db: &'a Transaction,
    question: &'a Question,
    roll_to: Uuid,
) -> BoxFuture<'a, Result<Unlinking, DbErr>> {
    let question = question.id;
    Box::pin(async move {
        if !ballots(db, question).await? || !profile(db, question).await? {
            return Ok(Unlinking::RollTo(roll_to));
        }
        if let Some(roll_to) = roll(db, question, roll_to).await? {
            return Ok(Unlinking::RollTo(roll_to));
        }
        counters(db, question).await?;
        Ok(Unlinking::Done)
    })
}

/// Moves ballots and marks to their final keys, in the order of the receipts. Returns whether all of
/// them are there.
async fn ballots(db: &Transaction, question: Uuid) -> Result<bool, DbErr> {
    let mut some = format!("question_id = ? AND sealed = {UNSEALED}");
    let mut values: Vec<Value> = vec![question.into()];
    // The first receipt that is too many, by the number of ballots or by that of marks.
    let mut next: Option<Uuid> = None;
    for (table, order) in [
        ("anonymous_ballots", "receipt"),
        ("anonymous_marks", "receipt, choice_id"),
    ] {
        let sql = format!(
            "SELECT receipt FROM {table} WHERE {some} ORDER BY {order} LIMIT 1 OFFSET {STEP}"
        );
        let row = db.query_one_raw(db::statement(db, &sql, values.clone()));
        if let Some(row) = row.await? {
            let receipt = row.try_get_by_index(0)?;
            next = Some(next.map_or(receipt, |other| other.min(receipt)));
        }
    }
    if let Some(next) = next {
        some.push_str(" AND receipt < ?");
        values.push(next.into());
    }
    let mut script = Script::default();
    for (table, columns) in [
        ("anonymous_ballots", "receipt"),
        ("anonymous_marks", "receipt, choice_id, value"),
    ] {
        let insert = format!(
            "INSERT INTO {table} (question_id, sealed, {columns}) \
             SELECT question_id, {SEALED}, {columns} FROM {table} WHERE {some} ORDER BY {columns}"
        );
        script.then(insert, values.clone());
    }
    for table in ["anonymous_marks", "anonymous_ballots"] {
        script.then(format!("DELETE FROM {table} WHERE {some}"), values.clone());
    }
    script.run(db).await?;
    Ok(next.is_none())
}

/// Moves the numbers of ballots that are alike to the slot of sealed questions, in the order of the
/// ballots. Returns whether all of them are there.
async fn profile(db: &Transaction, question: Uuid) -> Result<bool, DbErr> {
    let sql = format!(
        "SELECT shard FROM profile_shards WHERE question_id = ? AND shard < {SEALED_SLOT} \
         ORDER BY shard LIMIT 1"
    );
    let first = db::statement(db, &sql, [question.into()]);
    let Some(row) = db.query_one_raw(first).await? else {
        return Ok(true);
    };
    let slot: i32 = row.try_get_by_index(0)?;
    let mut some = format!("question_id = ? AND shard = {slot}");
    let mut values: Vec<Value> = vec![question.into()];
    let sql = format!(
        "SELECT ballot FROM profile_shards WHERE {some} ORDER BY ballot LIMIT 1 OFFSET {STEP}"
    );
    let next = db.query_one_raw(db::statement(db, &sql, values.clone()));
    if let Some(row) = next.await? {
        let next: Vec<u8> = row.try_get_by_index(0)?;
        some.push_str(" AND ballot < ?");
        values.push(next.into());
    }
    let keys = "question_id, shard, ballot";
    let add = format!(
        "INSERT INTO profile_shards ({keys}, ballots) \
         SELECT question_id, {SEALED_SLOT}, ballot, ballots \
         FROM (SELECT * FROM profile_shards WHERE {some}) AS p WHERE true ORDER BY ballot {adding}",
        adding = db::adding(db, "profile_shards", keys, &["ballots"]),
    );
    let mut script = Script::default();
    script.then(add, values.clone());
    script.then(format!("DELETE FROM profile_shards WHERE {some}"), values);
    script.run(db).await?;
    Ok(false)
}

/// Deletes and inserts the next part of the roll. Returns its last user, unless all are done.
async fn roll(db: &Transaction, question: Uuid, after: Uuid) -> Result<Option<Uuid>, DbErr> {
    let sql = format!(
        "SELECT user_id FROM ballots WHERE question_id = ? AND user_id > ? \
         ORDER BY user_id LIMIT {STEP}"
    );
    let sql = db::documents(db, &[(&[Column::Id("user_id")], &sql)]);
    let some = db::statement(db, &sql, [question.into(), after.into()]);
    let some = db::read_documents::<Voter>(&db.query_all_raw(some).await?, 0)?;
    let mut users: Vec<Uuid> = some.into_iter().map(|voter| voter.user_id).collect();
    users.sort_unstable();
    if users.is_empty() {
        return Ok(None);
    }
    let mut rows = Rows::new();
    for user in &users {
        rows.push(&[question, *user], &[]);
    }
    let mut script = Script::default();
    let delete = db::delete(db, "ballots", &KEY_COLUMNS);
    script.then(delete, [rows.to_value()]);
    script.then(insert_roll(db), [rows.to_value()]);
    script.run(db).await?;
    Ok(users.last().copied().filter(|_| users.len() == STEP))
}

#[derive(Deserialize)]
struct Voter {
    user_id: Uuid,
}

/// Adds up the votes of each choice, and the ballots, over all slots: which process has counted them
/// is not kept.
async fn counters(db: &Transaction, question: Uuid) -> Result<(), DbErr> {
    let choices = choices::of(db, question).await?.into_iter();
    let wanted = db::rows(db, "r", &[Column::Id("id")]);
    let sums = format!(
        "SELECT s.choice_id, {} AS votes {} GROUP BY s.choice_id",
        db::integer(db, "SUM(s.votes)"),
        db::among(db, "choice_shards s", "s.choice_id", &wanted),
    );
    let wanted = db::ids(choices.map(|choice| choice.id)).to_value();
    let sums = db::statement(db, &db::documents(db, &[(&VOTES, &sums)]), [wanted]);
    let mut sums = db::read_documents::<Votes>(&db.query_all_raw(sums).await?, 0)?;
    sums.sort_unstable_by_key(|sum| sum.choice_id);
    let (mut choices, mut votes) = (Rows::new(), Rows::new());
    for sum in &sums {
        choices.push(&[sum.choice_id], &[]);
        votes.push(&[sum.choice_id], &[sum.votes]);
    }
    if !sums.is_empty() {
        let insert = format!(
            "INSERT INTO choice_shards (choice_id, shard, votes) \
             SELECT choice_id, {SEALED_SLOT}, votes FROM {}",
            db::rows(db, "r", &VOTES)
        );
        let mut script = Script::default();
        let delete = db::delete(db, "choice_shards", &["choice_id"]);
        script.then(delete, [choices.to_value()]);
        script.then(insert, [votes.to_value()]);
        script.run(db).await?;
    }
    slot::add_up(db, question).await
}

const VOTES: [Column; 2] = [Column::Id("choice_id"), Column::Integer("votes")];

#[derive(Deserialize)]
struct Votes {
    choice_id: Uuid,
    votes: i64,
}
