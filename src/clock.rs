//! Time. This is the only module that reads the system clock.
//!
//! All other code gets a [`Clock`], which tests can move forward.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::civil::{self, DateTime};
use jiff::{SignedDuration, Timestamp};
use sea_orm::DeriveValueType;
use uuid::{ContextV7, Uuid};

/// A moment in UTC, in whole microseconds since 1970.
///
/// Stored as a 64-bit integer, so that all databases store and sort it in the same way. In JSON it
/// is an RFC 3339 text in UTC. Parsing accepts any offset from UTC, and moments from [`Time::MIN`]
/// to [`Time::MAX`]; a leap second (60) is read as the second before it, and digits beyond
/// microseconds are cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, DeriveValueType)]
pub struct Time(pub i64);

impl Time {
    /// The moment `span` later, at most [`Time::MAX`].
    pub fn after(self, span: Duration) -> Time {
        Time(self.0.saturating_add(micros(span)).min(Self::MAX.0))
    }

    /// The moment `span` earlier.
    pub fn before(self, span: Duration) -> Time {
        Time(self.0.saturating_sub(micros(span)))
    }

    /// The span from `earlier` to `self`; zero if `earlier` is the later one.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).try_into().unwrap_or(0))
    }

    /// Whole seconds since 1970, as in a JWT's NumericDate.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// A new UUIDv7 of this moment. Ids that one process makes at the same moment sort in the order
    /// in which they were made.
    pub fn new_id(self) -> Uuid {
        static COUNTER: Mutex<ContextV7> = Mutex::new(ContextV7::new());
        let seconds = self.seconds().try_into().unwrap_or(0);
        let nanos = u32::try_from(self.0.rem_euclid(1_000_000)).unwrap_or(0) * 1000;
        Uuid::new_v7(uuid::Timestamp::from_unix(&COUNTER, seconds, nanos))
    }

    /// The first moment of the year 1. RFC 3339 has the year 0, but many programming languages do
    /// not.
    pub const MIN: Time = Time(-62_135_596_800_000_000);
    /// The last moment that RFC 3339 can express: `9999-12-31T23:59:59.999999Z`.
    pub const MAX: Time = Time(253_402_300_799_999_999);
}

fn micros(span: Duration) -> i64 {
    span.as_micros().try_into().unwrap_or(i64::MAX)
}

/// RFC 3339 in UTC. A moment outside [`Time::MIN`] to [`Time::MAX`], which older versions may have
/// stored, is displayed as the nearer of the two, so that clients can read it.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.clamp(Self::MIN.0, Self::MAX.0);
        let since_1970 = SignedDuration::from_micros(micros);
        let utc = EPOCH.checked_add(since_1970).map_err(|_| fmt::Error)?;
        write!(f, "{utc}Z")
    }
}

const EPOCH: DateTime = civil::date(1970, 1, 1).at(0, 0, 0, 0);

/// Why a text is not a [`Time`]. Displayed as the end of a sentence that begins with "expected".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTime {
    #[error("an RFC 3339 time such as 2026-04-15T19:47:16Z")]
    Form,
    #[error("a time from {} to {}", Time::MIN, Time::MAX)]
    Range,
}

impl FromStr for Time {
    type Err = BadTime;

    fn from_str(text: &str) -> Result<Time, BadTime> {
        let (utc, offset) = rfc3339(text).ok_or(BadTime::Form)?;
        let since_1970 = utc.duration_since(EPOCH) - offset;
        let micros = i64::try_from(since_1970.as_micros());
        let time = Time(micros.map_err(|_| BadTime::Range)?);
        match Time::MIN <= time && time <= Time::MAX {
            true => Ok(time),
            false => Err(BadTime::Range),
        }
    }
}

/// Parses `date-time` of RFC 3339, section 5.6: the local date and time, and the offset from UTC.
fn rfc3339(text: &str) -> Option<(DateTime, SignedDuration)> {
    let (date, text) = text.split_once(['T', 't'])?;
    let [year, month, day] = fields(date, '-', [4, 2, 2])?;
    let (time, text) = text.split_at_checked(8)?;
    let [hour, minute, second] = fields(time, ':', [2, 2, 2])?;
    let (micros, zone) = match text.strip_prefix('.') {
        None => (0, text),
        Some(text) => {
            let end = text.find(|c: char| !c.is_ascii_digit())?;
            let (fraction, zone) = text.split_at(end);
            if fraction.is_empty() {
                return None;
            }
            let digits = fraction.get(..6).unwrap_or(fraction);
            (format!("{digits:0<6}").parse::<i32>().ok()?, zone)
        }
    };
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let sign = match zone.get(..1)? {
                "+" => 1,
                "-" => -1,
                _ => return None,
            };
            let [hours, minutes] = fields(&zone[1..], ':', [2, 2])?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            sign * (hours * 60 + minutes)
        }
    };
    if second > 60 {
        return None;
    }
    let two_digits = |field: i16| i8::try_from(field).ok();
    let time = civil::Time::new(
        two_digits(hour)?,
        two_digits(minute)?,
        two_digits(second.min(59))?,
        micros * 1000,
    );
    let date = civil::Date::new(year, two_digits(month)?, two_digits(day)?);
    let offset = SignedDuration::from_mins(offset.into());
    Some((DateTime::from_parts(date.ok()?, time.ok()?), offset))
}

/// Parses numbers with exactly these counts of digits and with `separator` between them.
fn fields<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[i16; N]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next()?;
        if part.len() != digits || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

impl serde::Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|error| match error {
            BadTime::Form => serde::de::Error::custom(format!("expected {error}")),
            BadTime::Range => serde::de::Error::custom(format!("out of range, expected {error}")),
        })
    }
}

/// The source of the current time. Clones share one clock.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// By how many microseconds tests have moved the clock ahead of the system clock.
    ahead: Arc<AtomicI64>,
}

impl Clock {
    /// The current time.
    pub fn now(&self) -> Time {
        let system = Timestamp::now().as_microsecond();
        Time(system.saturating_add(self.ahead.load(Ordering::Relaxed)))
    }

    /// How far tests have moved this clock forward.
    pub fn moved(&self) -> Duration {
        let ahead = self.ahead.load(Ordering::Relaxed);
        Duration::from_micros(ahead.try_into().unwrap_or(0))
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
    }

    #[test]
    fn only_the_form_of_rfc_3339_is_a_time() {
        let micros = |text: &str| text.parse::<Time>().unwrap_or_else(|_| panic!("{text}")).0;
        for (text, same) in [
            ("2026-04-15t19:47:16z", "2026-04-15T19:47:16Z"),
            ("2026-04-15T19:47:16-00:00", "2026-04-15T19:47:16Z"),
            ("2026-04-15T00:47:16-23:59", "2026-04-16T00:46:16Z"),
            ("2026-04-15T19:47:16.5+23:59", "2026-04-14T19:48:16.500Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
            (
                "2026-04-15T19:47:16.123456789012Z",
                "2026-04-15T19:47:16.123456Z",
            ),
            (
                "1969-12-31T23:59:59.9999999Z",
                "1969-12-31T23:59:59.999999Z",
            ),
            ("2024-02-29T12:00:00Z", "2024-02-29T13:00:00+01:00"),
        ] {
            assert_eq!(micros(text), micros(same), "{text}");
        }
        for text in [
            "",
            "2026-04-15",
            "2026-04-15T19:47:16",
            "2026-04-15 19:47:16Z",
            "2026-04-15T19:47Z",
            "20260415T194716Z",
            "2026-04-15T194716Z",
            "-000001-01-01T00:00:00Z",
            "+002026-04-15T19:47:16Z",
            "026-04-15T19:47:16Z",
            "2026-4-15T19:47:16Z",
            "2026-02-29T12:00:00Z",
            "2026-00-15T19:47:16Z",
            "2026-04-15T24:00:00Z",
            "2026-04-15T19:60:00Z",
            "2026-04-15T19:47:61Z",
            "2026-04-15T19:47:16.Z",
            "2026-04-15T19:47:16,5Z",
            "2026-04-15T19:47:16.5",
            "2026-04-15T19:47:16+25:00",
            "2026-04-15T19:47:16+24:00",
            "2026-04-15T19:47:16+01:60",
            "2026-04-15T19:47:16+0100",
            "2026-04-15T19:47:16+01",
            "2026-04-15T19:47:16+01:00:00",
            "2026-04-15T19:47:16+01:00[Europe/Berlin]",
            "2026-04-15T19:47:16[Europe/Berlin]",
            "2026-04-15T19:47:16Z ",
            "2026-04-15T19:47:16\u{ff3a}",
            "２０２６-04-15T19:47:16Z",
            "2026-04-15T19:47:1é",
            "2026-04-15T+9:47:16Z",
        ] {
            assert_eq!(text.parse::<Time>(), Err(BadTime::Form), "{text:?}");
        }
    }

    #[test]
    fn years_that_not_all_clients_know_are_refused() {
        for (text, time) in [
            ("0001-01-01T00:00:00Z", Time::MIN),
            ("0001-01-01T01:00:00+01:00", Time::MIN),
            ("9999-12-31T23:59:59.999999Z", Time::MAX),
            ("9999-12-31T23:59:59.9999999Z", Time::MAX),
            ("9999-12-31T22:59:59.999999-01:00", Time::MAX),
        ] {
            assert_eq!(text.parse(), Ok(time), "{text}");
        }
        for text in [
            "0000-12-31T23:59:59Z",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
        ] {
            assert_eq!(text.parse::<Time>(), Err(BadTime::Range), "{text}");
        }
        assert_eq!(
            BadTime::Range.to_string(),
            "a time from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999Z"
        );
    }

    #[test]
    fn stored_moments_beyond_the_range_are_displayed_as_its_end() {
        for micros in [i64::MIN, -62_198_755_200_000_000, Time::MIN.0 - 1] {
            assert_eq!(Time(micros).to_string(), Time::MIN.to_string());
        }
        for micros in [i64::MAX, Time::MAX.0 + 1] {
            assert_eq!(Time(micros).to_string(), "9999-12-31T23:59:59.999999Z");
        }
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
