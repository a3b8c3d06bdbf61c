use std::time::Instant;

use parking_lot::Mutex;

/// When each new ballot on a question was acknowledged, in order.
#[derive(Debug, Default)]
pub struct Acknowledged(Mutex<Vec<Instant>>);

impl Acknowledged {
    /// Notes that one more was acknowledged now.
    pub fn note(&self) {
        let mut moments = self.0.lock();
        // Read under the lock, so that the moments are in order.
        moments.push(Instant::now());
    }

    /// When the n-th ballot was acknowledged, counted from 1; None if that has not happened yet.
    pub fn at(&self, n: i64) -> Option<Instant> {
        let index = usize::try_from(n).ok()?.checked_sub(1)?;
        self.0.lock().get(index).copied()
    }

    /// When the last one was acknowledged.
    pub fn last(&self) -> Option<Instant> {
        self.0.lock().last().copied()
    }
}
