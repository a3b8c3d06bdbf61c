//! What the program promises, tested from outside.

mod openapi;
mod schema;
