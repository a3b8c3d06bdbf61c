//! The protocol of live streams: heartbeats, WebSocket messages, close codes, handshakes.

use reqwest::Method;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::{open, stalled};
use crate::support::app::send;
use crate::support::crowd::{CHEAP_PASSWORDS, crowd};
use crate::support::live::{Event, Events, Socket, Way, watch};
use crate::support::{Question, Server, TestApp, User, eventually};

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
    // Whoever reads JSON gets the only form there is, and a problem instead of it.
    let head = |accept: &str| app.request(Method::HEAD, &path).header("accept", accept);
    for json in ["application/json", "application/problem+json"] {
        let stream = send(head(json)).await.expect(200);
        assert_eq!(stream.header("content-type"), "text/event-stream");
        let secret = json!({"results_visibility": "author"});
        let secret = author.ask(&["a", "b"], secret).await.under("results/live");
        let hidden = app.request(Method::GET, &secret).header("accept", json);
        send(hidden).await.problem("results_hidden").expect(403);
    }
    send(head("text/html")).await.expect(406);
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
