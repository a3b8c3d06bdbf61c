//! The tests of the whole server, over real HTTP.

mod crashes;
mod processes;
mod races;
mod openapi;
mod schema;
mod story;
mod support;
