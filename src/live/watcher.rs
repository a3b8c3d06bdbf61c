//! One stream: what its client gets to see, and when.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::Hub;
use super::channel::{Seat, Snapshot};
use super::objects::EndReason;
use super::pass::{Pass, lost_right};
use crate::auth::SignedIn;
use crate::failure::Failure;
use crate::questions::Status;
use crate::results::view::{View, hidden};
use crate::results::{are_visible, depends_on_ballot};
use crate::users::Caller;

/// What a client is to be told.
pub(super) enum Event {
    Results(Arc<Snapshot>),
    /// Nothing comes after this.
    End(EndReason),
    /// Nothing has happened for a while.
    Heartbeat,
}

/// Somebody who watches a question.
pub(super) struct Watcher {
    hub: Hub,
    who: Option<SignedIn>,
    pub pass: Pass,
    seat: Seat,
    /// What is to be told before anything else.
    due: VecDeque<Event>,
    /// What the client has: the version, and the tag of the results.
    version: i64,
    tag: Option<String>,
    heartbeat: Duration,
    heartbeat_at: Instant,
}

impl Watcher {
    /// [`Code::NotFound`](crate::failure::Code::NotFound),
    /// [`Code::ResultsHidden`](crate::failure::Code::ResultsHidden).
    pub(super) async fn begin(
        hub: Hub,
        question: Uuid,
        who: Option<SignedIn>,
        pass: Pass,
        seen: Option<i64>,
    ) -> Result<Watcher, Failure> {
        if let Some(who) = who {
            pass.belongs_to(who);
        }
        let caller = who.map(|who| who.caller);
        let views = &hub.inner.views;
        // Not yet at the channel: nobody opens one by asking for what is not there.
        views.find(question, caller).await?;
        // First a seat and then the numbers, so that nothing is missed in between.
        let seat = hub.sit_down(question, caller.map(|caller| caller.id));
        let view = views.find(question, caller).await?;
        if !views.is_visible(&view, caller).await? {
            return Err(hidden());
        }
        let heartbeat = hub.inner.heartbeat;
        let mut watcher = Watcher {
            hub,
            who,
            pass,
            seat,
            due: VecDeque::new(),
            version: i64::MIN,
            tag: None,
            heartbeat,
            heartbeat_at: Instant::now() + heartbeat,
        };
        if seen == Some(view.poll.version) {
            watcher.tag = view.results()?.etag;
        }
        // It was found to be visible, by the ballot where that is what it takes.
        let voters = caller.map(|caller| (caller.id, true));
        let voters = voters.into_iter().collect::<HashMap<_, _>>();
        let snapshot = Snapshot::new(Some(view), voters);
        watcher.consider(&Arc::new(snapshot));
        Ok(watcher)
    }

    /// The next event. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.due.pop_front() {
                self.heartbeat_at = Instant::now() + self.heartbeat;
                return event;
            }
            tokio::select! {
                biased;
                reason = self.pass.ended() => return Event::End(reason),
                changed = self.seat.latest.changed() => {
                    if changed.is_err() {
                        return Event::End(EndReason::ShuttingDown);
                    }
                    let latest = self.seat.latest.borrow_and_update().clone();
                    if let Some(snapshot) = latest {
                        self.consider(&snapshot);
                    }
                }
                () = tokio::time::sleep_until(self.heartbeat_at) => {
                    self.due.push_back(Event::Heartbeat);
                }
            }
        }
    }

    /// Decides what a state of the question means to this client.
    fn consider(&mut self, snapshot: &Arc<Snapshot>) {
        if let Some(who) = &self.who
            && let Some(reason) = lost_right(&self.hub.inner.tokens, who)
        {
            return self.due.push_back(Event::End(reason));
        }
        let existing = |view: &&Arc<View>| view.poll.question.deleted_at.is_none();
        let Some(view) = snapshot.view.as_ref().filter(existing) else {
            return self.due.push_back(Event::End(EndReason::Deleted));
        };
        let question = &view.poll.question;
        if view.poll.version < self.version {
            return;
        }
        let caller = self.who.map(|who| who.caller);
        let Some(has_ballot) = self.has_ballot(snapshot, view, caller) else {
            // It was read before this client came. The next one knows.
            return self.seat.wake();
        };
        if !are_visible(question, caller, has_ballot, view.now) {
            return self.due.push_back(Event::End(EndReason::Hidden));
        }
        let tag = match view.results() {
            Ok(results) => results.etag,
            Err(failure) => return tracing::error!(?failure, "results cannot be written"),
        };
        self.version = view.poll.version;
        if self.tag != tag {
            self.tag = tag;
            self.due.push_back(Event::Results(snapshot.clone()));
        }
        // Only then do the numbers stand still.
        if question.status(view.now) == Status::Closed && question.sealed_at.is_some() {
            self.due.push_back(Event::End(EndReason::Closed));
        }
    }

    /// Whether the client has a ballot, where it takes that to see the numbers; nothing where it
    /// was not asked for.
    fn has_ballot(&self, snapshot: &Snapshot, view: &View, caller: Option<Caller>) -> Option<bool> {
        match caller {
            Some(caller) if depends_on_ballot(&view.poll.question, Some(caller), view.now) => {
                snapshot.voters.get(&caller.id).copied()
            }
            _ => Some(false),
        }
    }
}
