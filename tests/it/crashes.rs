//! What `kill -9` and a full disk leave behind.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::future::join;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::app::try_send;
use crate::support::crowd::{
    CHEAP_PASSWORDS, FOR_GUESTS, Tally, accounts_and_guests, all_at_once, crowd, for_anyone,
};
use crate::support::{Server, amount, polls};

/// How long a server may take to come back: 2 s where nothing else keeps the machine busy.
fn patience() -> Duration {
    Duration::from_secs(amount(20, 2) as u64)
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_ballots_survive() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let start = || Server::start(folder.path(), &FOR_GUESTS);
    let mut servers = [start(), start()];
    let voters = accounts_and_guests(folder.path(), &servers[0], amount(400, 5_000));
    for round in 0..amount(2, 10) {
        let author = voters[0].at(&servers[0].address);
        // The limit is more than there are guests, so that their ballots are counted by address.
        let more = for_anyone(json!({"ballots_per_address": 10_000}));
        let question = &author.ask(&["a", "b", "c"], more).await;
        // The acknowledged choices of each voter.
        let acknowledged = Mutex::new(HashMap::<usize, Value>::new());
        // Sooner in some rounds, later in others.
        let enough = voters.len() * (1 + round * 7 % 10) / 12;
        let killing_time = Notify::new();
        let addresses = servers.each_ref().map(|server| server.address.clone());
        let storm = all_at_once(voters.iter().enumerate(), |(turn, voter)| {
            let at = voter.at(&addresses[turn % 2]);
            let (acknowledged, killing_time) = (&acknowledged, &killing_time);
            async move {
                let Ok(answer) = try_send(at.ballot(question, &[turn % 3])).await else {
                    return;
                };
                let answer = answer.expect(201);
                let mut acknowledged = acknowledged.lock().expect("no panic");
                acknowledged.insert(turn, answer.json["choice_ids"].clone());
                if acknowledged.len() == enough {
                    killing_time.notify_one();
                }
            }
        });
        // By turns one of the two, and both.
        let killed = &mut servers[..=round % 2];
        let killing = async {
            killing_time.notified().await;
            killed.iter_mut().for_each(Server::kill);
        };
        join(storm, killing).await;
        let acknowledged = acknowledged.into_inner().expect("no panic");
        assert!(
            acknowledged.len() < voters.len(),
            "nothing was under way when it was killed"
        );

        for server in killed {
            let begun = Instant::now();
            *server = start();
            let back = begun.elapsed();
            println!(
                "round {round}: {} acknowledged, back in {back:?}",
                acknowledged.len()
            );
            assert!(back < patience(), "{back:?}");
        }
        polls(folder.path(), &["recount", "--check"]).done();
        let at = |turn: usize| voters[turn].at(&servers[turn % 2].address);
        let results = &format!("{}/results", question.path);
        let tally = Tally::of(&at(0).get(results).await.expect(200).json);
        assert!(tally.ballots >= acknowledged.len() as i64, "{tally:?}");
        assert_eq!(tally.sum(), tally.ballots);
        all_at_once(&acknowledged, |(turn, choices)| {
            let voter = at(*turn);
            async move {
                let ballot = voter
                    .get(&format!("{}/ballot", question.path))
                    .await
                    .expect(200);
                assert_eq!(ballot.json["choice_ids"], *choices);
            }
        })
        .await;

        // Whoever got no answer asks again, and so do the others: nobody is counted twice.
        all_at_once(0..voters.len(), |turn| {
            let (voter, known) = (at(turn), acknowledged.contains_key(&turn));
            async move {
                let answer = voter.vote(question, &[0]).await;
                assert!(
                    answer.status == 200 || !known && answer.status == 201,
                    "{answer:?}"
                );
            }
        })
        .await;
        let tally = Tally::of(&at(0).get(results).await.expect(200).json);
        let all = voters.len() as i64;
        assert_eq!((tally.votes, tally.ballots), (vec![all, 0, 0], all));
        polls(folder.path(), &["recount", "--check"]).done();
    }
}

/// After a commit that failed SQLite has no transaction any more. A driver that still counts one
/// would acknowledge from then on what it never commits.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing_that_is_acknowledged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start_on_small_disk(folder.path(), &CHEAP_PASSWORDS);
    let voters = crowd(folder.path(), &server, 4);
    let question = voters[0].ask(&["a", "b"], json!({})).await;
    let nowhere = "/questions/00000000-0000-7000-8000-000000000000";

    server.limit_files(Some(4096));
    let refused = voters[0].vote(&question, &[0]).await;
    assert!(refused.status.is_server_error(), "{refused:?}");
    voters[1].delete(nowhere).await.problem("not_found");
    server.limit_files(None);
    voters[1].delete(nowhere).await.problem("not_found");
    for voter in &voters[1..] {
        voter.vote(&question, &[1]).await.expect(201);
    }

    let other = Server::start(folder.path(), &CHEAP_PASSWORDS);
    for voter in &voters[1..] {
        let elsewhere = voter.at(&other.address);
        elsewhere.get(&question.under("ballot")).await.expect(200);
    }
    polls(folder.path(), &["recount", "--check"]).done();
}
