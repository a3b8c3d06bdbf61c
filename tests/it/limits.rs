//! Rate limits: by account if the client is signed in, else by address.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::support::app::send;
use crate::support::crowd::CHEAP_PASSWORDS;
use crate::support::live::no_watch;
use crate::support::redis::Redis;
use crate::support::{Answer, PASSWORD, Server, TestApp};

const LIMITED: (&str, &str) = ("limits.enabled", "true");

/// The two numbers of a `RateLimit` header, which must have the given policy.
#[track_caller]
fn left(answer: &Answer, policy: &str) -> (u32, u32) {
    let header = answer.header("ratelimit");
    let parts: Vec<&str> = header.split(';').collect();
    let [name, r, t] = parts[..] else {
        panic!("{header:?}");
    };
    assert_eq!(name, format!("\"{policy}\""));
    let number = |part: &str, name: &str| {
        let number = part.strip_prefix(name).and_then(|part| part.parse().ok());
        number.unwrap_or_else(|| panic!("{header:?}"))
    };
    (number(r, "r="), number(t, "t="))
}

#[tokio::test]
async fn reads_count_for_the_account_and_without_one_for_the_address() {
    let app = TestApp::with(&[
        LIMITED,
        ("limits.reads_per_address", "5"),
        ("limits.reads_per_account", "10"),
    ])
    .await;
    let (ada, bob) = (app.user("ada").await, app.user("bob").await);
    for expected in (0..5).rev() {
        let list = app.get("/questions").await.expect(200);
        assert_eq!(left(&list, "reads").0, expected);
        assert_eq!(list.header("ratelimit-policy"), "\"reads\";q=5;w=60");
    }
    let refused = app.get("/questions").await.problem("rate_limited");
    let refused = refused.expect(429);
    assert_eq!(left(&refused, "reads"), (0, 12));
    assert_eq!(refused.header("retry-after"), "12");
    // Pages, documents and calls with bad tokens count for the address, too.
    for path in ["/openapi.json", "/"] {
        send(app.outside(Method::GET, path)).await.expect(429);
    }
    let bad = app
        .request(Method::GET, "/questions")
        .bearer_auth("nonsense");
    send(bad).await.problem("rate_limited");
    // Signed-in accounts have limits of their own, and health checks have none.
    for expected in (0..10).rev() {
        let me = ada.get("/users/me").await.expect(200);
        assert_eq!(left(&me, "reads").0, expected);
    }
    ada.get("/users/me").await.problem("rate_limited");
    bob.get("/questions").await.expect(200);
    send(app.outside(Method::GET, "/healthz")).await.expect(200);
    // The quota comes back evenly.
    app.clock.advance(Duration::from_secs(13));
    app.get("/questions").await.expect(200);
    app.get("/questions").await.problem("rate_limited");
}

#[tokio::test]
async fn each_kind_of_call_has_a_limit_of_its_own() {
    let app = TestApp::with(&[
        LIMITED,
        ("limits.writes_per_account", "2"),
        ("limits.ballots_per_account", "3"),
        ("limits.streams_per_address", "1"),
    ])
    .await;
    let ada = app.user("ada").await;
    let question = ada.ask(&["a", "b"], json!({})).await;
    for choice in [0, 1, 0] {
        ada.vote(&question, &[choice]).await;
    }
    let refused = ada.vote(&question, &[1]).await.problem("rate_limited");
    assert_eq!(left(&refused, "ballots").0, 0);
    // The last ballot was counted.
    let ballot = ada.get(&question.under("ballot")).await.expect(200);
    assert_eq!(ballot.json["choice_ids"], json!([question.choices[0]]));

    let closed = ada.post(&question.under("close"), json!(null)).await;
    assert_eq!(left(&closed.expect(200), "writes").0, 0);
    let again = ada.post(&question.under("reopen"), json!({})).await;
    again.problem("rate_limited").expect(429);

    let watched = send(crate::support::live::watch(&app.address, &question, None)).await;
    assert_eq!(left(&watched.expect(200), "streams").0, 0);
    send(no_watch(&app.address, &question, None))
        .await
        .problem("rate_limited");
    app.get(&question.path).await.expect(200);
}

#[tokio::test]
async fn sign_ins_and_registrations_tell_what_is_left() {
    let app = TestApp::with(&[
        LIMITED,
        ("limits.registrations_per_address", "2"),
        ("limits.sign_ins_per_account", "3"),
    ])
    .await;
    let register = async |name: &str| {
        let email = format!("{name}@example.org");
        let account = json!({"name": name, "email": email, "password": PASSWORD});
        app.post("/users", account).await
    };
    assert_eq!(
        left(
            &register("ada").await.expect(201),
            "registrations_per_address"
        )
        .0,
        1
    );
    assert_eq!(
        left(
            &register("bob").await.expect(201),
            "registrations_per_address"
        )
        .0,
        0
    );
    register("eve").await.problem("rate_limited");
    for expected in (0..3).rev() {
        let tokens = app.token("ada@example.org", PASSWORD).await.expect(200);
        assert_eq!(left(&tokens, "sign_ins_per_account").0, expected);
    }
    let refused = app.token("ada@example.org", PASSWORD).await.expect(429);
    assert_eq!(left(&refused, "sign_ins_per_account").0, 0);
    app.token("bob@example.org", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn without_limits_nothing_is_told() {
    let app = TestApp::start().await;
    let list = app.get("/questions").await.expect(200);
    assert_eq!(list.header("ratelimit"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_count_together_through_redis() {
    let Some(redis) = Redis::start() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let share = format!("share.redis_url={}", redis.url());
    let settings = [share.as_str(), "limits.reads_per_address=100"];
    let mut arguments = vec!["--port", "0"];
    arguments.extend(CHEAP_PASSWORDS);
    for setting in settings {
        arguments.extend(["--set", setting]);
    }
    let servers = [(); 2].map(|()| Server::serve(folder.path(), &arguments));
    let client = crate::support::app::client();
    let read = async |server: &Server| {
        send(client.get(format!("{}/api/v1/questions", server.address))).await
    };
    for _ in 0..80 {
        read(&servers[0]).await.expect(200);
    }
    // The other process learns of them a moment after a call of its own. Its own ten calls alone
    // would leave 90.
    let mut least = 100;
    for _ in 0..10 {
        let list = read(&servers[1]).await.expect(200);
        least = least.min(left(&list, "reads").0);
        if least < 50 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    panic!("{least} are left at the other one");
}
