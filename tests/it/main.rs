//! The tests of the whole server, over real HTTP.

mod accounts;
mod ballots;
mod choices;
mod errors;
mod openapi;
mod questions;
mod schema;
mod story;
mod support;
mod tokens;
mod visibility;
