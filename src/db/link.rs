//! The link to the database: which host it is on now, and what happens while it is on none.
//!
//! A session of its own watches the host. When it is lost, silent for too long, or can no longer
//! be written to, everything under way there is given up, and the first host that takes writes is
//! looked for. Each host gets fresh pools: no connection to a former primary survives, and none
//! that hangs.

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

/// How often the host is asked whether it can still be written to.
const INTERVAL: Duration = Duration::from_millis(500);

/// A host that says nothing for so long has stalled.
const SILENCE: Duration = Duration::from_secs(3);

/// The time for connecting to a host that is looked for.
const CONNECT: Duration = Duration::from_secs(3);

/// How long a host is preferred to the next in the list.
const PREFERENCE: Duration = Duration::from_millis(300);

/// How long after no host was found they are asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// How long connections that are still in use may keep the program from its end.
const GOODBYE: Duration = Duration::from_secs(2);

/// The connections to share: for reading and for writing, which may be the same.
#[derive(Debug, Clone)]
pub(super) struct Pools {
    pub reader: DatabaseConnection,
    pub writer: DatabaseConnection,
    /// The server's; a file has none.
    pub host: Option<(Arc<Host>, Flavour)>,
}

impl Pools {
    /// Whether other nodes write, too.
    pub fn on_cluster(&self) -> bool {
        let flavour = self.host.as_ref().map(|(_, flavour)| *flavour);
        flavour == Some(Flavour::MariaDb { galera: true })
    }

    /// Lets the connections go, after their work is done or has taken too long.
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
    Here(Pools),
    /// Nothing was heard of it since then.
    Away(Instant),
    Closed,
}

/// The way to the database. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub engine: DbBackend,
    state: watch::Sender<State>,
    /// How long it may be away before callers are refused.
    patience: Duration,
    /// A file needs no watching.
    _watcher: Option<Arc<AbortOnDropHandle<()>>>,
}

/// The database has been away for too long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Away;

const AWAY: &str = "the database is away";

impl Away {
    /// Whether this is what an error tells.
    pub fn is_told_by(error: &DbErr) -> bool {
        matches!(error, DbErr::Conn(RuntimeErr::Internal(told)) if told == AWAY)
    }
}

impl From<Away> for DbErr {
    fn from(_: Away) -> DbErr {
        DbErr::Conn(RuntimeErr::Internal(AWAY.to_owned()))
    }
}

/// The host was lost meanwhile; there may be another one.
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
    #[error("it cannot be written to: a standby, read-only, or not part of its cluster")]
    ReadOnly,
    #[error("{0}")]
    Unfit(String),
}

/// What is wrong with each host.
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
    /// Whether waiting may help, unlike with a wrong password.
    fn may_pass(&self) -> bool {
        self.0.iter().any(|(_, error)| match error {
            HostError::Connect(error) => error::may_pass(error),
            HostError::Silent | HostError::ReadOnly => true,
            HostError::Unfit(_) => false,
        })
    }
}

impl Link {
    /// To a file, which is never away.
    pub fn to_file(pools: Pools) -> Link {
        Link {
            engine: DbBackend::Sqlite,
            state: watch::Sender::new(State::Here(pools)),
            patience: Duration::ZERO,
            _watcher: None,
        }
    }

    /// To the first of these hosts that can be written to, now and whenever that one is lost.
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
        let state = watch::Sender::new(State::Here(pools));
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

    /// Waits for the database, but no longer once it has been away for long.
    pub async fn here(&self) -> Result<Hold, Away> {
        let mut state = self.state.subscribe();
        loop {
            let now = state.borrow_and_update().clone();
            let since = match now {
                State::Here(pools) => return Ok(Hold { pools, state }),
                State::Away(since) => since,
                State::Closed => return Err(Away),
            };
            tokio::select! {
                changed = state.changed() => changed.map_err(|_| Away)?,
                () = sleep_until(since + self.patience) => return Err(Away),
            }
        }
    }

    /// The pools, where the database is not away.
    pub fn now(&self) -> Option<Pools> {
        match &*self.state.borrow() {
            State::Here(pools) => Some(pools.clone()),
            State::Away(_) | State::Closed => None,
        }
    }

    /// Lets the database go.
    pub async fn close(&self) {
        if let State::Here(pools) = self.state.send_replace(State::Closed) {
            pools.close().await;
        }
    }
}

/// The pools of a host, for as long as it is not lost.
pub(super) struct Hold {
    pub pools: Pools,
    state: watch::Receiver<State>,
}

impl Hold {
    /// Does the work, or gives it up when the host is lost.
    pub async fn unless_lost<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Lost> {
        tokio::select! {
            biased;
            outcome = work => Ok(outcome),
            _ = self.state.changed() => Err(Lost),
        }
    }
}

/// A host that can be written to, and the session by which it is watched.
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

/// The first of the hosts that can be written to.
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
    /// Never returns; to be aborted.
    async fn run(self, mut found: Found) {
        let up = gauge!("polls_database_up");
        loop {
            up.set(1);
            let (error, heard) = watch(&mut found).await;
            up.set(0);
            let host = &found.host.name;
            tracing::error!(%host, %error, "{AWAY}");
            self.enter(State::Away(heard));
            found = loop {
                match find(&self.hosts).await {
                    Ok(found) => break found,
                    Err(error) => tracing::debug!(%error, "the database is still away"),
                }
                sleep(AGAIN).await;
            };
            let (host, seconds) = (&found.host.name, heard.elapsed().as_secs_f64());
            tracing::warn!(%host, seconds, "the database is here again");
            self.enter(State::Here(found.pools(&self.config)));
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
        if let Some(State::Here(pools)) = last {
            tokio::spawn(pools.close());
        }
    }
}

/// Watches a host until it is lost. Tells why, and when it was last heard of.
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
        // Sessions end for reasons of their own, too.
        if matches!(error, HostError::Connect(_))
            && let Ok(again) = ask(&found.host).await
        {
            *found = again;
            continue;
        }
        return (error, heard);
    }
}
