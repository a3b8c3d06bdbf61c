//! Tokens and sessions over HTTP.

mod form;
mod guests;
mod objects;
mod password_reset;
mod sessions;
mod token;
mod well_known;

pub use guests::GuestsApi;
pub use password_reset::PasswordResetApi;
pub use sessions::SessionsApi;
pub use token::TokensApi;
pub use well_known::add_well_known;
