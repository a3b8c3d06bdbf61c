//! Invitations by mail, in the browser.

use polls::invitations::refusal;
use sea_orm::EntityTrait as _;

use crate::support::{Browser, TestApp};

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
