//! What tests share: servers, users, databases, browsers, proxies.

use std::time::Duration;

mod answer;
pub mod app;
pub mod browser;
pub mod certificate;
pub mod contract;
pub mod crowd;
pub mod database;
pub mod engine;
pub mod leaks;
pub mod live;
pub mod nginx;
pub mod patroni;
pub mod process;
pub mod redis;
pub mod require;
pub mod schema;
pub mod smtp;
pub mod stub;

pub use answer::Answer;
pub use app::{PASSWORD, Question, TestApp, User};
pub use browser::Browser;
pub use process::{Server, polls};
pub use smtp::Smtp;

/// Waits until the condition is true.
pub async fn eventually(is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), waiting);
    waited.await.expect("it comes about");
}

/// The amount of work of a test: `brief`, or `full` with `POLLS_TEST_FULL=1`.
pub fn amount(brief: usize, full: usize) -> usize {
    match std::env::var("POLLS_TEST_FULL").as_deref() {
        Ok("1") => full,
        _ => brief,
    }
}
