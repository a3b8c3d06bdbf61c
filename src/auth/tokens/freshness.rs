//! How stale this process's copy of the revocation list and of the keys is.
//!
//! Measured with a monotonic clock, so that setting the system's clock does not make it look fresh.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::failure::Failure;

/// When the copy was last known to be complete.
pub struct Freshness {
    /// Times are counted from here.
    began: Instant,
    /// When the latest successful reading began, in microseconds since then.
    read_at: AtomicI64,
    reading: Mutex<()>,
}

impl Freshness {
    /// Of a copy whose reading began at `read_at`.
    pub fn new(read_at: Instant) -> Freshness {
        Freshness {
            began: read_at,
            read_at: AtomicI64::new(0),
            reading: Mutex::default(),
        }
    }

    /// How long ago the copy was last known to be complete.
    pub fn age(&self) -> Duration {
        let age = self
            .now()
            .saturating_sub(self.read_at.load(Ordering::Acquire));
        Duration::from_micros(age.try_into().unwrap_or(0))
    }

    /// Runs `read`, which brings the copy up to date. Only one runs at a time.
    pub async fn renew(
        &self,
        read: impl AsyncFnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let _one_at_a_time = self.reading.lock().await;
        self.read(read).await
    }

    /// Like [`renew`](Self::renew), unless the copy is younger than `age` when its turn comes.
    pub async fn renew_if_older(
        &self,
        age: Duration,
        read: impl AsyncFnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let _one_at_a_time = self.reading.lock().await;
        if self.age() <= age {
            return Ok(());
        }
        self.read(read).await
    }

    async fn read(&self, read: impl AsyncFnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        let began = self.now();
        read().await?;
        self.read_at.store(began, Ordering::Release);
        Ok(())
    }

    fn now(&self) -> i64 {
        let since = self.began.elapsed().as_micros();
        i64::try_from(since).unwrap_or(i64::MAX)
    }

    /// Makes the copy as old as if the time had passed.
    #[cfg(test)]
    pub fn pass(&self, time: Duration) {
        let micros = i64::try_from(time.as_micros()).unwrap();
        self.read_at.fetch_sub(micros, Ordering::AcqRel);
    }
}
