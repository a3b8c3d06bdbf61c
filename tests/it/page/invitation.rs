//! Invitations, in the browser.

use polls::invitations::refusal;
use sea_orm::EntityTrait as _;
use serde_json::json;

use super::recovery::app_with_mail;
use super::{path_of, sign_in};
use crate::invitations::mailing::{secret_of, verify};
use crate::support::{Browser, Smtp, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn an_author_makes_links_and_each_is_one_vote() {
    let app = TestApp::start().await;
    let author = app.user("lucy").await;
    let (asking, voting, beside) = (
        browser!(app.address),
        browser!(app.address),
        browser!(app.address),
    );
    sign_in(&asking, &author).await;
    let invited = json!({"electorate": "invited"});
    let question = author.ask(&["pizza", "pasta"], invited).await;
    asking.go(&path_of(&question)).await;
    asking
        .sees("Only people who have been invited can vote.")
        .await;
    asking.press("Invite people").await;
    asking.sees("Nobody has been invited yet.").await;
    asking.write("How many links", "2").await;
    asking.press("Make links").await;
    asking.sees("Copy these links now").await;
    let links = "return document.querySelector('dialog textarea').value";
    let links = asking.run(links).await;
    let links = links.as_str().expect("a text").lines();
    let links: Vec<&str> = links
        .map(|link| link.strip_prefix(&app.address).expect("an address of ours"))
        .collect();
    let [first, second] = links[..] else {
        panic!("{links:?}")
    };

    // Somebody with an account uses one, and stays signed in.
    let nancy = app.user("nancy").await;
    sign_in(&voting, &nancy).await;
    voting.open_page(first).await;
    voting.arrives_at("Invitation").await;
    voting.press_button("Go to the question").await;
    voting.at(&path_of(&question)).await;
    voting.sees("You have been invited to vote.").await;
    voting.press("pasta").await;
    voting.press("Vote").await;
    voting.sees("Your vote has been counted.").await;
    asking.sees_votes("pasta", "1").await;
    voting.go("/account").await;
    voting.sees("Polls I voted in").await;
    voting.go(&path_of(&question)).await;
    voting.sees("Your vote is counted.").await;

    // The same link on another device is the same vote.
    beside.open_page(first).await;
    beside.press_button("Go to the question").await;
    beside.sees("Your vote is counted.").await;
    beside.press("pizza").await;
    beside.press("Change my vote").await;
    asking.sees_votes("pizza", "1").await;
    asking.sees_votes("pasta", "0").await;

    // One that was taken back is void. The newest, which nobody has used, stands first.
    let take_back =
        "for (const button of document.querySelectorAll('dialog li button')) button.click()";
    asking.run(take_back).await;
    asking
        .until(
            "one invitation",
            "return document.querySelectorAll('dialog li').length === 1",
        )
        .await;
    beside.open_page(second).await;
    beside.press_button("Go to the question").await;
    beside.sees("This invitation does not work.").await;
    for browser in [asking, voting, beside] {
        browser.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_from_the_mail_to_the_counted_vote() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp).await;
    let author = app.user("lucy").await;
    verify(&smtp, &author).await;
    let browser = browser!(app.address);
    sign_in(&browser, &author).await;
    let invited = json!({"electorate": "invited"});
    let question = author.ask(&["pizza", "pasta"], invited).await;
    browser.go(&path_of(&question)).await;
    browser.press("Invite people").await;
    browser.write("Email", "nancy@example.org").await;
    browser.press("Send the invitation").await;
    browser.sees("The invitation is on its way.").await;
    browser.sees("nancy@example.org").await;
    let code = secret_of(&smtp.message(2).await, "i");

    let voting = browser!(app.address, "zh");
    voting.open_page(&format!("/i#{code}")).await;
    voting.press_button("前往问题").await;
    voting.sees("您已受邀投票").await;
    voting.press("pasta").await;
    voting.press("投票").await;
    browser.sees_votes("pasta", "1").await;
    browser.close().await;
    voting.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invitations_are_refused_by_a_press_and_not_by_opening_the_link() {
    let app = TestApp::start().await;
    let browser = browser!(app.address);
    let token = app.accounts().hmac_keys().refusal_token("ada@example.org");
    let refusals = async || {
        let refusals = refusal::Entity::find().all(app.db.read()).await;
        refusals.expect("they are read").len()
    };
    browser.open_page(&format!("/refuse#{token}")).await;
    browser.arrives_at("No more invitations").await;
    browser.settled().await;
    assert_eq!(refusals().await, 0);
    browser.press_button("Refuse all invitations").await;
    browser.sees("You will get no more invitations.").await;
    assert_eq!(refusals().await, 1);

    browser.open_page("/refuse#nonsense").await;
    browser.arrives_at("No more invitations").await;
    browser.press_button("Refuse all invitations").await;
    browser.sees("This link does not work.").await;
    browser.close().await;
}
