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

pub mod anonymous;
pub mod api;
mod ballot_box;
mod batch;
mod changes;
mod electorate;
pub mod entity;
pub mod idle_guests;
pub mod mark;
pub mod method;
pub mod mine;
pub mod profile;
pub mod receipts;
pub mod recount;
pub mod roll;
pub mod shard;
pub mod unlink;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use poem_openapi::Object;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use validator::Validate;

use crate::auth::HmacKeys;
use crate::clock::{Clock, Time};
use crate::config;
use crate::db::{self, Column, Db, Rows};
use crate::failure::{Code, Failure};
use crate::input::Number;
use crate::network::Network;
use crate::page::{Page, PageRequest};
use crate::questions::{Question, network_ballots};
use crate::share::Share;
use crate::users::Caller;

use anonymous::Receipt;
use ballot_box::BallotBox;
use batch::{Action, Operation, Outcome};
use method::Marks;
use mine::{Mine, Which};
use roll::SignedBallot;

/// A user's ballot on a question.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize)]
// `Ballot` in the document is `api::BallotWithResults`, which includes these fields.
#[oai(rename = "BallotFields")]
pub struct Ballot {
    /// The question that it answers.
    pub question_id: Uuid,
    /// The choices that it names: a set, or a ranking with the best first; with scores the choices
    /// with a score above 0, best first. Absent where ballots are anonymous.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choice_ids: Option<Vec<Uuid>>,
    /// The scores above 0, best first; only with `score` and `star`. Absent where ballots are
    /// anonymous.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scores: Option<Vec<Score>>,
    /// When you first voted. Absent where ballots are anonymous.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cast_at: Option<Time>,
    /// When you last changed it. Absent where ballots are anonymous.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Time>,
}

/// What a ballot says about a choice.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize, Validate)]
#[oai(rename = "ChoiceScore", deny_unknown_fields)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// The choice.
    pub choice_id: Uuid,
    /// From 0 to the highest score of the question. 0 is the same as no score.
    #[validate(nested)]
    pub score: Number<0, 100>,
}

impl Score {
    pub fn new(choice_id: Uuid, score: i32) -> Score {
        Score {
            choice_id,
            score: Number(score),
        }
    }
}

/// A ballot as a voter sends it. Which of the two it has to be depends on the method of the question.
#[derive(Debug, Clone)]
pub enum Paper {
    /// A set of choices, or a ranking with the best first. None is named twice.
    Choices(Vec<Uuid>),
    /// Scores of choices, none of which is named twice.
    Scores(Vec<Score>),
    /// Neither: an abstention.
    Nothing,
}

impl Paper {
    fn choices(&self) -> impl Iterator<Item = Uuid> {
        let (choices, scores) = match self {
            Paper::Choices(choices) => (&choices[..], &[][..]),
            Paper::Scores(scores) => (&[][..], &scores[..]),
            Paper::Nothing => (&[][..], &[][..]),
        };
        let scored = scores.iter().map(|score: &Score| score.choice_id);
        choices.iter().copied().chain(scored)
    }
}

/// A ballot as it is stored.
#[derive(Debug)]
struct Stored {
    marks: Marks,
    cast_at: Time,
    updated_at: Time,
    /// The batch that has inserted it.
    batch: Option<i64>,
}

impl Ballot {
    fn of(question: &Question, stored: &Stored) -> Ballot {
        if question.is_anonymous() {
            return Ballot::without_contents(question);
        }
        let (choice_ids, scores) = method::best_first(question.method, &stored.marks);
        Ballot {
            question_id: question.id,
            choice_ids: Some(choice_ids),
            scores,
            cast_at: Some(stored.cast_at),
            updated_at: Some(stored.updated_at),
        }
    }

    /// What is known of an anonymous ballot: that it was cast.
    fn without_contents(question: &Question) -> Ballot {
        Ballot {
            question_id: question.id,
            choice_ids: None,
            scores: None,
            cast_at: None,
            updated_at: None,
        }
    }
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
    clock: Clock,
    hmac_keys: Arc<HmacKeys>,
    ballot_box: BallotBox,
}

impl Ballots {
    /// Starts the task of the ballot box. The task ends once the box is closed and every ballot
    /// that was queued is committed or refused.
    pub fn open(
        db: Db,
        clock: Clock,
        share: Share,
        hmac_keys: Arc<HmacKeys>,
        config: &config::Ballots,
    ) -> (Ballots, JoinHandle<()>) {
        let (ballot_box, task) =
            BallotBox::open(db.clone(), clock.clone(), share, hmac_keys.clone(), config);
        let ballots = Ballots {
            db,
            clock,
            hmac_keys,
            ballot_box,
        };
        (ballots, task)
    }

    /// Casts the caller's ballot, or changes the one that the caller has. On anonymous questions it
    /// needs a receipt.
    ///
    /// Casting the same ballot again succeeds whatever the question's status is and whether or not
    /// the caller may still vote, so that a client that has lost the answer can repeat the request.
    pub async fn cast(
        &self,
        caller: Caller,
        network: Network,
        question: Uuid,
        paper: Paper,
        receipt: Option<Receipt>,
    ) -> Result<Cast, Failure> {
        let operation = Operation {
            question,
            caller,
            network,
            action: Action::Cast(paper, receipt),
        };
        match self.ballot_box.submit(operation).await? {
            Outcome::Cast(cast) => Ok(cast),
            Outcome::Withdrawn => Err(Failure::internal("a ballot was withdrawn, not cast")),
        }
    }

    /// Withdraws the caller's ballot.
    pub async fn withdraw(
        &self,
        caller: Caller,
        network: Network,
        question: Uuid,
    ) -> Result<(), Failure> {
        let operation = Operation {
            question,
            caller,
            network,
            action: Action::Withdraw,
        };
        self.ballot_box.submit(operation).await.map(drop)
    }

    /// Why the caller may neither cast a ballot on the question nor change the one that the caller
    /// has: what [`Ballots::cast`] would answer now.
    pub async fn refusal(
        &self,
        caller: Caller,
        network: Network,
        question: &Question,
    ) -> Result<Option<Failure>, DbErr> {
        let (db, key) = (self.db.read(), (question.id, caller.id));
        let lacks = electorate::lacks(db, [(question, caller)]).await?;
        let lack = lacks.get(&key).copied();
        let refusal = electorate::refusal(question, lack, self.clock.now());
        if refusal.is_some() {
            return Ok(refusal);
        }
        if !voted_on(db, caller.id, [question.id]).await?.is_empty() {
            return Ok((!question.allows_change()).then(already_voted));
        }
        let Some(limit) = electorate::address_limit(question, caller) else {
            return Ok(None);
        };
        if !network.is_known() {
            return Ok(Some(electorate::address_unknown()));
        }
        let network = self.hmac_keys.network_of_ballots(question.id, network);
        let cast = network_ballots::read(db, (question.id, network)).await?;
        Ok((i64::from(cast) >= limit).then(electorate::too_many_from_address))
    }

    /// The user's ballot on a question, if there is one.
    pub async fn find(&self, user: Uuid, question: &Question) -> Result<Option<Ballot>, DbErr> {
        let key = (question.id, user);
        let ballots = read(self.db.read(), [key]).await?;
        Ok(ballots.get(&key).map(|ballot| Ballot::of(question, ballot)))
    }

    /// A page of the user's ballots with their questions, those that were cast last first. Without
    /// anonymous ones.
    pub async fn of_user(
        &self,
        user: Uuid,
        which: Which,
        page: PageRequest,
    ) -> Result<Page<Mine>, DbErr> {
        mine::page(self.db.read(), user, which, page).await
    }

    /// A page of those who have voted on a question. Whether the caller may see it,
    /// [`roll::require_roll`] tells.
    pub async fn voters(
        &self,
        question: Uuid,
        page: PageRequest,
    ) -> Result<Page<roll::Voter>, DbErr> {
        roll::voters(self.db.read(), question, page).await
    }

    /// A page of the ballots on a question with those who have cast them. Whether ballots are public,
    /// [`roll::require_public`] tells.
    pub async fn signed(
        &self,
        question: Uuid,
        page: PageRequest,
    ) -> Result<Page<SignedBallot>, DbErr> {
        roll::signed(self.db.read(), question, page).await
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
) -> Result<HashMap<BallotKey, Stored>, DbErr> {
    let mut rows = Rows::new();
    for (question, user) in keys {
        rows.push(&[question, user], &[]);
    }
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    let (keys, join) = (key_rows(db), db::join(db));
    let of =
        |table| format!("{table} t ON t.question_id = r.question_id AND t.user_id = r.user_id");
    let ballots = format!("SELECT t.* FROM {keys} {join} {}", of("ballots"));
    let marks = format!("SELECT t.* FROM {keys} {join} {}", of("ballot_marks"));
    let sql = db::documents(db, &[(&BALLOT, &ballots), (&MARK, &marks)]);
    let statement = db::statement(db, &sql, [rows.to_value(), rows.to_value()]);
    let rows = db.query_all_raw(statement).await?;
    let ballots = db::read_documents::<BallotRow>(&rows, 0)?.into_iter();
    let mut ballots: HashMap<BallotKey, Stored> = ballots
        .map(|ballot| {
            let stored = Stored {
                marks: Marks::new(),
                cast_at: Time(ballot.cast_at),
                updated_at: Time(ballot.updated_at),
                batch: ballot.batch,
            };
            ((ballot.question_id, ballot.user_id), stored)
        })
        .collect();
    for mark in db::read_documents::<Mark>(&rows, 1)? {
        if let Some(ballot) = ballots.get_mut(&(mark.question_id, mark.user_id)) {
            ballot.marks.insert(mark.choice_id, mark.value);
        }
    }
    Ok(ballots)
}

const BALLOT: [Column; 5] = [
    Column::Id("question_id"),
    Column::Id("user_id"),
    Column::Integer("cast_at"),
    Column::Integer("updated_at"),
    Column::Integer("batch"),
];

#[derive(Deserialize)]
struct BallotRow {
    question_id: Uuid,
    user_id: Uuid,
    cast_at: i64,
    updated_at: i64,
    batch: Option<i64>,
}

const MARK: [Column; 4] = [
    Column::Id("question_id"),
    Column::Id("user_id"),
    Column::Id("choice_id"),
    Column::Integer("value"),
];

#[derive(Deserialize)]
struct Mark {
    question_id: Uuid,
    user_id: Uuid,
    choice_id: Uuid,
    value: i32,
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

/// The user has a ballot, which the question does not allow to be changed.
fn already_voted() -> Failure {
    let detail = "You have voted already, and this question's ballots are final.";
    Failure::new(Code::AlreadyVoted, detail)
}

/// The user has no ballot on the question.
fn not_found() -> Failure {
    Failure::not_found("ballot of yours on this question")
}
