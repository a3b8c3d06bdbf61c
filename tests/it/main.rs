//! The tests of the whole server, over real HTTP.

mod accounts;
mod ballots;
mod boundaries;
mod choices;
mod errors;
mod http;
mod matrix;
mod openapi;
mod questions;
mod schema;
mod story;
mod support;
mod tokens;
mod visibility;
