//! Ends the process if its runtime hangs, so that the supervisor starts a new one.
//!
//! If all threads of the runtime are blocked, clients wait until they time out, while the process
//! looks alive from outside. So a task on the runtime increments a counter, and a separate thread
//! checks that it grows. Only the runtime is checked: a database that cannot be reached must not
//! end the process. Each successful check also notifies systemd (`WatchdogSec=`), which can kill
//! the process even if all its threads are stopped, including this one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use std::{io, process, thread};

use sd_notify::NotifyState;

use crate::periodic::every;

/// How long the runtime may hang, unless systemd sets another time.
const PATIENCE: Duration = Duration::from_secs(30);

/// The number of checks in that time.
const CHECKS: u32 = 10;

/// How long writing the last line to the log may take. The log may be what blocks all threads.
const LAST_LINE: Duration = Duration::from_secs(1);

/// Watches the current runtime until the process ends.
///
/// # Errors
///
/// If no thread can be started.
pub fn start() -> io::Result<()> {
    let systemd = sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero());
    let patience = systemd.unwrap_or(PATIENCE);
    let interval = patience / CHECKS;
    let beats = Arc::new(AtomicU64::new(0));
    tokio::spawn(beat(beats.clone(), interval));
    if systemd.is_some() {
        let beats = beats.clone();
        // In a thread of its own, because notifying systemd may block.
        spawn("watchdog-systemd", move || {
            watch(&beats, interval, notify_systemd);
        })?;
    }
    spawn("watchdog", move || {
        watch(&beats, interval, || {});
        end(patience);
    })
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(work).map(drop)
}

fn notify_systemd() {
    if let Err(error) = sd_notify::notify(&[NotifyState::Watchdog]) {
        tracing::debug!(%error, "the watchdog of systemd could not be notified");
    }
}

/// Increments the counter. Never returns.
async fn beat(beats: Arc<AtomicU64>, interval: Duration) {
    every(interval, || async {
        beats.fetch_add(1, Ordering::Relaxed);
    })
    .await;
}

/// Checks the counter regularly, and returns when it has not grown in [`CHECKS`] checks in a row.
/// Checks are counted instead of time, so that a process that was suspended for an hour goes on.
fn watch(beats: &AtomicU64, interval: Duration, mut alive: impl FnMut()) {
    let (mut last, mut missed) = (0, 0);
    while missed < CHECKS {
        thread::sleep(interval);
        let now = beats.load(Ordering::Relaxed);
        if now == last {
            missed += 1;
        } else {
            (last, missed) = (now, 0);
            alive();
        }
    }
}

fn end(patience: Duration) {
    let (logged, wait) = mpsc::channel();
    thread::spawn(move || {
        let seconds = patience.as_secs_f64();
        tracing::error!(seconds, "the runtime hangs: the process exits");
        // This fails if the wait below has timed out.
        let _ = logged.send(());
    });
    let _ = wait.recv_timeout(LAST_LINE);
    process::exit(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_whose_threads_are_all_blocked_stands_still() {
        let interval = Duration::from_millis(5);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .build()
            .unwrap();
        let beats = Arc::new(AtomicU64::new(0));
        runtime.spawn(beat(beats.clone(), interval));
        let mut releases = Vec::new();
        let mut seen = 0;
        let alive = || {
            seen += 1;
            // One blocked thread does not stop the other.
            if seen == 20 || seen == 40 {
                let (release, released) = mpsc::channel::<()>();
                releases.push(release);
                runtime.spawn(async move { released.recv() });
            }
        };
        watch(&beats, interval, alive);
        assert!(seen >= 40, "{seen}");
        drop(releases);
    }
}
