//! The polls server.

pub mod cli;
pub mod clock;
pub mod config;
pub mod db;
pub mod failure;
pub mod text;
pub mod http;
pub mod users;
pub mod auth;
pub mod questions;
pub mod tallies;
pub mod ballots;
