//! The tests of the whole server, over real HTTP.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod accounts;
mod anonymous;
mod backups;
mod ballots;
mod boundaries;
mod breaking;
mod choices;
mod commands;
mod cors;
mod crashes;
mod data_protection;
mod deploy;
mod encryption;
mod engines;
mod errors;
mod exports;
mod guests;
mod hostile;
mod http;
mod invitations;
mod limits;
mod live;
mod load;
mod mail;
mod matrix;
mod methods;
mod metrics;
mod migrations;
mod openapi;
mod outages;
mod page;
mod parity;
mod plans;
mod processes;
mod questions;
mod quotas;
mod races;
mod readiness;
mod readme;
mod reads;
mod roll;
mod share;
mod story;
mod support;
mod tidy;
mod tokens;
mod unlisted;
mod visibility;
mod web;
