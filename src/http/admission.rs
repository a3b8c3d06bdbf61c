//! Which clients may connect, and how much each of them may use.

use std::sync::Arc;

use super::client::TrustedProxies;
use super::usage::Usage;
use crate::config::Config;

/// What is counted of each client, and which proxies may name the client.
#[derive(Clone)]
pub struct Admission {
    pub usage: Arc<Usage>,
    pub proxies: TrustedProxies,
}

impl Admission {
    pub fn new(config: &Config) -> Admission {
        Admission {
            usage: Usage::new(&config.http),
            proxies: TrustedProxies(config.server.trusted_proxies.clone()),
        }
    }
}
