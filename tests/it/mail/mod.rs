//! Mail, and getting back in.

mod conversation;
mod queue;
mod recovery;
mod secrets;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::send;
use crate::support::{Answer, Smtp, TestApp, User, eventually};

const NEW: &str = "a better password";

/// A server that sends mail.
async fn app_with_mail(smtp: &Smtp, more: &[(&str, &str)]) -> TestApp {
    let settings = smtp.settings();
    let settings = settings.iter().map(|(key, value)| (*key, value.as_str()));
    let settings: Vec<_> = settings.chain(more.iter().copied()).collect();
    TestApp::with(&settings).await
}

/// The arguments of a process that sends mail.
fn flags_with_mail(smtp: &Smtp) -> Vec<String> {
    let settings = smtp.settings().map(|(key, value)| format!("{key}={value}"));
    let settings = settings.into_iter();
    settings
        .flat_map(|setting| ["--set".to_owned(), setting])
        .collect()
}

/// Asks for a new password.
async fn forget(app: &TestApp, email: &str) {
    let asked = app.post("/auth/password-reset", json!({"email": email}));
    let asked = asked.await.expect(202);
    assert!(asked.bytes.is_empty(), "{asked:?}");
}

async fn reset(app: &TestApp, token: &str) -> Answer {
    let body = json!({"token": token, "new_password": NEW});
    send(app.request(Method::PUT, "/auth/password-reset").json(&body)).await
}

/// Expects that a token or a code is void.
#[track_caller]
fn void(answer: Answer, pointer: &str) {
    answer.fields(&[(pointer, "wrong")]);
}

async fn verify(user: &User, code: &str) -> Answer {
    user.put("/users/me/email-verification", json!({"code": code}))
        .await
}

async fn ask_for_code(user: &User) {
    let path = "/users/me/email-verification";
    user.post(path, json!(null)).await.expect(202);
}

/// The messages as admins see them, newest first.
async fn messages(admin: &User, query: &str) -> Vec<Value> {
    let list = admin.get(&format!("/mail{query}")).await.expect(200);
    list.json["data"].as_array().cloned().expect("a list")
}

/// Waits until the newest message has this status.
async fn newest_becomes(admin: &User, status: &str) -> Value {
    eventually(async || messages(admin, "").await[0]["status"] == status).await;
    messages(admin, "").await.swap_remove(0)
}
