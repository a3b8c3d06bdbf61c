//! Making, listing and taking back invitations.

use serde_json::{Value, json};

use super::*;
use crate::support::TestApp;

#[tokio::test]
async fn codes_are_shown_once() {
    let (app, author) = TestApp::with_user("lucy").await;
    let admin = app.admin("root").await;
    let question = ask(&author, json!({})).await;
    let body = json!({"invitations": [{"label": " Room 12 "}, {}]});
    let made = invite(&author, &question, body).await.expect(201);
    assert_eq!(made.header("cache-control"), "no-store");
    assert_eq!(
        made.header("location"),
        format!("/api/v1{}", question.under("invitations"))
    );
    let more = invite(&admin, &question, json!({"count": 1000})).await;
    let more = data(&more.expect(201));
    assert_eq!(more.len(), 1000);
    let made = data(&made);
    assert_eq!(made[0]["label"], "Room 12");
    assert_eq!(made[1].get("label"), None);
    let mut codes: Vec<String> = Vec::new();
    for invitation in made.iter().chain(&more) {
        let code = code(invitation);
        let groups: Vec<usize> = code.split('-').map(str::len).collect();
        assert_eq!(groups, [5, 5, 5, 5, 6], "{code}");
        codes.push(code.to_owned());
    }
    codes.sort();
    codes.dedup();
    assert_eq!(codes.len(), 1002);

    // Newest first, in pages, and without codes.
    let listed = list(&author, &question).await;
    assert_eq!(listed.len(), 100);
    assert_eq!(id(&listed[0]), id(&more[999]));
    let mut path = question.under("invitations?limit=100");
    let mut all = Vec::new();
    loop {
        let page = admin.get(&path).await.expect(200);
        all.extend(data(&page));
        let Some(cursor) = page.json["meta"]["next_cursor"].as_str() else {
            break;
        };
        path = question.under(&format!("invitations?limit=100&cursor={cursor}"));
    }
    assert_eq!(all.len(), 1002);
    let first = &all[1001];
    assert_eq!(
        (id(first), &first["label"]),
        (id(&made[0]), &json!("Room 12"))
    );
    for invitation in &all {
        let fields = invitation.as_object().expect("an object").keys();
        let unknown = fields.filter(|name| !["id", "label", "created_at"].contains(&name.as_str()));
        assert_eq!(unknown.count(), 0, "{invitation}");
    }
}

#[tokio::test]
async fn only_questions_for_invited_voters_take_invitations() {
    let app = TestApp::without_mail_server().await;
    let (author, other) = (app.user("lucy").await, app.user("nancy").await);
    for electorate in ["accounts", "verified", "anyone"] {
        let question = ask(&author, json!({"electorate": electorate})).await;
        let refused = invite(&author, &question, json!({"count": 1})).await;
        refused.problem("no_invitations").expect(409);
        assert!(list(&author, &question).await.is_empty());
    }
    let question = ask(&author, json!({})).await;
    let made = made(&author, &question, 2).await;
    // Nobody else makes, sees or takes back any.
    let refused = invite(&other, &question, json!({"count": 1})).await;
    refused.problem("forbidden").expect(403);
    let refused = other.get(&question.under("invitations")).await;
    refused.problem("forbidden").expect(403);
    let refused = take_back(&other, &question, &made[0]).await;
    refused.problem("forbidden").expect(403);
    // An invitation belongs to its question.
    let another = ask(&author, json!({})).await;
    let none = take_back(&author, &another, &made[0]).await;
    none.problem("not_found").expect(404);
    assert!(list(&author, &another).await.is_empty());
    assert_eq!(list(&author, &question).await.len(), 2);

    take_back(&author, &question, &made[0]).await.expect(204);
    take_back(&author, &question, &made[0]).await.expect(404);
    assert_eq!(list(&author, &question).await.len(), 1);
    let close = question.under("close");
    author.post(&close, json!(null)).await.expect(200);
    let late = invite(&author, &question, json!({"count": 1})).await;
    late.problem("voting_closed").expect(409);
    take_back(&author, &question, &made[1]).await.expect(204);

    author.delete(&question.path).await.expect(204);
    let gone = invite(&author, &question, json!({"count": 1})).await;
    gone.problem("not_found").expect(404);
    let gone = author.get(&question.under("invitations")).await;
    gone.problem("not_found").expect(404);
    let gone = other.get(&question.under("invitations")).await;
    gone.problem("not_found").expect(404);
}

#[tokio::test]
async fn a_call_names_invitations_or_their_number() {
    let (_app, author) = TestApp::with_user("lucy").await;
    let question = ask(&author, json!({})).await;
    let bad = async |body: Value| invite(&author, &question, body).await;
    bad(json!({})).await.fields(&[("/invitations", "required")]);
    let both = json!({"invitations": [{}], "count": 1});
    bad(both).await.fields(&[("/count", "conflict")]);
    let labels =
        json!({"invitations": [{"label": "a\nb"}, {"label": "\u{200b}"}, {"label": null}]});
    bad(labels).await.fields(&[
        ("/invitations/0/label", "control_character"),
        ("/invitations/1/label", "invisible"),
        ("/invitations/2/label", "type"),
    ]);
    assert!(list(&author, &question).await.is_empty());
}

#[tokio::test]
async fn a_question_has_so_many_invitations() {
    let limits = [
        ("limits.enabled", "true"),
        ("limits.invitations_per_question", "3"),
    ];
    let app = TestApp::with(&limits).await;
    let author = app.user("lucy").await;
    let question = ask(&author, json!({})).await;
    let made = made(&author, &question, 2).await;
    let refused = invite(&author, &question, json!({"count": 2})).await;
    let detail = refused.expect(409).problem("quota_exceeded").text("detail");
    assert!(
        detail.contains("limits.invitations_per_question"),
        "{detail}"
    );
    take_back(&author, &question, &made[0]).await.expect(204);
    let made = invite(&author, &question, json!({"count": 2})).await;
    made.expect(201);
    assert_eq!(list(&author, &question).await.len(), 3);
}
