//! Rates: how often one account, or one network, may call.
//!
//! Every call is counted, so it is counted in memory. Where there is a Redis, each process tells
//! it a few times a second what was spent, and learns what all others have.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::Share;
use super::cells::{Cell, Quota, Spend};
use crate::clock::Time;
use crate::failure::RateLimit;

/// How many maps the meters are spread over, so that threads rarely wait for each other.
const SHARDS: usize = 16;

/// How many meters of a shard are remembered before those with their full quota are looked for.
const PRUNE_FROM: usize = 256;

/// How often Redis is told what was spent.
const SHARE_INTERVAL: Duration = Duration::from_millis(200);

/// How many meters one call to Redis is about.
const CHUNK: usize = 500;

/// So many calls in a window. A quota may be spent at once; then it comes back evenly over the
/// window.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    policy: &'static str,
    quota: u32,
    cell: Quota,
    /// The same in microseconds, since this is computed for every call.
    one: i64,
    window: i64,
}

impl Rate {
    /// `policy` names what is limited, to clients and among the rates.
    pub fn new(policy: &'static str, quota: u32, window: Duration) -> Rate {
        let cell = Quota::new(quota, window);
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Rate {
            policy,
            quota,
            cell,
            one: micros(cell.one),
            window: micros(cell.window),
        }
    }

    /// `owed` and `reset` are in microseconds.
    fn state(&self, owed: i64, reset: i64) -> RateLimit {
        let remaining = self.window.saturating_sub(owed) / self.one.max(1);
        RateLimit {
            policy: self.policy,
            quota: self.quota,
            window: self.cell.window,
            remaining: u32::try_from(remaining).unwrap_or(self.quota),
            reset: Duration::from_micros(reset.try_into().unwrap_or(0)),
        }
    }

    /// What is owed, in microseconds: never more than the window, whatever another process says.
    fn owed(&self, whole_at: Time, now: Time) -> i64 {
        (whole_at.0 - now.0).clamp(0, self.window)
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

/// A policy, and whose calls.
type Key = (&'static str, Whose);

/// What all accounts and networks have spent.
#[derive(Debug)]
pub(super) struct Meters([Mutex<Shard>; SHARDS]);

#[derive(Debug)]
struct Shard {
    meters: HashMap<Key, Meter>,
    prune_at: usize,
}

#[derive(Debug, Clone, Copy)]
struct Meter {
    rate: Rate,
    /// When the full quota is there again.
    whole_at: Time,
    /// How many calls Redis was not told of.
    untold: u32,
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
    fn shard(&self, (_, whose): &Key) -> &Mutex<Shard> {
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
            untold: 0,
        });
        let owed = rate.owed(meter.whole_at, now) + rate.one;
        if owed > rate.window {
            return Err(rate.state(rate.window, owed - rate.window));
        }
        meter.whole_at = Time(now.0 + owed);
        meter.untold = meter.untold.saturating_add(1);
        Ok(rate.state(owed, owed))
    }

    fn state(&self, rate: &Rate, whose: Whose, now: Time) -> RateLimit {
        let key = (rate.policy, whose);
        let shard = self.shard(&key).lock();
        let whole_at = shard.meters.get(&key).map_or(now, |meter| meter.whole_at);
        let owed = rate.owed(whole_at, now);
        rate.state(owed, owed)
    }

    /// What was spent since the last call of this.
    fn spent(&self) -> Vec<(Whose, Rate, u32)> {
        let mut spent = Vec::new();
        for shard in &self.0 {
            for ((_, whose), meter) in &mut shard.lock().meters {
                if meter.untold > 0 {
                    let count = std::mem::take(&mut meter.untold);
                    spent.push((*whose, meter.rate, count));
                }
            }
        }
        spent
    }

    /// Takes over what all processes have spent together.
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
                .retain(|_, meter| meter.whole_at > now || meter.untold > 0);
            self.prune_at = PRUNE_FROM.max(2 * self.meters.len());
        }
    }
}

impl Share {
    /// Counts a call. Gives what is left of the quota; or, where there is nothing left, how long
    /// the next call has to wait.
    pub fn take_rate(&self, rate: &Rate, whose: Whose) -> Result<RateLimit, RateLimit> {
        let now = self.inner.clock.now();
        self.inner.meters.take(rate, whose, now)
    }

    /// What is left of a quota. Counts nothing.
    pub fn rate_state(&self, rate: &Rate, whose: Whose) -> RateLimit {
        let now = self.inner.clock.now();
        self.inner.meters.state(rate, whose, now)
    }

    /// Tells Redis what was spent here, and learns what was spent elsewhere. Never returns.
    pub(super) async fn keep_sharing_rates(&self) {
        let Some(redis) = &self.inner.redis else {
            return std::future::pending().await;
        };
        let meters = &self.inner.meters;
        let mut ticks = tokio::time::interval(SHARE_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let spent = meters.spent();
            for spent in spent.chunks(CHUNK) {
                let now = self.inner.clock.now();
                let cells: Vec<Cell> = spent.iter().map(cell).collect();
                // What Redis is not told while it is away is forgotten: the windows are short.
                let before = redis.change(&cells, now, Spend::Always).await;
                for ((whose, rate, count), before) in spent.iter().zip(before.iter().flatten()) {
                    meters.learn(rate, *whose, before.after(rate.cell.one * *count));
                }
            }
        }
    }
}

/// The cell in Redis, to be charged with all calls at once.
fn cell((whose, rate, count): &(Whose, Rate, u32)) -> Cell {
    let key = match whose {
        Whose::Account(bits) => (b'a', bits),
        Whose::Network(bits) => (b'n', bits),
        Whose::Attempt(hash) => (b't', hash),
    };
    let key = [&[key.0][..], &key.1.to_be_bytes()].concat();
    let mut cell = Cell::new(rate.policy, &key, rate.quota, rate.cell.window);
    cell.quota.one = rate.cell.one * *count;
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
    fn what_others_have_spent_counts() {
        let (meters, now) = (Meters::default(), Clock::default().now());
        let rate = Rate::new("reads", 10, MINUTE);
        let whose = Whose::Network(7);
        meters.take(&rate, whose, now).unwrap();
        assert_eq!(meters.spent().len(), 1);
        assert!(meters.spent().is_empty());
        meters.learn(&rate, whose, now.after(MINUTE));
        assert!(meters.take(&rate, whose, now).is_err());
    }

    #[test]
    fn full_quotas_are_forgotten() {
        let (meters, now) = (Meters::default(), Clock::default().now());
        let rate = Rate::new("reads", 1, MINUTE);
        for whose in 0..16_000 {
            meters.take(&rate, Whose::Network(whose), now).unwrap();
        }
        meters.spent();
        for whose in 20_000..36_000 {
            let whose = Whose::Network(whose);
            meters.take(&rate, whose, now.after(2 * MINUTE)).unwrap();
        }
        let known = meters.0.iter().map(|shard| shard.lock().meters.len());
        assert!(known.sum::<usize>() < 24_000);
    }
}
