//! Counting a batch of ballots in one transaction.
//!
//! The order of its steps is what keeps the count right on every node: first the batch takes a
//! slot of each question, and only then it reads whether the question is open; see
//! [`questions::slot`]. The unique key (question, user) decides who has voted: first votes are
//! inserted without looking, and those that turn out to exist are read, compared and changed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sea_orm::DbErr;
use serde::Deserialize;
use uuid::Uuid;

use super::{Ballot, Cast, KEY, Key, keys_source, none, read};
use crate::clock::{Clock, Time};
use crate::db::{self, Column, Db, Rows, Script, Transaction};
use crate::failure::{Code, Failure, FieldError};
use crate::questions::document::{COLUMNS, Document};
use crate::questions::{self, Question, slot};

/// One thing to do with somebody's ballot.
#[derive(Debug, Clone)]
pub(super) struct Op {
    pub question: Uuid,
    pub user: Uuid,
    pub act: Act,
}

#[derive(Debug, Clone)]
pub(super) enum Act {
    Cast(BTreeSet<Uuid>),
    Withdraw,
}

/// What was done.
#[derive(Debug)]
pub(super) enum Outcome {
    Cast(Cast),
    Withdrawn,
}

/// Counts `ops`, of which no two concern the same question and user, in one commit. The outcomes
/// are in the order of the ops; an error concerns all of them.
pub(super) async fn count(
    db: &Db,
    clock: &Clock,
    slot: i32,
    ops: &[Op],
) -> Result<Vec<Result<Outcome, Failure>>, Failure> {
    // Ballots are nearly always first ones. So they are counted as such where a slot is taken
    // anyhow, and what comes of it otherwise is put right in the end.
    let mut expected: BTreeMap<Uuid, i64> = BTreeMap::new();
    for op in ops {
        let cast = matches!(op.act, Act::Cast(_));
        *expected.entry(op.question).or_default() += i64::from(cast);
    }
    let expected = &expected;
    db.write(|transaction| async move {
        let state = State::read(&transaction, expected, slot).await?;
        // The time is taken once the slots are held: whoever seals the question waits for us.
        Batch {
            transaction: &transaction,
            state,
            slot,
            now: clock.now(),
        }
        .count(ops, expected)
        .await
    })
    .await
}

/// The questions of a batch as they are now.
struct State {
    questions: HashMap<Uuid, Question>,
    choices: HashSet<(Uuid, Uuid)>,
}

impl State {
    /// Takes a slot of each question, with the number of ballots that are expected to be new, and
    /// then reads what it is now.
    async fn read(
        transaction: &Transaction,
        expected: &BTreeMap<Uuid, i64>,
        slot: i32,
    ) -> Result<State, DbErr> {
        let mut ids = Rows::new();
        for (question, ballots) in expected {
            ids.push(&[*question], &[*ballots]);
        }
        let rows = db::rows(transaction, "r", &[Column::Id("id")]);
        let among = |table, column| db::among(transaction, table, column, &rows);
        let questions = format!("SELECT q.* {}", among("questions q", "q.id"));
        let choices = among("choices c", "c.question_id");
        let choices = format!("SELECT c.question_id, c.id {choices}");
        let choice = [Column::Id("question_id"), Column::Id("id")];
        let sources = [(&COLUMNS[..], &*questions), (&choice, &choices)];
        let sql = db::documents(transaction, &sources);
        let mut script = Script::default();
        slot::take(transaction, &mut script, &ids, slot);
        script.then(sql, [ids.to_value(), ids.to_value()]);
        let rows = script.rows(transaction).await?;
        let mut state = State {
            questions: HashMap::new(),
            choices: HashSet::new(),
        };
        for document in db::read_documents::<Document>(&rows, 0)? {
            let question = Question::try_from(document)?;
            state.questions.insert(question.id, question);
        }
        for choice in db::read_documents::<ChoiceOf>(&rows, 1)? {
            state.choices.insert((choice.question_id, choice.id));
        }
        Ok(state)
    }

    /// The question, where it may be voted on at all.
    fn question(&self, id: Uuid) -> Result<&Question, Failure> {
        self.questions
            .get(&id)
            .filter(|question| question.deleted_at.is_none())
            .ok_or_else(questions::not_found)
    }

    /// Refuses too many, too few, or somebody else's choices.
    fn check(&self, question: &Question, chosen: &BTreeSet<Uuid>) -> Result<(), Failure> {
        let mut errors = Vec::new();
        let count = i32::try_from(chosen.len()).unwrap_or(i32::MAX);
        if count < question.min_choices || count > question.max_choices {
            let (min, max) = (question.min_choices, question.max_choices);
            let message = match min == max {
                true => format!("must name {min} of the question's choices"),
                false => format!("must name {min} to {max} of the question's choices"),
            };
            errors.push(FieldError::new("/choice_ids", "length", message));
        }
        if !chosen
            .iter()
            .all(|choice| self.choices.contains(&(question.id, *choice)))
        {
            let message = "must name choices of this question only";
            errors.push(FieldError::new("/choice_ids", "choice", message));
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Failure::invalid(errors))
        }
    }
}

/// A choice and whose it is.
#[derive(Deserialize)]
struct ChoiceOf {
    question_id: Uuid,
    id: Uuid,
}

struct Batch<'a> {
    transaction: &'a Transaction,
    state: State,
    slot: i32,
    now: Time,
}

impl Batch<'_> {
    async fn count(
        &self,
        ops: &[Op],
        expected: &BTreeMap<Uuid, i64>,
    ) -> Result<Vec<Result<Outcome, Failure>>, Failure> {
        let mut outcomes: HashMap<Key, Result<Outcome, Failure>> = HashMap::new();
        let mut first = BTreeMap::new();
        let mut known = BTreeMap::new();
        for op in ops {
            let key = (op.question, op.user);
            match self.admit(op) {
                Err(failure) => {
                    outcomes.insert(key, Err(failure));
                }
                Ok(Admitted::PerhapsFirst(chosen)) => {
                    first.insert(key, (chosen, &op.act));
                }
                Ok(Admitted::MustExist) => {
                    known.insert(key, &op.act);
                }
            }
        }

        let mut changes = Changes::default();
        for (question, ballots) in expected {
            if self.state.questions.contains_key(question) {
                changes.ballots.insert(*question, -ballots);
            }
        }
        let mut existing = self.insert_ballots(first.keys().copied()).await?;
        for (key, (chosen, act)) in first {
            let outcome = match existing.remove(&key) {
                None => {
                    changes.first(key, chosen);
                    let ballot = ballot(key, chosen, self.now, self.now);
                    Ok(Outcome::Cast(Cast::First(ballot)))
                }
                before => self.settle(key, act, before, &mut changes),
            };
            outcomes.insert(key, outcome);
        }
        let mut existing = self.read_locked(known.keys().copied()).await?;
        for (key, act) in known {
            let outcome = self.settle(key, act, existing.remove(&key), &mut changes);
            outcomes.insert(key, outcome);
        }
        self.store(changes).await?;

        let missing = || Err(Failure::internal("a ballot of the batch has no outcome"));
        let outcome = |op: &Op| {
            outcomes
                .remove(&(op.question, op.user))
                .unwrap_or_else(missing)
        };
        Ok(ops.iter().map(outcome).collect())
    }

    /// Looks at an op by itself.
    fn admit<'a>(&self, op: &'a Op) -> Result<Admitted<'a>, Failure> {
        let question = self.state.question(op.question)?;
        match &op.act {
            Act::Withdraw => Ok(Admitted::MustExist),
            Act::Cast(chosen) => {
                self.state.check(question, chosen)?;
                // The same ballot again succeeds even when voting is over.
                Ok(match questions::not_open(question, self.now) {
                    None => Admitted::PerhapsFirst(chosen),
                    Some(_) => Admitted::MustExist,
                })
            }
        }
    }

    /// Decides what becomes of a ballot that exists, or is found not to.
    fn settle(
        &self,
        key: Key,
        act: &Act,
        existing: Option<Ballot>,
        changes: &mut Changes,
    ) -> Result<Outcome, Failure> {
        let question = self.state.question(key.0)?;
        let not_open = questions::not_open(question, self.now);
        match (act, existing) {
            (Act::Cast(chosen), Some(ballot)) if chosen.iter().eq(&ballot.choice_ids) => {
                Ok(Outcome::Cast(Cast::Unchanged(ballot)))
            }
            (Act::Cast(chosen), Some(before)) => {
                if let Some(failure) = not_open {
                    return Err(failure);
                }
                if !question.allow_change {
                    let detail = "You have voted already, and this question's ballots are final.";
                    return Err(Failure::new(Code::AlreadyVoted, detail));
                }
                changes.change(key, &before.choice_ids, chosen);
                let ballot = ballot(key, chosen, before.cast_at, self.now);
                Ok(Outcome::Cast(Cast::Changed(ballot)))
            }
            (Act::Cast(_), None) => Err(not_open
                .unwrap_or_else(|| Failure::internal("a ballot was neither inserted nor found"))),
            (Act::Withdraw, None) => Err(none()),
            (Act::Withdraw, Some(before)) => {
                if let Some(failure) = not_open {
                    return Err(failure);
                }
                if !question.allow_change {
                    let detail = "This question's ballots are final and cannot be withdrawn.";
                    return Err(Failure::new(Code::BallotFinal, detail));
                }
                changes.withdraw(key, &before.choice_ids);
                Ok(Outcome::Withdrawn)
            }
        }
    }

    /// Inserts ballots that may exist already; gives those that do.
    async fn insert_ballots(
        &self,
        keys: impl Iterator<Item = Key> + Clone,
    ) -> Result<HashMap<Key, Ballot>, DbErr> {
        let (mut rows, mut count) = (Rows::new(), 0);
        for (question, user) in keys.clone() {
            rows.push(&[question, user], &[]);
            count += 1;
        }
        if count == 0 {
            return Ok(HashMap::new());
        }
        let insert = format!(
            "INSERT INTO ballots (question_id, user_id, cast_at, updated_at) \
             SELECT question_id, user_id, ?, ? FROM {keys} WHERE true",
            keys = keys_source(self.transaction),
        );
        let values = [self.now.into(), self.now.into(), rows.to_value()];
        if db::insert_missing(self.transaction, &insert, &KEY, values, count).await? {
            return Ok(HashMap::new());
        }
        // A ballot without marks is not read: those that were just inserted have none yet.
        read(self.transaction, keys).await
    }

    /// Those of the ballots that exist, kept from other processes until the commit. One that
    /// another process casts meanwhile, after withdrawing the former, is not among them.
    async fn read_locked(
        &self,
        keys: impl Iterator<Item = Key>,
    ) -> Result<HashMap<Key, Ballot>, DbErr> {
        let keys: Vec<[Uuid; 2]> = keys.map(|(question, user)| [question, user]).collect();
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let locked = db::lock_rows(self.transaction, "ballots", &KEY, keys).await?;
        let locked = locked.into_iter().map(|[question, user]| (question, user));
        read(self.transaction, locked).await
    }

    async fn store(&self, changes: Changes) -> Result<(), DbErr> {
        let Changes {
            altered,
            withdrawn,
            unmarked,
            marked,
            votes,
            ballots,
        } = changes;
        let db = self.transaction;
        let marks = format!(
            "INSERT INTO ballot_marks (question_id, user_id, choice_id) \
             SELECT question_id, user_id, choice_id FROM {}",
            db::rows(
                db,
                "r",
                &[
                    Column::Id("question_id"),
                    Column::Id("user_id"),
                    Column::Id("choice_id")
                ]
            ),
        );
        let tally = format!(
            "INSERT INTO choice_shards (choice_id, shard, votes) \
             SELECT choice_id, {slot}, votes FROM {rows} WHERE true {adding}",
            slot = self.slot,
            rows = db::rows(
                db,
                "r",
                &[Column::Id("choice_id"), Column::Integer("votes")]
            ),
            adding = db::adding(db, "choice_shards", "choice_id, shard", &["votes"]),
        );
        let turnout = format!(
            "INSERT INTO question_shards (question_id, shard, seq, ballots) \
             SELECT question_id, {slot}, 0, ballots FROM {rows} WHERE true {adding}",
            slot = self.slot,
            rows = db::rows(
                db,
                "r",
                &[Column::Id("question_id"), Column::Integer("ballots")]
            ),
            adding = db::adding(db, "question_shards", "question_id, shard", &["ballots"]),
        );
        let touch = db::set(db, "ballots", "updated_at", &KEY);
        let mut script = Script::default();
        for (sql, rows) in [
            (db::delete(db, "ballot_marks", &KEY), unmarked),
            (db::delete(db, "ballots", &KEY), withdrawn),
            (marks, marked),
            (tally, counts(votes)),
            (turnout, counts(ballots)),
        ] {
            if !rows.is_empty() {
                script.then(sql, [rows.to_value()]);
            }
        }
        if !altered.is_empty() {
            script.then(touch, [self.now.into(), altered.to_value()]);
        }
        script.run(db).await
    }
}

enum Admitted<'a> {
    /// To be inserted, and looked at again where one exists.
    PerhapsFirst(&'a BTreeSet<Uuid>),
    /// Can only succeed on a ballot that exists.
    MustExist,
}

/// What a batch does to the tables.
#[derive(Default)]
struct Changes {
    /// Ballots that name other choices now.
    altered: Rows,
    withdrawn: Rows,
    /// Ballots whose marks go.
    unmarked: Rows,
    /// Marks to add.
    marked: Rows,
    /// By choice, in one order for everyone, so that two batches cannot wait for each other.
    votes: BTreeMap<Uuid, i64>,
    /// By question: what the number that was expected is wrong by.
    ballots: BTreeMap<Uuid, i64>,
}

impl Changes {
    fn first(&mut self, key: Key, chosen: &BTreeSet<Uuid>) {
        *self.ballots.entry(key.0).or_default() += 1;
        self.mark(key, chosen);
    }

    fn change(&mut self, key: Key, before: &[Uuid], chosen: &BTreeSet<Uuid>) {
        self.altered.push(&[key.0, key.1], &[]);
        self.unmark(key, before);
        self.mark(key, chosen);
    }

    fn withdraw(&mut self, key: Key, before: &[Uuid]) {
        *self.ballots.entry(key.0).or_default() -= 1;
        self.withdrawn.push(&[key.0, key.1], &[]);
        self.unmark(key, before);
    }

    fn mark(&mut self, key: Key, chosen: &BTreeSet<Uuid>) {
        for choice in chosen {
            self.marked.push(&[key.0, key.1, *choice], &[]);
            *self.votes.entry(*choice).or_default() += 1;
        }
    }

    fn unmark(&mut self, key: Key, before: &[Uuid]) {
        self.unmarked.push(&[key.0, key.1], &[]);
        for choice in before {
            *self.votes.entry(*choice).or_default() -= 1;
        }
    }
}

/// The changes of counts as rows, without those that come to nothing.
fn counts(changes: BTreeMap<Uuid, i64>) -> Rows {
    let mut rows = Rows::new();
    for (id, change) in changes {
        if change != 0 {
            rows.push(&[id], &[change]);
        }
    }
    rows
}

fn ballot(
    (question_id, _): Key,
    chosen: &BTreeSet<Uuid>,
    cast_at: Time,
    updated_at: Time,
) -> Ballot {
    Ballot {
        question_id,
        choice_ids: chosen.iter().copied().collect(),
        cast_at,
        updated_at,
    }
}
