pub mod session;
pub mod refresh_token;
pub mod revocation;
pub mod signing_key;
pub mod guard;
