//! Who has voted, the votes as files, and one's own data, in the browser.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{path_of, sign_in};
use crate::support::{Browser, TestApp, eventually};

/// The folder in which the browser saves files.
async fn downloads_of(browser: &Browser) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let allowed = json!({"behavior": "allow", "downloadPath": folder.path()});
    browser.tell("Browser.setDownloadBehavior", allowed).await;
    folder
}

/// The text of a file, once it is saved.
async fn saved(folder: &Path, name: &str) -> String {
    let file = folder.join(name);
    // Until it is complete, there is an empty file of this name.
    eventually(async || file.metadata().is_ok_and(|file| file.len() > 0)).await;
    std::fs::read_to_string(file).expect("text")
}

/// The rows of the dialog.
async fn rows(browser: &Browser) -> Vec<String> {
    let rows =
        "return [...document.querySelectorAll('dialog .rows li')].map((row) => row.textContent)";
    serde_json::from_value(browser.run(rows).await).expect("rows")
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_close_authors_see_who_has_voted_and_save_the_votes() {
    let (app, author) = TestApp::with_user("lucy").await;
    let for_anyone = json!({"electorate": "anyone", "question_text": "What for lunch?"});
    let question = author.ask(&["pizza", "pasta"], for_anyone).await;
    let few = author.ask(&["tea", "coffee"], json!({})).await;
    author
        .post(&few.under("close"), json!(null))
        .await
        .expect(200);
    author.vote(&question, &[0]).await.expect(201);
    for _ in 0..9 {
        app.guest().await.vote(&question, &[1]).await.expect(201);
    }
    let browser = browser!(app.address);
    let folder = downloads_of(&browser).await;
    sign_in(&browser, &author).await;
    browser.go(&path_of(&question)).await;
    browser.sees("Close voting").await;
    browser.sees_no("Who voted").await;
    browser.sees_no("Download votes").await;
    browser.press("Close voting").await;
    browser.press_in_dialog("Close voting").await;
    browser.sees("Final").await;
    browser.press("Who voted").await;
    browser.sees("a guest").await;
    let mut voters = rows(&browser).await;
    voters.sort();
    assert_eq!(voters[8..], ["a guest", "lucy"]);
    assert_eq!(voters.len(), 10);
    browser.screenshot("who-voted").await;
    browser.press("Close").await;
    browser.press("Download votes").await;
    browser.press_in_dialog("CSV").await;
    let table = saved(folder.path(), "What-for-lunch.csv").await;
    assert!(table.contains("count,pizza,pasta"), "{table}");
    assert!(table.contains("9,") && !table.contains("lucy"), "{table}");

    browser.go(&path_of(&few)).await;
    browser.press("Who voted").await;
    browser.sees("Fewer than 10 people have voted").await;
    browser.sees_no("Try again").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn public_ballots_show_who_voted_for_what_and_say_so_before() {
    let (app, author) = TestApp::with_user("lucy").await;
    let voter = app.user("nancy").await;
    let browser = browser!(app.address);
    sign_in(&browser, &author).await;
    browser.press("Ask").await;
    browser.arrives_at("New question").await;
    browser.write("Question", "What for lunch?").await;
    browser.write("Choice 1", "pizza").await;
    browser.write("Choice 2", "pasta").await;
    browser.press("More options").await;
    browser
        .choose("Who can see the results", "Voters; everyone")
        .await;
    browser
        .choose("Who learns how somebody voted", "Everybody")
        .await;
    browser.press("Publish").await;
    browser.sees("Your poll is ready").await;
    let told = "Everybody who sees the results sees who voted for what.";
    browser.sees(told).await;
    browser.press("pasta").await;
    browser.press("Vote").await;
    browser.sees_votes("pasta", "1").await;
    let path = browser.run("return location.pathname").await;
    let path = path.as_str().expect("a path").to_owned();
    let question = author.get(&path).await.expect(200).json;
    assert_eq!(question["ballot_secrecy"], json!("public"));
    browser.press("Sign out").await;

    sign_in(&browser, &voter).await;
    browser.go(&path).await;
    browser.sees(told).await;
    // Whoever does not see the results does not see this, either.
    browser.sees_no("Who voted for what").await;
    browser.press("pizza").await;
    browser.press("Vote").await;
    browser.sees_votes("pizza", "1").await;
    browser.press("Who voted for what").await;
    browser.sees("nancy").await;
    let mut ballots = rows(&browser).await;
    ballots.sort();
    assert_eq!(
        ballots,
        ["lucy\u{2068}pasta\u{2069}", "nancy\u{2068}pizza\u{2069}"]
    );
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_take_their_own_data_along() {
    let (app, user) = TestApp::with_user("lucy").await;
    let question = user
        .ask(&["pizza", "pasta"], json!({"electorate": "anyone"}))
        .await;
    user.vote(&question, &[0]).await.expect(201);
    let browser = browser!(app.address);
    let folder = downloads_of(&browser).await;
    sign_in(&browser, &user).await;
    browser.go("/account").await;
    browser.press("Download my data").await;
    let data = saved(folder.path(), "polls-account.json").await;
    let data: Value = serde_json::from_str(&data).expect("JSON");
    assert_eq!(data["account"]["email"], json!(user.email));
    std::fs::remove_file(folder.path().join("polls-account.json")).expect("it is there");

    // A guest has data, too.
    browser.press("Sign out").await;
    browser.arrives_at("Sign in").await;
    browser.go(&path_of(&question)).await;
    browser.press("pasta").await;
    browser.press("Vote").await;
    browser.sees("Your vote has been counted.").await;
    browser.go("/questions?whose=voted").await;
    browser.press("Download my data").await;
    let data = saved(folder.path(), "polls-account.json").await;
    let data: Value = serde_json::from_str(&data).expect("JSON");
    assert_eq!(data["account"]["guest"], json!(true));
    browser.close().await;
}
