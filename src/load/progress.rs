use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::client::Round;
use crate::periodic::every;
use crate::progress::Bar;

/// How often the bar of a round is redrawn.
const TICK: Duration = Duration::from_millis(250);

/// A bar for a round, which ends after a time or a number of requests.
pub fn of_round(quiet: bool, number: u32, rounds: u32) -> Bar {
    let bar = Bar::new(quiet, 1000, "").with_template("{prefix}{bar:30} {msg}");
    match rounds {
        0 | 1 => bar,
        _ => bar.with_prefix(format!("round {number} of {rounds} ")),
    }
}

/// Shows the progress of a round in its bar until dropped.
pub async fn follow(bar: &Bar, round: &Round, duration: Option<Duration>, count: Option<u64>) {
    if bar.is_hidden() {
        return std::future::pending().await;
    }
    let (begun, mut before) = (Instant::now(), (Instant::now(), 0));
    every(TICK, || {
        let answered = round.answered.load(Ordering::Relaxed);
        let failed = round.failed.load(Ordering::Relaxed);
        let part = |done: f64, whole: f64| (done / whole * 1000.0).min(1000.0) as u64;
        let by_time = duration
            .map(|whole| part(begun.elapsed().as_secs_f64(), whole.as_secs_f64()))
            .unwrap_or(0);
        let by_count = count
            .map(|whole| part(answered as f64, whole as f64))
            .unwrap_or(0);
        let span = before.0.elapsed().as_secs_f64().max(1e-9);
        let rate = (answered - before.1) as f64 / span;
        before = (Instant::now(), answered);
        let failed = match failed {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        };
        bar.show(
            by_time.max(by_count),
            format!("{answered} answered, {rate:.0}/s{failed}"),
        );
        std::future::ready(())
    })
    .await;
}
