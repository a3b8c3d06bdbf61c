//! The tests of the whole server, over real HTTP.

mod crashes;
mod processes;
mod races;
mod story;
mod support;
