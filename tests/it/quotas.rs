//! How much one account may ask.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Answer, Question, TestApp, User};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn app(setting: (&str, &str)) -> TestApp {
    TestApp::with(&[("limits.enabled", "true"), setting]).await
}

/// A question whose texts have so many bytes together.
fn question(bytes: usize) -> Value {
    let text = "x".repeat(100);
    let description = "y".repeat(bytes - 102);
    let choices = json!([{"choice_text": "a"}, {"choice_text": "b"}]);
    json!({"question_text": text, "description": description, "choices": choices})
}

async fn ask(user: &User, bytes: usize) -> Answer {
    user.post("/questions", question(bytes)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_asks_so_many_questions_a_day_however_many_at_once() {
    let app = app(("limits.questions_per_day", "5")).await;
    let (lucy, nancy) = (app.user("lucy").await, app.user("nancy").await);
    for (user, day) in [(&lucy, 0), (&nancy, 0), (&lucy, 1)] {
        if day > 0 {
            app.clock.advance(DAY);
        }
        let user = &app.another_session(user).await;
        let answers = join_all((0..20).map(|_| ask(user, 200))).await;
        let (asked, refused): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(|answer| answer.status == 201);
        assert_eq!((asked.len(), refused.len()), (5, 15));
        for answer in refused {
            let answer = answer.expect(409).problem("quota_exceeded");
            let detail = answer.text("detail");
            assert!(detail.contains("limits.questions_per_day"), "{detail}");
            assert!(detail.contains("T00:00:00Z"), "{detail}");
        }
        // All else goes on.
        let first = Question::of(&asked[0].json);
        let change = json!({"question_text": "Another one?"});
        user.patch(&first.path, change).await.expect(200);
        user.vote(&first, &[0]).await.expect(201);
    }
    let list = format!("/questions?limit=100&author={}", lucy.id);
    assert_eq!(
        app.get(&list).await.json["data"].as_array().map(Vec::len),
        Some(10)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_text_of_an_account_is_limited_whatever_it_is_in() {
    let app = app(("limits.text_per_account", "1KiB")).await;
    let (lucy, nancy) = (app.user("lucy").await, app.user("nancy").await);
    let admin = app.admin("root").await;
    let first = Question::of(&ask(&lucy, 500).await.expect(201).json);
    let refused = |answer: Answer| {
        let detail = answer.expect(409).problem("quota_exceeded").text("detail");
        assert!(
            detail.contains("limits.text_per_account") && detail.contains("1.0 KiB"),
            "{detail}"
        );
    };
    refused(ask(&lucy, 525).await);
    ask(&nancy, 1024).await.expect(201);
    let second = Question::of(&ask(&lucy, 524).await.expect(201).json);
    // Not a byte more, in whatever way, and whoever writes it.
    let longer = json!({"description": "z".repeat(399)});
    refused(lucy.patch(&first.path, longer.clone()).await);
    refused(admin.patch(&first.path, longer.clone()).await);
    refused(
        lucy.post(&first.under("choices"), json!({"choice_text": "c"}))
            .await,
    );
    let choice = second.under(&format!("choices/{}", second.choices[0]));
    refused(lucy.patch(&choice, json!({"choice_text": "投"})).await);
    refused(ask(&lucy, 200).await);
    // What uses no more is done.
    lucy.patch(&choice, json!({"choice_text": "c"}))
        .await
        .expect(200);
    lucy.patch(&choice, json!({"position": 1}))
        .await
        .expect(200);
    lucy.post(&first.under("close"), json!({}))
        .await
        .expect(200);
    // What is deleted is still there; shorter texts make room, to the byte.
    lucy.delete(&second.path).await.expect(204);
    refused(ask(&lucy, 200).await);
    lucy.patch(&first.path, json!({"description": "z".repeat(198)}))
        .await
        .expect(200);
    let third = Question::of(&ask(&lucy, 199).await.expect(201).json);
    refused(
        lucy.post(&third.under("choices"), json!({"choice_text": "cd"}))
            .await,
    );
    let choices = third.under("choices");
    let added = lucy.post(&choices, json!({"choice_text": "c"})).await;
    let added = added.expect(201).text("id");
    refused(
        lucy.post(&third.under("choices"), json!({"choice_text": "d"}))
            .await,
    );
    lucy.delete(&third.under(&format!("choices/{added}")))
        .await
        .expect(204);
    // Only one of many fits.
    let adding = ["d", "e", "f", "g", "h", "i", "j", "k"].map(|text| {
        let path = third.under("choices");
        let lucy = &lucy;
        async move { lucy.post(&path, json!({"choice_text": text})).await }
    });
    let added = join_all(adding).await;
    let done = added.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(done, 1, "{added:?}");
}

#[tokio::test]
async fn without_limits_nothing_is_counted_against_anybody() {
    let settings = [
        ("limits.questions_per_day", "1"),
        ("limits.text_per_account", "1KiB"),
    ];
    let app = TestApp::with(&settings).await;
    let lucy = app.user("lucy").await;
    for _ in 0..3 {
        ask(&lucy, 600).await.expect(201);
    }
}

#[tokio::test]
async fn invitations_count_as_text() {
    let app = app(("limits.text_per_account", "1KiB")).await;
    let (lucy, admin) = (app.user("lucy").await, app.admin("root").await);
    let mut body = question(200);
    body["electorate"] = json!("invited");
    let asked = Question::of(&lucy.post("/questions", body).await.expect(201).json);
    let invitations = asked.under("invitations");
    // 824 bytes are left: four invitations with 24 bytes of text.
    let invite = |labels: &[&str]| {
        let invitations: Vec<Value> = labels.iter().map(|it| json!({"label": it})).collect();
        json!({"invitations": invitations})
    };
    let twelve = "x".repeat(12);
    let made = lucy.post(&invitations, invite(&[&twelve, &twelve])).await;
    let made = made.expect(201).json;
    let refused = |answer: Answer| {
        let detail = answer.expect(409).problem("quota_exceeded").text("detail");
        assert!(detail.contains("limits.text_per_account"), "{detail}");
    };
    // Whoever invites, they are the author's.
    refused(admin.post(&invitations, json!({"count": 3})).await);
    admin
        .post(&invitations, json!({"count": 2}))
        .await
        .expect(201);
    refused(lucy.post(&invitations, json!({"count": 1})).await);
    let first = made["data"][0]["id"].as_str().expect("an id");
    lucy.delete(&format!("{invitations}/{first}"))
        .await
        .expect(204);
    refused(lucy.post(&invitations, invite(&[&"x".repeat(13)])).await);
    lucy.post(&invitations, invite(&[&twelve]))
        .await
        .expect(201);
}
