//! The network address that a request comes from, as limits count it.

use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address or an IPv6 /64. Requests without an address, such as those that reach a unix
/// socket without `X-Forwarded-For`, share one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(Option<IpAddr>);

impl Network {
    /// The network of an address. One IPv6 client has a whole /64 to choose addresses from, so a
    /// /64 counts as one client.
    pub fn of(address: Option<IpAddr>) -> Network {
        let address = address.map(|address| address.to_canonical());
        Network(address.map(|address| match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        }))
    }

    /// The network that this one is a part of: the /48 of an IPv6 /64, of which one client may have
    /// all. An IPv4 address is a part of itself alone.
    pub fn site(self) -> Network {
        match self.0 {
            Some(IpAddr::V6(v6)) => {
                let bits = v6.to_bits() & (u128::MAX << 80);
                Network(Some(IpAddr::V6(Ipv6Addr::from_bits(bits))))
            }
            _ => self,
        }
    }

    /// The network as a number: that of an IPv6 address, to which each IPv4 address maps; 0 where
    /// there is no address.
    pub fn bits(self) -> u128 {
        match self.0 {
            None => 0,
            Some(IpAddr::V4(v4)) => v4.to_ipv6_mapped().to_bits(),
            Some(IpAddr::V6(v6)) => v6.to_bits(),
        }
    }

    /// Whether the request came from an address at all.
    pub fn is_known(self) -> bool {
        self.0.is_some()
    }

    /// The network as bytes: 4 of IPv4, 16 of IPv6, none where there is no address.
    pub fn key(self) -> Vec<u8> {
        match self.0 {
            None => Vec::new(),
            Some(IpAddr::V4(v4)) => v4.octets().to_vec(),
            Some(IpAddr::V6(v6)) => v6.octets().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_counts_as_one() {
        let network = |text: &str| Network::of(Some(text.parse().unwrap()));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:2"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        let site = |text: &str| network(text).site();
        assert_eq!(site("2001:db8:1:1::1"), site("2001:db8:1:ffff::1"));
        assert_ne!(site("2001:db8:1::1"), site("2001:db8:2::1"));
        assert_eq!(site("192.0.2.1"), network("192.0.2.1"));
    }
}
