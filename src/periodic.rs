//! Work that is done again and again for as long as the server runs.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

/// Does `work` at once, and again each time `interval` has passed. If the work takes longer than
/// that, the next time is an interval after its end. Never returns; to be dropped.
pub async fn every<F: Future<Output = ()>>(interval: Duration, mut work: impl FnMut() -> F) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        work().await;
    }
}

/// The same for work that may fail: each failure is logged with the `warning`, and the work is tried
/// again at its next time.
pub async fn try_every<F, E>(interval: Duration, warning: &str, work: impl Fn() -> F)
where
    F: Future<Output = Result<(), E>>,
    E: Debug,
{
    let work = &work;
    let logged = move || async move {
        if let Err(error) = work().await {
            tracing::warn!(?error, "{warning}; trying again");
        }
    };
    every(interval, logged).await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn work_goes_on_after_it_has_failed() {
        let (attempts, done) = (AtomicU32::new(0), Notify::new());
        let work = try_every(Duration::from_millis(1), "as the test wants it", || async {
            match attempts.fetch_add(1, Ordering::SeqCst) {
                0 | 1 => return Err("no"),
                4 => done.notify_one(),
                _ => {}
            }
            Ok(())
        });
        tokio::select! {
            () = work => panic!("it has ended"),
            () = done.notified() => {}
        }
    }
}
