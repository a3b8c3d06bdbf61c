//! The tests of the whole server, over real HTTP.

mod commands;
mod crashes;
mod openapi;
mod processes;
mod races;
mod schema;
mod story;
mod support;
