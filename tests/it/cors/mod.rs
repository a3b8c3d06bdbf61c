//! Web pages of other origins, in a real Chromium.

use poem::endpoint::make_sync;
use poem::listener::TcpAcceptor;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::support::{Browser, PASSWORD, TestApp};

/// Somebody else's server, whose only page does nothing by itself.
struct Elsewhere {
    address: String,
    _running: AbortOnDropHandle<std::io::Result<()>>,
}

impl Elsewhere {
    async fn start() -> Elsewhere {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let acceptor = TcpAcceptor::from_tokio(listener).expect("it listens");
        let page = make_sync(|_| poem::web::Html("<!doctype html><title>Elsewhere</title>"));
        let server = poem::Server::new_with_acceptor(acceptor).run(page);
        Elsewhere {
            address: format!("http://{address}"),
            _running: AbortOnDropHandle::new(tokio::spawn(server)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_origin_signs_in_refreshes_votes_and_reads_the_results() {
    let elsewhere = Elsewhere::start().await;
    let app = TestApp::with(&[("cors.origins", &elsewhere.address)]).await;
    let Some(mut browser) = Browser::open(&elsewhere.address, "en").await else {
        return;
    };
    browser.also(&app.address);
    browser.also(&app.address.replace("http", "ws"));
    browser.open_page("/").await;
    let arguments = vec![json!(app.address), json!(PASSWORD)];
    let story = browser.run_with(include_str!("story.js"), arguments).await;
    assert_eq!(story["origin"], json!(elsewhere.address));
    let statuses = [
        ("registered", 201),
        ("signedIn", 200),
        ("refreshed", 200),
        ("asked", 201),
        ("voted", 201),
        ("results", 200),
        ("unchanged", 304),
        ("refused", 412),
        ("withdrawn", 204),
        ("signedOut", 200),
    ];
    for (step, status) in statuses {
        assert_eq!(story[step]["status"], json!(status), "{step}: {story:#}");
    }
    // What browsers keep from pages unless it is exposed.
    let headers = [
        ("asked", "location"),
        ("asked", "etag"),
        ("refused", "x-request-id"),
    ];
    for (step, header) in headers {
        assert!(
            story[step]["headers"][header].is_string(),
            "{step} {header}"
        );
    }
    assert_eq!(story["refused"]["json"]["code"], json!("stale"));
    let votes = |results: &serde_json::Value| {
        let choices = results["choices"].as_array().expect("choices");
        choices
            .iter()
            .map(|it| it["votes"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(votes(&story["results"]["json"]), [json!(0), json!(1)]);
    assert_eq!(story["message"]["type"], json!("results"));
    assert_eq!(votes(&story["message"]["data"]), [json!(0), json!(1)]);
    let event = story["event"].as_str().expect("an event");
    assert!(event.contains("event: results\n"), "{event}");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unlisted_origin_reads_nothing() {
    let elsewhere = Elsewhere::start().await;
    let app = TestApp::with(&[("cors.origins", "https://app.example.org")]).await;
    let Some(browser) = Browser::open(&elsewhere.address, "en").await else {
        return;
    };
    let user = app.user("Ada").await;
    let question = user.ask(&["this", "that"], json!({})).await;
    browser.open_page("/").await;
    let script = "
        const api = `${arguments[0]}/api/v1`;
        const json = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{}' };
        const socket = new WebSocket(`${api.replace('http', 'ws')}${arguments[1]}`);
        const opened = new Promise((resolve) => {
            socket.onopen = () => resolve('opened');
            socket.onerror = () => resolve('refused');
        });
        const tried = await Promise.allSettled([
            fetch(`${api}/questions`), fetch(`${api}/users`, json), fetch(`${arguments[0]}/healthz`),
        ]);
        return [...tried.map((it) => it.reason?.name ?? it.value.status), await opened]";
    let tried = browser
        .run_with(
            script,
            vec![json!(app.address), json!(question.under("results/ws"))],
        )
        .await;
    let refused = ["TypeError", "TypeError", "TypeError", "refused"];
    assert_eq!(tried, json!(refused));
    browser.abandon().await;
}
