//! Counts by methods that need more than sums.
//!
//! A count reads the profile of a question together with the question itself, in one statement, and
//! then keeps a core busy for up to some seconds. So at most one count of a question runs at a time,
//! and all who ask meanwhile share the next one. A count that has begun is finished, even if nobody
//! waits for it any more, and is kept until the question has changed.
//!
//! Large profiles are counted one after the other, small ones beside them, so that they do not wait.
//! Together the counts use at most about 256 MiB, those that are kept included.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sea_orm::DbErr;
use tokio::sync::{Semaphore, SemaphorePermit};
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

/// How long requests wait for counts, and how much memory counts use.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// How long a request waits for a count.
    patience: Duration,
    /// The memory in bytes that a count of a small profile uses at most.
    small: u64,
    /// How many small profiles are counted at once.
    small_at_once: usize,
    /// The memory in bytes that the count of a large profile uses at most. One is counted at a time.
    large: u64,
    /// The memory in bytes of the counts that are kept.
    kept: usize,
}

const LIMITS: Limits = Limits {
    patience: Duration::from_secs(10),
    small: 4 << 20,
    small_at_once: 8,
    large: 192 << 20,
    kept: 32 << 20,
};

const _: () = {
    let Limits {
        small,
        small_at_once,
        large,
        kept,
        ..
    } = LIMITS;
    let together = small * small_at_once as u64 + large + kept as u64;
    assert!(together <= 256 << 20, "counts use more than 256 MiB");
};

/// Reads are not queued by the reader; [`Counter`] does that.
const READS: ReadLimits = ReadLimits {
    queries: usize::MAX,
    keys_per_query: 1,
};

/// Counts polls, each count shared by all who wait for it. Clones share them.
#[derive(Clone)]
pub(super) struct Counts {
    reader: SharedReader<Uuid, Option<Arc<View>>>,
    counter: Arc<Counter>,
    patience: Duration,
}

impl Counts {
    pub(super) fn new(db: Db, clock: Clock) -> Counts {
        Counts::within(LIMITS, db, clock)
    }

    fn within(limits: Limits, db: Db, clock: Clock) -> Counts {
        let counter = Arc::new(Counter {
            db,
            clock,
            kept: Mutex::new(Kept::new(limits.kept)),
            lanes: Lanes::new(limits),
        });
        let counting = counter.clone();
        let reader = SharedReader::new("count", READS, move |lookups: Vec<Lookup<Uuid, _>>| {
            let counter = counting.clone();
            async move {
                let mut counted = Vec::with_capacity(lookups.len());
                for lookup in lookups {
                    counted.push(counter.count(lookup.key).await?);
                }
                Ok(counted)
            }
        });
        Counts {
            reader,
            counter,
            patience: limits.patience,
        }
    }

    /// The view with its count, or a later one with its own. None if the question has gone.
    /// [`Code::Overloaded`](crate::failure::Code::Overloaded) if the count takes too long.
    pub(super) async fn counted(&self, view: Arc<View>) -> Result<Option<Arc<View>>, Failure> {
        if view.is_counted() || self.counter.kept.lock().complete(&view) {
            return Ok(Some(view));
        }
        let counted = self.reader.read(view.poll.question.id);
        match tokio::time::timeout(self.patience, counted).await {
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
    kept: Mutex<Kept>,
    lanes: Lanes,
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
        let key = (id, view.poll.question.method);
        let measure = || profile::size(self.db.read(), key);
        let (_permit, size) = self.lanes.admit(measure).await?;
        let read = poll::with_profile(self.db.read(), key, size.ballots).await?;
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

/// Where counts wait for memory: those of small profiles, and those of large ones.
struct Lanes([Lane; 2]);

struct Lane {
    /// The memory in bytes that each count uses at most.
    memory: u64,
    permits: Semaphore,
}

impl Lane {
    fn fits(&self, size: profile::Size) -> bool {
        memory(size) <= self.memory
    }
}

impl Lanes {
    fn new(limits: Limits) -> Lanes {
        let lanes = [(limits.small, limits.small_at_once), (limits.large, 1)];
        Lanes(lanes.map(|(memory, at_once)| Lane {
            memory,
            permits: Semaphore::new(at_once),
        }))
    }

    /// Waits until there is memory for a profile, and returns its size.
    async fn admit<F>(
        &self,
        measure: impl Fn() -> F,
    ) -> Result<(SemaphorePermit<'_>, profile::Size), Failure>
    where
        F: Future<Output = Result<profile::Size, DbErr>>,
    {
        let mut size = measure().await?;
        loop {
            let Some(lane) = self.0.iter().find(|lane| lane.fits(size)) else {
                let detail = "This question has more different ballots than can be counted here.";
                return Err(Failure::overloaded(detail));
            };
            if let Ok(permit) = lane.permits.try_acquire() {
                return Ok((permit, size));
            }
            let permit = lane.permits.acquire().await.map_err(Failure::internal)?;
            // People may have voted meanwhile.
            size = measure().await?;
            if lane.fits(size) {
                return Ok((permit, size));
            }
        }
    }
}

/// The memory that a count of a profile uses, in bytes: about four for each mark and for each ballot
/// twelve, and another ten while it is counted; and as much again while vectors grow.
fn memory(size: profile::Size) -> u64 {
    2 * (4 * size.marks + 22 * size.ballots)
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
struct Kept {
    counts: HashMap<Uuid, (Stamp, Arc<Count>)>,
    /// The oldest first.
    order: VecDeque<Uuid>,
    bytes: usize,
    /// The most bytes that may be kept.
    limit: usize,
}

impl Kept {
    fn new(limit: usize) -> Kept {
        Kept {
            counts: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            limit,
        }
    }

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
        while self.bytes > self.limit {
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
    use std::pin::pin;
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::FutureExt as _;
    use poem_openapi::types::Example as _;
    use sea_orm::ConnectionTrait as _;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::auth::tests::{Cluster, Process, user};
    use crate::ballots::unlink;
    use crate::clock::Time;
    use crate::db;
    use crate::failure::Code;
    use crate::mail::Mail;
    use crate::questions::{Draft, Questions, Quotas, slot};
    use crate::share::Share;
    use crate::tally::Method;

    /// Counts within limits of a test, and questions to count.
    struct Stage {
        counts: Counts,
        questions: Questions,
        author: Uuid,
        process: Process,
        _cluster: Cluster,
    }

    type Counted = Result<Option<Arc<View>>, Failure>;

    impl Stage {
        async fn with(limits: Limits) -> Stage {
            let (cluster, process) = Cluster::new().await;
            let author = user(&process, "lucy").await.id;
            let (db, clock) = (process.db.clone(), process.clock.clone());
            let config = cluster.config(&[]);
            let share = Share::open(&config.share, db.clone(), clock.clone()).unwrap();
            let mail = Mail::open(db.clone(), clock.clone(), &config).unwrap();
            Stage {
                counts: Counts::within(limits, db.clone(), clock.clone()),
                questions: Questions::new(db, clock, share, mail, Quotas::UNLIMITED, unlink::step),
                author,
                process,
                _cluster: cluster,
            }
        }

        /// A question on which so many different ballots were cast.
        async fn ask(&self, ballots: usize) -> Uuid {
            self.ask_by(Method::Borda, ballots).await
        }

        async fn ask_by(&self, method: Method, ballots: usize) -> Uuid {
            let draft = Draft {
                method,
                ..Draft::new("Which?", ["a", "b", "c", "d", "e", "f"])
            };
            let question = self.questions.create(self.author, &draft).await.unwrap();
            self.add(question, &distinct()[..ballots], 0, 1).await;
            question
        }

        /// Adds a number to the counter of each of these ballots.
        async fn add(&self, question: Uuid, ballots: &[[u8; 2]], slot: i32, number: i64) {
            let adding = self.process.db.write(|transaction| async move {
                slot::take_all(&transaction, question).await?;
                for ballot in ballots {
                    let sql = "INSERT INTO profile_shards (question_id, shard, ballot, ballots) \
                               VALUES (?, ?, ?, ?)";
                    let ballot = ballot.to_vec();
                    let values = [question.into(), slot.into(), ballot.into(), number.into()];
                    let insert = db::statement(&transaction, sql, values);
                    transaction.execute_raw(insert).await?;
                }
                Ok(())
            });
            adding.await.unwrap();
        }

        /// Asks for the count of a question as it is now.
        async fn count(&self, question: Uuid) -> Counted {
            self.begin(question).await.await.unwrap()
        }

        /// The same, in a task of its own.
        async fn begin(&self, question: Uuid) -> JoinHandle<Counted> {
            let Process { db, clock, .. } = &self.process;
            let ids = [question];
            let read = views::read(db, clock, &ids, std::iter::empty());
            let view = read.await.unwrap().remove(&question).unwrap();
            let counts = self.counts.clone();
            tokio::spawn(async move { counts.counted(view).await })
        }

        /// The permits for small counts, or for large ones.
        fn permits(&self, lane: usize) -> &Semaphore {
            &self.counts.counter.lanes.0[lane].permits
        }

        fn has_kept(&self, question: Uuid) -> bool {
            let kept = self.counts.counter.kept.lock();
            kept.counts.contains_key(&question)
        }
    }

    /// Ballots of two choices, all different.
    fn distinct() -> Vec<[u8; 2]> {
        let of = |first| {
            (0..6)
                .filter(move |second| *second != first)
                .map(move |second| [first, second])
        };
        (0..6).flat_map(of).collect()
    }

    /// The memory for a profile of so many of them.
    fn memory_of(ballots: u64) -> u64 {
        let marks = 2 * ballots;
        memory(profile::Size { ballots, marks })
    }

    const NO_PATIENCE: Limits = Limits {
        patience: Duration::ZERO,
        ..LIMITS
    };

    /// Who waits here waits for something that must come.
    const LONG: Duration = Duration::from_secs(3600);

    async fn until(condition: impl Fn() -> bool) {
        let waiting = async {
            while !condition() {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), waiting);
        waited.await.expect("it comes about");
    }

    /// The votes by a count, which has succeeded.
    #[track_caller]
    fn votes(counted: Counted) -> Vec<u64> {
        let view = counted.unwrap().unwrap();
        view.count().unwrap().votes.clone()
    }

    /// Why a count was refused.
    #[track_caller]
    fn refusal(counted: Counted) -> String {
        let failure = counted.expect_err("it is counted");
        assert_eq!(failure.code, Code::Overloaded);
        failure.detail.into_owned()
    }

    #[tokio::test]
    async fn a_count_goes_on_when_its_request_gives_up_and_is_kept() {
        let stage = Stage::with(NO_PATIENCE).await;
        let question = stage.ask(7).await;
        let all = u32::try_from(LIMITS.small_at_once).unwrap();
        let busy = stage.permits(0).acquire_many(all).await.unwrap();
        let refused = refusal(stage.count(question).await);
        assert!(refused.contains("still being counted"), "{refused}");
        assert!(!stage.has_kept(question));
        drop(busy);
        until(|| stage.has_kept(question)).await;
        // Nothing can be counted any more, nor waited for.
        let _busy = stage.permits(0).acquire_many(all).await.unwrap();
        assert_eq!(votes(stage.count(question).await), [5, 2, 0, 0, 0, 0]);
        stage.add(question, &distinct()[7..8], 0, 1).await;
        refusal(stage.count(question).await);
    }

    #[tokio::test]
    async fn counts_wait_for_memory_and_what_has_none_is_refused() {
        let stage = Stage::with(Limits {
            patience: LONG,
            small: memory_of(2),
            small_at_once: 1,
            large: memory_of(9),
            ..LIMITS
        })
        .await;
        let (small, large) = (stage.ask(2).await, stage.ask(9).await);
        let refused = refusal(stage.count(stage.ask(10).await).await);
        assert!(refused.contains("more different ballots"), "{refused}");
        // Another large profile is being counted.
        let busy = stage.permits(1).acquire().await.unwrap();
        let waiting = stage.begin(large).await;
        assert_eq!(votes(stage.count(small).await), [2, 0, 0, 0, 0, 0]);
        assert!(!waiting.is_finished() && !stage.has_kept(large));
        drop(busy);
        assert_eq!(votes(waiting.await.unwrap()), [5, 4, 0, 0, 0, 0]);
        assert_eq!(stage.permits(1).available_permits(), 1);
    }

    #[tokio::test]
    async fn a_profile_that_grows_while_it_waits_waits_for_more_memory() {
        let lanes = Lanes::new(Limits {
            small: memory_of(2),
            small_at_once: 1,
            large: memory_of(9),
            ..LIMITS
        });
        let [small, large] = &lanes.0;
        let busy = (small.permits.acquire().await, large.permits.acquire().await);
        let ballots = AtomicU64::new(2);
        let mut admitted = pin!(lanes.admit(|| async {
            let ballots = ballots.load(Ordering::SeqCst);
            let marks = 2 * ballots;
            Ok(profile::Size { ballots, marks })
        }));
        assert!(admitted.as_mut().now_or_never().is_none());
        ballots.store(9, Ordering::SeqCst);
        drop(busy.0);
        assert!(admitted.as_mut().now_or_never().is_none());
        assert_eq!(small.permits.available_permits(), 1);
        drop(busy.1);
        let (_permit, size) = admitted.as_mut().now_or_never().unwrap().unwrap();
        assert_eq!(size.ballots, 9);
        assert_eq!(large.permits.available_permits(), 0);
    }

    #[tokio::test]
    async fn a_choice_and_its_score_are_one_mark() {
        let stage = Stage::with(LIMITS).await;
        for (method, marks) in [(Method::Borda, 6), (Method::Star, 3)] {
            let question = stage.ask_by(method, 3).await;
            let db = stage.process.db.read();
            let size = profile::size(db, (question, method)).await.unwrap();
            assert_eq!(size, profile::Size { ballots: 3, marks });
        }
    }

    #[tokio::test]
    async fn ballots_that_nobody_has_cast_any_more_need_no_memory() {
        let stage = Stage::with(Limits {
            patience: LONG,
            small: memory_of(2),
            large: memory_of(2),
            ..LIMITS
        })
        .await;
        let question = stage.ask(2).await;
        // Cast at one process and changed at another.
        let changed = &distinct()[2..];
        stage.add(question, changed, 1, 1).await;
        refusal(stage.count(question).await);
        stage.add(question, changed, 2, -1).await;
        assert_eq!(votes(stage.count(question).await), [2, 0, 0, 0, 0, 0]);
    }

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
        let mut kept = Kept::new(LIMITS.kept);
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
        let mut kept = Kept::new(LIMITS.kept);
        let fit = LIMITS.kept / bytes_of(&count);
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
