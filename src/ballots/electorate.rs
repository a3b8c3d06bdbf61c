//! Who may vote on a question: its `electorate`, and `ballots_per_address` for guests.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::{ConnectionTrait, DbErr};
use uuid::Uuid;

use super::BallotKey;
use crate::auth::HmacKeys;
use crate::clock::Time;
use crate::db::Transaction;
use crate::failure::{Code, Failure};
use crate::invitations;
use crate::network::Network;
use crate::questions::network_ballots::{self, Counter};
use crate::questions::{self, Electorate, Question, Status};
use crate::users::{self, Caller};

/// What somebody lacks to be one of the electorate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    Account,
    VerifiedAddress,
    Invitation,
    /// Of a guest who was invited to another question.
    OtherInvitation,
}

impl Lack {
    fn refusal(self) -> Failure {
        let detail = match self {
            Lack::Account => {
                "Only accounts may vote on this question. Register with `POST /users` or sign in."
            }
            Lack::VerifiedAddress => {
                "Only accounts with a verified email address may vote on this question. Verify \
                 yours with `POST /users/me/email-verification`."
            }
            Lack::OtherInvitation => {
                "You were invited to another question and may vote on that one only. Sign out first."
            }
            Lack::Invitation => {
                "Only people who are invited may vote on this question. Use the code or the link of your \
                 invitation, or ask the author for one."
            }
        };
        Failure::new(Code::NotEligible, detail)
    }
}

/// What those lack who want to vote and may not. Reads the database only for electorates that the
/// caller's token does not decide.
pub(super) async fn lacks<'a>(
    db: &impl ConnectionTrait,
    wishes: impl IntoIterator<Item = (&'a Question, Caller)>,
) -> Result<HashMap<BallotKey, Lack>, DbErr> {
    let mut lacks = HashMap::new();
    let mut unverified: Vec<BallotKey> = Vec::new();
    let mut guests: Vec<(BallotKey, Electorate)> = Vec::new();
    for (question, caller) in wishes {
        let key = (question.id, caller.id);
        match (question.electorate, caller.is_guest()) {
            (Electorate::Anyone | Electorate::Accounts, false) => {}
            (Electorate::Anyone | Electorate::Invited, true) => {
                guests.push((key, question.electorate));
            }
            (Electorate::Accounts | Electorate::Verified, true) => {
                lacks.insert(key, Lack::Account);
            }
            (Electorate::Verified, false) => unverified.push(key),
            // Invitations are for guests.
            (Electorate::Invited, false) => {
                lacks.insert(key, Lack::Invitation);
            }
        }
    }
    if !unverified.is_empty() {
        let users: BTreeSet<Uuid> = unverified.iter().map(|(_, user)| *user).collect();
        let verified = users::verified_among(db, users).await?;
        unverified.retain(|(_, user)| !verified.contains(user));
    }
    let unverified = unverified.into_iter();
    lacks.extend(unverified.map(|key| (key, Lack::VerifiedAddress)));

    let users: BTreeSet<Uuid> = guests.iter().map(|((_, user), _)| *user).collect();
    let invited = invitations::invited(db, users).await?;
    for (key, electorate) in guests {
        let lack = match (invited.get(&key.1), electorate) {
            (Some(own), _) if *own == key.0 => continue,
            (Some(_), _) => Lack::OtherInvitation,
            (None, Electorate::Anyone) => continue,
            (None, _) => Lack::Invitation,
        };
        lacks.insert(key, lack);
    }
    Ok(lacks)
}

/// Why somebody may neither cast nor change a ballot at `now`, whatever ballot they have.
pub(super) fn refusal(question: &Question, lack: Option<Lack>, now: Time) -> Option<Failure> {
    match lack {
        // Before voting opens, people can still get what they lack; after the close nobody votes.
        Some(lack) if question.status(now) != Status::Closed => Some(lack.refusal()),
        _ => questions::not_open(question, now),
    }
}

/// How many ballots from one network address the question takes of this caller; none for any number.
pub(super) fn address_limit(question: &Question, caller: Caller) -> Option<i64> {
    let limit = question.ballots_per_address.map(i64::from);
    limit.filter(|_| caller.is_guest())
}

/// First ballots of guests, on questions that take only so many from one network.
#[derive(Default)]
pub(super) struct CountedBallots(BTreeMap<Counter, Waiting>);

struct Waiting {
    limit: i64,
    /// In the order of their arrival.
    ballots: Vec<BallotKey>,
}

/// The [`CountedBallots`] that are too many, and what has to be subtracted from the counters again.
#[derive(Default)]
pub(super) struct TooMany {
    pub ballots: Vec<BallotKey>,
    pub corrections: Vec<(Counter, i64)>,
}

impl CountedBallots {
    /// Adds a first ballot, which is inserted already.
    pub(super) fn add(
        &mut self,
        keys: &HmacKeys,
        question: &Question,
        (caller, network): (Caller, Network),
    ) {
        let Some(limit) = address_limit(question, caller) else {
            return;
        };
        let network = keys.network_of_ballots(question.id, network);
        let new = || Waiting {
            limit,
            ballots: Vec::new(),
        };
        let waiting = self.0.entry((question.id, network)).or_insert_with(new);
        waiting.ballots.push((question.id, caller.id));
    }

    /// Counts them, and returns those that are too many.
    pub(super) async fn count(self, transaction: &Transaction) -> Result<TooMany, DbErr> {
        let mut too_many = TooMany::default();
        if self.0.is_empty() {
            return Ok(too_many);
        }
        let (counters, waiting): (Vec<_>, Vec<_>) = self.0.into_iter().unzip();
        let number = |waiting: &Waiting| i64::try_from(waiting.ballots.len()).unwrap_or(i64::MAX);
        let added: Vec<(Counter, i64)> = counters
            .into_iter()
            .zip(waiting.iter().map(number))
            .collect();
        let counted = network_ballots::count(transaction, &added).await?;
        for (((counter, number), waiting), counted) in added.into_iter().zip(waiting).zip(counted) {
            let excess = (counted - waiting.limit).clamp(0, number);
            if excess > 0 {
                let fit = usize::try_from(number - excess).unwrap_or(0);
                too_many
                    .ballots
                    .extend(waiting.ballots.into_iter().skip(fit));
                too_many.corrections.push((counter, -excess));
            }
        }
        Ok(too_many)
    }
}

pub(super) fn address_unknown() -> Failure {
    let detail = "The server's proxy does not say where your request came from. Tell the operator.";
    Failure::new(Code::AddressUnknown, detail)
}

pub(super) fn too_many_from_address() -> Failure {
    let detail =
        "Guests have cast as many ballots from your network address as this question takes.";
    Failure::new(Code::AddressLimit, detail)
}
