//! What is kept about people: they get all of it, and it is erased with their accounts.

use std::collections::BTreeMap;

use polls::db::Db;
use sea_orm::{ConnectionTrait as _, Statement};
use serde_json::{Value, json};

use crate::guests::verify;
use crate::support::{PASSWORD, TestApp, User, engine};

async fn exported(user: &User) -> Value {
    let answer = user.get("/users/me/export").await.expect(200);
    let disposition = "attachment; filename=\"polls-account.json\"";
    assert_eq!(answer.header("content-disposition"), disposition);
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.json
}

fn texts(list: &Value, field: &str) -> Vec<String> {
    let items = list.as_array().expect("a list").iter();
    items
        .map(|item| item[field].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test]
async fn everybody_gets_everything_that_is_kept_about_them() {
    let limits = [
        ("limits.enabled", "true"),
        ("mail.url", "smtp://127.0.0.1:9"),
        ("mail.from", "polls@example.org"),
        ("server.public_url", "https://polls.example.org"),
    ];
    let app = TestApp::with(&limits).await;
    let (user, other) = (app.user("Ada").await, app.user("other").await);
    let phone = json!({"phone": "+8616666666661", "current_password": PASSWORD});
    user.patch("/users/me", phone).await.expect(200);
    let asked = user
        .ask(
            &["a", "b"],
            json!({"listed": false, "description": "Think."}),
        )
        .await;
    let deleted = user
        .ask(&["c", "d"], json!({"question_text": "Gone?"}))
        .await;
    user.delete(&deleted.path).await.expect(204);
    let theirs = other
        .ask(&["e", "f"], json!({"question_text": "Theirs?"}))
        .await;
    let gone = other
        .ask(&["g", "h"], json!({"question_text": "Secret plans?"}))
        .await;
    for (question, choice) in [(&theirs, 1), (&gone, 0)] {
        user.vote(question, &[choice]).await.expect(201);
        other.vote(question, &[0]).await.expect(201);
    }
    other.delete(&gone.path).await.expect(204);
    user.post("/users/me/email-verification", json!({}))
        .await
        .expect(202);
    let unverified = exported(&user).await;
    assert_eq!(unverified["account"]["email_verified"], false);
    // Anybody can register with the address of somebody else.
    assert_eq!(unverified["mail"], json!([]));
    verify(&app, &user).await;
    let elsewhere = app.another_session(&user).await;
    elsewhere.delete("/auth/sessions").await.expect(204);
    let user = app.another_session(&user).await;

    let data = exported(&user).await;
    assert_eq!(
        data["account"],
        user.get("/users/me").await.expect(200).json
    );
    assert_eq!(data["account"]["phone"], "+8616666666661");
    assert_eq!(data["usage"]["questions"], 2);
    assert_eq!(data["usage"]["invitation_mails"], 0);
    assert_eq!(data["sessions"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        texts(&data["sessions"], "ended_at")
            .iter()
            .filter(|end| !end.is_empty())
            .count(),
        2
    );
    assert_eq!(data["known_networks"].as_array().map(Vec::len), Some(1));
    assert_eq!(texts(&data["known_networks"], "hash")[0].len(), 64);
    assert_eq!(texts(&data["mail"], "recipient"), [user.email.as_str()]);
    assert_eq!(
        texts(&data["questions"], "id"),
        [deleted.id.clone(), asked.id.clone()]
    );
    assert_eq!(data["questions"][1]["description"], "Think.");
    assert_eq!(data["questions"][1]["choices"][0]["choice_text"], "a");
    assert!(data["questions"][0]["deleted_at"].is_string());
    assert_eq!(
        texts(&data["ballots"], "question_id"),
        [gone.id.clone(), theirs.id.clone()]
    );
    assert_eq!(data["ballots"][1]["choice_ids"], json!([theirs.choices[1]]));
    assert_eq!(data["ballots"][1]["question_text"], "Theirs?");
    // The text of what others have deleted is theirs.
    let text = data.to_string();
    assert!(!text.contains("Secret plans?"));
    // No secret, and nothing of anybody else's.
    for secret in [
        PASSWORD,
        "argon2",
        &user.refresh_token,
        &user.access_token,
        &other.id,
        &other.email,
    ] {
        assert!(!text.contains(secret), "{secret}");
    }

    let empty = exported(&app.user("new").await).await;
    for list in ["questions", "ballots", "mail", "codes"] {
        assert_eq!(empty[list], json!([]), "{list}");
    }
    assert_eq!(empty.get("usage"), None);
    user.delete_account().await.expect(204);
    user.get("/users/me/export")
        .await
        .problem("unauthenticated")
        .expect(401);
}

#[tokio::test]
async fn guests_get_what_is_kept_about_them() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author
        .ask(&["a", "b"], json!({"electorate": "anyone"}))
        .await;
    let guest = app.guest().await;
    guest.vote(&question, &[1]).await.expect(201);
    let data = exported(&guest).await;
    assert_eq!(data["account"]["id"], guest.id);
    assert!(data["guest_expires_at"].is_string(), "{data}");
    assert_eq!(data["sessions"].as_array().map(Vec::len), Some(1));
    assert_eq!(texts(&data["ballots"], "question_id"), [question.id]);
    for list in ["questions", "mail", "codes", "invitations"] {
        assert_eq!(data[list], json!([]), "{list}");
    }
    assert_eq!(exported(&author).await.get("guest_expires_at"), None);
}

#[tokio::test]
async fn a_long_export_has_every_page_of_every_list() {
    let (app, user) = TestApp::with_user("lucy").await;
    let author = app.user("author").await;
    let mut asked = Vec::new();
    for number in 0..130 {
        let question = user
            .ask(
                &["a", "b"],
                json!({"question_text": format!("Which {number}?")}),
            )
            .await;
        let other = author.ask(&["a", "b"], json!({})).await;
        user.vote(&other, &[0]).await.expect(201);
        asked.push((question.id, other.id));
    }
    asked.reverse();
    let (questions, voted): (Vec<String>, Vec<String>) = asked.into_iter().unzip();
    let data = exported(&user).await;
    assert_eq!(texts(&data["questions"], "id"), questions);
    assert_eq!(texts(&data["ballots"], "question_id"), voted);
}

/// Every column that may say something about somebody, with the member of the export that has it, or
/// with the reason why none has. A new column has to be considered, here and in the export.
const CONSIDERED: [(&str, &str); 32] = [
    ("account_codes.code_hash", "the hash of a secret"),
    ("account_codes.user_id", "codes"),
    ("author_usage.author_id", "usage"),
    ("author_usage.invitation_mails", "usage"),
    ("ballot_marks.user_id", "ballots"),
    ("ballots.user_id", "ballots"),
    ("invitation_codes.code_hash", "the hash of a secret"),
    (
        "invitation_refusals.recipient",
        "a hash of an address that refuses invitations, of no account",
    ),
    ("invitations.email", "invitations"),
    ("invitations.email_hash", "another form of the address"),
    ("invitations.invited_by", "invitations"),
    ("invitations.user_id", "used_invitation, if there is one"),
    ("known_networks.network", "known_networks"),
    ("known_networks.user_id", "known_networks"),
    ("locks.name", "says nothing about anybody"),
    (
        "network_ballots.network",
        "a keyed hash of a network, of no account",
    ),
    ("outgoing_mail.recipient", "mail"),
    ("questions.author_id", "questions"),
    ("questions.ballots_per_address", "questions"),
    (
        "refresh_tokens.session_id",
        "the hash of a secret, of one of `sessions`",
    ),
    ("refresh_tokens.token_hash", "the hash of a secret"),
    ("revocations.session_id", "one of `sessions`"),
    ("secrets.name", "says nothing about anybody"),
    ("sessions.client", "sessions"),
    ("sessions.user_id", "sessions"),
    ("users.email", "account"),
    (
        "users.email_key",
        "another form of the address in `account`",
    ),
    (
        "users.guest_expires_at",
        "`guest_expires_at`, if it is a guest",
    ),
    ("users.name", "account"),
    ("users.password_hash", "the hash of a secret"),
    ("users.phone", "account"),
    ("users.verified_email_key", "`email_verified` of `account`"),
];

/// Parts of the names of columns that say something about somebody.
const PERSONAL: [&str; 13] = [
    "user",
    "author",
    "voter",
    "guest",
    "invited",
    "name",
    "mail",
    "phone",
    "recipient",
    "network",
    "address",
    "client",
    "session",
];

async fn rows(db: &Db, sql: &str) -> Vec<sea_orm::QueryResult> {
    let statement = Statement::from_string(db.read().get_database_backend(), sql);
    db.read()
        .query_all_raw(statement)
        .await
        .expect("the schema")
}

#[tokio::test]
async fn every_column_that_refers_to_somebody_is_considered() {
    // The other engines have the same tables, but list them in other ways.
    if !engine::is_sqlite() {
        return;
    }
    let app = TestApp::start().await;
    let db = app.database_from_outside().await;
    let mut personal = BTreeMap::new();
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table'";
    for table in rows(&db, tables).await {
        let table: String = table.try_get_by_index(0).expect("a name");
        for column in rows(&db, &format!("PRAGMA table_info({table})")).await {
            let column: String = column.try_get("", "name").expect("a name");
            let of_secret = column.ends_with("_hash");
            if of_secret || PERSONAL.iter().any(|part| column.contains(part)) {
                personal.insert(format!("{table}.{column}"), ());
            }
        }
        for key in rows(&db, &format!("PRAGMA foreign_key_list({table})")).await {
            let target: String = key.try_get("", "table").expect("a table");
            let column: String = key.try_get("", "from").expect("a column");
            if ["users", "sessions"].contains(&&*target) {
                personal.insert(format!("{table}.{column}"), ());
            }
        }
    }
    let considered: Vec<&str> = CONSIDERED.iter().map(|(column, _)| *column).collect();
    let found: Vec<&str> = personal.keys().map(String::as_str).collect();
    assert_eq!(found, considered);
    // What is said to be in the export is one of its members.
    let members = exported(&app.user("lucy").await).await;
    let members = members.as_object().expect("an object");
    for (column, place) in CONSIDERED {
        let is_reason = place.contains(' ');
        assert!(
            is_reason || place == "usage" || members.contains_key(place),
            "{column}"
        );
    }
}
