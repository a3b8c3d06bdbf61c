//! Watchers: clients that follow the live results of a question while others vote on it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use super::acknowledged::Acknowledged;
use super::api;
use super::ballots::Ballots;
use super::events::Event;
use super::figures::{Error, Latencies};
use super::mistake::Mistake;
use super::options::Options;
use super::plan::Plan;
use super::report::words;
use super::stream::{self, Stream};
use super::target::Target;
use crate::progress::Bar;

/// The watchers of a run.
pub struct Watchers {
    count: u32,
    watching: JoinSet<Result<Option<Instant>, Missed>>,
    question: Arc<Question>,
    /// How many ballots each watcher has to see; known once voting is over.
    goal: watch::Sender<i64>,
    began: Instant,
}

/// The question that is watched.
struct Question {
    /// How many ballots it had before the run.
    before: i64,
    acknowledged: Arc<Acknowledged>,
    totals: Mutex<Received>,
}

/// What all watchers together have received since voting began.
#[derive(Debug, Default)]
pub struct Received {
    pub events: u64,
    /// Bytes of response bodies.
    pub bytes: u64,
    /// From the acknowledgement of the latest ballot in an event to the event's arrival.
    pub lag: Latencies,
}

/// The outcome of watching.
#[derive(Debug)]
pub struct Watched {
    pub watchers: u32,
    pub seconds: f64,
    pub totals: Received,
    /// From the acknowledgement of the last ballot until every watcher had seen all of them. None
    /// if there was no ballot, or if a watcher has not seen all.
    pub last_watcher: Option<Duration>,
    /// How many watchers have not seen all ballots, by reason.
    pub missed: BTreeMap<Missed, u32>,
}

/// Why a watcher has not seen all ballots.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missed {
    /// They did not arrive within the timeout.
    Late,
    /// The server ended the stream, for this reason.
    End(String),
    /// The stream broke.
    Lost(Error),
}

impl Watchers {
    /// Opens the watchers' streams; None if the plan has nothing to watch.
    pub async fn open(
        options: &Options,
        target: &Target,
        plan: &Plan,
    ) -> Result<Option<Watchers>, Mistake> {
        let Some((paper, acknowledged)) = plan.ballots().and_then(Ballots::watched) else {
            return Ok(None);
        };
        let path = format!(
            "{}/questions/{}/results/live",
            api::base(target.path()),
            paper.id
        );
        let template = target.template(Method::GET, &path, Bytes::new())?;
        let count = options.clients;
        let bar = Bar::new(options.json, count.into(), "watchers");
        let streams = stream::open(target, &template, count, options.timeout, &bar).await?;
        let question = Arc::new(Question {
            before: paper.before.ballots,
            acknowledged: acknowledged.clone(),
            totals: Mutex::default(),
        });
        let goal = watch::Sender::new(i64::MAX);
        let mut watching = JoinSet::new();
        for (stream, ballots) in streams {
            let (question, goal) = (question.clone(), goal.subscribe());
            watching.spawn(async move { question.watch(stream, ballots, goal).await });
        }
        Ok(Some(Watchers {
            count,
            watching,
            question,
            goal,
            began: Instant::now(),
        }))
    }

    /// Waits until every watcher has seen so many ballots, at most until the timeout.
    pub async fn see(mut self, ballots: i64, timeout: Duration) -> Watched {
        self.goal.send_replace(ballots);
        let deadline = tokio::time::Instant::now() + timeout;
        let mut last = None;
        let mut missed = BTreeMap::new();
        while let Ok(Some(outcome)) = timeout_at(deadline, self.watching.join_next()).await {
            match outcome {
                Ok(Ok(seen)) => last = last.max(seen),
                Ok(Err(why)) => *missed.entry(why).or_default() += 1,
                // A watcher neither panics nor is cancelled.
                Err(_) => {}
            }
        }
        if !self.watching.is_empty() {
            missed.insert(Missed::Late, self.watching.len() as u32);
        }
        let acknowledged = self.question.acknowledged.last();
        let last_watcher = acknowledged.zip(last).filter(|_| missed.is_empty());
        Watched {
            watchers: self.count,
            seconds: self.began.elapsed().as_secs_f64(),
            totals: std::mem::take(&mut *self.question.totals.lock()),
            last_watcher: last_watcher.map(|(ballot, seen)| seen.saturating_duration_since(ballot)),
            missed,
        }
    }
}

impl Question {
    /// Runs one watcher until it has seen all ballots. Returns when the last new ballots arrived;
    /// None if none did after the first event.
    async fn watch(
        &self,
        mut stream: Stream,
        first: i64,
        mut goal: watch::Receiver<i64>,
    ) -> Result<Option<Instant>, Missed> {
        let (mut ballots, mut seen) = (first, None);
        let mut received = stream.received;
        while ballots < *goal.borrow_and_update() {
            let event = tokio::select! {
                event = stream.next() => event.map_err(Missed::Lost)?,
                Ok(()) = goal.changed() => continue,
            };
            let now = Instant::now();
            let now_ballots = match event {
                Event::Results { ballots } => ballots,
                Event::End { reason } => return Err(Missed::End(reason)),
            };
            let mut totals = self.totals.lock();
            totals.events += 1;
            totals.bytes += stream.received - std::mem::replace(&mut received, stream.received);
            // An event may also come from an edit of the question.
            if now_ballots > ballots {
                (ballots, seen) = (now_ballots, Some(now));
                totals.lag.record(self.lag(ballots, now));
            }
        }
        Ok(seen)
    }

    /// How long ago the last of so many ballots was acknowledged; zero if its event came before the
    /// answer to its voter.
    fn lag(&self, ballots: i64, now: Instant) -> Duration {
        let acknowledged = self.acknowledged.at(ballots - self.before);
        acknowledged.map_or(Duration::ZERO, |then| now.saturating_duration_since(then))
    }
}

impl Watched {
    /// How many watchers have not seen all ballots, and why, as lines of text.
    pub fn explain(&self) -> String {
        let mut lines = Vec::new();
        for (why, count) in &self.missed {
            lines.push(format!("{count} of {} watchers: {why}", self.watchers));
        }
        lines.join("\n")
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missed::Late => f.write_str("not all ballots arrived within the timeout"),
            Missed::End(reason) => write!(f, "the server ended the stream: {reason}"),
            Missed::Lost(error) => write!(f, "the stream broke: {}", words(&error.name())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_counts_from_the_latest_ballot_in_an_event() {
        let question = Question {
            before: 5,
            acknowledged: Arc::default(),
            totals: Mutex::default(),
        };
        let moments = [1, 2].map(|ballots| {
            question.acknowledged.note();
            question.acknowledged.at(ballots).unwrap()
        });
        let later = Duration::from_millis(10);
        for (ballots, moment) in [(6, moments[0]), (7, moments[1])] {
            assert_eq!(question.lag(ballots, moment + later), later);
        }
        // A ballot from before the run, and one that is not acknowledged yet.
        for ballots in [5, 8] {
            assert_eq!(question.lag(ballots, moments[1] + later), Duration::ZERO);
        }
        assert_eq!(question.acknowledged.last(), Some(moments[1]));
    }
}
