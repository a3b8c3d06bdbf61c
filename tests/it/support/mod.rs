//! A server for each test, and people to call it.

mod answer;
pub mod app;
pub mod contract;
pub mod crowd;
pub mod database;
pub mod engine;
pub mod nginx;
pub mod process;
pub mod require;
pub mod schema;
pub mod stub;

pub use answer::Answer;
pub use app::{PASSWORD, Question, TestApp, User};
pub use process::{Server, polls};

/// How much a test does: briefly in everyday runs, at full length with `POLLS_TEST_FULL=1`.
pub fn amount(brief: usize, full: usize) -> usize {
    match std::env::var("POLLS_TEST_FULL").as_deref() {
        Ok("1") => full,
        _ => brief,
    }
}
