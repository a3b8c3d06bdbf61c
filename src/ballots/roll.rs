//! Who has voted, and how where ballots are public.
//!
//! Both are read in the order of the voters' ids, which no vote changes: pages have neither gaps nor
//! repeats while people vote. The order does not tell when somebody voted either: an id tells at most
//! when its account was made.

use poem_openapi::Object;
use sea_orm::{ConnectionTrait, DbErr};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::method::{self, Marks};
use super::{MARK, Mark, Score};
use crate::clock::Time;
use crate::db::{self, Column};
use crate::failure::{Code, Failure};
use crate::page::{Cursor, Page, PageRequest};
use crate::questions::{BallotSecrecy, Question, document};

/// From how many ballots on it is shown who has voted, unless ballots are public.
const MIN_BALLOTS: i64 = 10;

/// Somebody who has voted.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[oai(skip_serializing_if_is_none, example)]
pub struct Voter {
    /// The account's id.
    pub id: Uuid,
    /// What others see. Absent when the account was deleted, and for a guest without a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it is a guest.
    #[serde(deserialize_with = "document::flag")]
    pub guest: bool,
}

/// A ballot that everybody may see who sees the results.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize)]
#[oai(skip_serializing_if_is_none, example)]
pub struct PublicBallot {
    pub voter: Voter,
    /// The choices that it names: a set, or a ranking with the best first; with scores the choices
    /// with a score above 0, best first.
    pub choice_ids: Vec<Uuid>,
    /// The scores above 0, best first; only with `score` and `star`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scores: Option<Vec<Score>>,
    /// When it was first cast.
    pub cast_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// A public ballot as it is stored.
#[derive(Debug)]
pub struct SignedBallot {
    pub voter: Voter,
    pub marks: Marks,
    pub cast_at: Time,
    pub updated_at: Time,
}

/// The secrecy of a question decides whether anybody sees who has voted. [`Code::VotingOpen`],
/// [`Code::Reopened`], [`Code::TooFewBallots`].
pub fn require_roll(question: &Question, ballots: i64) -> Result<(), Failure> {
    if question.ballot_secrecy == BallotSecrecy::Public {
        return Ok(());
    }
    require_final(question)?;
    if question.reopened {
        let detail = "Voting on this question was reopened, so it does not show who has voted.";
        return Err(Failure::new(Code::Reopened, detail));
    }
    if ballots < MIN_BALLOTS {
        let detail = format!("It is shown from {MIN_BALLOTS} ballots on who has voted.");
        return Err(Failure::new(Code::TooFewBallots, detail));
    }
    Ok(())
}

/// [`Code::VotingOpen`] until no ballot can be counted any more.
pub fn require_final(question: &Question) -> Result<(), Failure> {
    match question.is_final() {
        true => Ok(()),
        false => {
            let detail = "Voting on this question has not ended yet.";
            Err(Failure::new(Code::VotingOpen, detail))
        }
    }
}

/// [`Code::BallotsNotPublic`] unless everybody may see who voted how.
pub fn require_public(question: &Question) -> Result<(), Failure> {
    match question.ballot_secrecy {
        BallotSecrecy::Public => Ok(()),
        BallotSecrecy::Secret => {
            let detail = "The ballots on this question are not public.";
            Err(Failure::new(Code::BallotsNotPublic, detail))
        }
    }
}

/// A page of those who have voted on a question.
pub async fn voters(
    db: &impl ConnectionTrait,
    question: Uuid,
    page: PageRequest,
) -> Result<Page<Voter>, DbErr> {
    let sql = format!(
        "SELECT u.id, u.name, u.guest FROM {} {} users u ON u.id = p.user_id",
        ballots_of(page.to_read()),
        db::join(db),
    );
    let sql = db::documents(db, &[(&VOTER, &sql)]);
    let statement = db::statement(db, &sql, [question.into(), last(page).into()]);
    let rows = db.query_all_raw(statement).await?;
    let mut voters = db::read_documents::<Voter>(&rows, 0)?;
    voters.sort_by_key(|voter| voter.id);
    Ok(Page::new(voters, page.limit, |voter| cursor(voter.id)))
}

/// A page of the ballots on a question, with those who have cast them. Ballots and marks are of the
/// same moment, because one statement reads both.
pub async fn signed(
    db: &impl ConnectionTrait,
    question: Uuid,
    page: PageRequest,
) -> Result<Page<SignedBallot>, DbErr> {
    let (some, join) = (ballots_of(page.to_read()), db::join(db));
    let ballots = format!(
        "SELECT u.id, u.name, u.guest, p.cast_at, p.updated_at \
         FROM {some} {join} users u ON u.id = p.user_id"
    );
    let marks = format!(
        "SELECT t.* FROM {some} {join} ballot_marks t \
         ON t.question_id = p.question_id AND t.user_id = p.user_id"
    );
    let ballot = [
        &VOTER[..],
        &[Column::Integer("cast_at"), Column::Integer("updated_at")],
    ];
    let sql = db::documents(db, &[(&ballot.concat(), &ballots), (&MARK, &marks)]);
    let of_page = [question.into(), last(page).into()];
    let statement = db::statement(db, &sql, [of_page.clone(), of_page].concat());
    let rows = db.query_all_raw(statement).await?;
    let ballots = db::read_documents::<BallotRow>(&rows, 0)?.into_iter();
    let mut ballots: Vec<SignedBallot> = ballots
        .map(|ballot| SignedBallot {
            voter: ballot.voter,
            marks: Marks::new(),
            cast_at: Time(ballot.cast_at),
            updated_at: Time(ballot.updated_at),
        })
        .collect();
    ballots.sort_by_key(|ballot| ballot.voter.id);
    for mark in db::read_documents::<Mark>(&rows, 1)? {
        let found = ballots.binary_search_by_key(&mark.user_id, |ballot| ballot.voter.id);
        if let Ok(place) = found {
            ballots[place].marks.insert(mark.choice_id, mark.value);
        }
    }
    Ok(Page::new(ballots, page.limit, |ballot| {
        cursor(ballot.voter.id)
    }))
}

impl SignedBallot {
    /// The ballot as clients see it.
    pub fn shown(self, question: &Question) -> PublicBallot {
        let (choice_ids, scores) = method::best_first(question.method, &self.marks);
        PublicBallot {
            voter: self.voter,
            choice_ids,
            scores,
            cast_at: self.cast_at,
            updated_at: self.updated_at,
        }
    }
}

/// A table expression `p` with so many ballots on a question. Its parameters are the id of the
/// question and that of the last voter before.
fn ballots_of(limit: u64) -> String {
    format!(
        "(SELECT question_id, user_id, cast_at, updated_at FROM ballots \
         WHERE question_id = ? AND user_id > ? ORDER BY user_id LIMIT {limit}) AS p"
    )
}

/// The last voter of the page before; every id comes after the nil one.
fn last(page: PageRequest) -> Uuid {
    page.after.map_or(Uuid::nil(), |last| last.id)
}

fn cursor(voter: Uuid) -> Cursor {
    Cursor { key: 0, id: voter }
}

const VOTER: [Column; 3] = [
    Column::Id("id"),
    Column::Text("name"),
    Column::Flag("guest"),
];

#[derive(Deserialize)]
struct BallotRow {
    #[serde(flatten)]
    voter: Voter,
    cast_at: i64,
    updated_at: i64,
}
