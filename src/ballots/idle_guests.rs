//! Removing guests that nobody uses any more. Their ballots stay.

use std::collections::HashSet;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr};
use uuid::Uuid;

use crate::auth::{Accounts, SWEEP_INTERVAL};
use crate::clock::{Clock, Time};
use crate::db::{self, Column, Db};
use crate::failure::Failure;
use crate::{periodic, users};

/// How many guests one transaction removes.
const STEP: u64 = 50;

/// The pause between two transactions, in which other writers get their turn.
const PAUSE: Duration = Duration::from_millis(10);

/// Removes guests again and again. Never returns; to be run beside the server and dropped with it.
pub async fn keep_removing(db: Db, clock: Clock, accounts: Accounts) {
    let work = || remove(&db, &clock, &accounts);
    periodic::try_every(SWEEP_INTERVAL, "idle guests were not removed", work).await;
}

/// Removes the guests that were not used for `auth.guest_ttl`, unless they have a ballot on a question
/// that is not closed, or are invited to one.
pub async fn remove(db: &Db, clock: &Clock, accounts: &Accounts) -> Result<(), Failure> {
    loop {
        let now = clock.now();
        let idle = users::idle_guests(db.read(), now, STEP).await?;
        if idle.is_empty() {
            return Ok(());
        }
        let needed = with_open_questions(db.read(), &idle, now).await?;
        accounts.remove_guests(&idle, &needed).await?;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Those of the guests who have a ballot on a question that has not ended, or are invited to one.
async fn with_open_questions(
    db: &impl ConnectionTrait,
    guests: &[Uuid],
    now: Time,
) -> Result<HashSet<Uuid>, DbErr> {
    let rows = db::rows(db, "r", &[Column::Id("id")]);
    let of = |table| {
        let join = db::join(db);
        format!(
            "SELECT t.user_id FROM {rows} {join} {table} t ON t.user_id = r.id \
             {join} questions q ON q.id = t.question_id \
             WHERE q.closed_at IS NULL AND q.closes_order > ? AND q.deleted_at IS NULL"
        )
    };
    let sql = format!("{} UNION {}", of("ballots"), of("invitations"));
    let guests = db::ids(guests.iter().copied());
    let values = [guests.to_value(), now.into()];
    let statement = db::statement(db, &sql, [values.clone(), values].concat());
    let rows = db.query_all_raw(statement).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}
