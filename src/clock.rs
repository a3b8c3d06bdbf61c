//! Time: the only module that asks the system what time it is.
//!
//! Everything else is handed a [`Clock`], so that tests can move it by hand.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use sea_orm::DeriveValueType;
use uuid::{ContextV7, Uuid};

/// A moment in UTC, in whole microseconds since 1970.
///
/// Stored as a 64-bit integer, so that every database holds the same value and sorts it alike.
/// Written as RFC 3339; any offset is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, DeriveValueType)]
pub struct Time(pub i64);

impl Time {
    /// The moment `span` later, at most the last moment of the year 9999.
    pub fn after(self, span: Duration) -> Time {
        Time(self.0.saturating_add(micros(span)).min(Self::MAX.0))
    }

    /// The moment `span` earlier.
    pub fn before(self, span: Duration) -> Time {
        Time(self.0.saturating_sub(micros(span)))
    }

    /// How long it is from `earlier` to `self`; zero where that lies in the future.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).try_into().unwrap_or(0))
    }

    /// Whole seconds since 1970, as JWT's NumericDate has them.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// A new id, a UUIDv7 of this moment. Those of one process and moment sort as they were made.
    pub fn new_id(self) -> Uuid {
        static COUNTER: Mutex<ContextV7> = Mutex::new(ContextV7::new());
        let seconds = self.seconds().try_into().unwrap_or(0);
        let nanos = u32::try_from(self.0.rem_euclid(1_000_000)).unwrap_or(0) * 1000;
        Uuid::new_v7(uuid::Timestamp::from_unix(&COUNTER, seconds, nanos))
    }

    /// The last moment that has an RFC 3339 form.
    pub const MAX: Time = Time(253_402_207_199_999_999);
}

fn micros(span: Duration) -> i64 {
    span.as_micros().try_into().unwrap_or(i64::MAX)
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_microsecond(self.0) {
            Ok(timestamp) => timestamp.fmt(f),
            Err(_) => Err(fmt::Error),
        }
    }
}

impl FromStr for Time {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Time, jiff::Error> {
        Ok(Time(text.parse::<Timestamp>()?.as_microsecond()))
    }
}

impl serde::Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|_| {
            serde::de::Error::custom("expected an RFC 3339 time such as 2026-04-15T19:47:16Z")
        })
    }
}

/// Where "now" comes from. Clones share one clock.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// Microseconds that tests have moved the clock ahead of the system's.
    ahead: Arc<AtomicI64>,
}

impl Clock {
    /// The present moment.
    pub fn now(&self) -> Time {
        let system = Timestamp::now().as_microsecond();
        Time(system.saturating_add(self.ahead.load(Ordering::Relaxed)))
    }

    /// Moves this clock forward, for tests.
    pub fn advance(&self, span: Duration) {
        self.ahead.fetch_add(micros(span), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_microseconds_and_lose_their_offset() {
        let time: Time = "2026-04-15T21:47:16.1234567+02:00".parse().unwrap();
        assert_eq!(time.to_string(), "2026-04-15T19:47:16.123456Z");
        assert!("2026-04-15".parse::<Time>().is_err());
        assert!("2026-04-15T19:47:16".parse::<Time>().is_err());
    }

    #[test]
    fn ids_sort_by_their_moment() {
        let now = Clock::default().now();
        let (earlier, later) = (now.new_id(), now.after(Duration::from_millis(1)).new_id());
        assert!(earlier < later);
        let at_once: Vec<Uuid> = (0..1000).map(|_| now.new_id()).collect();
        assert!(at_once.is_sorted());
        assert_eq!(later.get_version_num(), 7);
    }

    #[test]
    fn the_last_moment_can_be_written() {
        assert_eq!(Time::MAX.to_string().parse::<Time>().unwrap(), Time::MAX);
        assert_eq!(Time::MAX.after(Duration::from_secs(9)), Time::MAX);
    }

    #[test]
    fn a_clock_moves_only_for_its_clones() {
        let (one, other) = (Clock::default(), Clock::default());
        one.clone().advance(Duration::from_secs(3600));
        assert!(one.now().since(other.now()) > Duration::from_secs(3500));
    }
}
