//! Where codes and tokens of invitations may not be found.

use polls::db::Db;
use polls::invitations::{code, entity, refusal};
use polls::mail;
use reqwest::Method;
use sea_orm::EntityTrait as _;
use serde_json::json;

use super::mailing::{secret_of, verify};
use super::*;
use crate::support::app::{client, send};
use crate::support::crowd::CHEAP_PASSWORDS;
use crate::support::leaks::{files_with_backup, has};
use crate::support::smtp::Behaviour;
use crate::support::{PASSWORD, Server, Smtp, engine};

/// What the tables of invitations and of messages have, as text.
async fn contents(db: &Db) -> String {
    let invitations = entity::Entity::find().all(db.read()).await;
    let codes = code::Entity::find().all(db.read()).await;
    let refusals = refusal::Entity::find().all(db.read()).await;
    let messages = mail::entity::Entity::find().all(db.read()).await;
    format!("{invitations:?}\n{codes:?}\n{refusals:?}\n{messages:?}")
}

#[tokio::test]
async fn no_log_no_table_and_no_backup_has_a_code() {
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
    let account = send(call(Method::POST, "/users").json(&account)).await;
    let id = account.expect(201).text("id");
    let form = [
        ("grant_type", "password"),
        ("username", email),
        ("password", PASSWORD),
    ];
    let tokens = send(call(Method::POST, "/auth/token").form(&form)).await;
    let token = tokens.expect(200).text("access_token");
    let mut ada = User::of_token(&id, &token, client(), &server.address);
    ada.email = email.to_owned();
    verify(&smtp, &ada).await;
    let question = ask(&ada, json!({})).await;

    let shown = made(&ada, &question, 1).await;
    let shown = code(&shown[0]).to_owned();
    let body = json!({"invitations": [{"email": "nancy@example.org"}]});
    invite(&ada, &question, body).await.expect(201);
    let message = smtp.message(2).await;
    let (mailed, refusal) = (secret_of(&message, "i"), secret_of(&message, "refuse"));
    // One that is refused with the whole text.
    smtp.behave(Behaviour::Refuses);
    let body = json!({"invitations": [{"email": "bob@example.org"}]});
    invite(&ada, &question, body).await.expect(201);
    let refused = smtp.offer(3).await;
    let lost = [secret_of(&refused, "i"), secret_of(&refused, "refuse")];
    for code in [&shown, &mailed, &"0".repeat(26)] {
        let form = [("grant_type", "urn:polls:grant:invitation"), ("code", code)];
        send(call(Method::POST, "/auth/token").form(&form)).await;
    }
    let body = json!({"token": refusal});
    let refusing = call(Method::POST, "/invitations/refusals").json(&body);
    send(refusing).await.expect(204);
    let [lost_code, lost_token] = lost;
    let secrets = [shown, mailed, refusal, lost_code, lost_token];

    let database = engine::connect(&engine::database_url(folder.path())).await;
    let tables = contents(&database).await;
    database.close().await;
    assert!(tables.contains("nancy@example.org"), "{tables}");
    let mut places = vec![("the tables".to_owned(), tables.into_bytes())];
    if engine::is_sqlite() {
        let files = files_with_backup(folder.path());
        // The backup has the address, and the database or its log of changes.
        let with_address = files
            .iter()
            .filter(|(_, bytes)| has(bytes, "nancy@example.org"));
        let (copies, own): (Vec<_>, Vec<_>) =
            with_address.partition(|(name, _)| name.ends_with("copy.db"));
        assert!(
            copies.len() == 1 && !own.is_empty(),
            "the files do not have what they should"
        );
        places.extend(files);
    }
    let log = server.log();
    assert!(log.contains("/invitations/refusals"), "{log}");
    places.push(("the log".to_owned(), log.into_bytes()));
    for (place, bytes) in &places {
        for secret in &secrets {
            assert!(!has(bytes, secret), "{place} has {secret}");
            assert!(
                !has(bytes, &secret.replace('-', "")),
                "{place} has {secret}"
            );
        }
    }
}
