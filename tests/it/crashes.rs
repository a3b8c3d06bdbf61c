//! What `kill -9` leaves behind.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::future::join;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::app::try_send;
use crate::support::crowd::{CHEAP_PASSWORDS, Tally, all_at_once, crowd};
use crate::support::{Server, amount, polls};

/// How long a server may take to come back: 2 s where nothing else keeps the machine busy.
fn patience() -> Duration {
    Duration::from_secs(amount(20, 2) as u64)
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_ballots_survive() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let start = || Server::start(folder.path(), &CHEAP_PASSWORDS);
    let mut servers = [start(), start()];
    let rounds = amount(2, 10);
    let voters = crowd(folder.path(), &servers[0], amount(400, 5_000));
    let author = &voters[0];
    let question = &author.ask(&["a", "b", "c"], json!({})).await;
    let path = &format!("{}/ballot", question.path);
    // The acknowledged choices of each voter, by index.
    let acknowledged = Mutex::new(HashMap::<usize, Value>::new());
    let count = || acknowledged.lock().expect("no panic").len();

    for round in 0..rounds {
        // Half of what is left is acknowledged before the kill, or nearly so.
        let enough = count() + (voters.len() - count()) / 2;
        let killing_time = Notify::new();
        let addresses = servers.each_ref().map(|server| server.address.clone());
        let storm = all_at_once(voters.iter().enumerate(), |(turn, voter)| {
            let at = voter.at(&addresses[turn % 2]);
            let (acknowledged, killing_time) = (&acknowledged, &killing_time);
            async move {
                if acknowledged.lock().expect("no panic").contains_key(&turn) {
                    return;
                }
                let Ok(answer) = try_send(at.ballot(question, &[(turn + round) % 3])).await else {
                    return;
                };
                assert!(matches!(answer.status.as_u16(), 200 | 201), "{answer:?}");
                let mut acknowledged = acknowledged.lock().expect("no panic");
                acknowledged.insert(turn, answer.json["choice_ids"].clone());
                if acknowledged.len() >= enough {
                    killing_time.notify_one();
                }
            }
        });
        let killing = async {
            killing_time.notified().await;
            // By turns one of the two, and both.
            servers[..=round % 2].iter_mut().for_each(Server::kill);
        };
        join(storm, killing).await;
        let survived = count();
        assert!(
            survived < voters.len(),
            "nothing was under way when it was killed"
        );

        for server in &mut servers[..=round % 2] {
            let begun = Instant::now();
            *server = start();
            let back = begun.elapsed();
            println!("round {round}: {survived} acknowledged, back in {back:?}");
            assert!(back < patience(), "{back:?}");
        }
        polls(folder.path(), &["recount", "--check"]).done();

        let results = author
            .at(&servers[0].address)
            .get(&format!("{}/results", question.path))
            .await;
        let tally = Tally::of(&results.expect(200).json);
        assert!(tally.ballots >= survived as i64, "{tally:?}");
        assert_eq!(tally.sum(), tally.ballots);
        let expected = acknowledged.lock().expect("no panic").clone();
        all_at_once(expected, |(turn, choices)| {
            let at = voters[turn].at(&servers[0].address);
            async move {
                let ballot = at.get(path).await.expect(200);
                assert_eq!(ballot.json["choice_ids"], choices);
            }
        })
        .await;
    }

    // Whoever got no answer asks again.
    all_at_once(voters.iter().enumerate(), |(turn, voter)| {
        let (at, known) = (
            voter.at(&servers[0].address),
            acknowledged.lock().expect("no panic").contains_key(&turn),
        );
        async move {
            let answer = try_send(at.ballot(question, &[0])).await.expect("it lives");
            assert!(
                answer.status == 200 || !known && answer.status == 201,
                "{answer:?}"
            );
        }
    })
    .await;
    let results = author
        .at(&servers[0].address)
        .get(&format!("{}/results", question.path))
        .await;
    let tally = Tally::of(&results.expect(200).json);
    assert_eq!(tally.votes, [voters.len() as i64, 0, 0]);
    assert_eq!(tally.ballots, voters.len() as i64);
    polls(folder.path(), &["recount", "--check"]).done();
}
