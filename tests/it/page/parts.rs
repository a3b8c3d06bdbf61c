//! Parts of the page that are loaded when they are needed, and cannot be.

use serde_json::json;

use super::{path_of, sign_in};
use crate::support::{Browser, TestApp};

/// Lets no request for a module of this name through; with no name, lets all through.
async fn block(browser: &Browser, module: Option<&str>) {
    let urls: Vec<String> = module.iter().map(|name| format!("*/{name}")).collect();
    browser
        .tell("Network.setBlockedURLs", json!({"urls": urls}))
        .await;
}

async fn be_offline(browser: &Browser, offline: bool) {
    let conditions = json!({
        "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1,
    });
    browser
        .tell("Network.emulateNetworkConditions", conditions)
        .await;
}

/// Waits until the document that had a mark is gone.
async fn is_another_document(browser: &Browser) {
    browser
        .until("another document", "return window.marked === undefined")
        .await;
}

const MARK: &str = "window.marked = true";

#[tokio::test(flavor = "multi_thread")]
async fn a_page_whose_module_is_gone_is_loaded_again_on_demand() {
    let (app, user) = TestApp::with_user("lucy").await;
    let browser = browser!(app.address);
    sign_in(&browser, &user).await;
    // As after an upgrade: the modules of the version before are not there.
    block(&browser, Some("rules.js")).await;
    browser.press("Ask").await;
    browser.arrives_at("Something went wrong").await;
    browser.sees("could not be loaded").await;
    let on_heading = "return document.activeElement.tagName === 'H1'";
    browser.until("focus on the heading", on_heading).await;
    browser.run(MARK).await;
    browser.press("Try again").await;
    is_another_document(&browser).await;
    browser.sees("could not be loaded").await;
    // Other pages work.
    browser.press("Questions").await;
    browser.arrives_at("Questions").await;
    browser.back().await;
    browser.sees("could not be loaded").await;

    block(&browser, None).await;
    browser.press("Try again").await;
    browser.arrives_at("New question").await;
    browser.at("/questions/new").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_opened_offline_comes_with_the_connection() {
    let (app, user) = TestApp::with_user("lucy").await;
    let browser = browser!(app.address);
    sign_in(&browser, &user).await;
    be_offline(&browser, true).await;
    browser.press("Account").await;
    browser.sees("could not be loaded").await;
    browser.run(MARK).await;
    browser.press("Try again").await;
    browser
        .sees("The server cannot be reached. Trying again")
        .await;
    assert_eq!(browser.run("return window.marked").await, json!(true));
    be_offline(&browser, false).await;
    browser.arrives_at("lucy").await;
    is_another_document(&browser).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_for_ballots_and_the_explanation_can_be_loaded_again() {
    let (app, author) = TestApp::with_user("lucy").await;
    let ranked = json!({"method": "instant_runoff"});
    let question = author.ask(&["tea", "coffee"], ranked).await;
    author.vote(&question, &[0]).await.expect(201);
    let browser = browser!(app.address);
    block(&browser, Some("ranking.js")).await;
    browser.go(&path_of(&question)).await;
    browser.sees("could not be loaded").await;
    block(&browser, Some("explained.js")).await;
    browser.press("Try again").await;
    browser.sees("Rank as many as you like.").await;
    browser.press("How it is counted").await;
    browser.sees("could not be loaded").await;
    block(&browser, None).await;
    browser.run(MARK).await;
    browser.press("Try again").await;
    is_another_document(&browser).await;
    browser.press("How it is counted").await;
    browser.sees("Round 1 of 1").await;
    browser.close().await;
}
