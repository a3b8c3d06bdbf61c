//! Compares the tallies with the ballots, and corrects them.

use std::collections::HashMap;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{FromQueryResult, QuerySelect as _, Set};

use super::shard;
use super::{entity, mark};
use crate::db::{self, Db, Transaction};
use crate::failure::Failure;
use crate::questions::{choices, slot};

/// A tally that differs from the ballots.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Difference {
    pub question_id: Uuid,
    /// None for the number of ballots.
    pub choice_id: Option<Uuid>,
    /// The number in the tally.
    pub tallied: i64,
    /// The number by the ballots or marks.
    pub counted: i64,
}

/// Compares every tally with the ballots, in one statement.
pub async fn check(db: &Db) -> Result<Vec<Difference>, DbErr> {
    let integer = |expression| db::integer(db.read(), expression);
    let sql = format!(
        "SELECT q.id AS question_id, NULL AS choice_id, \
           {tallied} AS tallied, {ballots} AS counted \
         FROM questions q \
         LEFT JOIN (SELECT question_id, SUM(ballots) AS n FROM question_shards \
                    GROUP BY question_id) s ON s.question_id = q.id \
         LEFT JOIN (SELECT question_id, COUNT(*) AS n FROM ballots \
                    GROUP BY question_id) b ON b.question_id = q.id \
         WHERE COALESCE(s.n, 0) <> COALESCE(b.n, 0) \
         UNION ALL \
         SELECT c.question_id, c.id, {tallied}, {marks} \
         FROM choices c \
         LEFT JOIN (SELECT choice_id, SUM(votes) AS n FROM choice_shards \
                    GROUP BY choice_id) s ON s.choice_id = c.id \
         LEFT JOIN (SELECT choice_id, COUNT(*) AS n FROM ballot_marks \
                    GROUP BY choice_id) m ON m.choice_id = c.id \
         WHERE COALESCE(s.n, 0) <> COALESCE(m.n, 0)",
        tallied = integer("COALESCE(s.n, 0)"),
        ballots = integer("COALESCE(b.n, 0)"),
        marks = integer("COALESCE(m.n, 0)"),
    );
    let statement = db::statement(db.read(), &sql, []);
    Difference::find_by_statement(statement)
        .all(db.read())
        .await
}

/// Corrects the tallies of a question. Its slots are taken, so no ballot is counted meanwhile.
pub async fn mend(db: &Db, question: Uuid) -> Result<(), Failure> {
    db.write(|transaction| async move {
        slot::take_all(&transaction, question).await?;
        let ballots = entity::Entity::find()
            .filter(entity::Column::QuestionId.eq(question))
            .count(&transaction)
            .await?;
        set_ballots(&transaction, question, ballots).await?;
        let votes = counted_votes(&transaction, question).await?;
        for choice in choices::of(&transaction, question).await? {
            let votes = votes.get(&choice.id).copied().unwrap_or(0);
            set_votes(&transaction, choice.id, votes).await?;
        }
        Ok(())
    })
    .await
}

async fn counted_votes(
    transaction: &Transaction,
    question: Uuid,
) -> Result<HashMap<Uuid, i64>, DbErr> {
    let votes: Vec<(Uuid, i64)> = mark::Entity::find()
        .select_only()
        .column(mark::Column::ChoiceId)
        .column_as(mark::Column::UserId.count(), "votes")
        .filter(mark::Column::QuestionId.eq(question))
        .group_by(mark::Column::ChoiceId)
        .into_tuple()
        .all(transaction)
        .await?;
    Ok(votes.into_iter().collect())
}

/// Writes the whole number into the first slot. All slots have rows, because they were taken.
async fn set_ballots(transaction: &Transaction, question: Uuid, ballots: u64) -> Result<(), DbErr> {
    for (slots, ballots) in [
        (slot::Column::Shard.ne(0), 0),
        (
            slot::Column::Shard.eq(0),
            i64::try_from(ballots).unwrap_or(i64::MAX),
        ),
    ] {
        slot::Entity::update_many()
            .col_expr(slot::Column::Ballots, Expr::value(ballots))
            .filter(slot::Column::QuestionId.eq(question))
            .filter(slots)
            .exec(transaction)
            .await?;
    }
    Ok(())
}

async fn set_votes(transaction: &Transaction, choice: Uuid, votes: i64) -> Result<(), DbErr> {
    shard::Entity::update_many()
        .col_expr(shard::Column::Votes, Expr::value(0_i64))
        .filter(shard::Column::ChoiceId.eq(choice))
        .exec(transaction)
        .await?;
    let row = shard::ActiveModel {
        choice_id: Set(choice),
        shard: Set(0),
        votes: Set(votes),
    };
    shard::Entity::insert(row)
        .on_conflict(
            OnConflict::columns([shard::Column::ChoiceId, shard::Column::Shard])
                .update_column(shard::Column::Votes)
                .to_owned(),
        )
        .exec_without_returning(transaction)
        .await
        .map(drop)
}
