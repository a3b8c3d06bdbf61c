//! Who is asking.

use std::net::IpAddr;

/// The client's address, as a request extension; none where a unix socket's peer does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddr(pub Option<IpAddr>);
