//! Swagger UI.

use serde_json::json;

use super::access::{AXE, axe};
use crate::support::{Browser, PASSWORD, TestApp};

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
    // Swagger UI scrolls to the operation. A click while the page moves can miss the button.
    let still = "const before = window.scrolled; window.scrolled = scrollY; \
        return before === scrollY && scrollY > 0";
    browser.until("page that does not move", still).await;
    browser.press("Authorize").await;
    browser.sees("Email or phone").await;
    browser
        .run("document.querySelectorAll('summary').forEach((it) => it.click())")
        .await;
    let ours = "window.checked = ['.top', 'h1', '.start', '.filter', '.opblock-body > details']";
    browser.run(ours).await;
    for scheme in ["light", "dark"] {
        browser.prefer(scheme).await;
        let found = browser.run(&format!("{axe}; {AXE}")).await;
        assert_eq!(found, json!([]), "{scheme}: {found:#}");
        browser.screenshot(&format!("docs-{scheme}")).await;
    }
    browser.close().await;
}
