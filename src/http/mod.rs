//! HTTP: what every route has in common.

pub mod body;
pub mod client;
pub mod conditional;
pub mod page;
pub mod patch;
pub mod problem;
pub mod refused;
pub mod reply;
pub mod schema;
