//! Getting back in by mail, in the browser.

use polls::mail::{Kind, Status};
use sea_orm::Iterable as _;
use serde_json::json;

use super::sign_in;
use crate::support::smtp::Behaviour;
use crate::support::{Browser, PASSWORD, Smtp, TestApp, eventually};

/// An app that sends its mail to this server.
pub async fn app_with_mail(smtp: &Smtp) -> TestApp {
    let settings = smtp.settings();
    let settings: Vec<_> = settings
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    TestApp::with(&settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_password_from_the_mail_to_signed_in() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp).await;
    let user = app.user("lucy").await;
    let browser = browser!(app.address, "zh");
    browser.go("/login").await;
    browser.press("忘记密码？").await;
    browser.arrives_at("重设密码").await;
    browser.press("English").await;
    browser.arrives_at("Choose a new password").await;
    browser.write("Email", "nonsense").await;
    browser.press_button("Send link").await;
    browser.sees("Enter a valid email address.").await;
    browser.write("Email", &user.email).await;
    browser.press_button("Send link").await;
    browser.sees("a link is on its way").await;

    // The message is in the language of the page. Its link leads to the public address, which is
    // not the test's.
    let message = smtp.message(1).await;
    assert!(
        message.text.starts_with("You asked for a new password"),
        "{message:?}"
    );
    let token = message.token();
    browser.open_page(&format!("/reset#{token}")).await;
    browser.arrives_at("Choose a new password").await;
    browser.write("New password", "password1").await;
    browser.press_button("Change password").await;
    browser.sees("This password is too common.").await;
    browser.write("New password", "a better password").await;
    browser.press_button("Change password").await;
    browser
        .sees("Your password has been changed. Sign in with it.")
        .await;
    browser.arrives_at("Sign in").await;
    browser.write("Email or phone", &user.email).await;
    browser.write("Password", "a better password").await;
    browser.press_button("Sign in").await;
    browser.at("/questions").await;

    browser.open_page(&format!("/reset#{token}")).await;
    browser.arrives_at("Choose a new password").await;
    browser.write("New password", "another password").await;
    browser.press_button("Change password").await;
    browser.sees("This link does not work any more.").await;
    browser.press("Ask for a new link").await;
    browser
        .sees("A link to choose a new password will be sent")
        .await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_changed_with_the_password_and_verified() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp).await;
    let user = app.user("lucy").await;
    let browser = browser!(app.address);
    sign_in(&browser, &user).await;
    browser.go("/account").await;
    browser
        .sees(&format!("{} is not verified yet.", user.email))
        .await;
    let asks = "return document.querySelector('[name=current_password]').checkVisibility()";
    assert_eq!(browser.run(asks).await, json!(false));
    browser.write("Email", "new@example.org").await;
    assert_eq!(browser.run(asks).await, json!(true));
    browser.press_button("Save").await;
    browser.sees("Enter your current password.").await;
    browser.write("Current password", PASSWORD).await;
    browser.press_button("Save").await;
    browser.sees("new@example.org is not verified yet.").await;
    assert_eq!(smtp.message(1).await.to, user.email);

    browser.press_button("Send code").await;
    browser.sees("The code is on its way.").await;
    let code = smtp.message(2).await.code();
    browser.write("Code", "00000-00000").await;
    browser.press_button("Verify").await;
    browser.sees("This code is wrong").await;
    browser.write("Code", &code.to_lowercase()).await;
    browser.press_button("Verify").await;
    browser.sees("new@example.org is verified.").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_mail_the_page_offers_none() {
    let (app, user) = TestApp::with_user("lucy").await;
    let browser = browser!(app.address);
    browser.go("/login").await;
    browser.arrives_at("Sign in").await;
    browser.sees_no("Forgot your password?").await;
    browser.go("/reset").await;
    browser.sees("This server sends no email.").await;
    sign_in(&browser, &user).await;
    browser.go("/account").await;
    browser.arrives_at("lucy").await;
    browser.sees_no("verified").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_see_what_became_of_messages() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp).await;
    let (admin, user) = (app.admin("root").await, app.user("lucy").await);
    let browser = browser!(app.address);
    sign_in(&browser, &admin).await;
    browser.go("/admin").await;
    browser.sees("No messages.").await;
    let forget = async |email: &str| {
        let body = json!({"email": email});
        app.post("/auth/password-reset", body).await.expect(202);
    };
    forget(&user.email).await;
    smtp.message(1).await;
    smtp.behave(Behaviour::Refuses);
    forget(&admin.email).await;
    let statuses = async || {
        let messages = admin.get("/mail").await.expect(200).json;
        let messages = messages["data"].as_array().cloned().unwrap_or_default();
        let status = |message: &serde_json::Value| message["status"].clone();
        messages.iter().map(status).collect::<Vec<_>>()
    };
    eventually(async || statuses().await == ["dead", "sent"]).await;
    browser.press_button("Reload").await;
    browser.sees("5.7.1 spam").await;
    let rows =
        "return [...document.querySelectorAll('#messages strong')].map((it) => it.textContent)";
    assert_eq!(browser.run(rows).await, json!([admin.email, user.email]));
    browser.choose("Status", "Sent").await;
    browser.sees_no("5.7.1 spam").await;
    assert_eq!(browser.run(rows).await, json!([user.email]));
    browser.press("中文").await;
    browser.sees("重设密码").await;
    browser.close().await;
}

/// The page names whatever kind and status a message may have.
#[test]
fn every_kind_and_status_of_a_message_has_a_name_in_both_languages() {
    let texts = include_str!("../../../src/web/page/texts.js");
    let kinds = Kind::iter().map(|kind| json!(kind));
    for name in kinds.chain(Status::iter().map(|status| json!(status))) {
        let key = format!("  mail_{}: ", name.as_str().expect("a name"));
        assert_eq!(texts.matches(&key).count(), 2, "{key}");
    }
}
