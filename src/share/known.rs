//! What this process knows of the cells: what it has spent, and what it has learnt of the others.

use std::collections::HashMap;

use parking_lot::{Mutex, MutexGuard};
use uuid::Uuid;

use super::cells::Cell;
use crate::clock::Time;

/// How many cells are remembered before those with their full quota are looked for.
const PRUNE_FROM: usize = 1024;

pub(super) struct Known(Mutex<Cells>);

struct Cells {
    /// When a cell has its full quota again. Those that have are not kept for long.
    whole_at: HashMap<Uuid, Time>,
    prune_at: usize,
}

impl Default for Known {
    fn default() -> Self {
        Known(Mutex::new(Cells {
            whole_at: HashMap::new(),
            prune_at: PRUNE_FROM,
        }))
    }
}

impl Known {
    /// When the cell has its full quota again; `now` or earlier where it has.
    pub(super) fn whole_at(&self, cell: &Cell, now: Time) -> Time {
        let cells = self.cells();
        cells.whole_at.get(&cell.id).copied().unwrap_or(now)
    }

    /// Takes over what was learnt.
    pub(super) fn learn(&self, cell: &Cell, whole_at: Time, now: Time) {
        if whole_at > now {
            self.cells().change(cell, now, |known| {
                known.max(cell.quota.capped(whole_at, now))
            });
        }
    }

    /// Counts one attempt.
    pub(super) fn spend(&self, cell: &Cell, now: Time) {
        self.cells()
            .change(cell, now, |known| cell.quota.spent(known, now));
    }

    /// Counts one attempt, unless it is one too many; then tells how long to wait.
    pub(super) fn take(&self, cell: &Cell, now: Time) -> Option<std::time::Duration> {
        let mut cells = self.cells();
        let known = cells.whole_at.get(&cell.id).copied().unwrap_or(now);
        let wait = cell.quota.wait(known, now);
        if wait.is_none() {
            cells.change(cell, now, |known| cell.quota.spent(known, now));
        }
        wait
    }

    fn cells(&self) -> MutexGuard<'_, Cells> {
        self.0.lock()
    }
}

impl Cells {
    fn change(&mut self, cell: &Cell, now: Time, change: impl Fn(Time) -> Time) {
        if self.whole_at.len() >= self.prune_at {
            self.whole_at.retain(|_, whole_at| *whole_at > now);
            self.prune_at = PRUNE_FROM.max(2 * self.whole_at.len());
        }
        let whole_at = self.whole_at.entry(cell.id).or_insert(now);
        *whole_at = change(*whole_at);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;

    const QUARTER: Duration = Duration::from_secs(900);

    fn cell(key: &str, quota: u32) -> Cell {
        Cell::new("test", key.as_bytes(), quota, QUARTER)
    }

    #[test]
    fn a_quota_is_spent_at_once_and_comes_back_evenly() {
        let (known, start) = (Known::default(), Clock::default().now());
        let (a, b) = (cell("a", 10), cell("b", 10));
        for _ in 0..10 {
            assert_eq!(known.take(&a, start), None);
        }
        assert_eq!(known.take(&a, start), Some(QUARTER / 10));
        assert_eq!(known.take(&b, start), None);

        let later = start.after(QUARTER / 10);
        assert_eq!(known.take(&a, later), None);
        assert!(known.take(&a, later).is_some());
        for _ in 0..10 {
            assert_eq!(known.take(&a, later.after(QUARTER)), None);
        }
    }

    #[test]
    fn overdrawing_is_forgiven() {
        let (known, start) = (Known::default(), Clock::default().now());
        let cell = cell("a", 1);
        for _ in 0..9 {
            known.spend(&cell, start);
        }
        let wait = |now: Time| cell.quota.wait(known.whole_at(&cell, now), now);
        assert!(wait(start).is_some());
        assert_eq!(wait(start.after(QUARTER)), None);
    }

    #[test]
    fn what_is_learnt_takes_nothing_back_and_is_never_more_than_the_window() {
        let (known, start) = (Known::default(), Clock::default().now());
        let cell = cell("a", 10);
        known.spend(&cell, start);
        known.learn(&cell, start, start);
        assert_eq!(known.whole_at(&cell, start), start.after(QUARTER / 10));
        // Of a process whose clock is ahead.
        known.learn(&cell, start.after(9 * QUARTER), start);
        assert_eq!(known.whole_at(&cell, start), start.after(QUARTER));
    }

    #[test]
    fn cells_with_their_full_quota_are_forgotten() {
        let (known, start) = (Known::default(), Clock::default().now());
        for key in 0..PRUNE_FROM {
            known.spend(&cell(&key.to_string(), 1), start);
        }
        known.spend(&cell("late", 1), start.after(QUARTER));
        assert_eq!(known.cells().whole_at.len(), 1);
    }
}
