//! Who may vote, in the browser: from a new question to the votes of people without an account, and
//! what those are told who may not vote.

use std::time::Instant;

use serde_json::{Value, json};

use super::recovery::app_with_mail;
use super::{path_of, sign_in};
use crate::support::app::send;
use crate::support::{Browser, PASSWORD, Smtp, TestApp};

/// Counts the clicks in this tab from now on.
async fn count_clicks(browser: &Browser) {
    let counter = "addEventListener('pointerdown', () => \
        sessionStorage.clicks = Number(sessionStorage.clicks ?? 0) + 1, true)";
    let script = json!({"source": counter});
    browser
        .tell("Page.addScriptToEvaluateOnNewDocument", script)
        .await;
}

/// The clicks since this was last asked.
async fn clicks(browser: &Browser) -> Value {
    let script =
        "const { clicks } = sessionStorage; sessionStorage.clicks = 0; return Number(clicks)";
    browser.run(script).await
}

/// Writes a question with two choices in the editor. The first field has the focus, so that people
/// reach the others by Tab or Enter.
async fn write_question(browser: &Browser, text: &str) {
    browser.arrives_at("New question").await;
    browser.write("Question", text).await;
    browser.write("Choice 1", "pizza").await;
    browser.write("Choice 2", "pasta").await;
}

/// Registers in the form that is shown.
async fn register(browser: &Browser, name: &str, email: &str) {
    browser.arrives_at("Sign up").await;
    browser.write("Name", name).await;
    browser.write("Email", email).await;
    browser.write("Password", PASSWORD).await;
    browser.press_button("Sign up").await;
}

/// Copies the link of the question that has just been asked, and returns it.
async fn copy_link(browser: &Browser) -> String {
    browser.sees("Your poll is ready").await;
    browser.press("Copy").await;
    let copied = "return document.querySelector('.ready .primary').textContent === 'Copied.'";
    browser.until("what was copied", copied).await;
    let link = browser.run("return navigator.clipboard.readText()").await;
    link.as_str().expect("a link").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn from_an_empty_server_to_the_vote_of_somebody_without_an_account() {
    let app = TestApp::start().await;
    let (asking, voting) = (browser!(app.address), browser!(app.address));
    let allowed = json!({"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]});
    asking.tell("Browser.grantPermissions", allowed).await;
    for browser in [&asking, &voting] {
        count_clicks(browser).await;
    }

    // Somebody new asks a question.
    asking.go("/").await;
    asking.sees("No questions here yet.").await;
    let begun = Instant::now();
    asking.press("Ask a question").await;
    asking.arrives_at("Sign in").await;
    asking.press_link("Sign up").await;
    register(&asking, "Lucy", "lucy@example.org").await;
    write_question(&asking, "What for lunch?").await;
    asking.press("Publish").await;
    let link = copy_link(&asking).await;
    let (clicked, taken) = (clicks(&asking).await, begun.elapsed());
    println!(
        "from the empty page to a copied link, with a new account: {clicked} clicks, {taken:?}"
    );
    assert_eq!(clicked, json!(5));
    asking
        .sees("Only people who have the link find the poll.")
        .await;
    asking.screenshot("ready").await;

    // Somebody else votes by the link, and does not find the question otherwise.
    voting.go("/questions").await;
    voting.sees("No questions here yet.").await;
    voting.sees_no("Polls I voted in").await;
    let path = link.strip_prefix(&app.address).expect("an address of ours");
    let begun = Instant::now();
    voting.go(path).await;
    voting.sees("You can vote without an account.").await;
    voting.press("pasta").await;
    voting.sees("Not counted yet. Press “Vote”").await;
    voting.press("Vote").await;
    voting.sees("Your vote has been counted.").await;
    let (clicked, taken) = (clicks(&voting).await, begun.elapsed());
    println!("from the link to a counted vote, without an account: {clicked} clicks, {taken:?}");
    assert_eq!(clicked, json!(2));
    voting.sees_no("Not counted yet").await;
    voting.sees_votes("pasta", "1").await;
    asking.sees_votes("pasta", "1").await;

    // The browser remembers it.
    voting.reload().await;
    voting.sees("Your vote is counted.").await;
    voting.screenshot("guest").await;
    voting.press("pizza").await;
    voting.sees("Not counted yet").await;
    voting.press("Change my vote").await;
    voting.sees_votes("pizza", "1").await;
    voting.sees_votes("pasta", "0").await;

    voting.press("Questions").await;
    voting.arrives_at("Questions").await;
    voting.choose("Show", "Polls I voted in").await;
    voting.arrives_at("Polls I voted in").await;
    voting.press("What for lunch?").await;
    voting.arrives_at("What for lunch?").await;

    // The guest becomes an account, and the ballot stays.
    voting.press_link("Sign up").await;
    voting.sees("become those of your account").await;
    register(&voting, "Nancy", "nancy@example.org").await;
    voting.arrives_at("What for lunch?").await;
    voting.sees("Withdraw my vote").await;
    voting.sees_no("without an account").await;
    voting.sees_votes("pizza", "1").await;
    voting.sees("1 voter").await;
    let tokens = app.token("nancy@example.org", PASSWORD).await.expect(200);
    let token = tokens.json["access_token"].as_str().expect("a token");
    let question = path.rsplit('/').next().expect("an id");
    let ballots = format!("/users/me/ballots?question_id={question}");
    let ballots = app.request(reqwest::Method::GET, &ballots);
    let ballots = send(ballots.bearer_auth(token)).await.expect(200);
    assert_eq!(ballots.json["data"].as_array().map(Vec::len), Some(1));

    voting.press("Account").await;
    voting.press("Polls I voted in").await;
    voting.arrives_at("Polls I voted in").await;
    voting.sees("What for lunch?").await;
    asking.press("Account").await;
    asking.press("My questions").await;
    asking.arrives_at("My questions").await;
    asking.sees("What for lunch?").await;

    // Who has an account needs less.
    clicks(&asking).await;
    asking.go("/").await;
    asking.press("Ask a question").await;
    write_question(&asking, "And for dinner?").await;
    asking.press("Publish").await;
    copy_link(&asking).await;
    let clicked = clicks(&asking).await;
    println!("from the start page to a copied link, with an account: {clicked} clicks");
    assert_eq!(clicked, json!(3));
    asking.close().await;
    voting.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tabs_of_a_browser_are_one_guest() {
    let (app, author) = TestApp::with_user("lucy").await;
    let for_anyone = json!({"electorate": "anyone", "results_visibility": "after_vote"});
    let question = author.ask(&["pizza", "pasta"], for_anyone).await;
    let browser = browser!(app.address);
    browser.go(&path_of(&question)).await;
    browser.sees("You can vote without an account.").await;
    let first = browser.open_tab().await;
    browser.go(&path_of(&question)).await;
    browser.press("pasta").await;
    browser.press("Vote").await;
    browser.sees_votes("pasta", "1").await;
    let second = browser.switch_to(&first).await;
    browser.sees("Your vote is counted.").await;
    browser.sees_votes("pasta", "1").await;
    browser.press("pizza").await;
    browser.press("Change my vote").await;
    browser.sees_votes("pizza", "1").await;
    browser.sees_votes("pasta", "0").await;
    browser.switch_to(&second).await;
    browser.sees_votes("pizza", "1").await;
    browser.sees_votes("pasta", "0").await;

    // An account that was a guest is no guest in the other tab, either.
    browser.press_link("Sign up").await;
    register(&browser, "Nancy", "nancy@example.org").await;
    browser.sees("Withdraw my vote").await;
    browser.switch_to(&first).await;
    browser.sees("Account").await;
    browser.sees_no("without an account").await;
    browser.press("Withdraw my vote").await;
    browser.sees("shown once you have voted").await;
    let results = author.get(&question.under("results")).await.expect(200);
    assert_eq!(results.json["ballot_count"], json!(0));
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_not_verified_the_address_is_told_to() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp).await;
    let (author, voter) = (app.user("lucy").await, app.user("nancy").await);
    let verified = json!({"electorate": "verified"});
    let question = author.ask(&["pizza", "pasta"], verified).await;
    let browser = browser!(app.address);
    browser.go(&path_of(&question)).await;
    browser
        .sees("Accounts with a verified email address can vote.")
        .await;
    browser.press("pasta").await;
    browser.press_button("Sign in to vote").await;
    browser.arrives_at("Sign in").await;
    browser.write("Email or phone", &voter.email).await;
    browser.write("Password", PASSWORD).await;
    browser.press_button("Sign in").await;
    browser.arrives_at("Which one?").await;
    browser
        .sees("Only accounts with a verified email address can vote. Verify yours here:")
        .await;
    let none = "return document.querySelector('.voting') === null";
    browser.until("page without a ballot", none).await;
    browser.screenshot("not-eligible").await;
    browser.press_link("Account").await;
    browser.press_button("Send code").await;
    let code = smtp.message(1).await.code();
    browser.write("Code", &code).await;
    browser.press_button("Verify").await;
    browser.sees("is verified.").await;
    browser.back().await;
    // The choice from before is still selected.
    browser.sees("Not counted yet.").await;
    browser.press("Vote").await;
    browser.sees("Your vote has been counted.").await;
    browser.sees_votes("pasta", "1").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_vote_without_an_account_is_told_why() {
    let (app, author) = TestApp::with_user("lucy").await;
    let voter = app.user("nancy").await;
    let limited = json!({"electorate": "anyone", "ballots_per_address": 1});
    let limited = author.ask(&["pizza", "pasta"], limited).await;
    let others = author.ask(&["tea", "coffee"], json!({})).await;
    let invited = json!({"electorate": "invited"});
    let invited = author.ask(&["red", "blue"], invited).await;
    let guest = app.guest().await;
    guest.vote(&limited, &[0]).await.expect(201);
    let browser = browser!(app.address);
    browser.go(&path_of(&invited)).await;
    browser
        .sees("Only people who have been invited can vote.")
        .await;
    browser.sees_no("Sign in to vote").await;

    browser.go(&path_of(&limited)).await;
    browser.press("pasta").await;
    browser.press("Vote").await;
    browser
        .sees("Your network has cast as many votes without an account")
        .await;
    browser.sees_votes("pasta", "0").await;
    // A guest by now, who still cannot vote here.
    browser.reload().await;
    browser
        .sees("Your network has cast as many votes without an account")
        .await;
    browser.sees("Sign in to vote").await;
    browser.go(&path_of(&invited)).await;
    browser
        .sees("Only people who have been invited can vote.")
        .await;
    browser.go(&path_of(&others)).await;
    browser.press("tea").await;
    browser.press_button("Sign in to vote").await;
    browser.arrives_at("Sign in").await;
    browser.go(&path_of(&limited)).await;
    browser.press_button("Sign in to vote").await;
    browser.sees("You have voted in this browser").await;
    browser.write("Email or phone", &voter.email).await;
    browser.write("Password", PASSWORD).await;
    browser.press_button("Sign in").await;
    browser.arrives_at("Which one?").await;
    browser.sees("Not counted yet.").await;
    browser.press("Vote").await;
    browser.sees_votes("pasta", "1").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authors_choose_who_may_vote_and_whether_the_question_is_listed() {
    let (app, author) = TestApp::with_user("lucy").await;
    let browser = browser!(app.address);
    sign_in(&browser, &author).await;
    browser.press("Ask").await;
    write_question(&browser, "What for lunch?").await;
    browser.sees("Somebody could vote again").await;
    // Without mail nobody can verify an address.
    let offered =
        "return [...document.querySelector('[name=electorate]').options].map((it) => it.value)";
    assert_eq!(
        browser.run(offered).await,
        json!(["anyone", "accounts", "invited"])
    );
    browser.press("More options").await;
    browser
        .write("Votes without an account from one network", "0")
        .await;
    browser.press("Publish").await;
    browser.sees("Enter a number from 1 to").await;
    browser
        .write("Votes without an account from one network", "3")
        .await;
    browser.press("Publish").await;
    browser.sees("Your poll is ready").await;
    browser.sees("not in the public list").await;
    let path = browser.run("return location.pathname").await;
    let path = path.as_str().expect("a path").to_owned();
    let read = async || author.get(&path).await.expect(200).json;
    let fields = |question: &Value| {
        ["electorate", "ballots_per_address", "listed"].map(|field| question[field].clone())
    };
    assert_eq!(
        fields(&read().await),
        [json!("anyone"), json!(3), json!(false)]
    );

    browser.press("Edit").await;
    browser.arrives_at("Edit question").await;
    browser
        .choose("Who can vote", "Anyone with an account")
        .await;
    browser.sees_no("Somebody could vote again").await;
    browser
        .sees_no("Votes without an account from one network")
        .await;
    browser.press("Show in the public list").await;
    browser.press("Save").await;
    browser.arrives_at("What for lunch?").await;
    browser.sees_no("not in the public list").await;
    assert_eq!(
        fields(&read().await),
        [json!("accounts"), Value::Null, json!(true)]
    );

    // With ballots, only the list can still be left.
    browser.press("pizza").await;
    browser.press("Vote").await;
    browser.sees_votes("pizza", "1").await;
    browser.press("Edit").await;
    browser.arrives_at("Edit question").await;
    let fixed = "return document.querySelector('[name=electorate]').disabled";
    assert_eq!(browser.run(fixed).await, json!(true));
    browser.press("Show in the public list").await;
    browser.press("Save").await;
    browser.arrives_at("What for lunch?").await;
    browser.sees("not in the public list").await;
    assert_eq!(
        fields(&read().await),
        [json!("accounts"), Value::Null, json!(false)]
    );
    browser.close().await;
}
