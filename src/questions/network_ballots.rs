//! The table of how many ballots of guests each network has cast on a question, for
//! `ballots_per_address`. A counter exists from the first ballot of its network until the question is
//! sealed. The network itself is not stored, only a keyed hash of question and network.

use sea_orm::entity::prelude::*;

use crate::db::{self, Column as DocumentColumn, Rows, Script, Transaction};

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "network_ballots")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub question_id: Uuid,
    /// A keyed hash of question and network.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Binary(32)")]
    pub network: Vec<u8>,
    pub ballots: i32,
}

impl ActiveModelBehavior for ActiveModel {}

/// A counter: its question and the hash of its network.
pub type Counter = (Uuid, Vec<u8>);

const COLUMNS: [DocumentColumn; 4] = [
    DocumentColumn::Id("question_id"),
    DocumentColumn::Bytes("network"),
    DocumentColumn::Integer("ballots"),
    DocumentColumn::Integer("position"),
];

/// Adds to counters, which stay locked until the transaction ends.
pub fn add(db: &impl ConnectionTrait, script: &mut Script, counters: &[(Counter, i64)]) {
    if counters.is_empty() {
        return;
    }
    // In this order on every process, so that two of them cannot wait for each other.
    let add = format!(
        "INSERT INTO network_ballots (question_id, network, ballots) \
         SELECT r.question_id, r.network, r.ballots FROM {} \
         WHERE true ORDER BY r.question_id, r.network {}",
        db::rows(db, "r", &COLUMNS),
        db::adding(db, "network_ballots", "question_id, network", &["ballots"]),
    );
    script.then(add, [rows(counters).to_value()]);
}

/// The same, and returns the new values.
pub async fn count(
    transaction: &Transaction,
    counters: &[(Counter, i64)],
) -> Result<Vec<i64>, DbErr> {
    let mut script = Script::default();
    add(transaction, &mut script, counters);
    let read = format!(
        "SELECT n.ballots FROM {} {} network_ballots n \
         ON n.question_id = r.question_id AND n.network = r.network ORDER BY r.position",
        db::rows(transaction, "r", &COLUMNS),
        db::join(transaction),
    );
    script.then(read, [rows(counters).to_value()]);
    let rows = script.rows(transaction).await?;
    rows.iter()
        .map(|row| row.try_get_by_index::<i32>(0).map(i64::from))
        .collect()
}

fn rows(counters: &[(Counter, i64)]) -> Rows {
    let mut rows = Rows::new();
    for (position, ((question, network), ballots)) in (0..).zip(counters) {
        rows.push_bytes(&[*question], network, &[*ballots, position]);
    }
    rows
}

/// How many ballots a network has cast, as far as they count.
pub async fn read(db: &impl ConnectionTrait, (question, network): Counter) -> Result<i32, DbErr> {
    let counter = Entity::find_by_id((question, network)).one(db).await?;
    Ok(counter.map_or(0, |counter| counter.ballots))
}

/// Removes all counters of a question.
pub async fn forget(transaction: &Transaction, question: Uuid) -> Result<(), DbErr> {
    let counters = Entity::delete_many().filter(Column::QuestionId.eq(question));
    counters.exec(transaction).await.map(drop)
}
