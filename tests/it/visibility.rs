//! Who sees the numbers, and that nothing else gives them away.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::send;
use crate::support::{Answer, Question, TestApp, User};

/// What everybody gets to see of a question's numbers, asked in every way there is.
async fn sees_numbers(app: &TestApp, who: Option<&User>, question: &Question) -> bool {
    let get = async |path: &str| send(app.request_by(who, Method::GET, path)).await;
    let results = get(&question.under("results")).await;
    let visible = results.status == 200;
    if !visible {
        results.problem("results_hidden").expect(403);
    }
    let shown = get(&question.path).await.expect(200).json;
    let listed = get("/questions").await.expect(200).json["data"][0].clone();
    assert_eq!(listed, shown);
    assert_eq!(shown["ballot_count"].is_i64(), visible, "{shown}");
    assert_eq!(shown.get("ballot_count").is_some(), visible, "{shown}");
    let choices = get(&question.under("choices")).await.expect(200).json["data"].clone();
    assert_eq!(choices, shown["choices"]);
    let one = get(&question.under(&format!("choices/{}", question.choices[0]))).await;
    for choice in [&choices[0], &choices[1], &one.expect(200).json] {
        assert_eq!(choice.get("votes").is_some(), visible, "{choice}");
    }
    if let Some(user) = who {
        let ballot = user.get(&question.under("ballot")).await;
        if ballot.status == 200 {
            assert_eq!(
                ballot.json.get("results").is_some(),
                visible,
                "{}",
                ballot.json
            );
            // Sent again it changes nothing, and its answer says as much.
            let same = json!({"choice_ids": ballot.json["choice_ids"]});
            let again = user.put(&question.under("ballot"), same).await.expect(200);
            assert_eq!(again.json.get("results").is_some(), visible);
        }
    }
    visible
}

#[tokio::test]
async fn each_visibility_shows_the_numbers_to_whom_it_says() {
    const YES: bool = true;
    const NO: bool = false;
    // While it is open, and once it is closed: anonymous, voter, non-voter, author, admin.
    let table = [
        (
            "always",
            [YES, YES, YES, YES, YES],
            [YES, YES, YES, YES, YES],
        ),
        (
            "after_vote",
            [NO, YES, NO, YES, YES],
            [YES, YES, YES, YES, YES],
        ),
        (
            "after_close",
            [NO, NO, NO, YES, YES],
            [YES, YES, YES, YES, YES],
        ),
        ("author", [NO, NO, NO, YES, YES], [NO, NO, NO, YES, YES]),
    ];
    let (app, author) = TestApp::with_user("lucy").await;
    let (voter, other, admin) = (
        app.user("v").await,
        app.user("o").await,
        app.admin("root").await,
    );
    let roles = [
        None,
        Some(&voter),
        Some(&other),
        Some(&author),
        Some(&admin),
    ];
    for (visibility, open, closed) in table {
        let question = author
            .ask(&["a", "b"], json!({"results_visibility": visibility}))
            .await;
        voter.vote(&question, &[0]).await.expect(201);
        let found = async || {
            let mut found = Vec::new();
            for role in roles {
                found.push(sees_numbers(&app, role, &question).await);
            }
            found
        };
        assert_eq!(found().await, open, "{visibility}, open");
        author
            .post(&question.under("close"), json!(null))
            .await
            .expect(200);
        assert_eq!(found().await, closed, "{visibility}, closed");
    }
}

#[tokio::test]
async fn a_withdrawn_ballot_takes_the_view_along() {
    let (app, author) = TestApp::with_user("lucy").await;
    let voter = app.user("v").await;
    let question = author
        .ask(&["a", "b"], json!({"results_visibility": "after_vote"}))
        .await;
    let cast = voter.vote(&question, &[0]).await.expect(201);
    assert_eq!(cast.json["results"]["ballot_count"], 1);
    voter.delete(&question.under("ballot")).await.expect(204);
    assert!(!sees_numbers(&app, Some(&voter), &question).await);
}

#[tokio::test]
async fn an_end_that_has_come_shows_the_numbers_and_a_reopening_hides_them() {
    let (app, author) = TestApp::with_user("lucy").await;
    let closes_at = app.clock.now().after(Duration::from_secs(60)).to_string();
    let more = json!({"results_visibility": "after_close", "closes_at": closes_at});
    let question = author.ask(&["a", "b"], more).await;
    assert!(!sees_numbers(&app, None, &question).await);
    app.clock.advance(Duration::from_secs(61));
    assert!(sees_numbers(&app, None, &question).await);
    author
        .post(&question.under("reopen"), json!({}))
        .await
        .expect(200);
    assert!(!sees_numbers(&app, None, &question).await);
}

/// A server on which the same people ask the same questions, and vote one way or the other.
struct World {
    app: TestApp,
    questions: Vec<Question>,
    author: User,
    voters: Vec<User>,
    /// Have nothing to say: one without a ballot, and one who votes alike in all worlds.
    onlookers: [User; 2],
}

impl World {
    async fn new() -> World {
        let (app, author) = TestApp::with_user("lucy").await;
        let mut voters = Vec::new();
        for name in ["x", "y", "z"] {
            voters.push(app.user(name).await);
        }
        let onlookers = [app.user("idle").await, app.user("constant").await];
        let mut questions = Vec::new();
        for visibility in ["after_vote", "after_close", "author"] {
            for allow_change in [true, false] {
                let text = format!("Which, {visibility}, {allow_change}?");
                let more = json!({"question_text": text, "results_visibility": visibility, "allow_change": allow_change});
                questions.push(author.ask(&["a", "b", "c"], more).await);
            }
        }
        // Not on the first two, where a ballot is what shows the numbers.
        for question in &questions[2..] {
            onlookers[1].vote(question, &[1]).await.expect(201);
        }
        World {
            app,
            questions,
            author,
            voters,
            onlookers,
        }
    }

    /// Everybody votes: two of three for one choice, the third for the other.
    async fn vote(&self, majority: usize, minority: usize) {
        for question in &self.questions {
            for (voter, choice) in self.voters.iter().zip([majority, majority, minority]) {
                voter.vote(question, &[choice]).await.expect(201);
            }
        }
    }

    /// The answers to every GET of the API's specification, by nobody and by each onlooker.
    async fn seen(&self) -> Vec<(String, Answer)> {
        let mut seen = Vec::new();
        let roles = [None, Some(&self.onlookers[0]), Some(&self.onlookers[1])];
        for (number, role) in roles.into_iter().enumerate() {
            for path in self.paths() {
                let answer = send(self.app.request_by(role, Method::GET, &path)).await;
                seen.push((format!("role {number}, GET {path}"), answer));
            }
        }
        seen
    }

    fn paths(&self) -> Vec<String> {
        let document = polls::app::document();
        let mut paths = Vec::new();
        for (template, methods) in document["paths"].as_object().expect("paths") {
            if methods.get("get").is_none() {
                continue;
            }
            if !template.contains("{question_id}") {
                paths.push(template.replace("{user_id}", &self.author.id));
                continue;
            }
            for question in &self.questions {
                let path = template.replace("{question_id}", &question.id);
                match path.contains("{choice_id}") {
                    false => paths.push(path),
                    true => paths.extend(
                        question
                            .choices
                            .iter()
                            .map(|id| path.replace("{choice_id}", id)),
                    ),
                }
            }
        }
        assert!(paths.iter().all(|path| !path.contains('{')), "{paths:?}");
        let queries = [
            "sort=closes_at",
            "sort=created_at",
            "status=open",
            "status=closed",
            "limit=2",
            "q=which",
        ];
        paths.extend(queries.map(|query| format!("/questions?{query}")));
        paths
    }
}

/// An answer without its request's id and date, and without the time at which data were exported.
fn lasting(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let body = String::from_utf8_lossy(&answer.bytes);
    let body = body.replace(answer.header("x-request-id"), "REQUEST");
    let body = match body.split_once("\"exported_at\":\"") {
        Some((before, after)) => {
            let (_, after) = after.split_once('"').expect("a time");
            format!("{before}{after}")
        }
        None => body,
    };
    (answer.status.as_u16(), answer.lasting_headers(), body)
}

/// Ids numbered as they first occur, times as one word: what two worlds have in common.
#[derive(Default)]
struct Normaliser(HashMap<String, String>);

impl Normaliser {
    fn text(&mut self, text: &str) -> String {
        if text.parse::<polls::clock::Time>().is_ok() {
            return "TIME".to_owned();
        }
        let is_id = text.len() == 36 && text.split('-').count() == 5;
        if is_id {
            let next = format!("id {}", self.0.len());
            return self.0.entry(text.to_owned()).or_insert(next).clone();
        }
        text.to_owned()
    }

    fn json(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => items.iter().map(|item| self.json(item)).collect(),
            // A cursor holds a time and an id.
            Value::Object(fields) => fields
                .iter()
                .map(|(key, value)| match (key.as_str(), value) {
                    // Keyed hashes: each server has keys of its own.
                    ("next_cursor" | "hash", Value::String(text)) => {
                        (key.clone(), json!(text.len()))
                    }
                    _ => (key.clone(), self.json(value)),
                })
                .collect(),
            other => other.clone(),
        }
    }

    /// Status, headers and body. The length must be the body's; the tag is reduced to its
    /// revision and length, since ids and times are in what it hashes.
    fn answer(&mut self, answer: &Answer) -> Value {
        let (status, headers) = (answer.status.as_u16(), answer.lasting_headers());
        let headers = headers
            .into_iter()
            .map(|(name, value)| match name.as_str() {
                "content-length" => {
                    assert_eq!(value, answer.bytes.len().to_string());
                    (name, Value::Null)
                }
                "etag" => {
                    let revision = value.split('.').next().unwrap_or_default();
                    (name, json!([revision, value.len()]))
                }
                _ => (name, Value::String(value)),
            });
        let headers: serde_json::Map<_, _> = headers.collect();
        let mut body = match answer.header("content-type") {
            "image/svg+xml" => json!({"svg": String::from_utf8_lossy(&answer.bytes)}),
            _ => answer.json.clone(),
        };
        if let Some(problem) = body.as_object_mut() {
            problem.remove("request_id");
        }
        assert!(body.is_object(), "every body is JSON or a picture");
        json!({"status": status, "headers": headers, "body": self.json(&body)})
    }
}

#[tokio::test]
async fn nothing_another_user_gets_differs_between_opposite_votes() {
    let (one, other) = (World::new().await, World::new().await);
    one.vote(0, 2).await;
    other.vote(2, 0).await;
    // They are opposite, and whoever may see the numbers sees it.
    let leader = |world: &World, question: &Question| {
        let (path, author) = (question.under("results"), world.author.clone());
        async move { author.get(&path).await.expect(200).json["choices"][0]["votes"].clone() }
    };
    assert_eq!(
        (
            leader(&one, &one.questions[0]).await,
            leader(&other, &other.questions[0]).await
        ),
        (json!(2), json!(1))
    );

    let (mut names, mut other_names) = (Normaliser::default(), Normaliser::default());
    let (seen, other_seen) = (one.seen().await, other.seen().await);
    assert_eq!(seen.len(), other_seen.len());
    for ((request, answer), (_, other_answer)) in seen.iter().zip(&other_seen) {
        assert_eq!(
            names.answer(answer),
            other_names.answer(other_answer),
            "{request}"
        );
    }
}

#[tokio::test]
async fn hidden_votes_leave_every_answer_to_others_as_it_was() {
    let world = World::new().await;
    let before = world.seen().await;
    world.vote(0, 2).await;
    // Tags, bodies and lengths, byte for byte.
    for ((request, answer), (_, after)) in before.iter().zip(&world.seen().await) {
        assert_eq!(lasting(answer), lasting(after), "{request}");
    }
}
