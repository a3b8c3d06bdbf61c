//! The watchers' part of the report.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::{LatencyFigures, MB, brief};
use crate::load::watchers::Watched;

/// What the watchers received from the first ballot on.
#[derive(Debug, Serialize)]
pub struct WatchFigures {
    pub watchers: u32,
    pub voters: u32,
    pub seconds: f64,
    pub events: u64,
    pub events_per_second: f64,
    pub events_per_watcher_and_second: f64,
    pub received_mb: f64,
    pub received_mb_per_second: f64,
    /// From the acknowledgement of the latest ballot in an event to its arrival.
    pub lag_ms: LatencyFigures,
    /// From the acknowledgement of the last ballot until every watcher had seen all of them.
    pub last_watcher_ms: Option<f64>,
    /// How many watchers have not seen all ballots, by reason.
    pub missed: BTreeMap<String, u32>,
}

impl WatchFigures {
    pub fn new(watched: &Watched, voters: u32) -> WatchFigures {
        let Watched {
            watchers,
            seconds,
            totals,
            ..
        } = watched;
        let per_second = |amount: f64| amount / seconds.max(1e-9);
        let (events, received) = (totals.events as f64, totals.bytes as f64 / MB);
        let missed = watched.missed.iter();
        WatchFigures {
            watchers: *watchers,
            voters,
            seconds: *seconds,
            events: totals.events,
            events_per_second: per_second(events),
            events_per_watcher_and_second: per_second(events) / f64::from(*watchers),
            received_mb: received,
            received_mb_per_second: per_second(received),
            lag_ms: LatencyFigures::new(&totals.lag),
            last_watcher_ms: watched.last_watcher.map(|span| span.as_secs_f64() * 1e3),
            missed: missed
                .map(|(why, count)| (why.to_string(), *count))
                .collect(),
        }
    }

    pub fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let missed: u32 = self.missed.values().sum();
        let saw = match missed {
            0 => "each saw all ballots".to_owned(),
            missed => format!("{missed} DID NOT SEE ALL BALLOTS"),
        };
        writeln!(out, "Watchers      {}: {saw}", self.watchers)?;
        for (why, count) in &self.missed {
            writeln!(out, "  {count}  {why}")?;
        }
        writeln!(
            out,
            "Events        {}, {:.1} /s, {:.2} /s for each watcher",
            self.events, self.events_per_second, self.events_per_watcher_and_second
        )?;
        let (received, rate) = (self.received_mb, self.received_mb_per_second);
        writeln!(out, "Received      {received:.3} MB, {rate:.3} MB/s")?;
        let lag = &self.lag_ms;
        let [p50, p95, p99, max] = [lag.p50, lag.p95, lag.p99, lag.max].map(brief);
        writeln!(
            out,
            "Lag           p50 {p50} ms   p95 {p95} ms   p99 {p99} ms   slowest {max} ms"
        )?;
        if let Some(last) = self.last_watcher_ms {
            let last = brief(last);
            writeln!(
                out,
                "Last watcher  {last} ms after the last ballot's answer"
            )?;
        }
        Ok(())
    }
}
