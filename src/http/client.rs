//! The address of the client behind trusted proxies.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use poem::{Addr, Request};

use crate::network::Network;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddr {
    /// The client's address; none where a unix socket's peer does not say.
    pub address: Option<IpAddr>,
    /// Whether it is that of a trusted proxy, which does not name its client.
    of_proxy: bool,
}

impl ClientAddr {
    pub(super) fn network(self) -> Network {
        match self.address {
            Some(address) if self.of_proxy => Network::of_proxy(address),
            address => Network::of(address),
        }
    }
}

/// The networks of proxies whose `X-Forwarded-For` is trusted.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl TrustedProxies {
    pub(super) fn client(&self, request: &Request) -> ClientAddr {
        let (forwarded, peer) = match &**request.remote_addr() {
            Addr::SocketAddr(peer) => {
                let peer = peer.ip().to_canonical();
                if !self.trusts(peer) {
                    return ClientAddr {
                        address: Some(peer),
                        of_proxy: false,
                    };
                }
                (self.forwarded(request.headers()), Some(peer))
            }
            Addr::Unix(_) => (self.forwarded(request.headers()), None),
            Addr::Custom(..) => (None, None),
        };
        ClientAddr {
            address: forwarded.or(peer),
            of_proxy: forwarded.is_none(),
        }
    }

    /// The right-most address that is not a trusted proxy: clients can forge what is left of it.
    fn forwarded(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let mut nearest = None;
        for line in headers.get_all(X_FORWARDED_FOR).iter().rev() {
            // Byte by byte: what a client has put before the proxy's address may be no text.
            for hop in line.as_bytes().rsplit(|byte| *byte == b',') {
                let hop = std::str::from_utf8(hop).ok();
                let Some(hop) = hop.and_then(|hop| address(hop.trim())) else {
                    return nearest;
                };
                nearest = Some(hop);
                if !self.trusts(hop) {
                    return nearest;
                }
            }
        }
        nearest
    }

    /// Whether it is the address of a trusted proxy.
    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Some proxies add the port, and some write an IPv6 address in brackets without one.
fn address(hop: &str) -> Option<IpAddr> {
    let bracketed = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']'));
    if let Some(hop) = bracketed {
        let address = hop.parse::<Ipv6Addr>().ok()?;
        return Some(address.to_canonical());
    }
    hop.parse::<IpAddr>()
        .or_else(|_| hop.parse::<SocketAddr>().map(|address| address.ip()))
        .ok()
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn forwarded(lines: &[&str]) -> Option<String> {
        let proxies = TrustedProxies(vec![net("10.0.0.0/8"), net("192.0.2.7/32")]);
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, line.parse().unwrap());
        }
        proxies.forwarded(&headers).map(|ip| ip.to_string())
    }

    #[test]
    fn the_right_most_stranger_is_the_client() {
        let client = |lines: &[&str]| forwarded(lines).unwrap();
        assert_eq!(client(&["203.0.113.5"]), "203.0.113.5");
        assert_eq!(client(&["6.6.6.6, 203.0.113.5, 10.0.0.2"]), "203.0.113.5");
        assert_eq!(
            client(&["6.6.6.6", "203.0.113.5, 192.0.2.7"]),
            "203.0.113.5"
        );
        assert_eq!(client(&["[2001:db8::1]:4711, 10.0.0.2"]), "2001:db8::1");
        assert_eq!(client(&["[2001:db8::1], 10.0.0.2"]), "2001:db8::1");
        assert_eq!(client(&["[::ffff:203.0.113.5]"]), "203.0.113.5");
        assert_eq!(client(&["::ffff:203.0.113.5"]), "203.0.113.5");
        for bad in ["[203.0.113.5]", "[2001:db8::1", "2001:db8::1]", "[]"] {
            assert_eq!(forwarded(&[bad]), None, "{bad}");
        }
        assert_eq!(client(&["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
        assert_eq!(client(&["6.6.6.6, nonsense, 10.0.0.2"]), "10.0.0.2");
        let mut headers = HeaderMap::new();
        let line = http::HeaderValue::from_bytes(b"\xff, 203.0.113.5").unwrap();
        headers.append(X_FORWARDED_FOR, line);
        let client = TrustedProxies::default().forwarded(&headers);
        assert_eq!(client, Some("203.0.113.5".parse().unwrap()));
        assert_eq!(forwarded(&["unknown"]), None);
        assert_eq!(forwarded(&[]), None);
    }

    #[test]
    fn only_a_trusted_peer_is_believed() {
        let proxies = TrustedProxies(vec![net("10.0.0.0/8")]);
        let from = |peer: &str, forwarded: &str| {
            let mut parts = http::Request::builder()
                .header("x-forwarded-for", forwarded)
                .body(())
                .unwrap()
                .into_parts()
                .0;
            parts.method = http::Method::GET;
            let peer = Addr::SocketAddr(peer.parse().unwrap());
            let parts = poem::RequestParts::from((
                parts,
                Default::default(),
                poem::web::RemoteAddr(peer),
                http::uri::Scheme::HTTP,
            ));
            let client = proxies.client(&Request::from_parts(parts, poem::Body::empty()));
            let is_known = client.network().is_known();
            (client.address.unwrap().to_string(), is_known)
        };
        let named = |address: &str| (address.to_owned(), true);
        let client = "203.0.113.5";
        assert_eq!(from("198.51.100.1:5", client), named("198.51.100.1"));
        assert_eq!(from("10.1.2.3:5", client), named(client));
        assert_eq!(from("[::ffff:10.1.2.3]:5", client), named(client));
        assert_eq!(from("10.1.2.3:5", "10.9.9.9"), named("10.9.9.9"));
        assert_eq!(
            from("10.1.2.3:5", "unknown"),
            ("10.1.2.3".to_owned(), false)
        );
    }
}
