//! `polls load`: each scenario on the real server, and faults of stub servers that it must notice.

use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use polls::ballots::recount;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::methods::METHODS;
use crate::support::crowd::CHEAP_PASSWORDS;
use crate::support::process::Run;
use crate::support::{PASSWORD, Server, TestApp};

/// Runs `polls load` beside the servers of the test.
async fn load(arguments: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_polls"));
    command.env_clear().arg("load").args(arguments);
    let run = tokio::task::spawn_blocking(move || Run::of(&mut command, ""));
    run.await.expect("it runs")
}

/// Runs it successfully and returns the report.
async fn report(arguments: &[&str]) -> Value {
    let printed = load(&[arguments, &["--json"]].concat()).await.done();
    serde_json::from_str(&printed).expect("JSON")
}

/// Runs it with a limited number of file descriptors.
async fn load_with_descriptors(most: u32, arguments: &[&str]) -> Run {
    let mut command = Command::new("sh");
    let script = format!("ulimit -n {most}; exec \"$0\" load \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_polls")]);
    command.env_clear().args(arguments);
    let run = tokio::task::spawn_blocking(move || Run::of(&mut command, ""));
    run.await.expect("it runs")
}

/// A server that answers as the test says, and counts its connections. Live streams never end.
struct Stub {
    address: String,
    connections: Arc<AtomicUsize>,
}

/// A request to a stub: the head, and the text of the body.
type Asked = (http::request::Parts, String);

impl Stub {
    async fn start<F: Future<Output = (u16, Value)> + Send>(
        answer: impl Fn(Asked) -> F + Send + Sync + 'static,
    ) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let connections = Arc::new(AtomicUsize::new(0));
        let (answer, count) = (Arc::new(answer), connections.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let answer = answer.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = answer.clone();
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await.expect("a body").to_bytes();
                        let body = String::from_utf8_lossy(&body).into_owned();
                        let (status, body) = answer((parts.clone(), body)).await;
                        let is_live = parts.uri.path().ends_with("/live");
                        let mut response = Response::new(match body.as_str() {
                            Some(text) if is_live => Either::Left(unending(text)),
                            _ => Either::Right(Full::new(Bytes::from(body.to_string()))),
                        });
                        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
                        Ok::<_, Infallible>(response)
                    }
                });
                tokio::spawn(async move {
                    let protocol = auto::Builder::new(TokioExecutor::new());
                    // A client may close its connection at any time.
                    let _ = protocol
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Stub {
            address,
            connections,
        }
    }

    /// Answers each request with a status that depends on how many came before.
    async fn of_statuses(status: impl Fn(usize) -> u16 + Send + Sync + 'static) -> Stub {
        let count = AtomicUsize::new(0);
        Stub::start(move |_| {
            let status = status(count.fetch_add(1, Ordering::Relaxed));
            async move { (status, json!("here you are")) }
        })
        .await
    }
}

/// A body that begins with this and never ends.
fn unending(text: &str) -> impl hyper::body::Body<Data = Bytes, Error = Infallible> + use<> {
    let begin = Frame::data(Bytes::copy_from_slice(text.as_bytes()));
    StreamBody::new(stream::iter([Ok(begin)]).chain(stream::pending()))
}

fn count(report: &Value, pointer: &str) -> u64 {
    let number = report.pointer(pointer).and_then(Value::as_u64);
    number.unwrap_or_else(|| panic!("no number at {pointer} in {report}"))
}

fn number(report: &Value, pointer: &str) -> f64 {
    let number = report.pointer(pointer).and_then(Value::as_f64);
    number.unwrap_or_else(|| panic!("no number at {pointer} in {report}"))
}

#[tokio::test]
async fn reading_scenarios_read() {
    let (app, ada) = TestApp::with_user("ada").await;
    let question = ada.ask(&["a", "b"], json!({})).await;
    ada.ask(&["a", "b"], json!({})).await;
    let lengths = [
        (
            "get",
            format!("{}/healthz", app.address),
            "/healthz".to_owned(),
        ),
        (
            "read",
            app.address.clone(),
            format!("/api/v1{}", question.path),
        ),
        (
            "list",
            app.address.clone(),
            "/api/v1/questions?limit=2".to_owned(),
        ),
    ];
    for (scenario, url, path) in lengths {
        let mut arguments = vec![
            url.as_str(),
            scenario,
            "-c",
            "3",
            "-n",
            "20",
            "--limit",
            "2",
        ];
        if scenario == "read" {
            arguments.extend(["--question", &question.id]);
        }
        let report = report(&arguments).await;
        assert_eq!(report["scenario"], scenario);
        assert_eq!(count(&report, "/requests"), 20, "{report}");
        assert_eq!(count(&report, "/failed"), 0, "{report}");
        // It has read what other clients read.
        let page = crate::support::app::send(app.outside(reqwest::Method::GET, &path)).await;
        let expected = 20.0 * page.bytes.len() as f64 / 1e6;
        let received = number(&report, "/received_mb");
        assert!((received - expected).abs() < 1e-9, "{scenario}: {report}");
    }
    // Fractions of a second in results vary in length.
    let report = report(&[&app.address, "results", "-c", "2", "-n", "9"]).await;
    assert_eq!(count(&report, "/requests"), 9, "{report}");
    assert!(number(&report, "/received_mb") > 0.001, "{report}");
}

#[tokio::test]
async fn the_report_has_every_figure() {
    let stub = Stub::of_statuses(|_| 200).await;
    let report = report(&[
        &stub.address,
        "--rounds",
        "3",
        "--pause",
        "1ms",
        "-n",
        "40",
        "--body",
        "twelve bytes",
    ])
    .await;
    assert_eq!(count(&report, "/requests"), 120);
    assert_eq!(count(&report, "/clients"), 64);
    assert_eq!(report["protocol"], "HTTP/1.1");
    let rounds = report["rounds"].as_array().expect("rounds");
    assert_eq!(rounds.len(), 3);
    let seconds: f64 = rounds.iter().map(|round| number(round, "/seconds")).sum();
    assert!(
        (seconds - number(&report, "/seconds")).abs() < 1e-6,
        "{report}"
    );
    assert!(rounds.iter().all(|round| count(round, "/requests") == 40));

    let latency = |name: &str| number(&report, &format!("/latency_ms/{name}"));
    let rising = ["min", "p50", "top_90", "p95", "p99", "p99.9", "max"].map(latency);
    assert!(rising[0] > 0.0 && rising.is_sorted(), "{rising:?}");
    assert!((rising[0]..=rising[6]).contains(&latency("mean")));
    let rate = 120.0 / number(&report, "/seconds");
    assert!((number(&report, "/requests_per_second") / rate - 1.0).abs() < 1e-6);
    assert!((number(&report, "/sent_mb") - 120.0 * 12.0 / 1e6).abs() < 1e-9);
    assert!(number(&report, "/received_mb_per_second") > 0.0);
    let steps = report["latency_steps"].as_array().expect("steps");
    let in_steps: u64 = steps.iter().map(|step| count(step, "/requests")).sum();
    assert_eq!(in_steps, 120);

    // The report for people.
    let printed = load(&[&stub.address, "-n", "10"]).await.done();
    for word in [
        "Requests",
        "Total time",
        "Rate",
        "Fastest",
        "Slowest",
        "Top 90 %",
        "p99.9",
        "MB/s",
        "█",
    ] {
        assert!(printed.contains(word), "{word} is not in {printed}");
    }
}

#[tokio::test]
async fn every_acknowledged_ballot_is_counted() {
    let app = TestApp::start().await;
    let arguments = [
        &app.address,
        "vote",
        "-c",
        "4",
        "--users",
        "10",
        "--questions",
        "3",
    ];
    let report = report(&arguments).await;
    assert_eq!(count(&report, "/ballots/stored"), 30, "{report}");
    assert_eq!(count(&report, "/ballots/counted"), 30, "{report}");
    assert_eq!(report["ballots"]["agrees"], true);
    assert_eq!(report["exhausted"], true);
    let list = app.get("/questions").await.expect(200);
    let questions = list.json["data"].as_array().expect("questions").iter();
    let counts: Vec<u64> = questions.map(|one| count(one, "/ballot_count")).collect();
    assert_eq!(counts, [10, 10, 10]);
}

/// By every method, and within the limits of a question that exists.
#[tokio::test]
async fn ballots_of_every_method_are_cast_and_changed() {
    let (app, ada) = TestApp::with_user("ada").await;
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("tokens");
    let mut lines = String::new();
    for name in ["one", "two", "three", "four"] {
        lines.push_str(&app.user(name).await.access_token);
        lines.push('\n');
    }
    fs::write(&tokens, lines).expect("a file");
    let tokens = tokens.display().to_string();
    let vote = async |stored: u64, more: &[&str]| {
        let requests = (3 * stored).to_string();
        let arguments = [&app.address, "vote", "-c", "4", "--revote", "-n", &requests];
        let report = report(&[&arguments[..], more].concat()).await;
        assert_eq!(count(&report, "/failed"), 0, "{report}");
        assert_eq!(count(&report, "/ballots/stored"), stored, "{report}");
        assert_eq!(count(&report, "/ballots/changed"), 2 * stored, "{report}");
        assert_eq!(report["ballots"]["agrees"], true, "{report}");
    };
    for method in METHODS {
        let users = ["--users", "8", "--questions", "2", "--voting-method"];
        vote(16, &[&users[..], &[method]].concat()).await;
        let newest = app.get("/questions?limit=2").await.expect(200).json;
        for question in newest["data"].as_array().expect("questions") {
            assert_eq!(question["method"], method);
            assert_eq!(question["ballot_count"], 8, "{method}");
        }
    }
    for more in [
        json!({"method": "score", "max_score": 3}),
        json!({"method": "score", "max_score": 1, "min_choices": 2}),
        json!({"method": "star", "min_choices": 0, "max_choices": 1}),
        json!({"method": "borda", "min_choices": 3}),
    ] {
        let question = ada.ask(&["a", "b", "c"], more).await;
        vote(4, &["--tokens", &tokens, "--question", &question.id]).await;
    }
    let differences = recount::check(&app.db).await.expect("it is checked");
    assert_eq!(differences, []);
}

#[tokio::test]
async fn changed_ballots_count_and_repeats_are_told_apart() {
    let (app, ada) = TestApp::with_user("ada").await;
    let question = ada.ask(&["a", "b", "c"], json!({})).await;
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("tokens");
    let bob = app.user("bob").await;
    let lines = [&ada, &bob].map(|user| format!("{} {}\n", user.id, user.access_token));
    fs::write(&tokens, lines.concat()).expect("a file");
    let tokens = tokens.display().to_string();
    let common = [
        &app.address,
        "vote",
        "-c",
        "2",
        "--question",
        &question.id,
        "--tokens",
        &tokens,
    ];

    let changing = report(&[&common[..], &["--revote", "-n", "8"]].concat()).await;
    assert_eq!(count(&changing, "/ballots/stored"), 2, "{changing}");
    assert_eq!(count(&changing, "/ballots/changed"), 6, "{changing}");
    assert_eq!(count(&changing, "/ballots/counted"), 2, "{changing}");

    let again = report(&common).await;
    assert_eq!(count(&again, "/ballots/stored"), 0, "{again}");
    assert_eq!(count(&again, "/ballots/repeated"), 2, "{again}");
    let printed = load(&common).await.done();
    assert!(printed.contains("0 new, 0 changed"), "{printed}");
    assert!(printed.contains("2 answered 200"), "{printed}");
}

#[tokio::test]
async fn mixed_keeps_its_shares_and_signs_in() {
    let app = TestApp::start().await;
    let report = report(&[&app.address, "mixed", "-c", "1", "-n", "232"]).await;
    let part = |name: &str| count(&report, &format!("/parts/{name}/requests"));
    let parts = ["read", "results", "ballots", "sign-in"].map(part);
    assert_eq!(parts, [200, 20, 10, 2], "{report}");
    assert_eq!(count(&report, "/failed"), 0, "{report}");
    assert_eq!(count(&report, "/ballots/changed"), 9, "{report}");

    let (app, ada) = TestApp::with_user("ada").await;
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("tokens");
    fs::write(&tokens, &ada.access_token).expect("a file");
    let tokens = tokens.display().to_string();
    let common = [
        &app.address,
        "sign-in",
        "-c",
        "2",
        "-n",
        "6",
        "--tokens",
        &tokens,
    ];
    let lacks = load(&common).await.fails(1);
    assert!(lacks.contains("--password"), "{lacks}");
    let signed = self::report(&[&common[..], &["--password", PASSWORD]].concat()).await;
    assert_eq!(count(&signed, "/requests"), 6, "{signed}");
    let named = [&app.address, "sign-in", "-n", "4", "--login", &ada.email];
    let named = self::report(&[&named[..], &["--password", PASSWORD]].concat()).await;
    assert_eq!(count(&named, "/requests"), 4, "{named}");
    let wrong = load(&[&common[..], &["--password", "another one"]].concat()).await;
    assert!(wrong.stdout.contains("status 400"), "{wrong:?}");
    wrong.fails(1);
}

/// A server with one question that accepts ballots. From the third on it reports the numbers that
/// `counted` returns: ballots, and votes of the first choice.
async fn counts(counted: fn(i64) -> (i64, i64)) -> Stub {
    counts_and_tells(counted, &[]).await
}

/// The same, with the events that it sends to each watcher in turn.
async fn counts_and_tells(counted: fn(i64) -> (i64, i64), told: &'static [&str]) -> Stub {
    let (cast, watchers) = (AtomicUsize::new(0), AtomicUsize::new(0));
    Stub::start(move |(parts, _)| {
        let watches = parts.uri.path().ends_with("/live");
        let watcher = watchers.fetch_add(usize::from(watches), Ordering::Relaxed);
        let is_ballot = parts.method == http::Method::PUT;
        let before = cast.fetch_add(usize::from(is_ballot), Ordering::Relaxed) as i64;
        async move {
            if is_ballot {
                return (201, json!({}));
            }
            if watches {
                return (200, json!(told[watcher]));
            }
            let (ballots, votes) = counted(before);
            let choice = |votes| json!({"id": format!("choice of {votes}"), "votes": votes});
            let choices = [choice(votes), choice(before - before / 2 - before % 2)];
            (
                200,
                json!({"id": "q", "ballot_count": ballots, "choices": choices}),
            )
        }
    })
    .await
}

#[tokio::test]
async fn a_server_that_miscounts_is_found_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("tokens");
    fs::write(&tokens, "t1\nt2\nt3\nt4\n").expect("a file");
    let tokens = tokens.display().to_string();
    let question = "00000000-0000-7000-8000-000000000000";
    let vote = async |counted| {
        let stub = counts(counted).await;
        let url = &stub.address;
        load(&[
            url,
            "vote",
            "-c",
            "2",
            "--question",
            question,
            "--tokens",
            &tokens,
        ])
        .await
    };
    let honest = vote(|ballots| (ballots, ballots / 2 + ballots % 2))
        .await
        .done();
    assert!(honest.contains("as many as were acknowledged"), "{honest}");
    let forgets = vote(|ballots| (ballots - ballots / 4, ballots / 2))
        .await
        .fails(1);
    assert!(
        forgets.contains("4 ballots were acknowledged as new, 3 were counted"),
        "{forgets}"
    );
    let invents = vote(|ballots| (ballots + ballots / 4, ballots / 2))
        .await
        .fails(1);
    assert!(invents.contains("5 were counted"), "{invents}");
    let shifts = vote(|ballots| (ballots, ballots / 4)).await.fails(1);
    assert!(
        shifts.contains("choice 1: 2 votes were acknowledged, 1 were counted"),
        "{shifts}"
    );
}

#[tokio::test]
async fn every_watcher_sees_every_ballot() {
    let (app, ada) = TestApp::with_user("ada").await;
    let question = ada.ask(&["a", "b"], json!({})).await;
    ada.vote(&question, &[0]).await.expect(201);
    let arguments = [
        &app.address,
        "watch",
        "-c",
        "20",
        "--voters",
        "3",
        "--users",
        "30",
        "--question",
        &question.id,
    ];
    let report = report(&arguments).await;
    assert_eq!(count(&report, "/requests"), 30, "{report}");
    assert_eq!(count(&report, "/ballots/counted"), 30, "{report}");
    assert_eq!(count(&report, "/clients"), 20, "{report}");
    assert_eq!(count(&report, "/watched/voters"), 3, "{report}");
    assert_eq!(report["watched"]["missed"], json!({}), "{report}");
    let of = |name: &str| number(&report, &format!("/watched/{name}"));
    // Each watcher has had its first event before, so the ballots came in at least one more.
    assert!(of("events") >= 20.0, "{report}");
    assert!(of("received_mb") > of("events") * 100.0 / 1e6, "{report}");
    let rate = of("events_per_watcher_and_second") * 20.0;
    assert!((rate / of("events_per_second") - 1.0).abs() < 1e-6);
    // No lag is longer than the whole run; the histogram is precise to three digits.
    let rising = ["min", "p50", "p95", "p99", "max"].map(|name| of(&format!("lag_ms/{name}")));
    assert!(rising.is_sorted(), "{report}");
    assert!(rising[4] <= of("seconds") * 1e3 * 1.01, "{report}");
    assert!((0.0..=of("seconds") * 1e3).contains(&of("last_watcher_ms")));

    let printed = load(&[&app.address, "watch", "-c", "2", "--voters", "1"]).await;
    let printed = printed.done();
    for words in ["2 watchers, 1 voters", "2: each saw all ballots", "Lag"] {
        assert!(printed.contains(words), "{words} is not in {printed}");
    }
}

#[tokio::test]
async fn watchers_are_spread_over_processes() {
    let folder = tempfile::tempdir().expect("a folder");
    let half = ["--set", "live.max_streams=5"];
    let arguments = [&half[..], &CHEAP_PASSWORDS].concat();
    let start = || Server::start(folder.path(), &arguments);
    let (one, other) = (start(), start());
    let watch = ["watch", "-c", "10", "--voters", "2", "--users", "20"];
    let also = ["--also", &other.address];
    let report = report(&[&[&one.address[..]], &watch[..], &also].concat()).await;
    assert_eq!(count(&report, "/ballots/counted"), 20, "{report}");
    assert_eq!(report["watched"]["missed"], json!({}), "{report}");
}

#[tokio::test]
async fn who_misses_ballots_is_found_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("tokens");
    fs::write(&tokens, "t1\nt2\nt3\nt4\n").expect("a file");
    let tokens = tokens.display().to_string();
    let stub = counts_and_tells(
        |ballots| (ballots, ballots / 2 + ballots % 2),
        &[
            "event: results\ndata: {\"ballot_count\":0}\n\n\
             event: results\ndata: {\"ballot_count\":4}\n\n",
            "event: results\ndata: {\"ballot_count\":0}\n\n\
             event: results\ndata: {\"ballot_count\":3}\n\n",
            "event: results\ndata: {\"ballot_count\":0}\n\n\
             event: end\ndata: {\"reason\":\"deleted\"}\n\n",
        ],
    )
    .await;
    let run = load(&[
        &stub.address,
        "watch",
        "-c",
        "3",
        "--voters",
        "2",
        "--question",
        "00000000-0000-7000-8000-000000000000",
        "--tokens",
        &tokens,
        "--timeout",
        "2s",
    ])
    .await;
    assert!(
        run.stdout.contains("as many as were acknowledged"),
        "{run:?}"
    );
    assert!(
        run.stdout.contains("3: 2 DID NOT SEE ALL BALLOTS"),
        "{run:?}"
    );
    let error = run.fails(1);
    for words in [
        "1 of 3 watchers: not all ballots arrived within the timeout",
        "1 of 3 watchers: the server ended the stream: deleted",
    ] {
        assert!(error.contains(words), "{words} is not in {error}");
    }
}

#[tokio::test]
async fn who_gets_no_stream_is_told_why() {
    let app = TestApp::with(&[("live.max_streams_per_address", "2")]).await;
    let watch = [&app.address, "watch", "--voters", "1", "-c"];
    let error = load(&[&watch[..], &["5"]].concat()).await.fails(1);
    for words in [
        "3 of 5 watchers could not open a stream",
        "3  status 503",
        "--set live.max_streams_per_address=5",
    ] {
        assert!(error.contains(words), "{words} is not in {error}");
    }
}

#[tokio::test]
async fn a_want_of_file_descriptors_is_told() {
    let app = TestApp::start().await;
    let watch = [&app.address, "watch", "--voters", "1", "-c", "100"];
    let error = load_with_descriptors(60, &watch).await.fails(1);
    for words in ["no file descriptor was left", "`ulimit -n 1100`"] {
        assert!(error.contains(words), "{words} is not in {error}");
    }
    let health = format!("{}/healthz", app.address);
    let arguments = [&health, "get", "-c", "100", "-n", "300", "--json"];
    let printed = load_with_descriptors(60, &arguments).await.done();
    let report: Value = serde_json::from_str(&printed).expect("JSON");
    assert!(
        count(&report, "/errors_by_kind/descriptors") > 0,
        "{report}"
    );
}

#[tokio::test]
async fn waiting_is_not_hidden_when_requests_are_due_at_a_rate() {
    const STALL: Duration = Duration::from_secs(1);
    let served = AtomicUsize::new(0);
    let stub = Stub::start(move |_| {
        let stalls = served.fetch_add(1, Ordering::Relaxed) == 50;
        async move {
            if stalls {
                tokio::time::sleep(STALL).await;
            }
            (200, json!(null))
        }
    })
    .await;
    let report = report(&[&stub.address, "-c", "1", "--rate", "100", "-d", "2s"]).await;
    // One request hit the pause, and a hundred were due meanwhile.
    assert_eq!(count(&report, "/requests"), 200, "{report}");
    assert_eq!(number(&report, "/asked_rate"), 100.0);
    assert!(number(&report, "/latency_ms/p95") > 500.0, "{report}");
    assert!(number(&report, "/seconds") > 1.9, "{report}");
}

#[tokio::test]
async fn what_cannot_be_sent_in_time_is_told() {
    let stub = Stub::start(|_| std::future::pending()).await;
    let url = &stub.address;
    let arguments = [
        url,
        "-c",
        "1",
        "--rate",
        "50",
        "-n",
        "30",
        "--timeout",
        "100ms",
    ];
    let run = load(&[&arguments[..], &["--json"]].concat()).await;
    let report: Value = serde_json::from_str(&run.stdout).expect("JSON");
    let of = |kind| report["errors_by_kind"][kind].as_u64().unwrap_or_default();
    assert_eq!(of("timeout") + of("unsent"), 30, "{report}");
    assert!(of("timeout") > 0, "{report}");
    assert!(run.fails(1).contains("no request succeeded"));
}

#[tokio::test]
async fn errors_are_told_by_status_and_by_kind() {
    let stub = Stub::of_statuses(|before| [200, 503, 404, 302][before % 4]).await;
    let report = report(&[&stub.address, "-c", "3", "-n", "40"]).await;
    assert_eq!(count(&report, "/requests"), 20, "{report}");
    assert_eq!(count(&report, "/failed"), 20, "{report}");
    assert_eq!(report["errors_by_status"], json!({"404": 10, "503": 10}));
    assert_eq!(report["errors_by_kind"], json!({}));

    let served = AtomicUsize::new(0);
    let stub = Stub::start(move |_| {
        let hangs = served.fetch_add(1, Ordering::Relaxed) % 5 == 4;
        async move {
            match hangs {
                true => std::future::pending().await,
                false => (200, json!(null)),
            }
        }
    })
    .await;
    let arguments = [&stub.address, "-c", "1", "-n", "10", "--timeout", "2s"];
    let report = self::report(&arguments).await;
    assert_eq!(report["errors_by_kind"], json!({"timeout": 2}), "{report}");
    assert_eq!(count(&report, "/requests"), 8, "{report}");

    // A server that reads the request and closes the connection.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 16];
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut head).await;
        }
    });
    let run = load(&[&url, "-c", "1", "-n", "3"]).await;
    assert!(run.stdout.contains("closed"), "{run:?}");
    run.fails(1);
}

#[tokio::test]
async fn http2_is_spoken() {
    let stub = Stub::start(|(parts, _)| {
        let status = if parts.version == Version::HTTP_2 {
            200
        } else {
            505
        };
        async move { (status, json!(null)) }
    })
    .await;
    let report = report(&[&stub.address, "--http2", "-c", "2", "-n", "10"]).await;
    assert_eq!(count(&report, "/requests"), 10, "{report}");
    load(&[&stub.address, "-c", "2", "-n", "10"]).await.fails(1);

    let app = TestApp::start().await;
    let vote = ["vote", "--http2", "-c", "4", "--users", "8"];
    let report = self::report(&[&[app.address.as_str()], &vote[..]].concat()).await;
    assert_eq!(count(&report, "/ballots/stored"), 8, "{report}");
}

#[tokio::test]
async fn a_unix_socket_is_loaded_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let unlimited = ["--set", "limits.enabled=false"];
    let arguments = [&["--path", "polls.sock"], &unlimited[..], &CHEAP_PASSWORDS].concat();
    let _server = Server::serve(folder.path(), &arguments);
    let socket = folder.path().join("polls.sock").display().to_string();
    let common = ["http://localhost", "vote", "--unix-socket", &socket];
    let report = report(&[&common[..], &["-c", "2", "--users", "4"]].concat()).await;
    assert_eq!(count(&report, "/ballots/counted"), 4, "{report}");
    let nowhere = folder.path().join("nowhere").display().to_string();
    let error = load(&["http://localhost", "--unix-socket", &nowhere])
        .await
        .fails(1);
    assert!(error.contains("nowhere"), "{error}");
}

#[tokio::test]
async fn connections_are_kept_or_not() {
    let stub = Stub::of_statuses(|_| 200).await;
    let opened = || stub.connections.swap(0, Ordering::Relaxed);
    report(&[&stub.address, "-c", "2", "-n", "20"]).await;
    // One more for checking that the server answers.
    assert_eq!(opened(), 3);
    report(&[&stub.address, "-c", "2", "-n", "20", "--no-keep-alive"]).await;
    // Each client connects at the beginning, even if it has nothing to send.
    assert!((21..=23).contains(&opened()));
}

#[tokio::test]
async fn connections_are_spread_over_processes() {
    let (one, other) = (
        Stub::of_statuses(|_| 200).await,
        Stub::of_statuses(|_| 200).await,
    );
    let common = ["-c", "4", "-n", "40", "--also", &other.address];
    report(&[&[one.address.as_str()], &common[..]].concat()).await;
    let opened = [one, other].map(|stub| stub.connections.load(Ordering::Relaxed));
    // One more each for checking that the server answers.
    assert_eq!(opened, [3, 3]);
    let error = load(&["http://localhost", "--also", "http://localhost/page"]);
    let error = error.await.fails(1);
    assert!(error.contains("no path"), "{error}");
}

#[tokio::test]
async fn requests_are_sent_as_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("body.txt");
    fs::write(&file, "from a file").expect("a file");
    let stub = Stub::start(|(parts, body)| {
        let header = |name: &str| {
            parts
                .headers
                .get(name)
                .map(|value| value.to_str().unwrap_or(""))
        };
        let good = parts.method == "PATCH"
            && parts.uri == "/a/b?c=d"
            && header("x-one") == Some("1")
            && header("host") == Some("example.org")
            && body == "from a file";
        async move { (if good { 200 } else { 400 }, json!(null)) }
    })
    .await;
    let url = format!("{}/a/b?c=d", stub.address);
    let body = format!("@{}", file.display());
    let sent = [
        "-X",
        "PATCH",
        "-H",
        "X-One: 1",
        "-H",
        "Host: example.org",
        "--body",
        &body,
    ];
    let report = report(&[&[&url, "-c", "1", "-n", "3"], &sent[..]].concat()).await;
    assert_eq!(count(&report, "/requests"), 3, "{report}");
}

#[tokio::test]
async fn a_file_is_uploaded_in_a_form() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("photo.jpg");
    fs::write(&file, "not really\r\na photo").expect("a file");
    let stub = Stub::start(|(parts, body)| {
        let content_type = parts.headers["content-type"]
            .to_str()
            .unwrap_or("")
            .to_owned();
        let boundary = content_type.strip_prefix("multipart/form-data; boundary=");
        let expected = boundary.map(|boundary| {
            format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"picture\"; \
                 filename=\"photo.jpg\"\r\nContent-Type: application/octet-stream\r\n\r\n\
                 not really\r\na photo\r\n--{boundary}--\r\n"
            )
        });
        let status = if expected == Some(body) { 201 } else { 400 };
        async move { (status, json!(null)) }
    })
    .await;
    let path = file.display().to_string();
    let arguments = [
        "post-file",
        "--file",
        &path,
        "--field",
        "picture",
        "-c",
        "2",
        "-n",
        "5",
    ];
    let report = report(&[&[stub.address.as_str()], &arguments[..]].concat()).await;
    assert_eq!(count(&report, "/requests"), 5, "{report}");
    assert!(number(&report, "/sent_mb") > 5.0 * 20.0 / 1e6, "{report}");
}

#[tokio::test]
async fn mistakes_are_named() {
    let app = TestApp::with(&[("limits.enabled", "true")]).await;
    let url = &app.address;
    let missing = Path::new("/nowhere/tokens").display().to_string();
    let cases: [(&[&str], i32, &str); 10] = [
        (&["127.0.0.1:80"], 1, "must begin with http://"),
        (&["ftp://127.0.0.1"], 1, "must begin with http://"),
        (&["https://127.0.0.1"], 1, "TLS"),
        (
            &["http://127.0.0.1:1"],
            1,
            "no server answers at 127.0.0.1:1",
        ),
        (&[url, "read"], 1, "`polls seed` creates some"),
        (&[url, "vote", "-c", "5", "--users", "3"], 1, "too few"),
        (&[url, "watch", "--revote"], 1, "does not go with --revote"),
        (&[url, "vote", "--tokens", &missing], 1, "/nowhere/tokens"),
        (&[url, "post-file"], 2, "--file"),
        (&[url, "--rate", "0"], 2, "--rate"),
    ];
    for (arguments, code, expected) in cases {
        let error = load(arguments).await.fails(code);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    let limited = load(&[url, "vote", "-c", "30"]).await.fails(1);
    assert!(limited.contains("limits.enabled=false"), "{limited}");
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("tokens");
    fs::write(&tokens, "no.token.at.all").expect("a file");
    let tokens = tokens.display().to_string();
    let arguments = [url, "vote", "-c", "1", "--tokens", &tokens];
    let bad = load(&arguments).await.fails(1);
    assert!(bad.contains("401"), "{bad}");
}
