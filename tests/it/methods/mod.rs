//! Voting methods: their settings, ballots and outcomes over the API.

mod elections;
mod lot;
mod outcomes;
mod storms;
mod versions;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::send;
use crate::support::{Answer, Question, TestApp, User};

/// Every method with one seat.
pub const METHODS: [&str; 7] = [
    "multiple_choice",
    "instant_runoff",
    "single_transferable_vote",
    "ranked_pairs",
    "borda",
    "score",
    "star",
];

/// Casts a ballot with these scores, by index.
async fn score(voter: &User, question: &Question, scores: &[(usize, i32)]) -> Answer {
    let scores = scores
        .iter()
        .map(|(choice, score)| json!({"choice_id": question.choices[*choice], "score": score}));
    let scores: Vec<Value> = scores.collect();
    voter
        .put(&question.under("ballot"), json!({"scores": scores}))
        .await
}

/// A ballot of the method that names the choice with this index before all others.
async fn prefer(voter: &User, question: &Question, method: &str, choice: usize) -> Answer {
    match method {
        "score" | "star" => score(voter, question, &[(choice, 5)]).await,
        _ => voter.vote(question, &[choice]).await,
    }
}

async fn close(author: &User, question: &Question) {
    let close = question.under("close");
    author.post(&close, json!(null)).await.expect(200);
}

async fn results(app: &TestApp, question: &Question) -> Value {
    let path = question.under("results?explain=true");
    app.get(&path).await.expect(200).json
}

/// The choices that an outcome lists, by index.
fn indices(question: &Question, ids: &Value) -> Vec<usize> {
    let ids = ids.as_array().expect("ids").iter();
    ids.map(|id| {
        let index = question.choices.iter().position(|choice| id == choice);
        index.expect("a choice of the question")
    })
    .collect()
}

#[tokio::test]
async fn a_question_tells_how_its_ballots_are_counted() {
    let (app, author) = TestApp::with_user("lucy").await;
    let shown = async |more: Value| {
        let question = author.ask(&["a", "b", "c", "d"], more).await;
        app.get(&question.path).await.expect(200).json
    };
    let plain = shown(json!({})).await;
    for (field, value) in [
        ("method", json!("multiple_choice")),
        ("seats", json!(1)),
        ("min_choices", json!(1)),
        ("max_choices", json!(1)),
        ("tie_break", json!("none")),
        ("max_score", json!(null)),
        ("quorum", json!(null)),
        ("threshold", json!(null)),
        ("lot_commitment", json!(null)),
    ] {
        assert_eq!(plain[field], value, "{field}");
    }
    let threshold = json!({"numerator": 2, "denominator": 3, "of": "votes_cast", "exceed": true});
    let more = json!({"seats": 2, "quorum": 5, "threshold": threshold, "tie_break": "lot"});
    let all = shown(more.clone()).await;
    for (field, value) in more.as_object().expect("fields") {
        assert_eq!(all[field], *value, "{field}");
    }
    assert_eq!(all["lot_commitment"].as_str().map(str::len), Some(64));
    for method in &METHODS[1..] {
        let question = shown(json!({"method": method})).await;
        assert_eq!(question["max_choices"], 4, "{method}");
        let scored = matches!(*method, "score" | "star");
        assert_eq!(question["max_score"] == 5, scored, "{method}");
        let shows_ties = matches!(*method, "borda" | "score");
        assert_eq!(question["tie_break"] == "none", shows_ties, "{method}");
    }
    let most = shown(json!({"method": "score", "max_score": 100, "max_choices": 2})).await;
    assert_eq!(
        (&most["max_score"], &most["max_choices"]),
        (&json!(100), &json!(2))
    );
}

#[tokio::test]
async fn settings_that_contradict_the_method_are_refused_together() {
    let (_app, author) = TestApp::with_user("lucy").await;
    let ask = |more: Value| {
        let mut body = json!({"question_text": "Which?", "choices": [
            {"choice_text": "a"}, {"choice_text": "b"}, {"choice_text": "c"},
        ]});
        let fields = body.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("fields").clone());
        author.post("/questions", body)
    };
    let half = json!({"numerator": 1, "denominator": 2, "of": "ballots"});
    ask(json!({"method": "star", "seats": 2, "max_score": 7, "tie_break": "none", "threshold": half}))
        .await
        .fields(&[
            ("/seats", "method"),
            ("/max_score", "method"),
            ("/tie_break", "method"),
            ("/threshold", "method"),
        ]);
    for method in METHODS {
        ask(json!({"method": method, "max_choices": 4}))
            .await
            .fields(&[("/max_choices", "range")]);
        let seats = ask(json!({"method": method, "seats": 3})).await;
        let one = matches!(method, "instant_runoff" | "ranked_pairs" | "star");
        seats.fields(&[("/seats", if one { "method" } else { "range" })]);
    }
    let threshold = |threshold: Value| ask(json!({"threshold": threshold}));
    threshold(json!({"numerator": 3, "denominator": 2, "of": "ballots"}))
        .await
        .fields(&[("/threshold/numerator", "range")]);
    threshold(json!({"numerator": 2, "denominator": 2, "of": "ballots", "exceed": true}))
        .await
        .fields(&[("/threshold/exceed", "range")]);
    threshold(json!([1, 2, "ballots"]))
        .await
        .fields(&[("/threshold", "type")]);
    threshold(json!({"numerator": 1, "denominator": 2, "of": {"ballots": null}}))
        .await
        .fields(&[("/threshold/of", "type")]);
    threshold(json!({"numerator": 1, "denominator": 2}))
        .await
        .fields(&[("/threshold/of", "required")]);
    ask(json!({"method": {"star": null}}))
        .await
        .fields(&[("/method", "type")]);
    ask(json!({"method": "dictatorship"}))
        .await
        .fields(&[("/method", "choice")]);
}

#[tokio::test]
async fn the_method_changes_only_while_nobody_has_voted() {
    let (_app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["a", "b", "c"], json!({})).await;
    let change = |body: Value| author.patch(&question.path, body);
    let ranked = change(json!({"method": "single_transferable_vote", "seats": 2}))
        .await
        .expect(200)
        .json;
    assert_eq!(ranked["max_choices"], 3);
    assert_eq!(ranked["tie_break"], "lot");
    let added = question.under("choices");
    author
        .post(&added, json!({"choice_text": "d"}))
        .await
        .expect(201);
    let shown = author.get(&question.path).await.expect(200).json;
    assert_eq!(shown["max_choices"], 4);
    let limited = change(json!({"max_choices": 2, "quorum": 7}))
        .await
        .expect(200)
        .json;
    assert_eq!(
        (&limited["max_choices"], &limited["quorum"]),
        (&json!(2), &json!(7))
    );
    let back = change(json!({"max_choices": null, "quorum": null}))
        .await
        .expect(200)
        .json;
    assert_eq!(
        (&back["max_choices"], &back["quorum"]),
        (&json!(4), &json!(null))
    );
    let plain = change(json!({"method": "multiple_choice"}))
        .await
        .expect(200)
        .json;
    assert_eq!(
        (&plain["max_choices"], &plain["tie_break"]),
        (&json!(1), &json!("none"))
    );
    change(json!({"method": "star"}))
        .await
        .fields(&[("/seats", "method")]);
    change(json!({"method": "borda"})).await.expect(200);

    author.vote(&question, &[1, 0]).await.expect(201);
    for patch in [
        json!({"method": "ranked_pairs", "seats": 1}),
        json!({"seats": 1}),
        json!({"min_choices": 0}),
        json!({"max_choices": 3}),
        json!({"tie_break": "lot"}),
        json!({"quorum": 2}),
    ] {
        change(patch).await.problem("has_ballots").expect(409);
    }
    // What is the default already is no change.
    change(json!({"tie_break": "none", "method": "borda"}))
        .await
        .expect(200);
}

#[tokio::test]
async fn choices_are_never_fewer_than_the_seats_and_one_more() {
    let (_app, author) = TestApp::with_user("lucy").await;
    let question = author
        .ask(
            &["a", "b", "c", "d"],
            json!({"method": "borda", "seats": 2}),
        )
        .await;
    let choice = |index: usize| question.under(&format!("choices/{}", question.choices[index]));
    author.delete(&choice(0)).await.expect(204);
    author.delete(&choice(1)).await.fields(&[("", "length")]);
}

#[tokio::test]
async fn the_order_of_a_ranking_matters_and_no_other() {
    let (app, voter) = TestApp::with_user("lucy").await;
    for method in METHODS {
        let more = json!({"method": method, "max_choices": 3});
        let question = voter.ask(&["a", "b", "c"], more).await;
        if matches!(method, "score" | "star") {
            let cast = score(&voter, &question, &[(1, 2), (0, 5), (2, 0)])
                .await
                .expect(201)
                .json;
            assert_eq!(indices(&question, &cast["choice_ids"]), [0, 1], "{method}");
            assert_eq!(
                cast["scores"][1],
                json!({"choice_id": question.choices[1], "score": 2})
            );
            let again = score(&voter, &question, &[(0, 5), (1, 2)])
                .await
                .expect(200)
                .json;
            assert_eq!(again["updated_at"], cast["updated_at"], "{method}");
            let changed = score(&voter, &question, &[(0, 2), (1, 5)])
                .await
                .expect(200)
                .json;
            assert_ne!(changed["updated_at"], cast["updated_at"], "{method}");
            assert_eq!(
                indices(&question, &changed["choice_ids"]),
                [1, 0],
                "{method}"
            );
            continue;
        }
        let cast = voter.vote(&question, &[2, 0]).await.expect(201).json;
        assert!(cast.get("scores").is_none());
        let again = voter.vote(&question, &[0, 2]).await.expect(200).json;
        let read = voter.get(&question.under("ballot")).await.expect(200).json;
        assert_eq!(read["choice_ids"], again["choice_ids"]);
        if method == "multiple_choice" {
            assert_eq!(again["updated_at"], cast["updated_at"]);
            continue;
        }
        assert_ne!(again["updated_at"], cast["updated_at"], "{method}");
        assert_eq!(indices(&question, &again["choice_ids"]), [0, 2], "{method}");
        let tally = results(&app, &question).await;
        assert_eq!(tally["choices"][0]["votes"], 1, "{method}");
        assert_eq!(tally["choices"][2]["votes"], 0, "{method}");
    }
}

#[tokio::test]
async fn a_ballot_has_choices_or_scores_as_its_question_wants() {
    let (_app, voter) = TestApp::with_user("lucy").await;
    for method in METHODS {
        let more = json!({"method": method, "max_choices": 2, "min_choices": 1});
        let question = voter.ask(&["a", "b", "c"], more).await;
        let path = question.under("ballot");
        let put = |body: Value| voter.put(&path, body);
        let id = |index: usize| &question.choices[index];
        let one = |index: usize, score: i32| json!({"choice_id": id(index), "score": score});
        let both = json!({"choice_ids": [id(0)], "scores": [one(0, 1)]});
        put(both)
            .await
            .fields(&[("/choice_ids", "method"), ("/scores", "method")]);
        // An empty list is the same as none.
        let empty = json!({"choice_ids": [], "scores": []});
        if matches!(method, "score" | "star") {
            put(json!({})).await.fields(&[("/scores", "length")]);
            put(empty).await.fields(&[("/scores", "length")]);
            put(json!({"choice_ids": [], "scores": [one(2, 1)]}))
                .await
                .expect(201);
            put(json!({"choice_ids": [id(0)]}))
                .await
                .fields(&[("/scores", "required"), ("/choice_ids", "method")]);
            put(json!({"scores": [one(0, 5), one(1, 6), one(2, 7)]}))
                .await
                .fields(&[
                    ("/scores/1/score", "range"),
                    ("/scores/2/score", "range"),
                    ("/scores", "length"),
                ]);
            put(json!({"scores": [one(0, 1), one(1, 1), one(2, 1)]}))
                .await
                .fields(&[("/scores", "length")]);
            // A score of 0 does not count.
            put(json!({"scores": [one(0, 0)]}))
                .await
                .fields(&[("/scores", "length")]);
            put(json!({"scores": [one(0, 1), one(1, 0), one(2, 1)]}))
                .await
                .expect(200);
            put(json!({"scores": [one(0, 1), one(0, 2)]}))
                .await
                .fields(&[("/scores/1/choice_id", "unique")]);
            put(json!({"scores": [[id(0), 1]]}))
                .await
                .fields(&[("/scores/0", "type")]);
            let nobody = json!({"choice_id": question.id, "score": 1});
            put(json!({"scores": [nobody]}))
                .await
                .fields(&[("/scores", "choice")]);
            continue;
        }
        put(json!({})).await.fields(&[("/choice_ids", "length")]);
        put(empty).await.fields(&[("/choice_ids", "length")]);
        put(json!({"choice_ids": [id(0), id(1), id(0)]}))
            .await
            .fields(&[("/choice_ids/2", "unique")]);
        put(json!({"choice_ids": [id(2)], "scores": []}))
            .await
            .expect(201);
        put(json!({"scores": [one(0, 1)]}))
            .await
            .fields(&[("/choice_ids", "required"), ("/scores", "method")]);
        put(json!({"choice_ids": [id(0), id(1), id(2)]}))
            .await
            .fields(&[("/choice_ids", "length")]);
        put(json!({"choice_ids": []}))
            .await
            .fields(&[("/choice_ids", "length")]);
        put(json!({"choice_ids": [question.id]}))
            .await
            .fields(&[("/choice_ids", "choice")]);
        put(json!({"choice_ids": [id(2), id(1)]})).await.expect(200);
    }
}

#[tokio::test]
async fn an_abstention_is_a_ballot_and_counts_once() {
    let (app, author) = TestApp::with_user("lucy").await;
    let (one, other) = (app.user("one").await, app.user("other").await);
    for method in METHODS {
        let question = author
            .ask(
                &["a", "b", "c"],
                json!({"method": method, "min_choices": 0}),
            )
            .await;
        let scored = matches!(method, "score" | "star");
        let path = question.under("ballot");
        let empty = match scored {
            true => json!({"scores": [{"choice_id": question.choices[0], "score": 0}]}),
            false => json!({"choice_ids": []}),
        };
        let abstain = |voter: &User| {
            let request = voter.request(Method::PUT, &path).json(&empty);
            send(request)
        };
        let numbers = async || {
            let results = results(&app, &question).await;
            (
                results["ballot_count"].as_i64().unwrap_or(-1),
                results["abstentions"].as_i64().unwrap_or(-1),
                results["outcome"]["status"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            )
        };
        let first = abstain(&one).await.expect(201);
        assert_eq!(first.json["choice_ids"], json!([]), "{method}");
        for _ in 0..4 {
            abstain(&one).await.expect(200);
        }
        assert_eq!(numbers().await, (1, 1, "no_votes".to_owned()), "{method}");
        prefer(&other, &question, method, 2).await.expect(201);
        assert_eq!(numbers().await, (2, 1, "decided".to_owned()), "{method}");
        let shares = results(&app, &question).await;
        assert_eq!(shares["choices"][2]["share"], 1.0, "{method}");
        // A choice, an abstention again, and nothing.
        prefer(&one, &question, method, 0).await.expect(200);
        assert_eq!(numbers().await.1, 0, "{method}");
        abstain(&one).await.expect(200);
        assert_eq!(numbers().await, (2, 1, "decided".to_owned()), "{method}");
        one.delete(&path).await.expect(204);
        assert_eq!(numbers().await, (1, 0, "decided".to_owned()), "{method}");
        one.get(&path).await.problem("not_found");
        voter_says_nothing(&one, &question).await.expect(201);
        abstain(&one).await.expect(200);
    }
}

/// Some generated clients leave out what is empty.
async fn voter_says_nothing(voter: &User, question: &Question) -> Answer {
    voter.put(&question.under("ballot"), json!({})).await
}
