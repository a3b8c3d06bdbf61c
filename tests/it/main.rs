//! The tests of the whole server, over real HTTP.

mod openapi;
mod schema;
mod story;
mod support;
