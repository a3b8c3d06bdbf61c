//! The end of voting, and its undoing.
//!
//! A close first commits its mark, so that new ballots are refused, and then takes all slots, so
//! that every ballot that saw the question open has been committed. Only then is it acknowledged,
//! and the question is *sealed*: nothing is counted into it until it is reopened.

use std::time::Duration;

use sea_orm::entity::prelude::*;
use sea_orm::{Condition, ExprTrait as _, QuerySelect as _};

use super::{entity, for_change, owned, save, slot};
use crate::clock::{Clock, Time};
use crate::db::Db;
use crate::failure::{Failure, FieldError};
use crate::precondition::IfMatch;
use crate::share::Share;
use crate::users::Caller;

/// Ends voting. Doing so again changes nothing.
pub async fn close(
    db: &Db,
    clock: &Clock,
    caller: Caller,
    id: Uuid,
    if_match: &IfMatch,
) -> Result<(), Failure> {
    db.write(|transaction| async move {
        let mut question = for_change(&transaction, caller, id, if_match).await?;
        if question.closed_at.is_some() {
            return Ok(());
        }
        let now = clock.now();
        question.closed_at = Some(now);
        save(&transaction, question, now).await
    })
    .await?;
    seal(db, clock, id).await
}

/// Opens voting again: clears the close and an end that has passed, or sets another end.
pub async fn reopen(
    db: &Db,
    clock: &Clock,
    caller: Caller,
    id: Uuid,
    if_match: &IfMatch,
    closes_at: Option<Time>,
) -> Result<(), Failure> {
    db.write(|transaction| async move {
        let before = for_change(&transaction, caller, id, if_match).await?;
        let now = clock.now();
        if closes_at.is_some_and(|closes_at| closes_at <= now) {
            let error = FieldError::new("/closes_at", "past", "must lie in the future");
            return Err(Failure::invalid(vec![error]));
        }
        let mut after = before.clone();
        after.closed_at = None;
        after.sealed_at = None;
        after.closes_at = closes_at.or(before.closes_at.filter(|closes_at| *closes_at > now));
        if let (Some(opens_at), Some(end)) = (after.opens_at, after.closes_at)
            && opens_at >= end
        {
            let error = FieldError::new("/closes_at", "order", "must be later than opens_at");
            return Err(Failure::invalid(vec![error]));
        }
        if after == before {
            return Ok(());
        }
        // The results are no longer final: that is another version of them.
        slot::take_all(&transaction, id).await?;
        save(&transaction, after, now).await
    })
    .await
}

/// Hides the question from everyone but its author and admins, and stops voting on it.
pub async fn delete(
    db: &Db,
    clock: &Clock,
    caller: Caller,
    id: Uuid,
    if_match: &IfMatch,
) -> Result<(), Failure> {
    db.write(|transaction| async move {
        let mut question = owned(&transaction, caller, id).await?;
        if question.deleted_at.is_some() {
            return Ok(());
        }
        if_match.check(question.revision)?;
        let now = clock.now();
        question.deleted_at = Some(now);
        save(&transaction, question, now).await
    })
    .await?;
    db.write(|transaction| async move { Ok(slot::take_all(&transaction, id).await?) })
        .await
}

/// Brings a deleted question back, with its ballots.
pub async fn restore(db: &Db, clock: &Clock, caller: Caller, id: Uuid) -> Result<(), Failure> {
    db.write(|transaction| async move {
        let mut question = owned(&transaction, caller, id).await?;
        if question.deleted_at.is_none() {
            return Ok(());
        }
        question.deleted_at = None;
        save(&transaction, question, clock.now()).await
    })
    .await
}

/// Waits for the ballots that saw the question open, then forbids any other.
async fn seal(db: &Db, clock: &Clock, id: Uuid) -> Result<(), Failure> {
    db.write(|transaction| async move {
        let sealed = entity::Column::SealedAt;
        let unsealed = entity::Entity::find_by_id(id).filter(sealed.is_null());
        if unsealed.one(&transaction).await?.is_none() {
            // By another process, or at the close before.
            return Ok(());
        }
        slot::take_all(&transaction, id).await?;
        let now = clock.now();
        entity::Entity::update_many()
            .col_expr(sealed, Expr::value(Some(now)))
            .filter(entity::Column::Id.eq(id))
            .filter(sealed.is_null())
            // Somebody may have reopened it meanwhile.
            .filter(has_ended(now))
            .exec(&transaction)
            .await?;
        Ok(())
    })
    .await
}

/// Whether somebody has closed it or its end has come.
pub(super) fn has_ended(now: Time) -> Condition {
    Condition::any()
        .add(entity::Column::ClosedAt.is_not_null())
        .add(entity::Column::ClosesOrder.lte(now))
}

/// Whether it has ended and waits for its seal, which is a matter of a moment.
pub(super) fn is_due(now: Time) -> Expr {
    // With both ends PostgreSQL takes it for true of few, whatever it knows.
    Expr::col((entity::Entity, "due_at")).between(Time(0), now)
}

/// Seals the questions whose end has come, every `interval`. Never returns; to be dropped.
pub async fn keep_sealing(db: Db, clock: Clock, share: Share, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match seal_due(&db, &clock).await {
            Ok(sealed) => sealed.into_iter().for_each(|id| share.tell_of_question(id)),
            Err(failure) => {
                let cause = failure.source.as_deref();
                tracing::warn!(%failure, cause, "closed questions wait for their seal");
            }
        }
    }
}

/// Seals all questions whose end has come; tells which.
pub async fn seal_due(db: &Db, clock: &Clock) -> Result<Vec<Uuid>, Failure> {
    let due: Vec<Uuid> = entity::Entity::find()
        .select_only()
        .column(entity::Column::Id)
        .filter(is_due(clock.now()))
        .into_tuple()
        .all(db.read())
        .await?;
    for id in &due {
        seal(db, clock, *id).await?;
    }
    Ok(due)
}
