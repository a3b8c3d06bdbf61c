//! Tokens and sessions over HTTP.

mod form;
mod objects;
mod sessions;
mod token;
mod well_known;

pub use sessions::SessionsApi;
pub use token::TokensApi;
pub use well_known::add_well_known;
