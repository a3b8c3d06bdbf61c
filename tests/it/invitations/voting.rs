//! Codes, the guests that they lead to, and their ballots.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::*;
use crate::support::TestApp;

/// The fields `used` of the invitations, newest first; null where it is not shown.
async fn uses(user: &User, question: &Question) -> Vec<Value> {
    let list = list(user, question).await;
    list.iter()
        .map(|invitation| invitation["used"].clone())
        .collect()
}

#[tokio::test]
async fn a_code_leads_to_the_same_guest_however_it_is_typed() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = ask(&author, json!({})).await;
    let made = made(&author, &question, 2).await;
    let code = code(&made[0]).to_owned();
    let first = app.exchange(&code).await.expect(200);
    assert_eq!(first.json["question_id"], question.id.as_str());
    assert_eq!(first.header("cache-control"), "no-store");
    let guest = app.guest_of(&code).await;
    for typed in [
        code.to_lowercase(),
        code.replace('-', ""),
        format!(" {} ", code.replace('-', " ")),
        code.replace('0', "o").replace('1', "l"),
        code.replace('0', "O").replace('1', "I"),
    ] {
        assert_eq!(app.guest_of(&typed).await.id, guest.id, "{typed}");
    }
    let other = app.guest_of(super::code(&made[1])).await;
    assert_ne!(other.id, guest.id);
    let me = guest.get("/users/me").await.expect(200).json;
    assert_eq!(me["guest"], true);
    let id: uuid::Uuid = guest.id.parse().expect("an id");
    assert_eq!(id.get_version_num(), 4);

    for wrong in ["nonsense", &code[1..], &format!("{code}0"), "投票"] {
        void(app.exchange(wrong).await);
    }
    let missing = [("grant_type", "urn:polls:grant:invitation"), ("code", "")];
    let missing = app.form("/auth/token", &missing).await.expect(400);
    assert_eq!(missing.json["error"], "invalid_request");
}

#[tokio::test]
async fn one_code_is_one_ballot_on_any_number_of_devices() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = ask(&author, json!({})).await;
    let made = made(&author, &question, 2).await;
    let (phone, laptop) = (
        app.guest_of(code(&made[0])).await,
        app.guest_of(code(&made[0])).await,
    );
    assert_ne!(phone.access_token, laptop.access_token);
    phone.vote(&question, &[0]).await.expect(201);
    laptop.vote(&question, &[0]).await.expect(200);
    laptop.vote(&question, &[1]).await.expect(200);
    let ballot = phone.get(&question.under("ballot")).await.expect(200);
    assert_eq!(ballot.json["choice_ids"], json!([question.choices[1]]));
    let other = app.guest_of(code(&made[1])).await;
    other.vote(&question, &[1]).await.expect(201);
    let results = app.get(&question.under("results")).await.expect(200).json;
    assert_eq!(results["ballot_count"], 2);

    let last = ask(&author, json!({"allow_change": false})).await;
    let made = super::made(&author, &last, 1).await;
    app.guest_of(code(&made[0]))
        .await
        .vote(&last, &[0])
        .await
        .expect(201);
    let again = app.guest_of(code(&made[0])).await.vote(&last, &[1]).await;
    again.problem("already_voted").expect(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_uses_of_one_code_at_once_make_one_guest() {
    let (app, author) = TestApp::with_user("lucy").await;
    let beside = app.beside().await;
    let question = ask(&author, json!({})).await;
    let made = made(&author, &question, 1).await;
    let code = code(&made[0]);
    let uses = (0..100).map(|turn| {
        let app = if turn % 2 == 0 { &app } else { &beside };
        async move { (app, app.exchange(code).await.expect(200)) }
    });
    let mut guests = Vec::new();
    for (app, tokens) in join_all(uses).await {
        guests.push(app.guest_with(&tokens).await);
    }
    let ids: BTreeSet<&str> = guests.iter().map(|guest| guest.id.as_str()).collect();
    assert_eq!(ids.len(), 1);
    let votes = guests.iter().map(|guest| guest.vote(&question, &[0]));
    let first = join_all(votes).await;
    let first = first.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(first, 1);
    let results = app.get(&question.under("results")).await.expect(200).json;
    assert_eq!(results["ballot_count"], 1);
}

#[tokio::test]
async fn an_invited_guest_votes_on_its_question_and_nowhere_else() {
    let app = TestApp::without_mail_server().await;
    let author = app.user("lucy").await;
    let question = ask(&author, json!({})).await;
    let guest = app.invited(&author, &question).await;
    for electorate in ["accounts", "verified", "anyone", "invited"] {
        let other = ask(&author, json!({"electorate": electorate})).await;
        let refused = guest.vote(&other, &[0]).await;
        refused.problem("not_eligible").expect(403);
        let eligibility = guest.get(&other.under("eligibility")).await.expect(200);
        assert_eq!(eligibility.json["code"], "not_eligible", "{electorate}");
        guest.get(&other.path).await.expect(200);
    }
    let eligibility = guest.get(&question.under("eligibility")).await.expect(200);
    assert_eq!(eligibility.json["can_vote"], true);
    // Nobody else votes there, not even the author.
    for other in [&author, &app.admin("root").await, &app.guest().await] {
        let refused = other.vote(&question, &[0]).await;
        refused.problem("not_eligible").expect(403);
    }
    let account = json!({"name": "Ada", "email": "ada@example.org", "password": "correct horse"});
    let refused = guest.post("/users", account).await;
    refused.problem("invited_guest").expect(409);
    guest.vote(&question, &[0]).await.expect(201);

    // Who has removed the guest has no second vote.
    let made = made(&author, &question, 1).await;
    let leaving = app.guest_of(code(&made[0])).await;
    leaving.vote(&question, &[0]).await.expect(201);
    leaving.delete("/users/me").await.expect(204);
    void(app.exchange(code(&made[0])).await);
    let results = app.get(&question.under("results")).await.expect(200).json;
    assert_eq!(results["ballot_count"], 2);
}

#[tokio::test]
async fn codes_of_what_is_gone_are_void() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = ask(&author, json!({})).await;
    let made = made(&author, &question, 3).await;
    take_back(&author, &question, &made[0]).await.expect(204);
    void(app.exchange(code(&made[0])).await);
    // Only for invited voters.
    let electorate = |electorate: &str| json!({"electorate": electorate});
    let changed = author.patch(&question.path, electorate("anyone")).await;
    changed.expect(200);
    void(app.exchange(code(&made[1])).await);
    let changed = author.patch(&question.path, electorate("invited")).await;
    changed.expect(200);
    let guest = app.guest_of(code(&made[1])).await;

    author.delete(&question.path).await.expect(204);
    void(app.exchange(code(&made[1])).await);
    void(app.exchange(code(&made[2])).await);
    guest.vote(&question, &[0]).await.problem("not_found");
    let restore = question.under("restore");
    author.post(&restore, json!(null)).await.expect(200);
    assert_eq!(app.guest_of(code(&made[1])).await.id, guest.id);

    // After the close one still sees one's ballot.
    guest.vote(&question, &[0]).await.expect(201);
    let close = question.under("close");
    author.post(&close, json!(null)).await.expect(200);
    let guest = app.guest_of(code(&made[1])).await;
    guest.get(&question.under("ballot")).await.expect(200);
    guest.vote(&question, &[1]).await.problem("voting_closed");
}

#[tokio::test]
async fn a_used_invitation_cannot_be_taken_back() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = ask(&author, json!({})).await;
    let made = made(&author, &question, 1).await;
    let guest = app.guest_of(code(&made[0])).await;
    let refused = take_back(&author, &question, &made[0]).await;
    refused.problem("invitation_final").expect(409);
    guest.vote(&question, &[0]).await.expect(201);
    assert_eq!(app.guest_of(code(&made[0])).await.id, guest.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_is_used_or_taken_back_and_not_both() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = ask(&author, json!({})).await;
    for made in made(&author, &question, 30).await {
        let (used, taken_back) = tokio::join!(
            app.exchange(code(&made)),
            take_back(&author, &question, &made)
        );
        match taken_back.status.as_u16() {
            204 => void(used),
            _ => {
                taken_back.problem("invitation_final").expect(409);
                used.expect(200);
            }
        }
    }
}

#[tokio::test]
async fn use_is_shown_only_where_it_tells_nothing() {
    let (app, author) = TestApp::with_user("lucy").await;
    let close = async |question: &Question| {
        let close = question.under("close");
        author.post(&close, json!(null)).await.expect(200);
    };
    let (hidden, unused) = (json!(null), json!(false));
    // Newest first: the first invitation is used.
    let shown = [unused, json!(true)];
    let hidden = [hidden.clone(), hidden];

    let public = ask(&author, json!({"ballot_secrecy": "public"})).await;
    let invitations = made(&author, &public, 2).await;
    app.guest_of(code(&invitations[0])).await;
    assert_eq!(uses(&author, &public).await, shown);

    let secret = ask(&author, json!({})).await;
    let invitations = made(&author, &secret, 2).await;
    app.guest_of(code(&invitations[0])).await;
    assert_eq!(uses(&author, &secret).await, hidden);
    close(&secret).await;
    assert_eq!(uses(&author, &secret).await, shown);
    let reopen = secret.under("reopen");
    author.post(&reopen, json!({})).await.expect(200);
    assert_eq!(uses(&author, &secret).await, hidden);
    close(&secret).await;
    assert_eq!(uses(&author, &secret).await, hidden);
}

/// What an admin sees of a guest tells neither when nor by which invitation it was made.
#[tokio::test]
async fn nothing_tells_when_an_invitation_was_used() {
    let app = TestApp::start().await;
    let admin = app.admin("root").await;
    let question = ask(&admin, json!({})).await;
    let asked = admin.get(&question.path).await.expect(200).json;
    app.clock.advance(Duration::from_secs(60));
    let body = json!({"invitations": [{"label": "Ada"}]});
    let made = data(&invite(&admin, &question, body).await.expect(201));
    app.clock.advance(Duration::from_secs(60));
    let guest = app.guest_of(code(&made[0])).await;
    guest.vote(&question, &[0]).await.expect(201);
    let admin = app.another_session(&admin).await;
    let seen = admin.get(&format!("/users/{}", guest.id)).await;
    let seen = seen.expect(200).json;
    for time in ["created_at", "updated_at"] {
        assert_eq!(seen[time], asked["created_at"], "{seen}");
    }
    assert!(!seen.to_string().contains("Ada"), "{seen}");
}

#[tokio::test]
async fn wrong_codes_are_limited_like_failed_sign_ins() {
    let limits = [
        ("limits.enabled", "true"),
        ("limits.sign_in_failures_per_address", "3"),
    ];
    let app = TestApp::with(&limits).await;
    let author = app.user("lucy").await;
    let question = ask(&author, json!({})).await;
    let made = made(&author, &question, 1).await;
    // Good ones do not count.
    for _ in 0..5 {
        app.exchange(code(&made[0])).await.expect(200);
    }
    for _ in 0..3 {
        void(app.exchange("nonsense").await);
    }
    let refused = app.exchange("nonsense").await;
    refused.problem("rate_limited").expect(429);
    let refused = app.exchange(code(&made[0])).await;
    refused.problem("rate_limited").expect(429);
    let refused = app.token(&author.email, "wrong").await;
    refused.problem("rate_limited").expect(429);
    app.clock.advance(Duration::from_secs(15 * 60));
    app.exchange(code(&made[0])).await.expect(200);
}
