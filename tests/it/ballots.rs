//! Ballots: cast, repeated, changed, withdrawn.

use std::sync::Arc;

use futures_util::FutureExt as _;
use polls::auth::HmacKeys;
use polls::ballots::{Ballots, Paper};
use polls::clock::Clock;
use polls::config::{self, Sources};
use polls::network::Network;
use polls::share::Share;
use polls::users::{Caller, Standing};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::send;
use crate::support::{Question, TestApp, User};

/// The votes of a question in the order of its choices, and its ballots.
async fn tally(app: &TestApp, question: &Question) -> (Vec<i64>, i64) {
    let results = app.get(&question.under("results")).await.expect(200).json;
    let choices = results["choices"].as_array().expect("choices");
    let votes = choices
        .iter()
        .map(|choice| choice["votes"].as_i64().unwrap_or(-1))
        .collect();
    (votes, results["ballot_count"].as_i64().unwrap_or(-1))
}

#[tokio::test]
async fn the_first_is_201_the_same_200_and_another_replaces_it() {
    let (app, author) = TestApp::with_user("lucy").await;
    let voter = app.user("nancy").await;
    let question = author
        .ask(&["a", "b", "c"], json!({"max_choices": 2}))
        .await;
    let first = voter.vote(&question, &[1, 0]).await.expect(201);
    assert_eq!(
        first.header("location"),
        format!("/api/v1{}", question.under("ballot"))
    );
    let mut set = [question.choices[0].as_str(), &question.choices[1]];
    set.sort_unstable();
    assert_eq!(first.json["choice_ids"], json!(set));
    assert_eq!(first.json["question_id"], question.id);
    assert_eq!(first.json["cast_at"], first.json["updated_at"]);
    assert_eq!(first.json["results"]["ballot_count"], 1);

    let same = voter.vote(&question, &[0, 1]).await.expect(200);
    assert_eq!(same.json["updated_at"], first.json["updated_at"]);
    assert_eq!(tally(&app, &question).await, (vec![1, 1, 0], 1));
    let changed = voter.vote(&question, &[2]).await.expect(200);
    assert_eq!(changed.json["cast_at"], first.json["cast_at"]);
    assert_ne!(changed.json["updated_at"], first.json["updated_at"]);
    assert_eq!(tally(&app, &question).await, (vec![0, 0, 1], 1));
    let read = voter.get(&question.under("ballot")).await.expect(200);
    assert_eq!(read.json["choice_ids"], json!([question.choices[2]]));
    assert_eq!(
        app.get(&question.path).await.expect(200).json["revision"],
        1
    );
}

#[tokio::test]
async fn an_unchanged_ballot_is_200_whatever_has_become_of_the_question() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author
        .ask(&["a", "b"], json!({"allow_change": false}))
        .await;
    author.vote(&question, &[0]).await.expect(201);
    author.vote(&question, &[0]).await.expect(200);
    author
        .post(&question.under("close"), json!(null))
        .await
        .expect(200);
    author.vote(&question, &[0]).await.expect(200);
    author
        .vote(&question, &[1])
        .await
        .problem("voting_closed")
        .expect(409);
    let late = app.user("late").await;
    late.vote(&question, &[0]).await.problem("voting_closed");
    assert_eq!(tally(&app, &question).await, (vec![1, 0], 1));
}

#[tokio::test]
async fn a_final_ballot_is_neither_changed_nor_withdrawn() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author
        .ask(&["a", "b"], json!({"allow_change": false}))
        .await;
    author.vote(&question, &[0]).await.expect(201);
    author
        .vote(&question, &[1])
        .await
        .problem("already_voted")
        .expect(409);
    author
        .delete(&question.under("ballot"))
        .await
        .problem("ballot_final")
        .expect(409);
    assert_eq!(tally(&app, &question).await, (vec![1, 0], 1));
}

#[tokio::test]
async fn a_withdrawn_ballot_is_as_if_never_cast() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["a", "b"], json!({})).await;
    let ballot = question.under("ballot");
    author
        .delete(&ballot)
        .await
        .problem("not_found")
        .expect(404);
    author.vote(&question, &[0]).await.expect(201);
    author.delete(&ballot).await.expect(204);
    author.get(&ballot).await.problem("not_found");
    author.delete(&ballot).await.problem("not_found");
    assert_eq!(tally(&app, &question).await, (vec![0, 0], 0));
    author.vote(&question, &[0]).await.expect(201);
    author
        .post(&question.under("close"), json!(null))
        .await
        .expect(200);
    author
        .delete(&ballot)
        .await
        .problem("voting_closed")
        .expect(409);
    assert_eq!(tally(&app, &question).await, (vec![1, 0], 1));
}

#[tokio::test]
async fn a_ballot_names_neither_too_few_nor_too_many_nor_foreign_choices() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author
        .ask(
            &["a", "b", "c", "d"],
            json!({"min_choices": 2, "max_choices": 3}),
        )
        .await;
    let other = author.ask(&["a", "b"], json!({})).await;
    let path = question.under("ballot");
    let put = |ids: Value| author.put(&path, json!({"choice_ids": ids}));
    let own = &question.choices;
    put(json!([])).await.fields(&[("/choice_ids", "length")]);
    put(json!([own[0]]))
        .await
        .fields(&[("/choice_ids", "length")]);
    put(json!(own)).await.fields(&[("/choice_ids", "length")]);
    put(json!([own[0], own[1], own[0]]))
        .await
        .fields(&[("/choice_ids/2", "unique")]);
    put(json!([own[0], other.choices[0]]))
        .await
        .fields(&[("/choice_ids", "choice")]);
    put(json!([other.choices[0]]))
        .await
        .fields(&[("/choice_ids", "length"), ("/choice_ids", "choice")]);
    put(json!(["nonsense"]))
        .await
        .fields(&[("/choice_ids/0", "type")]);
    put(json!(own[0])).await.fields(&[("/choice_ids", "type")]);
    author
        .get(&question.under("ballot"))
        .await
        .problem("not_found");
    put(json!([own[0], own[1]])).await.expect(201);
    put(json!([own[3], own[1], own[0]])).await.expect(200);
    assert_eq!(tally(&app, &question).await, (vec![1, 1, 0, 1], 1));
}

#[tokio::test]
async fn a_ballot_needs_a_question_and_a_voter() {
    let (app, voter) = TestApp::with_user("nancy").await;
    let nowhere = "/questions/00000000-0000-7000-8000-000000000000/ballot";
    let body = json!({"choice_ids": ["00000000-0000-7000-8000-000000000000"]});
    voter.put(nowhere, body.clone()).await.problem("not_found");
    voter.get(nowhere).await.problem("not_found");
    voter.delete(nowhere).await.problem("not_found");
    send(app.request(Method::PUT, nowhere).json(&body))
        .await
        .problem("unauthenticated");
}

#[tokio::test]
async fn shares_and_leaders_follow_the_votes() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author
        .ask(&["a", "b", "c"], json!({"max_choices": 2}))
        .await;
    let results = async || app.get(&question.under("results")).await.expect(200).json;
    let empty = results().await;
    assert_eq!(empty["leading_choice_ids"], json!([]));
    assert_eq!(empty["choices"][0]["share"], 0.0);
    for (name, choices) in [("x", vec![0, 1]), ("y", vec![0]), ("z", vec![1])] {
        app.user(name)
            .await
            .vote(&question, &choices)
            .await
            .expect(201);
    }
    let tied = results().await;
    assert_eq!(tied["question_id"], question.id);
    assert_eq!(tied["ballot_count"], 3);
    assert_eq!(tied["leading_choice_ids"], json!(question.choices[..2]));
    let row = |index: usize, text: &str, votes: i64, share: f64| json!({"id": question.choices[index], "choice_text": text, "votes": votes, "share": share});
    assert_eq!(
        tied["choices"],
        json!([
            row(0, "a", 2, 0.6667),
            row(1, "b", 2, 0.6667),
            row(2, "c", 0, 0.0)
        ])
    );
    assert!(tied["as_of"].is_string());
}

#[tokio::test]
async fn whether_one_has_voted_is_told_without_a_404() {
    let (app, author) = TestApp::with_user("lucy").await;
    let voter = app.user("nancy").await;
    let question = author.ask(&["a", "b"], json!({})).await;
    let path = format!("/users/me/ballots?question_id={}", question.id);
    let none = json!({"data": [], "meta": {}});
    assert_eq!(voter.get(&path).await.expect(200).json, none);
    author.vote(&question, &[0]).await.expect(201);
    voter.vote(&question, &[1]).await.expect(201);
    let mut ballot = voter.get(&question.under("ballot")).await.expect(200).json;
    ballot.as_object_mut().expect("a ballot").remove("results");
    ballot["question"] =
        json!({"id": question.id, "question_text": "Which one?", "status": "open"});
    let mine = voter.get(&path).await.expect(200).json;
    assert_eq!(mine, json!({"data": [ballot], "meta": {}}));
    voter.delete(&question.under("ballot")).await.expect(204);
    assert_eq!(voter.get(&path).await.expect(200).json, none);
    voter.vote(&question, &[1]).await.expect(201);
    author.delete(&question.path).await.expect(204);
    assert_eq!(voter.get(&path).await.expect(200).json, none);
}

/// The questions of the ballots that a user has, on all pages.
async fn voted_on(user: &User, limit: usize) -> Vec<String> {
    let path = format!("/users/me/ballots?limit={limit}");
    let (mut found, mut next) = (Vec::new(), path.clone());
    loop {
        let page = user.get(&next).await.expect(200).json;
        let ballots = page["data"].as_array().expect("a page");
        found.extend(ballots.iter().map(|ballot| {
            assert_eq!(ballot["question"]["id"], ballot["question_id"]);
            ballot["question_id"].as_str().expect("an id").to_owned()
        }));
        match page["meta"]["next_cursor"].as_str() {
            Some(cursor) => next = format!("{path}&cursor={cursor}"),
            None => return found,
        }
    }
}

#[tokio::test]
async fn ones_own_ballots_are_listed_with_their_questions_the_newest_first() {
    let (app, author) = TestApp::with_user("lucy").await;
    let (voter, other) = (app.user("nancy").await, app.user("other").await);
    let mut asked = Vec::new();
    for number in 0..7 {
        let more = json!({"question_text": format!("Which {number}?"), "listed": number % 2 == 0});
        let question = author.ask(&["a", "b"], more).await;
        voter.vote(&question, &[0]).await.expect(201);
        other.vote(&question, &[0]).await.expect(201);
        asked.push(question);
    }
    let newest = |asked: &[&Question]| -> Vec<String> {
        asked
            .iter()
            .rev()
            .map(|question| question.id.clone())
            .collect()
    };
    let all: Vec<&Question> = asked.iter().collect();
    for limit in [1, 2, 7, 100] {
        assert_eq!(voted_on(&voter, limit).await, newest(&all), "{limit}");
    }
    // A change does not move a ballot, so that pages are steady; casting it anew does.
    voter.vote(&asked[0], &[1]).await.expect(200);
    assert_eq!(voted_on(&voter, 3).await, newest(&all));
    voter.delete(&asked[1].under("ballot")).await.expect(204);
    voter.vote(&asked[1], &[1]).await.expect(201);
    author
        .post(&asked[2].under("close"), json!(null))
        .await
        .expect(200);
    author.delete(&asked[3].path).await.expect(204);
    let order = [0, 2, 4, 5, 6, 1].map(|place| &asked[place]);
    assert_eq!(voted_on(&voter, 2).await, newest(&order));
    let page = voter.get("/users/me/ballots").await.expect(200).json;
    let closed = &page["data"][4];
    let question = json!({"id": asked[2].id, "question_text": "Which 2?", "status": "closed"});
    assert_eq!(closed["question"], question);
    assert_eq!(closed["choice_ids"], json!([asked[2].choices[0]]));
    assert_eq!(page["data"][5]["choice_ids"], json!([asked[0].choices[1]]));
    assert!(voted_on(&author, 2).await.is_empty());
    app.get("/users/me/ballots")
        .await
        .problem("unauthenticated");
    let first = voter
        .get("/users/me/ballots?limit=1")
        .await
        .expect(200)
        .json;
    let cursor = first["meta"]["next_cursor"].as_str().expect("more");
    let path = format!("/users/me/ballots?limit=1&cursor={cursor}");
    other.get(&path).await.problem("malformed_request");
}

#[tokio::test]
async fn the_tag_of_results_changes_with_the_numbers_alone() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["a", "b"], json!({})).await;
    let path = question.under("results");
    let tag = app.get(&path).await.expect(200).header("etag").to_owned();
    let known = || {
        send(
            app.request(Method::GET, &path)
                .header("if-none-match", &tag),
        )
    };
    known().await.expect(304);
    author.vote(&question, &[0]).await.expect(201);
    known().await.expect(200);
}

#[tokio::test]
async fn a_ballot_that_has_not_changed_is_not_sent_again() {
    let (_app, voter) = TestApp::with_user("Ada").await;
    let question = voter.ask(&["a", "b"], json!({})).await;
    voter.vote(&question, &[0]).await.expect(201);
    let path = question.under("ballot");
    let tag = voter.get(&path).await.expect(200).header("etag").to_owned();
    let again = async || {
        let request = voter.request(Method::GET, &path);
        send(request.header("if-none-match", &tag)).await
    };
    again().await.expect(304);
    voter.vote(&question, &[1]).await.expect(200);
    again().await.expect(200);
}

#[tokio::test]
async fn a_ballot_in_the_box_is_counted_though_nobody_waits_for_it() {
    let (app, voter) = TestApp::with_user("lucy").await;
    let question = voter.ask(&["a", "b"], json!({})).await;
    let config = config::load(&Sources::default()).unwrap().config;
    let (db, clock) = (app.db.clone(), Clock::default());
    let share = Share::open(&config.share, db.clone(), clock.clone()).unwrap();
    let keys = Arc::new(HmacKeys::open(&db).await.unwrap());
    let (ballots, ballot_box) = Ballots::open(db, clock, share, keys, &config.ballots);
    let id = |text: &str| text.parse().unwrap();
    let chosen = Paper::Choices(vec![id(&question.choices[1])]);
    let caller = Caller {
        id: id(&voter.id),
        standing: Standing::User,
    };
    let network = Network::of(None);
    let cast = ballots.cast(caller, network, id(&question.id), chosen, None);
    assert!(cast.now_or_never().is_none());
    drop(ballots);
    ballot_box.await.unwrap();
    let ballot = voter.get(&question.under("ballot")).await.expect(200).json;
    assert_eq!(ballot["choice_ids"], json!([question.choices[1]]));
}
