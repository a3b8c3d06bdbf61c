//! What is measured: latencies, bytes, errors.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;
use http::StatusCode;

/// Latencies in nanoseconds, to three digits.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>);

/// The shortest and the longest latency that are recorded; others count as the nearest of the two.
const RANGE: (u64, u64) = (100, 3_600_000_000_000);

impl Default for Latencies {
    fn default() -> Self {
        let (low, high) = RANGE;
        #[expect(clippy::expect_used, reason = "the bounds are constants")]
        let histogram = Histogram::new_with_bounds(low, high, 3).expect("the bounds are good");
        Latencies(histogram)
    }
}

impl Latencies {
    pub fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record(nanos.min(RANGE.1));
    }

    pub fn add(&mut self, other: &Latencies) {
        // Both have the same bounds.
        let _ = self.0.add(&other.0);
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency in milliseconds that so many percent of the requests do not exceed.
    pub fn percentile(&self, percent: f64) -> f64 {
        millis(self.0.value_at_percentile(percent) as f64)
    }

    /// In milliseconds, as all that follow.
    pub fn min(&self) -> f64 {
        millis(self.0.min() as f64)
    }

    pub fn max(&self) -> f64 {
        millis(self.0.max() as f64)
    }

    pub fn mean(&self) -> f64 {
        millis(self.0.mean())
    }

    pub fn deviation(&self) -> f64 {
        millis(self.0.stdev())
    }

    /// A histogram: the upper end of each step in milliseconds (1, 2, 5, 10, 20, …) and the number
    /// of requests in it, from the step of the fastest request to that of the slowest.
    pub fn steps(&self) -> Vec<(f64, u64)> {
        let ends = (3..13).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u64.pow(power)));
        let mut recorded = self.0.iter_recorded().peekable();
        let mut steps = Vec::new();
        for end in ends {
            let mut count = 0;
            // All values of one bucket count as its lowest.
            let within = |value: u64| self.0.lowest_equivalent(value) <= end;
            while let Some(value) = recorded.next_if(|next| within(next.value_iterated_to())) {
                count += value.count_at_value();
            }
            if count > 0 || !steps.is_empty() {
                steps.push((millis(end as f64), count));
            }
        }
        let used = steps.iter().rposition(|(_, count)| *count > 0);
        steps.truncate(used.map_or(0, |last| last + 1));
        steps
    }
}

fn millis(nanos: f64) -> f64 {
    nanos / 1e6
}

/// Too many open files, of the process and of the whole system.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Error {
    /// The answer had a status of 400 or more.
    Status(StatusCode),
    /// No connection could be opened.
    Connect,
    /// No connection could be opened because there was no file descriptor left.
    Descriptors,
    /// The connection ended before the answer.
    Closed,
    /// No answer arrived within the timeout.
    Timeout,
    /// The answer was not HTTP, or not what the API of polls sends.
    Protocol,
    /// It was due, but until its timeout all clients were waiting for other answers.
    Unsent,
}

impl Error {
    /// A short name; for a status, its number.
    pub fn name(self) -> String {
        match self {
            Error::Status(status) => status.as_u16().to_string(),
            Error::Connect => "connect".to_owned(),
            Error::Descriptors => "descriptors".to_owned(),
            Error::Closed => "closed".to_owned(),
            Error::Timeout => "timeout".to_owned(),
            Error::Protocol => "protocol".to_owned(),
            Error::Unsent => "unsent".to_owned(),
        }
    }

    /// The error of a connection that could not be opened.
    pub fn connecting(error: &io::Error) -> Error {
        match error.raw_os_error() {
            Some(EMFILE | ENFILE) => Error::Descriptors,
            _ => Error::Connect,
        }
    }

    /// Whether nothing was sent because no connection could be opened.
    pub fn is_connecting(self) -> bool {
        matches!(self, Error::Connect | Error::Descriptors)
    }

    pub fn of(error: &hyper::Error) -> Error {
        if error.is_parse() {
            Error::Protocol
        } else {
            Error::Closed
        }
    }
}

/// The figures of requests of one kind.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Of the requests that succeeded.
    pub latencies: Latencies,
    pub errors: BTreeMap<Error, u64>,
    /// Bytes of response bodies.
    pub received: u64,
    /// Bytes of request bodies.
    pub sent: u64,
}

impl Figures {
    pub fn add(&mut self, other: &Figures) {
        self.latencies.add(&other.latencies);
        for (error, count) in &other.errors {
            *self.errors.entry(*error).or_default() += count;
        }
        self.received += other.received;
        self.sent += other.sent;
    }

    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_millis(millis: &[u64]) -> Latencies {
        let mut latencies = Latencies::default();
        for &millis in millis {
            latencies.record(Duration::from_millis(millis));
        }
        latencies
    }

    #[test]
    fn percentiles_are_good_to_three_digits() {
        let all: Vec<u64> = (1..=1000).collect();
        let latencies = of_millis(&all);
        assert_eq!(latencies.count(), 1000);
        for (percent, expected) in [(50.0, 500.0), (95.0, 950.0), (99.9, 999.0)] {
            let found = latencies.percentile(percent);
            assert!((found / expected - 1.0).abs() < 0.002, "{percent}: {found}");
        }
        assert!((latencies.mean() / 500.5 - 1.0).abs() < 0.002);
    }

    #[test]
    fn steps_hold_every_request_once() {
        let steps = of_millis(&[1, 3, 3, 40]).steps();
        let expected = [
            (1.0, 1),
            (2.0, 0),
            (5.0, 2),
            (10.0, 0),
            (20.0, 0),
            (50.0, 1),
        ];
        assert_eq!(steps, expected);
        assert!(of_millis(&[]).steps().is_empty());
    }

    #[test]
    fn latencies_beyond_the_range_count_as_its_end() {
        let mut latencies = Latencies::default();
        latencies.record(Duration::from_secs(100_000));
        latencies.record(Duration::ZERO);
        assert_eq!(latencies.count(), 2);
        assert!(latencies.max() >= 3_600_000.0);
    }
}
