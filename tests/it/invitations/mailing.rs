//! Invitations by mail, and refusing them.

use std::time::Duration;

use polls::invitations::refusal;
use reqwest::Method;
use sea_orm::EntityTrait as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::support::app::send;
use crate::support::smtp::{Behaviour, Received};
use crate::support::{Smtp, TestApp, eventually};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A server that sends mail.
async fn app_with_mail(smtp: &Smtp, more: &[(&str, &str)]) -> TestApp {
    let settings = smtp.settings();
    let settings = settings.iter().map(|(key, value)| (*key, value.as_str()));
    let settings: Vec<_> = settings.chain(more.iter().copied()).collect();
    TestApp::with(&settings).await
}

/// Somebody whose email address is verified.
async fn verified(app: &TestApp, smtp: &Smtp, name: &str) -> User {
    let user = app.user(name).await;
    verify(smtp, &user).await;
    user
}

pub async fn verify(smtp: &Smtp, user: &User) {
    let path = "/users/me/email-verification";
    user.post(path, json!(null)).await.expect(202);
    let code = to(smtp, &user.email, 1).await.code();
    user.put(path, json!({"code": code})).await.expect(200);
}

/// The message to an address with this number, from 1. Waits until it arrives.
async fn to(smtp: &Smtp, address: &str, number: usize) -> Received {
    let messages = || {
        let mut messages = smtp.received();
        messages.retain(|message| message.to == address);
        messages
    };
    eventually(async || messages().len() >= number).await;
    messages().swap_remove(number - 1)
}

/// What follows `path` and `#` in a link of the message.
pub fn secret_of(message: &Received, path: &str) -> String {
    let link = format!("https://polls.example.org/{path}#");
    let (_, secret) = message.text.split_once(&link).expect("a link");
    let secret = secret.lines().next().unwrap_or_default().to_owned();
    let link = format!("href=\"{link}{secret}\"");
    assert!(message.html.contains(&link), "{message:?}");
    secret
}

fn code_of(message: &Received) -> String {
    secret_of(message, "i")
}

/// Invites an address.
async fn invite_by_mail(user: &User, question: &Question, address: &str) -> Answer {
    let body = json!({"invitations": [{"email": address}]});
    invite(user, question, body).await
}

async fn refuse(app: &TestApp, token: &str) -> Answer {
    app.post("/invitations/refusals", json!({"token": token}))
        .await
}

/// The messages with invitations as admins see them, newest first.
async fn messages(admin: &User) -> Vec<Value> {
    let list = admin.get("/mail?limit=100").await.expect(200);
    let mut list = data(&list);
    list.retain(|message| message["kind"] == "invitation");
    list
}

#[tokio::test]
async fn an_invitation_by_mail_is_in_the_mail_and_in_no_answer() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let author = verified(&app, &smtp, "Lucy").await;
    let more = json!({"question_text": "Where to?", "closes_at": "2100-01-02T03:04:05Z"});
    let question = ask(&author, more).await;
    let body = json!({"invitations": [
        {"label": "Nancy", "email": "nancy@example.org"}, {"label": "Bob"},
    ]});
    let made = invite(&author, &question, body).await.expect(201);
    let made = data(&made);
    assert_eq!(made[0]["email"], "nancy@example.org");
    assert_eq!(made[0].get("code"), None);
    let bob = app.guest_of(code(&made[1])).await;

    let message = to(&smtp, "nancy@example.org", 1).await;
    assert!(
        message
            .head
            .contains("Subject: Invitation to vote: Where to?")
    );
    for words in [
        "Lucy invites you",
        "“Where to?”",
        "closes on 2100-01-02 03:04 (UTC)",
    ] {
        assert!(message.text.contains(words), "{message:?}");
    }
    // It does not tell what the author calls them.
    assert!(!message.text.contains("Nancy"), "{message:?}");
    let nancy = app.guest_of(&code_of(&message)).await;
    assert_ne!(nancy.id, bob.id);
    nancy.vote(&question, &[0]).await.expect(201);
    let listed = list(&author, &question).await;
    assert_eq!(listed[1]["email"], "nancy@example.org");
    assert_eq!(listed[1].get("code"), None);

    // In the language of whoever invites.
    let opens_at = app.clock.now().after(DAY).to_string();
    let question = ask(&author, json!({"opens_at": opens_at})).await;
    let request = author.request(Method::POST, &question.under("invitations"));
    let body = json!({"invitations": [{"email": "nancy@example.org"}]});
    let request = request.header("accept-language", "zh-CN").json(&body);
    send(request).await.expect(201);
    let message = to(&smtp, "nancy@example.org", 2).await;
    for words in ["Lucy 邀请您", "开始", "(UTC)"] {
        assert!(message.text.contains(words), "{message:?}");
    }
    assert!(message.html.contains("lang=\"zh-Hans\""), "{message:?}");
    app.guest_of(&code_of(&message)).await;
}

#[tokio::test]
async fn inviting_by_mail_needs_mail_and_a_verified_address() {
    let (_app, author) = TestApp::with_user("lucy").await;
    let question = ask(&author, json!({})).await;
    let refused = invite_by_mail(&author, &question, "nancy@example.org").await;
    refused.problem("mail_not_configured").expect(409);

    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let author = app.user("lucy").await;
    let question = ask(&author, json!({})).await;
    let refused = invite_by_mail(&author, &question, "nancy@example.org").await;
    refused.problem("email_unverified").expect(403);
    assert!(list(&author, &question).await.is_empty());
    // It is the address of whoever invites that counts.
    let admin = app.admin("root").await;
    verify(&smtp, &author).await;
    let refused = invite_by_mail(&admin, &question, "nancy@example.org").await;
    refused.problem("email_unverified").expect(403);
    let bad = json!({"invitations": [{"email": "nancy"}, {"email": "a@b@c"}]});
    let bad = invite(&author, &question, bad).await;
    bad.fields(&[
        ("/invitations/0/email", "email"),
        ("/invitations/1/email", "email"),
    ]);
    invite_by_mail(&author, &question, "nancy@example.org")
        .await
        .expect(201);
}

#[tokio::test]
async fn a_question_invites_an_address_once() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let author = verified(&app, &smtp, "lucy").await;
    let question = ask(&author, json!({})).await;
    let body = json!({"invitations": [
        {"email": "a@example.org"}, {}, {"email": "A@EXAMPLE.ORG"}, {"email": "b@example.org"},
    ]});
    let refused = invite(&author, &question, body).await;
    refused.fields(&[("/invitations/2/email", "unique")]);
    let body = json!({"invitations": [{"email": "a@example.org"}, {"email": "b@dömäin.org"}]});
    let made = data(&invite(&author, &question, body).await.expect(201));
    let body = json!({"invitations": [
        {}, {"email": "B@xn--dmin-moa0i.org"}, {"email": "c@example.org"},
    ]});
    let refused = invite(&author, &question, body).await;
    refused.fields(&[("/invitations/1/email", "unique")]);
    assert_eq!(list(&author, &question).await.len(), 2);
    // Another question does, and so does this one after it was taken back.
    let another = ask(&author, json!({})).await;
    invite_by_mail(&author, &another, "a@example.org")
        .await
        .expect(201);
    let first = code_of(&to(&smtp, "a@example.org", 1).await);
    take_back(&author, &question, &made[0]).await.expect(204);
    invite_by_mail(&author, &question, "a@example.org")
        .await
        .expect(201);
    to(&smtp, "a@example.org", 3).await;
    // The first message was to either question.
    let answer = app.exchange(&first).await;
    match answer.status.as_u16() {
        200 => assert_eq!(answer.json["question_id"], another.id.as_str()),
        _ => void(answer),
    }
}

#[tokio::test]
async fn what_users_wrote_is_only_text() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let name = "<script>alert(1)</script> {site}";
    let author = verified(&app, &smtp, "mallory").await;
    author
        .patch("/users/me", json!({"name": name}))
        .await
        .expect(200);
    let text = "=?utf-8?q?Bcc:_all@example.org?= <a href=\"https://evil.example\">{sender}</a> Ünï";
    let label = "<img src=x onerror=alert(1)>";
    let question = ask(&author, json!({"question_text": text})).await;
    let body = json!({"invitations": [{"label": label, "email": "nancy@example.org"}]});
    invite(&author, &question, body).await.expect(201);
    let message = to(&smtp, "nancy@example.org", 1).await;
    assert!(message.text.contains(text) && message.text.contains(name));
    for tag in ["<script", "<a href=\"https://evil", "<img"] {
        assert!(!message.html.contains(tag), "{message:?}");
    }
    assert!(
        message
            .html
            .contains("&lt;script&gt;alert(1)&lt;/script&gt; {site}")
    );
    // The headers are those of every message, and the subject is encoded.
    let names = message
        .head
        .split("\r\n")
        .filter(|line| !line.starts_with([' ', '\t']));
    let names: Vec<&str> = names.filter_map(|line| line.split(':').next()).collect();
    for name in &names {
        let known = [
            "Message-ID",
            "From",
            "To",
            "Subject",
            "Auto-Submitted",
            "MIME-Version",
            "Date",
            "Content-Type",
        ];
        assert!(known.contains(name), "{name} in {}", message.head);
    }
    assert!(
        message.head.is_ascii() && message.head.contains("=?utf-8?b?"),
        "{}",
        message.head
    );
    assert!(
        !message.head.contains("Bcc") && !message.head.contains("script"),
        "{}",
        message.head
    );
}

#[tokio::test]
async fn an_address_refuses_all_invitations() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let (admin, lucy, ann) = (
        app.admin("root").await,
        verified(&app, &smtp, "lucy").await,
        verified(&app, &smtp, "ann").await,
    );
    let question = ask(&lucy, json!({})).await;
    for address in ["nancy@example.org", "bob@example.org"] {
        invite_by_mail(&lucy, &question, address).await.expect(201);
    }
    let message = to(&smtp, "nancy@example.org", 1).await;
    let bobs = secret_of(&to(&smtp, "bob@example.org", 1).await, "refuse");
    let token = secret_of(&message, "refuse");
    assert_ne!(token, bobs);
    let forged = format!("{}{}", &token[..43], &bobs[43..]);
    for bad in ["nonsense", &token[..80], &forged, &token.to_uppercase()] {
        refuse(&app, bad).await.fields(&[("/token", "wrong")]);
    }
    for _ in 0..2 {
        refuse(&app, &token).await.expect(204);
    }
    let refused = refusal::Entity::find().all(app.db.read()).await;
    let refused = refused.expect("refusals");
    assert_eq!(refused.len(), 1);
    let guessed = Sha256::digest("nancy@example.org");
    assert_ne!(refused[0].recipient, guessed.to_vec());

    // However it is written and whoever invites. Whoever invites is not told.
    let another = ask(&ann, json!({})).await;
    for address in ["NANCY@Example.org", "carl@example.org"] {
        invite_by_mail(&ann, &another, address).await.expect(201);
    }
    to(&smtp, "carl@example.org", 1).await;
    eventually(async || {
        messages(&admin)
            .await
            .iter()
            .all(|it| it["status"] == "sent")
    })
    .await;
    assert_eq!(messages(&admin).await.len(), 3);
    assert_eq!(list(&ann, &another).await.len(), 2);
    let to_nancy = smtp.received();
    let to_nancy = to_nancy
        .iter()
        .filter(|it| it.to.to_lowercase() == "nancy@example.org");
    assert_eq!(to_nancy.count(), 1);
    // The code that was sent works.
    app.guest_of(&code_of(&message)).await;
}

#[tokio::test]
async fn an_account_sends_so_many_invitations_a_day() {
    let smtp = Smtp::start().await;
    let limits = [
        ("limits.enabled", "true"),
        ("limits.invitation_mails_per_day", "3"),
    ];
    let app = app_with_mail(&smtp, &limits).await;
    let author = verified(&app, &smtp, "lucy").await;
    let (one, other) = (ask(&author, json!({})).await, ask(&author, json!({})).await);
    let by_mail = |addresses: &[&str]| {
        let invitees: Vec<Value> = addresses.iter().map(|it| json!({"email": it})).collect();
        json!({"invitations": invitees})
    };
    let two = by_mail(&["a@example.org", "b@example.org"]);
    invite(&author, &one, two.clone()).await.expect(201);
    let refused = invite(&author, &other, two.clone()).await;
    let detail = refused.expect(409).problem("quota_exceeded").text("detail");
    assert!(
        detail.contains("limits.invitation_mails_per_day"),
        "{detail}"
    );
    assert!(detail.contains("T00:00:00Z"), "{detail}");
    assert!(list(&author, &other).await.is_empty());
    invite_by_mail(&author, &other, "c@example.org")
        .await
        .expect(201);
    // Taking back gives nothing back; codes that are shown cost nothing.
    let listed = list(&author, &other).await;
    take_back(&author, &other, &listed[0]).await.expect(204);
    invite_by_mail(&author, &other, "d@example.org")
        .await
        .problem("quota_exceeded");
    made(&author, &other, 5).await;
    author.ask(&["a", "b"], json!({})).await;
    app.clock.advance(DAY);
    let author = app.another_session(&author).await;
    invite(&author, &other, two).await.expect(201);
}

#[tokio::test]
async fn an_address_gets_so_many_invitations_a_day() {
    let smtp = Smtp::start().await;
    let limits = [
        ("limits.enabled", "true"),
        ("limits.invitation_mails_per_recipient", "2"),
    ];
    let app = app_with_mail(&smtp, &limits).await;
    let (admin, lucy, ann) = (
        app.admin("root").await,
        verified(&app, &smtp, "lucy").await,
        verified(&app, &smtp, "ann").await,
    );
    for author in [&lucy, &ann, &lucy] {
        let question = ask(author, json!({})).await;
        let sent = messages(&admin).await.len();
        invite_by_mail(author, &question, "nancy@example.org")
            .await
            .expect(201);
        // Each is sent or dropped before the next.
        eventually(async || {
            let messages = messages(&admin).await;
            let done = messages.iter().all(|message| message["status"] == "sent");
            done && (messages.len() > sent || sent == 2)
        })
        .await;
    }
    assert_eq!(messages(&admin).await.len(), 2);
    app.clock.advance(DAY);
    let lucy = app.another_session(&lucy).await;
    let question = ask(&lucy, json!({})).await;
    invite_by_mail(&lucy, &question, "nancy@example.org")
        .await
        .expect(201);
    to(&smtp, "nancy@example.org", 3).await;
}

#[tokio::test]
async fn a_message_that_has_lost_its_purpose_is_not_sent() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let admin = app.admin("root").await;
    let (lucy, spammer) = (
        verified(&app, &smtp, "lucy").await,
        verified(&app, &smtp, "spammer").await,
    );
    smtp.behave(Behaviour::Postpones);
    let mut questions = Vec::new();
    for (author, name) in [
        (&lucy, "taken-back"),
        (&lucy, "deleted"),
        (&lucy, "closed"),
        (&lucy, "used"),
        (&lucy, "opened"),
        (&spammer, "disabled"),
        (&lucy, "kept"),
    ] {
        let question = ask(author, json!({})).await;
        let address = format!("{name}@example.org");
        let made = invite_by_mail(author, &question, &address).await;
        questions.push((question, data(&made.expect(201)).swap_remove(0)));
    }
    let failed = async || {
        let messages = messages(&admin).await;
        let failed = messages.iter().filter(|it| it["error"].is_string());
        failed.count()
    };
    eventually(async || failed().await == 7).await;
    let [
        (first, invitation),
        (second, _),
        (third, _),
        _,
        (fifth, _),
        ..,
    ] = &questions[..]
    else {
        panic!("{questions:?}");
    };
    take_back(&lucy, first, invitation).await.expect(204);
    lucy.delete(&second.path).await.expect(204);
    let close = third.under("close");
    lucy.post(&close, json!(null)).await.expect(200);
    // A message may arrive although its sending seems to have failed.
    let offered = smtp.offered();
    let arrived = offered.iter().find(|it| it.to == "used@example.org");
    app.guest_of(&code_of(arrived.expect("a message"))).await;
    let changed = lucy.patch(&fifth.path, json!({"electorate": "anyone"}));
    changed.await.expect(200);
    let path = format!("/users/{}", spammer.id);
    admin
        .patch(&path, json!({"disabled": true}))
        .await
        .expect(200);

    smtp.behave(Behaviour::Accepts);
    app.clock.advance(Duration::from_secs(10));
    to(&smtp, "kept@example.org", 1).await;
    eventually(async || messages(&admin).await.len() == 1).await;
    let sent = smtp.received();
    let sent: Vec<&str> = sent.iter().map(|it| it.to.as_str()).collect();
    let sent: Vec<&&str> = sent
        .iter()
        .filter(|to| !to.contains(['1', '2', '3']))
        .collect();
    assert_eq!(sent, [&"kept@example.org"]);
}

/// Mail clients show one of two messages with the same id: whichever it is, it has to work.
#[tokio::test]
async fn every_copy_of_a_message_leads_to_the_same_guest() {
    let smtp = Smtp::start().await;
    let app = app_with_mail(&smtp, &[]).await;
    let author = verified(&app, &smtp, "lucy").await;
    let question = ask(&author, json!({})).await;
    smtp.behave(Behaviour::HangsUp);
    let made = invite_by_mail(&author, &question, "nancy@example.org").await;
    made.expect(201);
    let is_offered = async || smtp.offered().iter().any(|it| it.to == "nancy@example.org");
    eventually(is_offered).await;
    smtp.behave(Behaviour::Accepts);
    let admin = app.admin("root").await;
    eventually(async || messages(&admin).await[0]["error"].is_string()).await;
    app.clock.advance(Duration::from_secs(10));
    to(&smtp, "nancy@example.org", 1).await;
    let copies = smtp.offered();
    let copies = copies.iter().filter(|it| it.to == "nancy@example.org");
    let copies: Vec<String> = copies.map(code_of).collect();
    assert_eq!(copies.len(), 2);
    assert_ne!(copies[0], copies[1]);
    let guests = [
        app.guest_of(&copies[0]).await.id,
        app.guest_of(&copies[1]).await.id,
    ];
    assert_eq!(guests[0], guests[1]);
}
