//! A semaphore that is fair between networks: a network with many requests waits for its own
//! requests, and does not delay those of other networks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use crate::network::Network;

/// Permits for work that only a few may do at once. Networks that wait take turns, one permit each.
#[derive(Debug)]
pub struct FairSemaphore {
    state: Mutex<State>,
    /// How many requests of one network may wait.
    queue: usize,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// The networks that wait, the next one first. None of them has an empty queue.
    networks: VecDeque<(Network, Waiters)>,
}

type Waiters = VecDeque<oneshot::Sender<Permit>>;

/// A permit, released on drop.
#[derive(Debug)]
pub struct Permit(Option<Arc<FairSemaphore>>);

impl FairSemaphore {
    /// `permits` may work at once; of each network at most `queue` requests wait.
    pub fn new(permits: usize, queue: usize) -> Arc<FairSemaphore> {
        Arc::new(FairSemaphore {
            state: Mutex::new(State {
                free: permits,
                networks: VecDeque::new(),
            }),
            queue,
        })
    }

    /// Waits for a permit. None after `patience`, and at once where too many requests of this
    /// network wait already.
    pub async fn acquire(self: &Arc<Self>, network: Network, patience: Duration) -> Option<Permit> {
        let turn = {
            let mut state = self.state();
            if state.free > 0 {
                state.free -= 1;
                return Some(Permit(Some(self.clone())));
            }
            state.wait(network, self.queue)?
        };
        tokio::time::timeout(patience, turn).await.ok()?.ok()
    }

    /// Gives a permit to the next waiter.
    fn release(self: &Arc<Self>) {
        loop {
            let Some(waiter) = self.state().next() else {
                return;
            };
            match waiter.send(Permit(Some(self.clone()))) {
                Ok(()) => return,
                // The request was given up while it waited. Its permit goes to the next one.
                Err(mut permit) => drop(permit.0.take()),
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    fn wait(&mut self, network: Network, queue: usize) -> Option<oneshot::Receiver<Permit>> {
        // One client may have all networks of a site, so the site waits as one network.
        let network = network.site();
        let (waiter, turn) = oneshot::channel();
        match self.networks.iter_mut().find(|(of, _)| *of == network) {
            None => self.networks.push_back((network, VecDeque::from([waiter]))),
            Some((_, waiters)) => {
                if waiters.len() >= queue {
                    waiters.retain(|waiter| !waiter.is_closed());
                }
                if waiters.len() >= queue {
                    return None;
                }
                waiters.push_back(waiter);
            }
        }
        Some(turn)
    }

    /// The next waiter; without one, the permit becomes free.
    fn next(&mut self) -> Option<oneshot::Sender<Permit>> {
        while let Some((network, mut waiters)) = self.networks.pop_front() {
            let next = waiters.pop_front();
            if !waiters.is_empty() {
                self.networks.push_back((network, waiters));
            }
            if next.is_some() {
                return next;
            }
        }
        self.free += 1;
        None
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(semaphore) = self.0.take() {
            semaphore.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn network(last: u8) -> Network {
        Network::of(Some([192, 0, 2, last].into()))
    }

    #[tokio::test]
    async fn networks_take_turns() {
        let semaphore = FairSemaphore::new(1, 10);
        let held = semaphore.acquire(network(1), LONG).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for last in [1, 1, 1, 2, 3, 2] {
            let (semaphore, order) = (semaphore.clone(), order.clone());
            let mut turn = Box::pin(async move {
                let permit = semaphore.acquire(network(last), LONG).await.unwrap();
                order.lock().push(last);
                drop(permit);
            });
            // Polled once, so that they stand in the queue in this order.
            assert!(turn.as_mut().now_or_never().is_none());
            waiting.push(turn);
        }
        drop(held);
        futures_util::future::join_all(waiting).await;
        assert_eq!(*order.lock(), [1, 2, 3, 1, 2, 1]);
        assert_eq!(semaphore.state().free, 1);
    }

    #[tokio::test]
    async fn whoever_gives_up_loses_no_permit() {
        let semaphore = FairSemaphore::new(1, 10);
        let held = semaphore.acquire(network(1), LONG).await.unwrap();
        let mut given_up = Box::pin(semaphore.acquire(network(2), LONG));
        assert!(given_up.as_mut().now_or_never().is_none());
        drop(given_up);
        let late = semaphore.acquire(network(3), Duration::ZERO).await;
        assert!(late.is_none());
        drop(held);
        assert!(semaphore.acquire(network(4), LONG).await.is_some());
        assert_eq!(semaphore.state().free, 1);
    }

    #[tokio::test]
    async fn a_network_with_a_full_queue_is_refused_at_once() {
        let semaphore = FairSemaphore::new(0, 2);
        let wait = |last| Box::pin(semaphore.acquire(network(last), LONG));
        let (mut first, mut second, other) = (wait(1), wait(1), wait(2));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(wait(1).now_or_never().unwrap().is_none());
        assert!(other.now_or_never().is_none());
        // A request that was given up makes room.
        drop(first);
        assert!(wait(1).now_or_never().is_none());
    }
}
