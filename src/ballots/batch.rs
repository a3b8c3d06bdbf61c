//! Committing a batch of ballots as one transaction.
//!
//! 1. [`State::read`] first takes a slot of each question ([`questions::slot`]) and only then reads
//!    the questions. Whoever closes, deletes or edits a question takes all its slots, so one of the
//!    two sees the other, on any node of the database.
//! 2. [`electorate::lacks`] finds out who may not vote, where the questions restrict that, and
//!    [`Batch::validate`] checks each operation against its question.
//! 3. [`Batch::insert_ballots`] inserts ballots without reading first: most are first ballots, and
//!    the primary key (question, user) decides. Those that exist already are read and locked.
//! 4. [`Batch::decide_anonymous`] finds out which anonymous ballots are first ones.
//! 5. [`CountedBallots::count`] refuses first ballots that are too many from one network, and
//!    [`Batch::decide`] compares an operation with the ballot that exists.
//! 6. [`Batch::insert_anonymous`] inserts first anonymous ballots.
//! 7. [`Changes::apply`] writes marks and counts.

use std::collections::{BTreeMap, HashMap};

use sea_orm::DbErr;
use serde::Deserialize;
use uuid::Uuid;

use super::anonymous::{AnonymousBallot, Receipt, required_receipt};
use super::changes::Changes;
use super::electorate::{self, CountedBallots, Lack};
use super::method::{self, Marks, Ordinals};
use super::{
    Ballot, BallotKey, Cast, KEY_COLUMNS, Paper, Stored, already_voted, key_rows, not_found, read,
};
use crate::auth::HmacKeys;
use crate::clock::{Clock, Time};
use crate::db::{self, Column, Db, Rows, Script, Transaction};
use crate::failure::{Code, Failure};
use crate::network::Network;
use crate::questions::document::COLUMNS;
use crate::questions::{self, Question, slot};
use crate::users::Caller;

/// What somebody asks to do with their ballot on a question.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub question: Uuid,
    pub caller: Caller,
    /// Where the request comes from.
    pub network: Network,
    pub action: Action,
}

#[derive(Debug, Clone)]
pub(super) enum Action {
    /// Casts this ballot, or changes the existing one to it. Anonymous ballots have a receipt.
    Cast(Paper, Option<Receipt>),
    Withdraw,
}

/// The result of an [`Action`].
#[derive(Debug)]
pub(super) enum Outcome {
    Cast(Cast),
    Withdrawn,
}

impl Operation {
    pub(super) fn key(&self) -> BallotKey {
        (self.question, self.caller.id)
    }
}

/// Carries out `operations`, of which no two concern the same question and user, in one
/// transaction. The outcomes are in the order of the operations; an error concerns all of them.
pub(super) async fn commit(
    db: &Db,
    clock: &Clock,
    hmac_keys: &HmacKeys,
    slot: i32,
    operations: &[Operation],
) -> Result<Vec<Result<Outcome, Failure>>, Failure> {
    // Taking a slot writes its row anyway, so the number of ballots is increased in the same
    // statement, as if every cast ballot were a first one. `Changes` corrects it where that is
    // wrong, which is rare.
    let mut assumed: BTreeMap<Uuid, i64> = BTreeMap::new();
    for operation in operations {
        let cast = matches!(operation.action, Action::Cast(..));
        *assumed.entry(operation.question).or_default() += i64::from(cast);
    }
    let assumed = &assumed;
    db.write(|transaction| async move {
        let state = State::read(&transaction, assumed, slot).await?;
        let wishes = operations.iter().filter_map(|operation| {
            let question = state.question(operation.question).ok()?;
            let casts = matches!(operation.action, Action::Cast(..));
            casts.then_some((question, operation.caller))
        });
        let lacks = electorate::lacks(&transaction, wishes).await?;
        Batch {
            transaction: &transaction,
            state,
            lacks,
            hmac_keys,
            slot,
            // Read after the slots are taken: sealing a question takes all slots, so it waits for
            // this transaction, and no ballot gets a time after the sealing.
            now: clock.now(),
            number: rand::random(),
        }
        .run(operations, assumed)
        .await
    })
    .await
}

/// The questions of a batch and their choices, read after their slots were taken.
struct State {
    questions: HashMap<Uuid, Question>,
    /// The choices of each question.
    choices: HashMap<Uuid, Ordinals>,
}

impl State {
    /// Takes a slot of each question, adds the number of ballots to it, and then reads the
    /// questions.
    async fn read(
        transaction: &Transaction,
        assumed: &BTreeMap<Uuid, i64>,
        slot: i32,
    ) -> Result<State, DbErr> {
        let mut ids = Rows::new();
        for (question, ballots) in assumed {
            ids.push(&[*question], &[*ballots]);
        }
        let rows = db::rows(transaction, "r", &[Column::Id("id")]);
        let among = |table, column| db::among(transaction, table, column, &rows);
        let questions = format!("SELECT q.* {}", among("questions q", "q.id"));
        let choices = among("choices c", "c.question_id");
        let choices = format!("SELECT c.question_id, c.id, c.ordinal {choices}");
        let choice = [
            Column::Id("question_id"),
            Column::Id("id"),
            Column::Integer("ordinal"),
        ];
        let sources = [(&COLUMNS[..], &*questions), (&choice, &choices)];
        let sql = db::documents(transaction, &sources);
        let mut script = Script::default();
        slot::take(transaction, &mut script, &ids, slot);
        script.then(sql, [ids.to_value(), ids.to_value()]);
        let rows = script.rows(transaction).await?;
        let mut state = State {
            questions: HashMap::new(),
            choices: HashMap::new(),
        };
        for question in db::read_documents::<Question>(&rows, 0)? {
            state.questions.insert(question.id, question);
        }
        for choice in db::read_documents::<ChoiceRow>(&rows, 1)? {
            let of_question = state.choices.entry(choice.question_id).or_default();
            of_question.insert(choice.id, choice.ordinal);
        }
        Ok(state)
    }

    /// The question, unless there is none or it is deleted.
    fn question(&self, id: Uuid) -> Result<&Question, Failure> {
        self.questions
            .get(&id)
            .filter(|question| question.deleted_at.is_none())
            .ok_or_else(questions::not_found)
    }

    /// The choices of a question that was read.
    fn choices(&self, question: Uuid) -> Result<&Ordinals, Failure> {
        let missing = || Failure::internal("the choices of a question were not read");
        self.choices.get(&question).ok_or_else(missing)
    }
}

/// A choice and its question.
#[derive(Deserialize)]
struct ChoiceRow {
    question_id: Uuid,
    id: Uuid,
    ordinal: Option<u8>,
}

pub(super) struct Batch<'a> {
    pub(super) transaction: &'a Transaction,
    state: State,
    /// What those lack who may not vote.
    lacks: HashMap<BallotKey, Lack>,
    hmac_keys: &'a HmacKeys,
    slot: i32,
    pub(super) now: Time,
    /// Random: distinguishes the ballots that this batch inserts from those that were there before.
    number: i64,
}

impl Batch<'_> {
    pub(super) fn question(&self, id: Uuid) -> Result<&Question, Failure> {
        self.state.question(id)
    }

    pub(super) fn choices(&self, question: Uuid) -> Result<&Ordinals, Failure> {
        self.state.choices(question)
    }

    async fn run(
        &self,
        operations: &[Operation],
        assumed: &BTreeMap<Uuid, i64>,
    ) -> Result<Vec<Result<Outcome, Failure>>, Failure> {
        let mut outcomes: HashMap<BallotKey, Result<Outcome, Failure>> = HashMap::new();
        let mut to_insert = BTreeMap::new();
        let mut to_find = BTreeMap::new();
        let mut anonymous = Vec::new();
        for operation in operations {
            let key = operation.key();
            match self.validate(operation) {
                Err(failure) => {
                    outcomes.insert(key, Err(failure));
                }
                Ok(Next::Insert(marks)) => {
                    to_insert.insert(key, marks);
                }
                Ok(Next::Find { wanted, if_none }) => {
                    to_find.insert(key, (wanted, if_none));
                }
                Ok(Next::Anonymous(ballot)) => anonymous.push(ballot),
            }
        }

        let existing_questions = assumed
            .iter()
            .filter(|(question, _)| self.state.questions.contains_key(question));
        let mut changes = Changes::correcting(existing_questions);
        let mut existing = self.insert_ballots(to_insert.keys().copied()).await?;
        // Before the counters are locked: all processes lock ballots first, then counters.
        let mut found = self.read_locked(to_find.keys().copied()).await?;
        let mut anonymous = self.decide_anonymous(anonymous).await?;
        outcomes.extend(anonymous.outcomes);
        let mut counted = CountedBallots::default();
        for operation in operations {
            let key = operation.key();
            let is_inserted = to_insert.contains_key(&key) && !existing.contains_key(&key);
            if is_inserted || anonymous.first.contains_key(&key) {
                let question = self.question(key.0)?;
                let from = (operation.caller, operation.network);
                counted.add(self.hmac_keys, question, from);
            }
        }
        let too_many = counted.count(self.transaction).await?;
        for key in too_many.ballots {
            if anonymous.first.remove(&key).is_none() {
                to_insert.remove(&key);
                changes.discard(key);
            }
            outcomes.insert(key, Err(electorate::too_many_from_address()));
        }
        changes.correct_networks(too_many.corrections);
        for (key, marks) in to_insert {
            let outcome = match existing.remove(&key) {
                None => self.cast(key, marks, None, &mut changes),
                Some(ballot) => self.decide(key, Some(marks), ballot, &mut changes),
            };
            outcomes.insert(key, outcome);
        }
        for (key, (wanted, if_none)) in to_find {
            let outcome = match found.remove(&key) {
                None => Err(if_none),
                Some(ballot) => self.decide(key, wanted, ballot, &mut changes),
            };
            outcomes.insert(key, outcome);
        }
        let first = anonymous.first.into_values();
        self.insert_anonymous(first, &mut changes).await?;
        changes.apply(self.transaction, self.slot, self.now).await?;

        let missing = || Err(Failure::internal("a ballot of the batch has no outcome"));
        let outcome =
            |operation: &Operation| outcomes.remove(&operation.key()).unwrap_or_else(missing);
        Ok(operations.iter().map(outcome).collect())
    }

    /// Checks an operation against its question, without the user's existing ballot.
    fn validate(&self, operation: &Operation) -> Result<Next, Failure> {
        let question = self.question(operation.question)?;
        match &operation.action {
            Action::Withdraw => Ok(Next::Find {
                wanted: None,
                if_none: not_found(),
            }),
            Action::Cast(paper, receipt) => {
                let choices = self.choices(question.id)?;
                let marks = method::marks(question, choices, paper);
                let (marks, receipt) = match (marks, required_receipt(question, *receipt)) {
                    (Ok(marks), Ok(receipt)) => (marks, receipt),
                    (marks, receipt) => {
                        let mut errors = marks.err().unwrap_or_default();
                        errors.extend(receipt.err());
                        return Err(Failure::invalid(errors));
                    }
                };
                let counts_for_network =
                    electorate::address_limit(question, operation.caller).is_some();
                let refusal = self.refusal(question, operation.caller.id).or_else(|| {
                    let unknown = counts_for_network && !operation.network.is_known();
                    unknown.then(electorate::address_unknown)
                });
                if let Some(receipt) = receipt {
                    return Ok(Next::Anonymous(AnonymousBallot {
                        voter: operation.key(),
                        receipt,
                        marks,
                        refusal,
                    }));
                }
                Ok(match refusal {
                    None => Next::Insert(marks),
                    // Only the ballot that exists may be repeated, or perhaps changed.
                    Some(if_none) => Next::Find {
                        wanted: Some(marks),
                        if_none,
                    },
                })
            }
        }
    }

    /// Why the user may neither cast nor change a ballot.
    fn refusal(&self, question: &Question, user: Uuid) -> Option<Failure> {
        let lack = self.lacks.get(&(question.id, user)).copied();
        electorate::refusal(question, lack, self.now)
    }

    /// Decides on an operation whose ballot exists. `wanted` are the marks of the ballot that is
    /// cast; none withdraws it.
    fn decide(
        &self,
        key: BallotKey,
        wanted: Option<Marks>,
        existing: Stored,
        changes: &mut Changes,
    ) -> Result<Outcome, Failure> {
        let question = self.question(key.0)?;
        match wanted {
            Some(marks) if marks == existing.marks => Ok(Outcome::Cast(Cast {
                ballot: Ballot::of(question, &existing),
                is_first: false,
            })),
            Some(marks) => {
                if let Some(failure) = self.refusal(question, key.1) {
                    return Err(failure);
                }
                if !question.allows_change() {
                    return Err(already_voted());
                }
                self.cast(key, marks, Some(&existing), changes)
            }
            // Also who may not vote any more may take back the ballot.
            None => {
                if let Some(failure) = questions::not_open(question, self.now) {
                    return Err(failure);
                }
                if !question.allows_change() {
                    let detail = "This question's ballots are final and cannot be withdrawn.";
                    return Err(Failure::new(Code::BallotFinal, detail));
                }
                let choices = self.choices(question.id)?;
                changes.withdraw(key, question.method, choices, &existing.marks);
                Ok(Outcome::Withdrawn)
            }
        }
    }

    /// Casts a ballot, which is inserted already, or changes the one that was there before.
    fn cast(
        &self,
        key: BallotKey,
        marks: Marks,
        before: Option<&Stored>,
        changes: &mut Changes,
    ) -> Result<Outcome, Failure> {
        let question = self.question(key.0)?;
        let choices = self.choices(key.0)?;
        match before {
            None => changes.first(key, question.method, choices, &marks),
            Some(before) => changes.change(key, question.method, choices, (&before.marks, &marks)),
        }
        let stored = Stored {
            marks,
            cast_at: before.map_or(self.now, |before| before.cast_at),
            updated_at: self.now,
            batch: None,
        };
        Ok(Outcome::Cast(Cast {
            ballot: Ballot::of(question, &stored),
            is_first: before.is_none(),
        }))
    }

    /// Inserts ballots, which have no marks yet. Returns the ballots that existed before.
    async fn insert_ballots(
        &self,
        keys: impl Iterator<Item = BallotKey> + Clone,
    ) -> Result<HashMap<BallotKey, Stored>, DbErr> {
        let (mut rows, mut count) = (Rows::new(), 0);
        for (question, user) in keys.clone() {
            rows.push(&[question, user], &[]);
            count += 1;
        }
        if count == 0 {
            return Ok(HashMap::new());
        }
        let insert = format!(
            "INSERT INTO ballots (question_id, user_id, cast_at, updated_at, batch) \
             SELECT question_id, user_id, ?, ?, ? FROM {keys} WHERE true",
            keys = key_rows(self.transaction),
        );
        let values = [
            self.now.into(),
            self.now.into(),
            self.number.into(),
            rows.to_value(),
        ];
        if db::insert_missing(self.transaction, &insert, &KEY_COLUMNS, values, count).await? {
            return Ok(HashMap::new());
        }
        let mut ballots = read(self.transaction, keys).await?;
        ballots.retain(|_, ballot| ballot.batch != Some(self.number));
        Ok(ballots)
    }

    /// Reads those of the ballots that exist, and locks them until the commit. A ballot that
    /// another process withdraws and casts again while this waits for its lock is left out.
    async fn read_locked(
        &self,
        keys: impl Iterator<Item = BallotKey>,
    ) -> Result<HashMap<BallotKey, Stored>, DbErr> {
        let keys: Vec<[Uuid; 2]> = keys.map(|(question, user)| [question, user]).collect();
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let locked = db::lock_rows(self.transaction, "ballots", &KEY_COLUMNS, keys).await?;
        let locked = locked.into_iter().map(|[question, user]| (question, user));
        read(self.transaction, locked).await
    }
}

/// What to do next with an operation that is valid by itself.
enum Next {
    /// Insert a ballot with these marks; if one exists, decide with that.
    Insert(Marks),
    /// Find the existing ballot: the operation can only succeed if there is one.
    Find {
        /// The marks of the ballot that is cast; none withdraws the one that exists.
        wanted: Option<Marks>,
        /// The refusal if there is no ballot.
        if_none: Failure,
    },
    /// Find out whether this anonymous ballot is a first one, and insert it then.
    Anonymous(AnonymousBallot),
}
