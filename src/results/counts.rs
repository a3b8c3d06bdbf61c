//! Counts by methods that need more than sums.
//!
//! A count reads the profile of a question together with the question itself, in one statement, and
//! then keeps a core busy for up to some seconds. So at most one count of a question runs at a time,
//! and all who ask meanwhile share the next one. A count that has begun is finished, even if nobody
//! waits for it any more, and is kept until the question has changed.
//!
//! Large profiles are counted one after the other, small ones beside them, so that they do not wait.
//! Together the counts use at most about 256 MiB.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::poll::{self, Poll, Stamp};
use super::shared::{Lookup, ReadLimits, SharedReader};
use super::{View, views};
use crate::background;
use crate::ballots::profile;
use crate::clock::Clock;
use crate::db::Db;
use crate::failure::Failure;
use crate::tally::{self, Count, Explanation, Lot, Turnout};

/// How long a request waits for a count.
const PATIENCE: Duration = Duration::from_secs(10);

/// The memory in bytes that a count may use: a small one and a large one.
const SMALL: u64 = 4 << 20;
const LARGE: u64 = 224 << 20;

/// How many small profiles are counted at once.
const SMALL_AT_ONCE: usize = 8;

/// The memory in bytes that kept counts may use.
const KEPT: usize = 32 << 20;

/// Reads are not queued by the reader; [`Counter`] does that.
const COUNTS: ReadLimits = ReadLimits {
    queries: usize::MAX,
    keys_per_query: 1,
};

/// Counts polls, each count shared by all who wait for it. Clones share them.
#[derive(Clone)]
pub(super) struct Counts {
    reader: SharedReader<Uuid, Option<Arc<View>>>,
    kept: Arc<Mutex<Kept>>,
}

impl Counts {
    pub(super) fn new(db: Db, clock: Clock) -> Counts {
        let kept = Arc::<Mutex<Kept>>::default();
        let counter = Arc::new(Counter {
            db,
            clock,
            kept: kept.clone(),
            small: Semaphore::new(SMALL_AT_ONCE),
            large: Semaphore::new(1),
        });
        let reader = SharedReader::new("count", COUNTS, move |lookups: Vec<Lookup<Uuid, _>>| {
            let counter = counter.clone();
            async move {
                let mut counted = Vec::with_capacity(lookups.len());
                for lookup in lookups {
                    counted.push(counter.count(lookup.key).await?);
                }
                Ok(counted)
            }
        });
        Counts { reader, kept }
    }

    /// The view with its count, or a later one with its own. None if the question has gone.
    /// [`Code::Overloaded`](crate::failure::Code::Overloaded) if the count takes too long.
    pub(super) async fn counted(&self, view: Arc<View>) -> Result<Option<Arc<View>>, Failure> {
        if view.is_counted() || self.kept.lock().complete(&view) {
            return Ok(Some(view));
        }
        let counted = self.reader.read(view.poll.question.id);
        match tokio::time::timeout(PATIENCE, counted).await {
            Ok(counted) => counted,
            Err(_) => Err(Failure::overloaded(
                "The ballots on this question are still being counted. Try again soon.",
            )),
        }
    }
}

struct Counter {
    db: Db,
    clock: Clock,
    kept: Arc<Mutex<Kept>>,
    small: Semaphore,
    large: Semaphore,
}

impl Counter {
    async fn count(&self, id: Uuid) -> Result<Option<Arc<View>>, Failure> {
        let no_previous = std::iter::empty();
        let mut views = views::read(&self.db, &self.clock, &[id], no_previous).await?;
        let Some(view) = views.remove(&id) else {
            return Ok(None);
        };
        // While this count was asked for, the one before it may have counted the same ballots.
        if view.is_counted() || self.kept.lock().complete(&view) {
            return Ok(Some(view));
        }
        let size = profile::size(self.db.read(), id).await?;
        let memory = memory(size);
        if memory > LARGE {
            let detail = "This question has more different ballots than can be counted here.";
            return Err(Failure::overloaded(detail));
        }
        let lane = if memory > SMALL {
            &self.large
        } else {
            &self.small
        };
        let _permit = lane.acquire().await.map_err(Failure::internal)?;
        let method = view.poll.question.method;
        let read = poll::with_profile(self.db.read(), (id, method), size.rows).await?;
        let Some((poll, profile)) = read else {
            let detail = "The question is being changed. Try again.";
            return Err(Failure::overloaded(detail));
        };
        let now = self.clock.now();
        let lot = lot(&poll);
        let rules = poll.question.rules();
        let count = background::run(move || tally::count(&rules, &profile, &lot));
        let count = Arc::new(count.await.map_err(Failure::internal)?);
        let view = View::counted(poll, now, count.clone());
        self.kept.lock().keep(view.poll.stamp(), count);
        Ok(Some(Arc::new(view)))
    }
}

/// The memory that a count of a profile uses, in bytes: about four for each mark and for each ballot
/// twelve, and another ten while it is counted; and as much again while vectors grow.
fn memory(size: profile::Size) -> u64 {
    2 * (4 * size.bytes + 22 * size.rows)
}

/// The count of a poll whose method needs nothing but the sums.
pub(super) fn by_sums(poll: &Poll) -> Count {
    let votes = poll.votes().map(|(_, votes)| whole(votes)).collect();
    let turnout = Turnout {
        ballots: whole(poll.ballot_count),
        abstentions: whole(poll.abstentions),
    };
    tally::count_totals(&poll.question.rules(), votes, turnout, &lot(poll))
}

fn whole(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The lot of a poll, drawn only once nothing can change any more.
fn lot(poll: &Poll) -> Lot {
    match &poll.question.lot_seed {
        Some(seed) if poll.question.is_final() => seed.lot(&poll.votes().collect::<Vec<_>>()),
        _ => Lot::Pending,
    }
}

/// The latest counts, those that were made last.
#[derive(Default)]
struct Kept {
    counts: HashMap<Uuid, (Stamp, Arc<Count>)>,
    /// The oldest first.
    order: VecDeque<Uuid>,
    bytes: usize,
}

impl Kept {
    /// Gives a view its count, if it is kept.
    fn complete(&self, view: &View) -> bool {
        let stamp = view.poll.stamp();
        match self.counts.get(&stamp.id) {
            Some((of, count)) if *of == stamp => {
                view.complete(count.clone());
                true
            }
            _ => false,
        }
    }

    fn keep(&mut self, stamp: Stamp, count: Arc<Count>) {
        let id = stamp.id;
        self.forget(id);
        self.bytes += bytes_of(&count);
        self.counts.insert(id, (stamp, count));
        self.order.push_back(id);
        while self.bytes > KEPT {
            match self.order.front() {
                Some(oldest) => self.forget(*oldest),
                None => break,
            }
        }
    }

    fn forget(&mut self, id: Uuid) {
        if let Some((_, count)) = self.counts.remove(&id) {
            self.bytes -= bytes_of(&count);
            self.order.retain(|kept| *kept != id);
        }
    }
}

/// About how many bytes a count takes.
fn bytes_of(count: &Count) -> usize {
    let entries = match &count.explanation {
        None => 0,
        Some(Explanation::Rounds(rounds)) => {
            let rounds = rounds.rounds.iter();
            let entries = rounds.map(|round| round.tallies.len() + 2 * round.transfers.len() + 8);
            entries.sum()
        }
        Some(Explanation::Pairs(pairs)) => 3 * pairs.pairs.len(),
        Some(Explanation::Points(points)) => points.totals.len(),
        Some(Explanation::Runoff(_)) => 8,
    };
    400 + 16 * (entries + count.votes.len())
}

#[cfg(test)]
mod tests {
    use poem_openapi::types::Example as _;

    use super::*;
    use crate::clock::Time;

    #[test]
    fn a_count_is_kept_until_its_question_changes() {
        let poll = Poll::example();
        let view = |version| {
            let poll = Poll {
                version,
                ..poll.clone()
            };
            View::new(poll, Time(0), false)
        };
        let count = Arc::new(by_sums(&poll));
        let mut kept = Kept::default();
        assert!(!kept.complete(&view(1)));
        kept.keep(view(1).poll.stamp(), count.clone());
        kept.keep(view(1).poll.stamp(), count.clone());
        let counted = view(1);
        assert!(kept.complete(&counted) && counted.is_counted());
        assert!(!kept.complete(&view(2)));
        assert_eq!(kept.bytes, bytes_of(&count));
    }

    #[test]
    fn kept_counts_are_bounded() {
        let count = Arc::new(by_sums(&Poll::example()));
        let mut kept = Kept::default();
        let fit = KEPT / bytes_of(&count);
        let stamp = |number: usize| {
            let mut poll = Poll::example();
            poll.question.id = Uuid::from_u128(number as u128);
            poll.stamp()
        };
        for number in 0..fit + 10 {
            kept.keep(stamp(number), count.clone());
        }
        assert_eq!((kept.counts.len(), kept.order.len()), (fit, fit));
        assert!(!kept.counts.contains_key(&Uuid::from_u128(0)));
    }
}
