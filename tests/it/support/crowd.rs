//! Many users, and their concurrent requests.

use std::path::Path;

use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use tempfile::TempDir;

use super::app::{Question, client};
use super::{Server, User, polls};

/// How many requests are sent concurrently.
pub const AT_ONCE: usize = 64;

/// Two servers on one database.
pub struct Pair {
    pub one: Server,
    pub other: Server,
    /// Deleted with the test.
    pub folder: TempDir,
}

impl Pair {
    pub fn start() -> Pair {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let start = || Server::start(folder.path(), &FOR_GUESTS);
        let (one, other) = (start(), start());
        Pair { one, other, folder }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Creates users of the first server.
    pub fn crowd(&self, users: usize) -> Vec<User> {
        crowd(self.folder(), &self.one, users)
    }

    /// Creates accounts and guests of the first server, alternately; the first is an account.
    pub fn voters(&self, voters: usize) -> Vec<User> {
        accounts_and_guests(self.folder(), &self.one, voters)
    }

    /// The address of one of the servers, alternately.
    pub fn address(&self, turn: usize) -> &str {
        match turn % 2 {
            0 => &self.one.address,
            _ => &self.other.address,
        }
    }

    /// The tally at both servers; fails if they differ.
    pub async fn tally(&self, reader: &User, question: &Question) -> Tally {
        let path = format!("{}/results", question.path);
        let one = reader.at(&self.one.address).get(&path).await.expect(200);
        let other = reader.at(&self.other.address).get(&path).await.expect(200);
        let tally = Tally::of(&one.json);
        assert_eq!(tally, Tally::of(&other.json));
        tally
    }

    /// Expects every tally to equal its ballots.
    #[track_caller]
    pub fn recount(&self) {
        polls(self.folder(), &["recount", "--check"]).done();
    }
}

/// Settings with cheap password hashes.
pub const CHEAP_PASSWORDS: [&str; 4] = [
    "--set",
    "accounts.password_memory=64KiB",
    "--set",
    "accounts.password_iterations=1",
];

/// Settings with cheap password hashes, and without the limits on what guests at one address do.
pub const FOR_GUESTS: [&str; 10] = [
    CHEAP_PASSWORDS[0],
    CHEAP_PASSWORDS[1],
    CHEAP_PASSWORDS[2],
    CHEAP_PASSWORDS[3],
    "--set",
    "limits.reads_per_address=1000000000",
    "--set",
    "limits.writes_per_address=1000000000",
    "--set",
    "limits.ballots_per_address=1000000000",
];

/// Creates accounts in the database of `folder`, with tokens for the server.
pub fn crowd(folder: &Path, server: &Server, users: usize) -> Vec<User> {
    polls(folder, &["seed", "--users", &users.to_string()]).done();
    let voters = with_tokens(folder, server, "--all");
    assert_eq!(voters.len(), users);
    voters
}

/// Creates accounts and guests, alternately; the first is an account.
pub fn accounts_and_guests(folder: &Path, server: &Server, voters: usize) -> Vec<User> {
    let (users, guests) = (voters.div_ceil(2), voters / 2);
    let (users, guests) = (users.to_string(), guests.to_string());
    polls(folder, &["seed", "--users", &users, "--guests", &guests]).done();
    let accounts = with_tokens(folder, server, "--all").into_iter();
    let mut guests = with_tokens(folder, server, "--guests").into_iter();
    let pairs = accounts.flat_map(|account| [Some(account), guests.next()]);
    let all: Vec<User> = pairs.flatten().collect();
    assert_eq!(all.len(), voters);
    all
}

/// The body of a question on which guests may vote, too.
pub fn for_anyone(mut more: Value) -> Value {
    more["electorate"] = Value::from("anyone");
    more
}

/// All accounts but admins (`--all`), or all guests (`--guests`).
fn with_tokens(folder: &Path, server: &Server, whose: &str) -> Vec<User> {
    let tokens = polls(folder, &["token", whose]).done();
    let client = client();
    let voter = |line: &str| {
        let (id, token) = line.split_once(' ').expect("an id and a token");
        User::of_token(id, token, client.clone(), &server.address)
    };
    tokens.lines().map(voter).collect()
}

/// Runs `work` for all items, [`AT_ONCE`] concurrently. Results are in the order of completion.
pub async fn all_at_once<I, F: Future>(
    items: impl IntoIterator<Item = I>,
    work: impl FnMut(I) -> F,
) -> Vec<F::Output> {
    stream::iter(items)
        .map(work)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

/// The votes of each choice, and the number of ballots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    pub votes: Vec<i64>,
    pub ballots: i64,
}

impl Tally {
    /// The tally in the JSON of a question or of its results.
    #[track_caller]
    pub fn of(json: &Value) -> Tally {
        let number = |value: &Value| {
            value
                .as_i64()
                .unwrap_or_else(|| panic!("no number in {json}"))
        };
        let choices = json["choices"].as_array().expect("choices");
        Tally {
            votes: choices
                .iter()
                .map(|choice| number(&choice["votes"]))
                .collect(),
            ballots: number(&json["ballot_count"]),
        }
    }

    /// All votes together.
    pub fn sum(&self) -> i64 {
        self.votes.iter().sum()
    }
}
