//! The polls server.

pub mod clock;
pub mod config;
pub mod failure;
