//! Those who watch a question while others vote on it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
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
use super::progress::Bar;
use super::report::words;
use super::stream::{self, Stream};
use super::target::Target;

/// All who watch.
pub struct Watchers {
    count: u32,
    watching: JoinSet<Result<Option<Instant>, Missed>>,
    question: Arc<Question>,
    /// How many ballots everybody has to see; known when voting is over.
    goal: watch::Sender<i64>,
    began: Instant,
}

/// The question that is watched.
struct Question {
    /// How many ballots it had before.
    before: i64,
    acknowledged: Arc<Acknowledged>,
    sights: Mutex<Sights>,
}

/// What all watchers have seen since voting began.
#[derive(Debug, Default)]
pub struct Sights {
    pub events: u64,
    /// Bytes of bodies.
    pub received: u64,
    /// How long before an event arrived the latest ballot in it had been acknowledged.
    pub lag: Latencies,
}

/// How watching went.
#[derive(Debug)]
pub struct Watched {
    pub watchers: u32,
    pub seconds: f64,
    pub sights: Sights,
    /// How long after the last ballot was acknowledged everybody had seen all of them; none where
    /// there was no ballot, or somebody has not.
    pub last_watcher: Option<Duration>,
    /// How many have not seen all ballots, and why.
    pub missed: BTreeMap<Missed, u32>,
}

/// Why a watcher has not seen all ballots.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missed {
    /// They had not come within the time allowed.
    Late,
    /// The server ended the stream, and said why.
    End(String),
    /// The stream broke.
    Lost(Error),
}

impl Watchers {
    /// Opens the streams of all who watch; none where the plan has nothing to watch.
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
            sights: Mutex::default(),
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

    /// Waits until everybody has seen so many ballots, or the time for it is over.
    pub async fn see(mut self, ballots: i64, timeout: Duration) -> Watched {
        self.goal.send_replace(ballots);
        let deadline = tokio::time::Instant::now() + timeout;
        let mut last = None;
        let mut missed = BTreeMap::new();
        while let Ok(Some(outcome)) = timeout_at(deadline, self.watching.join_next()).await {
            match outcome {
                Ok(Ok(seen)) => last = last.max(seen),
                Ok(Err(why)) => *missed.entry(why).or_default() += 1,
                // It cannot have panicked, nor was it told to stop.
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
            sights: std::mem::take(&mut self.question.sights()),
            last_watcher: last_watcher.map(|(ballot, seen)| seen.saturating_duration_since(ballot)),
            missed,
        }
    }
}

impl Question {
    /// One watcher, until there is nothing more to see. Gives when the last ballots came; none
    /// where there were none after the first event.
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
            let mut sights = self.sights();
            sights.events += 1;
            sights.received += stream.received - std::mem::replace(&mut received, stream.received);
            // Other changes of the question are no news of ballots.
            if now_ballots > ballots {
                (ballots, seen) = (now_ballots, Some(now));
                sights.lag.record(self.lag(ballots, now));
            }
        }
        Ok(seen)
    }

    /// For how long the latest of so many ballots had been acknowledged; an event may well come
    /// before the answer to the one who voted.
    fn lag(&self, ballots: i64, now: Instant) -> Duration {
        let acknowledged = self.acknowledged.at(ballots - self.before);
        acknowledged.map_or(Duration::ZERO, |then| now.saturating_duration_since(then))
    }

    fn sights(&self) -> MutexGuard<'_, Sights> {
        self.sights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    /// Who has not seen all ballots, and why.
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
            Missed::Late => f.write_str("not all ballots within the time allowed"),
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
            sights: Mutex::default(),
        };
        let moments = [1, 2].map(|ballots| {
            question.acknowledged.note();
            question.acknowledged.at(ballots).unwrap()
        });
        let later = Duration::from_millis(10);
        for (ballots, moment) in [(6, moments[0]), (7, moments[1])] {
            assert_eq!(question.lag(ballots, moment + later), later);
        }
        // What was there before, and what is still to be acknowledged.
        for ballots in [5, 8] {
            assert_eq!(question.lag(ballots, moments[1] + later), Duration::ZERO);
        }
        assert_eq!(question.acknowledged.last(), Some(moments[1]));
    }
}
