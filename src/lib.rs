//! The polls server.

pub mod cli;
pub mod clock;
pub mod config;
pub mod failure;
