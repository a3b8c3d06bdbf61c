//! Linking voters to ballots, with the tables in hand.
//!
//! An attacker who knows nothing guesses: of `n` voters one is right on average. The attacks here use
//! whatever order and whatever grouping a database keeps. While people vote, they find most voters;
//! once the question is sealed, they do no better than a guess.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use rand::seq::SliceRandom as _;
use reqwest::Method;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use tokio::sync::Notify;
use uuid::Uuid;

use polls::questions::slot;

use super::tables::{self, Tables};
use super::{close, draw, paper};
use crate::support::app::send;
use crate::support::crowd::{CHEAP_PASSWORDS, crowd};
use crate::support::{Question, Server, User, engine, eventually};

/// A number of right guesses that nobody reaches by chance. A random permutation has on average one
/// element in its place, and `k` of them with a probability below 1/k!; so one of 500 attacks that
/// guess reaches this with a probability below 500/15! < 1e-9.
const MATCHES: f64 = 15.0;

/// A rank correlation that 200 pairs do not have by chance: seven standard deviations (1/√199), with
/// a probability below 2e-12 for each attack.
const CORRELATION: f64 = 0.5;

/// Voters and the receipts of their ballots, in the order in which they voted.
struct Truth(Vec<(Uuid, Uuid)>);

/// The best that an attack has come to.
#[derive(Debug, Default)]
struct Best {
    matches: (f64, String),
    correlation: (f64, String),
    attacks: usize,
}

impl Best {
    fn matched(&mut self, matches: f64, how: &str) {
        self.attacks += 1;
        if matches > self.matches.0 {
            self.matches = (matches, how.to_owned());
        }
    }

    fn correlated(&mut self, correlation: f64, how: &str) {
        if correlation.abs() > self.correlation.0 {
            self.correlation = (correlation.abs(), how.to_owned());
        }
    }

    #[track_caller]
    fn is_chance(&self) {
        assert!(self.attacks <= 500, "{self:?}");
        assert!(self.matches.0 < MATCHES, "{self:?}");
        assert!(self.correlation.0 < CORRELATION, "{self:?}");
    }
}

impl Truth {
    /// Tries every order of voters with every order of ballots, from both ends, and every grouping.
    fn attack(&self, tables: &Tables) -> Best {
        let receipt_of: HashMap<Uuid, Uuid> = self.0.iter().copied().collect();
        let mut best = Best::default();
        // Somebody may have watched who votes when.
        let watched = self.0.iter().map(|(voter, _)| *voter).collect();
        let mut of_voters = vec![("watching".to_owned(), watched)];
        of_voters.extend(tables.voters.orders.iter().cloned());
        for (of_voters, voters) in &of_voters {
            for (of_ballots, ballots) in &tables.ballots.orders {
                let how = format!("voters by {of_voters}, ballots by {of_ballots}");
                let backwards: Vec<Uuid> = ballots.iter().rev().copied().collect();
                for ballots in [ballots, &backwards] {
                    let pairs = voters.iter().zip(ballots);
                    let right = pairs.filter(|(voter, ballot)| receipt_of[voter] == **ballot);
                    best.matched(right.count() as f64, &how);
                }
                best.correlated(self.correlation(voters, ballots), &how);
            }
        }
        for (kind, voters) in &tables.voters.groups {
            for (of_ballots, ballots) in &tables.ballots.groups {
                if kind == of_ballots && *kind != "page" {
                    best.matched(self.right_in_groups(voters, ballots), kind);
                }
            }
        }
        best
    }

    /// Spearman's rank correlation of the places of voters and of their ballots.
    fn correlation(&self, voters: &[Uuid], ballots: &[Uuid]) -> f64 {
        let places = |things: &[Uuid]| {
            let places = things.iter().enumerate();
            places
                .map(|(place, thing)| (*thing, place as f64))
                .collect::<HashMap<_, _>>()
        };
        let (voters, ballots) = (places(voters), places(ballots));
        let pairs = self
            .0
            .iter()
            .filter_map(|(voter, receipt)| Some((*voters.get(voter)?, *ballots.get(receipt)?)));
        let pairs: Vec<(f64, f64)> = pairs.collect();
        let count = pairs.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / count;
        let (x, y) = (mean(|pair| pair.0), mean(|pair| pair.1));
        let sum = |of: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>();
        let product = sum(&|pair| (pair.0 - x) * (pair.1 - y));
        let squares = sum(&|pair| (pair.0 - x).powi(2)) * sum(&|pair| (pair.1 - y).powi(2));
        product / squares.sqrt()
    }

    /// How many are right on average if for each voter one of the ballots is guessed that were
    /// written together with the voter.
    fn right_in_groups(&self, voters: &HashMap<Uuid, u64>, ballots: &HashMap<Uuid, u64>) -> f64 {
        let mut sizes: HashMap<u64, f64> = HashMap::new();
        for group in ballots.values() {
            *sizes.entry(*group).or_default() += 1.0;
        }
        let chances = self.0.iter().filter_map(|(voter, receipt)| {
            let (group, own) = (voters.get(voter)?, ballots.get(receipt)?);
            (group == own).then(|| 1.0 / sizes[own])
        });
        chances.sum()
    }
}

/// An election with so many choices that hardly two ballots are alike, and who has voted.
struct Election {
    question: Question,
    id: Uuid,
    truth: Truth,
    /// The ballots whose contents nobody else has: what the profile has, and the receipt.
    contents: BTreeMap<Vec<u8>, Option<Uuid>>,
}

const CHOICES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

impl Election {
    async fn new(author: &User) -> Election {
        let more = json!({
            "ballot_secrecy": "anonymous", "allow_change": false, "method": "instant_runoff",
        });
        let question = author.ask(&CHOICES, more).await;
        Election {
            id: question.id.parse().expect("an id"),
            question,
            truth: Truth(Vec::new()),
            contents: BTreeMap::new(),
        }
    }

    /// Draws a ballot.
    fn draw(&self) -> (Value, Uuid, Vec<u8>) {
        let mut ranking: Vec<usize> = (0..CHOICES.len()).collect();
        ranking.shuffle(&mut rand::rng());
        ranking.truncate(rand::random_range(5..=CHOICES.len()));
        let receipt = draw();
        // Choices have their positions as ordinals.
        let contents = ranking.iter().map(|choice| *choice as u8).collect();
        let body = paper(&self.question, &ranking, &receipt);
        (body, receipt.parse().expect("a number"), contents)
    }

    fn voted(&mut self, voter: &User, receipt: Uuid, contents: Vec<u8>) {
        self.truth
            .0
            .push((voter.id.parse().expect("an id"), receipt));
        let same = self.contents.entry(contents);
        same.and_modify(|only| *only = None)
            .or_insert(Some(receipt));
    }

    async fn vote(&mut self, voter: &User) {
        let (body, receipt, contents) = self.draw();
        let path = self.question.under("ballot");
        voter.put(&path, body).await.expect(201);
        self.voted(voter, receipt, contents);
    }

    async fn tables(&self, folder: &Path) -> Tables {
        let only = self.contents.iter();
        let only = only.filter_map(|(contents, receipt)| Some((contents.clone(), (*receipt)?)));
        tables::read(folder, self.id, &only.collect()).await
    }

    async fn attacked(&self, folder: &Path) -> Best {
        self.truth.attack(&self.tables(folder).await)
    }
}

/// The times and the batch numbers of the roll.
async fn times(folder: &Path, question: &str) -> Vec<(i64, i64, Option<i64>)> {
    let db = engine::connect(&engine::database_url(folder)).await;
    let sql = "SELECT DISTINCT cast_at, updated_at, batch FROM ballots WHERE question_id = ?";
    let question: Uuid = question.parse().expect("an id");
    let statement = polls::db::statement(db.read(), sql, [question.into()]);
    let rows = db.read().query_all_raw(statement).await.expect("the roll");
    let read = |row: &sea_orm::QueryResult| {
        Ok((
            row.try_get_by_index(0)?,
            row.try_get_by_index(1)?,
            row.try_get_by_index(2)?,
        ))
    };
    let rows: Result<_, sea_orm::DbErr> = rows.iter().map(read).collect();
    db.close().await;
    rows.expect("numbers")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_links_voters_and_ballots_of_a_sealed_question() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let loud = [&CHEAP_PASSWORDS[..], &["--set", "log.filter=trace"]].concat();
    let server = Server::start(folder.path(), &loud);
    let mut voters = crowd(folder.path(), &server, 200);
    // Their ids are in the order in which they registered.
    voters.shuffle(&mut rand::rng());
    let author = &voters[0];
    // Few ballots, which a page of a file holds in the order in which they came.
    let mut small = Election::new(author).await;
    for voter in &voters[..30] {
        small.vote(voter).await;
    }
    let open = small.attacked(folder.path()).await;
    println!("30 ballots, open: {open:?}");
    assert!(open.matches.0 >= 20.0, "the attacks are no good: {open:?}");
    close(author, &small.question).await;
    let sealed = small.attacked(folder.path()).await;
    println!("30 ballots, sealed: {sealed:?}");
    assert!(sealed.matches.0 < MATCHES, "{sealed:?}");

    let mut election = Election::new(author).await;
    for voter in &voters {
        election.vote(voter).await;
    }
    let open = election.attacked(folder.path()).await;
    println!("200 ballots, open: {open:?}");
    close(author, &election.question).await;
    let tables = election.tables(folder.path()).await;
    let sealed = election.truth.attack(&tables);
    println!("200 ballots, sealed: {sealed:?}");
    sealed.is_chance();
    let times = times(folder.path(), &election.question.id).await;
    assert_eq!(times, [(0, 0, None)]);
    // SQLite overwrites what it deletes.
    for (receipt, copies) in &tables.copies {
        let marks = 5..=CHOICES.len();
        assert!(
            marks.contains(&(copies - 1)),
            "{copies} copies of {receipt}"
        );
    }

    // The log, as loud as it can be, has neither receipts nor what was voted.
    let log = server.log().to_lowercase();
    assert!(log.contains("insert into anonymous_marks") && log.contains("\"trace\""));
    for (_, receipt) in small.truth.0.iter().chain(&election.truth.0) {
        assert!(
            !log.contains(&receipt.simple().to_string()),
            "{receipt} is logged"
        );
        assert!(!log.contains(&receipt.to_string()), "{receipt} is logged");
    }
    let choices = small.question.choices.iter();
    for choice in choices.chain(&election.question.choices) {
        let simple = choice.replace('-', "");
        assert!(
            !log.contains(choice) && !log.contains(&simple),
            "{choice} is logged"
        );
    }
}

/// Within a batch the order of the rows tells nothing either, also while people vote.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_links_voters_and_ballots_of_one_batch() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path(), &CHEAP_PASSWORDS);
    let voters = crowd(folder.path(), &server, 200);
    let mut election = Election::new(&voters[0]).await;
    // The first ballot waits for the lock that the test holds, and all others for the first.
    let db = engine::connect(&engine::database_url(folder.path())).await;
    let (held, released, id) = (&Notify::new(), &Notify::new(), election.id);
    let holding = db.write(|transaction| async move {
        slot::take_all(&transaction, id).await?;
        held.notify_one();
        released.notified().await;
        Ok(())
    });
    let (path, mut cast) = (election.question.under("ballot"), Vec::new());
    let mut voting = Vec::new();
    for voter in &voters {
        let (body, receipt, contents) = election.draw();
        voting.push(send(voter.request(Method::PUT, &path).json(&body)));
        cast.push((voter, receipt, contents));
    }
    let release = async {
        let in_flight = async || server.metric("http_requests_in_flight").await;
        eventually(async || in_flight().await >= 200.0).await;
        released.notify_one();
    };
    let voting = async {
        held.notified().await;
        tokio::join!(futures_util::future::join_all(voting), release)
    };
    let (held, (answers, ())) = tokio::join!(holding, voting);
    held.expect("the lock is released");
    for answer in answers {
        answer.expect(201);
    }
    for (voter, receipt, contents) in cast {
        election.voted(voter, receipt, contents);
    }
    let batches = server.metric("polls_ballot_batch_size_count").await;
    assert!(batches <= 3.0, "{batches} batches");
    let open = election.attacked(folder.path()).await;
    println!("{batches} batches: {open:?}");
    open.is_chance();
}
