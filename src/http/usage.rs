//! Limited resources, counted for each network and in total, so that no client exhausts them.
//!
//! A client may have many IPv6 networks: those of one /48 together get twice what one may have.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::config;
use crate::network::Network;

/// How many networks are remembered before those that use nothing are looked for.
const PRUNE_FROM: usize = 1024;

/// A limited resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Connections, one each.
    Connections,
    /// Requests that are being answered and changes that are under way, one each.
    Requests,
    /// Bytes of request bodies that have not arrived completely.
    Received,
    /// Bytes of answers that clients have not read yet.
    Unsent,
}

const RESOURCES: usize = 4;

/// The bytes that one body counts before any of it has arrived: what waiting for it costs.
pub const WAITING_BODY: usize = 4 * 1024;

/// The limits of a resource.
#[derive(Debug, Clone, Copy)]
struct Limit {
    in_sum: usize,
    per_network: usize,
}

/// The use of all resources by all networks.
#[derive(Debug)]
pub struct Usage {
    limits: [Limit; RESOURCES],
    in_sum: [AtomicUsize; RESOURCES],
    clients: Mutex<Clients>,
}

/// How many times the share of one network a site with several of them gets.
const SITE: usize = 2;

#[derive(Debug)]
struct Clients {
    by_network: HashMap<Network, Arc<Client>>,
    prune_at: usize,
}

/// The use of all resources by one network.
#[derive(Debug)]
pub struct Client {
    usage: Arc<Usage>,
    used: [AtomicUsize; RESOURCES],
    /// That of the site, where the network is a part of one.
    site: Option<Arc<Client>>,
}

/// A taken amount of a resource, released on drop.
#[derive(Debug)]
pub struct Held {
    client: Arc<Client>,
    resource: Resource,
    amount: usize,
}

impl Usage {
    pub fn new(config: &config::Http) -> Arc<Usage> {
        let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
        let limit = |in_sum, per_network| Limit {
            in_sum,
            per_network,
        };
        let limits = [
            // A connection that is one too many in sum waits in the system's queue.
            limit(usize::MAX, config.max_connections_per_address as usize),
            limit(
                config.max_requests as usize,
                config.max_requests_per_address as usize,
            ),
            limit(
                bytes(config.max_received),
                bytes(config.max_received_per_address),
            ),
            limit(
                bytes(config.max_unsent),
                bytes(config.max_unsent_per_address),
            ),
        ];
        Arc::new(Usage {
            limits,
            in_sum: Default::default(),
            clients: Mutex::new(Clients {
                by_network: HashMap::new(),
                prune_at: PRUNE_FROM,
            }),
        })
    }

    /// The count of one network.
    pub fn client(self: &Arc<Self>, network: Network) -> Arc<Client> {
        let mut clients = self.clients.lock();
        if let Some(client) = clients.by_network.get(&network) {
            return client.clone();
        }
        clients.prune();
        let site = network.site();
        let site = (site != network).then(|| match clients.by_network.get(&site) {
            Some(client) => client.clone(),
            None => clients.add(self, site, None),
        });
        clients.add(self, network, site)
    }
}

impl Clients {
    fn add(
        &mut self,
        usage: &Arc<Usage>,
        network: Network,
        site: Option<Arc<Client>>,
    ) -> Arc<Client> {
        let client = Arc::new(Client {
            usage: usage.clone(),
            used: Default::default(),
            site,
        });
        self.by_network.insert(network, client.clone());
        client
    }

    /// Forgets the networks that hold nothing. (What they hold refers to them.)
    fn prune(&mut self) {
        if self.by_network.len() >= self.prune_at {
            self.by_network
                .retain(|_, client| Arc::strong_count(client) > 1);
            self.prune_at = PRUNE_FROM.max(2 * self.by_network.len());
        }
    }
}

impl Client {
    /// Takes some of a resource. None where the network, or all of them together, would hold more
    /// than there is.
    pub fn take(self: &Arc<Self>, resource: Resource, amount: usize) -> Option<Held> {
        let mut held = Held {
            client: self.clone(),
            resource,
            amount: 0,
        };
        held.grow(amount).then_some(held)
    }

    /// The counters: of the network, of its site, and of all networks.
    fn counters(&self, resource: Resource) -> impl Iterator<Item = (&AtomicUsize, usize)> {
        let index = resource as usize;
        let limit = self.usage.limits[index];
        let own = (&self.used[index], limit.per_network);
        let site = self.site.as_ref().map(|site| {
            let most = limit.per_network.saturating_mul(SITE);
            (&site.used[index], most)
        });
        let all = (&self.usage.in_sum[index], limit.in_sum);
        [Some(own), site, Some(all)].into_iter().flatten()
    }
}

impl Held {
    /// Takes more of the same. False, and nothing is taken, where that would be too much.
    pub fn grow(&mut self, amount: usize) -> bool {
        let counters = || self.client.counters(self.resource);
        let full = counters().position(|counter| !add(counter, amount));
        if let Some(full) = full {
            for (counter, _) in counters().take(full) {
                counter.fetch_sub(amount, Ordering::Relaxed);
            }
            return false;
        }
        self.amount += amount;
        true
    }

    /// Takes more of the resource beyond any limit: for what has been received already.
    pub fn grow_anyway(&mut self, amount: usize) {
        for (counter, _) in self.client.counters(self.resource) {
            counter.fetch_add(amount, Ordering::Relaxed);
        }
        self.amount += amount;
    }

    /// Splits off an amount that is released separately.
    pub fn split(&mut self, amount: usize) -> Held {
        let amount = amount.min(self.amount);
        self.amount -= amount;
        Held {
            client: self.client.clone(),
            resource: self.resource,
            amount,
        }
    }
}

fn add((counter, limit): (&AtomicUsize, usize), amount: usize) -> bool {
    let before = counter.fetch_add(amount, Ordering::Relaxed);
    let fits = before.saturating_add(amount) <= limit;
    if !fits {
        counter.fetch_sub(amount, Ordering::Relaxed);
    }
    fits
}

impl Drop for Held {
    fn drop(&mut self) {
        for (counter, _) in self.client.counters(self.resource) {
            counter.fetch_sub(self.amount, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn usage() -> Arc<Usage> {
        let mut http = config::load(&Sources::default()).unwrap().config.http;
        (http.max_unsent, http.max_unsent_per_address) = (100, 60);
        Usage::new(&http)
    }

    fn network(last: u8) -> Network {
        Network::of(Some([192, 0, 2, last].into()))
    }

    #[test]
    fn one_network_gets_its_share_and_all_get_the_sum() {
        let usage = usage();
        let take = |last, amount| usage.client(network(last)).take(Resource::Unsent, amount);
        let first = take(1, 60).unwrap();
        assert!(take(1, 1).is_none());
        let mut second = take(2, 30).unwrap();
        assert!(take(3, 11).is_none());
        assert!(!second.grow(11) && second.grow(10));
        drop(first);
        let part = second.split(25);
        drop(second);
        assert!(take(2, 36).is_none());
        drop(part);
        assert!(take(2, 60).is_some());
        let sums = usage.in_sum.iter().map(|sum| sum.load(Ordering::Relaxed));
        assert_eq!(sums.sum::<usize>(), 0);
    }

    #[test]
    fn the_networks_of_a_site_share_twice_what_one_has() {
        let mut http = config::load(&Sources::default()).unwrap().config.http;
        http.max_unsent_per_address = 10;
        let usage = Usage::new(&http);
        let take = |text: &str| {
            let network = Network::of(Some(text.parse().unwrap()));
            usage.client(network).take(Resource::Unsent, 10)
        };
        let held = [take("2001:db8:1:1::1"), take("2001:db8:1:2::1")];
        assert!(held.iter().all(Option::is_some));
        assert!(take("2001:db8:1:3::1").is_none());
        assert!(take("2001:db8:2:1::1").is_some());
        drop(held);
        assert!(take("2001:db8:1:3::1").is_some());
    }

    #[test]
    fn networks_that_hold_nothing_are_forgotten() {
        let usage = usage();
        let held = usage.client(network(1)).take(Resource::Connections, 1);
        for number in 0..u32::try_from(PRUNE_FROM).unwrap() + 5 {
            let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 + number);
            usage.client(Network::of(Some(address.into())));
        }
        assert!(usage.clients.lock().by_network.len() < 20);
        let again = usage.client(network(1));
        assert_eq!(again.used[0].load(Ordering::Relaxed), 1);
        drop(held);
    }
}
