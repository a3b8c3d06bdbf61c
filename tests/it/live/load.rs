//! Live results under load: many clients, slow clients, several processes, limits.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::{open, stalled};
use crate::support::app::send;
use crate::support::crowd::{CHEAP_PASSWORDS, all_at_once, crowd};
use crate::support::live::{Socket, Stream, WAYS, Way, no_watch, watch};
use crate::support::redis::Redis;
use crate::support::{Question, Server, TestApp, User, amount, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_ballots_is_few_events_and_few_reads() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path(), &CHEAP_PASSWORDS);
    let voters = crowd(folder.path(), &server, 300);
    let question = voters[0].ask(&["a", "b"], json!({})).await;
    let mut streams = Vec::new();
    for way in WAYS {
        let mut stream = Stream::open(way, &server.address, &question, None, None).await;
        assert_eq!(stream.event().await.ballots(), 0);
        streams.push(stream);
    }
    let reads = server.metric("polls_live_reads_total").await;
    let begun = Instant::now();
    let burst = all_at_once(&voters, async |voter| {
        voter.vote(&question, &[0]).await.expect(201);
    });
    let seen = join_all(streams.iter_mut().map(|stream| stream.until(300)));
    let (_, seen) = tokio::join!(burst, seen);
    // At most four per second, and one each at the beginning and at the end.
    let most = begun.elapsed().as_millis() / 250 + 2;
    let reads = server.metric("polls_live_reads_total").await - reads;
    assert!(
        seen.iter().all(|count| *count as u128 <= most),
        "{seen:?} > {most}"
    );
    assert!(reads as u128 <= most, "{reads} > {most}");
}

async fn many_watchers_cause_one_read(way: Way, watchers: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let most = format!("live.max_streams_per_address={watchers}");
    let server = Server::start(
        folder.path(),
        &[&CHEAP_PASSWORDS[..], &["--set", &most]].concat(),
    );
    let voters = crowd(folder.path(), &server, 100);
    let question = voters[0].ask(&["a", "b"], json!({})).await;
    let address = &server.address;
    let streams = all_at_once(0..watchers, async |_| {
        let mut stream = Stream::open(way, address, &question, None, None).await;
        assert_eq!(stream.event().await.ballots(), 0);
        stream
    });
    let mut streams = streams.await;
    assert_eq!(server.metric("polls_live_streams").await, watchers as f64);
    let before = server.metric("polls_live_reads_total").await;
    let begun = Instant::now();
    let votes = all_at_once(&voters, async |voter| {
        voter.vote(&question, &[0]).await.expect(201);
    });
    let seen = join_all(streams.iter_mut().map(|stream| stream.until(100)));
    tokio::join!(votes, seen);
    let most = begun.elapsed().as_millis() / 250 + 2;
    let reads = server.metric("polls_live_reads_total").await - before;
    assert!(reads as u128 <= most, "{reads} > {most}");
    drop(streams);
    // Disconnected clients are noticed.
    eventually(async || server.metric("polls_live_streams").await == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_watchers_over_sse_cause_one_read() {
    many_watchers_cause_one_read(Way::Events, amount(200, 5_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_watchers_over_websockets_cause_one_read() {
    many_watchers_cause_one_read(Way::Socket, amount(200, 5_000)).await;
}

/// A question whose results are large.
async fn large_question(author: &User) -> Question {
    let texts: Vec<String> = (0..100)
        .map(|n| format!("{n:03}{}", "好".repeat(190)))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    author.ask(&texts, json!({})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_dropped() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let patience = ["--set", "live.patience=500ms"];
    let server = Server::start(folder.path(), &[&CHEAP_PASSWORDS[..], &patience].concat());
    let author = &crowd(folder.path(), &server, 1)[0];
    let question = large_question(author).await;
    for way in WAYS {
        let mut reading = Stream::open(way, &server.address, &question, None, None).await;
        reading.event().await;
        let mut idle = stalled(way, &server, &question).await;
        eventually(async || server.metric("polls_live_streams").await == 2.0).await;
        let before = server.metric("polls_live_dropped_total").await;
        let mut choice = 0;
        let deadline = Instant::now() + Duration::from_secs(120);
        while server.metric("polls_live_dropped_total").await == before {
            assert!(Instant::now() < deadline, "nobody was dropped");
            choice = 1 - choice;
            author.vote(&question, &[choice]).await;
            // Other clients get every change meanwhile.
            while reading.event().await.data["choices"][choice]["votes"] != 1 {}
        }
        eventually(async || server.metric("polls_live_streams").await == 1.0).await;
        idle.shutdown().await.ok();
        drop(reading);
        eventually(async || server.metric("polls_live_streams").await == 0.0).await;
        author.delete(&question.under("ballot")).await.expect(204);
    }
}

/// Servers of one database.
fn servers(folder: &Path, count: usize, redis: Option<&Redis>) -> Vec<Server> {
    let url = redis.map(|redis| format!("share.redis_url={}", redis.url()));
    let mut arguments = CHEAP_PASSWORDS.to_vec();
    if let Some(url) = &url {
        // With Redis the database is polled every hundred seconds, too rarely for this test.
        arguments.extend(["--set", url, "--set", "live.poll_interval=10s"]);
    }
    (0..count)
        .map(|_| Server::start(folder, &arguments))
        .collect()
}

async fn every_process_sees_the_ballots_of_every_other(redis: Option<&Redis>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let servers = servers(folder.path(), 4, redis);
    let voters = crowd(folder.path(), &servers[0], 8);
    let more = json!({"results_visibility": "after_vote"});
    let mut longest = Duration::ZERO;
    for way in WAYS {
        let question = voters[0].ask(&["a", "b"], more.clone()).await;
        voters[0].vote(&question, &[0]).await.expect(201);
        voters[1].vote(&question, &[0]).await.expect(201);
        let mut streams = Vec::new();
        for server in &servers {
            let stream = Stream::open(way, &server.address, &question, Some(&voters[1]), None);
            let mut stream = stream.await;
            assert_eq!(stream.event().await.ballots(), 2);
            streams.push(stream);
        }
        for (index, server) in servers.iter().enumerate() {
            let voter = voters[index + 2].at(&server.address);
            voter.vote(&question, &[1]).await.expect(201);
            let acknowledged = Instant::now();
            for stream in &mut streams {
                stream.until(index as i64 + 3).await;
            }
            longest = longest.max(acknowledged.elapsed());
        }
        // A withdrawal at one process ends the streams at all.
        let ends = join_all(streams.into_iter().map(Stream::rest));
        let path = question.under("ballot");
        voters[1]
            .at(&servers[2].address)
            .delete(&path)
            .await
            .expect(204);
        let ends = ends.await;
        assert!(
            ends.iter().all(|(_, reason)| reason == "hidden"),
            "{ends:?}"
        );
    }
    println!("every process showed a ballot within {longest:?}");
}

#[tokio::test]
async fn every_process_sees_the_ballots_of_every_other_with_redis() {
    if let Some(redis) = Redis::start() {
        every_process_sees_the_ballots_of_every_other(Some(&redis)).await;
    }
}

#[tokio::test]
async fn every_process_sees_the_ballots_of_every_other_without_redis() {
    every_process_sees_the_ballots_of_every_other(None).await;
}

#[tokio::test]
async fn watchers_see_everything_while_redis_comes_and_goes() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let servers = servers(folder.path(), 2, Some(&redis));
    let voters = crowd(folder.path(), &servers[0], 3);
    let question = voters[0].ask(&["a", "b"], json!({})).await;
    let mut stream = Stream::open(Way::Events, &servers[1].address, &question, None, None).await;
    assert_eq!(stream.event().await.ballots(), 0);
    for (ballots, voter) in (1..).zip(&voters) {
        match ballots {
            2 => redis.kill(),
            3 => redis.restart(),
            _ => {}
        }
        voter.vote(&question, &[0]).await.expect(201);
        stream.until(ballots).await;
    }
}

#[tokio::test]
async fn the_number_of_streams_is_limited() {
    for (key, detail) in [
        ("live.max_streams", "Too many are watching."),
        (
            "live.max_streams_per_address",
            "Too many are watching from there.",
        ),
    ] {
        let app = TestApp::with(&[(key, "2")]).await;
        let author = app.user("lucy").await;
        let question = author.ask(&["a", "b"], json!({})).await;
        let streams = [
            open(&app, Way::Events, &question, None).await,
            open(&app, Way::Socket, &question, None).await,
        ];
        let refused = send(no_watch(&app.address, &question, None)).await;
        let refused = refused.expect(503).problem("overloaded");
        assert_eq!(refused.json["detail"], detail);
        assert_eq!(refused.header("retry-after"), "1");
        let refused = Socket::try_open(&app.address, &question, &[]).await;
        refused
            .err()
            .expect("refused")
            .problem("overloaded")
            .expect(503);
        for stream in streams {
            drop(stream);
            eventually(async || {
                let response = watch(&app.address, &question, None).send().await;
                response.expect("an answer").status() == 200
            })
            .await;
        }
    }
}
