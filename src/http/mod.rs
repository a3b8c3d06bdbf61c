//! What is the same for every HTTP call.
//!
//! [`serve()`] accepts connections. The [`Stack`] takes each request through the steps that its
//! method `answer` lists, and calls a handler only with requests that are worth handling. Every
//! failure is answered as a [`problem`].

pub mod admission;
pub mod asset;
pub mod attachment;
pub mod body;
pub mod body_limit;
pub mod client;
pub mod conditional;
pub mod connection;
pub mod cors;
pub mod extract;
pub mod health;
pub mod listener;
pub mod metrics;
pub mod policy;
pub mod problem;
pub mod rates;
pub mod refused;
pub mod reply;
pub mod request_id;
pub mod routes;
pub mod schema;
pub mod security_txt;
pub mod serve;
pub mod signals;
pub mod site;
pub mod spec;
pub mod split;
pub mod stack;
pub mod usage;
pub mod websocket;

mod access;
mod activity;
mod compress;
mod finish;
mod handle;
mod host;
mod linger;
mod negotiate;
mod unsent;
mod vary;

use bytes::Bytes;

pub use self::admission::Admission;
pub use self::connection::Connection;
pub use self::listener::{Address, Bound, Listener};
pub use self::metrics::Metrics;
pub use self::request_id::RequestId;
pub use self::routes::{Operation, Routes};
pub use self::serve::serve;
pub use self::signals::stop_on_signals;
pub use self::site::Site;
pub use self::split::Split;
pub use self::stack::Stack;

/// Where the API begins.
pub const API: &str = "/api/v1";

type BoxBody = http_body_util::combinators::BoxBody<Bytes, std::io::Error>;

#[cfg(test)]
mod tests;
