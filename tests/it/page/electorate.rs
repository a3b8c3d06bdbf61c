//! Who may vote, in the browser: what authors choose.

use serde_json::{Value, json};

use super::sign_in;
use crate::support::{Browser, TestApp};

/// Writes a question with two choices in the editor. The first field has the focus, so that people
/// reach the others by Tab or Enter.
async fn write_question(browser: &Browser, text: &str) {
    browser.arrives_at("New question").await;
    browser.write("Question", text).await;
    browser.write("Choice 1", "pizza").await;
    browser.write("Choice 2", "pasta").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authors_choose_who_may_vote_and_whether_the_question_is_listed() {
    let (app, author) = TestApp::with_user("lucy").await;
    let browser = browser!(app.address);
    sign_in(&browser, &author).await;
    browser.press("Ask").await;
    write_question(&browser, "What for lunch?").await;
    browser.sees("Somebody could vote again").await;
    // Without mail nobody can verify an address, and invitations are made elsewhere.
    let offered =
        "return [...document.querySelector('[name=electorate]').options].map((it) => it.value)";
    assert_eq!(browser.run(offered).await, json!(["anyone", "accounts"]));
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
