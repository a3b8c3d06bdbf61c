//! What is shown of questions: their numbers, lists and pictures, and who may see the numbers.
//!
//! The way of a read: [`Views`] takes the request, [`shared`] joins it with others that ask at the
//! same time, [`list`] finds the questions of a page, [`poll`] reads questions with their numbers
//! from the database, and a [`View`] is what was read together with the answers made from it. Where
//! sums are not enough for an outcome, `counts` counts the ballots. [`export`] writes all ballots into a
//! file.

pub mod api;
mod counts;
mod explanation;
pub mod export;
mod facet;
pub mod list;
pub mod objects;
mod outcome;
mod pages;
mod picture;
pub mod poll;
mod qr_code;
pub mod shared;
mod view;
mod views;
mod visibility;
pub mod words;

pub use outcome::{BallotResults, ChoiceResult, Results};
pub use pages::PageQuery;
pub use poll::Poll;
pub use view::View;
pub use views::Views;
pub use visibility::{are_visible, depends_on_ballot, hidden};
