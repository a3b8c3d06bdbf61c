//! The log, on standard error: pretty on a terminal, otherwise one JSON object per line.

use std::fmt::{self, Debug};
use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{Log, LogFormat};
use crate::http::RequestId;

/// Starts logging for the whole process, including panics.
///
/// # Errors
///
/// If the filter is invalid, or logging was started before.
pub fn init(config: &Log) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let terminal = io::stderr().is_terminal();
    let pretty = match config.format {
        LogFormat::Auto => terminal,
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&config.filter)?)
        .with_writer(io::stderr);
    if pretty {
        log.with_ansi(terminal).event_format(Pretty).try_init()?;
    } else {
        log.with_ansi(false).event_format(Json).try_init()?;
    }
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic
        .payload_as_str()
        .unwrap_or("a payload that is not text");
    let location = panic.location().map(tracing::field::display);
    tracing::error!(location, cause = message, "panicked");
}

/// `2026-04-15T19:47:16.123456Z  INFO polls::app: listening address=… request_id=…`
struct Pretty;

impl<S, N> FormatEvent<S, N> for Pretty
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        SystemTime.format_time(&mut writer)?;
        if writer.has_ansi_escapes() {
            let colour = match *metadata.level() {
                Level::ERROR => 31,
                Level::WARN => 33,
                Level::INFO => 32,
                _ => 34,
            };
            write!(writer, " \x1b[{colour}m{:>5}\x1b[0m ", metadata.level())?;
        } else {
            write!(writer, " {:>5} ", metadata.level())?;
        }
        write!(writer, "{}: ", metadata.target())?;
        context
            .field_format()
            .format_fields(writer.by_ref(), event)?;
        if let Some(id) = RequestId::current() {
            write!(writer, " request_id={}", id.as_str())?;
        }
        writeln!(writer)
    }
}

/// `{"time": …, "level": …, "target": …, "request_id": …, "message": …, fields…}`
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut line = Fields(Map::new());
        line.set("time", time);
        line.set("level", metadata.level().as_str());
        line.set("target", metadata.target());
        if let Some(id) = RequestId::current() {
            line.set("request_id", id.as_str());
        }
        event.record(&mut line);
        writeln!(writer, "{}", Value::Object(line.0))
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    /// Keeps the first value of a name, so that no field of an event can replace the time or the
    /// level.
    fn set(&mut self, name: &str, value: impl Into<Value>) {
        if !self.0.contains_key(name) {
            self.0.insert(name.to_owned(), value.into());
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.set(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, LazyLock};

    use http::{HeaderMap, HeaderValue};
    use parking_lot::Mutex;
    use tracing::Dispatch;
    use tracing::subscriber::{DefaultGuard, NoSubscriber};

    use super::*;
    use crate::clock::Clock;

    /// Collects what this thread logs.
    #[derive(Clone, Default)]
    pub(crate) struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// While there is only one subscriber, tracing asks the thread that meets an event first whether
    /// anybody wants it, and remembers the answer for all threads: another test could switch off the
    /// lines of this one. Where there are two, it asks both.
    static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));

    impl Sink {
        /// Collects this thread's JSON lines for as long as the guard lives.
        pub(crate) fn json() -> (Sink, DefaultGuard) {
            LazyLock::force(&ANOTHER);
            let sink = Sink::default();
            let writer = sink.clone();
            let log = tracing_subscriber::fmt()
                .event_format(Json)
                .with_writer(move || writer.clone())
                .finish();
            (sink, tracing::subscriber::set_default(log))
        }

        pub(crate) fn lines(&self) -> Vec<Value> {
            let parse = |line: &str| serde_json::from_str(line).unwrap();
            self.text().lines().map(parse).collect()
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.lock().clone()).unwrap()
        }
    }

    async fn within_request(work: impl FnOnce()) {
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", HeaderValue::from_static("r-1"));
        let id = RequestId::of(&headers, &Clock::default());
        id.scope(async { work() }).await;
    }

    #[tokio::test]
    async fn a_json_line_names_its_request() {
        let (sink, _guard) = Sink::json();
        within_request(|| tracing::warn!(level = "fake", count = 3, agent = "a\"b\n", "hello"))
            .await;
        let line = &sink.lines()[0];
        assert_eq!(line["request_id"], "r-1");
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["message"], "hello");
        assert_eq!(line["count"], 3);
        assert_eq!(line["agent"], "a\"b\n");
    }

    #[tokio::test]
    async fn a_pretty_line_names_its_request_and_stays_one_line() {
        let sink = Sink::default();
        let writer = sink.clone();
        let log = tracing_subscriber::fmt()
            .with_ansi(false)
            .event_format(Pretty)
            .with_writer(move || writer.clone())
            .finish();
        let _guard = tracing::subscriber::set_default(log);
        within_request(|| tracing::info!(agent = "a\nb", "hello")).await;
        let text = sink.text();
        assert!(
            text.contains(" INFO polls::telemetry::tests: hello"),
            "{text}"
        );
        assert!(text.trim_end().ends_with("request_id=r-1"), "{text}");
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn a_bad_filter_is_an_error() {
        let config = Log {
            filter: "polls=loud".into(),
            format: LogFormat::Json,
            access: true,
        };
        assert!(init(&config).is_err());
    }
}
