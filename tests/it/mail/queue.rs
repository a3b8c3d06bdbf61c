//! The queue of messages, and who sends them when.

use std::time::Duration;

use polls::language::Language;
use polls::mail::delivery::{Lane, TAKEN};
use polls::mail::{Draft, Kind, Message};
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use super::*;
use crate::support::app::client;
use crate::support::crowd::CHEAP_PASSWORDS;
use crate::support::smtp::Behaviour;
use crate::support::{PASSWORD, Server, engine};

/// Queues a message that a server without mail leaves where it is.
async fn queue(app: &TestApp, kind: Kind, recipient: &str) {
    let draft = Draft {
        kind,
        about: None,
        recipient,
        language: Language::English,
        lifetime: Duration::from_secs(3600),
    };
    let (mail, draft) = (&app.mail, &draft);
    let queued = app
        .db
        .write(|transaction| async move { mail.queue(&transaction, draft).await });
    queued.await.expect("it is queued");
}

async fn due(app: &TestApp, lane: Lane) -> Vec<Message> {
    app.mail.due(lane, 10).await.expect("the messages")
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

    let smtp = Smtp::on(port).await;
    smtp.behave(Behaviour::Postpones);
    app.clock.advance(Duration::from_secs(10));
    smtp.offer(1).await;
    let is_postponed = |message: Value| message["error"].to_string().contains("451");
    eventually(async || waiting().await.is_some_and(is_postponed)).await;
    assert!(smtp.received().is_empty());

    smtp.behave(Behaviour::Accepts);
    // The third pause is the longest that there can have been.
    app.clock.advance(Duration::from_secs(90));
    // The token is made when the message is sent, so it is valid for all of its time.
    let token = smtp.message(1).await.token();
    let sent = newest_becomes(&admin, "sent").await;
    assert!(sent["attempts"].as_u64() >= Some(3), "{sent}");
    assert_eq!(sent["error"], Value::Null);
    app.clock.advance(Duration::from_secs(28 * 60));
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

#[tokio::test]
async fn a_message_survives_a_process_that_is_killed_while_sending_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let smtp = Smtp::start().await;
    let settings = flags_with_mail(&smtp);
    let settings = settings.iter().map(String::as_str);
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
    eventually(async || smtp.offered().len() == 1).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn of_several_processes_that_see_a_message_due_exactly_one_takes_it() {
    // Without mail, so that nobody else takes it.
    let one = TestApp::start().await;
    let two = one.beside().await;
    let processes = [&one, &two, &one, &two, &one, &two];
    for round in 0..10 {
        queue(&one, Kind::AddressChanged, &format!("{round}@example.org")).await;
        let seen = due(&one, Lane::Others).await;
        assert_eq!(due(&two, Lane::Others).await, seen);
        let [message] = seen.try_into().expect("one message");
        let taking = processes.map(|app| {
            let (mail, message) = (app.mail.clone(), Message::clone(&message));
            tokio::spawn(async move { mail.take(message).await.expect("an answer") })
        });
        let mut takers = 0;
        for taking in taking {
            takers += usize::from(taking.await.expect("no panic").is_some());
        }
        assert_eq!(takers, 1);
    }
}

#[tokio::test]
async fn a_message_that_was_taken_and_not_sent_is_sent_later() {
    let smtp = Smtp::start().await;
    let idle = TestApp::start().await;
    let user = idle.user("nancy").await;
    queue(&idle, Kind::PasswordReset, &user.email).await;
    let [message] = due(&idle, Lane::Awaited).await.try_into().expect("one");
    let taken = idle.mail.take(message).await.expect("an answer");
    // As if the process ended here.
    drop(taken.expect("it is free"));
    assert!(due(&idle, Lane::Others).await.is_empty());
    let settings = smtp.settings();
    let settings: Vec<_> = settings
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    let other = idle.beside_with(&settings).await;
    other.clock.advance(TAKEN);
    assert_eq!(smtp.message(1).await.to, user.email);
}

#[tokio::test]
async fn a_message_that_hangs_holds_up_no_other() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let (admin, user) = (app.admin("root").await, app.user("nancy").await);
    smtp.behave(Behaviour::HangsAtTheEnd);
    forget(&app, &user.email).await;
    smtp.offer(1).await;
    smtp.behave(Behaviour::Accepts);
    forget(&app, &admin.email).await;
    assert_eq!(smtp.message(1).await.to, admin.email);
    // The other is still being sent.
    eventually(async || messages(&admin, "?status=queued").await.len() == 1).await;
    assert_eq!(messages(&admin, "?status=sent").await.len(), 1);
}

#[tokio::test]
async fn messages_that_nobody_waits_for_and_retries_have_connections_of_their_own() {
    let idle = TestApp::start().await;
    for number in 0..3 {
        queue(
            &idle,
            Kind::AddressChanged,
            &format!("{number}@example.org"),
        )
        .await;
        queue(&idle, Kind::PasswordReset, &format!("{number}@example.org")).await;
    }
    let awaited = due(&idle, Lane::Awaited).await;
    assert!(awaited.len() == 3 && awaited.iter().all(|it| it.kind == Kind::PasswordReset));
    assert_eq!(due(&idle, Lane::Others).await.len(), 3);
    for message in awaited {
        idle.mail
            .take(message)
            .await
            .expect("an answer")
            .expect("it is free");
    }
    // As after a first attempt.
    idle.clock.advance(TAKEN);
    assert!(due(&idle, Lane::Awaited).await.is_empty());
    assert_eq!(due(&idle, Lane::Others).await.len(), 6);
}

#[tokio::test]
async fn a_connection_that_is_lost_is_tried_again() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let (admin, user) = (app.admin("root").await, app.user("nancy").await);
    smtp.behave(Behaviour::HangsUp);
    forget(&app, &user.email).await;
    eventually(async || messages(&admin, "").await[0]["error"].is_string()).await;
    assert_eq!(messages(&admin, "").await[0]["status"], "queued");
    smtp.behave(Behaviour::Accepts);
    app.clock.advance(Duration::from_secs(10));
    // The mail server may have kept the first copy: recipients recognise the second one.
    let (first, second) = (smtp.offer(1).await, smtp.message(1).await);
    let id = |head: &str| {
        let line = head.lines().find(|line| line.starts_with("Message-ID: "));
        line.expect("an id").to_owned()
    };
    assert_eq!(id(&first.head), id(&second.head));
    void(reset(&app, &first.token()).await, "/token");
    reset(&app, &second.token()).await.expect(204);
}
