//! The cells as this process knows them: its own attempts, and what it has learnt from Redis or the
//! database about those of other processes.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use uuid::Uuid;

use super::cells::Cell;
use super::quota::duration;
use crate::clock::Time;

/// With how many cells the map is first searched for those whose quota is full, to drop them.
const PRUNE_FROM: usize = 1024;

pub(super) struct LocalCells(Mutex<Cells>);

struct Cells {
    /// When the quota of each cell is full again; a missing one is full.
    whole_at: HashMap<Uuid, Time>,
    prune_at: usize,
}

impl Default for LocalCells {
    fn default() -> Self {
        LocalCells(Mutex::new(Cells {
            whole_at: HashMap::new(),
            prune_at: PRUNE_FROM,
        }))
    }
}

impl LocalCells {
    /// When the cell's quota is full again; `now` or earlier if it is.
    pub(super) fn whole_at(&self, cell: &Cell, now: Time) -> Time {
        let cells = self.cells();
        cells.whole_at.get(&cell.id).copied().unwrap_or(now)
    }

    /// Notes that all processes together have used the quota up to `whole_at`.
    pub(super) fn learn(&self, cell: &Cell, whole_at: Time, now: Time) {
        if whole_at > now {
            self.cells().change(cell, now, |known| {
                known.max(Time(now.0 + cell.quota.used(whole_at, now)))
            });
        }
    }

    /// Counts one attempt.
    pub(super) fn spend(&self, cell: &Cell, now: Time) {
        self.cells()
            .change(cell, now, |known| cell.quota.spent(known, now));
    }

    /// Counts one attempt. If none is left, counts nothing and returns how long to wait.
    pub(super) fn take(&self, cell: &Cell, now: Time) -> Option<Duration> {
        let mut cells = self.cells();
        let known = cells.whole_at.get(&cell.id).copied().unwrap_or(now);
        let wait = cell.quota.wait(cell.quota.used(known, now));
        if wait.is_none() {
            cells.change(cell, now, |known| cell.quota.spent(known, now));
        }
        wait.map(duration)
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
    use super::*;
    use crate::clock::Clock;

    const QUARTER: Duration = Duration::from_secs(900);

    fn cell(key: &str, quota: u32) -> Cell {
        Cell::new("test", key.as_bytes(), quota, QUARTER)
    }

    #[test]
    fn a_quota_is_spent_at_once_and_comes_back_evenly() {
        let (cells, start) = (LocalCells::default(), Clock::default().now());
        let (a, b) = (cell("a", 10), cell("b", 10));
        for _ in 0..10 {
            assert_eq!(cells.take(&a, start), None);
        }
        assert_eq!(cells.take(&a, start), Some(QUARTER / 10));
        assert_eq!(cells.take(&b, start), None);

        let later = start.after(QUARTER / 10);
        assert_eq!(cells.take(&a, later), None);
        assert!(cells.take(&a, later).is_some());
        for _ in 0..10 {
            assert_eq!(cells.take(&a, later.after(QUARTER)), None);
        }
    }

    #[test]
    fn excess_is_not_charged() {
        let (cells, start) = (LocalCells::default(), Clock::default().now());
        let cell = cell("a", 1);
        for _ in 0..9 {
            cells.spend(&cell, start);
        }
        let used = |now: Time| cell.quota.used(cells.whole_at(&cell, now), now);
        let wait = |now: Time| cell.quota.wait(used(now));
        assert!(wait(start).is_some());
        assert_eq!(wait(start.after(QUARTER)), None);
    }

    #[test]
    fn learning_never_lowers_a_cell_nor_exceeds_the_window() {
        let (cells, start) = (LocalCells::default(), Clock::default().now());
        let cell = cell("a", 10);
        cells.spend(&cell, start);
        cells.learn(&cell, start, start);
        assert_eq!(cells.whole_at(&cell, start), start.after(QUARTER / 10));
        // From a process whose clock is ahead.
        cells.learn(&cell, start.after(9 * QUARTER), start);
        assert_eq!(cells.whole_at(&cell, start), start.after(QUARTER));
    }

    #[test]
    fn cells_with_their_full_quota_are_forgotten() {
        let (cells, start) = (LocalCells::default(), Clock::default().now());
        for key in 0..PRUNE_FROM {
            cells.spend(&cell(&key.to_string(), 1), start);
        }
        cells.spend(&cell("late", 1), start.after(QUARTER));
        assert_eq!(cells.cells().whole_at.len(), 1);
    }
}
