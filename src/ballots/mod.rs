//! Ballots: who has voted for what.
//!
//! Every ballot goes through the [`BallotBox`], which commits all that wait for it at once.

pub mod api;
mod ballot_box;
mod batch;
pub mod entity;
pub mod mark;

use std::collections::{BTreeSet, HashSet};

use sea_orm::entity::prelude::*;
use sea_orm::QueryOrder as _;

use crate::clock::Time;
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
    // One statement, so that a change in between cannot show half of each.
    let found = entity::Entity::find_by_id((question, user))
        .find_also_linked(mark::OfBallot)
        .order_by_asc(mark::Column::ChoiceId)
        .all(db)
        .await?;
    let Some((ballot, _)) = found.first() else {
        return Ok(None);
    };
    Ok(Some(Ballot {
        question_id: ballot.question_id,
        choice_ids: found.iter().filter_map(|(_, mark)| Some(mark.as_ref()?.choice_id)).collect(),
        cast_at: ballot.cast_at,
        updated_at: ballot.updated_at,
    }))
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
    Ok(ballots.into_iter().map(|ballot| ballot.question_id).collect())
}

/// There is no ballot of the user's.
pub fn none() -> Failure {
    Failure::not_found("ballot of yours on this question")
}
