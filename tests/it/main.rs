//! The tests of the whole server, over real HTTP.

mod story;
mod support;
