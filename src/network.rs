//! The network address that a request comes from, as limits count it.

use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address or an IPv6 /64. Requests without an address, such as those that reach a unix
/// socket without `X-Forwarded-For`, share one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: Option<IpAddr>,
    /// Whether it is that of a proxy, which does not say whom it forwards.
    of_proxy: bool,
}

impl Network {
    /// The network of an address. One IPv6 client has a whole /64 to choose addresses from, so a
    /// /64 counts as one client.
    pub fn of(address: Option<IpAddr>) -> Network {
        let address = address.map(|address| address.to_canonical());
        let address = address.map(|address| match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        });
        Network {
            address,
            of_proxy: false,
        }
    }

    /// The network of a proxy at this address, which does not say whom it forwards: its clients share
    /// this network.
    pub fn of_proxy(address: IpAddr) -> Network {
        Network {
            of_proxy: true,
            ..Network::of(Some(address))
        }
    }

    /// The network that this one is a part of: the /48 of an IPv6 /64, of which one client may have
    /// all. An IPv4 address is a part of itself alone.
    pub fn site(self) -> Network {
        match self.address {
            Some(IpAddr::V6(v6)) => {
                let bits = v6.to_bits() & (u128::MAX << 80);
                Network {
                    address: Some(IpAddr::V6(Ipv6Addr::from_bits(bits))),
                    ..self
                }
            }
            _ => self,
        }
    }

    /// The network as a number: that of an IPv6 address, to which each IPv4 address maps; 0 where
    /// there is no address.
    pub fn bits(self) -> u128 {
        match self.address {
            None => 0,
            Some(IpAddr::V4(v4)) => v4.to_ipv6_mapped().to_bits(),
            Some(IpAddr::V6(v6)) => v6.to_bits(),
        }
    }

    /// Whether this is the network of the client: not where the request came without an address, or
    /// through a proxy that does not say whom it forwards.
    pub fn is_known(self) -> bool {
        self.address.is_some() && !self.of_proxy
    }

    /// The network as bytes: 4 of IPv4, 16 of IPv6, none where there is no address.
    pub fn key(self) -> Vec<u8> {
        match self.address {
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
