//! Where a server listens.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// A TCP port or a unix socket. Written `127.0.0.1:9180`, `[::1]:9180` or `/run/polls/1.sock`;
/// displayed as `http://…` or `unix:…`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl TryFrom<String> for Address {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Address, &'static str> {
        if text.contains('/') {
            return Ok(Address::Unix(text.into()));
        }
        text.parse()
            .map(Address::Tcp)
            .map_err(|_| "This is neither an IP address with a port nor the path of a unix socket.")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "http://{address}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
