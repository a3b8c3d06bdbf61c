//! Where codes and tokens of invitations may not be found.

use reqwest::Method;
use serde_json::json;

use super::mailing::{secret_of, verify};
use super::*;
use crate::support::app::{client, send};
use crate::support::crowd::CHEAP_PASSWORDS;
use crate::support::smtp::Behaviour;
use crate::support::{PASSWORD, Server, Smtp, engine, polls};

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

    let mut places = Vec::new();
    if engine::is_sqlite() {
        polls(folder.path(), &["backup", "copy.db"]).done();
        // The database or its log of changes, and the backup.
        let files = std::fs::read_dir(folder.path()).expect("the folder");
        for file in files.map(|file| file.expect("a file").path()) {
            let bytes = std::fs::read(&file).expect("a file");
            places.push((file.display().to_string(), bytes));
        }
        let with_address = places
            .iter()
            .filter(|(_, bytes)| has(bytes, "nancy@example.org"));
        assert!(
            with_address.count() >= 2,
            "the files do not have what they should"
        );
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

fn has(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}
