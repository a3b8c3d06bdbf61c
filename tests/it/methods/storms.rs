//! Ranked and scored questions while many vote, change their minds, and servers die.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::app::{send, try_send};
use crate::support::crowd::{FOR_GUESTS, Pair, accounts_and_guests, all_at_once, for_anyone};
use crate::support::{Question, Server, User, amount, polls};

/// One of the 16 rankings of three choices, the empty one included.
fn ranking(question: &Question, number: usize) -> Value {
    const RANKINGS: [&[usize]; 16] = [
        &[],
        &[0],
        &[1],
        &[2],
        &[0, 1],
        &[0, 2],
        &[1, 0],
        &[1, 2],
        &[2, 0],
        &[2, 1],
        &[0, 1, 2],
        &[0, 2, 1],
        &[1, 0, 2],
        &[1, 2, 0],
        &[2, 0, 1],
        &[2, 1, 0],
    ];
    let ids = RANKINGS[number % 16].iter();
    ids.map(|choice| question.choices[*choice].clone())
        .collect()
}

async fn results(reader: &User, question: &Question) -> Value {
    let path = question.under("results?explain=true");
    reader.get(&path).await.expect(200).json
}

/// What does not depend on when the results were read.
fn timeless(mut results: Value) -> Value {
    results["as_of"] = json!(null);
    results
}

#[tokio::test(flavor = "multi_thread")]
async fn voters_change_their_minds_and_servers_die() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let start = || Server::start(folder.path(), &FOR_GUESTS);
    let mut servers = [start(), start()];
    let voters = accounts_and_guests(folder.path(), &servers[0], 256);
    for round in 0..amount(2, 10) {
        let author = voters[0].at(&servers[0].address);
        let more = json!({"method": "instant_runoff", "min_choices": 0});
        let question = &author.ask(&["a", "b", "c"], for_anyone(more)).await;
        let path = &question.under("ballot");
        // The acknowledged ballot of each voter, as long as no later one is unanswered.
        let acknowledged = Mutex::new(HashMap::<usize, Value>::new());
        let (answers, killing_time) = (AtomicUsize::new(0), Notify::new());
        let addresses = servers.each_ref().map(|server| server.address.clone());
        let storm = all_at_once(voters.iter().enumerate(), |(turn, voter)| {
            let at = voter.at(&addresses[turn % 2]);
            let (acknowledged, answers, killing_time) = (&acknowledged, &answers, &killing_time);
            async move {
                for change in 0..4 {
                    let wanted = ranking(question, turn * 7 + change * 5 + round);
                    let body = json!({"choice_ids": wanted});
                    acknowledged.lock().expect("no panic").remove(&turn);
                    let Ok(answer) = try_send(at.request(Method::PUT, path).json(&body)).await
                    else {
                        return;
                    };
                    assert!(answer.status.is_success(), "{answer:?}");
                    assert_eq!(answer.json["choice_ids"], wanted);
                    acknowledged.lock().expect("no panic").insert(turn, wanted);
                    if answers.fetch_add(1, Ordering::SeqCst) == 400 {
                        killing_time.notify_one();
                    }
                }
            }
        });
        let killed = &mut servers[..=round % 2];
        let killing = async {
            killing_time.notified().await;
            killed.iter_mut().for_each(Server::kill);
        };
        join(storm, killing).await;
        for server in killed {
            *server = start();
        }
        polls(folder.path(), &["recount", "--check"]).done();
        let acknowledged = acknowledged.into_inner().expect("no panic");
        assert!(!acknowledged.is_empty());
        let at = |turn: usize| voters[turn].at(&servers[turn % 2].address);
        all_at_once(&acknowledged, |(turn, wanted)| {
            let voter = at(*turn);
            async move {
                let ballot = voter.get(path).await.expect(200);
                assert_eq!(ballot.json["choice_ids"], *wanted);
            }
        })
        .await;
        // Everybody abstains five times, and has one ballot.
        all_at_once(0..voters.len(), |turn| {
            let voter = at(turn);
            async move {
                for _ in 0..5 {
                    let answer = voter.put(path, json!({"choice_ids": []})).await;
                    assert!(answer.status.is_success(), "{answer:?}");
                }
            }
        })
        .await;
        let empty = results(&at(0), question).await;
        assert_eq!(
            (&empty["ballot_count"], &empty["abstentions"]),
            (&json!(256), &json!(256))
        );
        assert_eq!(empty["outcome"]["status"], "no_votes");
        polls(folder.path(), &["recount", "--check"]).done();
    }
}

/// `polls recount` notices every kind of tally that is wrong, and corrects it.
#[tokio::test(flavor = "multi_thread")]
async fn a_recount_mends_profiles_votes_and_abstentions() {
    let pair = Pair::start();
    let voters = pair.crowd(8);
    let mut questions = Vec::new();
    for method in ["borda", "score"] {
        let more = json!({"method": method, "min_choices": 0});
        let question = voters[0].ask(&["a", "b", "c"], more).await;
        for (turn, voter) in voters.iter().enumerate() {
            let ids = ranking(&question, turn * 3);
            let body = match method {
                "score" => {
                    let scores = ids.as_array().expect("ids").iter().zip([5, 3, 1]);
                    let scores = scores.map(|(id, score)| json!({"choice_id": id, "score": score}));
                    json!({"scores": scores.collect::<Vec<_>>()})
                }
                _ => json!({"choice_ids": ids}),
            };
            voter.put(&question.under("ballot"), body).await.expect(201);
        }
        let before = timeless(results(&voters[0], &question).await);
        questions.push((question, before));
    }
    pair.recount();
    let db =
        crate::support::engine::connect(&crate::support::engine::database_url(pair.folder())).await;
    for damage in [
        "UPDATE profile_shards SET ballots = ballots + 1",
        "DELETE FROM profile_shards",
        "UPDATE choice_shards SET votes = votes + 2",
        "UPDATE question_shards SET abstentions = abstentions + 1 WHERE shard = 0",
    ] {
        db.write(|transaction| async move {
            use sea_orm::ConnectionTrait as _;
            transaction.execute_unprepared(damage).await?;
            // The version tells other processes that something has changed.
            let changed = "UPDATE question_shards SET seq = seq + 1";
            transaction.execute_unprepared(changed).await?;
            Ok(())
        })
        .await
        .expect("damage is done");
        let check = polls(pair.folder(), &["recount", "--check"]);
        let told = check.stdout.clone();
        let said = check.fails(1);
        assert!(said.contains("differ"), "{damage}: {said}");
        if damage.contains("profile_shards") {
            // Of seven different ballots on each question.
            assert_eq!(told.lines().count(), 2 * (5 + 1), "{told}");
            let tallied = if damage.starts_with("DELETE") { 0 } else { 2 };
            let [(ranked, _), (scored, _)] = &questions[..] else {
                panic!("two questions");
            };
            let ([.., last], [first, _, third]) = (&ranked.choices[..], &scored.choices[..]) else {
                panic!("three choices");
            };
            for (question, of, ballots) in [
                (ranked, format!("ballots for {last}"), 1),
                (
                    scored,
                    format!("ballots for {first} (score 5), {third} (score 3)"),
                    1,
                ),
                (
                    ranked,
                    "ballots that are alike, 2 further numbers together".to_owned(),
                    2,
                ),
            ] {
                let line = format!(
                    "question {}, {of}: the tally says {}, the ballots {ballots}\n",
                    question.id,
                    tallied * ballots,
                );
                assert!(told.contains(&line), "{line} is not in {told}");
            }
        }
        polls(pair.folder(), &["recount"]).done();
        pair.recount();
        for (question, before) in &questions {
            assert_eq!(
                timeless(results(&voters[0], question).await),
                *before,
                "{damage}"
            );
        }
    }
    db.close().await;
}

/// While people rank and the author adds choices, somebody closes the question: from the answer on
/// its results do not change by a byte.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_close_nothing_about_the_results_changes() {
    let pair = Pair::start();
    let voters = pair.voters(120);
    for method in [
        "multiple_choice",
        "instant_runoff",
        "single_transferable_vote",
        "ranked_pairs",
        "borda",
    ] {
        let question = &voters[0]
            .ask(&["a", "b", "c"], for_anyone(json!({"method": method})))
            .await;
        let author = voters[0].at(&pair.other.address);
        let acknowledged = AtomicUsize::new(0);
        let votes = all_at_once(voters.iter().enumerate(), |(turn, voter)| {
            let (at, acknowledged) = (voter.at(pair.address(turn)), &acknowledged);
            async move {
                let mut ids = ranking(question, 1 + turn % 15);
                if method == "multiple_choice" {
                    ids = json!([ids[0]]);
                }
                let body = json!({"choice_ids": ids});
                let answer = at.put(&question.under("ballot"), body).await;
                match answer.status.as_u16() {
                    201 => drop(acknowledged.fetch_add(1, Ordering::SeqCst)),
                    _ => drop(answer.problem("voting_closed")),
                }
            }
        });
        let adding = async {
            for number in 0..20 {
                let body = json!({"choice_text": format!("late {number}")});
                let answer = voters[0].post(&question.under("choices"), body).await;
                if answer.status != 201 {
                    answer.problem("voting_closed").expect(409);
                    return;
                }
            }
        };
        let closing = async {
            while acknowledged.load(Ordering::SeqCst) < 40 {
                tokio::task::yield_now().await;
            }
            let close = question.under("close");
            author.post(&close, json!(null)).await.expect(200);
            timeless(results(&author, question).await)
        };
        let (_, (at_close, ())) = join(votes, join(closing, adding)).await;
        assert_eq!(at_close["is_final"], true, "{method}");
        for address in [&pair.one.address, &pair.other.address] {
            let later = results(&voters[1].at(address), question).await;
            assert_eq!(timeless(later), at_close, "{method}");
        }
        let counted = acknowledged.load(Ordering::SeqCst);
        assert_eq!(at_close["ballot_count"], counted, "{method}");
        let anonymous = voters[1]
            .at(&pair.one.address)
            .request(Method::GET, &question.path);
        assert_eq!(send(anonymous).await.expect(200).json["status"], "closed");
    }
    pair.recount();
}
