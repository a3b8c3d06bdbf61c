//! What the processes of one database share: news of changes, and the counters of rate limits.
//!
//! They share through Redis if one is configured, else through the database:
//!
//! | | Redis configured | none configured |
//! |---|---|---|
//! | [news](Share::listen) | published, received at once | only this process's own; changes by others have to be polled from the database |
//! | [`cells`]: failed sign-ins, registrations | keys that expire | rows of the table `limit_cells` |
//! | [`rates`]: all other calls | counted in memory, added to the same keys a moment later | counted by each process alone |
//!
//! No request fails because of this module: if Redis or the database does not answer within
//! `share.timeout`, the process goes on with its own counters, which include what it has learnt of
//! the others. The database does not replace a Redis that is configured and does not answer: each
//! process then counts by itself. Redis holds no data that must be kept.

pub mod cell;
pub mod cells;
mod local;
mod quota;
pub mod rates;
mod redis;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use uuid::Uuid;

use crate::clock::Clock;
use crate::config;
use crate::db::Db;
use crate::periodic::try_every;

use self::local::LocalCells;
use self::rates::Meters;
use self::redis::Redis;

/// How many news may wait for a listener; if there are more, it gets a [`News::Gap`].
const UNHEARD: usize = 1024;

/// How often expired cells are deleted from the database.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// News of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Another process has revoked tokens.
    TokensRevoked,
    /// This process or another one has changed the question or counted ballots on it.
    QuestionChanged(Uuid),
    /// News may have been missed: anything may have changed.
    Gap,
}

/// The shared news and counters. Clones are the same.
#[derive(Clone)]
pub struct Share {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    clock: Clock,
    timeout: Duration,
    news: broadcast::Sender<News>,
    local: LocalCells,
    meters: Meters,
    redis: Option<Redis>,
}

/// The Redis URL cannot be used. (A Redis that cannot be reached is no error.)
#[derive(Debug, thiserror::Error)]
#[error("share.redis_url cannot be used")]
pub struct OpenError(#[from] ::redis::RedisError);

impl Share {
    /// Prepares sharing through Redis or the database, without connecting yet.
    pub fn open(config: &config::Share, db: Db, clock: Clock) -> Result<Share, OpenError> {
        let (news, _) = broadcast::channel(UNHEARD);
        let redis = match &config.redis_url {
            Some(url) => Some(Redis::open(config, url, news.clone())?),
            None => None,
        };
        let inner = Inner {
            db,
            clock,
            timeout: config.timeout,
            news,
            local: LocalCells::default(),
            meters: Meters::default(),
            redis,
        };
        Ok(Share {
            inner: Arc::new(inner),
        })
    }

    /// Connects to Redis, if one is configured and it answers in time.
    pub async fn connect(&self) {
        if let Some(redis) = &self.inner.redis {
            redis.connect().await;
        }
    }

    /// Keeps Redis connected, sends news and deletes expired cells. Never returns; to be run beside
    /// the server and dropped with it.
    pub async fn keep(self) {
        let redis = async {
            match &self.inner.redis {
                Some(redis) => redis.keep().await,
                None => std::future::pending().await,
            }
        };
        let warning = "expired cells of rate limits could not be deleted";
        let sweeping = try_every(SWEEP_INTERVAL, warning, || self.sweep());
        tokio::join!(redis, sweeping, self.keep_sharing_rates());
    }

    /// Tells the other processes that tokens were revoked. Without Redis they find out when they
    /// next poll the database.
    pub fn tell_of_revocation(&self) {
        if let Some(redis) = &self.inner.redis {
            redis.tell(News::TokensRevoked);
        }
    }

    /// Tells all processes that a question or its results have changed. To be called after the
    /// commit.
    pub fn tell_of_question(&self, question: Uuid) {
        let news = News::QuestionChanged(question);
        // This fails if nobody listens, which is fine.
        let _ = self.inner.news.send(news);
        if let Some(redis) = &self.inner.redis {
            redis.tell(news);
        }
    }

    /// Sends news to the listeners as if it came from another process.
    #[cfg(test)]
    pub(crate) fn pretend(&self, news: News) {
        let _ = self.inner.news.send(news);
    }

    /// The news from here on.
    pub fn listen(&self) -> Listener {
        Listener(self.inner.news.subscribe())
    }

    /// Whether the news of other processes arrives here. If not, their changes have to be polled.
    pub fn hears_others(&self) -> bool {
        let redis = self.inner.redis.as_ref();
        redis.is_some_and(Redis::is_connected)
    }
}

/// A subscription to the news.
pub struct Listener(broadcast::Receiver<News>);

impl Listener {
    /// Skips the news so far, for a listener that is about to read everything anyway.
    pub fn forget(&mut self) {
        self.0 = self.0.resubscribe();
    }

    /// Waits for the next news; a [gap](News::Gap) if some were dropped.
    pub async fn next(&mut self) -> News {
        match self.0.recv().await {
            Ok(news) => news,
            Err(broadcast::error::RecvError::Lagged(_)) => News::Gap,
            // The `Share` was dropped: there will be no more news.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}
