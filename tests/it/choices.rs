//! The choices of a question, one by one.

use reqwest::Method;
use serde_json::json;

use crate::support::app::send;
use crate::support::{Question, TestApp, User};

/// The choices' texts in their order, which their positions must repeat.
async fn texts(user: &User, question: &Question) -> Vec<String> {
    let list = user.get(&question.under("choices")).await.expect(200).json;
    let rows = list["data"].as_array().expect("a list").clone();
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(row["position"], index, "{list}");
    }
    rows.iter()
        .map(|row| row["choice_text"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn path(question: &Question, index: usize) -> String {
    question.under(&format!("choices/{}", question.choices[index]))
}

#[tokio::test]
async fn choices_are_listed_and_read() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["a", "b"], json!({})).await;
    author.vote(&question, &[1]).await.expect(201);
    let list = app.get(&question.under("choices")).await.expect(200).json;
    let shown = app.get(&question.path).await.expect(200).json;
    assert_eq!(list, json!({"data": shown["choices"], "meta": {}}));
    let one = app.get(&path(&question, 1)).await.expect(200);
    assert_eq!(
        one.json,
        json!({"id": question.choices[1], "choice_text": "b", "position": 1, "votes": 1})
    );
    let tag = one.header("etag").to_owned();
    let known = app
        .request(Method::GET, &path(&question, 1))
        .header("if-none-match", tag);
    send(known).await.expect(304);
    let other = author.ask(&["c", "d"], json!({})).await;
    let foreign = question.under(&format!("choices/{}", other.choices[0]));
    app.get(&foreign).await.problem("not_found");
    app.get(&question.under("choices/nonsense"))
        .await
        .problem("malformed_request");
}

#[tokio::test]
async fn choices_are_added_anywhere() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["a", "b"], json!({})).await;
    author.vote(&question, &[0]).await.expect(201);
    let choices = question.under("choices");
    let add = |body| author.post(&choices, body);
    let added = add(json!({"choice_text": " c "})).await.expect(201);
    assert_eq!(added.json["choice_text"], "c");
    let location = added.header("location").to_owned();
    assert_eq!(
        location,
        format!("/api/v1{}/{}", question.under("choices"), added.text("id"))
    );
    send(app.outside(Method::GET, &location)).await.expect(200);
    add(json!({"choice_text": "first", "position": 0}))
        .await
        .expect(201);
    assert_eq!(texts(&author, &question).await, ["first", "a", "b", "c"]);

    add(json!({"choice_text": "d", "position": 5}))
        .await
        .fields(&[("/position", "range")]);
    add(json!({"choice_text": " a"}))
        .await
        .fields(&[("/choice_text", "unique")]);
    add(json!({"choice_text": "A"})).await.expect(201);
    assert_eq!(
        app.get(&question.path).await.expect(200).json["revision"],
        4
    );
    let shown = app.get(&path(&question, 0)).await.expect(200).json;
    assert_eq!(shown["votes"], 1);
}

#[tokio::test]
async fn a_question_has_at_most_a_hundred_choices() {
    let (_app, author) = TestApp::with_user("lucy").await;
    let all: Vec<String> = (0..99).map(|number| number.to_string()).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let question = author.ask(&all, json!({})).await;
    let choices = question.under("choices");
    let add = |text: &str| author.post(&choices, json!({"choice_text": text}));
    add("the hundredth").await.expect(201);
    add("one more").await.fields(&[("", "length")]);
}

#[tokio::test]
async fn choices_move_and_are_reworded() {
    let (_app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["a", "b", "c"], json!({})).await;
    let change = |index, body| {
        let path = path(&question, index);
        let author = author.clone();
        async move { author.patch(&path, body).await }
    };
    let moved = change(0, json!({"position": 2})).await.expect(200);
    assert_eq!(moved.json["position"], 2);
    assert_eq!(texts(&author, &question).await, ["b", "c", "a"]);
    change(0, json!({"position": 0, "choice_text": "z"}))
        .await
        .expect(200);
    assert_eq!(texts(&author, &question).await, ["z", "b", "c"]);
    change(0, json!({"position": 3}))
        .await
        .fields(&[("/position", "range")]);
    change(0, json!({"choice_text": "b"}))
        .await
        .fields(&[("/choice_text", "unique")]);
    change(0, json!({"choice_text": null}))
        .await
        .fields(&[("/choice_text", "type")]);

    author.vote(&question, &[1]).await.expect(201);
    change(1, json!({"choice_text": "y"}))
        .await
        .problem("has_ballots");
    change(1, json!({"choice_text": "b", "position": 0}))
        .await
        .expect(200);
    assert_eq!(texts(&author, &question).await, ["b", "z", "c"]);
}

#[tokio::test]
async fn choices_are_deleted_while_nobody_has_voted_and_enough_are_left() {
    let (_app, author) = TestApp::with_user("lucy").await;
    let question = author
        .ask(&["a", "b", "c", "d"], json!({"max_choices": 3}))
        .await;
    author.vote(&question, &[3]).await.expect(201);
    author
        .delete(&path(&question, 0))
        .await
        .problem("has_ballots")
        .expect(409);
    author.delete(&question.under("ballot")).await.expect(204);
    author.delete(&path(&question, 0)).await.expect(204);
    author
        .delete(&path(&question, 0))
        .await
        .problem("not_found");
    assert_eq!(texts(&author, &question).await, ["b", "c", "d"]);
    author
        .delete(&path(&question, 1))
        .await
        .fields(&[("", "length")]);
    author
        .patch(&question.path, json!({"max_choices": 1}))
        .await
        .expect(200);
    author.delete(&path(&question, 1)).await.expect(204);
    author
        .delete(&path(&question, 2))
        .await
        .fields(&[("", "length")]);
    assert_eq!(texts(&author, &question).await, ["c", "d"]);
}

#[tokio::test]
async fn a_change_of_a_choice_is_guarded_by_the_questions_tag() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["a", "b", "c"], json!({})).await;
    let seen = app
        .get(&question.path)
        .await
        .expect(200)
        .header("etag")
        .to_owned();
    author.vote(&question, &[0]).await.expect(201);
    let add = |tag: &str, text: &str| {
        let request = author
            .request(Method::POST, &question.under("choices"))
            .header("if-match", tag);
        send(request.json(&json!({"choice_text": text})))
    };
    add(&seen, "d").await.expect(201);
    add(&seen, "e").await.problem("stale").expect(412);
    let stale = |method: Method| {
        author
            .request(method, &path(&question, 1))
            .header("if-match", &seen)
    };
    send(stale(Method::PATCH).json(&json!({"position": 0})))
        .await
        .problem("stale");
    send(stale(Method::DELETE)).await.problem("stale");
    let one = app
        .get(&path(&question, 1))
        .await
        .expect(200)
        .header("etag")
        .to_owned();
    let fresh = author
        .request(Method::PATCH, &path(&question, 1))
        .header("if-match", one);
    send(fresh.json(&json!({"position": 0}))).await.expect(200);
}

#[tokio::test]
async fn only_the_author_and_admins_change_choices() {
    let (app, author) = TestApp::with_user("lucy").await;
    let (other, admin) = (app.user("other").await, app.admin("root").await);
    let question = author.ask(&["a", "b", "c"], json!({})).await;
    other
        .post(&question.under("choices"), json!({"choice_text": "d"}))
        .await
        .problem("forbidden");
    other
        .patch(&path(&question, 0), json!({"position": 1}))
        .await
        .problem("forbidden");
    other.delete(&path(&question, 0)).await.problem("forbidden");
    admin
        .post(&question.under("choices"), json!({"choice_text": "d"}))
        .await
        .expect(201);
    admin
        .patch(&path(&question, 0), json!({"position": 1}))
        .await
        .expect(200);
    admin.delete(&path(&question, 0)).await.expect(204);
}

#[tokio::test]
async fn choices_that_look_alike_are_one() {
    let (_app, author) = TestApp::with_user("lucy").await;
    let family = "👨\u{200d}👩\u{200d}👧";
    let question = author.ask(&["Yes", family, "👨👩👧"], json!({})).await;
    // What was sent is shown.
    let kept = "❤\u{fe0f} می\u{200c}خواهم";
    let choices = question.under("choices");
    let add = |text: &str| author.post(&choices, json!({"choice_text": text}));
    let added = add(kept).await.expect(201);
    assert_eq!(added.json["choice_text"], kept);
    for (text, code) in [
        ("Yes\u{200b}", "unique"),
        ("Y\u{ad}es", "unique"),
        ("❤ میخواهم", "unique"),
        ("\u{200b}", "invisible"),
        ("\u{2800}", "invisible"),
        ("\u{202e}Yes", "open_direction"),
    ] {
        add(text).await.fields(&[("/choice_text", code)]);
        author
            .patch(&path(&question, 1), json!({"choice_text": text}))
            .await
            .fields(&[("/choice_text", code)]);
    }
    // A choice may come to look as it did.
    author
        .patch(&path(&question, 0), json!({"choice_text": "Yes\u{200b}"}))
        .await
        .expect(200);

    let body = json!({"question_text": "\u{3164}", "description": "a\u{2067}\nb", "choices": [
        {"choice_text": "Yes"}, {"choice_text": "No"}, {"choice_text": "Yes\u{2060}"},
        {"choice_text": "\u{115f}"},
    ]});
    author.post("/questions", body).await.fields(&[
        ("/question_text", "invisible"),
        ("/description", "open_direction"),
        ("/choices/2/choice_text", "unique"),
        ("/choices/3/choice_text", "invisible"),
    ]);
}
