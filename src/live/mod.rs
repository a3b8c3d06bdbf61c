//! Live results: everyone who watches a question sees its numbers move.
//!
//! Each process has one [`Hub`]. However many watch a question there, it is read once for each
//! change, and at most four times a second: a channel reads and renders it, and its
//! watchers take the latest state from there when they can. Nothing is queued for anybody, so a
//! slow reader misses states in between and costs no memory.
//!
//! What makes a channel look is the [news](crate::share) of ballots and changes, of this process
//! and, through Redis, of the others. Beside that the hub asks the database for the versions of
//! all watched tallies in one statement: often where there is no Redis, now and then where there
//! is. Watchers' rights are known in memory; whether accounts still have the ballots by which they
//! see is asked for all of them at once.

pub mod api;
mod channel;
pub mod objects;
mod pass;
mod watcher;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sea_orm::DbErr;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use crate::auth::{SignedIn, Tokens};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Db;
use crate::failure::Failure;
use crate::http::Connection;
use crate::network::Network;
use crate::results::poll;
use crate::results::view::Views;
use crate::share::{News, Share};

use self::channel::Channel;
use self::objects::EndReason;
use self::pass::{Pass, Passes};
use self::watcher::Watcher;

/// How often rights, ends and readers are looked after.
const TICK: Duration = Duration::from_millis(250);

/// Where the news of others arrives by itself, versions are asked for every so many times less.
const RARELY: u32 = 10;

/// The one place of a process from which results are fanned out. Clones are one.
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
    patience: Duration,
    channels: Mutex<HashMap<Uuid, Channel>>,
    passes: Passes,
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
            // A connection to which nothing is sent for longer is closed.
            heartbeat: live.heartbeat.min(config.http.header_timeout / 2),
            patience: live.patience,
            channels: Mutex::default(),
            passes: Passes::new(live),
        };
        Hub {
            inner: Arc::new(inner),
        }
    }

    /// Listens, asks, and looks after the watchers. Never returns; to be run beside the server
    /// and dropped with it.
    pub async fn keep(self) {
        tokio::join!(self.listen(), self.look_after(), self.poll());
    }

    /// Ends all streams, and lets nobody in any more.
    pub fn stop(&self) {
        self.inner.passes.close(EndReason::ShuttingDown);
    }

    /// Room for one more stream to `network`. [`Code::Overloaded`](crate::failure::Code::Overloaded)
    /// where there is none, [`Code::ShuttingDown`](crate::failure::Code::ShuttingDown).
    fn admit(&self, network: Network, connection: Option<Connection>) -> Result<Pass, Failure> {
        self.inner.passes.admit(network, connection)
    }

    /// Begins to watch a question as `who`; `seen` is the last event that the client has.
    async fn watch(
        &self,
        question: Uuid,
        who: Option<SignedIn>,
        pass: Pass,
        seen: Option<i64>,
    ) -> Result<Watcher, Failure> {
        Watcher::begin(self.clone(), question, who, pass, seen).await
    }

    async fn listen(&self) {
        let mut news = self.inner.share.listen();
        loop {
            match news.next().await {
                News::QuestionChanged(question) => {
                    if let Some(channel) = self.channels().get(&question) {
                        channel.wake();
                    }
                }
                News::Gap => self.wake_all(),
                News::TokensRevoked => {}
            }
        }
    }

    /// Ends what has lost its right, wakes the channels of questions that open or close now, and
    /// drops who does not read.
    async fn look_after(&self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Inner {
                tokens,
                passes,
                patience,
                ..
            } = &*self.inner;
            passes.look_after(tokens, *patience);
            let now = self.inner.clock.now();
            for channel in self.channels().values() {
                if channel.is_due(now) {
                    channel.wake();
                }
            }
        }
    }

    /// Asks for the versions of all watched tallies, and wakes the channels of those that differ.
    async fn poll(&self) {
        let mut ticks = tokio::time::interval(self.inner.poll_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for turn in 0_u32.. {
            ticks.tick().await;
            if self.inner.share.hears_others() && !turn.is_multiple_of(RARELY) {
                continue;
            }
            if let Err(error) = self.compare_versions().await {
                tracing::debug!(%error, "watched questions could not be asked for");
            }
        }
    }

    async fn compare_versions(&self) -> Result<(), DbErr> {
        let watched: Vec<Uuid> = self.channels().keys().copied().collect();
        if watched.is_empty() {
            return Ok(());
        }
        let versions = poll::versions(self.inner.db.read(), &watched).await?;
        let channels = self.channels();
        for (question, version) in versions {
            if let Some(channel) = channels.get(&question)
                && channel.version() != Some(version)
            {
                channel.wake();
            }
        }
        Ok(())
    }

    fn wake_all(&self) {
        for channel in self.channels().values() {
            channel.wake();
        }
    }

    fn channels(&self) -> MutexGuard<'_, HashMap<Uuid, Channel>> {
        let channels = &self.inner.channels;
        channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
