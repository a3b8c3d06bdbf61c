//! The polls server.

pub mod app;
pub mod auth;
pub mod ballots;
pub mod cli;
pub mod clock;
pub mod config;
pub mod db;
pub mod failure;
pub mod http;
pub mod questions;
pub mod tallies;
pub mod telemetry;
pub mod text;
pub mod users;
