//! What the process counts and measures, in Prometheus form at `/metrics`.
//!
//! Any module records with the macros of the `metrics` crate. Histograms whose name ends in
//! `_seconds` get buckets for latencies, all others powers of two.

use std::fmt::Write;
use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use metrics::{Gauge, Histogram, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use poem::Response;
use poem::endpoint::make_sync;

use super::routes::Route;
use super::site::Site;
use crate::periodic::every;

const REQUEST_DURATION: &str = "http_request_duration_seconds";
const REQUESTS_IN_FLIGHT: &str = "http_requests_in_flight";
const CONNECTIONS: &str = "http_connections";

const LATENCIES: [f64; 13] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];
const SIZES: [f64; 11] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0,
];

/// How often samples are folded into their buckets; until then each takes memory of its own.
const UPKEEP: Duration = Duration::from_secs(1);

/// Where everything recorded in this process ends up.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Starts recording; what was recorded before is lost. Later calls return the same.
    pub fn install() -> Metrics {
        static INSTALLED: OnceLock<Metrics> = OnceLock::new();
        INSTALLED.get_or_init(Metrics::start).clone()
    }

    fn start() -> Metrics {
        let seconds = Matcher::Suffix("_seconds".into());
        let recorder = PrometheusBuilder::new()
            .set_buckets(&SIZES)
            .and_then(|builder| builder.set_buckets_for_metric(seconds, &LATENCIES))
            .unwrap_or_default()
            .build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("metrics are recorded elsewhere already");
        }
        describe_histogram!(
            REQUEST_DURATION,
            "Time from a request to its answer's head."
        );
        describe_gauge!(REQUESTS_IN_FLIGHT, "Requests that are being answered.");
        describe_gauge!(CONNECTIONS, "Open connections.");
        Metrics(handle)
    }

    /// Keeps memory bounded; runs until it is dropped.
    pub async fn keep_up(&self) {
        every(UPKEEP, || async { self.0.run_upkeep() }).await;
    }

    /// All metrics in Prometheus' text form.
    pub fn render(&self) -> String {
        let mut text = self.0.render();
        process(&mut text);
        text
    }
}

/// Adds `/metrics`.
pub fn add(site: Site, metrics: Metrics) -> Site {
    let endpoint = make_sync(move |_| {
        let mut response = Response::from(metrics.render());
        let form = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, form);
        response
    });
    site.get_without_limit("/metrics", endpoint)
}

/// Counts one connection for as long as it lives.
pub(super) fn connection() -> Counted {
    Counted::new(gauge!(CONNECTIONS))
}

pub(super) struct Counted(Gauge);

impl Counted {
    fn new(gauge: Gauge) -> Counted {
        gauge.increment(1.0);
        Counted(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// The durations of one route, each of those with a method and a status.
type Durations = Vec<(&'static str, StatusCode, Histogram)>;

/// Measures requests. Looking up a metric by its labels costs more than a cheap request, so the
/// handles are kept.
pub(super) struct Requests {
    in_flight: Gauge,
    /// By the route's index; before them those of unknown routes, which share a name.
    durations: ArcSwap<Vec<Durations>>,
}

impl Requests {
    pub(super) fn new() -> Requests {
        Requests {
            in_flight: gauge!(REQUESTS_IN_FLIGHT),
            durations: ArcSwap::default(),
        }
    }

    /// Counts a request for as long as it is being answered.
    pub(super) fn begin(&self) -> Counted {
        Counted::new(self.in_flight.clone())
    }

    pub(super) fn record(
        &self,
        route: Option<&Route>,
        method: &'static str,
        status: StatusCode,
        took: Duration,
    ) {
        let place = route.map_or(0, |route| route.index + 1);
        let is_this = |(of, with, _): &&(_, _, _)| (*of, *with) == (method, status);
        let known = self.durations.load();
        let found = known.get(place).and_then(|of| of.iter().find(is_this));
        if let Some((.., histogram)) = found {
            return histogram.record(took);
        }
        let histogram = histogram!(
            REQUEST_DURATION,
            "route" => route.map_or_else(|| "unmatched".to_owned(), |route| route.template.clone()),
            "method" => method,
            "status" => status.as_u16().to_string(),
        );
        histogram.record(took);
        self.durations.rcu(|known| {
            let mut known = Vec::clone(known);
            known.resize_with(known.len().max(place + 1), Vec::new);
            // Somebody else may have been quicker: then it is here twice, which does no harm.
            known[place].push((method, status, histogram.clone()));
            known
        });
    }
}

/// A method as a label: what clients invent must not become a series of its own.
pub(super) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Appends the process's own figures, as far as the system tells them.
fn process(text: &mut String) {
    let mut tell = |name: &str, kind: &str, value: Option<f64>| {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "# TYPE {name} {kind}\n{name} {value}\n");
        }
    };
    tell("process_resident_memory_bytes", "gauge", resident_memory());
    tell("process_open_fds", "gauge", open_files());
    let times = Times::read();
    let cpu = times.as_ref().map(|times| times.cpu);
    tell("process_cpu_seconds_total", "counter", cpu);
    let start = times.and_then(|times| Some(boot_time()? + times.start));
    tell("process_start_time_seconds", "gauge", start);
}

fn resident_memory() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}

fn open_files() -> Option<f64> {
    // One of them is the directory being read.
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(count.saturating_sub(1) as f64)
}

/// Seconds since 1970.
fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

struct Times {
    /// Seconds of processor time, in user mode and in the kernel.
    cpu: f64,
    /// Seconds from boot to start.
    start: f64,
}

impl Times {
    /// The kernel tells programs all times in hundredths, whatever its own tick.
    const TICKS: f64 = 100.0;

    fn read() -> Option<Times> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The program's name, in parentheses, may hold spaces.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
        Some(Times {
            cpu: (ticks(11)? + ticks(12)?) / Self::TICKS,
            start: ticks(19)? / Self::TICKS,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Operation;
    use crate::http::routes::Routes;

    #[test]
    fn requests_are_counted_by_template() {
        let metrics = Metrics::install();
        let requests = Requests::new();
        let routes = Routes::new([Operation::new(Method::GET, "/counted/{id}")]);
        let route = routes.find("/counted/7");
        for _ in 0..3 {
            requests.record(route, "GET", StatusCode::OK, Duration::from_millis(3));
        }
        requests.record(None, "GET", StatusCode::NOT_FOUND, Duration::from_millis(3));
        let text = metrics.render();
        let series = r#"http_request_duration_seconds_bucket{route="/counted/{id}",method="GET",status="200",le="0.005"} 3"#;
        assert!(text.contains(series), "{text}");
        assert!(text.contains(r#"route="unmatched",method="GET",status="404""#));
    }

    #[test]
    fn the_process_tells_about_itself() {
        let text = Metrics::install().render();
        for name in [
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_cpu_seconds_total",
            "process_start_time_seconds",
        ] {
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
            assert!(value.is_some_and(|value| value >= 0.0), "{name}");
        }
    }
}
