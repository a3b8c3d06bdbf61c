//! The generic cell rate algorithm (GCRA): a quota may be used up at once, and then comes back
//! evenly over its window.
//!
//! The whole state of one caller is `whole_at`, when the quota will be full again (GCRA's
//! "theoretical arrival time"). What has been used up is measured by how long it takes to come
//! back. Spans are whole microseconds in an `i64`, because every call is counted here.

use std::time::Duration;

use crate::clock::Time;

/// A number of attempts in a window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quota {
    /// After how many microseconds one attempt comes back.
    pub one: i64,
    /// The length of the window in microseconds.
    pub window: i64,
}

impl Quota {
    pub fn new(attempts: u32, window: Duration) -> Quota {
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Quota {
            one: micros(window / attempts.max(1)),
            window: micros(window),
        }
    }

    /// In how many microseconds the quota is full again: never more than the window, even if
    /// another process's clock is ahead.
    pub fn used(&self, whole_at: Time, now: Time) -> i64 {
        whole_at.0.saturating_sub(now.0).clamp(0, self.window)
    }

    /// How many microseconds the next attempt has to wait, if it has to.
    pub fn wait(&self, used: i64) -> Option<i64> {
        let wait = used.saturating_add(self.one) - self.window;
        Some(wait).filter(|wait| *wait > 0)
    }

    /// How many attempts are left.
    pub fn remaining(&self, used: i64) -> u32 {
        u32::try_from((self.window - used) / self.one.max(1)).unwrap_or(u32::MAX)
    }

    /// `whole_at` after one more attempt. Concurrent attempts may exceed the quota; the excess is
    /// not charged.
    pub fn spent(&self, whole_at: Time, now: Time) -> Time {
        let used = self.used(whole_at, now).saturating_add(self.one);
        Time(now.0 + used.min(self.window))
    }
}

/// A span computed here as a [`Duration`].
pub(super) fn duration(micros: i64) -> Duration {
    Duration::from_micros(micros.try_into().unwrap_or(0))
}
