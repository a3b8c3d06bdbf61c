//! Which requests are sent in which order.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;

use super::ballots::{Ballots, Cast, Voters};
use super::target::Template;

/// What all clients send.
#[derive(Debug)]
pub struct Plan {
    pub parts: Vec<Part>,
    /// The order of the parts, as indices; each client repeats it.
    cycle: Vec<usize>,
}

/// Requests of one kind, which are measured together.
#[derive(Debug)]
pub struct Part {
    pub name: &'static str,
    pub requests: Requests,
}

#[derive(Debug)]
pub enum Requests {
    /// One after the other, then again from the first.
    InTurn(Vec<Template>),
    Ballots(Ballots),
}

/// How far a client has come.
#[derive(Debug)]
pub struct Progress {
    client: usize,
    step: usize,
    /// How many requests of each part it has sent.
    turns: Vec<usize>,
    voters: Option<Voters>,
}

/// A request that has been sent.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    pub part: usize,
    pub body_length: u64,
    cast: Option<Cast>,
}

impl Progress {
    /// The client's number.
    pub fn client(&self) -> usize {
        self.client
    }
}

impl Plan {
    /// Requests of one kind only.
    pub fn of(part: Part) -> Plan {
        Plan::mixed(vec![(part, 1)])
    }

    /// Several kinds with the number of requests of each in a cycle, spread evenly.
    pub fn mixed(parts: Vec<(Part, usize)>) -> Plan {
        let (parts, shares): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let cycle = spread(&shares);
        Plan { parts, cycle }
    }

    /// The ballots among the requests.
    pub fn ballots(&self) -> Option<&Ballots> {
        self.parts.iter().find_map(|part| match &part.requests {
            Requests::Ballots(ballots) => Some(ballots),
            Requests::InTurn(_) => None,
        })
    }

    /// The starting points of the clients, spread over the cycle.
    pub fn begin(&self, clients: usize) -> Vec<Progress> {
        let progress = |client| Progress {
            client,
            step: client * self.cycle.len() / clients,
            turns: vec![0; self.parts.len()],
            voters: self
                .ballots()
                .map(|ballots| ballots.voters(client, clients)),
        };
        (0..clients).map(progress).collect()
    }

    /// A client's next request; None if there is nothing more to send.
    pub fn next(&self, progress: &mut Progress) -> Option<(Sent, Request<Full<Bytes>>)> {
        let part = self.cycle[progress.step % self.cycle.len()];
        progress.step += 1;
        let (cast, request) = match &self.parts[part].requests {
            Requests::InTurn(templates) => {
                let turn = progress.client + progress.turns[part];
                progress.turns[part] += 1;
                (None, templates[turn % templates.len()].request())
            }
            Requests::Ballots(ballots) => {
                let (cast, request) = ballots.next(progress.voters.as_mut()?)?;
                (Some(cast), request)
            }
        };
        let sent = Sent {
            part,
            body_length: hyper::body::Body::size_hint(request.body()).lower(),
            cast,
        };
        Some((sent, request))
    }

    /// Notes how a request was answered; `status` is None if no answer came.
    pub fn note(&self, progress: &mut Progress, sent: Sent, status: Option<StatusCode>) {
        let Some(cast) = sent.cast else { return };
        if let (Some(ballots), Some(voters)) = (self.ballots(), &mut progress.voters) {
            ballots.note(voters, cast, status);
        }
    }
}

/// The index of each share as many times as the share says, spread as evenly as possible.
fn spread(shares: &[usize]) -> Vec<usize> {
    let total: usize = shares.iter().sum();
    let mut owed = vec![0; shares.len()];
    let mut order = Vec::with_capacity(total);
    for _ in 0..total {
        for (owed, share) in owed.iter_mut().zip(shares) {
            *owed += *share as i64;
        }
        let most = (0..shares.len()).rev().max_by_key(|index| owed[*index]);
        let most = most.unwrap_or_default();
        owed[most] -= total as i64;
        order.push(most);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept_and_spread() {
        let order = spread(&[100, 10, 5, 1]);
        let count = |part| order.iter().filter(|step| **step == part).count();
        assert_eq!([0, 1, 2, 3].map(count), [100, 10, 5, 1]);
        let ballots: Vec<usize> = (0..order.len()).filter(|at| order[*at] == 2).collect();
        assert!(
            ballots.windows(2).all(|pair| pair[1] - pair[0] > 15),
            "{ballots:?}"
        );
        assert_eq!(spread(&[1]), [0]);
    }
}
