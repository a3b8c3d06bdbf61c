//! Threads of low priority, for work that takes long.
//!
//! Hashing a password or compressing a large answer keeps a core busy for milliseconds. Done on
//! the runtime's threads, or with their priority, it would keep short requests waiting.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinError, spawn_blocking};

/// The niceness of these threads.
const NICENESS: i32 = 10;

/// Runs a future on one thread of low priority, which all such futures share.
///
/// # Errors
///
/// Where the future panics.
pub async fn spawn<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, JoinError> {
    match runtime() {
        Some(runtime) => runtime.spawn(work).await,
        None => tokio::spawn(work).await,
    }
}

/// Runs `work` on a thread of low priority. The caller limits how many run at once.
///
/// # Errors
///
/// Where the work panics.
pub async fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    match runtime() {
        Some(runtime) => runtime.spawn_blocking(work).await,
        None => spawn_blocking(work).await,
    }
}

/// How many threads may work at once so that one core stays free for short requests.
pub fn spare_cores() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.saturating_sub(1).max(1)
}

/// None if the system cannot start the threads.
fn runtime() -> Option<&'static Runtime> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    let start = || {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).enable_all();
        builder.thread_name("background").on_thread_start(|| {
            // On Linux this sets the priority of the calling thread. Failing is harmless.
            let _ = rustix::process::setpriority_process(None, NICENESS);
        });
        builder.build().ok()
    };
    RUNTIME.get_or_init(start).as_ref()
}
