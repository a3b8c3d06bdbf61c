//! One watched question: read once for all who watch it here.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use metrics::counter;
use tokio::sync::{Notify, watch};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use uuid::Uuid;

use super::Hub;
use crate::ballots;
use crate::clock::Time;
use crate::failure::Failure;
use crate::questions::Visibility;
use crate::results::view::View;

/// The shortest time between two states of a question: four a second at most.
const PAUSE: Duration = Duration::from_millis(250);

/// How long to wait when a question could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// A question at one moment, rendered once for all who may see its numbers.
pub(super) struct Snapshot {
    /// Nothing where there is no such question.
    pub view: Option<Arc<View>>,
    /// For the accounts that see the numbers by their ballot alone: whether they have one.
    pub voters: HashMap<Uuid, bool>,
    frame: OnceLock<Bytes>,
    message: OnceLock<Utf8Bytes>,
}

impl Snapshot {
    pub(super) fn new(view: Option<Arc<View>>, voters: HashMap<Uuid, bool>) -> Snapshot {
        Snapshot {
            view,
            voters,
            frame: OnceLock::new(),
            message: OnceLock::new(),
        }
    }

    /// A `results` event as Server-Sent Events write it.
    pub(super) fn frame(&self) -> Result<Bytes, Failure> {
        once(&self.frame, || {
            let (version, results) = self.results()?;
            Ok(format!("id: {version}\nevent: results\ndata: {results}\n\n").into())
        })
    }

    /// The same as a WebSocket message.
    pub(super) fn message(&self) -> Result<Utf8Bytes, Failure> {
        once(&self.message, || {
            let (version, results) = self.results()?;
            Ok(format!(r#"{{"type":"results","id":"{version}","data":{results}}}"#).into())
        })
    }

    /// The version, and the results on one line.
    fn results(&self) -> Result<(i64, String), Failure> {
        let missing = || Failure::internal("results of a question that is not there");
        let view = self.view.as_ref().ok_or_else(missing)?;
        let body = view.results()?.body;
        let json = String::from_utf8(body.into()).map_err(Failure::internal)?;
        Ok((view.poll.version, json))
    }
}

fn once<T: Clone>(
    cell: &OnceLock<T>,
    render: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    if let Some(rendered) = cell.get() {
        return Ok(rendered.clone());
    }
    let rendered = render()?;
    Ok(cell.get_or_init(|| rendered).clone())
}

/// The latest snapshot, for everyone who watches.
type Latest = Option<Arc<Snapshot>>;

/// Accounts and how many streams of each there are.
#[derive(Clone, Default)]
struct Accounts(Arc<Mutex<HashMap<Uuid, usize>>>);

impl Accounts {
    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A watched question, as the hub knows it.
pub(super) struct Channel {
    latest: watch::Sender<Latest>,
    wake: Arc<Notify>,
    accounts: Accounts,
}

/// Somebody's place at a channel.
pub(super) struct Seat {
    pub latest: watch::Receiver<Latest>,
    wake: Arc<Notify>,
    account: Option<Uuid>,
    accounts: Accounts,
}

impl Seat {
    /// Has the question read once more.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }
}

impl Drop for Seat {
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
    /// Has the question read; several calls before that come to one.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// The version that its watchers have.
    pub(super) fn version(&self) -> Option<i64> {
        let latest = self.latest.borrow();
        let view = latest.as_ref()?.view.as_ref()?;
        Some(view.poll.version)
    }

    /// Whether it has opened or closed since it was read.
    pub(super) fn is_due(&self, now: Time) -> bool {
        let latest = self.latest.borrow();
        let view = latest.as_ref().and_then(|latest| latest.view.as_ref());
        view.is_some_and(|view| {
            view.poll.question.status(now) != view.poll.question.status(view.now)
        })
    }
}

impl Hub {
    /// A seat at the question's channel, which is opened for the first.
    pub(super) fn sit_down(&self, question: Uuid, account: Option<Uuid>) -> Seat {
        let mut channels = self.channels();
        let channel = channels.entry(question).or_insert_with(|| {
            let channel = Channel {
                latest: watch::Sender::new(None),
                wake: Arc::default(),
                accounts: Accounts::default(),
            };
            tokio::spawn(self.clone().follow(
                question,
                channel.latest.clone(),
                channel.wake.clone(),
                channel.accounts.clone(),
            ));
            channel
        });
        if let Some(account) = account {
            *channel.accounts.lock().entry(account).or_default() += 1;
        }
        Seat {
            latest: channel.latest.subscribe(),
            wake: channel.wake.clone(),
            account,
            accounts: channel.accounts.clone(),
        }
    }

    /// Reads the question whenever it is woken, until nobody watches it any more.
    async fn follow(
        self,
        question: Uuid,
        latest: watch::Sender<Latest>,
        wake: Arc<Notify>,
        accounts: Accounts,
    ) {
        wake.notify_one();
        loop {
            tokio::select! {
                () = wake.notified() => {}
                () = latest.closed() => {
                    if self.leave(question, &latest) {
                        return;
                    }
                    continue;
                }
            }
            match self.read(question, &accounts).await {
                Ok(snapshot) => {
                    latest.send_replace(Some(Arc::new(snapshot)));
                    tokio::time::sleep(PAUSE).await;
                }
                Err(failure) => {
                    tracing::debug!(%failure, "a watched question could not be read");
                    wake.notify_one();
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Closes the channel, unless somebody has sat down meanwhile.
    fn leave(&self, question: Uuid, latest: &watch::Sender<Latest>) -> bool {
        let mut channels = self.channels();
        let empty = latest.receiver_count() == 0;
        if empty {
            channels.remove(&question);
        }
        empty
    }

    async fn read(&self, question: Uuid, accounts: &Accounts) -> Result<Snapshot, Failure> {
        counter!("polls_live_reads_total").increment(1);
        let view = self.inner.views.latest(question).await?;
        // Asked after the numbers were read: who has withdrawn by then does not see them.
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
