//! Redis: one connection for commands and for the published news (RESP3).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use metrics::{Counter, Gauge, counter, gauge};
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, PushInfo, PushKind, RedisError, RedisResult, Script,
    Value,
};
use tokio::sync::{Notify, broadcast};
use uuid::Uuid;

use super::News;
use super::cells::{Cell, Spend};
use super::quota::duration;
use crate::clock::Time;
use crate::config::{self, RedisUrl};

/// How long connecting may take. Only the start of the process waits for it.
const CONNECT: Duration = Duration::from_secs(1);

/// How long to wait between attempts to reconnect.
const RETRY: Duration = Duration::from_millis(500);

/// How often a healthy connection is checked with PING.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The most questions that one message names.
const CHUNK: usize = 500;

/// Counts one attempt in each cell; returns in how long each quota was full again before that. All
/// times are in microseconds and by the clock of Redis, because those of the processes may differ.
/// ARGV: 1 to skip the cells that have no attempt left, then `one` and `window` of each cell.
const SPEND: &str = r"
local time, before = redis.call('TIME'), {}
local now = time[1] * 1000000 + time[2]
for i, key in ipairs(KEYS) do
  local one, window = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local whole_at = math.max(tonumber(redis.call('GET', key) or now), now)
  local spent = whole_at + one
  if ARGV[1] ~= '1' or spent <= now + window then
    spent = math.min(spent, now + window)
    local expiry = math.max(math.ceil((spent - now) / 1000), 1)
    redis.call('SET', key, string.format('%.0f', spent), 'PX', string.format('%.0f', expiry))
  end
  before[i] = string.format('%.0f', whole_at - now)
end
return before
";

/// Returns in how long the quota of each cell is full again.
const READ: &str = r"
local time, used = redis.call('TIME'), {}
local now = time[1] * 1000000 + time[2]
for i, key in ipairs(KEYS) do
  local whole_at = math.max(tonumber(redis.call('GET', key) or now), now)
  used[i] = string.format('%.0f', whole_at - now)
end
return used
";

pub(super) struct Redis {
    client: Client,
    config: AsyncConnectionConfig,
    timeout: Duration,
    prefix: String,
    channel: String,
    /// The sender of this process's messages, so that it can skip its own.
    name: Uuid,
    spend: Script,
    read: Script,
    /// None while Redis is away: callers then do without it at once.
    connection: ArcSwapOption<MultiplexedConnection>,
    /// Wakes [`Redis::keep`] to check the connection, because it may be broken.
    doubt: Arc<Notify>,
    outbox: Mutex<Outbox>,
    /// Wakes [`Redis::keep`] to send what is in the outbox.
    posted: Notify,
    news: broadcast::Sender<News>,
    /// Whether it has been logged that Redis is away.
    missed: AtomicBool,
    /// Whether it has been logged that Redis refuses commands.
    refused: AtomicBool,
    up: Gauge,
    failures: Counter,
}

/// News to be sent, each once.
#[derive(Default)]
struct Outbox {
    tokens_revoked: bool,
    questions: BTreeSet<Uuid>,
}

impl Redis {
    pub(super) fn open(
        config: &config::Share,
        url: &RedisUrl,
        news: broadcast::Sender<News>,
    ) -> RedisResult<Redis> {
        let name = Uuid::from_u128(rand::random());
        let doubt = Arc::new(Notify::new());
        let on_push = {
            let (news, doubt) = (news.clone(), doubt.clone());
            move |push: PushInfo| {
                match push.kind {
                    PushKind::Message => receive(name, &push, &news),
                    PushKind::Disconnection => doubt.notify_one(),
                    _ => {}
                }
                Ok::<(), ()>(())
            }
        };
        let url = url.for_driver(config.redis_password.as_ref());
        let redis = Redis {
            client: Client::open(url.expose())?,
            config: AsyncConnectionConfig::new()
                .set_connection_timeout(Some(CONNECT))
                .set_response_timeout(Some(config.timeout))
                .set_push_sender(on_push),
            timeout: config.timeout,
            prefix: config.prefix.clone(),
            channel: format!("{}news", config.prefix),
            name,
            spend: Script::new(SPEND),
            read: Script::new(READ),
            connection: ArcSwapOption::empty(),
            doubt,
            outbox: Mutex::default(),
            posted: Notify::new(),
            news,
            missed: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            up: gauge!("polls_share_redis_up"),
            failures: counter!("polls_share_failures_total", "through" => "redis"),
        };
        redis.up.set(0.0);
        Ok(redis)
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connection.load().is_some()
    }

    /// Connects and subscribes to the news, if Redis can be reached.
    pub(super) async fn connect(&self) {
        let connect = async {
            let connecting = self
                .client
                .get_multiplexed_async_connection_with_config(&self.config);
            let mut connection = connecting.await?;
            connection.subscribe(&self.channel).await?;
            RedisResult::Ok(connection)
        };
        match tokio::time::timeout(CONNECT, connect).await {
            Ok(Ok(connection)) => {
                self.refused.store(false, Ordering::Relaxed);
                self.connection.store(Some(Arc::new(connection)));
                self.up.set(1.0);
                if self.missed.swap(false, Ordering::Relaxed) {
                    tracing::info!("Redis can be reached again");
                }
                // News sent before this moment was not received.
                let _ = self.news.send(News::Gap);
            }
            Ok(Err(error)) => self.miss(&error),
            Err(elapsed) => self.miss(&elapsed),
        }
    }

    /// Keeps the connection up and sends the outbox. Never returns.
    pub(super) async fn keep(&self) {
        loop {
            if !self.is_connected() {
                tokio::time::sleep(RETRY).await;
                self.connect().await;
                continue;
            }
            tokio::select! {
                () = self.posted.notified() => self.publish().await,
                () = self.doubt.notified() => self.ping().await,
                () = tokio::time::sleep(HEARTBEAT) => self.ping().await,
            }
        }
    }

    async fn ping(&self) {
        let ping = |mut connection: MultiplexedConnection| async move {
            redis::cmd("PING").query_async::<()>(&mut connection).await
        };
        self.ask(ping).await;
    }

    /// Sends news to the other processes, soon. Without a connection they are dropped:
    /// the others find such changes when they poll the database.
    pub(super) fn tell(&self, news: News) {
        if !self.is_connected() {
            return;
        }
        let mut outbox = self.outbox.lock();
        match news {
            News::TokensRevoked => outbox.tokens_revoked = true,
            News::QuestionChanged(question) => {
                outbox.questions.insert(question);
            }
            News::Gap => {}
        }
        drop(outbox);
        self.posted.notify_one();
    }

    async fn publish(&self) {
        let outbox = std::mem::take(&mut *self.outbox.lock());
        let mut messages = Vec::new();
        if outbox.tokens_revoked {
            messages.push(format!("{} {TOKENS_REVOKED}", self.name.simple()));
        }
        let questions: Vec<Uuid> = outbox.questions.into_iter().collect();
        for questions in questions.chunks(CHUNK) {
            let mut message = format!("{} {QUESTIONS_CHANGED}", self.name.simple());
            for question in questions {
                message.push(' ');
                message.push_str(&question.simple().to_string());
            }
            messages.push(message);
        }
        for message in messages {
            let publish = |mut connection: MultiplexedConnection| async move {
                redis::cmd("PUBLISH")
                    .arg(&self.channel)
                    .arg(message)
                    .query_async::<()>(&mut connection)
                    .await
            };
            self.ask(publish).await;
        }
    }

    /// `whole_at` of each cell; None while Redis is away.
    pub(super) async fn read(&self, cells: &[Cell], now: Time) -> Option<Vec<Time>> {
        let mut call = self.read.prepare_invoke();
        for cell in cells {
            call.key(self.key(cell));
        }
        let read = |mut connection: MultiplexedConnection| async move {
            call.invoke_async::<Vec<i64>>(&mut connection).await
        };
        Some(whole_at(self.ask(read).await?, now))
    }

    /// Counts one attempt in each cell; returns each `whole_at` before that, or None while Redis is
    /// away.
    pub(super) async fn change(
        &self,
        cells: &[Cell],
        now: Time,
        spend: Spend,
    ) -> Option<Vec<Time>> {
        let mut call = self.spend.prepare_invoke();
        call.arg(i32::from(spend == Spend::IfAllowed));
        for cell in cells {
            call.key(self.key(cell));
            call.arg(cell.quota.one).arg(cell.quota.window);
        }
        let change = |mut connection: MultiplexedConnection| async move {
            call.invoke_async::<Vec<i64>>(&mut connection).await
        };
        Some(whole_at(self.ask(change).await?, now))
    }

    fn key(&self, cell: &Cell) -> String {
        format!("{}limit:{}", self.prefix, cell.id.simple())
    }

    /// Runs a command within `share.timeout`; None if Redis is away or fails.
    async fn ask<T, F>(&self, work: impl FnOnce(MultiplexedConnection) -> F) -> Option<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let connection = self.connection.load_full()?;
        let asked = work(MultiplexedConnection::clone(&connection));
        match tokio::time::timeout(self.timeout, asked).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) if is_refusal(&error) => {
                self.failures.increment(1);
                if !self.refused.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "Redis refuses commands; each process counts alone");
                }
            }
            Ok(Err(error)) => self.lose(&connection, &error),
            Err(elapsed) => self.lose(&connection, &elapsed),
        }
        None
    }

    /// Gives up a connection that does not answer, unless that has happened already.
    fn lose(&self, connection: &Arc<MultiplexedConnection>, error: &dyn std::error::Error) {
        let current = self.connection.compare_and_swap(connection, None);
        let current = current.as_ref();
        if current.is_some_and(|current| Arc::ptr_eq(current, connection)) {
            self.doubt.notify_one();
            self.miss(error);
        } else {
            self.failures.increment(1);
        }
    }

    fn miss(&self, error: &dyn std::error::Error) {
        self.up.set(0.0);
        self.failures.increment(1);
        if !self.missed.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %error,
                "Redis cannot be reached: each process counts alone and polls the database for news",
            );
        }
    }
}

const TOKENS_REVOKED: &str = "tokens_revoked";
const QUESTIONS_CHANGED: &str = "questions_changed";

/// Passes on the news in another process's message: `SENDER tokens_revoked` or
/// `SENDER questions_changed ID ID …`. Other messages, from later versions, are ignored.
fn receive(name: Uuid, push: &PushInfo, news: &broadcast::Sender<News>) {
    let [_, Value::BulkString(message)] = push.data.as_slice() else {
        return;
    };
    let mut words = std::str::from_utf8(message).unwrap_or_default().split(' ');
    let sender = words.next().and_then(|sender| sender.parse::<Uuid>().ok());
    if sender.is_none_or(|sender| sender == name) {
        return;
    }
    match words.next() {
        // This fails if nobody listens, which is fine.
        Some(TOKENS_REVOKED) => drop(news.send(News::TokensRevoked)),
        Some(QUESTIONS_CHANGED) => {
            for question in words.filter_map(|word| word.parse().ok()) {
                let _ = news.send(News::QuestionChanged(question));
            }
        }
        _ => {}
    }
}

/// Whether Redis works but refuses the command: it is out of memory, say, or permission is missing.
fn is_refusal(error: &RedisError) -> bool {
    use redis::ServerErrorKind::{NoPerm, ResponseError};
    matches!(
        error.kind(),
        ErrorKind::Extension | ErrorKind::Server(NoPerm | ResponseError)
    )
}

/// Converts microseconds from now to moments of this process's clock.
fn whole_at(used: Vec<i64>, now: Time) -> Vec<Time> {
    let used = used.into_iter().map(duration);
    used.map(|used| now.after(used)).collect()
}
