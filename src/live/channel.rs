//! One watched question, read once for all its subscriptions in this process.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::Hub;
use super::event::Snapshot;
use crate::ballots;
use crate::clock::Time;
use crate::failure::Failure;
use crate::questions::Visibility;

/// The shortest time between two snapshots of a question: at most four a second.
const MIN_INTERVAL: Duration = Duration::from_millis(250);

/// How long to wait before a failed read is repeated.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The latest snapshot; None until the first one is read.
type Latest = Option<Arc<Snapshot>>;

/// The accounts that watch a question, and how many subscriptions each has.
type Accounts = Arc<Mutex<HashMap<Uuid, usize>>>;

/// The hub's side of a watched question. A task ([`Hub::publish`]) reads the question and sends
/// snapshots to the receivers.
pub(super) struct Channel {
    latest: watch::Sender<Latest>,
    refresh: Arc<Notify>,
    accounts: Accounts,
}

/// A subscription's side of a channel.
pub(super) struct Receiver {
    pub latest: watch::Receiver<Latest>,
    refresh: Arc<Notify>,
    account: Option<Uuid>,
    accounts: Accounts,
}

impl Receiver {
    /// Has the question read again.
    pub(super) fn refresh(&self) {
        self.refresh.notify_one();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let Some(account) = self.account else {
            return;
        };
        if let Entry::Occupied(mut streams) = self.accounts.lock().entry(account) {
            *streams.get_mut() -= 1;
            if *streams.get() == 0 {
                streams.remove();
            }
        }
    }
}

impl Channel {
    /// Has the question read again. Several calls before the next read cause one read.
    pub(super) fn refresh(&self) {
        self.refresh.notify_one();
    }

    /// The version of the latest snapshot.
    pub(super) fn version(&self) -> Option<i64> {
        let latest = self.latest.borrow();
        let view = latest.as_ref()?.view.as_ref()?;
        Some(view.poll.version)
    }

    /// Whether the question has opened or closed since the latest snapshot.
    pub(super) fn is_due(&self, now: Time) -> bool {
        let latest = self.latest.borrow();
        let view = latest.as_ref().and_then(|latest| latest.view.as_ref());
        view.is_some_and(|view| {
            view.poll.question.status(now) != view.poll.question.status(view.read_at)
        })
    }
}

impl Hub {
    /// Joins the question's channel, which is opened if there is none yet.
    pub(super) fn join(&self, question: Uuid, account: Option<Uuid>) -> Receiver {
        let mut channels = self.inner.channels.lock();
        let channel = channels.entry(question).or_insert_with(|| {
            let channel = Channel {
                latest: watch::Sender::new(None),
                refresh: Arc::default(),
                accounts: Accounts::default(),
            };
            tokio::spawn(self.clone().publish(
                question,
                channel.latest.clone(),
                channel.refresh.clone(),
                channel.accounts.clone(),
            ));
            channel
        });
        if let Some(account) = account {
            *channel.accounts.lock().entry(account).or_default() += 1;
        }
        Receiver {
            latest: channel.latest.subscribe(),
            refresh: channel.refresh.clone(),
            account,
            accounts: channel.accounts.clone(),
        }
    }

    /// Reads the question on every `refresh` and sends the snapshot, until there is no receiver.
    async fn publish(
        self,
        question: Uuid,
        latest: watch::Sender<Latest>,
        refresh: Arc<Notify>,
        accounts: Accounts,
    ) {
        refresh.notify_one();
        loop {
            tokio::select! {
                () = refresh.notified() => {}
                () = latest.closed() => {
                    if self.close_unused(question, &latest) {
                        return;
                    }
                    continue;
                }
            }
            match self.read(question, &accounts).await {
                Ok(snapshot) => {
                    latest.send_replace(Some(Arc::new(snapshot)));
                    tokio::time::sleep(MIN_INTERVAL).await;
                }
                Err(failure) => {
                    tracing::debug!(%failure, "a watched question could not be read");
                    refresh.notify_one();
                    tokio::time::sleep(RETRY_DELAY).await;
                }
            }
        }
    }

    /// Closes the channel, unless a subscription has joined meanwhile. Returns whether it is closed.
    fn close_unused(&self, question: Uuid, latest: &watch::Sender<Latest>) -> bool {
        let mut channels = self.inner.channels.lock();
        let is_unused = latest.receiver_count() == 0;
        if is_unused {
            channels.remove(&question);
        }
        is_unused
    }

    async fn read(&self, question: Uuid, accounts: &Accounts) -> Result<Snapshot, Failure> {
        counter!("polls_live_reads_total").increment(1);
        let mut view = self.inner.views.latest(question).await?;
        if let Some(latest) = view {
            view = Some(self.inner.views.counted(latest).await?);
        }
        // Read after the numbers, so that a user who withdraws the ballot does not see numbers of
        // a later time.
        let asked = match &view {
            Some(view) if view.poll.question.results_visibility == Visibility::AfterVote => {
                accounts.lock().keys().copied().collect()
            }
            _ => Vec::new(),
        };
        let voters = ballots::voters_among(self.inner.db.read(), question, &asked).await?;
        let voters = asked.into_iter().map(|id| (id, voters.contains(&id)));
        let voters = voters.collect();
        Ok(Snapshot::new(view, voters))
    }
}
