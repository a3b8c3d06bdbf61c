//! The link to the database: which host is in use, and the failover to another one.
//!
//! A separate session watches the host. If that session is lost, if the host does not answer for
//! too long or no longer accepts writes, all work on it is cancelled, and the first host that
//! accepts writes is used instead. Each host gets new pools, so that no connection to a former
//! primary, and none that hangs, is used again.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use metrics::gauge;
use sea_orm::{ConnAcquireErr, DatabaseConnection, DbBackend, DbErr, RuntimeErr};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::error;
use super::host::{Flavour, Host, Session};
use crate::config;

/// How often the host is asked whether it still accepts writes.
const INTERVAL: Duration = Duration::from_millis(500);

/// A host that does not answer for so long is given up.
const SILENCE: Duration = Duration::from_secs(3);

/// How long connecting to a host and checking it may take.
const CONNECT: Duration = Duration::from_secs(3);

/// How much later each host of the list is tried than the one before it.
const PREFERENCE: Duration = Duration::from_millis(300);

/// The pause before all hosts are tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// How long to wait for connections that are still in use before the program ends without them.
const GOODBYE: Duration = Duration::from_secs(2);

/// The pools of connections for reading and for writing, which may be the same.
#[derive(Debug, Clone)]
pub(super) struct Pools {
    pub reader: DatabaseConnection,
    pub writer: DatabaseConnection,
    /// None for a file.
    pub host: Option<(Arc<Host>, Flavour)>,
}

impl Pools {
    /// Whether the host is a node of a Galera cluster.
    pub fn on_cluster(&self) -> bool {
        let flavour = self.host.as_ref().map(|(_, flavour)| *flavour);
        flavour == Some(Flavour::MariaDb { galera: true })
    }

    /// Closes the connections once their work is done, or after a timeout.
    async fn close(self) {
        for pool in [self.reader, self.writer] {
            match timeout(GOODBYE, pool.close()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "closing the database failed"),
                Err(_) => tracing::warn!("connections to the database were still in use"),
            }
        }
    }
}

#[derive(Debug, Clone)]
enum State {
    Connected(Pools),
    /// When a host last answered.
    Disconnected(Instant),
    Closed,
}

/// The current host and its pools. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub engine: DbBackend,
    state: watch::Sender<State>,
    /// How long after the last answer callers still wait for a host.
    patience: Duration,
    /// None for a file, which needs no watching.
    _watcher: Option<Arc<AbortOnDropHandle<()>>>,
}

/// No host has been connected for too long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disconnected;

const DISCONNECTED: &str = "the database cannot be reached";

impl Disconnected {
    /// Whether the error was made from a [`Disconnected`].
    pub fn is_in(error: &DbErr) -> bool {
        matches!(error, DbErr::Conn(RuntimeErr::Internal(text)) if text == DISCONNECTED)
    }
}

impl From<Disconnected> for DbErr {
    fn from(_: Disconnected) -> DbErr {
        DbErr::Conn(RuntimeErr::Internal(DISCONNECTED.to_owned()))
    }
}

/// The host was lost during the work. There may be another one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lost;

impl From<Lost> for DbErr {
    fn from(_: Lost) -> DbErr {
        DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed)
    }
}

/// Why a host cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum HostError {
    #[error(transparent)]
    Connect(#[from] sqlx::Error),
    #[error("it does not answer")]
    Silent,
    #[error(
        "it does not accept writes: it is a standby, read-only, or disconnected from its cluster"
    )]
    ReadOnly,
    #[error("{0}")]
    Unfit(String),
}

/// No host can be used: what is wrong with each.
#[derive(Debug)]
pub struct NoHost(Vec<(String, HostError)>);

impl Error for NoHost {}

impl fmt::Display for NoHost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, error)) in self.0.iter().enumerate() {
            let between = if index == 0 { "" } else { "; " };
            write!(out, "{between}{name}: {error}")?;
        }
        Ok(())
    }
}

impl NoHost {
    /// Whether waiting may help (unlike after a wrong password).
    fn may_pass(&self) -> bool {
        self.0.iter().any(|(_, error)| match error {
            HostError::Connect(error) => error::may_pass(error),
            HostError::Silent | HostError::ReadOnly => true,
            HostError::Unfit(_) => false,
        })
    }
}

impl Link {
    /// To a file, which is always connected.
    pub fn to_file(pools: Pools) -> Link {
        Link {
            engine: DbBackend::Sqlite,
            state: watch::Sender::new(State::Connected(pools)),
            patience: Duration::ZERO,
            _watcher: None,
        }
    }

    /// To the first of these hosts that accepts writes, and to the next such host whenever it is
    /// lost.
    pub async fn to_servers(
        hosts: Vec<Arc<Host>>,
        config: &config::Database,
    ) -> Result<Link, NoHost> {
        let begun = Instant::now();
        let found = loop {
            match find(&hosts).await {
                Ok(found) => break found,
                Err(error) if error.may_pass() && begun.elapsed() < config.acquire_timeout => {
                    sleep(AGAIN).await;
                }
                Err(error) => return Err(error),
            }
        };
        let pools = found.pools(config);
        let engine = pools.writer.get_database_backend();
        let state = watch::Sender::new(State::Connected(pools));
        let watcher = Watcher {
            hosts,
            config: config.clone(),
            state: state.clone(),
        };
        Ok(Link {
            engine,
            state,
            patience: config.acquire_timeout,
            _watcher: Some(Arc::new(AbortOnDropHandle::new(tokio::spawn(
                watcher.run(found),
            )))),
        })
    }

    /// The pools of the current host. If none is connected, waits for one, until `patience` is
    /// over.
    pub async fn connected(&self) -> Result<Hold, Disconnected> {
        let mut state = self.state.subscribe();
        loop {
            let now = state.borrow_and_update().clone();
            let since = match now {
                State::Connected(pools) => return Ok(Hold { pools, state }),
                State::Disconnected(since) => since,
                State::Closed => return Err(Disconnected),
            };
            tokio::select! {
                changed = state.changed() => changed.map_err(|_| Disconnected)?,
                () = sleep_until(since + self.patience) => return Err(Disconnected),
            }
        }
    }

    /// The pools of the current host; None if no host is connected.
    pub fn pools(&self) -> Option<Pools> {
        match &*self.state.borrow() {
            State::Connected(pools) => Some(pools.clone()),
            State::Disconnected(_) | State::Closed => None,
        }
    }

    /// Closes the connections, for good.
    pub async fn close(&self) {
        if let State::Connected(pools) = self.state.send_replace(State::Closed) {
            pools.close().await;
        }
    }
}

/// The pools of a host, and whether that host has been lost since.
pub(super) struct Hold {
    pub pools: Pools,
    state: watch::Receiver<State>,
}

impl Hold {
    /// Does the work, or cancels it when the host is lost.
    pub async fn unless_lost<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Lost> {
        tokio::select! {
            biased;
            outcome = work => Ok(outcome),
            _ = self.state.changed() => Err(Lost),
        }
    }
}

/// A host that accepts writes, and the session by which it is watched.
struct Found {
    host: Arc<Host>,
    session: Session,
    flavour: Flavour,
}

impl Found {
    fn pools(&self, config: &config::Database) -> Pools {
        let (reader, writer) = self.host.pools(config, self.flavour);
        Pools {
            reader,
            writer,
            host: Some((self.host.clone(), self.flavour)),
        }
    }
}

/// The first of the hosts that accepts writes. Each is given a head start on the next.
async fn find(hosts: &[Arc<Host>]) -> Result<Found, NoHost> {
    let mut asked: FuturesUnordered<_> = (0_u32..)
        .zip(hosts)
        .map(|(place, host)| async move {
            sleep(PREFERENCE * place).await;
            (host, ask(host).await)
        })
        .collect();
    let mut errors = Vec::new();
    while let Some((host, outcome)) = asked.next().await {
        match outcome {
            Ok(found) => return Ok(found),
            Err(error) => errors.push((host.name.clone(), error)),
        }
    }
    Err(NoHost(errors))
}

async fn ask(host: &Arc<Host>) -> Result<Found, HostError> {
    let asked = timeout(CONNECT, async {
        let mut session = host.connect().await?;
        let flavour = session.writable().await?.ok_or(HostError::ReadOnly)?;
        if let Some(reason) = session.unfit_for_text().await? {
            return Err(HostError::Unfit(reason));
        }
        let host = host.clone();
        Ok(Found {
            host,
            session,
            flavour,
        })
    });
    asked.await.unwrap_or(Err(HostError::Silent))
}

struct Watcher {
    hosts: Vec<Arc<Host>>,
    config: config::Database,
    state: watch::Sender<State>,
}

impl Watcher {
    /// Switches to another host whenever the current one is lost. Never returns; to be aborted.
    async fn run(self, mut found: Found) {
        let up = gauge!("polls_database_up");
        loop {
            up.set(1);
            let (error, heard) = watch(&mut found).await;
            up.set(0);
            let host = &found.host.name;
            tracing::error!(%host, %error, "{DISCONNECTED}");
            self.enter(State::Disconnected(heard));
            found = loop {
                match find(&self.hosts).await {
                    Ok(found) => break found,
                    Err(error) => {
                        tracing::debug!(%error, "no host of the database can be used yet");
                    }
                }
                sleep(AGAIN).await;
            };
            let (host, seconds) = (&found.host.name, heard.elapsed().as_secs_f64());
            tracing::warn!(%host, seconds, "the database can be reached again");
            self.enter(State::Connected(found.pools(&self.config)));
        }
    }

    fn enter(&self, next: State) {
        let mut last = None;
        self.state.send_if_modified(|state| {
            let open = !matches!(state, State::Closed);
            if open {
                last = Some(std::mem::replace(state, next));
            }
            open
        });
        if let Some(State::Connected(pools)) = last {
            tokio::spawn(pools.close());
        }
    }
}

/// Watches a host until it is lost. Returns why, and when it last answered.
async fn watch(found: &mut Found) -> (HostError, Instant) {
    let mut heard = Instant::now();
    loop {
        sleep(INTERVAL).await;
        let error = match timeout(SILENCE, found.session.writable()).await {
            Ok(Ok(Some(_))) => {
                heard = Instant::now();
                continue;
            }
            Ok(Ok(None)) => HostError::ReadOnly,
            Ok(Err(error)) => HostError::Connect(error),
            Err(_) => HostError::Silent,
        };
        // The session may have ended although the host is healthy.
        if matches!(error, HostError::Connect(_))
            && let Ok(again) = ask(&found.host).await
        {
            *found = again;
            continue;
        }
        return (error, heard);
    }
}
