//! Closing, sealing, reopening, deleting and restoring questions.
//!
//! A close is two transactions. The first one sets `closed_at`, so that new ballots are refused.
//! The second one takes all slots of the question, and so waits until every ballot that saw the
//! question open is committed, and sets `sealed_at`. Only then is the close acknowledged. No ballot
//! is counted into a sealed question until it is reopened.
//!
//! Anonymous ballots are stored anew before their question is sealed, so that nothing leads from them
//! to their voters ([`ballots::unlink`](crate::ballots::unlink)). With many ballots that takes further
//! transactions: the first one sets `frozen_at`, from which on no ballot is counted, and the last one
//! `sealed_at`.

use std::time::Duration;

use futures_util::future::BoxFuture;
use poem_openapi::Object;
use poem_openapi::types::Example;
use sea_orm::entity::prelude::*;
use sea_orm::{Condition, ExprTrait as _, QuerySelect as _};
use serde::Deserialize;
use tokio::time::Instant;
use validator::Validate;

use super::{
    Question, Questions, Status, entity, lock_for_change, lock_owned, network_ballots, save, slot,
};
use crate::clock::Time;
use crate::db::Transaction;
use crate::failure::{Code, Failure, FieldError, Rule};
use crate::input::present;
use crate::periodic::try_every;
use crate::precondition::IfMatch;
use crate::users::Caller;

/// How voting goes on.
#[derive(Debug, Default, Object, Deserialize, Validate)]
#[oai(deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub struct Reopening {
    /// Until when ballots are taken now; in the future.
    #[serde(default, deserialize_with = "present")]
    pub closes_at: Option<Time>,
}

/// What is known of the lot of a question before it is reopened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LotState {
    /// When the question was sealed, if it was.
    pub sealed_at: Option<Time>,
    /// Whether the lot has decided the results that are final since then.
    pub is_drawn: bool,
}

/// A step of storing anonymous ballots anew, in a transaction in which all slots are taken. Its last
/// argument is what the step before has returned, at first [`Uuid::nil`].
pub type Unlink =
    for<'a> fn(&'a Transaction, &'a Question, Uuid) -> BoxFuture<'a, Result<Unlinking, DbErr>>;

/// How far the ballots on a question are stored anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlinking {
    /// There is more to do. The roll of voters is stored anew up to this user.
    RollTo(Uuid),
    Done,
}

/// The pause between two steps, in which other writers get their turn.
const PAUSE: Duration = Duration::from_millis(10);

/// How long a close waits until its question is sealed. [`Questions::keep_sealing`] does the rest.
const PATIENCE: Duration = Duration::from_secs(10);

impl Questions {
    /// Ends voting. Doing so again changes nothing.
    pub async fn close(&self, caller: Caller, id: Uuid, if_match: &IfMatch) -> Result<(), Failure> {
        self.db
            .write(|transaction| async move {
                let mut question = lock_for_change(&transaction, caller, id, if_match).await?;
                if question.closed_at.is_some() {
                    return Ok(());
                }
                let now = self.clock.now();
                question.closed_at = Some(now);
                save(&transaction, question, now).await
            })
            .await?;
        let begun = Instant::now();
        while !self.seal(id).await? && begun.elapsed() < PATIENCE {
            tokio::time::sleep(PAUSE).await;
        }
        self.share.tell_of_question(id);
        Ok(())
    }

    /// Opens voting again: clears the close and an end that has passed, or sets another end.
    /// [`Code::LotDrawn`] if the lot is known, [`Code::AnonymousBallots`] if the numbers of an anonymous
    /// question may be. Returns whether that was done: not if the question has been sealed or reopened
    /// since `lot` was looked up.
    pub async fn reopen(
        &self,
        caller: Caller,
        id: Uuid,
        if_match: &IfMatch,
        reopening: &Reopening,
        lot: LotState,
    ) -> Result<bool, Failure> {
        let closes_at = reopening.closes_at;
        let reopened = self
            .db
            .write(|transaction| async move {
                let before = lock_for_change(&transaction, caller, id, if_match).await?;
                if before.sealed_at != lot.sealed_at {
                    return Ok(false);
                }
                let now = self.clock.now();
                if before.is_anonymous() && before.status(now) == Status::Closed {
                    let detail = "Its ballots are anonymous, and the numbers so far are known.";
                    return Err(Failure::new(Code::AnonymousBallots, detail));
                }
                if lot.is_drawn {
                    let detail = "The lot has decided the result of this question, and is known.";
                    return Err(Failure::new(Code::LotDrawn, detail));
                }
                if closes_at.is_some_and(|closes_at| closes_at <= now) {
                    let error = FieldError::new("/closes_at", Rule::Past, "must lie in the future");
                    return Err(Failure::invalid(vec![error]));
                }
                let mut after = before.clone();
                after.closed_at = None;
                after.sealed_at = None;
                after.reopened |= before.sealed_at.is_some();
                after.closes_at =
                    closes_at.or(before.closes_at.filter(|closes_at| *closes_at > now));
                if let (Some(opens_at), Some(end)) = (after.opens_at, after.closes_at)
                    && opens_at >= end
                {
                    let error =
                        FieldError::new("/closes_at", Rule::Order, "must be later than opens_at");
                    return Err(Failure::invalid(vec![error]));
                }
                if after == before {
                    return Ok(true);
                }
                // Increments the version of the results, which are no longer final.
                slot::take_all(&transaction, id).await?;
                save(&transaction, after, now).await?;
                Ok(true)
            })
            .await?;
        self.share.tell_of_question(id);
        Ok(reopened)
    }

    /// Hides the question from everyone but its author and admins, and stops voting on it.
    pub async fn delete(
        &self,
        caller: Caller,
        id: Uuid,
        if_match: &IfMatch,
    ) -> Result<(), Failure> {
        self.db
            .write(|transaction| async move {
                let mut question = lock_owned(&transaction, caller, id).await?;
                if question.deleted_at.is_some() {
                    return Ok(());
                }
                if_match.check(question.revision)?;
                let now = self.clock.now();
                question.deleted_at = Some(now);
                save(&transaction, question, now).await
            })
            .await?;
        // Waits for the ballots that saw the question before it was deleted.
        self.db
            .write(|transaction| async move { Ok(slot::take_all(&transaction, id).await?) })
            .await?;
        self.share.tell_of_question(id);
        Ok(())
    }

    /// Brings a deleted question back, with its ballots.
    pub async fn restore(&self, caller: Caller, id: Uuid) -> Result<(), Failure> {
        self.db
            .write(|transaction| async move {
                let mut question = lock_owned(&transaction, caller, id).await?;
                if question.deleted_at.is_none() {
                    return Ok(());
                }
                question.deleted_at = None;
                save(&transaction, question, self.clock.now()).await
            })
            .await?;
        self.share.tell_of_question(id);
        Ok(())
    }

    /// Seals the questions whose end has come, every `interval`. Never returns; to be dropped.
    pub async fn keep_sealing(self, interval: Duration) {
        let warning = "questions that have ended could not be sealed";
        try_every(interval, warning, || async {
            self.seal_due().await.map(drop)
        })
        .await;
    }

    /// Seals all questions whose end has come, and returns which.
    pub async fn seal_due(&self) -> Result<Vec<Uuid>, Failure> {
        let mut sealed = Vec::new();
        loop {
            let due: Vec<Uuid> = entity::Entity::find()
                .select_only()
                .column(entity::Column::Id)
                .filter(is_due(self.clock.now()))
                .into_tuple()
                .all(self.db.read())
                .await?;
            let mut more_to_do = false;
            for id in due {
                if self.seal(id).await? {
                    self.share.tell_of_question(id);
                    sealed.push(id);
                } else {
                    more_to_do = true;
                }
            }
            if !more_to_do {
                return Ok(sealed);
            }
            // In the next round come those, too, that have ended meanwhile.
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits for the ballots that saw the question open, then forbids any other. Returns false if it
    /// has to be called again, because there is more to do than fits into one transaction.
    async fn seal(&self, id: Uuid) -> Result<bool, Failure> {
        let roll_to = self.unlinked.lock().get(&id).copied().unwrap_or_default();
        let step = self.db.write(|transaction| async move {
            let unsealed =
                || entity::Entity::find_by_id(id).filter(entity::Column::SealedAt.is_null());
            if unsealed().one(&transaction).await?.is_none() {
                // Another process has sealed it, or an earlier close.
                return Ok(Unlinking::Done);
            }
            slot::take_all(&transaction, id).await?;
            let now = self.clock.now();
            // Somebody may have sealed or reopened it meanwhile.
            let ended = unsealed().filter(has_ended(now)).one(&transaction).await?;
            let Some(question) = ended else {
                return Ok(Unlinking::Done);
            };
            let mut step = Unlinking::Done;
            if question.is_anonymous() {
                step = (self.unlink)(&transaction, &question, roll_to).await?;
            }
            let (frozen_at, sealed_at) = match step {
                Unlinking::RollTo(_) => (question.frozen_at.or(Some(now)), None),
                Unlinking::Done => (None, Some(now)),
            };
            entity::Entity::update_many()
                .col_expr(entity::Column::FrozenAt, Expr::value(frozen_at))
                .col_expr(entity::Column::SealedAt, Expr::value(sealed_at))
                .filter(entity::Column::Id.eq(id))
                .exec(&transaction)
                .await?;
            if step == Unlinking::Done {
                network_ballots::forget(&transaction, id).await?;
            }
            Ok(step)
        });
        let step = step.await?;
        let mut unlinked = self.unlinked.lock();
        match step {
            Unlinking::RollTo(user) => unlinked.insert(id, user),
            Unlinking::Done => unlinked.remove(&id),
        };
        Ok(step == Unlinking::Done)
    }
}

/// Whether somebody has closed it or its end has come.
pub fn has_ended(now: Time) -> Condition {
    Condition::any()
        .add(entity::Column::ClosedAt.is_not_null())
        .add(entity::Column::ClosesOrder.lte(now))
}

/// Whether it has ended and is not sealed yet: [`Questions::keep_sealing`] seals it soon.
pub fn is_due(now: Time) -> Expr {
    // With both bounds PostgreSQL estimates that few rows match, whatever its statistics say.
    Expr::col((entity::Entity, "due_at")).between(Time(0), now)
}

impl Example for Reopening {
    fn example() -> Self {
        Reopening {
            closes_at: Some(Time(4_102_444_800_000_000)),
        }
    }
}
