//! Sending the messages that are due, each by one process at a time.
//!
//! A process takes a message by moving `due_at` beyond the time that sending may take. Of two
//! processes that try, one finds that `due_at` has changed. If a process is killed while it sends,
//! the message is due again when that time is over; its recipient may then get it twice, with the
//! same id.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use uuid::Uuid;

use super::Mail;
use super::entity::{ActiveModel, Column, Entity, Model, Status};
use super::letter::Letter;
use super::server::{Attempt, MESSAGE_TIMEOUT, Server};
use crate::clock::Time;
use crate::db::{self, Transaction};
use crate::failure::Failure;

/// How often to look for messages that other processes have queued or left, and for retries.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// How often old messages are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// How many messages are read at a time.
const BATCH: u64 = 20;

/// How many connections one process has to the mail server.
const CONNECTIONS: usize = 4;

/// For how long a message is one process's, which includes writing down what came of it.
const TAKEN: Duration = Duration::from_secs(2 * MESSAGE_TIMEOUT.as_secs());

/// The pause after the first failed attempt. Each further pause is three times as long.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

impl Mail {
    /// Sends messages as they become due. `write` completes a message; it returns none where the
    /// message has lost its purpose. Never returns, unless no mail is configured; to be run beside
    /// the server and dropped with it.
    pub async fn keep_delivering<F>(self, write: impl Fn(Model) -> F + Sync)
    where
        F: Future<Output = Result<Option<Letter>, Failure>> + Send,
    {
        let Some(server) = self.server.clone() else {
            return;
        };
        let delivering = async {
            loop {
                if let Err(failure) = self.deliver_due(&server, &write).await {
                    tracing::warn!(error = ?failure, "queued mail could not be read; trying again");
                }
                // After the timeout it is looked for messages, too.
                let _ = tokio::time::timeout(POLL_INTERVAL, self.queued.notified()).await;
            }
        };
        tokio::join!(delivering, self.keep_sweeping());
    }

    async fn keep_sweeping(&self) {
        let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
        loop {
            ticks.tick().await;
            if let Err(error) = self.sweep(self.clock.now()).await {
                tracing::warn!(%error, "old mail could not be removed; trying again");
            }
        }
    }

    /// Tries to send the messages that have been due for longest.
    async fn deliver_due<F>(
        &self,
        server: &Server,
        write: &(impl Fn(Model) -> F + Sync),
    ) -> Result<(), Failure>
    where
        F: Future<Output = Result<Option<Letter>, Failure>> + Send,
    {
        let now = db::moment(self.db.read(), &self.clock).await?;
        let due = Entity::find().filter(Column::DueAt.lte(now));
        let due = due.order_by_asc(Column::DueAt).limit(BATCH);
        let due = due.all(self.db.read()).await?;
        if due.len() as u64 == BATCH {
            // There may be more.
            self.announce();
        }
        let deliveries = due.into_iter().map(|message| async move {
            let id = message.id;
            if let Err(failure) = self.deliver(server, message, write).await {
                tracing::warn!(%id, error = ?failure, "a message could not be sent; trying again");
            }
        });
        let deliveries = stream::iter(deliveries).buffer_unordered(CONNECTIONS);
        deliveries.collect::<()>().await;
        Ok(())
    }

    async fn deliver<F>(
        &self,
        server: &Server,
        message: Model,
        write: &(impl Fn(Model) -> F + Sync),
    ) -> Result<(), Failure>
    where
        F: Future<Output = Result<Option<Letter>, Failure>> + Send,
    {
        let Some(now) = self.take(&message).await? else {
            return Ok(());
        };
        if message.expires_at <= now {
            let error = message.error.clone();
            return self.finish(&message, Status::Expired, error).await;
        }
        let Some(letter) = write(message.clone()).await? else {
            return self.remove(&message).await;
        };
        match server.send(message.id, &letter, message.language).await {
            Attempt::Accepted => self.finish(&message, Status::Sent, None).await,
            Attempt::Refused(error) => {
                let Model { id, kind, .. } = message;
                tracing::warn!(%id, ?kind, "the mail server has refused a message for good");
                self.finish(&message, Status::Dead, Some(error)).await
            }
            Attempt::Failed(error) => self.try_again(&message, error).await,
        }
    }

    /// Makes a message this process's for a while, and returns the time of that. None where it is
    /// another process's.
    async fn take(&self, message: &Model) -> Result<Option<Time>, Failure> {
        let taken = self.db.write(|transaction| async move {
            let now = db::moment(&transaction, &self.clock).await?;
            let take = Entity::update_many()
                .col_expr(Column::DueAt, Expr::value(now.after(TAKEN)))
                .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
                .filter(Column::Id.eq(message.id))
                .filter(Column::DueAt.eq(message.due_at));
            let taken = take.exec(&transaction).await?.rows_affected == 1;
            Ok(taken.then_some(now))
        });
        taken.await
    }

    async fn finish(
        &self,
        message: &Model,
        status: Status,
        error: Option<String>,
    ) -> Result<(), Failure> {
        let error = &error;
        let finished = self.db.write(|transaction| async move {
            let finished = ActiveModel {
                status: Set(status),
                due_at: Set(None),
                error: Set(error.clone()),
                ..ActiveModel::default()
            };
            update(&transaction, message.id, finished).await
        });
        finished.await
    }

    async fn try_again(&self, message: &Model, error: String) -> Result<(), Failure> {
        let error = &error;
        let postponed = self.db.write(|transaction| async move {
            let now = db::moment(&transaction, &self.clock).await?;
            let postponed = ActiveModel {
                due_at: Set(Some(now.after(pause(message.attempts)))),
                error: Set(Some(error.clone())),
                ..ActiveModel::default()
            };
            update(&transaction, message.id, postponed).await
        });
        postponed.await
    }

    async fn remove(&self, message: &Model) -> Result<(), Failure> {
        let removed = self.db.write(|transaction| async move {
            Entity::delete_by_id(message.id).exec(&transaction).await?;
            Ok(())
        });
        removed.await
    }
}

/// Changes a message, unless it was removed meanwhile.
async fn update(transaction: &Transaction, id: Uuid, change: ActiveModel) -> Result<(), Failure> {
    let update = Entity::update_many().set(change).filter(Column::Id.eq(id));
    update.exec(transaction).await?;
    Ok(())
}

/// How long to wait after so many failed attempts and one more.
fn pause(before: i32) -> Duration {
    let factor = 3_u32.saturating_pow(before.unsigned_abs());
    FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_an_hour() {
        let seconds = (0..8).map(|before| pause(before).as_secs());
        assert_eq!(
            seconds.collect::<Vec<_>>(),
            [10, 30, 90, 270, 810, 2430, 3600, 3600]
        );
        assert_eq!(pause(i32::MAX), LONGEST_PAUSE);
    }
}
