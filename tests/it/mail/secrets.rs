//! Where codes, tokens and addresses may not be found.

use polls::auth::accounts::code;
use polls::db::Db;
use polls::{mail, users};
use sea_orm::EntityTrait as _;

use super::*;
use crate::support::app::client;
use crate::support::crowd::CHEAP_PASSWORDS;
use crate::support::leaks::{files_with_backup, has};
use crate::support::smtp::Behaviour;
use crate::support::{PASSWORD, Server, engine, polls};

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
    let settings = flags_with_mail(&smtp);
    let settings = settings.iter().map(String::as_str);
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

    // One of each that is sent, one that is refused with the whole text, and one whose sending is
    // interrupted.
    ask_for_code(&user).await;
    let code = smtp.message(1).await.code();
    let forget = || call(Method::POST, "/auth/password-reset").json(&json!({"email": email}));
    send(forget()).await.expect(202);
    let token = smtp.message(2).await.token();
    smtp.behave(Behaviour::Refuses);
    send(forget()).await.expect(202);
    let refused = smtp.offer(3).await.token();
    let messages = async || {
        let database = engine::connect(&engine::database_url(folder.path())).await;
        let messages = mail::entity::Entity::find().all(database.read()).await;
        database.close().await;
        messages.expect("messages")
    };
    let is_dead = |message: &mail::Message| message.status == mail::Status::Dead;
    eventually(async || messages().await.iter().any(is_dead)).await;
    smtp.behave(Behaviour::HangsAtTheEnd);
    send(forget()).await.expect(202);
    let interrupted = smtp.offer(4).await.token();
    let body = json!({"token": token, "new_password": NEW});
    let used = send(call(Method::PUT, "/auth/password-reset").json(&body)).await;
    void(used, "/token");
    verify(&user, &code).await.expect(200);
    let secrets = [code, token, refused, interrupted];

    let database = engine::connect(&engine::database_url(folder.path())).await;
    let tables = contents(&database).await;
    database.close().await;
    assert!(
        tables.contains(email) && tables.contains("PasswordReset") && tables.contains("spam"),
        "{tables}"
    );
    let mut places = vec![("the tables".to_owned(), tables.into_bytes())];
    if engine::is_sqlite() {
        places.extend(files_with_backup(folder.path()));
        let with_address = places.iter().filter(|(_, bytes)| has(bytes, email));
        assert!(
            with_address.count() >= 3,
            "the files do not have what they should"
        );
    }
    let log = server.log();
    assert!(log.contains("/auth/password-reset"), "{log}");
    places.push(("the log".to_owned(), log.into_bytes()));
    for (place, bytes) in &places {
        for secret in &secrets {
            assert!(!has(bytes, secret), "{place} has {secret}");
        }
    }
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
    smtp.offer(2).await;
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
