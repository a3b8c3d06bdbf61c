//! Ballots by many users, and how each was answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use super::acknowledged::Acknowledged;
use super::bodies::Body;
use super::target::Template;

/// A question to vote on.
#[derive(Debug)]
pub struct Paper {
    pub id: String,
    /// The request without a voter's token and without a body.
    pub template: Template,
    /// The ballots that are sent, at most 256.
    pub bodies: Vec<Body>,
    /// The server's count before the run.
    pub before: Counted,
    answers: Answers,
}

/// A question's ballots and votes, as the server counts them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    pub ballots: i64,
    pub votes: Vec<i64>,
}

/// How the ballots on a question were answered.
#[derive(Debug, Default)]
struct Answers {
    stored: AtomicU64,
    changed: AtomicU64,
    repeated: AtomicU64,
    /// Without an answer, or with one of the kind "outcome unknown".
    unknown: AtomicU64,
    /// Votes for each choice, by the ballots that were acknowledged.
    votes: Vec<AtomicI64>,
}

impl Paper {
    pub fn new(id: String, template: Template, bodies: Vec<Body>, before: Counted) -> Paper {
        let votes = before.votes.iter().map(|_| AtomicI64::new(0)).collect();
        Paper {
            id,
            template,
            bodies,
            before,
            answers: Answers {
                votes,
                ..Answers::default()
            },
        }
    }

    /// Adds the votes of a ballot, or takes them away.
    fn count(&self, body: u8, sign: i64) {
        for (choice, votes) in &self.bodies[usize::from(body)].votes {
            self.answers.votes[*choice].fetch_add(sign * votes, Ordering::Relaxed);
        }
    }
}

/// The questions, and the users who vote on them.
#[derive(Debug)]
pub struct Ballots {
    pub papers: Vec<Paper>,
    /// The `Authorization` header of each user.
    pub voters: Vec<HeaderValue>,
    /// Whether users change their ballots once all have voted.
    pub revote: bool,
    /// When each ballot was acknowledged, if the first question is watched.
    pub acknowledged: Option<Arc<Acknowledged>>,
}

/// The users that one client votes for; no user belongs to two clients.
#[derive(Debug)]
pub struct Voters {
    client: usize,
    clients: usize,
    cast: usize,
    /// The last acknowledged ballot of each user, by user, then by question.
    known: Vec<Option<u8>>,
}

/// A ballot that has been sent.
#[derive(Debug, Clone, Copy)]
pub struct Cast {
    question: usize,
    /// Which of the question's ballots.
    body: u8,
    slot: usize,
}

impl Ballots {
    /// The question that is watched.
    pub fn watched(&self) -> Option<(&Paper, &Arc<Acknowledged>)> {
        self.papers.first().zip(self.acknowledged.as_ref())
    }

    /// The users of a client.
    pub fn voters(&self, client: usize, clients: usize) -> Voters {
        Voters {
            client,
            clients,
            cast: 0,
            known: Vec::new(),
        }
    }

    /// The next ballot of a client's users; None when all have voted.
    pub fn next(&self, voters: &mut Voters) -> Option<(Cast, Request<Full<Bytes>>)> {
        let users = (self.voters.len() + voters.clients - 1 - voters.client) / voters.clients;
        let (pass, turn) = (
            voters.cast / (users * self.papers.len()).max(1),
            voters.cast % (users * self.papers.len()).max(1),
        );
        if users == 0 || pass > 0 && !self.revote {
            return None;
        }
        voters.cast += 1;
        let (round, user) = (turn / users, turn % users);
        let voter = voters.client + user * voters.clients;
        // Users begin with different questions, or a client's ballots would all go to one.
        let question = (round + voter) % self.papers.len();
        let paper = &self.papers[question];
        // A different ballot in each pass, so that each one changes the count.
        let body = ((voter + pass) % paper.bodies.len()) as u8;
        let mut request = paper.template.request();
        let json = paper.bodies[usize::from(body)].json.clone();
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, self.voters[voter].clone());
        headers.insert(CONTENT_LENGTH, HeaderValue::from(json.len()));
        *request.body_mut() = Full::new(json);
        let cast = Cast {
            question,
            body,
            slot: user * self.papers.len() + question,
        };
        Some((cast, request))
    }

    /// Notes how a ballot was answered; `status` is None if no answer came.
    pub fn note(&self, voters: &mut Voters, cast: Cast, status: Option<StatusCode>) {
        let paper = &self.papers[cast.question];
        let answers = &paper.answers;
        let add = |count: &AtomicU64| count.fetch_add(1, Ordering::Relaxed);
        match status {
            Some(StatusCode::CREATED) => {
                add(&answers.stored);
                if let Some(acknowledged) = &self.acknowledged {
                    acknowledged.note();
                }
                paper.count(cast.body, 1);
            }
            Some(StatusCode::OK) => match voters.known(cast.slot) {
                Some(before) if before != cast.body => {
                    add(&answers.changed);
                    paper.count(before, -1);
                    paper.count(cast.body, 1);
                }
                _ => {
                    add(&answers.repeated);
                }
            },
            // Status 5xx: a proxy that got no answer cannot tell whether the ballot was counted.
            Some(status) if status.is_client_error() => return,
            _ => {
                add(&answers.unknown);
                return;
            }
        }
        if self.revote {
            voters.remember(cast);
        }
    }

    /// Compares what was acknowledged with the server's count, for each question.
    pub fn check(&self, now: &[Counted]) -> BallotCheck {
        let mut check = BallotCheck::default();
        for (paper, now) in self.papers.iter().zip(now) {
            let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
            let answers = &paper.answers;
            let (stored, unknown) = (of(&answers.stored), of(&answers.unknown));
            check.stored += stored;
            check.changed += of(&answers.changed);
            check.repeated += of(&answers.repeated);
            check.unknown += unknown;
            let counted = now.ballots - paper.before.ballots;
            check.counted += counted;
            let possible = stored as i64..=(stored + unknown) as i64;
            if !possible.contains(&counted) {
                check.differences.push(format!(
                    "question {}: {stored} ballots were acknowledged as new, {counted} were counted",
                    paper.id
                ));
                continue;
            }
            // Without the earlier ballots of these users, the votes for each choice are unknown.
            if unknown > 0 || of(&answers.repeated) > 0 {
                continue;
            }
            for (index, acknowledged) in answers.votes.iter().enumerate() {
                let acknowledged = acknowledged.load(Ordering::Relaxed);
                let counted = now.votes[index] - paper.before.votes[index];
                if acknowledged != counted {
                    check.differences.push(format!(
                        "question {}, choice {}: {acknowledged} votes were acknowledged, {counted} were counted",
                        paper.id,
                        index + 1
                    ));
                }
            }
        }
        check.agrees = check.differences.is_empty();
        check
    }
}

impl Voters {
    fn known(&self, slot: usize) -> Option<u8> {
        self.known.get(slot).copied().flatten()
    }

    fn remember(&mut self, cast: Cast) {
        if self.known.len() <= cast.slot {
            self.known.resize(cast.slot + 1, None);
        }
        self.known[cast.slot] = Some(cast.body);
    }
}

/// How all ballots were answered, and whether the server's count agrees.
#[derive(Debug, Default, Serialize)]
pub struct BallotCheck {
    /// Answered 201.
    pub stored: u64,
    /// Answered 200, after an earlier ballot of the same user in this run.
    pub changed: u64,
    /// Answered 200 otherwise: the user had voted before this run.
    pub repeated: u64,
    /// Without an answer, or with one that does not tell whether the ballot was counted.
    pub unknown: u64,
    /// By how much the server's own count has grown.
    pub counted: i64,
    pub agrees: bool,
    pub differences: Vec<String>,
}
