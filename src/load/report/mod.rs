//! The report at the end of a run.

mod watched;

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::ballots::BallotCheck;
use super::figures::{Figures, Latencies};
pub use watched::WatchFigures;

/// The results of a run. Fields whose names contain `_ms` are milliseconds.
#[derive(Debug, Serialize)]
pub struct Report {
    pub url: String,
    pub scenario: &'static str,
    /// For watch, the number of watchers.
    pub clients: u32,
    pub protocol: &'static str,
    pub keep_alive: bool,
    /// The requests a second of `--rate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_rate: Option<f64>,
    #[serde(flatten)]
    pub total: Section,
    /// The figures of each kind of request in a mixed scenario.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<&'static str, Section>,
    pub rounds: Vec<Section>,
    /// In scenarios with ballots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ballots: Option<BallotCheck>,
    /// In the scenario watch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watched: Option<WatchFigures>,
    /// Whether all users had voted before the round was over.
    pub exhausted: bool,
}

/// The figures of some requests. Rates and latencies are those of requests that succeeded.
#[derive(Debug, Serialize)]
pub struct Section {
    pub requests: u64,
    pub seconds: f64,
    pub requests_per_second: f64,
    pub latency_ms: LatencyFigures,
    pub received_mb: f64,
    pub received_mb_per_second: f64,
    pub sent_mb: f64,
    pub sent_mb_per_second: f64,
    pub failed: u64,
    pub errors_by_status: BTreeMap<String, u64>,
    pub errors_by_kind: BTreeMap<String, u64>,
    /// A histogram of latencies.
    pub latency_steps: Vec<Step>,
}

#[derive(Debug, Serialize)]
pub struct Step {
    /// The step has the latencies up to this one and above that of the step before.
    pub up_to_ms: f64,
    pub requests: u64,
}

#[derive(Debug, Serialize)]
pub struct LatencyFigures {
    pub min: f64,
    pub max: f64,
    pub mean: f64,
    pub deviation: f64,
    /// The slowest of the fastest 90 %.
    pub top_90: f64,
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    #[serde(rename = "p99.9")]
    pub p99_9: f64,
}

const MB: f64 = 1e6;

/// The longest bar of the plot.
const BAR: usize = 50;

impl Section {
    pub fn new(figures: &Figures, seconds: f64) -> Section {
        use super::figures::Error;
        let latencies = &figures.latencies;
        let per_second = |amount: f64| amount / seconds.max(1e-9);
        let (received, sent) = (figures.received as f64 / MB, figures.sent as f64 / MB);
        let errors = |of_status: bool| {
            let errors = figures.errors.iter();
            let errors = errors.filter(|(error, _)| matches!(error, Error::Status(_)) == of_status);
            errors
                .map(|(error, count)| (error.name(), *count))
                .collect()
        };
        Section {
            requests: latencies.count(),
            seconds,
            requests_per_second: per_second(latencies.count() as f64),
            latency_ms: LatencyFigures::new(latencies),
            received_mb: received,
            received_mb_per_second: per_second(received),
            sent_mb: sent,
            sent_mb_per_second: per_second(sent),
            failed: figures.failed(),
            errors_by_status: errors(true),
            errors_by_kind: errors(false),
            latency_steps: latencies
                .steps()
                .into_iter()
                .map(|(up_to_ms, requests)| Step { up_to_ms, requests })
                .collect(),
        }
    }
}

impl LatencyFigures {
    fn new(latencies: &Latencies) -> LatencyFigures {
        LatencyFigures {
            min: latencies.min(),
            max: latencies.max(),
            mean: latencies.mean(),
            deviation: latencies.deviation(),
            top_90: latencies.percentile(90.0),
            p50: latencies.percentile(50.0),
            p95: latencies.percentile(95.0),
            p99: latencies.percentile(99.0),
            p99_9: latencies.percentile(99.9),
        }
    }
}

impl Report {
    /// Prints the report for people.
    pub fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let Report { url, scenario, .. } = self;
        let who = match &self.watched {
            Some(watched) => format!("{} watchers, {} voters", self.clients, watched.voters),
            None => format!("{} clients", self.clients),
        };
        let mut how = format!("{who}, {}", self.protocol);
        if !self.keep_alive {
            how.push_str(", a connection for each request");
        }
        if let Some(rate) = self.asked_rate {
            how.push_str(&format!(", at {rate} requests a second"));
        }
        writeln!(out, "{scenario} {url}: {how}")?;
        if self.rounds.len() > 1 {
            writeln!(out)?;
            for (index, round) in self.rounds.iter().enumerate() {
                line(out, &format!("round {}", index + 1), round)?;
            }
        }
        if !self.parts.is_empty() {
            writeln!(out)?;
            for (name, part) in &self.parts {
                line(out, name, part)?;
            }
        }
        writeln!(out)?;
        self.total.print(out)?;
        if let Some(check) = &self.ballots {
            writeln!(out)?;
            check.print(out)?;
        }
        if let Some(watched) = &self.watched {
            writeln!(out)?;
            watched.print(out)?;
        }
        if self.exhausted {
            let more = match &self.watched {
                Some(_) => "users",
                None => "users\nor questions, or --revote",
            };
            writeln!(
                out,
                "\nThe round ended early because every user has voted on every question: give \
                 more {more}."
            )?;
        }
        Ok(())
    }
}

/// A round or a kind of requests on one line.
fn line(out: &mut impl Write, name: &str, section: &Section) -> io::Result<()> {
    let latency = &section.latency_ms;
    write!(
        out,
        "{name:10} {:>10} requests {:>9.1}/s   p50 {} ms   p99 {} ms",
        section.requests,
        section.requests_per_second,
        brief(latency.p50),
        brief(latency.p99)
    )?;
    match section.failed {
        0 => writeln!(out),
        failed => writeln!(out, "   {failed} failed"),
    }
}

impl Section {
    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let latency = &self.latency_ms;
        writeln!(out, "Requests      {}", self.requests)?;
        writeln!(out, "Total time    {:.3} s", self.seconds)?;
        writeln!(out, "Rate          {:.1} /s", self.requests_per_second)?;
        writeln!(
            out,
            "Received      {:.3} MB, {:.3} MB/s",
            self.received_mb, self.received_mb_per_second
        )?;
        if self.sent_mb > 0.0 {
            let (sent, rate) = (self.sent_mb, self.sent_mb_per_second);
            writeln!(out, "Sent          {sent:.3} MB, {rate:.3} MB/s")?;
        }
        if self.requests > 0 {
            writeln!(out)?;
            for (name, value) in [
                ("Fastest", latency.min),
                ("Mean", latency.mean),
                ("Top 90 %", latency.top_90),
                ("Slowest", latency.max),
                ("p50", latency.p50),
                ("p95", latency.p95),
                ("p99", latency.p99),
                ("p99.9", latency.p99_9),
            ] {
                writeln!(out, "{name:13} {} ms", brief(value))?;
            }
            writeln!(out)?;
            self.plot(out)?;
        }
        if self.failed > 0 {
            writeln!(out, "\nFailed        {}", self.failed)?;
            for (status, count) in &self.errors_by_status {
                writeln!(out, "  status {status}  {count}")?;
            }
            for (kind, count) in &self.errors_by_kind {
                writeln!(out, "  {:11}  {count}  ({})", kind, words(kind))?;
            }
        }
        Ok(())
    }

    fn plot(&self, out: &mut impl Write) -> io::Result<()> {
        let most = self.latency_steps.iter().map(|step| step.requests).max();
        let most = most.unwrap_or_default().max(1);
        for Step { up_to_ms, requests } in &self.latency_steps {
            // At least a thin bar for each step that is not empty.
            let eighths = (*requests as usize * BAR * 8).div_ceil(most as usize);
            let mut bar = "█".repeat(eighths / 8);
            bar.push_str(["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8]);
            writeln!(out, "≤ {:>8} ms {requests:>10} {bar}", brief(*up_to_ms))?;
        }
        Ok(())
    }
}

impl BallotCheck {
    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "Ballots       {} new, {} changed",
            self.stored, self.changed
        )?;
        if self.repeated > 0 {
            writeln!(
                out,
                "Repeats       {} answered 200: the user had voted before",
                self.repeated
            )?;
        }
        if self.unknown > 0 {
            writeln!(out, "Unknown       {} without a clear answer", self.unknown)?;
        }
        let equal = match (self.agrees, self.unknown) {
            (true, 0) => "as many as were acknowledged",
            (true, _) => "not fewer than were acknowledged, and not more than were sent",
            (false, _) => "DIFFERS FROM WHAT WAS ACKNOWLEDGED",
        };
        writeln!(out, "Counted       {}: {equal}", self.counted)
    }
}

/// A description of a kind of error.
pub(super) fn words(kind: &str) -> &'static str {
    match kind {
        "connect" => "no connection could be opened",
        "descriptors" => "no file descriptor was left; raise ulimit -n",
        "closed" => "the connection ended before the answer",
        "timeout" => "no answer within the timeout",
        "unsent" => "not sent: all clients were waiting for other answers",
        _ => "the answer was not understood",
    }
}

/// A number with three significant digits, or as many as it has before the point.
fn brief(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 1.0 => format!("{value:.2}"),
        value => format!("{value:.3}"),
    }
}
