//! The ballot box: one commit for all ballots that are waiting.
//!
//! A commit costs a disk flush, and all ballots on a popular question update the same rows. So a
//! request does not commit its own ballot: it queues the ballot and waits. One task takes
//! everything that is queued and commits it as one batch; what arrives during a commit goes into
//! the next batch. There is no timer: a ballot that arrives alone is committed at once.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use metrics::{Gauge, Histogram, gauge, histogram};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::BallotKey;
use super::batch::{self, Operation, Outcome};
use crate::auth::HmacKeys;
use crate::clock::Clock;
use crate::config;
use crate::db::Db;
use crate::failure::{Code, Failure};
use crate::questions::slot::SLOTS;
use crate::share::Share;

/// How many operations of one voter on one question may be queued.
const MAX_QUEUED_PER_VOTER: usize = 256;

/// The sending half of the queue. The box closes when the last clone is dropped.
#[derive(Debug, Clone)]
pub(super) struct BallotBox {
    queue: mpsc::Sender<Submission>,
}

/// A queued operation, and the channel to the request that waits for its outcome.
#[derive(Debug)]
struct Submission {
    operation: Operation,
    reply: oneshot::Sender<Result<Outcome, Failure>>,
}

impl BallotBox {
    /// Starts the task that commits what is queued. It ends once the box is closed and the queue
    /// is empty.
    pub(super) fn open(
        db: Db,
        clock: Clock,
        share: Share,
        hmac_keys: Arc<HmacKeys>,
        config: &config::Ballots,
    ) -> (BallotBox, JoinHandle<()>) {
        let (queue, submissions) = mpsc::channel(config.queue as usize);
        let committer = Committer {
            db,
            clock,
            share,
            hmac_keys,
            slot: rand::random_range(0..SLOTS),
            max_batch: config.batch as usize,
            max_queue: config.queue as usize,
            batch_sizes: histogram!("polls_ballot_batch_size"),
            commit_seconds: histogram!("polls_ballot_commit_seconds"),
            queue_length: gauge!("polls_ballot_queue"),
        };
        (
            BallotBox { queue },
            tokio::spawn(committer.run(submissions)),
        )
    }

    /// Queues an operation and waits for its outcome. Once it is queued it is carried out, even if
    /// the caller stops waiting.
    pub(super) async fn submit(&self, operation: Operation) -> Result<Outcome, Failure> {
        let (reply, outcome) = oneshot::channel();
        self.queue
            .try_send(Submission { operation, reply })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => {
                    Failure::overloaded("Too many ballots are waiting to be counted.")
                }
                mpsc::error::TrySendError::Closed(_) => Failure::new(
                    Code::ShuttingDown,
                    "This process no longer accepts ballots.",
                ),
            })?;
        outcome.await.map_err(Failure::internal)?
    }
}

/// The task that takes batches from the queue and commits them.
struct Committer {
    db: Db,
    clock: Clock,
    share: Share,
    hmac_keys: Arc<HmacKeys>,
    /// The slot of each question that this process writes to.
    slot: i32,
    max_batch: usize,
    max_queue: usize,
    batch_sizes: Histogram,
    commit_seconds: Histogram,
    queue_length: Gauge,
}

impl Committer {
    async fn run(self, mut submissions: mpsc::Receiver<Submission>) {
        // Taken from the channel, but not yet in a batch.
        let mut waiting = VecDeque::new();
        let mut arrived = Vec::new();
        loop {
            if waiting.is_empty() {
                if submissions.recv_many(&mut arrived, self.max_batch).await == 0 {
                    return;
                }
                // The runtime first reads requests that have already reached the server, so that
                // their ballots are in this batch, too.
                tokio::task::yield_now().await;
            }
            // What is left over from earlier batches (later operations of a voter who is already
            // in the batch) does not reduce the number of ballots that are taken for this one.
            let room = self.max_queue.saturating_sub(waiting.len() + arrived.len());
            let more = std::iter::from_fn(|| submissions.try_recv().ok());
            arrived.extend(more.take(room.min(self.max_batch)));
            waiting.extend(arrived.drain(..));
            self.queue_length
                .set((submissions.len() + waiting.len()) as f64);
            self.commit(next_batch(&mut waiting, self.max_batch)).await;
            // Set again here, because the gauge does not change while the loop waits for ballots.
            self.queue_length
                .set((submissions.len() + waiting.len()) as f64);
        }
    }

    /// Commits a batch, announces its questions to whoever watches them, and answers every
    /// request in it. If the whole batch fails, each half is tried by itself, and so on, so that
    /// only the ballot that causes the failure fails.
    async fn commit(&self, mut batch: Vec<Submission>) {
        let operations: Vec<Operation> = batch
            .iter()
            .map(|submission| submission.operation.clone())
            .collect();
        let started = Instant::now();
        let committing = batch::commit(
            &self.db,
            &self.clock,
            &self.hmac_keys,
            self.slot,
            &operations,
        );
        let committed = committing.await;
        // Also after a failure: the connection may have been lost during a commit that succeeded.
        let questions: BTreeSet<_> = operations.iter().map(|op| op.question).collect();
        for question in questions {
            self.share.tell_of_question(question);
        }
        match committed {
            Ok(outcomes) => {
                self.commit_seconds.record(started.elapsed());
                self.batch_sizes.record(operations.len() as f64);
                for (submission, outcome) in batch.into_iter().zip(outcomes) {
                    // Fails if the request has been cancelled; its ballot is counted all the same.
                    let _ = submission.reply.send(outcome);
                }
            }
            Err(failure) if failure.code == Code::Internal && batch.len() > 1 => {
                let second_half = batch.split_off(batch.len() / 2);
                Box::pin(self.commit(batch)).await;
                Box::pin(self.commit(second_half)).await;
            }
            Err(failure) => {
                if let Some(cause) = &failure.source {
                    tracing::error!(
                        ballots = batch.len(),
                        ?cause,
                        "ballots could not be counted"
                    );
                }
                for submission in batch {
                    let _ = submission.reply.send(Err(failure.again()));
                }
            }
        }
    }
}

/// Takes up to `max_batch` operations that can go into one transaction: for each question and user
/// the first one only. Later ones stay in `waiting`, in order; those beyond
/// [`MAX_QUEUED_PER_VOTER`] are refused, so that one voter cannot fill the queue.
fn next_batch(waiting: &mut VecDeque<Submission>, max_batch: usize) -> Vec<Submission> {
    let mut seen: HashMap<BallotKey, usize> = HashMap::with_capacity(waiting.len());
    let mut batch = Vec::with_capacity(waiting.len().min(max_batch));
    for submission in std::mem::take(waiting) {
        let of_voter = seen.entry(submission.operation.key()).or_default();
        *of_voter += 1;
        if *of_voter == 1 && batch.len() < max_batch {
            batch.push(submission);
        } else if *of_voter <= MAX_QUEUED_PER_VOTER {
            waiting.push_back(submission);
        } else {
            let failure = Failure::overloaded("Too many of your ballots are waiting.");
            // Fails if the request has been cancelled.
            let _ = submission.reply.send(Err(failure));
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::ballots::batch::Action;
    use crate::network::Network;
    use crate::users::{Caller, Standing};

    fn submission(user: u128) -> (Submission, oneshot::Receiver<Result<Outcome, Failure>>) {
        let (reply, outcome) = oneshot::channel();
        let operation = Operation {
            question: Uuid::nil(),
            caller: Caller {
                id: Uuid::from_u128(user),
                standing: Standing::User,
            },
            network: Network::of(None),
            action: Action::Withdraw,
        };
        (Submission { operation, reply }, outcome)
    }

    #[test]
    fn one_voter_cannot_fill_the_queue() {
        let mut outcomes = Vec::new();
        let mut waiting = VecDeque::new();
        for user in std::iter::repeat_n(1, MAX_QUEUED_PER_VOTER + 5).chain(2..=9) {
            let (submission, outcome) = submission(user);
            waiting.push_back(submission);
            outcomes.push(outcome);
        }
        let batch = next_batch(&mut waiting, 5);
        let users: Vec<u128> = batch
            .iter()
            .map(|submission| submission.operation.caller.id.as_u128())
            .collect();
        assert_eq!(users, [1, 2, 3, 4, 5]);
        let refused = outcomes
            .iter_mut()
            .filter_map(|outcome| outcome.try_recv().ok());
        assert_eq!(refused.count(), 5);
        assert_eq!(waiting.len(), MAX_QUEUED_PER_VOTER - 1 + 4);
    }
}
