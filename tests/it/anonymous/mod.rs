//! Anonymous ballots: cast once, shown to nobody before the close, listed under their receipts after
//! it, and linked to no voter. [`attack`] tries to link them.

mod attack;
mod electorates;
mod steps;
mod storms;
mod tables;

use std::collections::BTreeMap;
use std::time::Duration;

use polls::ballots::recount;
use polls::tally::{self, Lot, Method, Profile, Rules};
use reqwest::Method as Http;
use serde_json::{Value, json};

use crate::support::app::send;
use crate::support::{Answer, Question, TestApp, User};

/// A question with three choices and anonymous ballots.
async fn ask(author: &User, more: Value) -> Question {
    let mut fields = json!({"ballot_secrecy": "anonymous", "allow_change": false});
    let object = fields.as_object_mut().expect("an object");
    object.extend(more.as_object().expect("fields").clone());
    author.ask(&["a", "b", "c"], fields).await
}

/// Draws a receipt.
fn draw() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The body of an anonymous ballot for the choices with these indices.
fn paper(question: &Question, choices: &[usize], receipt: &str) -> Value {
    let ids: Vec<&String> = choices
        .iter()
        .map(|index| &question.choices[*index])
        .collect();
    json!({"choice_ids": ids, "receipt": receipt})
}

async fn vote(voter: &User, question: &Question, choices: &[usize], receipt: &str) -> Answer {
    let body = paper(question, choices, receipt);
    voter.put(&question.under("ballot"), body).await
}

async fn close(author: &User, question: &Question) -> Answer {
    let close = question.under("close");
    author.post(&close, json!(null)).await.expect(200)
}

/// All receipts with what was voted, a few to a page.
async fn receipts(reader: &User, question: &Question) -> Vec<Value> {
    let first = question.under("receipts?limit=100");
    let (mut all, mut path) = (Vec::new(), first.clone());
    loop {
        let page = reader.get(&path).await.expect(200).json;
        let data = page["data"].as_array().expect("receipts").clone();
        assert!(!data.is_empty() || all.is_empty());
        all.extend(data);
        match page["meta"]["next_cursor"].as_str() {
            Some(cursor) => path = format!("{first}&cursor={cursor}"),
            None => return all,
        }
    }
}

#[tokio::test]
async fn an_anonymous_ballot_is_final_and_its_answers_tell_that_it_was_cast() {
    let (app, author) = TestApp::with_user("lucy").await;
    let (voter, other) = (app.user("v").await, app.user("o").await);
    let question = ask(&author, json!({"max_choices": 2})).await;
    let ballot = question.under("ballot");
    let (receipt, another) = (draw(), draw());

    let first = vote(&voter, &question, &[0, 2], &receipt).await.expect(201);
    let nothing = json!({"question_id": question.id});
    assert_eq!(first.json, nothing);
    assert_eq!(first.header("location"), format!("/api/v1{ballot}"));
    for _ in 0..2 {
        // The order matters in rankings only.
        let again = vote(&voter, &question, &[2, 0], &receipt).await.expect(200);
        assert_eq!(again.json, nothing);
    }
    let read = voter.get(&ballot).await.expect(200);
    assert_eq!(read.json, nothing);
    let mine = format!("/users/me/ballots?question_id={}", question.id);
    let mine = voter.get(&mine).await.expect(200);
    assert_eq!(mine.json["data"], json!([nothing]));

    let refused = async |choices: &[usize], receipt: &str| {
        let refused = vote(&voter, &question, choices, receipt).await;
        refused.problem("already_voted").expect(409);
    };
    refused(&[0], &receipt).await;
    refused(&[1, 2], &receipt).await;
    refused(&[0, 2], &another).await;
    voter
        .delete(&ballot)
        .await
        .problem("ballot_final")
        .expect(409);

    // Whoever has not voted cannot have the same receipt, whatever the ballot says.
    for choices in [&[0, 2][..], &[1]] {
        let taken = vote(&other, &question, choices, &receipt).await;
        taken.problem("receipt_taken").expect(409);
        other.get(&ballot).await.problem("not_found");
    }
    other.delete(&ballot).await.problem("not_found");
    let cast = vote(&other, &question, &[1], &another).await.expect(201);
    // Nothing in the answer depends on what was voted.
    assert_eq!(cast.lasting_headers(), first.lasting_headers());
    assert_eq!(cast.bytes, first.bytes);
    // On another question the receipt is free.
    let second = ask(&author, json!({})).await;
    vote(&other, &second, &[1], &receipt).await.expect(201);

    close(&author, &question).await;
    let again = vote(&voter, &question, &[0, 2], &receipt).await.expect(200);
    assert_eq!(again.json["results"]["ballot_count"], 2);
    for refused in [
        vote(&voter, &question, &[0], &receipt).await,
        vote(&voter, &question, &[0, 2], &draw()).await,
        vote(&author, &question, &[0, 2], &receipt).await,
        vote(&author, &question, &[0], &draw()).await,
        voter.delete(&ballot).await,
    ] {
        refused.problem("voting_closed").expect(409);
    }
    assert_eq!(receipts(&author, &question).await.len(), 2);
}

#[tokio::test]
async fn a_receipt_is_for_anonymous_ballots_and_has_32_digits() {
    let (_app, author) = TestApp::with_user("lucy").await;
    let (secret, anonymous) = (
        author.ask(&["a", "b", "c"], json!({})).await,
        ask(&author, json!({})).await,
    );
    let put = |question: &Question, body: Value| {
        let (path, author) = (question.under("ballot"), author.clone());
        async move { author.put(&path, body).await }
    };
    let with = |receipt: Value| json!({"choice_ids": [anonymous.choices[0]], "receipt": receipt});
    put(&secret, paper(&secret, &[0], &draw()))
        .await
        .fields(&[("/receipt", "conflict")]);
    put(&anonymous, json!({"choice_ids": [anonymous.choices[0]]}))
        .await
        .fields(&[("/receipt", "required")]);
    put(&anonymous, json!({"choice_ids": []}))
        .await
        .fields(&[("/choice_ids", "length"), ("/receipt", "required")]);
    for (receipt, code) in [
        (json!("0123456789abcdef"), "length"),
        (json!("0123456789abcdef0123456789abcdef0"), "length"),
        (json!("0123456789ABCDEF0123456789ABCDEF"), "type"),
        (json!("0123456789abcdef0123456789abcdeg"), "type"),
        (json!(1), "type"),
        (json!(null), "type"),
    ] {
        put(&anonymous, with(receipt))
            .await
            .fields(&[("/receipt", code)]);
    }
    author
        .get(&anonymous.under("ballot"))
        .await
        .problem("not_found");
    put(&anonymous, with(json!("0".repeat(32))))
        .await
        .expect(201);
}

/// What an answer tells, but for what differs in every answer.
fn told(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let body = String::from_utf8_lossy(&answer.bytes);
    let body = body.replace(answer.header("x-request-id"), "REQUEST");
    (answer.status.as_u16(), answer.lasting_headers(), body)
}

#[tokio::test]
async fn nobody_sees_numbers_before_they_are_final() {
    let (app, author) = TestApp::with_user("lucy").await;
    let (voter, other) = (app.user("v").await, app.user("o").await);
    let admin = app.admin("root").await;
    let roles = [
        None,
        Some(&voter),
        Some(&other),
        Some(&author),
        Some(&admin),
    ];
    for (visibility, sees) in [
        ("always", [true; 5]),
        ("after_vote", [true; 5]),
        ("after_close", [true; 5]),
        ("author", [false, false, false, true, true]),
    ] {
        let question = ask(&author, json!({"results_visibility": visibility})).await;
        let paths = [
            question.path.clone(),
            question.under("choices"),
            question.under(&format!("choices/{}", question.choices[0])),
            question.under("results"),
            question.under("results?explain=true"),
            question.under("results.svg"),
            question.under("results/live"),
            question.under("receipts"),
            "/questions?limit=1".to_owned(),
        ];
        let seen = async || {
            let mut seen = Vec::new();
            for role in roles {
                for path in &paths {
                    let answer = send(app.request_by(role, Http::GET, path)).await;
                    seen.push(told(&answer));
                }
            }
            seen
        };
        let before = seen().await;
        vote(&voter, &question, &[0], &draw()).await.expect(201);
        let cast = vote(&author, &question, &[1], &draw()).await.expect(201);
        assert_eq!(cast.json.get("results"), None);
        assert_eq!(seen().await, before, "{visibility}");
        for role in roles {
            let get = |path: String| send(app.request_by(role, Http::GET, &path));
            get(question.under("results"))
                .await
                .problem("results_hidden");
            get(question.under("results/live"))
                .await
                .problem("results_hidden");
            get(question.under("receipts"))
                .await
                .problem("voting_open")
                .expect(409);
        }
        // Nor do the author and admins see them in the answers to what only they may do.
        for (user, description) in [(&author, "one"), (&admin, "two")] {
            let changed = user
                .patch(&question.path, json!({"description": description}))
                .await;
            let changed = changed.expect(200).json;
            let added = json!({"choice_text": description});
            let added = user.post(&question.under("choices"), added).await;
            for json in [&changed, &changed["choices"][0], &added.expect(201).json] {
                assert_eq!(json.get("ballot_count"), None, "{json}");
                assert_eq!(json.get("votes"), None, "{json}");
            }
        }
        let closed = close(&author, &question).await;
        assert_eq!(closed.json["ballot_count"], 2);
        for (role, sees) in roles.into_iter().zip(sees) {
            let get = |path: String| send(app.request_by(role, Http::GET, &path));
            let results = get(question.under("results")).await;
            let listed = get(question.under("receipts")).await;
            if sees {
                assert_eq!(results.expect(200).json["is_final"], true);
                let listed = listed.expect(200).json;
                assert_eq!(listed["data"].as_array().map(Vec::len), Some(2));
            } else {
                results.problem("results_hidden");
                listed.problem("results_hidden").expect(403);
            }
        }
    }
}

#[tokio::test]
async fn a_closed_question_is_not_reopened() {
    let (app, author) = TestApp::with_user("lucy").await;
    let admin = app.admin("root").await;
    let later = |seconds| {
        app.clock
            .now()
            .after(Duration::from_secs(seconds))
            .to_string()
    };
    let by_hand = ask(&author, json!({})).await;
    close(&author, &by_hand).await;
    let by_itself = ask(&author, json!({"closes_at": later(60)})).await;
    // An end that has not come can be moved, by a reopening, too.
    let (until, reopen) = (later(120), by_itself.under("reopen"));
    let moved = author.post(&reopen, json!({"closes_at": until})).await;
    assert_eq!(moved.expect(200).json["closes_at"], until);
    app.clock.advance(Duration::from_secs(121));
    for question in [&by_hand, &by_itself] {
        for user in [&author, &admin] {
            for body in [json!({}), json!({"closes_at": later(60)})] {
                let reopened = user.post(&question.under("reopen"), body).await;
                reopened.problem("anonymous_ballots").expect(409);
            }
            let patch = json!({"closes_at": later(60)});
            let patched = user.patch(&question.path, patch).await;
            patched.problem("voting_closed").expect(409);
        }
    }
    // Deleting it and restoring it opens nothing.
    author.delete(&by_hand.path).await.expect(204);
    author.get(&by_hand.under("receipts")).await.expect(200);
    let other = app.user("other").await;
    other
        .get(&by_hand.under("receipts"))
        .await
        .problem("not_found");
    author
        .post(&by_hand.under("restore"), json!(null))
        .await
        .expect(200);
    vote(&author, &by_hand, &[0], &draw())
        .await
        .problem("voting_closed");
}

#[tokio::test]
async fn receipts_are_those_of_anonymous_questions() {
    let (app, author) = TestApp::with_user("lucy").await;
    let secret = author.ask(&["a", "b"], json!({})).await;
    for _ in 0..2 {
        author
            .get(&secret.under("receipts"))
            .await
            .problem("not_found")
            .expect(404);
        close(&author, &secret).await;
    }
    let (one, other) = (ask(&author, json!({})).await, ask(&author, json!({})).await);
    for voter in [&author, &app.user("v").await] {
        vote(voter, &one, &[0], &draw()).await.expect(201);
    }
    close(&author, &one).await;
    close(&author, &other).await;
    let first = author
        .get(&one.under("receipts?limit=1"))
        .await
        .expect(200)
        .json;
    let cursor = first["meta"]["next_cursor"].as_str().expect("another page");
    let elsewhere = other.under(&format!("receipts?cursor={cursor}"));
    author.get(&elsewhere).await.problem("malformed_request");
    let empty = author.get(&other.under("receipts")).await.expect(200).json;
    assert_eq!(empty, json!({"data": [], "meta": {}}));
}

/// The ballot of a voter, by index of the choices: most prefer the first, some abstain.
fn preferences(number: usize) -> Vec<usize> {
    let preferences: &[usize] = match number % 8 {
        0 | 1 => &[0],
        2 => &[0, 1],
        3 => &[0, 2, 1],
        4 => &[1, 0],
        5 => &[2, 0, 1],
        6 => &[0, 1, 2],
        _ => &[],
    };
    preferences.to_vec()
}

/// A ballot as the method wants it.
fn body(question: &Question, method: Method, preferred: &[usize], receipt: &str) -> Value {
    let scored = matches!(method, Method::Score | Method::Star);
    if !scored {
        return paper(question, preferred, receipt);
    }
    let scores = preferred.iter().zip([5, 3, 1]);
    let scores = scores
        .map(|(choice, score)| json!({"choice_id": question.choices[*choice], "score": score}));
    json!({"scores": scores.collect::<Vec<_>>(), "receipt": receipt})
}

/// Counts what the receipts say: the votes of each choice, and the choices that are elected.
fn counted(question: &Question, method: Method, listed: &[Value]) -> (Vec<u64>, Vec<usize>) {
    let index = |id: &Value| {
        let index = question.choices.iter().position(|choice| id == choice);
        index.expect("a choice of the question")
    };
    let mut profile = Profile::new(question.choices.len());
    for ballot in listed {
        let named = ballot["choice_ids"]
            .as_array()
            .expect("ids")
            .iter()
            .map(index);
        let named: Vec<usize> = named.collect();
        let pushed = match ballot["scores"].as_array() {
            Some(scores) => {
                let scores = scores.iter().map(|mark| {
                    let score = mark["score"].as_u64().expect("a score");
                    (
                        index(&mark["choice_id"]),
                        u8::try_from(score).expect("a score"),
                    )
                });
                let scores: Vec<(usize, u8)> = scores.collect();
                assert_eq!(scores.iter().map(|mark| mark.0).collect::<Vec<_>>(), named);
                profile.push_scores(1, scores)
            }
            None => profile.push_choices(1, named),
        };
        pushed.expect("a ballot");
    }
    let count = tally::count(&Rules::new(method, 1), &profile, &Lot::Pending);
    (count.votes, count.outcome.elected_choice_ids)
}

#[tokio::test]
async fn the_tally_equals_the_receipts_by_every_method() {
    let (app, author) = TestApp::with_user("lucy").await;
    let mut voters = vec![author.clone()];
    for _ in 0..23 {
        voters.push(app.user("v").await);
    }
    for method in Method::ALL {
        let more = json!({"method": method.to_string(), "min_choices": 0, "max_choices": 3});
        let question = ask(&author, more).await;
        let path = question.under("ballot");
        let mut sent = BTreeMap::new();
        for (number, voter) in voters.iter().enumerate() {
            let (preferred, receipt) = (preferences(number), draw());
            let body = body(&question, method, &preferred, &receipt);
            voter.put(&path, body.clone()).await.expect(201);
            // Also an abstention is there, and not cast a second time.
            voter.put(&path, body.clone()).await.expect(200);
            sent.insert(receipt, body);
        }
        author
            .get(&question.under("receipts"))
            .await
            .problem("voting_open");
        close(&author, &question).await;

        let listed = receipts(&voters[1], &question).await;
        let numbers: Vec<&str> = listed
            .iter()
            .filter_map(|one| one["receipt"].as_str())
            .collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
        assert_eq!(numbers, sent.keys().collect::<Vec<_>>(), "{method}");
        for (ballot, sent) in listed.iter().zip(sent.values()) {
            let mut ids: Vec<&Value> = match sent["scores"].as_array() {
                Some(scores) => scores.iter().map(|mark| &mark["choice_id"]).collect(),
                None => sent["choice_ids"].as_array().expect("ids").iter().collect(),
            };
            if method == Method::MultipleChoice {
                ids.sort_by_key(|id| id.as_str());
            }
            assert_eq!(ballot["choice_ids"], json!(ids), "{method}");
            assert_eq!(ballot.get("scores"), sent.get("scores"), "{method}");
        }
        let results = app.get(&question.under("results")).await.expect(200).json;
        let (votes, elected) = counted(&question, method, &listed);
        let shown = results["choices"].as_array().expect("choices").iter();
        let shown: Vec<Option<u64>> = shown.map(|choice| choice["votes"].as_u64()).collect();
        assert_eq!(
            shown,
            votes.into_iter().map(Some).collect::<Vec<_>>(),
            "{method}"
        );
        let elected: Vec<&String> = elected.iter().map(|at| &question.choices[*at]).collect();
        assert_eq!(
            results["outcome"]["elected_choice_ids"],
            json!(elected),
            "{method}"
        );
        assert_eq!(results["outcome"]["status"], "decided", "{method}");
        assert_eq!(results["ballot_count"], 24);
        assert_eq!(results["abstentions"], 3);
        assert_eq!(results["is_final"], true);
    }
    assert_eq!(recount::check(&app.db).await.expect("a recount"), []);
}

#[tokio::test]
async fn voters_who_leave_are_still_counted() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = ask(&author, json!({"results_visibility": "after_vote"})).await;
    let (gone, later) = (app.user("gone").await, app.user("later").await);
    let receipt = draw();
    vote(&gone, &question, &[2], &receipt).await.expect(201);
    vote(&later, &question, &[1], &draw()).await.expect(201);
    gone.delete_account().await.expect(204);
    close(&author, &question).await;
    later.delete_account().await.expect(204);
    let results = app.get(&question.under("results")).await.expect(200).json;
    assert_eq!(results["ballot_count"], 2);
    let listed = receipts(&author, &question).await;
    let theirs = listed.iter().find(|one| one["receipt"] == receipt);
    assert_eq!(
        theirs.expect("it is listed")["choice_ids"],
        json!([question.choices[2]])
    );
    assert_eq!(recount::check(&app.db).await.expect("a recount"), []);
}

#[tokio::test]
async fn a_question_becomes_anonymous_before_the_first_ballot_and_stays_so() {
    let (app, author) = TestApp::with_user("lucy").await;
    let voter = app.user("v").await;
    let question = author.ask(&["a", "b", "c"], json!({})).await;
    voter.vote(&question, &[0]).await.expect(201);
    voter.delete(&question.under("ballot")).await.expect(204);
    let anonymous = json!({"ballot_secrecy": "anonymous", "allow_change": false});
    author.patch(&question.path, anonymous).await.expect(200);
    let back = author
        .patch(&question.path, json!({"ballot_secrecy": "secret"}))
        .await;
    back.fields(&[("/ballot_secrecy", "conflict")]);
    vote(&voter, &question, &[1], &draw()).await.expect(201);
    close(&author, &question).await;
    let results = app.get(&question.under("results")).await.expect(200).json;
    assert_eq!(results["choices"][1]["votes"], 1);
    assert_eq!(results["ballot_count"], 1);
    assert_eq!(recount::check(&app.db).await.expect("a recount"), []);
}
