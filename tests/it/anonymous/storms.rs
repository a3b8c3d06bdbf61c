//! Many voters at once, and servers that die.

use std::collections::HashSet;
use std::sync::Mutex;

use futures_util::future::{join, join_all};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{ask, close, draw, paper, receipts, vote};
use crate::support::app::try_send;
use crate::support::crowd::{
    CHEAP_PASSWORDS, FOR_GUESTS, Pair, accounts_and_guests, all_at_once, crowd, for_anyone,
};
use crate::support::{Server, User, amount, engine, polls};

fn listed_once(listed: &[Value]) -> HashSet<&str> {
    let all = listed.iter().filter_map(|one| one["receipt"].as_str());
    let all: HashSet<&str> = all.collect();
    assert_eq!(all.len(), listed.len());
    all
}

/// Each voter votes at both servers at once. Voters with the same receipt are rivals: one of them
/// gets it, and the other votes again.
#[tokio::test(flavor = "multi_thread")]
async fn of_256_voters_each_has_one_ballot() {
    let pair = Pair::start();
    let voters = pair.crowd(256);
    for _ in 0..amount(1, 5) {
        let question = &ask(&voters[0], json!({"min_choices": 0})).await;
        // Every eighth voter has the receipt of the voter before.
        let mut drawn: Vec<String> = voters.iter().map(|_| draw()).collect();
        for rival in (1..drawn.len()).step_by(8) {
            drawn[rival] = drawn[rival - 1].clone();
        }
        let choices = |turn: usize| [turn % 3; 1][..usize::from(turn % 5 > 0)].to_vec();
        let voting = voters.iter().enumerate();
        let statuses = all_at_once(voting, |(turn, voter)| {
            let (at, receipt) = ([pair.address(0), pair.address(1)], &drawn[turn]);
            async move {
                let cast = at.map(|address| {
                    let (voter, choices) = (voter.at(address), choices(turn));
                    async move { vote(&voter, question, &choices, receipt).await }
                });
                let answers = join_all(cast).await.into_iter();
                let answers = answers.map(|answer| match answer.status.as_u16() {
                    409 => {
                        let code = answer.text("code");
                        assert_eq!(code, "receipt_taken");
                        409
                    }
                    status => status,
                });
                (turn, answers.collect::<Vec<u16>>())
            }
        });
        let (mut refused, mut cast) = (Vec::new(), 0);
        for (turn, mut statuses) in statuses.await {
            statuses.sort_unstable();
            match statuses[..] {
                [200, 201] => cast += 1,
                [409, 409] => refused.push(turn),
                _ => panic!("{turn}: {statuses:?}"),
            }
        }
        let rivals = (1..256).step_by(8).count();
        assert_eq!((cast, refused.len()), (256 - rivals, rivals));
        for turn in refused {
            let receipt = draw();
            let again = vote(&voters[turn], question, &choices(turn), &receipt).await;
            again.expect(201);
            // Whoever got the receipt of both has it still.
            drawn[turn] = receipt;
        }
        close(&voters[0], question).await;
        let listed = receipts(&voters[1].at(pair.address(1)), question).await;
        assert_eq!(listed_once(&listed).len(), 256);
        let tally = pair.tally(&voters[0], question).await;
        assert_eq!(tally.ballots, 256);
        let abstentions = (0..256).filter(|turn| turn % 5 == 0).count();
        assert_eq!(tally.sum(), 256 - abstentions as i64);
        pair.recount();
    }
}

/// Guests at one address, three of whom may vote.
#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_guests_at_one_address_three_vote() {
    let pair = Pair::start();
    let voters = pair.voters(100);
    let guests: Vec<&User> = voters.iter().skip(1).step_by(2).collect();
    for round in 0..amount(2, 20) {
        let more = for_anyone(json!({"ballots_per_address": 3}));
        let question = &ask(&voters[0], more).await;
        let drawn: Vec<String> = guests.iter().map(|_| draw()).collect();
        let cast = all_at_once(guests.iter().enumerate(), |(turn, guest)| {
            let (guest, receipt) = (guest.at(pair.address(turn + round)), &drawn[turn]);
            async move { (turn, vote(&guest, question, &[turn % 3], receipt).await) }
        });
        let mut counted = Vec::new();
        for (turn, answer) in cast.await {
            match answer.status.as_u16() {
                201 => counted.push(turn),
                _ => drop(answer.problem("address_limit").expect(409)),
            }
        }
        assert_eq!(counted.len(), 3);
        for (turn, guest) in guests.iter().enumerate() {
            let again = vote(guest, question, &[turn % 3], &drawn[turn]).await;
            match counted.contains(&turn) {
                true => again.expect(200),
                false => again.problem("address_limit"),
            };
        }
        // Accounts at the same address are not counted.
        let own = draw();
        vote(&voters[0], question, &[0], &own).await.expect(201);
        close(&voters[0], question).await;
        let listed = receipts(&voters[0], question).await;
        let cast = counted.iter().map(|turn| drawn[*turn].as_str());
        assert_eq!(listed_once(&listed), cast.chain([own.as_str()]).collect());
        let tally = pair.tally(&voters[0], question).await;
        assert_eq!((tally.ballots, tally.sum()), (4, 4));
    }
    pair.recount();
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_ballots_are_among_the_receipts_after_kill_9() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let start = || Server::start(folder.path(), &FOR_GUESTS);
    let mut servers = [start(), start()];
    let voters = accounts_and_guests(folder.path(), &servers[0], amount(256, 2_000));
    for round in 0..amount(2, 6) {
        let author = voters[0].at(&servers[0].address);
        // The limit is more than there are guests, so that their ballots are counted by address.
        let more = json!({
            "method": "instant_runoff", "min_choices": 0, "ballots_per_address": 10_000,
        });
        let question = &ask(&author, for_anyone(more)).await;
        let path = &question.under("ballot");
        let papers = (0..voters.len()).map(|turn| {
            let preferred = super::preferences(turn);
            paper(question, &preferred, &draw())
        });
        let papers: &Vec<Value> = &papers.collect();
        let acknowledged = Mutex::new(HashSet::new());
        let enough = voters.len() * (1 + round) / 4;
        let killing_time = Notify::new();
        let addresses = servers.each_ref().map(|server| server.address.clone());
        let storm = all_at_once(voters.iter().enumerate(), |(turn, voter)| {
            let at = voter.at(&addresses[turn % 2]);
            let (acknowledged, killing_time) = (&acknowledged, &killing_time);
            async move {
                let cast = at.request(Method::PUT, path).json(&papers[turn]);
                let Ok(answer) = try_send(cast).await else {
                    return;
                };
                answer.expect(201);
                let mut acknowledged = acknowledged.lock().expect("no panic");
                acknowledged.insert(turn);
                if acknowledged.len() == enough {
                    killing_time.notify_one();
                }
            }
        });
        let killed = &mut servers[..=round % 2];
        let killing = async {
            killing_time.notified().await;
            killed.iter_mut().for_each(Server::kill);
        };
        join(storm, killing).await;
        let acknowledged = acknowledged.into_inner().expect("no panic");
        assert!(acknowledged.len() < voters.len(), "nothing was under way");
        for server in killed {
            *server = start();
        }
        polls(folder.path(), &["recount", "--check"]).done();

        // Whoever got no answer sends the same again, and so do the others.
        let at = |turn: usize| voters[turn].at(&servers[turn % 2].address);
        all_at_once(0..voters.len(), |turn| {
            let (voter, known) = (at(turn), acknowledged.contains(&turn));
            async move {
                let answer = voter.put(path, papers[turn].clone()).await;
                let status = answer.status.as_u16();
                assert!(status == 200 || !known && status == 201, "{answer:?}");
                let other = vote(&voter, question, &[0], &draw()).await;
                other.problem("already_voted").expect(409);
            }
        })
        .await;
        close(&at(0), question).await;
        let listed = receipts(&at(1), question).await;
        let sent = papers.iter().filter_map(|paper| paper["receipt"].as_str());
        assert_eq!(listed_once(&listed), sent.collect());
        let results = at(1).get(&question.under("results")).await.expect(200).json;
        assert_eq!(results["ballot_count"], voters.len());
        polls(folder.path(), &["recount", "--check"]).done();
    }
}

/// A backup has the roll and the ballots, before the close and after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_question_has_its_receipts() {
    if !engine::is_sqlite() {
        // Database servers have backups of their own.
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = Server::start(folder.path(), &CHEAP_PASSWORDS);
    let voters = crowd(folder.path(), &server, 8);
    let question = ask(&voters[0], json!({})).await;
    let drawn: Vec<String> = voters.iter().map(|_| draw()).collect();
    let cast = async |server: &Server, turn: usize| {
        let tokens = polls(folder.path(), &["token", "--all"]).done();
        let token = tokens
            .lines()
            .nth(turn)
            .and_then(|line| line.split_once(' '));
        let mut voter = voters[turn].at(&server.address);
        voter.access_token = token.expect("a token").1.to_owned();
        vote(&voter, &question, &[turn % 3], &drawn[turn]).await
    };
    for turn in 0..4 {
        cast(&server, turn).await.expect(201);
    }
    polls(folder.path(), &["backup", "open.db"]).done();
    for turn in 4..8 {
        cast(&server, turn).await.expect(201);
    }
    close(&voters[0], &question).await;
    polls(folder.path(), &["backup", "closed.db"]).done();
    let listed = receipts(&voters[0], &question).await;
    assert_eq!(listed.len(), 8);

    for (file, ballots) in [("open.db", 4), ("closed.db", 8)] {
        server.kill();
        polls(folder.path(), &["restore", file]).done();
        polls(folder.path(), &["recount", "--check"]).done();
        server = Server::start(folder.path(), &CHEAP_PASSWORDS);
        // The same ballots again are those that are there.
        for turn in 0..ballots {
            cast(&server, turn).await.expect(200);
        }
    }
    let reader = voters[0].at(&server.address);
    let tokens = polls(folder.path(), &["token", "--all"]).done();
    let token = tokens.lines().next().and_then(|line| line.split_once(' '));
    let mut reader = reader;
    reader.access_token = token.expect("a token").1.to_owned();
    assert_eq!(receipts(&reader, &question).await, listed);
}
