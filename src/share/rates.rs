//! Rates: how often one account, or one network, may call.
//!
//! Every call is counted in memory. If there is a Redis, each process adds its calls to the shared
//! counters a few times a second, and reads there what all processes have counted.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::Share;
use super::cells::{Cell, Spend};
use super::quota::{Quota, duration};
use crate::clock::Time;
use crate::failure::RateLimit;
use crate::periodic::every;

/// Over how many maps the meters are spread, so that threads rarely wait for each other's lock.
const SHARDS: usize = 16;

/// With how many meters a map is first searched for those whose quota is full, to drop them.
const PRUNE_FROM: usize = 256;

/// How often calls are added to the counters in Redis.
const SHARE_INTERVAL: Duration = Duration::from_millis(200);

/// The most meters in one call to Redis.
const CHUNK: usize = 500;

/// A number of calls in a window.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    policy: &'static str,
    calls: u32,
    window: Duration,
    quota: Quota,
}

impl Rate {
    /// `policy` names what is limited, to clients and among the rates.
    pub fn new(policy: &'static str, calls: u32, window: Duration) -> Rate {
        Rate {
            policy,
            calls,
            window,
            quota: Quota::new(calls, window),
        }
    }

    /// What clients are told: how much is left after `used`, and to come back in `reset`
    /// (both in microseconds).
    fn state(&self, used: i64, reset: i64) -> RateLimit {
        RateLimit {
            policy: self.policy,
            quota: self.calls,
            window: self.window,
            remaining: self.quota.remaining(used),
            reset: duration(reset),
        }
    }
}

/// Whose calls are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Whose {
    /// The bits of an account's id.
    Account(u128),
    /// The bits of a network's address.
    Network(u128),
    /// A hash of a name that was typed and of a network's address.
    Attempt(u128),
}

/// The name of a rate, and whose calls are counted.
type MeterKey = (&'static str, Whose);

/// The calls of all accounts and networks.
#[derive(Debug)]
pub(super) struct Meters([Mutex<Shard>; SHARDS]);

#[derive(Debug)]
struct Shard {
    meters: HashMap<MeterKey, Meter>,
    prune_at: usize,
}

#[derive(Debug, Clone, Copy)]
struct Meter {
    rate: Rate,
    /// When the quota is full again.
    whole_at: Time,
    /// How many calls have not been added to the counter in Redis.
    unshared: u32,
}

impl Default for Meters {
    fn default() -> Meters {
        let shard = |_| {
            Mutex::new(Shard {
                meters: HashMap::new(),
                prune_at: PRUNE_FROM,
            })
        };
        Meters(std::array::from_fn(shard))
    }
}

impl Meters {
    fn shard(&self, (_, whose): &MeterKey) -> &Mutex<Shard> {
        let (Whose::Account(bits) | Whose::Network(bits) | Whose::Attempt(bits)) = whose;
        // The last bits of an id are random; those of a network's address are the first.
        let mixed = (bits ^ (bits >> 64)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
        &self.0[usize::try_from(mixed & 15).unwrap_or_default() % SHARDS]
    }

    fn take(&self, rate: &Rate, whose: Whose, now: Time) -> Result<RateLimit, RateLimit> {
        let key = (rate.policy, whose);
        let mut shard = self.shard(&key).lock();
        shard.prune(now);
        let meter = shard.meters.entry(key).or_insert(Meter {
            rate: *rate,
            whole_at: now,
            unshared: 0,
        });
        let quota = &rate.quota;
        let used = quota.used(meter.whole_at, now);
        if let Some(wait) = quota.wait(used) {
            return Err(rate.state(quota.window, wait));
        }
        let used = used + quota.one;
        meter.whole_at = Time(now.0 + used);
        meter.unshared = meter.unshared.saturating_add(1);
        Ok(rate.state(used, used))
    }

    fn state(&self, rate: &Rate, whose: Whose, now: Time) -> RateLimit {
        let key = (rate.policy, whose);
        let shard = self.shard(&key).lock();
        let whole_at = shard.meters.get(&key).map_or(now, |meter| meter.whole_at);
        let used = rate.quota.used(whole_at, now);
        rate.state(used, used)
    }

    /// How many calls were counted since this was last asked for.
    fn take_unshared(&self) -> Vec<(Whose, Rate, u32)> {
        let mut spent = Vec::new();
        for shard in &self.0 {
            for ((_, whose), meter) in &mut shard.lock().meters {
                if meter.unshared > 0 {
                    let count = std::mem::take(&mut meter.unshared);
                    spent.push((*whose, meter.rate, count));
                }
            }
        }
        spent
    }

    /// Notes that all processes together have used the quota up to `whole_at`.
    fn learn(&self, rate: &Rate, whose: Whose, whole_at: Time) {
        let key = (rate.policy, whose);
        if let Some(meter) = self.shard(&key).lock().meters.get_mut(&key) {
            meter.whole_at = meter.whole_at.max(whole_at);
        }
    }
}

impl Shard {
    fn prune(&mut self, now: Time) {
        if self.meters.len() >= self.prune_at {
            self.meters
                .retain(|_, meter| meter.whole_at > now || meter.unshared > 0);
            self.prune_at = PRUNE_FROM.max(2 * self.meters.len());
        }
    }
}

impl Share {
    /// Counts a call and returns what is left of the quota. If nothing is left, counts nothing and
    /// returns how long the next call has to wait.
    pub fn take_rate(&self, rate: &Rate, whose: Whose) -> Result<RateLimit, RateLimit> {
        let now = self.inner.clock.now();
        self.inner.meters.take(rate, whose, now)
    }

    /// What is left of a quota, without counting anything.
    pub fn rate_state(&self, rate: &Rate, whose: Whose) -> RateLimit {
        let now = self.inner.clock.now();
        self.inner.meters.state(rate, whose, now)
    }

    /// Adds this process's calls to the counters in Redis, and reads those of the others. Never
    /// returns.
    pub(super) async fn keep_sharing_rates(&self) {
        let Some(redis) = &self.inner.redis else {
            return std::future::pending().await;
        };
        let meters = &self.inner.meters;
        every(SHARE_INTERVAL, || async {
            let spent = meters.take_unshared();
            for spent in spent.chunks(CHUNK) {
                let now = self.inner.clock.now();
                let cells: Vec<Cell> = spent.iter().map(cell).collect();
                // Calls counted while Redis is away are never added: the windows are short.
                let before = redis.change(&cells, now, Spend::Always).await;
                for ((whose, rate, count), before) in spent.iter().zip(before.iter().flatten()) {
                    let used = rate.quota.one.saturating_mul((*count).into());
                    meters.learn(rate, *whose, before.after(duration(used)));
                }
            }
        })
        .await;
    }
}

/// The cell in Redis; one "attempt" there stands for all `count` calls.
fn cell((whose, rate, count): &(Whose, Rate, u32)) -> Cell {
    let key = match whose {
        Whose::Account(bits) => (b'a', bits),
        Whose::Network(bits) => (b'n', bits),
        Whose::Attempt(hash) => (b't', hash),
    };
    let key = [&[key.0][..], &key.1.to_be_bytes()].concat();
    let mut cell = Cell::new(rate.policy, &key, rate.calls, rate.window);
    cell.quota.one = cell.quota.one.saturating_mul((*count).into());
    cell
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_quota_is_spent_and_comes_back() {
        let (meters, now) = (Meters::default(), Clock::default().now());
        let rate = Rate::new("reads", 10, MINUTE);
        let take = |whose, now| meters.take(&rate, whose, now);
        let (one, other) = (Whose::Account(1), Whose::Network(1));
        for left in (0..10).rev() {
            let state = take(one, now).unwrap();
            assert_eq!(state.remaining, left);
            assert_eq!(state.reset, (10 - left) * (MINUTE / 10));
        }
        let refused = take(one, now).unwrap_err();
        assert_eq!((refused.remaining, refused.reset), (0, MINUTE / 10));
        assert_eq!(take(other, now).unwrap().remaining, 9);
        assert_eq!(take(one, now.after(MINUTE / 5)).unwrap().remaining, 1);
    }

    #[test]
    fn calls_counted_by_other_processes_count() {
        let (meters, now) = (Meters::default(), Clock::default().now());
        let rate = Rate::new("reads", 10, MINUTE);
        let whose = Whose::Network(7);
        meters.take(&rate, whose, now).unwrap();
        assert_eq!(meters.take_unshared().len(), 1);
        assert!(meters.take_unshared().is_empty());
        meters.learn(&rate, whose, now.after(MINUTE));
        assert!(meters.take(&rate, whose, now).is_err());
    }

    #[test]
    fn meters_with_a_full_quota_are_dropped() {
        let (meters, now) = (Meters::default(), Clock::default().now());
        let rate = Rate::new("reads", 1, MINUTE);
        for whose in 0..16_000 {
            meters.take(&rate, Whose::Network(whose), now).unwrap();
        }
        meters.take_unshared();
        for whose in 20_000..36_000 {
            let whose = Whose::Network(whose);
            meters.take(&rate, whose, now.after(2 * MINUTE)).unwrap();
        }
        let known = meters.0.iter().map(|shard| shard.lock().meters.len());
        assert!(known.sum::<usize>() < 24_000);
    }
}
