//! Ends the process when its runtime does nothing any more, so that its supervisor starts another.
//!
//! A process whose threads all wait for something that never comes holds its clients until their
//! patience ends, and looks alive from outside. So a task on the runtime counts up, and a thread
//! of its own looks whether it does. Only the runtime counts: a database that is away must not end
//! the process. systemd is told each time (`WatchdogSec=`), which also helps where the whole
//! process is stopped, this thread included.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use std::{io, process, thread};

use sd_notify::NotifyState;

/// How long the runtime may stand still, where systemd says nothing else.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often is looked in that time.
const LOOKS: u32 = 10;

/// How long the last line of the log may take: the log may be what everybody waits for.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Watches the runtime that this is called on for as long as the process lives.
///
/// # Errors
///
/// The system gives no further thread.
pub fn start() -> io::Result<()> {
    let systemd = sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero());
    let patience = systemd.unwrap_or(PATIENCE);
    let interval = patience / LOOKS;
    let beats = Arc::new(AtomicU64::new(0));
    tokio::spawn(beat(beats.clone(), interval));
    if systemd.is_some() {
        let beats = beats.clone();
        // Apart from the other thread, since systemd may leave this one waiting.
        spawn("watchdog-systemd", move || {
            watch(&beats, interval, tell_systemd);
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

fn tell_systemd() {
    if let Err(error) = sd_notify::notify(&[NotifyState::Watchdog]) {
        tracing::debug!(%error, "NOTIFY_SOCKET cannot be told that the server is alive");
    }
}

/// Counts up. Never returns.
async fn beat(beats: Arc<AtomicU64>, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    loop {
        ticks.tick().await;
        beats.fetch_add(1, Ordering::Relaxed);
    }
}

/// Looks at the beats again and again, and returns when there was none at so many looks in a row.
/// Looks are counted, not time: a process that was stopped for an hour goes on.
fn watch(beats: &AtomicU64, interval: Duration, mut alive: impl FnMut()) {
    let (mut last, mut missed) = (0, 0);
    while missed < LOOKS {
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
    let (said, heard) = mpsc::channel();
    thread::spawn(move || {
        let seconds = patience.as_secs_f64();
        tracing::error!(seconds, "the runtime stands still: the process ends itself");
        // Nobody may be left to hear it.
        let _ = said.send(());
    });
    let _ = heard.recv_timeout(LAST_WORDS);
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
