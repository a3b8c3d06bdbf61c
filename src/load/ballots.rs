//! Ballots by many users, and the account of what became of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use super::acknowledged::Acknowledged;
use super::target::Template;

/// A question to vote on.
#[derive(Debug)]
pub struct Paper {
    pub id: String,
    /// The ballot of nobody in particular.
    pub template: Template,
    /// A ballot for each choice, and for those after it where a ballot needs several.
    pub bodies: Vec<Bytes>,
    /// How many choices a ballot has.
    pub marks: usize,
    /// What the server had counted before.
    pub before: Counted,
    account: Account,
}

/// A question's numbers as the server tells them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    pub ballots: i64,
    pub votes: Vec<i64>,
}

/// What became of a question's ballots.
#[derive(Debug, Default)]
struct Account {
    stored: AtomicU64,
    changed: AtomicU64,
    repeated: AtomicU64,
    /// Nobody knows: no answer came, or the server itself did not know.
    unknown: AtomicU64,
    /// Votes for each choice, by the ballots that were acknowledged.
    votes: Vec<AtomicI64>,
}

impl Paper {
    pub fn new(
        id: String,
        template: Template,
        bodies: Vec<Bytes>,
        marks: usize,
        before: Counted,
    ) -> Paper {
        let votes = bodies.iter().map(|_| AtomicI64::new(0)).collect();
        Paper {
            id,
            template,
            bodies,
            marks,
            before,
            account: Account {
                votes,
                ..Account::default()
            },
        }
    }

    fn count(&self, choice: u8, votes: i64) {
        for mark in 0..self.marks {
            let choice = (usize::from(choice) + mark) % self.bodies.len();
            self.account.votes[choice].fetch_add(votes, Ordering::Relaxed);
        }
    }
}

/// The questions, and the users who vote on them.
#[derive(Debug)]
pub struct Ballots {
    pub papers: Vec<Paper>,
    /// What each user sends as `Authorization`.
    pub voters: Vec<HeaderValue>,
    /// Whether users change their ballots once all have voted.
    pub revote: bool,
    /// When each was acknowledged, where others watch the first question.
    pub acknowledged: Option<Arc<Acknowledged>>,
}

/// A client's share of the users: no user is ever waited for by two clients.
#[derive(Debug)]
pub struct Booth {
    client: usize,
    clients: usize,
    cast: usize,
    /// What the share's users have voted for, as far as is known: by user, then by question.
    known: Vec<Option<u8>>,
}

/// A ballot that is on its way.
#[derive(Debug, Clone, Copy)]
pub struct Cast {
    question: usize,
    choice: u8,
    slot: usize,
}

impl Ballots {
    /// The question that others watch.
    pub fn watched(&self) -> Option<(&Paper, &Arc<Acknowledged>)> {
        self.papers.first().zip(self.acknowledged.as_ref())
    }

    /// The share of a client.
    pub fn booth(&self, client: usize, clients: usize) -> Booth {
        Booth {
            client,
            clients,
            cast: 0,
            known: Vec::new(),
        }
    }

    /// The next ballot of a share; none when all have voted.
    pub fn next(&self, booth: &mut Booth) -> Option<(Cast, Request<Full<Bytes>>)> {
        let users = (self.voters.len() + booth.clients - 1 - booth.client) / booth.clients;
        let (pass, turn) = (
            booth.cast / (users * self.papers.len()).max(1),
            booth.cast % (users * self.papers.len()).max(1),
        );
        if users == 0 || pass > 0 && !self.revote {
            return None;
        }
        booth.cast += 1;
        let (round, user) = (turn / users, turn % users);
        let voter = booth.client + user * booth.clients;
        // From user to user, or a client's ballots would all go to one question.
        let question = (round + voter) % self.papers.len();
        let paper = &self.papers[question];
        // Another than last time: ballots that change nothing count for nothing.
        let choice = ((voter + pass) % paper.bodies.len()) as u8;
        let mut request = paper.template.request();
        let body = paper.bodies[usize::from(choice)].clone();
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, self.voters[voter].clone());
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        *request.body_mut() = Full::new(body);
        let cast = Cast {
            question,
            choice,
            slot: user * self.papers.len() + question,
        };
        Some((cast, request))
    }

    /// Writes down what became of a ballot; `status` is none where no answer came.
    pub fn account(&self, booth: &mut Booth, cast: Cast, status: Option<StatusCode>) {
        let paper = &self.papers[cast.question];
        let account = &paper.account;
        let add = |count: &AtomicU64| count.fetch_add(1, Ordering::Relaxed);
        match status {
            Some(StatusCode::CREATED) => {
                add(&account.stored);
                if let Some(acknowledged) = &self.acknowledged {
                    acknowledged.note();
                }
                paper.count(cast.choice, 1);
            }
            Some(StatusCode::OK) => match booth.known(cast.slot) {
                Some(before) if before != cast.choice => {
                    add(&account.changed);
                    paper.count(before, -1);
                    paper.count(cast.choice, 1);
                }
                _ => {
                    add(&account.repeated);
                }
            },
            // A gateway that had no answer does not know either.
            Some(status) if status.is_client_error() => return,
            _ => {
                add(&account.unknown);
                return;
            }
        }
        if self.revote {
            booth.remember(cast);
        }
    }

    /// Compares what was acknowledged with what the server counts now, question by question.
    pub fn verdict(&self, now: &[Counted]) -> Verdict {
        let mut verdict = Verdict::default();
        for (paper, now) in self.papers.iter().zip(now) {
            let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
            let account = &paper.account;
            let (stored, unknown) = (of(&account.stored), of(&account.unknown));
            verdict.stored += stored;
            verdict.changed += of(&account.changed);
            verdict.repeated += of(&account.repeated);
            verdict.unknown += unknown;
            let counted = now.ballots - paper.before.ballots;
            verdict.counted += counted;
            let possible = stored as i64..=(stored + unknown) as i64;
            if !possible.contains(&counted) {
                verdict.differences.push(format!(
                    "question {}: {stored} ballots were acknowledged as new, {counted} were counted",
                    paper.id
                ));
                continue;
            }
            // Whose earlier ballot is not known may have changed it.
            if unknown > 0 || of(&account.repeated) > 0 {
                continue;
            }
            for (index, acknowledged) in account.votes.iter().enumerate() {
                let acknowledged = acknowledged.load(Ordering::Relaxed);
                let counted = now.votes[index] - paper.before.votes[index];
                if acknowledged != counted {
                    verdict.differences.push(format!(
                        "question {}, choice {}: {acknowledged} votes were acknowledged, {counted} were counted",
                        paper.id,
                        index + 1
                    ));
                }
            }
        }
        verdict.agrees = verdict.differences.is_empty();
        verdict
    }
}

impl Booth {
    fn known(&self, slot: usize) -> Option<u8> {
        self.known.get(slot).copied().flatten()
    }

    fn remember(&mut self, cast: Cast) {
        if self.known.len() <= cast.slot {
            self.known.resize(cast.slot + 1, None);
        }
        self.known[cast.slot] = Some(cast.choice);
    }
}

/// What became of all ballots, and whether the server's count agrees.
#[derive(Debug, Default, Serialize)]
pub struct Verdict {
    /// Answered 201.
    pub stored: u64,
    /// Answered 200, another ballot of the same user having been acknowledged before.
    pub changed: u64,
    /// Answered 200 otherwise: the user had voted before. They count for nothing.
    pub repeated: u64,
    /// Without an answer that tells.
    pub unknown: u64,
    /// By how much the server's own count has grown.
    pub counted: i64,
    pub agrees: bool,
    pub differences: Vec<String>,
}
