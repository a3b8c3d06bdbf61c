use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::client::Round;

/// How often the bar of a round is redrawn.
const TICK: Duration = Duration::from_millis(250);

/// A progress bar; shown on a terminal only.
pub struct Bar(ProgressBar);

impl Bar {
    pub fn new(quiet: bool, length: u64, what: &'static str) -> Bar {
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(Some(length), target);
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what);
        Bar(bar)
    }

    /// For a round, which ends after a time or a number of requests.
    pub fn of_round(quiet: bool, number: u32, rounds: u32) -> Bar {
        let bar = Bar::new(quiet, 1000, "");
        let style = ProgressStyle::with_template("{prefix}{bar:30} {msg}");
        bar.0
            .set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        if rounds > 1 {
            bar.0.set_prefix(format!("round {number} of {rounds} "));
        }
        bar
    }

    pub fn advance(&self) {
        self.0.inc(1);
    }

    /// Shows the progress of a round until dropped.
    pub async fn follow(&self, round: &Round, duration: Option<Duration>, count: Option<u64>) {
        if self.0.is_hidden() {
            return std::future::pending().await;
        }
        let (begun, mut before) = (Instant::now(), (Instant::now(), 0));
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            let answered = round.answered.load(Ordering::Relaxed);
            let failed = round.failed.load(Ordering::Relaxed);
            let part = |done: f64, whole: f64| (done / whole * 1000.0).min(1000.0) as u64;
            let by_time = duration
                .map(|whole| part(begun.elapsed().as_secs_f64(), whole.as_secs_f64()))
                .unwrap_or(0);
            let by_count = count
                .map(|whole| part(answered as f64, whole as f64))
                .unwrap_or(0);
            self.0.set_position(by_time.max(by_count));
            let span = before.0.elapsed().as_secs_f64().max(1e-9);
            let rate = (answered - before.1) as f64 / span;
            before = (Instant::now(), answered);
            let failed = match failed {
                0 => String::new(),
                failed => format!(", {failed} failed"),
            };
            self.0
                .set_message(format!("{answered} answered, {rate:.0}/s{failed}"));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
