//! Questions: asking, changing, their schedule and end, and finding them in lists.

use std::time::Duration;

use polls::clock::Time;
use polls::questions::entity;
use reqwest::Method;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::app::send;
use crate::support::{Answer, Question, TestApp, User};

const MINUTE: Duration = Duration::from_secs(60);

/// The moment so many minutes from now by the server's clock.
fn in_minutes(app: &TestApp, minutes: u32) -> Time {
    app.clock.now().after(MINUTE * minutes)
}

/// A question with two choices and this text.
async fn ask(user: &User, text: &str) -> Question {
    user.ask(&["yes", "no"], json!({"question_text": text}))
        .await
}

/// The ids on a page.
fn ids(page: &Answer) -> Vec<String> {
    let rows = page.json["data"].as_array().expect("a page");
    rows.iter()
        .map(|row| row["id"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// The ids on all pages of a list, from a path that has a query already.
async fn all_ids(user: &User, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut next = path.to_owned();
    loop {
        let page = user.get(&next).await.expect(200);
        found.extend(ids(&page));
        assert!(found.len() < 1000, "{path} has no end");
        match page.json["meta"]["next_cursor"].as_str() {
            Some(cursor) => next = format!("{path}&cursor={cursor}"),
            None => return found,
        }
    }
}

#[tokio::test]
async fn a_question_has_its_defaults_and_nothing_that_is_absent() {
    let (app, author) = TestApp::with_user("露西").await;
    let body = json!({
        "question_text": "  最受欢迎的水果? ",
        "choices": [{"choice_text": "香蕉"}, {"choice_text": " 苹果"}],
    });
    let asked = author.post("/questions", body).await.expect(201);
    let id = asked.text("id");
    assert_eq!(asked.header("location"), format!("/api/v1/questions/{id}"));
    let choice = |index: usize, text: &str| json!({"id": asked.json["choices"][index]["id"], "choice_text": text, "position": index, "votes": 0});
    let expected = json!({
        "id": id,
        "question_text": "最受欢迎的水果?",
        "author": {"id": author.id, "name": "露西"},
        "choices": [choice(0, "香蕉"), choice(1, "苹果")],
        "method": "multiple_choice",
        "seats": 1,
        "min_choices": 1,
        "max_choices": 1,
        "tie_break": "none",
        "allow_change": true,
        "results_visibility": "always",
        "electorate": "accounts",
        "listed": true,
        "ballot_secrecy": "secret",
        "status": "open",
        "ballot_count": 0,
        "revision": 1,
        "created_at": asked.json["created_at"],
        "updated_at": asked.json["created_at"],
    });
    assert_eq!(asked.json, expected);
    let read = app.get(&format!("/questions/{id}")).await.expect(200);
    assert_eq!(read.bytes, asked.bytes);
    assert_eq!(read.header("etag"), asked.header("etag"));
}

#[tokio::test]
async fn every_mistake_of_a_question_is_named_at_once() {
    let (app, author) = TestApp::with_user("lucy").await;
    let body = json!({"question_text": "", "choices": [{"choice_text": ""}], "min_choices": 101, "max_choices": 102, "seats": 0});
    author.post("/questions", body).await.fields(&[
        ("/question_text", "length"),
        ("/choices", "length"),
        ("/choices/0/choice_text", "length"),
        ("/min_choices", "range"),
        ("/max_choices", "range"),
        ("/seats", "range"),
    ]);
    let ask = |more: Value| {
        let mut body =
            json!({"question_text": "?", "choices": [{"choice_text": "a"}, {"choice_text": "b"}]});
        if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
            body.extend(more.clone());
        }
        author.post("/questions", body)
    };
    ask(json!({"max_choices": 3}))
        .await
        .fields(&[("/max_choices", "range")]);
    ask(json!({"min_choices": 2}))
        .await
        .fields(&[("/min_choices", "range")]);
    let past = app.clock.now().before(MINUTE).to_string();
    ask(json!({"closes_at": past}))
        .await
        .fields(&[("/closes_at", "past")]);
    let (soon, later) = (
        in_minutes(&app, 1).to_string(),
        in_minutes(&app, 2).to_string(),
    );
    ask(json!({"opens_at": later, "closes_at": soon}))
        .await
        .fields(&[("/closes_at", "order")]);
    ask(json!({"opens_at": soon, "closes_at": soon}))
        .await
        .fields(&[("/closes_at", "order")]);
    ask(json!({"opens_at": "tomorrow"}))
        .await
        .fields(&[("/opens_at", "type")]);
    ask(json!({"opens_at": null}))
        .await
        .problem("invalid_fields");
    ask(json!({"ballots_per_address": 1}))
        .await
        .fields(&[("/ballots_per_address", "conflict")]);
    ask(json!({"results_visibility": "never"}))
        .await
        .problem("invalid_fields");
    ask(json!({"votes": 5}))
        .await
        .fields(&[("/votes", "unknown_field")]);
    let twins = json!([{"choice_text": "e\u{301}"}, {"choice_text": " \u{e9} "}, {"choice_text": "\u{c9}"}]);
    ask(json!({"choices": twins}))
        .await
        .fields(&[("/choices/1/choice_text", "unique")]);
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_null_clears() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author
        .ask(&["a", "b", "c"], json!({"description": "first"}))
        .await;
    let closes_at = in_minutes(&app, 5).to_string();
    let change = json!({"question_text": "Better?", "max_choices": 3, "min_choices": 2, "allow_change": false,
        "results_visibility": "after_close", "closes_at": closes_at});
    let changed = author.patch(&question.path, change).await.expect(200).json;
    assert_eq!(changed["question_text"], "Better?");
    assert_eq!(changed["description"], "first");
    assert_eq!(
        (&changed["min_choices"], &changed["max_choices"]),
        (&json!(2), &json!(3))
    );
    assert_eq!(changed["closes_at"], closes_at);
    assert_eq!(changed["revision"], 2);
    let clear = json!({"description": null, "closes_at": null});
    let cleared = author.patch(&question.path, clear).await.expect(200).json;
    assert_eq!(
        (cleared.get("description"), cleared.get("closes_at")),
        (None, None)
    );
    let same = author
        .patch(&question.path, json!({"question_text": "Better?"}))
        .await
        .expect(200)
        .json;
    assert_eq!(
        (&same["revision"], &same["updated_at"]),
        (&json!(3), &cleared["updated_at"])
    );

    author
        .patch(&question.path, json!({"question_text": null}))
        .await
        .fields(&[("/question_text", "type")]);
    author
        .patch(&question.path, json!({"max_choices": 4}))
        .await
        .fields(&[("/max_choices", "range")]);
    author
        .patch(&question.path, json!({"author": author.id}))
        .await
        .fields(&[("/author", "unknown_field")]);
}

#[tokio::test]
async fn only_the_author_and_admins_change_a_question() {
    let (app, author) = TestApp::with_user("lucy").await;
    let (other, admin) = (app.user("other").await, app.admin("root").await);
    let question = ask(&author, "Whose?").await;
    let change = |text: &str| json!({"description": text});
    other
        .patch(&question.path, change("mine"))
        .await
        .problem("forbidden")
        .expect(403);
    admin
        .patch(&question.path, change("admin's"))
        .await
        .expect(200);
    let changed = author
        .patch(&question.path, change("mine"))
        .await
        .expect(200)
        .json;
    assert_eq!(changed["author"]["id"], author.id);
}

#[tokio::test]
async fn ballots_settle_what_people_voted_on() {
    let (app, author) = TestApp::with_user("lucy").await;
    let voter = app.user("nancy").await;
    let question = author.ask(&["a", "b"], json!({})).await;
    voter.vote(&question, &[0]).await.expect(201);
    let later = in_minutes(&app, 5).to_string();
    for change in [
        json!({"question_text": "Other?"}),
        json!({"min_choices": 2, "max_choices": 2}),
        json!({"max_choices": 2}),
        json!({"allow_change": false}),
        json!({"results_visibility": "author"}),
        json!({"electorate": "anyone"}),
        json!({"ballot_secrecy": "public"}),
        json!({"opens_at": later}),
    ] {
        author
            .patch(&question.path, change)
            .await
            .problem("has_ballots")
            .expect(409);
    }
    let free = json!({"description": "still free", "closes_at": later, "listed": false, "question_text": "Which one?"});
    author.patch(&question.path, free).await.expect(200);
    voter.delete(&question.under("ballot")).await.expect(204);
    author
        .patch(&question.path, json!({"question_text": "Other?"}))
        .await
        .expect(200);
}

#[tokio::test]
async fn the_schedule_follows_the_clock() {
    let (app, author) = TestApp::with_user("lucy").await;
    let (opens_at, closes_at) = (in_minutes(&app, 2), in_minutes(&app, 4));
    // Another offset is understood, and UTC is what comes back.
    let written = opens_at.to_string().replace('Z', "+00:00");
    let more = json!({"opens_at": written, "closes_at": closes_at.to_string()});
    let question = author.ask(&["a", "b"], more).await;
    let status = async || app.get(&question.path).await.expect(200).json["status"].clone();

    let shown = app.get(&question.path).await.expect(200).json;
    assert_eq!(shown["opens_at"], opens_at.to_string());
    assert_eq!(status().await, "scheduled");
    author
        .vote(&question, &[0])
        .await
        .problem("voting_not_open")
        .expect(409);
    app.clock.advance(MINUTE * 2);
    assert_eq!(status().await, "open");
    author.vote(&question, &[0]).await.expect(201);
    app.clock.advance(MINUTE * 2);
    assert_eq!(status().await, "closed");
    author
        .vote(&question, &[1])
        .await
        .problem("voting_closed")
        .expect(409);
    author
        .delete(&question.under("ballot"))
        .await
        .problem("voting_closed");
    let change = json!({"closes_at": in_minutes(&app, 9).to_string()});
    author
        .patch(&question.path, change)
        .await
        .problem("voting_closed");
    author
        .patch(&question.path, json!({"description": "free"}))
        .await
        .expect(200);
}

#[tokio::test]
async fn results_are_final_once_sealed_and_not_because_the_clock_passed() {
    let app = TestApp::with(&[("ballots.seal_interval", "1m")]).await;
    let author = app.user("lucy").await;
    let question = author
        .ask(
            &["a", "b"],
            json!({"closes_at": in_minutes(&app, 1).to_string()}),
        )
        .await;
    let path = question.under("results");
    let is_final = async || app.get(&path).await.expect(200).json["is_final"].clone();
    app.clock.advance(MINUTE * 2);
    assert_eq!(
        app.get(&question.path).await.expect(200).json["status"],
        "closed"
    );
    assert_eq!(is_final().await, false);
    assert_eq!(
        app.questions
            .seal_due()
            .await
            .expect("the database answers")
            .len(),
        1
    );
    assert_eq!(is_final().await, true);
}

#[tokio::test]
async fn the_server_seals_by_itself() {
    let app = TestApp::with(&[("ballots.seal_interval", "100ms")]).await;
    let author = app.user("lucy").await;
    let question = author
        .ask(
            &["a", "b"],
            json!({"closes_at": in_minutes(&app, 1).to_string()}),
        )
        .await;
    app.clock.advance(MINUTE * 2);
    let sealed = async {
        while app.get(&question.under("results")).await.expect(200).json["is_final"] != true {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), sealed)
        .await
        .expect("it is sealed in time");
}

#[tokio::test]
async fn a_question_is_closed_and_reopened() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["a", "b"], json!({})).await;
    let (close, reopen) = (question.under("close"), question.under("reopen"));
    let closed = author.post(&close, json!(null)).await.expect(200).json;
    assert_eq!(closed["status"], "closed");
    assert!(closed["closed_at"].is_string());
    assert_eq!(
        app.get(&question.under("results")).await.expect(200).json["is_final"],
        true
    );
    let again = send(author.request(Method::POST, &close))
        .await
        .expect(200)
        .json;
    assert_eq!(again, closed);
    let change = json!({"closes_at": in_minutes(&app, 5).to_string()});
    author
        .patch(&question.path, change)
        .await
        .problem("voting_closed");

    let opened = send(author.request(Method::POST, &reopen))
        .await
        .expect(200)
        .json;
    assert_eq!(
        (&opened["status"], opened.get("closed_at")),
        (&json!("open"), None)
    );
    assert_eq!(
        app.get(&question.under("results")).await.expect(200).json["is_final"],
        false
    );
    author.vote(&question, &[0]).await.expect(201);
    let same = author.post(&reopen, json!({})).await.expect(200).json;
    assert_eq!(same["revision"], opened["revision"]);
}

#[tokio::test]
async fn reopening_clears_an_end_that_has_passed() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author
        .ask(
            &["a", "b"],
            json!({"closes_at": in_minutes(&app, 1).to_string()}),
        )
        .await;
    let reopen = question.under("reopen");
    app.clock.advance(MINUTE * 2);
    let past = app.clock.now().before(MINUTE).to_string();
    author
        .post(&reopen, json!({"closes_at": past}))
        .await
        .fields(&[("/closes_at", "past")]);
    let opened = author.post(&reopen, json!({})).await.expect(200).json;
    assert_eq!(
        (&opened["status"], opened.get("closes_at")),
        (&json!("open"), None)
    );

    let end = in_minutes(&app, 3).to_string();
    let opened = author
        .post(&reopen, json!({"closes_at": end}))
        .await
        .expect(200)
        .json;
    assert_eq!(opened["closes_at"], end);
    author
        .post(&question.under("close"), json!(null))
        .await
        .expect(200);
    let opened = author.post(&reopen, json!({})).await.expect(200).json;
    assert_eq!(opened["closes_at"], end);
}

#[tokio::test]
async fn a_deleted_question_is_gone_for_others_and_comes_back_whole() {
    let (app, author) = TestApp::with_user("lucy").await;
    let (other, admin) = (app.user("other").await, app.admin("root").await);
    let question = author.ask(&["a", "b"], json!({})).await;
    other.vote(&question, &[0]).await.expect(201);
    author.delete(&question.path).await.expect(204);
    author.delete(&question.path).await.expect(204);

    let choice = question.under(&format!("choices/{}", question.choices[0]));
    for path in [
        &question.path,
        &question.under("choices"),
        &choice,
        &question.under("results"),
    ] {
        app.get(path).await.problem("not_found");
        other.get(path).await.problem("not_found");
        author.get(path).await.expect(200);
        admin.get(path).await.expect(200);
    }
    other
        .get(&question.under("ballot"))
        .await
        .problem("not_found");
    other
        .delete(&question.under("ballot"))
        .await
        .problem("not_found");
    other.delete(&question.path).await.problem("not_found");
    other
        .patch(&question.path, json!({}))
        .await
        .problem("not_found");
    other
        .post(&question.under("restore"), json!(null))
        .await
        .problem("not_found");
    other.vote(&question, &[0]).await.problem("not_found");
    author.vote(&question, &[0]).await.problem("not_found");
    author
        .patch(&question.path, json!({"description": "no"}))
        .await
        .problem("not_found");
    assert!(author.get(&question.path).await.expect(200).json["deleted_at"].is_string());
    assert!(ids(&app.get("/questions").await.expect(200)).is_empty());
    assert!(ids(&author.get("/questions").await.expect(200)).is_empty());

    let restored = author
        .post(&question.under("restore"), json!(null))
        .await
        .expect(200)
        .json;
    assert_eq!(
        (&restored["ballot_count"], restored.get("deleted_at")),
        (&json!(1), None)
    );
    author
        .post(&question.under("restore"), json!(null))
        .await
        .expect(200);
    other.get(&question.under("ballot")).await.expect(200);
    other.vote(&question, &[1]).await.expect(200);
    other
        .post(&question.under("restore"), json!(null))
        .await
        .problem("forbidden");
}

#[tokio::test]
async fn deleted_questions_are_listed_for_their_authors_and_admins() {
    let (app, author) = TestApp::with_user("lucy").await;
    let (other, admin) = (app.user("other").await, app.admin("root").await);
    let (kept, gone) = (ask(&author, "Kept?").await, ask(&author, "Gone?").await);
    author.delete(&gone.path).await.expect(204);
    let list = "/questions?deleted=true";
    assert_eq!(ids(&author.get(list).await.expect(200)), [gone.id.as_str()]);
    assert_eq!(ids(&admin.get(list).await.expect(200)), [gone.id.as_str()]);
    assert!(ids(&other.get(list).await.expect(200)).is_empty());
    let of_author = format!("{list}&author={}", author.id);
    assert_eq!(
        ids(&author.get(&of_author).await.expect(200)),
        [gone.id.as_str()]
    );
    assert_eq!(
        ids(&admin.get(&of_author).await.expect(200)),
        [gone.id.as_str()]
    );
    other.get(&of_author).await.problem("forbidden");
    app.get(list).await.problem("unauthenticated");
    assert_eq!(
        ids(&author.get("/questions?deleted=false").await.expect(200)),
        [kept.id.as_str()]
    );
}

#[tokio::test]
async fn tags_change_with_votes_and_if_match_does_not_mind() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = ask(&author, "Tagged?").await;
    let tag_of = async || {
        app.get(&question.path)
            .await
            .expect(200)
            .header("etag")
            .to_owned()
    };
    let seen = tag_of().await;
    assert!(seen.starts_with("\"1."), "{seen}");
    let known = |tag: &str| {
        app.request(Method::GET, &question.path)
            .header("if-none-match", tag)
    };
    let unchanged = send(known(&seen)).await.expect(304);
    assert_eq!(
        (unchanged.header("etag"), unchanged.bytes.len()),
        (seen.as_str(), 0)
    );
    send(known("*")).await.expect(304);

    author.vote(&question, &[0]).await.expect(201);
    send(known(&seen)).await.expect(200);
    assert_ne!(tag_of().await, seen);
    let patch = |tag: &str, text: &str| {
        let request = author
            .request(Method::PATCH, &question.path)
            .header("if-match", tag);
        send(request.json(&json!({"description": text})))
    };
    patch(&seen, "after a vote").await.expect(200);
    patch(&seen, "after a change")
        .await
        .problem("stale")
        .expect(412);
    patch("nonsense", "never").await.problem("stale");
    let current = tag_of().await;
    assert!(current.starts_with("\"2."), "{current}");
    patch(&current, "current").await.expect(200);
    patch("*", "any").await.expect(200);

    let delete = |tag: &str| {
        send(
            author
                .request(Method::DELETE, &question.path)
                .header("if-match", tag),
        )
    };
    delete(&seen).await.problem("stale");
    delete(&tag_of().await).await.expect(204);
}

#[tokio::test]
async fn lists_sort_three_ways_and_page_without_gaps_or_repeats() {
    let (app, author) = TestApp::with_user("lucy").await;
    let mut asked = Vec::new();
    // In the order of their ends 2, 0, 3, 1; the last two have none.
    for minutes in [Some(20), Some(40), Some(10), Some(30), None, None] {
        let more = match minutes {
            Some(minutes) => json!({"closes_at": in_minutes(&app, minutes).to_string()}),
            None => json!({}),
        };
        asked.push(author.ask(&["a", "b"], more).await.id);
    }
    let newest: Vec<_> = asked.iter().rev().cloned().collect();
    let closing: Vec<_> = [2, 0, 3, 1, 4, 5]
        .iter()
        .map(|index| asked[*index].clone())
        .collect();
    for (sort, expected) in [
        ("", &newest),
        ("sort=-created_at", &newest),
        ("sort=created_at", &asked),
        ("sort=closes_at", &closing),
    ] {
        for limit in [1, 2, 4, 6, 100] {
            let path = format!("/questions?{sort}&limit={limit}").replace("?&", "?");
            assert_eq!(&all_ids(&author, &path).await, expected, "{path}");
        }
    }
}

#[tokio::test]
async fn what_is_asked_while_paging_neither_repeats_nor_hides() {
    let (app, author) = TestApp::with_user("lucy").await;
    let mut asked = Vec::new();
    for _ in 0..4 {
        asked.push(ask(&author, "Before?").await.id);
    }
    let page = async |path: &str| author.get(path).await.expect(200);
    let after = |first: &Answer, path: &str| {
        format!(
            "{path}&cursor={}",
            first.json["meta"]["next_cursor"].as_str().expect("more")
        )
    };
    let (newest, oldest) = ("/questions?limit=2", "/questions?limit=2&sort=created_at");
    let (first_newest, first_oldest) = (page(newest).await, page(oldest).await);
    let late = ask(&author, "Meanwhile?").await.id;
    app.get(&format!("/questions/{late}")).await.expect(200);

    let second = page(&after(&first_newest, newest)).await;
    assert_eq!(ids(&first_newest), [asked[3].as_str(), &asked[2]]);
    assert_eq!(ids(&second), [asked[1].as_str(), &asked[0]]);
    assert_eq!(second.json["meta"], json!({}));

    let second = page(&after(&first_oldest, oldest)).await;
    assert_eq!(ids(&second), [asked[2].as_str(), &asked[3]]);
    assert_eq!(ids(&page(&after(&second, oldest)).await), [late.as_str()]);
}

#[tokio::test]
async fn lists_filter_by_status_and_author() {
    let (app, author) = TestApp::with_user("lucy").await;
    let other = app.user("nancy").await;
    let open = ask(&author, "Open?").await.id;
    let timed = author.ask(&["a", "b"], json!({"opens_at": in_minutes(&app, 1).to_string(), "closes_at": in_minutes(&app, 3).to_string()})).await.id;
    let closed = ask(&other, "Closed?").await;
    other
        .post(&closed.under("close"), json!(null))
        .await
        .expect(200);
    let list = async |query: &str| ids(&app.get(&format!("/questions?{query}")).await.expect(200));
    assert_eq!(list("status=open").await, [open.as_str()]);
    assert_eq!(list("status=scheduled").await, [timed.as_str()]);
    assert_eq!(list("status=closed").await, [closed.id.as_str()]);
    assert_eq!(
        list(&format!("author={}", author.id)).await,
        [timed.as_str(), &open]
    );
    assert!(
        list(&format!("author={}&status=open", other.id))
            .await
            .is_empty()
    );
    app.clock.advance(MINUTE * 2);
    assert_eq!(list("status=open").await, [timed.as_str(), &open]);
    app.clock.advance(MINUTE * 2);
    assert_eq!(list("status=closed").await, [closed.id.as_str(), &timed]);
}

#[tokio::test]
async fn all_words_must_match_in_chinese_and_in_english() {
    let (app, author) = TestApp::with_user("露西").await;
    let languages = ask(&author, "最受欢迎的计算机语言?").await.id;
    let fruit = ask(&author, "最受欢迎的水果?").await;
    let rust = ask(&author, "Which Rust版本 is BEST, naïve or not?")
        .await
        .id;
    let find = async |words: &str| {
        let words: String = form_urlencoded::byte_serialize(words.as_bytes()).collect();
        ids(&app
            .get(&format!("/questions?sort=created_at&q={words}"))
            .await
            .expect(200))
    };
    for (words, expected) in [
        ("最受欢迎", vec![languages.as_str(), &fruit.id]),
        ("计算机", vec![&languages]),
        ("语", vec![&languages]),
        ("水果 最", vec![&fruit.id]),
        ("水果 语言", vec![]),
        ("机算", vec![]),
        ("best rust", vec![&rust]),
        ("RUST", vec![&rust]),
        ("rus", vec![&rust]),
        ("best wh na", vec![&rust]),
        ("ust", vec![]),
        ("w", vec![]),
        ("版本", vec![&rust]),
        ("nai\u{308}ve", vec![&rust]),
        ("%", vec![]),
    ] {
        assert_eq!(find(words).await, expected, "{words}");
    }
    author
        .patch(&fruit.path, json!({"question_text": "最受欢迎的蔬菜?"}))
        .await
        .expect(200);
    assert!(find("水果").await.is_empty());
    assert_eq!(find("蔬菜").await, [fruit.id.as_str()]);
}

#[tokio::test]
async fn a_question_is_found_by_its_choices_as_they_are() {
    let (app, author) = TestApp::with_user("lucy").await;
    let lunch = json!({"question_text": "Lunch?"});
    let question = author.ask(&["Ramen 拉面", "Pizza"], lunch).await;
    let finds = async |words: &str| {
        let page = app.get(&format!("/questions?q={words}")).await.expect(200);
        !ids(&page).is_empty()
    };
    for (words, found) in [("ram", true), ("lun+piz+拉面", true), ("pizza+soup", false)] {
        assert_eq!(finds(words).await, found, "{words}");
    }
    let choices = question.under("choices");
    let soup = json!({"choice_text": "Soup", "position": 0});
    let soup = author.post(&choices, soup).await.expect(201).text("id");
    assert!(finds("pizza+soup").await);
    let pizza = format!("{choices}/{}", question.choices[1]);
    let pasta = json!({"choice_text": "Pasta"});
    author.patch(&pizza, pasta).await.expect(200);
    assert!(finds("pas").await && !finds("piz").await);
    author
        .delete(&format!("{choices}/{soup}"))
        .await
        .expect(204);
    assert!(!finds("soup").await && finds("lunch+pasta").await);
    let dinner = json!({"question_text": "Dinner?"});
    author.patch(&question.path, dinner).await.expect(200);
    assert!(finds("dinner+ramen").await && !finds("lunch").await);
}

#[tokio::test]
async fn a_search_has_pages_in_every_order() {
    let (_app, author) = TestApp::with_user("lucy").await;
    let mut found = Vec::new();
    for (text, matches) in [
        ("Red wine?", true),
        ("White wine?", false),
        ("A wine as red as this?", true),
        ("Red bread?", false),
        ("Wine, red or rosé?", true),
    ] {
        let question = ask(&author, text).await;
        if matches {
            found.push(question.id);
        }
    }
    for sort in ["created_at", "closes_at", "-created_at"] {
        if sort == "-created_at" {
            found.reverse();
        }
        let path = format!("/questions?limit=1&q=red+wine&sort={sort}");
        assert_eq!(all_ids(&author, &path).await, found, "{sort}");
    }
}

#[tokio::test]
async fn what_a_list_does_not_know_is_refused() {
    let (app, author) = TestApp::with_user("lucy").await;
    for _ in 0..2 {
        ask(&author, "Paged?").await;
    }
    let page = app.get("/questions?limit=1").await.expect(200);
    let cursor = page.json["meta"]["next_cursor"]
        .as_str()
        .expect("more")
        .to_owned();
    app.get(&format!("/questions?limit=2&cursor={cursor}"))
        .await
        .expect(200);
    let (first, rest) = cursor.split_at(1);
    let forged = format!("{}{rest}", if first == "A" { "B" } else { "A" });
    for query in [
        "limit=0".to_owned(),
        "limit=101".to_owned(),
        "limit=ten".to_owned(),
        "limit=".to_owned(),
        "limit=1&limit=2".to_owned(),
        "status=finished".to_owned(),
        "sort=votes".to_owned(),
        "author=lucy".to_owned(),
        "deleted=maybe".to_owned(),
        "q=".to_owned(),
        format!("q={}", "x".repeat(101)),
        "page=2".to_owned(),
        "cursor=".to_owned(),
        "cursor=nonsense".to_owned(),
        format!("cursor={forged}"),
        format!("cursor={cursor}&sort=created_at"),
        format!("cursor={cursor}&status=open"),
    ] {
        app.get(&format!("/questions?{query}"))
            .await
            .problem("malformed_request")
            .expect(400);
    }
    app.get("/questions/nonsense")
        .await
        .problem("malformed_request")
        .expect(400);
    let unknown = "/questions/00000000-0000-7000-8000-000000000000";
    app.get(unknown).await.problem("not_found");
    app.get(&format!("{unknown}?expand=all"))
        .await
        .problem("malformed_request");
}

#[tokio::test]
async fn a_patched_description_is_measured_as_a_new_one_is() {
    let (_app, author) = TestApp::with_user("Ada").await;
    let question = author.ask(&["a", "b"], json!({})).await;
    let patch = async |text: String| {
        author
            .patch(&question.path, json!({"description": text}))
            .await
    };
    let full = patch(format!(" {}\n", "x".repeat(2000))).await.expect(200);
    assert_eq!(full.text("description"), "x".repeat(2000));
    // This letter becomes two when it is normalised.
    let grows = patch("\u{958}".repeat(1001)).await;
    grows.fields(&[("/description", "length")]);
    let cleared = patch(" ".to_owned()).await.expect(200);
    assert!(cleared.json["description"].is_null());
}

#[tokio::test]
async fn a_late_close_does_not_move_the_end() {
    let (app, author) = TestApp::with_user("Ada").await;
    let closes_at = app.clock.now().after(Duration::from_secs(60)).to_string();
    let question = author
        .ask(&["a", "b"], json!({"closes_at": closes_at}))
        .await;
    app.clock.advance(Duration::from_secs(300));
    author
        .post(&question.under("close"), json!(null))
        .await
        .expect(200);
    let refused = author.vote(&question, &[0]).await.problem("voting_closed");
    assert!(
        refused.text("detail").contains(&closes_at),
        "{}",
        refused.json
    );
}

#[tokio::test]
async fn times_are_those_of_rfc_3339_that_every_client_can_read() {
    let (app, author) = TestApp::with_user("lucy").await;
    let body = |field: &str, time: &str| {
        let choices = json!([{"choice_text": "a"}, {"choice_text": "b"}]);
        let mut body = json!({"question_text": "?", "choices": choices});
        body[field] = json!(time);
        body
    };
    let question = author.ask(&["a", "b"], json!({})).await;
    for (time, code) in [
        ("-000001-01-01T00:00:00Z", "type"),
        ("0000-01-01T00:00:00Z", "range"),
        ("2100-01-01T00:00:00+25:00", "type"),
        ("21000101T000000Z", "type"),
        ("2100-01-01T00:00:00+01:00[Europe/Berlin]", "type"),
        ("2100-01-01 00:00:00Z", "type"),
        ("+010000-01-01T00:00:00Z", "type"),
        ("9999-12-31T23:59:59-01:00", "range"),
    ] {
        for field in ["opens_at", "closes_at"] {
            let pointer = format!("/{field}");
            let refused = author.post("/questions", body(field, time)).await;
            let refused = refused.fields(&[(&pointer, code)]);
            let message = refused.json["errors"][0]["message"].as_str().unwrap_or("");
            let words = match code {
                "type" => "must be an RFC 3339 time such as 2026-04-15T19:47:16Z",
                _ => "must be a time from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999Z",
            };
            assert_eq!(message, words);
            author
                .patch(&question.path, json!({field: time}))
                .await
                .fields(&[(&pointer, code)]);
        }
        author
            .post(&question.under("reopen"), json!({"closes_at": time}))
            .await
            .fields(&[("/closes_at", code)]);
    }
    for (sent, shown) in [
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ("2100-01-01t00:00:00.5+23:59", "2099-12-31T00:01:00.5Z"),
    ] {
        let made = author.post("/questions", body("closes_at", sent)).await;
        let made = made.expect(201);
        assert_eq!(made.json["closes_at"], shown);
        let read = app.get(&format!("/questions/{}", made.text("id"))).await;
        assert_eq!(read.expect(200).json["closes_at"], shown);
    }
    let opened = author.post("/questions", body("opens_at", "0001-01-01T00:00:00Z"));
    opened.await.expect(201);
}

#[tokio::test]
async fn times_that_were_stored_before_are_written_so_that_clients_can_read_them() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["a", "b"], json!({})).await;
    let id: Uuid = question.id.parse().expect("an id");
    // The year -1, which the version before has taken, and one beyond RFC 3339.
    app.db
        .write(|transaction| async move {
            entity::Entity::update_many()
                .col_expr(
                    entity::Column::OpensAt,
                    Expr::value(-62_198_755_200_000_000_i64),
                )
                .col_expr(entity::Column::ClosesAt, Expr::value(i64::MAX))
                .filter(entity::Column::Id.eq(id))
                .exec(&transaction)
                .await?;
            Ok(())
        })
        .await
        .expect("the times are stored");
    let shown = app.get(&question.path).await.expect(200).json;
    let list = app.get("/questions").await.expect(200).json;
    for question in [&shown, &list["data"][0]] {
        assert_eq!(question["opens_at"], "0001-01-01T00:00:00Z");
        assert_eq!(question["closes_at"], "9999-12-31T23:59:59.999999Z");
    }
}
