//! A question's slots: locks that keep ballots apart from closes, deletions and edits.
//!
//! A slot is a row of `question_shards`; its column `shard` is the slot's number, and the sum of
//! `seq` over the slots is the version of the tally.
//!
//! Row locks do not cross the nodes of a Galera cluster, but conflicting writes do. So every
//! batch of ballots first increments one of the question's 16 slots and *then* reads whether it
//! is open, and whoever closes, deletes or edits a question increments all 16. Each sees the
//! other, or waits for it, or is refused, on any node.

use sea_orm::entity::prelude::*;
use sea_orm::{ExprTrait as _, QuerySelect as _};

use super::entity;
use crate::db::{self, Rows, Script, Transaction};

/// How many slots a question has. Each process writes to one of them.
pub const SLOTS: i32 = 16;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "question_shards")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub question_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub shard: i32,
    /// How often this slot was taken. The sum over all slots is the tally's version.
    pub seq: i64,
    /// How many ballots were counted here; negative where they were withdrawn here.
    pub ballots: i64,
    /// How many of them choose nothing.
    pub abstentions: i64,
}

impl ActiveModelBehavior for ActiveModel {}

/// Takes one slot of each of the questions, in the order of their ids as everyone does, and adds
/// to the ballots that are counted there. Each row of `questions` is an id and the number of
/// ballots to add.
pub fn take(db: &impl ConnectionTrait, script: &mut Script, questions: &Rows, slot: i32) {
    let sql = format!(
        "INSERT INTO question_shards (question_id, shard, seq, ballots) \
         SELECT r.id, ?, 1, r.ballots FROM {} \
         WHERE r.id = (SELECT q.id FROM questions q WHERE q.id = r.id) ORDER BY r.id {}",
        db::rows(
            db,
            "r",
            &[db::Column::Id("id"), db::Column::Integer("ballots")]
        ),
        db::adding(
            db,
            "question_shards",
            "question_id, shard",
            &["seq", "ballots"]
        ),
    );
    script.then(sql, [slot.into(), questions.to_value()]);
}

/// Takes all slots of a question: from here to the commit no ballot is counted into it.
pub async fn take_all(transaction: &Transaction, question: Uuid) -> Result<(), DbErr> {
    // Locks the question first, as a ballot's foreign key does on MySQL, to avoid a deadlock.
    let question_row = entity::Entity::find_by_id(question);
    db::lock(transaction, question_row).one(transaction).await?;
    let rows = (0..SLOTS).map(|shard| ActiveModel {
        question_id: sea_orm::Set(question),
        shard: sea_orm::Set(shard),
        seq: sea_orm::Set(1),
        ballots: sea_orm::Set(0),
        abstentions: sea_orm::Set(0),
    });
    let next = Expr::col((Entity, Column::Seq)).add(1);
    Entity::insert_many(rows)
        .on_conflict(
            sea_orm::sea_query::OnConflict::columns([Column::QuestionId, Column::Shard])
                .value(Column::Seq, next)
                .to_owned(),
        )
        .exec_without_returning(transaction)
        .await
        .map(drop)
}

/// Adds up the ballots of a question that are counted in its slots, and moves them to the first one.
/// All slots have rows, because they were [taken](take_all).
pub async fn add_up(transaction: &Transaction, question: Uuid) -> Result<(), DbErr> {
    let slots = Entity::find().filter(Column::QuestionId.eq(question));
    let slots = slots.all(transaction).await?;
    let ballots = slots.iter().map(|slot| slot.ballots).sum();
    let abstentions = slots.iter().map(|slot| slot.abstentions).sum();
    set(transaction, question, ballots, abstentions).await
}

/// Writes the numbers of ballots of a question into its first slot, and 0 into the others. All slots
/// have rows, because they were [taken](take_all).
pub async fn set(
    transaction: &Transaction,
    question: Uuid,
    ballots: i64,
    abstentions: i64,
) -> Result<(), DbErr> {
    for (slots, ballots, abstentions) in [
        (Column::Shard.ne(0), 0, 0),
        (Column::Shard.eq(0), ballots, abstentions),
    ] {
        Entity::update_many()
            .col_expr(Column::Ballots, Expr::value(ballots))
            .col_expr(Column::Abstentions, Expr::value(abstentions))
            .filter(Column::QuestionId.eq(question))
            .filter(slots)
            .exec(transaction)
            .await?;
    }
    Ok(())
}

/// Whether anybody has a ballot on the question. Certain only after [`take_all`].
pub async fn has_ballots(transaction: &Transaction, question: Uuid) -> Result<bool, DbErr> {
    let voted_on: Option<Uuid> = Entity::find()
        .select_only()
        .column(Column::QuestionId)
        .filter(Column::QuestionId.eq(question))
        .group_by(Column::QuestionId)
        .having(Column::Ballots.sum().gt(0))
        .into_tuple()
        .one(transaction)
        .await?;
    Ok(voted_on.is_some())
}
