//! The same requests to every engine, and the same answers, byte for byte.
//!
//! Each run writes its answers down, with ids, times and tokens replaced by the order in which
//! they appeared; `engines` compares those of the servers with SQLite's.

use std::collections::HashMap;
use std::fmt::Write as _;

use regex::Regex;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::app::send;
use crate::support::{Answer, PASSWORD, Question, TestApp, User};

/// The file that the answers are written to.
pub const TRANSCRIPT: &str = "POLLS_TEST_TRANSCRIPT";

/// What was asked and answered.
struct Transcript {
    text: String,
    requests: usize,
    /// Ids, times and tokens, and what stands for them.
    names: HashMap<String, String>,
    changing: Regex,
}

impl Transcript {
    fn new() -> Transcript {
        let id = "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}";
        // What the test itself sends lies in other years.
        let time = r"2[0-9]{3}-[01][0-9]-[0-3][0-9]T[0-9:.]+Z";
        let changing = format!(
            r#"(?P<id>{id})|(?P<time>{time})|(?P<tag>(?:\.1[0-9]{{15}}\.[0-9]*(?:\.[A-Za-z0-9_-]{{16}})?|\.[A-Za-z0-9_-]{{16}})\\?")|(?P<cursor>"next_cursor":"[^"]+"|cursor=[^ &]+)|(?P<port>127\.0\.0\.1:[0-9]+)"#
        );
        Transcript {
            text: String::new(),
            requests: 0,
            names: HashMap::new(),
            changing: Regex::new(&changing).expect("a pattern"),
        }
    }

    /// Sends a request, and writes the answer down.
    async fn ask(&mut self, request: RequestBuilder) -> Answer {
        let title = {
            let request = request.try_clone().and_then(|request| request.build().ok());
            let request = request.expect("a request");
            format!("{} {}", request.method(), request.url())
        };
        let answer = send(request).await;
        self.requests += 1;
        let mut body = answer.json.clone();
        if let Some(body) = body.as_object_mut() {
            for secret in ["request_id", "access_token", "refresh_token"] {
                body.remove(secret);
            }
            // A set, whose order is that of the ids, which are random within a millisecond.
            if let Some(Value::Array(chosen)) = body.get_mut("choice_ids") {
                chosen.sort_by_key(|id| self.stable(id.as_str().unwrap_or_default()));
            }
        }
        let headers: Vec<_> = answer
            .lasting_headers()
            .into_iter()
            .filter(|(name, _)| name != "content-length")
            .collect();
        let entry = format!("{title}\n{} {headers:?}\n{body}\n\n", answer.status);
        assert!(answer.status.as_u16() < 500, "{entry}");
        let entry = self.stable(&entry);
        let _ = write!(self.text, "{entry}");
        answer
    }

    fn stable(&mut self, text: &str) -> String {
        let names = &mut self.names;
        let replaced = self
            .changing
            .replace_all(text, |found: &regex::Captures<'_>| {
                let whole = &found[0];
                if found.name("time").is_some() && !is_now(whole) {
                    return whole.to_owned();
                }
                let kind = ["id", "time", "tag", "cursor", "port"]
                    .into_iter()
                    .find(|kind| found.name(kind).is_some())
                    .unwrap_or_default();
                // Times may coincide or not; what the others are the same as matters.
                if kind != "id" {
                    return format!("<{kind}>");
                }
                let next = names.len();
                let name = names.entry(whole.to_owned());
                name.or_insert_with(|| format!("<id {next}>")).clone()
            });
        replaced.into_owned()
    }
}

/// Whether a time is the clock's, and not one that the test has sent.
fn is_now(time: &str) -> bool {
    let year: i32 = time[..4].parse().unwrap_or(0);
    let now = this_year();
    (now..=now + 1).contains(&year)
}

fn this_year() -> i32 {
    let now = polls::clock::Clock::default().now().to_string();
    now[..4].parse().expect("a year")
}

/// Texts on which engines like to differ.
const TEXTS: [&str; 24] = [
    "a", "A", "á", "ä", "ß", "ss", "é", "e\u{301}", "😀", "😂", "𝄞", "ﬁ", "a ", "a  b", "a b", "%",
    "_", "'", "\"", "\\", "\u{7f}", "?", "$1", "İ",
];

async fn accounts(transcript: &mut Transcript, app: &TestApp) {
    let emails = [
        "ada@example.org",
        "ADA@example.org",
        " ada@example.org ",
        "adá@example.org",
        "ada\u{301}@example.org",
        "adä@example.org",
        "ada%@example.org",
        "a_a@example.org",
        "😀@example.org",
        "😂@example.org",
        "straße@example.org",
        "STRASSE@example.org",
        "",
        "ada",
        "ada\0@example.org",
        "ada@example.org\u{a0}",
        "İ@example.org",
        "i@example.org",
    ];
    for (index, email) in emails.iter().enumerate() {
        let account = json!({"name": TEXTS[index], "email": email, "password": PASSWORD});
        transcript
            .ask(app.request(Method::POST, "/users").json(&account))
            .await;
    }
    for name in [
        &"x".repeat(40),
        &"😀".repeat(40),
        &"x".repeat(41),
        "",
        "a\0b",
        "a\nb",
    ] {
        let email = format!("{}@example.org", transcript.requests);
        let account = json!({"name": name, "email": email, "password": PASSWORD});
        transcript
            .ask(app.request(Method::POST, "/users").json(&account))
            .await;
    }
    for phone in [
        "+8616666666661",
        "16666666661",
        "166 6666 6661",
        "+49 30 901820",
        "1",
        "",
    ] {
        let email = format!("{}@example.org", transcript.requests);
        let account = json!({"name": "P", "email": email, "phone": phone, "password": PASSWORD});
        transcript
            .ask(app.request(Method::POST, "/users").json(&account))
            .await;
    }
    for login in emails
        .iter()
        .chain(&["16666666661", "+49 30 901820", "é@example.org"])
    {
        let form = [
            ("grant_type", "password"),
            ("username", *login),
            ("password", PASSWORD),
        ];
        transcript
            .ask(app.request(Method::POST, "/auth/token").form(&form))
            .await;
    }
}

async fn texts(transcript: &mut Transcript, author: &User) {
    let choices: Vec<Value> = TEXTS
        .iter()
        .map(|text| json!({"choice_text": text}))
        .collect();
    let all = json!({"question_text": "All?", "choices": choices});
    transcript
        .ask(author.request(Method::POST, "/questions").json(&all))
        .await;
    let question = author.ask(&["first", "second"], json!({})).await;
    let path = question.under("choices");
    for text in TEXTS
        .iter()
        .chain(&["FIRST", "first ", "first", "\0", "", "  ", "sécond"])
    {
        let choice = json!({"choice_text": text});
        transcript
            .ask(author.request(Method::POST, &path).json(&choice))
            .await;
    }
    transcript.ask(author.request(Method::GET, &path)).await;
    for text in TEXTS {
        let more = json!({"question_text": format!("{text} which"), "description": text});
        let choices = json!([{"choice_text": "y"}, {"choice_text": "n"}]);
        let mut body = more;
        body["choices"] = choices;
        transcript
            .ask(author.request(Method::POST, "/questions").json(&body))
            .await;
    }
    for length in [199, 200, 201, 1999, 2000, 2001] {
        for letter in ["x", "é", "😀"] {
            let body = json!({
                "question_text": letter.repeat(length.min(201)), "description": letter.repeat(length),
                "choices": [{"choice_text": letter.repeat(length.min(201))}, {"choice_text": "n"}],
            });
            transcript
                .ask(author.request(Method::POST, "/questions").json(&body))
                .await;
        }
    }
}

async fn numbers_and_times(transcript: &mut Transcript, author: &User) {
    let numbers = [
        json!(0),
        json!(1),
        json!(2),
        json!(3),
        json!(-1),
        json!(2_147_483_647_i64),
        json!(2_147_483_648_i64),
        json!(9_223_372_036_854_775_807_i64),
        json!(9_223_372_036_854_775_808_u64),
        json!(1.5),
        json!("1"),
        json!(true),
        json!(null),
    ];
    let asked = |more: Value| {
        let mut body = json!({
            "question_text": "How many?", "choices": [{"choice_text": "a"}, {"choice_text": "b"}],
        });
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().cloned().unwrap_or_default());
        author.request(Method::POST, "/questions").json(&body)
    };
    for number in &numbers {
        transcript.ask(asked(json!({"max_choices": number}))).await;
        transcript
            .ask(asked(json!({"min_choices": number, "max_choices": 2})))
            .await;
    }
    for time in [
        "2039-01-19T03:14:08Z",
        "2038-01-19T03:14:07.999999Z",
        "2106-02-07T06:28:16Z",
        "9999-12-30T22:00:00Z",
        "9999-12-30T21:59:59.999999Z",
        "9999-12-31T23:59:59Z",
        "2500-06-01T12:00:00.1Z",
        "2500-06-01T12:00:00.123456Z",
        "2500-06-01T12:00:00.1234567Z",
        "2500-06-01T12:00:00+14:00",
        "2262-04-11T23:47:16.854776Z",
        "1969-12-31T23:59:59Z",
        "0001-01-01T00:00:00Z",
        "2500-02-30T00:00:00Z",
        "",
        "now",
    ] {
        transcript.ask(asked(json!({"closes_at": time}))).await;
        transcript
            .ask(asked(
                json!({"opens_at": time, "closes_at": "9999-12-30T00:00:00Z"}),
            ))
            .await;
    }
}

async fn lists(transcript: &mut Transcript, app: &TestApp) {
    for sort in ["-created_at", "created_at", "closes_at"] {
        for limit in [1, 7, 100] {
            let mut path = format!("/questions?sort={sort}&limit={limit}");
            for _ in 0..12 {
                let page = transcript.ask(app.request(Method::GET, &path)).await;
                let Some(cursor) = page.json["meta"]["next_cursor"].as_str() else {
                    break;
                };
                path = format!("/questions?sort={sort}&limit={limit}&cursor={cursor}");
            }
        }
    }
    for text in TEXTS
        .iter()
        .chain(&["which", "WHICH all", "a which", "不", "%25"])
    {
        let words: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let path = format!("/questions?q={words}");
        transcript.ask(app.request(Method::GET, &path)).await;
    }
    for filter in [
        "status=open",
        "status=scheduled",
        "status=closed",
        "status=x",
        "limit=0",
        "status=open&q=which",
        "status=open&q=which&sort=closes_at",
        "status=closed&q=which&sort=created_at",
        "status=scheduled&q=which",
        "status=scheduled&sort=closes_at",
        "q=which&sort=closes_at&limit=2",
    ] {
        transcript
            .ask(app.request(Method::GET, &format!("/questions?{filter}")))
            .await;
    }
}

async fn ballots(transcript: &mut Transcript, app: &TestApp, voters: &[User]) {
    for (visibility, allow_change) in [
        ("always", true),
        ("after_vote", false),
        ("after_close", true),
    ] {
        let more = json!({
            "max_choices": 2, "allow_change": allow_change, "results_visibility": visibility,
        });
        let question = voters[0].ask(&["a", "b", "c"], more).await;
        let ballot = question.under("ballot");
        for (voter, chosen) in [
            (0, &[0][..]),
            (1, &[0, 1]),
            (1, &[1, 0]),
            (1, &[2]),
            (2, &[2, 1]),
            (2, &[0, 1, 2]),
            (2, &[]),
            (2, &[1, 1]),
        ] {
            let voter = &voters[voter];
            transcript.ask(voter.ballot(&question, chosen)).await;
            transcript.ask(voter.request(Method::GET, &ballot)).await;
        }
        transcript
            .ask(voters[2].request(Method::DELETE, &ballot))
            .await;
        transcript
            .ask(voters[2].request(Method::DELETE, &ballot))
            .await;
        looks(transcript, app, voters, &question).await;
        let edit = json!({"question_text": "Another?", "max_choices": 1});
        transcript
            .ask(voters[0].request(Method::PATCH, &question.path).json(&edit))
            .await;
        let edit = json!({"description": "Ω 😀", "closes_at": "2039-01-19T03:14:08.000001Z"});
        transcript
            .ask(voters[0].request(Method::PATCH, &question.path).json(&edit))
            .await;
        transcript
            .ask(voters[1].request(Method::PATCH, &question.path).json(&edit))
            .await;
        for step in ["close", "close", "reopen"] {
            transcript
                .ask(voters[0].request(Method::POST, &question.under(step)))
                .await;
            transcript.ask(voters[2].ballot(&question, &[0])).await;
            looks(transcript, app, voters, &question).await;
        }
        transcript
            .ask(voters[0].request(Method::DELETE, &question.path))
            .await;
        looks(transcript, app, voters, &question).await;
        transcript
            .ask(voters[0].request(Method::POST, &question.under("restore")))
            .await;
        looks(transcript, app, voters, &question).await;
    }
}

async fn looks(transcript: &mut Transcript, app: &TestApp, voters: &[User], question: &Question) {
    for path in [question.path.clone(), question.under("results")] {
        transcript.ask(app.request(Method::GET, &path)).await;
        for voter in voters {
            transcript.ask(voter.request(Method::GET, &path)).await;
        }
    }
}

/// A few hundred requests.
pub async fn transcript() -> String {
    let app = TestApp::start().await;
    let mut transcript = Transcript::new();
    let mut voters = Vec::new();
    for name in ["Lucy", "Nancy", "Grace"] {
        voters.push(app.user(name).await);
    }
    accounts(&mut transcript, &app).await;
    texts(&mut transcript, &voters[0]).await;
    numbers_and_times(&mut transcript, &voters[1]).await;
    ballots(&mut transcript, &app, &voters).await;
    lists(&mut transcript, &app).await;
    assert!(transcript.requests > 400, "{}", transcript.requests);
    println!("{} requests", transcript.requests);
    transcript.text
}

/// Writes down the answers of the engine that this run is on, for the run that compares.
#[tokio::test]
async fn the_answers_are_written_down() {
    let text = transcript().await;
    if let Ok(path) = std::env::var(TRANSCRIPT) {
        std::fs::write(path, text).expect("it is written");
    }
}
