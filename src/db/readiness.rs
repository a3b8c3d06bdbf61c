//! Whether this process can serve requests: the database answers, accepts writes, and has the
//! schema that this program needs.

use std::sync::Arc;
use std::time::Duration;

use migration::{Migrator, MigratorTrait as _};
use sea_orm::{ConnectionTrait as _, DbErr};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::dialect::{now_micros, statement};
use super::{Db, link};
use crate::clock::{Clock, Time};
use crate::failure::Failure;

/// The least time between two checks, however often the report is asked for.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long reading the schema and the clock may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// By how much the clocks of the process and of the database may differ.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

/// The name of the lock that is taken as a test of writing; see
/// [`Transaction::exclude`](super::Transaction::exclude).
const LOCK: &str = "readiness";

/// Checks readiness and caches the report. Clones share it.
#[derive(Debug, Clone)]
pub struct Readiness {
    db: Db,
    clock: Clock,
    latest: Arc<Mutex<Option<Latest>>>,
}

#[derive(Debug, Clone, Copy)]
struct Latest {
    ended: Instant,
    report: Report,
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    /// Whether a small write was committed: false if the disk is full, or the database is read-only
    /// or cannot be reached.
    pub writable: bool,
    /// Whether all migrations of this program are applied. There may be later ones.
    pub schema: bool,
    /// By how many seconds the clock of the database is ahead of this process's; null if the
    /// database did not answer.
    pub clock_offset: Option<f64>,
}

impl Report {
    const UNREACHABLE: Report = Report {
        writable: false,
        schema: false,
        clock_offset: None,
    };

    /// Whether requests can be served.
    pub fn is_ready(&self) -> bool {
        self.writable && self.schema
    }

    /// The report as JSON, for operators: `{"ready": …, "writable": …, "schema": …,
    /// "clock_offset": …}`.
    pub fn details(&self) -> serde_json::Value {
        serde_json::json!({
            "ready": self.is_ready(),
            "writable": self.writable,
            "schema": self.schema,
            "clock_offset": self.clock_offset,
        })
    }

    /// Whether the clocks differ by too much for limits, tokens and closing times to be right.
    fn clocks_differ(&self) -> bool {
        self.clock_offset
            .is_some_and(|offset| offset.abs() > CLOCK_TOLERANCE.as_secs_f64())
    }
}

impl Readiness {
    pub fn new(db: Db, clock: Clock) -> Readiness {
        Readiness {
            db,
            clock,
            latest: Arc::default(),
        }
    }

    /// A report that is at most five seconds old. Concurrent calls share one check.
    pub async fn report(&self) -> Report {
        if self.db.reader.0.pools().is_none() {
            // The link has logged it already.
            return Report::UNREACHABLE;
        }
        let mut latest = self.latest.clone().lock_owned().await;
        if let Some(latest) = &*latest
            && latest.ended.elapsed() < INTERVAL
        {
            return latest.report;
        }
        let this = self.clone();
        // In a task of its own, so that a client that disconnects does not cancel the write.
        let checked = tokio::spawn(async move {
            let report = this.check().await;
            log_changes(latest.map(|latest| latest.report), report);
            *latest = Some(Latest {
                ended: Instant::now(),
                report,
            });
            report
        });
        checked.await.unwrap_or(Report::UNREACHABLE)
    }

    async fn check(&self) -> Report {
        let read = timeout(PATIENCE, self.read());
        let (schema, clock_offset) = match read.await {
            Ok(Ok((schema, offset))) => (schema, Some(offset)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the schema or the clock of the database cannot be read");
                return Report::UNREACHABLE;
            }
            Err(_) => return Report::UNREACHABLE,
        };
        let written = self.db.write(|transaction| async move {
            transaction.exclude(LOCK).await.map_err(Failure::from)
        });
        let written = written.await;
        if let Err(failure) = &written {
            let cause = failure.source.as_deref();
            tracing::debug!(%failure, cause, "the database cannot be written to");
        }
        Report {
            writable: written.is_ok(),
            schema,
            clock_offset,
        }
    }

    /// Whether the schema is complete, and by how many seconds the database's clock is ahead.
    async fn read(&self) -> Result<(bool, f64), DbErr> {
        // Directly from the pools, so as not to wait while no host is connected.
        let reader = self.db.reader.0.pools().ok_or(link::Disconnected)?.reader;
        let names = "SELECT version FROM seaql_migrations";
        let rows = reader.query_all_raw(statement(&reader, names, [])).await?;
        let applied = rows.iter().map(|row| row.try_get_by_index::<String>(0));
        let applied = applied.collect::<Result<Vec<_>, _>>()?;
        let known = Migrator::migrations();
        let schema = known
            .iter()
            .all(|migration| applied.iter().any(|name| name == migration.name()));

        let before = self.clock.now();
        let asked = format!("SELECT {}", now_micros(&reader));
        let row = reader.query_one_raw(statement(&reader, &asked, [])).await?;
        let after = self.clock.now();
        let theirs = row.map(|row| row.try_get_by_index(0)).transpose()?;
        let Time(ours) = before.after(after.since(before) / 2);
        let offset = theirs.unwrap_or(ours).saturating_sub(ours);
        Ok((schema, offset as f64 / 1e6))
    }
}

/// Logs what has changed since the last report.
fn log_changes(before: Option<Report>, now: Report) {
    let was = |what: fn(&Report) -> bool, otherwise| before.as_ref().map_or(otherwise, what);
    if was(|report| report.writable, true) && !now.writable {
        tracing::error!("not ready: the database cannot be written to");
    }
    if was(|report| report.schema, true) && !now.schema && now != Report::UNREACHABLE {
        tracing::error!(
            "not ready: the database lacks changes that this version needs; run `polls migrate up`"
        );
    }
    if !was(Report::is_ready, true) && now.is_ready() {
        tracing::info!("ready again");
    }
    match (was(Report::clocks_differ, false), now.clocks_differ()) {
        (false, true) => tracing::warn!(
            seconds = now.clock_offset,
            "the clocks of the database and of this machine differ (seconds by which the database \
             is ahead): synchronize both by NTP"
        ),
        (true, false) if now.clock_offset.is_some() => {
            tracing::info!("the clocks of the database and of this machine agree again");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::tests::Sink;

    #[test]
    fn a_change_is_logged_once() {
        let fine = Report {
            writable: true,
            schema: true,
            clock_offset: Some(0.1),
        };
        let off = Report {
            clock_offset: Some(-5.1),
            ..fine
        };
        let full = Report {
            writable: false,
            ..fine
        };
        let logged = |before, now| {
            let (sink, _guard) = Sink::json();
            log_changes(before, now);
            let lines = sink.lines().into_iter();
            let told = lines.map(|line| (line["level"].clone(), line["message"].clone()));
            let told: Vec<_> = told.collect();
            let text = serde_json::json!(told).to_string();
            (told.len(), text)
        };
        assert_eq!(logged(None, fine).0, 0);
        for before in [None, Some(fine)] {
            let (lines, text) = logged(before, off);
            assert!(lines == 1 && text.contains("clock"), "{text}");
            let (lines, text) = logged(before, full);
            assert!(
                lines == 1 && text.contains("cannot be written to"),
                "{text}"
            );
        }
        assert_eq!(logged(Some(off), off).0, 0);
        assert_eq!(logged(Some(full), full).0, 0);
        assert!(logged(Some(off), fine).1.contains("agree again"));
        assert!(logged(Some(full), fine).1.contains("ready again"));
    }
}
