//! Redis: one connection, over which the process both asks and hears.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use metrics::{Counter, Gauge, counter, gauge};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, PushInfo, PushKind, RedisError, RedisResult, Script,
    Value,
};
use tokio::sync::{Notify, broadcast};
use uuid::Uuid;

use super::News;
use super::cells::{Cell, Spend};
use crate::clock::Time;
use crate::config::{self, RedisUrl};

/// How long a connection may take to be made. Nobody waits for it but the start.
const CONNECT: Duration = Duration::from_secs(1);

/// How often Redis is looked for while it is away.
const RETRY: Duration = Duration::from_millis(500);

/// How often a connection is tried that seems to be well.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How many questions one message names.
const CHUNK: usize = 500;

/// Spends one of each cell; gives after how long each would have been whole without. All times are
/// in microseconds and by the clock of Redis, since those of the processes may differ.
/// ARGV: 1 to leave alone what has nothing left, then `one` and `window` of each cell.
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

/// Gives after how long each of the cells is whole.
const READ: &str = r"
local time, owed = redis.call('TIME'), {}
local now = time[1] * 1000000 + time[2]
for i, key in ipairs(KEYS) do
  local whole_at = math.max(tonumber(redis.call('GET', key) or now), now)
  owed[i] = string.format('%.0f', whole_at - now)
end
return owed
";

pub(super) struct Redis {
    client: Client,
    config: AsyncConnectionConfig,
    timeout: Duration,
    prefix: String,
    channel: String,
    /// Who we are in messages, so that we know our own.
    name: Uuid,
    spend: Script,
    read: Script,
    /// None while Redis is away: then nobody waits for it.
    connection: ArcSwapOption<MultiplexedConnection>,
    /// Something may be wrong with the connection.
    doubt: Arc<Notify>,
    outbox: Mutex<Outbox>,
    posted: Notify,
    news: broadcast::Sender<News>,
    /// Whether the log has its absence already.
    missed: AtomicBool,
    /// Whether the log has a refusal of this connection already.
    refused: AtomicBool,
    up: Gauge,
    failures: Counter,
}

/// What is to be told, each once.
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
        let hear = {
            let (news, doubt) = (news.clone(), doubt.clone());
            move |push: PushInfo| {
                match push.kind {
                    PushKind::Message => hear(name, &push, &news),
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
                .set_push_sender(hear),
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

    /// Connects and begins to hear, unless Redis is away.
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
                    tracing::info!("Redis is back");
                }
                // Whatever was said before was not heard.
                let _ = self.news.send(News::Gap);
            }
            Ok(Err(error)) => self.miss(&error),
            Err(elapsed) => self.miss(&elapsed),
        }
    }

    /// Keeps the connection and sends what is to be told. Never returns.
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

    /// Has the others told. What cannot be told is not kept: who missed something looks for it.
    pub(super) fn tell(&self, news: News) {
        if !self.is_connected() {
            return;
        }
        let mut outbox = self.outbox();
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
        let outbox = std::mem::take(&mut *self.outbox());
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

    /// When each of the cells is whole again; nothing while Redis is away.
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

    /// Spends one of each cell; gives when each was whole before, or nothing while Redis is away.
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
            call.arg(micros(cell.quota.one))
                .arg(micros(cell.quota.window));
        }
        let change = |mut connection: MultiplexedConnection| async move {
            call.invoke_async::<Vec<i64>>(&mut connection).await
        };
        Some(whole_at(self.ask(change).await?, now))
    }

    fn key(&self, cell: &Cell) -> String {
        format!("{}limit:{}", self.prefix, cell.id.simple())
    }

    /// Asks Redis, unless it is away, for as long as it may take.
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
                    tracing::error!(%error, "Redis refuses; each process counts for itself");
                }
            }
            Ok(Err(error)) => self.lose(&connection, &error),
            Err(elapsed) => self.lose(&connection, &elapsed),
        }
        None
    }

    /// Lets a connection go that does not answer, unless that has happened already.
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
                "Redis is away: each process counts for itself and asks the database for news",
            );
        }
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const TOKENS_REVOKED: &str = "tokens_revoked";
const QUESTIONS_CHANGED: &str = "questions_changed";

/// Passes on what another process says: `SENDER tokens_revoked` or
/// `SENDER questions_changed ID ID …`. Later versions may say more.
fn hear(name: Uuid, push: &PushInfo, news: &broadcast::Sender<News>) {
    let [_, Value::BulkString(message)] = push.data.as_slice() else {
        return;
    };
    let mut words = std::str::from_utf8(message).unwrap_or_default().split(' ');
    let sender = words.next().and_then(|sender| sender.parse::<Uuid>().ok());
    if sender.is_none_or(|sender| sender == name) {
        return;
    }
    match words.next() {
        // Nobody needs to listen.
        Some(TOKENS_REVOKED) => drop(news.send(News::TokensRevoked)),
        Some(QUESTIONS_CHANGED) => {
            for question in words.filter_map(|word| word.parse().ok()) {
                let _ = news.send(News::QuestionChanged(question));
            }
        }
        _ => {}
    }
}

/// Whether Redis is well, but will not do it: out of memory, say, or without permission.
fn is_refusal(error: &RedisError) -> bool {
    use redis::ServerErrorKind::{NoPerm, ResponseError};
    matches!(
        error.kind(),
        ErrorKind::Extension | ErrorKind::Server(NoPerm | ResponseError)
    )
}

/// The moments, by our clock, that lie so many microseconds ahead.
fn whole_at(owed: Vec<i64>, now: Time) -> Vec<Time> {
    let owed = owed
        .into_iter()
        .map(|micros| micros.try_into().unwrap_or(0));
    owed.map(|micros| now.after(Duration::from_micros(micros)))
        .collect()
}

fn micros(span: Duration) -> u64 {
    span.as_micros().try_into().unwrap_or(u64::MAX)
}
