//! Live results: which events a client gets, and how streams end.

mod load;
mod sockets;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;

use crate::support::app::send;
use crate::support::live::{Socket, Stream, WAYS, Way, no_watch};
use crate::support::{Question, Server, TestApp, User};

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
        // An edit that changes nothing of the results is told by the revision alone.
        let revision = fourth.data["revision"].as_i64().expect("a revision");
        let edit = json!({"description": "changed"});
        author.patch(&question.path, edit).await.expect(200);
        assert_eq!(stream.event().await.data["revision"], revision + 1);
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
