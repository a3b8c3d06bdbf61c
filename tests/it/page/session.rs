//! The page's session: expired tokens, several tabs, a server that restarts.

use std::time::Duration;

use serde_json::{Value, json};

use super::sign_in;
use crate::support::app::{client, send};
use crate::support::{Browser, PASSWORD, Server, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expires_is_replaced_unnoticed() {
    let (app, user) = TestApp::with_user("lucy").await;
    let question = user.ask(&["python", "java"], json!({})).await;
    let browser = browser!(app.address);
    sign_in(&browser, &user).await;
    browser.press("Which one?").await;
    browser.press("python").await;
    // The token has expired by the server's clock, but not by the browser's.
    app.clock.advance(Duration::from_secs(3600));
    browser.press("Vote").await;
    browser.sees_votes("python", "1").await;
    let fresh = app.another_session(&user).await;
    let ballot = fresh.get(&question.under("ballot")).await.expect(200);
    assert_eq!(ballot.json["choice_ids"], json!([question.choices[0]]));
    // After the end of the session the page says so and asks to sign in again.
    fresh.delete("/auth/sessions").await.expect(204);
    browser.press("Account").await;
    browser.arrives_at("Sign in").await;
    browser.sees("You are signed out.").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tabs_share_a_session_and_its_end() {
    let app = TestApp::with(&[
        ("auth.access_token_ttl", "1s"),
        // Reusing an old refresh token after this time would end the session.
        ("auth.refresh_reuse_window", "2s"),
    ])
    .await;
    let user = app.user("lucy").await;
    let browser = browser!(app.address);
    sign_in(&browser, &user).await;
    let first = browser.open_tab().await;
    browser.go("/account").await;
    browser.arrives_at("lucy").await;
    let calls = "
        const { api } = await import(document.querySelector('script[type=module]').src.replace('main', 'api'));
        const until = Date.now() + 2500;
        let calls = 0;
        while (Date.now() < until) {
          await api('GET', '/users/me');
          calls++;
          await new Promise((go) => setTimeout(go, 50));
        }
        const refreshed = performance.getEntriesByType('resource')
          .filter((one) => one.name.endsWith('/auth/token'))
          .map((one) => performance.timeOrigin + one.responseEnd);
        localStorage.setItem('calls.' + name, JSON.stringify({ calls, refreshed }));";
    // Both tabs call the API for a while, during which access tokens expire.
    for tab in ["first", "second"] {
        let script = format!("name = '{tab}'; (async () => {{ {calls} }})(); return true");
        browser.run(&script).await;
        browser.switch_to(&first).await;
    }
    browser
        .until(
            "calls",
            "return Boolean(localStorage['calls.first'] && localStorage['calls.second'])",
        )
        .await;
    let mut refreshed = Vec::new();
    for tab in ["first", "second"] {
        let script = format!("return JSON.parse(localStorage['calls.{tab}'])");
        let made = browser.run(&script).await;
        let times = made["refreshed"].as_array().cloned().unwrap_or_default();
        assert!(
            made["calls"].as_u64() > Some(5) && times.len() > 1,
            "{made}"
        );
        refreshed.extend(times.iter().filter_map(Value::as_f64));
    }
    // The two tabs never exchange the refresh token at the same time.
    refreshed.sort_by(f64::total_cmp);
    let gaps = refreshed.windows(2).map(|pair| pair[1] - pair[0]);
    let least = gaps.fold(f64::INFINITY, f64::min);
    assert!(least > 100.0, "{refreshed:?}");
    let mut asking = app.another_session(&user).await;
    let sessions = loop {
        let answer = asking.get("/auth/sessions").await;
        if answer.status != 401 {
            break answer.expect(200);
        }
        // Its access token is valid for a moment only.
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", &asking.refresh_token),
        ];
        let tokens = app.form("/auth/token", &form).await.expect(200);
        asking = asking.with_tokens(&tokens);
    };
    assert_eq!(sessions.json["data"].as_array().map(Vec::len), Some(3));

    browser.go("/account").await;
    browser.arrives_at("lucy").await;
    browser.open_tab().await;
    browser.go("/account").await;
    browser.press("Sign out").await;
    browser.arrives_at("Sign in").await;
    browser.switch_to(&first).await;
    browser.arrives_at("Sign in").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_is_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(folder.path(), &[]);
    let address = server.address.clone();
    let api = format!("{address}/api/v1");
    let account = json!({"name": "lucy", "email": "lucy@example.org", "password": PASSWORD});
    send(client().post(format!("{api}/users")).json(&account))
        .await
        .expect(201);
    let browser = browser!(address);
    browser.go("/login?next=/questions/new").await;
    browser.write("Email or phone", "lucy@example.org").await;
    browser.write("Password", PASSWORD).await;
    browser.press_button("Sign in").await;
    browser.write("Question", "Still there?").await;
    browser.write("Choice 1", "yes").await;
    browser.write("Choice 2", "no").await;
    browser.press("Publish").await;
    browser.arrives_at("Still there?").await;

    browser.press("yes").await;
    server.kill();
    browser.press("Vote").await;
    browser
        .sees("The server cannot be reached. Trying again")
        .await;
    browser.screenshot("lost").await;
    let port = address.rsplit(':').next().expect("a port");
    let unlimited = ["--port", port, "--set", "limits.enabled=false"];
    let server = Server::serve(folder.path(), &unlimited);
    browser.sees("Your vote has been counted.").await;
    browser.sees_votes("yes", "1").await;
    browser.sees_no("The server cannot be reached").await;
    assert_eq!(server.terminate(), Some(0));
    browser
        .sees("The server cannot be reached. Trying again")
        .await;
    browser.abandon().await;
}
