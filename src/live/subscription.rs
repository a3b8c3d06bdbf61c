//! One client's subscription to a question: which events it is sent, and when.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::time::Instant;
use uuid::Uuid;

use super::Hub;
use super::channel::Receiver;
use super::event::{EndReason, Event, Snapshot};
use super::streams::{OpenStream, token_ended};
use crate::auth::SignedIn;
use crate::failure::Failure;
use crate::questions::Status;
use crate::results::{View, are_visible, depends_on_ballot};
use crate::users::Caller;

/// The events for one client. It is the same for Server-Sent Events and WebSockets.
pub(super) struct Subscription {
    hub: Hub,
    who: Option<SignedIn>,
    pub stream: OpenStream,
    receiver: Receiver,
    /// Events that are to be sent next.
    pending: VecDeque<Event>,
    /// The version that the client was sent last, and the entity tag of its results.
    version: i64,
    etag: Option<String>,
    heartbeat: Duration,
    heartbeat_at: Instant,
}

impl Subscription {
    /// Subscribes `who` to a question. `last_event_id` is the last event that the client has; an
    /// id that is not a version counts as none.
    ///
    /// [`Code::NotFound`](crate::failure::Code::NotFound),
    /// [`Code::ResultsHidden`](crate::failure::Code::ResultsHidden).
    pub(super) async fn open(
        hub: Hub,
        question: Uuid,
        who: Option<SignedIn>,
        stream: OpenStream,
        last_event_id: Option<&str>,
    ) -> Result<Subscription, Failure> {
        if let Some(who) = who {
            stream.authenticate(who);
        }
        let caller = who.map(|who| who.caller);
        let views = &hub.inner.views;
        // Checked before joining, so that requests for missing questions open no channel.
        views.find(question, caller).await?;
        // Joined before the results are read, so that no change is missed in between.
        let receiver = hub.join(question, caller.map(|caller| caller.id));
        let view = views.find_results(question, caller).await?;
        let heartbeat = hub.inner.heartbeat;
        let mut subscription = Subscription {
            hub,
            who,
            stream,
            receiver,
            pending: VecDeque::new(),
            version: i64::MIN,
            etag: None,
            heartbeat,
            heartbeat_at: Instant::now() + heartbeat,
        };
        let last_version = last_event_id.and_then(|id| id.trim().parse().ok());
        if last_version == Some(view.poll.version) {
            subscription.etag = view.results(false)?.etag;
        }
        // The results are visible to the caller. If that takes a ballot, the caller has one.
        let voters = caller.map(|caller| (caller.id, true));
        let voters = voters.into_iter().collect::<HashMap<_, _>>();
        let snapshot = Snapshot::new(Some(view), voters);
        subscription.apply(&Arc::new(snapshot));
        Ok(subscription)
    }

    /// Waits for the next event, and counts the end of the stream. Cancel safe.
    pub(super) async fn next(&mut self) -> Event {
        let event = self.wait().await;
        if let Event::End(reason) = event {
            counter!("polls_live_ends_total", "reason" => reason.name()).increment(1);
        }
        event
    }

    async fn wait(&mut self) -> Event {
        loop {
            if let Some(event) = self.pending.pop_front() {
                self.heartbeat_at = Instant::now() + self.heartbeat;
                return event;
            }
            tokio::select! {
                biased;
                reason = self.stream.ended() => return Event::End(reason),
                changed = self.receiver.latest.changed() => {
                    if changed.is_err() {
                        return Event::End(EndReason::ShuttingDown);
                    }
                    let latest = self.receiver.latest.borrow_and_update().clone();
                    if let Some(snapshot) = latest {
                        self.apply(&snapshot);
                    }
                }
                () = tokio::time::sleep_until(self.heartbeat_at) => {
                    self.pending.push_back(Event::Heartbeat);
                }
            }
        }
    }

    /// Decides which events a snapshot causes for this client.
    fn apply(&mut self, snapshot: &Arc<Snapshot>) {
        if let Some(who) = &self.who
            && let Some(reason) = token_ended(&self.hub.inner.tokens, who)
        {
            return self.pending.push_back(Event::End(reason));
        }
        let view = snapshot.view.as_ref();
        let Some(view) = view.filter(|view| view.poll.question.deleted_at.is_none()) else {
            return self.pending.push_back(Event::End(EndReason::Deleted));
        };
        let question = &view.poll.question;
        if view.poll.version < self.version {
            return;
        }
        let caller = self.who.map(|who| who.caller);
        let Some(has_ballot) = self.has_ballot(snapshot, view, caller) else {
            // The snapshot was read before this client joined. The next one has the answer.
            return self.receiver.refresh();
        };
        if !are_visible(question, caller, has_ballot, view.read_at) {
            return self.pending.push_back(Event::End(EndReason::Hidden));
        }
        let etag = match view.results(false) {
            Ok(results) => results.etag,
            Err(failure) => return tracing::error!(?failure, "results could not be rendered"),
        };
        self.version = view.poll.version;
        if self.etag != etag {
            self.etag = etag;
            self.pending.push_back(Event::Results(snapshot.clone()));
        }
        // The results are final once the question is sealed.
        if question.status(view.read_at) == Status::Closed && question.sealed_at.is_some() {
            self.pending.push_back(Event::End(EndReason::Closed));
        }
    }

    /// Whether the caller has a ballot, if the caller may see the results only with one. None if
    /// the snapshot does not know.
    fn has_ballot(&self, snapshot: &Snapshot, view: &View, caller: Option<Caller>) -> Option<bool> {
        match caller {
            Some(caller) if depends_on_ballot(&view.poll.question, Some(caller), view.read_at) => {
                snapshot.voters.get(&caller.id).copied()
            }
            _ => Some(false),
        }
    }
}
