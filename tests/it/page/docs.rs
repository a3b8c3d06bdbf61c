//! Swagger UI.

use serde_json::json;

use super::access::{AXE, axe};
use crate::support::{Browser, PASSWORD, TestApp};

/// Waits until Swagger UI has scrolled to an operation. A click while it still scrolls misses.
async fn is_scrolled_to(browser: &Browser, operation: &str) {
    let script = format!(
        "const {{ top }} = document.getElementById('operations-{operation}')?.getBoundingClientRect() ?? {{}}; \
         return top >= -1 && top <= 24"
    );
    browser
        .until(&format!("{operation} at the top"), &script)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_in_may_call_even_after_a_reload() {
    let (app, user) = TestApp::with_user("lucy").await;
    let browser = browser!(app.address);
    browser.go("/docs").await;
    browser.sees("Sign in to try what needs an account.").await;
    browser.press("Authorize").await;
    browser.write("Email or phone", &user.email).await;
    browser.write("Password", "not this one").await;
    browser.press("Sign in").await;
    browser.sees("The credentials are not valid.").await;
    browser.sees_no("client_id").await;
    browser.write("Password", PASSWORD).await;
    browser.press("Sign in").await;
    browser.sees("You are signed in.").await;
    let kept = browser
        .run("return JSON.stringify({ ...localStorage })")
        .await;
    let kept = kept.as_str().unwrap_or_default();
    assert!(
        kept.contains("access_token") && !kept.contains(PASSWORD),
        "{kept}"
    );

    browser.go("/docs#/Users/getMe").await;
    browser.reload().await;
    browser.sees("You are signed in.").await;
    is_scrolled_to(&browser, "Users-getMe").await;
    browser.press("Execute").await;
    browser
        .sees(&format!("\"email\": \"{}\"", user.email))
        .await;

    // The access token has expired by the server's clock, and by that of the browser.
    app.clock.advance(std::time::Duration::from_secs(3600));
    let expire = "const kept = JSON.parse(localStorage.authorized); \
        kept.token.token.expires_at = 0; localStorage.authorized = JSON.stringify(kept)";
    browser.run(expire).await;
    browser.press("Clear").await;
    browser.sees_no("Response body").await;
    browser.press("Execute").await;
    browser
        .sees(&format!("\"email\": \"{}\"", user.email))
        .await;

    browser.press("Authorize").await;
    browser.press("Sign out").await;
    browser.reload().await;
    browser.sees("Sign in to try what needs an account.").await;
    is_scrolled_to(&browser, "Users-getMe").await;
    browser.press("Execute").await;
    browser.sees("\"code\": \"unauthenticated\"").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_are_found_and_their_problems_are_folded() {
    let app = TestApp::start().await;
    let browser = browser!(app.address);
    browser.go("/docs#/Ballots/castBallot").await;
    browser.sees("Problems: 400, 401,").await;
    browser.sees("Cast or change your ballot").await;
    browser.sees_no("Voting has closed.").await;
    browser
        .run("document.querySelector('.opblock-body > details > summary').click()")
        .await;
    browser.sees("Voting has closed.").await;
    let link = "return Boolean(document.querySelector('a[href=\"/problems/voting_closed\"]'))";
    browser.until("link", link).await;
    browser.sees_no("Schemas").await;

    browser.sees("/users/me/password").await;
    browser.write("Filter", "BALLOT").await;
    browser.sees_no("/users/me/password").await;
    browser.sees("Withdraw your ballot").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_without_an_end_are_for_the_terminal() {
    let app = TestApp::start().await;
    let browser = browser!(app.address);
    for (operation, command) in [
        ("watchResults", "curl -N"),
        ("openResultsSocket", "npx wscat"),
    ] {
        browser.open_page("/problems").await;
        browser.go(&format!("/docs#/Results/{operation}")).await;
        browser.sees("The answer does not end by itself.").await;
        browser.sees(command).await;
        let buttons = "return [...document.querySelectorAll('.opblock-body button')] \
            .filter((it) => ['Try it out', 'Execute'].includes(it.textContent.trim())).length";
        assert_eq!(browser.run(buttons).await, json!(0), "{operation}");
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_has_nothing_against_what_is_not_swagger_uis() {
    let Some(axe) = axe() else { return };
    let app = TestApp::start().await;
    let browser = browser!(app.address);
    browser.go("/docs#/Ballots/castBallot").await;
    browser.sees("Problems: 400, 401,").await;
    is_scrolled_to(&browser, "Ballots-castBallot").await;
    browser.press("Authorize").await;
    browser.sees("Email or phone").await;
    browser
        .run("document.querySelectorAll('summary').forEach((it) => it.click())")
        .await;
    let ours = "window.checked = ['.top', 'h1', '.start', '.filter', '.opblock-body > details']";
    browser.run(ours).await;
    for scheme in ["light", "dark"] {
        browser.prefer(scheme).await;
        // Swagger UI's buttons fade from one colour to the other.
        let still = "return document.getAnimations().every((it) => it.playState !== 'running')";
        browser.until("colours that stay", still).await;
        let found = browser.run(&format!("{axe}; {AXE}")).await;
        assert_eq!(found, json!([]), "{scheme}: {found:#}");
        browser.screenshot(&format!("docs-{scheme}")).await;
    }
    browser.close().await;
}
