//! Rate limits: each kind of call has one limit for an account and one for a network, which counts
//! the calls without an account.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use poem::Request;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::problem::seconds;
use crate::config;
use crate::failure::{Failure, RateLimit};
use crate::network::Network;
use crate::share::Share;
use crate::share::rates::{Rate, Whose};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// A kind of call with its own rate limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Reads,
    Writes,
    Ballots,
    /// Live streams that are begun.
    Streams,
}

const KINDS: [(Kind, &str); 4] = [
    (Kind::Reads, "reads"),
    (Kind::Writes, "writes"),
    (Kind::Ballots, "ballots"),
    (Kind::Streams, "streams"),
];

/// The rates of all kinds of calls.
pub struct Rates {
    share: Share,
    /// By kind.
    of_accounts: [Rate; KINDS.len()],
    of_networks: [Rate; KINDS.len()],
}

impl Rates {
    /// None where there are no limits.
    pub fn new(config: &config::Limits, share: Share) -> Option<Arc<Rates>> {
        let rate = |(kind, policy): (Kind, &'static str), account: bool| {
            let quota = match (kind, account) {
                (Kind::Reads, true) => config.reads_per_account,
                (Kind::Reads, false) => config.reads_per_address,
                (Kind::Writes, true) => config.writes_per_account,
                (Kind::Writes, false) => config.writes_per_address,
                (Kind::Ballots, true) => config.ballots_per_account,
                (Kind::Ballots, false) => config.ballots_per_address,
                (Kind::Streams, true) => config.streams_per_account,
                (Kind::Streams, false) => config.streams_per_address,
            };
            Rate::new(policy, quota, config.rate_window)
        };
        config.enabled.then(|| {
            Arc::new(Rates {
                share,
                of_accounts: KINDS.map(|kind| rate(kind, true)),
                of_networks: KINDS.map(|kind| rate(kind, false)),
            })
        })
    }
}

/// A call to be counted by a rate limit, as an extension of its request. Clones share it.
#[derive(Clone)]
pub struct Metered(Arc<Call>);

struct Call {
    rates: Arc<Rates>,
    kind: Kind,
    network: Network,
    /// The limit that the call counts for, once it is counted.
    state: Mutex<Option<RateLimit>>,
}

impl Metered {
    pub(super) fn new(rates: &Arc<Rates>, kind: Kind, network: Network) -> Metered {
        Metered(Arc::new(Call {
            rates: rates.clone(),
            kind,
            network,
            state: Mutex::new(None),
        }))
    }

    /// Counts the call for an account, or for the network where there is none.
    ///
    /// # Errors
    ///
    /// [`Code::RateLimited`](crate::failure::Code::RateLimited) where nothing is left of the quota.
    pub fn count(&self, account: Option<Uuid>) -> Result<(), Failure> {
        let call = &self.0;
        let (rates, whose) = match account {
            Some(id) => (&call.rates.of_accounts, Whose::Account(id.as_u128())),
            None => (&call.rates.of_networks, Whose::Network(call.network.bits())),
        };
        let taken = call
            .rates
            .share
            .take_rate(&rates[call.kind as usize], whose);
        let refused = taken.is_err();
        let state = taken.unwrap_or_else(|state| state);
        *call.state.lock() = Some(state);
        match refused {
            true => Err(Failure::rate_limited(state)),
            false => Ok(()),
        }
    }

    /// Reports another limit, by which the call is counted, instead of the limit of its kind.
    pub fn tell(request: &Request, state: Option<RateLimit>) {
        if let (Some(Metered(call)), Some(state)) = (request.data(), state) {
            *call.state.lock() = Some(state);
        }
    }

    pub(super) fn network(&self) -> Network {
        self.0.network
    }

    pub(super) fn state(&self) -> Option<RateLimit> {
        *self.0.state.lock()
    }
}

/// Adds a limit's quota, window and remainder, in the headers of
/// draft-ietf-httpapi-ratelimit-headers.
pub(super) fn tell(headers: &mut HeaderMap, state: &RateLimit) {
    let policy = state.policy;
    let (window, reset) = (seconds(state.window), seconds(state.reset));
    let fields = [
        (
            RATE_LIMIT_POLICY,
            ["q=", "w="],
            [u64::from(state.quota), window],
        ),
        (
            RATE_LIMIT,
            ["r=", "t="],
            [u64::from(state.remaining), reset],
        ),
    ];
    for (name, parameters, values) in fields {
        // Every answer has these headers, and `format!` takes twice the time.
        let mut text = Vec::with_capacity(64);
        text.push(b'"');
        text.extend_from_slice(policy.as_bytes());
        text.push(b'"');
        for (parameter, value) in parameters.into_iter().zip(values) {
            text.push(b';');
            text.extend_from_slice(parameter.as_bytes());
            text.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        }
        if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(text)) {
            headers.insert(name, value);
        }
    }
}
