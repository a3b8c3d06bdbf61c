//! What the processes of one database share: news, and what the rate limits have counted.
//!
//! Through Redis where one is configured, else through the database:
//!
//! | | with Redis | without |
//! |---|---|---|
//! | [news](Share::listen) | published and heard at once | this process's own; the others' have to be looked for in the database |
//! | [`cells`]: failed sign-ins, registrations | keys that expire | rows of a table |
//! | [`rates`]: all other calls | the same keys, a moment later | each process counts for itself |
//!
//! Nothing here is worth a request: what cannot be reached within `share.timeout` is done without.
//! Each process then counts for itself, beginning with what it has learnt of the others. Redis
//! holds nothing that could be lost.

pub mod cell;
pub mod cells;
mod known;
pub mod rates;
mod redis;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use uuid::Uuid;

use crate::clock::Clock;
use crate::config;
use crate::db::Db;

use self::known::Known;
use self::rates::Meters;
use self::redis::Redis;

/// How much news may wait for a listener before it counts as missed.
const UNHEARD: usize = 1024;

/// How often what has expired is removed from the database.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// What a process should look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Another process has revoked tokens.
    TokensRevoked,
    /// This process or another one has changed the question or counted ballots on it.
    QuestionChanged(Uuid),
    /// Something may have been missed: anything may have changed.
    Gap,
}

/// What is shared. Clones are one.
#[derive(Clone)]
pub struct Share {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    clock: Clock,
    timeout: Duration,
    news: broadcast::Sender<News>,
    known: Known,
    meters: Meters,
    redis: Option<Redis>,
}

/// Why Redis cannot be used at all. That it is away is no such reason.
#[derive(Debug, thiserror::Error)]
#[error("share.redis_url cannot be used")]
pub struct OpenError(#[from] ::redis::RedisError);

impl Share {
    /// Opens what is shared through Redis or the database. Asks neither yet.
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
            known: Known::default(),
            meters: Meters::default(),
            redis,
        };
        Ok(Share {
            inner: Arc::new(inner),
        })
    }

    /// Connects to Redis where there is one, unless that takes too long.
    pub async fn connect(&self) {
        if let Some(redis) = &self.inner.redis {
            redis.connect().await;
        }
    }

    /// Keeps the connection, sends news and removes what has expired. Never returns; to be run
    /// beside the server and dropped with it.
    pub async fn keep(self) {
        let redis = async {
            match &self.inner.redis {
                Some(redis) => redis.keep().await,
                None => std::future::pending().await,
            }
        };
        tokio::join!(redis, self.keep_sweeping(), self.keep_sharing_rates());
    }

    async fn keep_sweeping(&self) {
        let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
        loop {
            ticks.tick().await;
            if let Err(error) = self.sweep().await {
                tracing::warn!(%error, "cells of rate limits that are of no use any more remain");
            }
        }
    }

    /// Says that tokens were revoked, to the other processes: this one knows. Where there is no
    /// Redis they find out when they next ask the database.
    pub fn tell_of_revocation(&self) {
        if let Some(redis) = &self.inner.redis {
            redis.tell(News::TokensRevoked);
        }
    }

    /// Says that a question, or its numbers, have changed, after the commit.
    pub fn tell_of_question(&self, question: Uuid) {
        let news = News::QuestionChanged(question);
        // Nobody needs to listen.
        let _ = self.inner.news.send(news);
        if let Some(redis) = &self.inner.redis {
            redis.tell(news);
        }
    }

    /// Lets listeners hear what another process would say.
    #[cfg(test)]
    pub(crate) fn pretend(&self, news: News) {
        let _ = self.inner.news.send(news);
    }

    /// The news from here on.
    pub fn listen(&self) -> Listener {
        Listener(self.inner.news.subscribe())
    }

    /// Whether the news of other processes arrives by itself. Else they must be looked for.
    pub fn hears_others(&self) -> bool {
        let redis = self.inner.redis.as_ref();
        redis.is_some_and(Redis::is_connected)
    }
}

/// Somebody who listens to the news.
pub struct Listener(broadcast::Receiver<News>);

impl Listener {
    /// Forgets what was told so far, for one who is about to look anyway.
    pub fn forget(&mut self) {
        self.0 = self.0.resubscribe();
    }

    /// The next news; a [gap](News::Gap) where there was too much of it.
    pub async fn next(&mut self) -> News {
        match self.0.recv().await {
            Ok(news) => news,
            Err(broadcast::error::RecvError::Lagged(_)) => News::Gap,
            // The share is gone, and so is whoever could tell.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}
