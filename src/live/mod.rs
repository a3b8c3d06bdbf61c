//! Live results: clients that watch a question are sent its results after each change.
//!
//! Each process has one [`Hub`]. It has a `Channel` for each question that is watched there. The
//! channel reads and renders the question once after each change, at most four times a second, for
//! all its subscriptions. Each `Subscription` takes the latest snapshot when its client is ready
//! for it. No snapshots are queued, so a slow client misses some of them and costs no memory.
//!
//! A channel reads its question again when the [share](crate::share) announces a change: by this
//! process, and through Redis by others. In addition the hub queries the versions of all watched
//! tallies in one statement, every `live.poll_interval`; ten times less often while Redis is
//! connected. `Streams` ends streams whose access tokens are no longer valid, which is known in
//! memory. Whether accounts still have the ballots that let them see the results is queried for all
//! subscriptions of a channel at once.

pub mod api;
mod channel;
mod event;
mod streams;
mod subscription;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sea_orm::DbErr;
use uuid::Uuid;

use crate::auth::{SignedIn, Tokens};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Db;
use crate::failure::Failure;
use crate::network::Network;
use crate::periodic::every;
use crate::results::Views;
use crate::results::poll;
use crate::share::{News, Share};

use self::channel::Channel;
use self::event::EndReason;
use self::streams::{CloseConnection, OpenStream, Streams};
use self::subscription::Subscription;

/// How often access tokens, opening and closing times and stalled clients are checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// While Redis announces the changes of other processes, only every tenth poll is done.
const POLLS_SKIPPED_WITH_REDIS: u32 = 10;

/// Sends the results of watched questions to all subscriptions of this process. Clones share
/// everything.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    clock: Clock,
    share: Share,
    tokens: Tokens,
    views: Views,
    poll_interval: Duration,
    heartbeat: Duration,
    channels: Mutex<HashMap<Uuid, Channel>>,
    streams: Streams,
}

impl Hub {
    pub fn new(
        db: Db,
        clock: Clock,
        share: Share,
        tokens: Tokens,
        views: Views,
        config: &Config,
    ) -> Hub {
        let live = &config.live;
        let inner = Inner {
            db,
            clock,
            share,
            tokens,
            views,
            poll_interval: live.poll_interval,
            // Connections on which nothing is sent for `header_timeout` are closed.
            heartbeat: live.heartbeat.min(config.http.header_timeout / 2),
            channels: Mutex::default(),
            streams: Streams::new(live),
        };
        Hub {
            inner: Arc::new(inner),
        }
    }

    /// Listens for changes, polls, and checks streams. Never returns; runs as a task of the server
    /// until that stops.
    pub async fn run(self) {
        tokio::join!(self.listen(), self.check(), self.poll());
    }

    /// Ends all streams, and refuses new ones.
    pub fn stop(&self) {
        self.inner.streams.close(EndReason::ShuttingDown);
    }

    /// Opens a stream for a client of `network`, to be given to [`subscribe`](Hub::subscribe).
    /// `close_connection` is called if the client does not read.
    ///
    /// [`Code::Overloaded`](crate::failure::Code::Overloaded),
    /// [`Code::ShuttingDown`](crate::failure::Code::ShuttingDown).
    fn open_stream(
        &self,
        network: Network,
        close_connection: Option<CloseConnection>,
    ) -> Result<OpenStream, Failure> {
        self.inner.streams.open(network, close_connection)
    }

    /// See [`Subscription::open`].
    async fn subscribe(
        &self,
        question: Uuid,
        who: Option<SignedIn>,
        stream: OpenStream,
        last_event_id: Option<&str>,
    ) -> Result<Subscription, Failure> {
        Subscription::open(self.clone(), question, who, stream, last_event_id).await
    }

    async fn listen(&self) {
        let mut news = self.inner.share.listen();
        loop {
            match news.next().await {
                News::QuestionChanged(question) => {
                    if let Some(channel) = self.inner.channels.lock().get(&question) {
                        channel.refresh();
                    }
                }
                News::Gap => {
                    for channel in self.inner.channels.lock().values() {
                        channel.refresh();
                    }
                }
                News::TokensRevoked => {}
            }
        }
    }

    /// Checks the streams, and refreshes the channels of questions that have opened or closed.
    async fn check(&self) {
        every(CHECK_INTERVAL, || async {
            self.inner.streams.check(&self.inner.tokens);
            let now = self.inner.clock.now();
            for channel in self.inner.channels.lock().values() {
                if channel.is_due(now) {
                    channel.refresh();
                }
            }
        })
        .await;
    }

    /// Polls the versions of all watched tallies.
    async fn poll(&self) {
        let mut turns = (0..POLLS_SKIPPED_WITH_REDIS).cycle();
        every(self.inner.poll_interval, || {
            let is_due = turns.next() == Some(0) || !self.inner.share.hears_others();
            async move {
                if is_due && let Err(error) = self.compare_versions().await {
                    tracing::debug!(%error, "the versions of watched questions could not be read");
                }
            }
        })
        .await;
    }

    /// Refreshes the channels whose version is not the database's.
    async fn compare_versions(&self) -> Result<(), DbErr> {
        let watched: Vec<Uuid> = self.inner.channels.lock().keys().copied().collect();
        if watched.is_empty() {
            return Ok(());
        }
        let versions = poll::versions(self.inner.db.read(), &watched).await?;
        let channels = self.inner.channels.lock();
        for (question, version) in versions {
            if let Some(channel) = channels.get(&question)
                && channel.version() != Some(version)
            {
                channel.refresh();
            }
        }
        Ok(())
    }
}
