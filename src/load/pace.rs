//! When the requests of a round are sent, and when the round ends.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{Barrier, Semaphore};

/// The longest sleep of the pacer's thread, so that it soon notices [`Pace::stop`].
const NAP: Duration = Duration::from_millis(50);

/// What the clients of a round share.
#[derive(Debug)]
pub struct Pace {
    ready: Barrier,
    start: OnceLock<Instant>,
    duration: Option<Duration>,
    /// The most requests in the round.
    count: u64,
    next: AtomicU64,
    open: Option<Open>,
    stop: AtomicBool,
}

/// An open loop: requests are due whether or not earlier ones have their answers.
#[derive(Debug)]
struct Open {
    per_second: f64,
    due: Semaphore,
}

impl Pace {
    pub fn new(
        clients: usize,
        duration: Option<Duration>,
        count: Option<u64>,
        rate: Option<f64>,
    ) -> Pace {
        let mut count = count.unwrap_or(u64::MAX);
        if let (Some(rate), Some(duration)) = (rate, duration) {
            count = count.min((rate * duration.as_secs_f64()).ceil() as u64);
        }
        Pace {
            ready: Barrier::new(clients),
            start: OnceLock::new(),
            duration,
            count,
            next: AtomicU64::new(0),
            open: rate.map(|per_second| Open {
                per_second,
                due: Semaphore::new(0),
            }),
            stop: AtomicBool::new(false),
        }
    }

    /// When the round began; begins it now if it has not.
    pub fn start(&self) -> Instant {
        *self.start.get_or_init(Instant::now)
    }

    /// Whether this is an open loop, in which requests are due at fixed times.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Waits until all clients are connected, and returns when the round began.
    pub async fn begin(&self) -> Instant {
        self.ready.wait().await;
        self.start()
    }

    /// Ends the round early: no more requests are sent, but answers are awaited.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(open) = &self.open {
            open.due.close();
        }
    }

    /// Waits until another request is due, and returns the moment from which its latency is
    /// measured; None when the round is over. `now` is when the client became free.
    pub async fn turn(&self, now: Instant) -> Option<Instant> {
        let start = *self.start.get()?;
        let Some(open) = &self.open else {
            let over = self.duration.is_some_and(|whole| now >= start + whole)
                || self.stop.load(Ordering::Relaxed)
                // Without a limit there is no need to count.
                || self.count != u64::MAX
                    && self.next.fetch_add(1, Ordering::Relaxed) >= self.count;
            return (!over).then_some(now);
        };
        open.due.acquire().await.ok()?.forget();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        (turn < self.count).then(|| start + open.offset(turn))
    }

    /// Releases requests when they are due, until all are released. Runs in a thread of its own,
    /// because tokio's timers are only precise to a millisecond. Does nothing in a closed loop.
    pub fn run(&self, clients: usize) {
        let Some(open) = &self.open else { return };
        let start = loop {
            match self.start.get() {
                Some(start) => break *start,
                None if self.stop.load(Ordering::Relaxed) => return,
                None => thread::sleep(Duration::from_millis(1)),
            }
        };
        let mut given = 0;
        while given < self.count && !self.stop.load(Ordering::Relaxed) {
            let passed = start.elapsed();
            let due = ((passed.as_secs_f64() * open.per_second) as u64 + 1).min(self.count);
            open.due.add_permits((due - given) as usize);
            given = due;
            thread::sleep(open.offset(due).saturating_sub(start.elapsed()).min(NAP));
        }
        // Wakes each client, so that it notices the end.
        open.due.add_permits(clients);
    }
}

impl Open {
    fn offset(&self, turn: u64) -> Duration {
        Duration::from_secs_f64(turn as f64 / self.per_second)
    }
}
