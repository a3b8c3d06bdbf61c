//! The ballot box: one commit for everyone who is waiting.
//!
//! A commit costs a disk flush, and on a popular question every ballot meets the same row. So
//! ballots are handed in and wait; whoever arrives while a commit is running is in the next one.
//! There is no timer and no added latency: alone, a ballot is committed at once.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use metrics::{Gauge, Histogram, gauge, histogram};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::Cast;
use super::batch::{self, Act, Op, Outcome};
use crate::clock::Clock;
use crate::config;
use crate::db::Db;
use crate::failure::{Code, Failure};
use crate::questions::slot::SLOTS;
use crate::share::Share;

/// How many ballots of one voter on one question may wait.
const MOST_OF_ONE: usize = 256;

/// Where ballots are handed in. Clones hand in at the same box; it closes with the last of them.
#[derive(Debug, Clone)]
pub struct BallotBox {
    inbox: mpsc::Sender<Envelope>,
}

/// A ballot on its way, and who waits for its outcome.
#[derive(Debug)]
struct Envelope {
    op: Op,
    waiter: oneshot::Sender<Result<Outcome, Failure>>,
}

impl BallotBox {
    /// Opens a box. The task ends when the box is closed and everything in it is counted.
    pub fn open(
        db: Db,
        clock: Clock,
        share: Share,
        config: &config::Ballots,
    ) -> (BallotBox, JoinHandle<()>) {
        let (inbox, envelopes) = mpsc::channel(config.queue as usize);
        let counter = Counter {
            db,
            clock,
            share,
            slot: rand::random_range(0..SLOTS),
            batch: config.batch as usize,
            queue: config.queue as usize,
            sizes: histogram!("polls_ballot_batch_size"),
            seconds: histogram!("polls_ballot_commit_seconds"),
            queued: gauge!("polls_ballot_queue"),
        };
        (BallotBox { inbox }, tokio::spawn(counter.run(envelopes)))
    }

    pub(super) async fn cast(
        &self,
        user: Uuid,
        question: Uuid,
        choices: BTreeSet<Uuid>,
    ) -> Result<Cast, Failure> {
        match self
            .hand_in(Op {
                question,
                user,
                act: Act::Cast(choices),
            })
            .await?
        {
            Outcome::Cast(cast) => Ok(cast),
            Outcome::Withdrawn => Err(Failure::internal("a cast ballot came back withdrawn")),
        }
    }

    pub(super) async fn withdraw(&self, user: Uuid, question: Uuid) -> Result<(), Failure> {
        self.hand_in(Op {
            question,
            user,
            act: Act::Withdraw,
        })
        .await
        .map(drop)
    }

    async fn hand_in(&self, op: Op) -> Result<Outcome, Failure> {
        let (waiter, outcome) = oneshot::channel();
        self.inbox
            .try_send(Envelope { op, waiter })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => {
                    Failure::overloaded("Too many ballots are waiting to be counted.")
                }
                mpsc::error::TrySendError::Closed(_) => {
                    Failure::new(Code::ShuttingDown, "Ballots are no longer taken here.")
                }
            })?;
        outcome.await.map_err(Failure::internal)?
    }
}

/// Empties the box.
struct Counter {
    db: Db,
    clock: Clock,
    share: Share,
    /// The slot of each question that this process writes to.
    slot: i32,
    /// How many ballots one commit takes at most.
    batch: usize,
    /// How many ballots may wait here.
    queue: usize,
    sizes: Histogram,
    seconds: Histogram,
    queued: Gauge,
}

impl Counter {
    async fn run(self, mut envelopes: mpsc::Receiver<Envelope>) {
        let mut waiting = VecDeque::new();
        let mut arrived = Vec::new();
        loop {
            if waiting.is_empty() {
                if envelopes.recv_many(&mut arrived, self.batch).await == 0 {
                    return;
                }
                // Ballots that have arrived come first, so that they are in this batch, too.
                tokio::task::yield_now().await;
            }
            // Those that wait for an earlier ballot of the same voter take no room in the batch.
            let room = self.queue.saturating_sub(waiting.len() + arrived.len());
            let more = std::iter::from_fn(|| envelopes.try_recv().ok());
            arrived.extend(more.take(room.min(self.batch)));
            waiting.extend(arrived.drain(..));
            self.queued.set((envelopes.len() + waiting.len()) as f64);
            self.count(next_batch(&mut waiting, self.batch)).await;
            // Nothing sets the gauge while the box is empty, so the batch has to leave it here.
            self.queued.set((envelopes.len() + waiting.len()) as f64);
        }
    }

    /// Counts a batch and answers everyone in it. When the database refuses the whole batch, its
    /// halves are tried, so that the one that is to blame fails alone.
    async fn count(&self, mut batch: Vec<Envelope>) {
        let ops: Vec<Op> = batch.iter().map(|envelope| envelope.op.clone()).collect();
        let begun = Instant::now();
        let counted = batch::count(&self.db, &self.clock, self.slot, &ops).await;
        // Where the commit's outcome is not known, too: whoever looks will see.
        let questions: BTreeSet<Uuid> = ops.iter().map(|op| op.question).collect();
        for question in questions {
            self.share.tell_of_question(question);
        }
        match counted {
            Ok(outcomes) => {
                self.seconds.record(begun.elapsed());
                self.sizes.record(ops.len() as f64);
                for (envelope, outcome) in batch.into_iter().zip(outcomes) {
                    // A voter who has hung up is counted all the same.
                    let _ = envelope.waiter.send(outcome);
                }
            }
            Err(failure) if failure.code == Code::Internal && batch.len() > 1 => {
                let rest = batch.split_off(batch.len() / 2);
                Box::pin(self.count(batch)).await;
                Box::pin(self.count(rest)).await;
            }
            Err(failure) => {
                if let Some(cause) = &failure.source {
                    tracing::error!(
                        ballots = batch.len(),
                        ?cause,
                        "ballots could not be counted"
                    );
                }
                for envelope in batch {
                    let _ = envelope.waiter.send(Err(failure.again()));
                }
            }
        }
    }
}

/// Takes what can be counted together, up to `most`: one ballot per question and user, the first.
/// The next one waits, in order; but nobody may let so many wait that others have no place.
fn next_batch(waiting: &mut VecDeque<Envelope>, most: usize) -> Vec<Envelope> {
    let mut seen: HashMap<(Uuid, Uuid), usize> = HashMap::with_capacity(waiting.len());
    let mut batch = Vec::with_capacity(waiting.len().min(most));
    for envelope in std::mem::take(waiting) {
        let earlier = seen
            .entry((envelope.op.question, envelope.op.user))
            .or_default();
        *earlier += 1;
        if *earlier == 1 && batch.len() < most {
            batch.push(envelope);
        } else if *earlier <= MOST_OF_ONE {
            waiting.push_back(envelope);
        } else {
            let failure = Failure::overloaded("Too many ballots of yours are waiting.");
            // Who has hung up needs no answer.
            let _ = envelope.waiter.send(Err(failure));
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(user: u128) -> (Envelope, oneshot::Receiver<Result<Outcome, Failure>>) {
        let (waiter, outcome) = oneshot::channel();
        let op = Op {
            question: Uuid::nil(),
            user: Uuid::from_u128(user),
            act: Act::Withdraw,
        };
        (Envelope { op, waiter }, outcome)
    }

    #[test]
    fn one_voter_cannot_take_the_place_of_others() {
        let mut outcomes = Vec::new();
        let mut waiting = VecDeque::new();
        for user in std::iter::repeat_n(1, MOST_OF_ONE + 5).chain(2..=9) {
            let (envelope, outcome) = envelope(user);
            waiting.push_back(envelope);
            outcomes.push(outcome);
        }
        let batch = next_batch(&mut waiting, 5);
        let users: Vec<u128> = batch
            .iter()
            .map(|envelope| envelope.op.user.as_u128())
            .collect();
        assert_eq!(users, [1, 2, 3, 4, 5]);
        let refused = outcomes
            .iter_mut()
            .filter_map(|outcome| outcome.try_recv().ok());
        assert_eq!(refused.count(), 5);
        assert_eq!(waiting.len(), MOST_OF_ONE - 1 + 4);
    }
}
