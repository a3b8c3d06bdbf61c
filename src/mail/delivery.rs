//! Sending the messages that are due.
//!
//! A process takes a message by moving `due_at` beyond the time that sending may take. The statement
//! that does this compares `due_at` with what the process has read: of several processes that see a
//! message due, exactly one takes it. If a process is killed before it has written down what came of
//! a message, the message is due again when that time is over.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, Iterable as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};
use tokio::task::JoinSet;

use super::entity::{ActiveModel, Column, Entity};
use super::server::{Attempt, LONGEST_ATTEMPT, Server};
use super::{Kind, Letter, Mail, Message, Status};
use crate::clock::Time;
use crate::db;
use crate::failure::Failure;

/// How often to look for messages that other processes have queued or left, and for those to be
/// tried again.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// How many connections to the mail server one process has for each [`Lane`].
const CONNECTIONS: usize = 4;

/// For how long a message belongs to the process that has taken it: the time for writing the letter,
/// for the attempt, and for writing down what came of it.
pub const TAKEN: Duration = Duration::from_secs(LONGEST_ATTEMPT.as_secs() + 30);

/// The pause after the first failed attempt. Each further pause is three times as long.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// Messages that wait for each other, but not for those of the other lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// First attempts of messages that somebody waits for.
    Awaited,
    /// All others. Messages that hang again and again, and many at once, hold up only this lane.
    Others,
}

impl Lane {
    fn condition(self) -> Condition {
        let awaited = Kind::iter().filter(|kind| kind.is_awaited());
        let awaited = Condition::all()
            .add(Column::Attempts.eq(0))
            .add(Column::Kind.is_in(awaited));
        match self {
            Lane::Awaited => awaited,
            Lane::Others => awaited.not(),
        }
    }
}

/// A message that belongs to this process for a while.
#[derive(Debug)]
pub struct Taken {
    /// The message as it was before.
    message: Message,
    at: Time,
    until: Time,
}

impl Mail {
    /// Sends messages as they become due. `write` completes a message; it returns none where the
    /// message has lost its purpose. Never returns, unless no mail is configured; to be run beside
    /// the server and dropped with it.
    pub async fn keep_delivering<W, F>(self, write: W)
    where
        W: Fn(Message) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Option<Letter>, Failure>> + Send + 'static,
    {
        let Some(server) = &self.server else {
            return;
        };
        tokio::join!(
            self.keep_lane_moving(Lane::Awaited, server, &write),
            self.keep_lane_moving(Lane::Others, server, &write),
        );
    }

    async fn keep_lane_moving<W, F>(&self, lane: Lane, server: &Arc<Server>, write: &W)
    where
        W: Fn(Message) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Option<Letter>, Failure>> + Send + 'static,
    {
        let mut queued = self.queued.subscribe();
        let mut sending = JoinSet::new();
        loop {
            let free = CONNECTIONS - sending.len();
            let begin = |taken| {
                let (server, write) = (server.clone(), write.clone());
                sending.spawn(self.clone().deliver(server, taken, write));
            };
            if let Err(failure) = self.take_due(lane, free, begin).await {
                tracing::warn!(error = ?failure, "queued mail could not be read; trying again");
            }
            tokio::select! {
                Some(_) = sending.join_next() => {}
                Ok(()) = queued.changed() => {}
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
        }
    }

    /// Takes at most so many messages that are due, and passes each on.
    async fn take_due(
        &self,
        lane: Lane,
        at_most: usize,
        mut begin: impl FnMut(Taken),
    ) -> Result<(), Failure> {
        if at_most > 0 {
            for message in self.due(lane, at_most).await? {
                if let Some(taken) = self.take(message).await? {
                    begin(taken);
                }
            }
        }
        Ok(())
    }

    /// At most so many messages of a lane that are due, those first that have been due for longest.
    pub async fn due(&self, lane: Lane, at_most: usize) -> Result<Vec<Message>, Failure> {
        let now = db::moment(self.db.read(), &self.clock).await?;
        let due = Entity::find()
            .filter(Column::DueAt.lte(now))
            .filter(lane.condition())
            .order_by_asc(Column::DueAt)
            .limit(at_most as u64);
        Ok(due.all(self.db.read()).await?)
    }

    /// Makes a message this process's for a while. None where another process has taken it since it
    /// was read.
    pub async fn take(&self, message: Message) -> Result<Option<Taken>, Failure> {
        let (id, due_at) = (message.id, message.due_at);
        let taken = self.db.write(|transaction| async move {
            let at = db::moment(&transaction, &self.clock).await?;
            let until = at.after(TAKEN);
            let take = Entity::update_many()
                .col_expr(Column::DueAt, Expr::value(until))
                .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
                .filter(Column::Id.eq(id))
                .filter(Column::DueAt.eq(due_at));
            let is_taken = take.exec(&transaction).await?.rows_affected == 1;
            Ok(is_taken.then_some((at, until)))
        });
        Ok(taken.await?.map(|(at, until)| Taken { message, at, until }))
    }

    async fn deliver<F>(
        self,
        server: Arc<Server>,
        taken: Taken,
        write: impl Fn(Message) -> F + Send,
    ) where
        F: Future<Output = Result<Option<Letter>, Failure>> + Send,
    {
        let written = write(taken.message.clone());
        if let Err(failure) = self.try_to_deliver(&server, &taken, written).await {
            let id = taken.message.id;
            tracing::warn!(%id, error = ?failure, "a message could not be sent; trying again");
        }
    }

    async fn try_to_deliver(
        &self,
        server: &Server,
        taken: &Taken,
        written: impl Future<Output = Result<Option<Letter>, Failure>> + Send,
    ) -> Result<(), Failure> {
        let Message { id, kind, .. } = taken.message;
        if taken.message.expires_at <= taken.at {
            let error = taken.message.error.clone();
            return self.finish(taken, Status::Expired, error).await;
        }
        let Some(letter) = written.await? else {
            return self.remove(taken).await;
        };
        // Answers to a message may name its recipient: they are for admins, not for the log.
        match server.send(id, &letter).await {
            Attempt::Accepted => self.finish(taken, Status::Sent, None).await,
            Attempt::Refused(error) => {
                tracing::warn!(%id, ?kind, "the mail server has refused a message for good");
                self.finish(taken, Status::Dead, Some(error)).await
            }
            Attempt::Postponed(error) => {
                tracing::warn!(%id, ?kind, "the mail server has not accepted a message; trying again");
                self.try_again(taken, error).await
            }
            Attempt::Unconnected(error) => {
                tracing::warn!(%id, ?kind, error, "the mail server cannot be used; trying again");
                self.try_again(taken, error).await
            }
        }
    }

    async fn finish(
        &self,
        taken: &Taken,
        status: Status,
        error: Option<String>,
    ) -> Result<(), Failure> {
        let finished = ActiveModel {
            status: Set(status),
            due_at: Set(None),
            error: Set(error),
            ..ActiveModel::default()
        };
        self.change(taken, finished).await
    }

    async fn try_again(&self, taken: &Taken, error: String) -> Result<(), Failure> {
        let now = db::moment(self.db.read(), &self.clock).await?;
        let postponed = ActiveModel {
            due_at: Set(Some(now.after(pause(taken.message.attempts)))),
            error: Set(Some(error)),
            ..ActiveModel::default()
        };
        self.change(taken, postponed).await
    }

    /// Changes a message, unless it was removed meanwhile or belongs to another process by now.
    async fn change(&self, taken: &Taken, change: ActiveModel) -> Result<(), Failure> {
        let change = &change;
        let changed = self.db.write(|transaction| async move {
            let update = Entity::update_many().set(change.clone());
            let update = update.filter(taken.is_ours());
            update.exec(&transaction).await?;
            Ok(())
        });
        changed.await
    }

    async fn remove(&self, taken: &Taken) -> Result<(), Failure> {
        let removed = self.db.write(|transaction| async move {
            let message = Entity::delete_many().filter(taken.is_ours());
            message.exec(&transaction).await?;
            Ok(())
        });
        removed.await
    }
}

impl Taken {
    fn is_ours(&self) -> Condition {
        Condition::all()
            .add(Column::Id.eq(self.message.id))
            .add(Column::DueAt.eq(self.until))
    }
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
