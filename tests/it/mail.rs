//! Mail, and getting back in: password resets, verified addresses, notices; the queue of messages.

use std::time::Duration;

use polls::auth::accounts::code;
use polls::db::Db;
use polls::{mail, users};
use reqwest::Method;
use sea_orm::{ConnectionTrait as _, EntityTrait as _};
use serde_json::{Value, json};

use crate::support::app::{client, send};
use crate::support::crowd::CHEAP_PASSWORDS;
use crate::support::smtp::Behaviour;
use crate::support::{Answer, PASSWORD, Server, Smtp, TestApp, User, engine, eventually, polls};

const NEW: &str = "a better password";

/// A server that sends mail.
async fn app_with_mail(smtp: &Smtp, more: &[(&str, &str)]) -> TestApp {
    let settings = smtp.settings();
    let settings = settings.iter().map(|(key, value)| (*key, value.as_str()));
    let settings: Vec<_> = settings.chain(more.iter().copied()).collect();
    TestApp::with(&settings).await
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

#[tokio::test]
async fn a_forgotten_password_is_replaced_once_and_all_sessions_end() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let user = app.user("nancy").await;
    // However the address is written.
    forget(&app, &user.email.to_uppercase()).await;
    let message = smtp.message(1).await;
    assert_eq!(message.to, user.email);
    let token = message.token();
    let link = format!("https://polls.example.org/reset#{token}");
    assert!(message.text.contains(&link), "{message:?}");
    assert!(
        message.html.contains(&format!("href=\"{link}\"")),
        "{message:?}"
    );

    // What is no password for the account does not use the token up.
    for (bad, code) in [("short", "length"), ("password1", "common_password")] {
        let body = json!({"token": token, "new_password": bad});
        let request = app.request(Method::PUT, "/auth/password-reset");
        send(request.json(&body))
            .await
            .fields(&[("/new_password", code)]);
    }
    reset(&app, &token).await.expect(204);
    user.get("/users/me").await.problem("unauthenticated");
    app.token(&user.email, PASSWORD).await.expect(400);
    app.token(&user.email, NEW).await.expect(200);
    void(reset(&app, &token).await, "/token");
    void(reset(&app, "nonsense").await, "/token");
}

#[tokio::test]
async fn only_the_newest_token_works_and_only_for_half_an_hour() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let user = app.user("nancy").await;
    forget(&app, &user.email).await;
    let first = smtp.message(1).await.token();
    forget(&app, &user.email).await;
    let second = smtp.message(2).await.token();
    assert_ne!(first, second);
    void(reset(&app, &first).await, "/token");
    app.clock.advance(Duration::from_secs(29 * 60));
    forget(&app, &user.email).await;
    let third = smtp.message(3).await.token();
    void(reset(&app, &second).await, "/token");
    app.clock.advance(Duration::from_secs(30 * 60 + 1));
    void(reset(&app, &third).await, "/token");
    forget(&app, &user.email).await;
    let fourth = smtp.message(4).await.token();
    app.clock.advance(Duration::from_secs(29 * 60));
    reset(&app, &fourth).await.expect(204);
}

#[tokio::test]
async fn another_password_or_address_makes_a_token_void() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let user = app.user("nancy").await;
    forget(&app, &user.email).await;
    let token = smtp.message(1).await.token();
    let change = json!({"current_password": PASSWORD, "new_password": "battery staple"});
    user.put("/users/me/password", change).await.expect(204);
    void(reset(&app, &token).await, "/token");

    forget(&app, &user.email).await;
    let token = smtp.message(2).await.token();
    let change = json!({"email": "new@example.org", "current_password": "battery staple"});
    user.patch("/users/me", change).await.expect(200);
    void(reset(&app, &token).await, "/token");
    // The notice to the address before has no link.
    let notice = smtp.message(3).await;
    assert_eq!(notice.to, user.email);
    assert!(
        !notice.text.contains('#') && !notice.text.contains("new@"),
        "{notice:?}"
    );

    // A name or a new form of the hash makes nothing void.
    forget(&app, "new@example.org").await;
    let token = smtp.message(4).await.token();
    user.patch("/users/me", json!({"name": "Nan"}))
        .await
        .expect(200);
    app.token("new@example.org", "battery staple")
        .await
        .expect(200);
    reset(&app, &token).await.expect(204);
}

#[tokio::test]
async fn nobody_learns_which_addresses_have_an_account() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let (admin, user) = (app.admin("root").await, app.user("nancy").await);
    let disabled = app.user("lucy").await;
    let path = format!("/users/{}", disabled.id);
    admin
        .patch(&path, json!({"disabled": true}))
        .await
        .expect(200);
    for email in ["nobody@example.org", &disabled.email, &user.email] {
        forget(&app, email).await;
    }
    // In the order in which they were asked for: nothing came of the first two.
    let message = smtp.message(1).await;
    assert_eq!(message.to, user.email);
    newest_becomes(&admin, "sent").await;
    assert_eq!(messages(&admin, "").await.len(), 1);
}

#[tokio::test]
async fn without_mail_the_calls_say_so() {
    let (app, user) = TestApp::with_user("nancy").await;
    let features = async |app: &TestApp| {
        let path = "/.well-known/oauth-authorization-server";
        let metadata = send(app.outside(Method::GET, path)).await.expect(200);
        metadata.json["features"].clone()
    };
    let asked = app.post("/auth/password-reset", json!({"email": user.email}));
    for answer in [
        asked.await,
        reset(&app, "nonsense").await,
        user.post("/users/me/email-verification", json!(null)).await,
        verify(&user, "nonsense").await,
    ] {
        answer.problem("mail_not_configured").expect(409);
    }
    assert_eq!(features(&app).await, json!(["registration"]));
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[("accounts.registration", "false")]).await;
    assert_eq!(features(&app).await, json!(["mail"]));
}

#[tokio::test]
async fn an_address_is_verified_by_the_newest_code_that_was_sent_there() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let (user, other) = (app.user("nancy").await, app.user("lucy").await);
    let me = user.get("/users/me").await.expect(200);
    assert_eq!(me.json["email_verified"], false);
    ask_for_code(&user).await;
    let first = smtp.message(1).await;
    assert_eq!(first.to, user.email);
    ask_for_code(&user).await;
    let second = smtp.message(2).await.code();
    void(verify(&user, &first.code()).await, "/code");
    // It is one account's.
    void(verify(&other, &second).await, "/code");
    let verified = verify(&user, &second.to_lowercase().replace('-', " ")).await;
    assert_eq!(verified.expect(200).json["email_verified"], true);
    void(verify(&user, &second).await, "/code");
    // No message where the address is verified; the next one is for another address.
    ask_for_code(&user).await;

    // A new address is not verified, and the one before is told, in its language.
    let change = json!({"email": "new@example.org", "current_password": PASSWORD});
    let request = user.request(Method::PATCH, "/users/me").json(&change);
    let changed = send(request.header("accept-language", "zh-CN,zh;q=0.9")).await;
    assert_eq!(changed.expect(200).json["email_verified"], false);
    let notice = smtp.message(3).await;
    assert_eq!(notice.to, user.email);
    assert!(notice.text.contains("邮箱地址"), "{notice:?}");
    assert!(notice.html.contains("lang=\"zh-Hans\""), "{notice:?}");
    assert!(notice.head.contains("Subject: =?utf-8?"), "{notice:?}");

    ask_for_code(&user).await;
    let message = smtp.message(4).await;
    assert_eq!(message.to, "new@example.org");
    let back = json!({"email": user.email, "current_password": PASSWORD});
    let changed = user.patch("/users/me", back).await.expect(200);
    assert_eq!(changed.json["email_verified"], false);
    void(verify(&user, &message.code()).await, "/code");

    smtp.message(5).await;
    ask_for_code(&user).await;
    let late = smtp.message(6).await.code();
    app.clock.advance(Duration::from_secs(60 * 60 + 1));
    let user = app.another_session(&user).await;
    void(verify(&user, &late).await, "/code");
}

#[tokio::test]
async fn a_reset_by_mail_verifies_the_address() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let user = app.user("nancy").await;
    forget(&app, &user.email).await;
    reset(&app, &smtp.message(1).await.token())
        .await
        .expect(204);
    let tokens = app.token(&user.email, NEW).await.expect(200);
    let me = user.with_tokens(&tokens).get("/users/me").await.expect(200);
    assert_eq!(me.json["email_verified"], true);
}

#[tokio::test]
async fn messages_and_attempts_are_limited() {
    let smtp = Smtp::start().await;
    let limits = [
        ("limits.enabled", "true"),
        ("limits.mails_per_recipient", "2"),
        ("limits.mails_per_address", "5"),
        ("limits.code_attempts", "3"),
    ];
    let app = app_with_mail(&smtp, &limits).await;
    let user = app.user("nancy").await;
    let asked = async |email: &str| {
        let asked = app.post("/auth/password-reset", json!({"email": email}));
        asked.await
    };
    // The same for an address that has no account.
    for email in [user.email.as_str(), "nobody@example.org"] {
        asked(email).await.expect(202);
        asked(email).await.expect(202);
    }
    let refused = asked(&user.email.to_uppercase()).await;
    refused.problem("rate_limited").expect(429);
    // That was the fifth of the address.
    asked("another@example.org").await.problem("rate_limited");
    let code = user.post("/users/me/email-verification", json!(null)).await;
    code.problem("rate_limited").expect(429);
    let change = json!({"email": "new@example.org", "current_password": PASSWORD});
    user.patch("/users/me", change)
        .await
        .problem("rate_limited");

    smtp.message(2).await;
    for _ in 0..3 {
        void(reset(&app, "nonsense").await, "/token");
        void(verify(&user, "nonsense").await, "/code");
    }
    let token = smtp.message(2).await.token();
    reset(&app, &token)
        .await
        .problem("rate_limited")
        .expect(429);
    verify(&user, "nonsense")
        .await
        .problem("rate_limited")
        .expect(429);
}

#[tokio::test]
async fn a_message_waits_for_the_mail_server_and_no_request_does() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let (admin, user) = (app.admin("root").await, app.user("nancy").await);
    let port = smtp.port;
    smtp.stop().await;
    forget(&app, &user.email).await;
    let waiting = async || {
        let message = messages(&admin, "?status=queued").await.pop();
        message.filter(|message| message["error"].is_string())
    };
    eventually(async || waiting().await.is_some()).await;
    let message = waiting().await.expect("a message");
    assert_eq!(message["kind"], "password_reset");
    assert_eq!(message["recipient"], user.email);
    assert_eq!(message["attempts"], 1);

    let smtp = Smtp::on(port).await;
    smtp.behave(Behaviour::Postpones);
    app.clock.advance(Duration::from_secs(10));
    eventually(async || messages(&admin, "").await[0]["attempts"] == 2).await;
    eventually(async || smtp.ends() == 1).await;
    assert!(smtp.received().is_empty());
    eventually(async || {
        waiting()
            .await
            .is_some_and(|it| it["error"].to_string().contains("451"))
    })
    .await;

    smtp.behave(Behaviour::Accepts);
    app.clock.advance(Duration::from_secs(30));
    // The token is made when the message is sent, so it is valid for all of its time.
    let token = smtp.message(1).await.token();
    let sent = newest_becomes(&admin, "sent").await;
    assert_eq!(
        (&sent["attempts"], &sent["error"]),
        (&json!(3), &Value::Null)
    );
    app.clock.advance(Duration::from_secs(29 * 60));
    reset(&app, &token).await.expect(204);
}

#[tokio::test]
async fn a_mail_server_that_hangs_holds_no_request() {
    let smtp = Smtp::start().await;
    smtp.behave(Behaviour::Hangs);
    let app = app_with_mail(&smtp, &[]).await;
    let (admin, user) = (app.admin("root").await, app.user("nancy").await);
    // More than there are connections to the mail server.
    for number in 0..9 {
        forget(&app, &format!("nobody{number}@example.org")).await;
        forget(&app, &user.email).await;
    }
    ask_for_code(&user).await;
    assert_eq!(messages(&admin, "?status=queued&limit=1").await.len(), 1);
}

#[tokio::test]
async fn a_message_that_is_refused_is_dead_and_admins_see_it() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let (admin, user) = (app.admin("root").await, app.user("nancy").await);
    smtp.behave(Behaviour::Refuses);
    forget(&app, &user.email).await;
    let dead = newest_becomes(&admin, "dead").await;
    assert_eq!(dead["attempts"], 1);
    assert_eq!(dead.get("due_at"), None);
    let error = dead["error"].as_str().expect("an error");
    // The mail server repeats the message in its answer; admins do not see the token.
    assert!(
        error.contains("550") && error.contains("/reset#…"),
        "{error}"
    );
    let fields: Vec<&str> = dead
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        fields,
        [
            "id",
            "kind",
            "recipient",
            "status",
            "attempts",
            "error",
            "created_at"
        ]
    );
    assert_eq!(messages(&admin, "?status=dead").await.len(), 1);
    assert!(messages(&admin, "?status=queued").await.is_empty());
    user.get("/mail").await.problem("forbidden").expect(403);

    // It is not tried again.
    smtp.behave(Behaviour::Accepts);
    app.clock.advance(Duration::from_secs(25 * 60 * 60));
    forget(&app, &user.email).await;
    smtp.message(1).await;
    let admin = app.another_session(&admin).await;
    newest_becomes(&admin, "sent").await;
    assert_eq!(smtp.received().len(), 1);
}

#[tokio::test]
async fn a_message_that_nobody_waits_for_any_more_expires() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let (admin, user) = (app.admin("root").await, app.user("nancy").await);
    smtp.behave(Behaviour::Postpones);
    forget(&app, &user.email).await;
    eventually(async || messages(&admin, "").await[0]["error"].is_string()).await;
    smtp.behave(Behaviour::Accepts);
    app.clock.advance(Duration::from_secs(60 * 60));
    let admin = app.another_session(&admin).await;
    let expired = newest_becomes(&admin, "expired").await;
    assert!(expired["error"].to_string().contains("451"), "{expired}");
    assert!(smtp.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_processes_one_sends_a_message() {
    let smtp = Smtp::start().await;
    let one = app_with_mail(&smtp, &[]).await;
    let (two, three) = (one.beside().await, one.beside().await);
    let users = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut emails = Vec::new();
    for (index, name) in users.into_iter().enumerate() {
        let user = one.user(name).await;
        forget([&one, &two, &three][index % 3], &user.email).await;
        emails.push(user.email);
    }
    smtp.message(users.len()).await;
    let admin = one.admin("root").await;
    eventually(async || messages(&admin, "?status=sent").await.len() == users.len()).await;
    let mut sent: Vec<String> = smtp.received().into_iter().map(|it| it.to).collect();
    sent.sort();
    assert_eq!(sent, emails);
}

/// What the tables of accounts, codes and messages have, as text.
async fn contents(db: &Db) -> String {
    let users = users::entity::Entity::find().all(db.read()).await;
    let codes = code::Entity::find().all(db.read()).await;
    let messages = mail::entity::Entity::find().all(db.read()).await;
    format!("{users:?}\n{codes:?}\n{messages:?}")
}

#[tokio::test]
async fn no_log_no_table_and_no_backup_has_a_token_or_a_code() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let smtp = Smtp::start().await;
    let settings = smtp.settings().map(|(key, value)| format!("{key}={value}"));
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    let trace = ["--set", "log.filter=trace"];
    let flags: Vec<&str> = settings.chain(trace).chain(CHEAP_PASSWORDS).collect();
    let server = Server::start(folder.path(), &flags);
    let call =
        |method, path: &str| client().request(method, format!("{}/api/v1{path}", server.address));
    let email = "ada@example.org";
    let account = json!({"name": "Ada", "email": email, "password": PASSWORD});
    let account = send(call(Method::POST, "/users").json(&account))
        .await
        .expect(201);
    let form = [
        ("grant_type", "password"),
        ("username", email),
        ("password", PASSWORD),
    ];
    let token = send(call(Method::POST, "/auth/token").form(&form))
        .await
        .expect(200);
    let access_token = token.text("access_token");
    let user = User::of_token(
        &account.text("id"),
        &access_token,
        client(),
        &server.address,
    );

    ask_for_code(&user).await;
    let mut secrets = vec![smtp.message(1).await.code()];
    let forget = || call(Method::POST, "/auth/password-reset").json(&json!({"email": email}));
    send(forget()).await.expect(202);
    secrets.push(smtp.message(2).await.token());
    // One that waits, and one that is refused.
    smtp.behave(Behaviour::Refuses);
    send(forget()).await.expect(202);
    eventually(async || smtp.ends() == 3).await;
    smtp.behave(Behaviour::HangsAtTheEnd);
    send(forget()).await.expect(202);
    eventually(async || smtp.ends() == 4).await;
    let body = json!({"token": secrets[1], "new_password": NEW});
    let used = send(call(Method::PUT, "/auth/password-reset").json(&body)).await;
    void(used, "/token");
    verify(&user, &secrets[0]).await.expect(200);

    let database = engine::connect(&engine::database_url(folder.path())).await;
    let tables = contents(&database).await;
    database.close().await;
    assert!(
        tables.contains(email) && tables.contains("PasswordReset"),
        "{tables}"
    );
    let mut places = vec![("the tables", tables.into_bytes())];
    if engine::is_sqlite() {
        polls(folder.path(), &["backup", "copy.db"]).done();
        let backup = std::fs::read(folder.path().join("copy.db")).expect("a backup");
        places.push(("the backup", backup));
    }
    let log = server.log();
    assert!(log.contains("/auth/password-reset"), "{log}");
    places.push(("the log", log.into_bytes()));
    for (place, bytes) in &places {
        for secret in &secrets {
            let found = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!found, "{place} has {secret}");
        }
    }
}

#[tokio::test]
async fn a_message_survives_a_process_that_is_killed_while_sending_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let smtp = Smtp::start().await;
    let settings = smtp.settings().map(|(key, value)| format!("{key}={value}"));
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    let flags: Vec<&str> = settings.chain(CHEAP_PASSWORDS).collect();
    let mut server = Server::start(folder.path(), &flags);
    let post = async |server: &Server, path: &str, body: Value| {
        send(
            client()
                .post(format!("{}/api/v1{path}", server.address))
                .json(&body),
        )
        .await
    };
    let email = "ada@example.org";
    let account = json!({"name": "Ada", "email": email, "password": PASSWORD});
    post(&server, "/users", account).await.expect(201);
    smtp.behave(Behaviour::HangsAtTheEnd);
    post(&server, "/auth/password-reset", json!({"email": email}))
        .await
        .expect(202);
    eventually(async || smtp.ends() == 1).await;
    server.kill();

    smtp.behave(Behaviour::Accepts);
    // The time for which the message belonged to the killed process is over.
    let database = engine::connect(&engine::database_url(folder.path())).await;
    let sql = "UPDATE outgoing_mail SET due_at = 0 WHERE due_at > 0";
    let done = database.write(|transaction| async move {
        Ok(transaction.execute_unprepared(sql).await?.rows_affected())
    });
    assert_eq!(done.await.expect("it is written"), 1);
    database.close().await;
    let server = Server::start(folder.path(), &flags);
    let token = smtp.message(1).await.token();
    let body = json!({"token": token, "new_password": NEW});
    let url = format!("{}/api/v1/auth/password-reset", server.address);
    send(client().put(url).json(&body)).await.expect(204);
}

#[tokio::test]
async fn the_messages_to_a_deleted_account_are_deleted() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let (admin, user) = (app.admin("root").await, app.user("nancy").await);
    ask_for_code(&user).await;
    smtp.message(1).await;
    newest_becomes(&admin, "sent").await;
    assert!(contents(&app.db).await.contains(&user.email));
    user.delete_account().await.expect(204);
    assert!(messages(&admin, "").await.is_empty());
    assert!(!contents(&app.db).await.contains(&user.email));
}

#[tokio::test]
async fn a_restored_backup_has_neither_codes_nor_unsent_mail() {
    if !engine::is_sqlite() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let user = app.user("nancy").await;
    ask_for_code(&user).await;
    smtp.message(1).await;
    smtp.behave(Behaviour::Postpones);
    forget(&app, &user.email).await;
    eventually(async || smtp.ends() == 2).await;
    let copy = folder.path().join("copy.db");
    let copy = copy.display().to_string();
    let own = format!("database.url={}", app.database_url());
    polls(folder.path(), &["--set", &own, "backup", &copy]).done();

    let restored = format!(
        "database.url=sqlite:{}/restored.db",
        folder.path().display()
    );
    polls(folder.path(), &["--set", &restored, "restore", &copy]).done();
    let codes = async |db: &Db| code::Entity::find().all(db.read()).await.expect("codes");
    let messages = async |db: &Db| {
        mail::entity::Entity::find()
            .all(db.read())
            .await
            .expect("messages")
    };
    assert_eq!(
        (codes(&app.db).await.len(), messages(&app.db).await.len()),
        (2, 2)
    );
    let db = engine::connect(restored.trim_start_matches("database.url=")).await;
    assert!(codes(&db).await.is_empty());
    let left = messages(&db).await;
    let left: Vec<_> = left.iter().map(|message| message.status).collect();
    assert_eq!(left, [mail::Status::Sent]);
    db.close().await;
}
