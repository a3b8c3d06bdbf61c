use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// When each new ballot on a question was acknowledged, one after the other.
#[derive(Debug, Default)]
pub struct Acknowledged(Mutex<Vec<Instant>>);

impl Acknowledged {
    /// One more, now.
    pub fn note(&self) {
        // The moment is taken under the lock, so that they are in order.
        let mut moments = self.moments();
        moments.push(Instant::now());
    }

    /// When so many were; none where that is still to come.
    pub fn at(&self, ballots: i64) -> Option<Instant> {
        let last = usize::try_from(ballots).ok()?.checked_sub(1)?;
        self.moments().get(last).copied()
    }

    /// When the last one was.
    pub fn last(&self) -> Option<Instant> {
        self.moments().last().copied()
    }

    fn moments(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
