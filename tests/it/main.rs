//! The tests of the whole server, over real HTTP.

mod accounts;
mod openapi;
mod schema;
mod story;
mod support;
mod tokens;
