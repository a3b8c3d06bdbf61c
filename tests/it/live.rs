//! Live results: which events a client gets, how streams end, limits, and the WebSocket protocol.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio_tungstenite::tungstenite::Message;

use crate::support::app::send;
use crate::support::crowd::{CHEAP_PASSWORDS, all_at_once, crowd};
use crate::support::live::{Event, Events, Socket, Stream, WAYS, Way, no_watch, watch};
use crate::support::redis::Redis;
use crate::support::{Question, Server, TestApp, User, amount, eventually};

async fn open(app: &TestApp, way: Way, question: &Question, who: Option<&User>) -> Stream {
    Stream::open(way, &app.address, question, who, None).await
}

/// Expects that the results are refused, in both ways.
async fn refused(app: &TestApp, question: &Question, who: Option<&User>, problem: &str) {
    send(no_watch(&app.address, question, who))
        .await
        .problem(problem);
    let mut socket = Socket::open(&app.address, question).await;
    let hello = match who {
        Some(user) => json!({"type": "authenticate", "access_token": user.access_token}),
        None => json!({"type": "anonymous"}),
    };
    socket.say(hello.to_string()).await;
    let code = match problem {
        "results_hidden" => 4403,
        "not_found" => 4404,
        other => panic!("{other} has no code"),
    };
    assert_eq!(socket.close().await, (code, problem.to_owned()));
}

/// The results as `getResults` answers them, without `as_of`.
async fn results(app: &TestApp, question: &Question) -> Value {
    timeless(app.get(&question.under("results")).await.expect(200).json)
}

fn timeless(mut results: Value) -> Value {
    let as_of = results.as_object_mut().and_then(|it| it.remove("as_of"));
    assert!(as_of.is_some_and(|as_of| as_of.is_string()));
    results
}

#[tokio::test]
async fn a_watcher_sees_the_results_at_once_and_after_each_change() {
    let (app, author) = TestApp::with_user("lucy").await;
    for way in WAYS {
        let question = author.ask(&["a", "b"], json!({})).await;
        let mut stream = open(&app, way, &question, None).await;
        let first = stream.event().await;
        assert_eq!(first.ballots(), 0);
        author.vote(&question, &[0]).await.expect(201);
        let second = stream.event().await;
        assert_eq!(second.ballots(), 1);
        assert_eq!(timeless(second.data), results(&app, &question).await);
        let version = |event_id: &str| event_id.parse::<i64>().expect("a version");
        assert!(version(&first.id) < version(&second.id));
        author.vote(&question, &[1]).await.expect(200);
        let third = stream.event().await;
        assert_eq!(third.data["choices"][1]["votes"], 1);
        let body = json!({"choice_text": "c"});
        author
            .post(&question.under("choices"), body)
            .await
            .expect(201);
        let fourth = stream.event().await;
        assert_eq!(fourth.data["choices"][2]["choice_text"], "c");
    }
}

#[tokio::test]
async fn ballots_of_the_own_process_need_no_polling() {
    const POLL: Duration = Duration::from_secs(10);
    let app = TestApp::with(&[("live.poll_interval", "10s")]).await;
    let author = app.user("lucy").await;
    let question = author.ask(&["a", "b"], json!({})).await;
    let mut stream = open(&app, Way::Events, &question, None).await;
    stream.event().await;
    let begun = Instant::now();
    for turn in 1..=5 {
        author.vote(&question, &[turn % 2]).await;
        let event = stream.event().await;
        assert_eq!(event.data["choices"][turn % 2]["votes"], 1);
    }
    assert!(begun.elapsed() < POLL * 4, "it was polled each time");
}

#[tokio::test]
async fn a_ballot_that_changes_nothing_is_no_event() {
    let (app, author) = TestApp::with_user("lucy").await;
    let other = app.user("luxi").await;
    for way in WAYS {
        let question = author.ask(&["a", "b"], json!({})).await;
        author.vote(&question, &[0]).await.expect(201);
        let mut stream = open(&app, way, &question, None).await;
        assert_eq!(stream.event().await.ballots(), 1);
        author.vote(&question, &[0]).await.expect(200);
        author.vote(&question, &[0, 1]).await.expect(422);
        other.vote(&question, &[1]).await.expect(201);
        assert_eq!(stream.event().await.ballots(), 2);
    }
}

#[tokio::test]
async fn a_client_that_reconnects_gets_what_it_missed_and_nothing_twice() {
    let (app, author) = TestApp::with_user("lucy").await;
    let other = app.user("luxi").await;
    for way in WAYS {
        let question = author.ask(&["a", "b"], json!({})).await;
        let first = open(&app, way, &question, None).await.event().await;
        let back =
            async |seen: &str| Stream::open(way, &app.address, &question, None, Some(seen)).await;
        for unknown in ["999999", "-1", "nonsense", ""] {
            assert_eq!(
                back(unknown).await.event().await.ballots(),
                0,
                "{unknown:?}"
            );
        }
        let mut same = back(&first.id).await;
        author.vote(&question, &[0]).await.expect(201);
        assert_eq!(same.event().await.ballots(), 1);
        let missed = back(&first.id).await.event().await;
        assert_eq!(missed.ballots(), 1);

        author
            .post(&question.under("close"), json!(null))
            .await
            .expect(200);
        let (ballots, reason) = back(&missed.id).await.rest().await;
        assert_eq!((ballots, reason.as_str()), (Some(1), "closed"));
        let mut last = open(&app, way, &question, None).await;
        let last = last.event().await;
        assert_eq!(last.data["is_final"], true);
        let (ballots, reason) = back(&last.id).await.rest().await;
        assert_eq!((ballots, reason.as_str()), (None, "closed"));

        // Reopened, the same numbers are not final any more.
        author
            .post(&question.under("reopen"), json!({}))
            .await
            .expect(200);
        let mut reopened = back(&last.id).await;
        assert_eq!(reopened.event().await.data["is_final"], false);
        other.vote(&question, &[1]).await.expect(201);
        assert_eq!(reopened.event().await.ballots(), 2);
    }
}

#[tokio::test]
async fn a_close_is_the_end_after_the_final_results() {
    let (app, author) = TestApp::with_user("lucy").await;
    for way in WAYS {
        let closes_at = app.clock.now().after(Duration::from_secs(60)).to_string();
        let by_time = author
            .ask(&["a", "b"], json!({"closes_at": closes_at}))
            .await;
        let by_hand = author.ask(&["a", "b"], json!({})).await;
        for question in [&by_hand, &by_time] {
            author.vote(question, &[0]).await.expect(201);
            let mut stream = open(&app, way, question, Some(&author)).await;
            assert_eq!(stream.event().await.data["is_final"], false);
            if question.id == by_hand.id {
                author
                    .post(&question.under("close"), json!(null))
                    .await
                    .expect(200);
            } else {
                app.clock.advance(Duration::from_secs(61));
            }
            let results = stream.event().await;
            assert_eq!(
                (results.ballots(), &results.data["is_final"]),
                (1, &json!(true))
            );
            assert_eq!(stream.event().await.reason(), "closed");
            assert_eq!(stream.next().await, None);
        }
        // A client that connects afterwards gets the same events.
        let (ballots, reason) = open(&app, way, &by_time, None).await.rest().await;
        assert_eq!((ballots, reason.as_str()), (Some(1), "closed"));
    }
}

#[tokio::test]
async fn a_deletion_is_the_end_for_everyone() {
    let (app, author) = TestApp::with_user("lucy").await;
    for way in WAYS {
        let question = author.ask(&["a", "b"], json!({})).await;
        let mut streams = [
            open(&app, way, &question, None).await,
            open(&app, way, &question, Some(&author)).await,
        ];
        for stream in &mut streams {
            assert_eq!(stream.event().await.ballots(), 0);
        }
        author.delete(&question.path).await.expect(204);
        for stream in streams {
            assert_eq!(stream.rest().await.1, "deleted");
        }
        send(no_watch(&app.address, &question, None))
            .await
            .problem("not_found");
        let refused = Socket::try_open(&app.address, &question, &[]).await;
        refused.err().expect("refused").problem("not_found");
    }
}

#[tokio::test]
async fn a_token_that_ends_takes_its_streams_along() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["a", "b"], json!({})).await;
    let watching = async |way, who: &User| {
        let mut stream = open(&app, way, &question, Some(who)).await;
        stream.event().await.ballots();
        stream
    };
    for way in WAYS {
        let (user, admin) = (app.user("luxi").await, app.admin("root").await);
        let mut anonymous = open(&app, way, &question, None).await;
        anonymous.event().await;

        let signed_out = app.another_session(&user).await;
        let stream = watching(way, &signed_out).await;
        signed_out.delete("/auth/sessions").await.expect(204);
        assert_eq!(stream.rest().await.1, "token_revoked");

        let again = app.another_session(&user).await;
        let stream = watching(way, &again).await;
        let promoted = json!({"role": "admin"});
        admin
            .patch(&format!("/users/{}", user.id), promoted)
            .await
            .expect(200);
        assert_eq!(stream.rest().await.1, "token_revoked");

        let again = app.another_session(&user).await;
        let stream = watching(way, &again).await;
        app.clock.advance(Duration::from_secs(16 * 60));
        assert_eq!(stream.rest().await.1, "token_expired");

        // The anonymous stream goes on.
        let voter = app.user("voter").await;
        voter.vote(&question, &[0]).await.expect(201);
        assert!(anonymous.event().await.ballots() > 0);
    }
}

#[tokio::test]
async fn stopping_ends_all_streams_and_waits_for_none() {
    for way in WAYS {
        // If the shutdown waited for streams, it would take ten minutes.
        let settings = [("http.shutdown_grace", "10m")];
        let mut app = TestApp::with(&settings).await;
        let author = app.user("lucy").await;
        let question = author.ask(&["a", "b"], json!({})).await;
        let mut streams = Vec::new();
        for _ in 0..20 {
            let mut stream = open(&app, way, &question, None).await;
            stream.event().await;
            streams.push(stream);
        }
        let ends = join_all(streams.into_iter().map(Stream::rest));
        let (ends, ()) = tokio::join!(ends, async {
            let stopped = tokio::time::timeout(Duration::from_secs(60), app.shut_down());
            stopped.await.expect("it stops");
        });
        assert!(
            ends.iter().all(|(_, reason)| reason == "shutting_down"),
            "{ends:?}"
        );
    }
}

#[tokio::test]
async fn only_who_may_read_the_results_may_watch_them() {
    let (app, author) = TestApp::with_user("lucy").await;
    let (voter, other) = (app.user("v").await, app.user("o").await);
    let admin = app.admin("root").await;
    for (visibility, of_voter) in [
        ("after_vote", true),
        ("after_close", false),
        ("author", false),
    ] {
        let more = json!({"results_visibility": visibility});
        let question = author.ask(&["a", "b"], more).await;
        voter.vote(&question, &[0]).await.expect(201);
        for who in [None, Some(&other)] {
            refused(&app, &question, who, "results_hidden").await;
        }
        if !of_voter {
            refused(&app, &question, Some(&voter), "results_hidden").await;
        }
        for way in WAYS {
            let mut seeing = vec![&author, &admin];
            seeing.extend(of_voter.then_some(&voter));
            for who in seeing {
                let mut stream = open(&app, way, &question, Some(who)).await;
                assert_eq!(stream.event().await.ballots(), 1);
            }
        }
    }
    let nowhere = Question {
        id: author.id.clone(),
        path: format!("/questions/{}", author.id),
        choices: Vec::new(),
    };
    send(no_watch(&app.address, &nowhere, None))
        .await
        .problem("not_found");
}

/// A user who withdraws the ballot that made the results visible sees no later results.
#[tokio::test]
async fn a_withdrawn_ballot_ends_the_view_before_anything_else_is_seen() {
    let (app, author) = TestApp::with_user("lucy").await;
    let more = json!({"results_visibility": "after_vote"});
    for way in WAYS {
        let question = author.ask(&["a", "b"], more.clone()).await;
        let (leaving, staying) = (app.user("l").await, app.user("s").await);
        leaving.vote(&question, &[0]).await.expect(201);
        staying.vote(&question, &[0]).await.expect(201);
        let leaver = open(&app, way, &question, Some(&leaving)).await;
        let mut stayer = open(&app, way, &question, Some(&staying)).await;
        assert_eq!(stayer.event().await.ballots(), 2);
        leaving.delete(&question.under("ballot")).await.expect(204);
        // More ballots follow, so the number of ballots does not show that one was withdrawn.
        for name in ["x", "y", "z"] {
            app.user(name).await.vote(&question, &[1]).await.expect(201);
        }
        let (seen, reason) = leaver.rest().await;
        assert_eq!((seen, reason.as_str()), (Some(2), "hidden"));
        stayer.until(4).await;
        // After voting again the results are visible again.
        refused(&app, &question, Some(&leaving), "results_hidden").await;
        leaving.vote(&question, &[0]).await.expect(201);
        let mut back = open(&app, way, &question, Some(&leaving)).await;
        assert_eq!(back.event().await.ballots(), 5);
    }
}

#[tokio::test]
async fn results_that_are_hidden_while_one_watches_are_not_seen_any_more() {
    let (app, author) = TestApp::with_user("lucy").await;
    for way in WAYS {
        let question = author.ask(&["a", "b"], json!({})).await;
        let mut stream = open(&app, way, &question, None).await;
        assert_eq!(stream.event().await.ballots(), 0);
        let hidden = json!({"results_visibility": "author"});
        author.patch(&question.path, hidden).await.expect(200);
        assert_eq!(stream.rest().await, (None, "hidden".to_owned()));
    }
}

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

/// A connection whose client asks for a stream and reads nothing.
async fn stalled(way: Way, server: &Server, question: &Question) -> tokio::net::TcpStream {
    let address = server.address.strip_prefix("http://").expect("TCP");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut stream = socket
        .connect(address.parse().expect("an address"))
        .await
        .expect("a connection");
    let request = match way {
        Way::Events => format!(
            "GET /api/v1{} HTTP/1.1\r\nhost: h\r\n\r\n",
            question.under("results/live")
        ),
        Way::Socket => format!(
            "GET /api/v1{} HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            question.under("results/ws")
        ),
    };
    stream.write_all(request.as_bytes()).await.expect("sent");
    if way == Way::Socket {
        // A masked text frame whose mask is zero.
        let hello = br#"{"type":"anonymous"}"#;
        let mut frame = vec![0x81, 0x80 | hello.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(hello);
        stream.write_all(&frame).await.expect("sent");
    }
    stream
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

#[tokio::test]
async fn a_stream_is_kept_alive() {
    let settings = [("live.heartbeat", "100ms")];
    let app = TestApp::with(&settings).await;
    let author = app.user("lucy").await;
    let question = author.ask(&["a", "b"], json!({})).await;
    let mut events = Events::open(watch(&app.address, &question, None)).await;
    let mut blocks = Vec::new();
    while blocks.iter().filter(|block| *block == ":").count() < 3 {
        blocks.push(events.block().await.expect("more"));
    }
    assert!(blocks[0].starts_with("retry: "), "{blocks:?}");

    let mut socket = Socket::open(&app.address, &question).await;
    socket.say(json!({"type": "anonymous"}).to_string()).await;
    let mut pings = 0;
    while pings < 3 {
        let message = socket.message().await.expect("more");
        pings += usize::from(message.is_ping());
    }
}

#[tokio::test]
async fn a_client_that_does_not_answer_a_ping_is_gone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let heartbeat = ["--set", "live.heartbeat=100ms"];
    let server = Server::start(folder.path(), &[&CHEAP_PASSWORDS[..], &heartbeat].concat());
    let author = &crowd(folder.path(), &server, 1)[0];
    let question = author.ask(&["a", "b"], json!({})).await;
    let _silent = stalled(Way::Socket, &server, &question).await;
    eventually(async || server.metric("polls_live_streams").await == 1.0).await;
    eventually(async || server.metric("polls_live_streams").await == 0.0).await;
}

#[tokio::test]
async fn a_socket_that_says_something_else_is_closed() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["a", "b"], json!({})).await;
    let anonymous = json!({"type": "anonymous"}).to_string();
    let large = json!({"type": "authenticate", "access_token": "x".repeat(17 * 1024)});
    let unknown = json!({"type": "anonymous", "access_token": "x"});
    let signed_in = json!({"type": "authenticate", "access_token": author.access_token});
    let bad = json!({"type": "authenticate", "access_token": "nonsense"});
    let cases: [(Vec<Message>, u16, &str); 9] = [
        (vec![Message::text("hello")], 4400, "malformed_request"),
        (vec![Message::text("{}")], 4400, "malformed_request"),
        (
            vec![Message::text(r#"{"type":"nobody"}"#)],
            4400,
            "malformed_request",
        ),
        (
            vec![Message::text(unknown.to_string())],
            4400,
            "malformed_request",
        ),
        (
            vec![Message::binary(anonymous.clone())],
            1003,
            "unsupported_media_type",
        ),
        (
            vec![Message::text(large.to_string())],
            1009,
            "payload_too_large",
        ),
        (
            vec![Message::text(bad.to_string())],
            4401,
            "unauthenticated",
        ),
        (
            vec![Message::text(anonymous), Message::text("more")],
            4400,
            "malformed_request",
        ),
        (
            vec![
                Message::text(signed_in.to_string()),
                Message::binary("more"),
            ],
            1003,
            "unsupported_media_type",
        ),
    ];
    for (messages, code, reason) in cases {
        let mut socket = Socket::open(&app.address, &question).await;
        for message in messages {
            socket.send(message).await;
        }
        assert_eq!(socket.close().await, (code, reason.to_owned()));
    }
    // A client that sends nothing is disconnected after five seconds.
    let socket = Socket::open(&app.address, &question).await;
    assert_eq!(socket.close().await, (4408, "request_timeout".to_owned()));
}

#[tokio::test]
async fn ends_close_a_socket_with_codes_of_their_own() {
    let (mut app, author) = TestApp::with_user("lucy").await;
    let watching = async |question: &Question, who: &User| {
        let mut socket = Socket::open(&app.address, question).await;
        let hello = json!({"type": "authenticate", "access_token": who.access_token});
        socket.say(hello.to_string()).await;
        assert_eq!(socket.next().await.expect("an event").ballots(), 0);
        socket
    };
    let ask = async || author.ask(&["a", "b"], json!({})).await;
    let (closed, open) = (ask().await, ask().await);
    let socket = watching(&closed, &author).await;
    author
        .post(&closed.under("close"), json!(null))
        .await
        .expect(200);
    assert_eq!(socket.close().await, (1000, "closed".to_owned()));
    let user = app.user("luxi").await;
    let socket = watching(&open, &user).await;
    user.delete("/auth/sessions").await.expect(204);
    assert_eq!(socket.close().await, (4401, "token_revoked".to_owned()));
    let socket = watching(&open, &author).await;
    let (closed, ()) = tokio::join!(socket.close(), app.shut_down());
    assert_eq!(closed, (1001, "shutting_down".to_owned()));
}

#[tokio::test]
async fn only_a_handshake_opens_a_socket() {
    let app = TestApp::with(&[("cors.origins", "https://a.example")]).await;
    let author = app.user("lucy").await;
    let question = author.ask(&["a", "b"], json!({})).await;
    let path = question.under("results/ws");
    app.get(&path)
        .await
        .expect(400)
        .problem("malformed_request");
    let try_open = async |headers: &[(&'static str, &str)]| {
        Socket::try_open(&app.address, &question, headers)
            .await
            .map(drop)
    };
    let token = format!("Bearer {}", author.access_token);
    let refused = try_open(&[("authorization", &token)]).await;
    refused
        .unwrap_err()
        .expect(400)
        .problem("malformed_request");
    let refused = try_open(&[("sec-websocket-version", "8")]).await;
    refused
        .unwrap_err()
        .expect(400)
        .problem("malformed_request");
    for stranger in ["https://evil.example", "null"] {
        let refused = try_open(&[("origin", stranger)]).await;
        refused.unwrap_err().expect(403).problem("forbidden");
    }
    for friend in ["https://a.example", app.address.as_str()] {
        assert!(try_open(&[("origin", friend)]).await.is_ok(), "{friend}");
    }
    // A token in the URL would be written into access logs.
    for path in [path, question.under("results/live")] {
        let path = format!("{path}?access_token={}", author.access_token);
        app.get(&path)
            .await
            .expect(400)
            .problem("malformed_request");
    }
}

#[tokio::test]
async fn a_stream_can_be_asked_about_without_opening_one() {
    let app = TestApp::with(&[("live.max_streams", "1")]).await;
    let author = app.user("lucy").await;
    let question = author.ask(&["a", "b"], json!({})).await;
    let path = question.under("results/live");
    for _ in 0..3 {
        let head = send(app.request(Method::HEAD, &path)).await.expect(200);
        assert_eq!(head.header("content-type"), "text/event-stream");
        assert!(head.bytes.is_empty());
    }
    let json = app
        .request(Method::GET, &path)
        .header("accept", "application/json");
    send(json).await.expect(406);
    let bad = app.request(Method::GET, &path).bearer_auth("nonsense");
    send(bad).await.expect(401);
    let event: Event = open(&app, Way::Events, &question, None).await.event().await;
    assert_eq!(event.ballots(), 0);
}

#[tokio::test]
async fn the_page_behind_a_proxy_opens_sockets() {
    let settings = [
        ("cors.origins", "https://a.example"),
        ("server.public_url", "https://polls.example"),
    ];
    let app = TestApp::with(&settings).await;
    let author = app.user("lucy").await;
    let question = author.ask(&["a", "b"], json!({})).await;
    // `Host` is the server's address as the proxy uses it.
    let own = [("origin", "https://polls.example")];
    let opened = Socket::try_open(&app.address, &question, &own).await;
    assert!(opened.is_ok());
    for stranger in ["http://polls.example", "https://polls.example.evil"] {
        let refused = Socket::try_open(&app.address, &question, &[("origin", stranger)]).await;
        let refused = refused.map(drop).unwrap_err();
        refused.expect(403).problem("forbidden");
    }
}
