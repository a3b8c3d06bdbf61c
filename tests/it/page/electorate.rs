//! Who may vote, and who sees what, in the browser: guests, invitations, anonymous and public ballots.

use serde_json::json;

use super::{path_of, sign_in};
use crate::support::{Browser, PASSWORD, TestApp};

/// Writes a question in the editor.
async fn write_question(browser: &Browser, text: &str) {
    browser.press("Ask").await;
    browser.arrives_at("New question").await;
    browser.write("Question", text).await;
    browser.write("Choice 1", "pizza").await;
    browser.write("Choice 2", "pasta").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_new_question_to_the_vote_of_a_guest_who_becomes_an_account() {
    let (app, author) = TestApp::with_user("lucy").await;
    let (asking, voting) = (browser!(app.address), browser!(app.address));
    sign_in(&asking, &author).await;
    write_question(&asking, "What for lunch?").await;
    asking.press("Publish").await;
    asking.arrives_at("What for lunch?").await;
    asking.sees("Your poll is ready").await;
    asking.sees("only people who have it find the poll").await;
    let link = asking
        .run("return document.querySelector('.ready [name=link]').value")
        .await;
    let link = link.as_str().expect("a link").to_owned();
    asking.press("Copy").await;
    asking.sees("Copied.").await;
    asking.screenshot("ready").await;
    asking.reload().await;
    asking.arrives_at("What for lunch?").await;
    asking.sees_no("Your poll is ready").await;

    // Nobody finds it in the list.
    voting.go("/questions").await;
    voting.sees("No questions here yet.").await;
    let path = link.strip_prefix(&app.address).expect("an address of ours");
    voting.go(path).await;
    voting.sees("You can vote without an account.").await;
    voting.press("pasta").await;
    voting.sees("Not counted yet.").await;
    voting.press("Vote").await;
    voting.sees("Your vote has been counted.").await;
    voting.sees_votes("pasta", "1").await;
    voting.reload().await;
    voting.sees_votes("pasta", "1").await;
    voting.press("pizza").await;
    voting.press("Change my vote").await;
    voting.sees_votes("pizza", "1").await;
    voting.sees_votes("pasta", "0").await;

    // The guest becomes an account, and the ballot stays.
    voting.sees("You have voted without an account").await;
    voting.press_in("main .voting", "Sign up").await;
    voting.arrives_at("Sign up").await;
    voting.write("Name", "Nancy").await;
    voting.write("Email", "nancy@example.org").await;
    voting.write("Password", PASSWORD).await;
    voting.press_button("Sign up").await;
    voting.arrives_at("What for lunch?").await;
    voting.sees("Withdraw my vote").await;
    voting.press("Account").await;
    voting.press("Polls I voted in").await;
    voting.arrives_at("Polls I voted in").await;
    voting.press("What for lunch?").await;
    voting.sees_votes("pizza", "1").await;
    asking.sees_votes("pizza", "1").await;
    asking.close().await;
    voting.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_an_invitation_to_a_counted_ballot() {
    let (app, author) = TestApp::with_user("lucy").await;
    let (asking, voting) = (browser!(app.address), browser!(app.address));
    sign_in(&asking, &author).await;
    write_question(&asking, "Who is the chair?").await;
    asking
        .choose("Who can vote", "Only people whom I invite")
        .await;
    asking.press("Publish").await;
    asking.sees("Your poll is ready").await;
    asking.press("Invite").await;
    asking.write("How many links", "2").await;
    asking.press_in_dialog("Make links").await;
    asking.sees("Copy these links now").await;
    let links = "return document.querySelector('dialog textarea').value.split('\\n')";
    let links = asking.run(links).await;
    let links: Vec<String> = serde_json::from_value(links).expect("links");
    assert_eq!(links.len(), 2);
    asking.press("Close").await;

    let path = asking.run("return location.pathname").await;
    voting.go(path.as_str().expect("a path")).await;
    voting.sees("Only people with an invitation can vote.").await;
    voting.sees_no("Sign in to vote").await;
    // Somebody who is signed in stays so.
    let voter = app.user("nancy").await;
    sign_in(&voting, &voter).await;
    voting
        .open_page(links[0].strip_prefix(&app.address).expect("ours"))
        .await;
    voting.arrives_at("Invitation").await;
    voting.press_button("Go to the question").await;
    voting.arrives_at("Who is the chair?").await;
    voting.sees("You have been invited to vote.").await;
    voting.press("pasta").await;
    voting.press("Vote").await;
    voting.sees("Your vote has been counted.").await;
    voting.sees_votes("pasta", "1").await;
    voting.reload().await;
    voting.sees("Withdraw my vote").await;
    voting.go("/account").await;
    voting.arrives_at("nancy").await;

    // A code that does not exist.
    voting.open_page("/i#7Q2MX-C0V9R-4T8BW-KZ1YN-6DHJPA").await;
    voting.arrives_at("Invitation").await;
    voting.press_button("Go to the question").await;
    voting.sees("This invitation does not work.").await;
    asking.close().await;
    voting.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anonymous_vote_is_found_by_its_receipt() {
    let (app, author) = TestApp::with_user("lucy").await;
    let anonymous = json!({"ballot_secrecy": "anonymous", "allow_change": false, "electorate": "anyone"});
    let question = author.ask(&["pizza", "pasta"], anonymous).await;
    let browser = browser!(app.address);
    browser.go(&path_of(&question)).await;
    browser.sees("Nobody can find out how you voted.").await;
    browser
        .sees("Nobody sees the results before voting closes.")
        .await;
    browser.press("pasta").await;
    browser.press("Vote").await;
    browser.sees("You have voted. Nobody can see for what.").await;
    browser.reload().await;
    browser.sees("You have voted. Nobody can see for what.").await;
    browser.sees_no("Withdraw my vote").await;
    author
        .post(&question.under("close"), json!(null))
        .await
        .expect(200);
    browser.sees_votes("pasta", "1").await;
    browser.press("Receipt of your vote").await;
    browser.press("Find my vote").await;
    browser.sees("It is in the count:").await;
    browser.screenshot("receipt").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn public_ballots_show_who_voted_for_what() {
    let (app, author) = TestApp::with_user("lucy").await;
    let public = json!({"ballot_secrecy": "public", "results_visibility": "after_vote"});
    let question = author.ask(&["pizza", "pasta"], public).await;
    author.vote(&question, &[1]).await.expect(201);
    let voter = app.user("nancy").await;
    let browser = browser!(app.address);
    sign_in(&browser, &voter).await;
    browser.go(&path_of(&question)).await;
    browser
        .sees("Everybody who sees the results will see who voted for what.")
        .await;
    browser.sees_no("Who voted for what").await;
    browser.press("pizza").await;
    browser.press("Vote").await;
    browser.sees_votes("pizza", "1").await;
    browser.press("Who voted for what").await;
    browser.sees("nancy").await;
    let rows = "return [...document.querySelectorAll('dialog .rows li')].map((row) => row.textContent).sort()";
    let rows: Vec<String> = serde_json::from_value(browser.run(rows).await).expect("rows");
    assert_eq!(rows.len(), 2, "{rows:?}");
    for (row, (name, choice)) in rows.iter().zip([("lucy", "pasta"), ("nancy", "pizza")]) {
        assert!(row.contains(name) && row.contains(choice), "{rows:?}");
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_vote_is_told_why() {
    let app = TestApp::without_mail_server().await;
    let author = app.user("lucy").await;
    let verified = json!({"electorate": "verified"});
    let question = author.ask(&["pizza", "pasta"], verified).await;
    let voter = app.user("nancy").await;
    let browser = browser!(app.address);
    browser.go(&path_of(&question)).await;
    browser.sees("Sign in to vote").await;
    sign_in(&browser, &voter).await;
    browser.go(&path_of(&question)).await;
    browser.sees("Verify your email address to vote:").await;
    browser.sees_no("Change my vote").await;
    browser.close().await;
}
