//! The polls server.

pub mod clock;
pub mod config;
pub mod failure;
pub mod http;
pub mod telemetry;
