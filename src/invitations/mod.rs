//! Invitations: codes, each of which lets whoever has it vote once on one question.
//!
//! Only hashes of the codes are stored. A code leads to a guest, who is made at its first use and stays
//! the same from then on: one code is one ballot, on any number of devices. Whether a user was invited
//! to a question is told by the table of invitations alone ([`invited`]).

pub mod code;
pub mod entity;
pub mod kept;
pub mod refusal;

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbErr};
use uuid::Uuid;

use crate::db;

/// Those of the users who were invited, each with the one question that they were invited to: they may
/// vote on no other.
pub async fn invited(
    connection: &impl ConnectionTrait,
    users: impl IntoIterator<Item = Uuid>,
) -> Result<HashMap<Uuid, Uuid>, DbErr> {
    let users = db::ids(users);
    if users.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = db::rows(connection, "r", &[db::Column::Id("id")]);
    let among = db::among(connection, "invitations i", "i.user_id", &rows);
    let sql = format!("SELECT i.user_id, i.question_id {among}");
    let statement = db::statement(connection, &sql, [users.to_value()]);
    let rows = connection.query_all_raw(statement).await?;
    let invited = rows
        .iter()
        .map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?)));
    invited.collect()
}
