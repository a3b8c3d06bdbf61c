//! The limits of all requests: the OpenAPI document states them, and the server enforces them.
//!
//! Each limit in the document is tested on both sides. A request or a limit that is missing here
//! makes a test fail.

use std::collections::BTreeSet;

use reqwest::{Method, RequestBuilder};
use serde_json::{Map, Value, json};

use crate::guests;
use crate::support::app::send;
use crate::support::schema::resolve;
use crate::support::{Answer, PASSWORD, Question, TestApp, User};

/// The keywords of a schema that are limits.
const LIMITS: [&str; 10] = [
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
];

/// A limit of one field.
#[derive(Debug)]
struct Limit {
    pointer: String,
    keyword: &'static str,
    value: Value,
}

/// The limits in a schema. The items of an array are represented by the first one.
fn limits(document: &Value, schema: &Value, pointer: &str, found: &mut Vec<Limit>) {
    let schema = resolve(document, schema);
    for part in schema["allOf"].as_array().into_iter().flatten() {
        limits(document, part, pointer, found);
    }
    for keyword in LIMITS {
        if let Some(value) = schema.get(keyword).filter(|value| **value != json!(false)) {
            found.push(Limit {
                pointer: pointer.to_owned(),
                keyword,
                value: value.clone(),
            });
        }
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        limits(document, field, &format!("{pointer}/{name}"), found);
    }
    if let Some(items) = schema.get("items") {
        limits(document, items, &format!("{pointer}/0"), found);
    }
}

/// An operation with a JSON body.
struct Operation {
    id: String,
    method: Method,
    path: String,
    limits: Vec<Limit>,
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            if schema.is_null() {
                continue;
            }
            let mut found = Vec::new();
            limits(document, schema, "", &mut found);
            operations.push(Operation {
                id: operation["operationId"].as_str().expect("an id").to_owned(),
                method: method.to_uppercase().parse().expect("a method"),
                path: path.clone(),
                limits: found,
            });
        }
    }
    operations
}

/// The limits of the contract. The OpenAPI document must have exactly these.
#[rustfmt::skip]
const CONTRACT: &[(&str, &str, &str, i64)] = &[
    ("addChoice",      "/choice_text",           "minLength", 1),
    ("addChoice",      "/choice_text",           "maxLength", 200),
    ("addChoice",      "/position",              "minimum", 0),
    ("addChoice",      "/position",              "maximum", 99),
    ("castBallot",     "/choice_ids",            "maxItems", 100),
    ("castBallot",     "/receipt",               "minLength", 32),
    ("castBallot",     "/receipt",               "maxLength", 32),
    ("castBallot",     "/scores",                "maxItems", 100),
    ("castBallot",     "/scores/0/score",        "minimum", 0),
    ("castBallot",     "/scores/0/score",        "maximum", 100),
    ("changePassword", "/current_password",      "maxLength", 128),
    ("changePassword", "/new_password",          "minLength", 8),
    ("changePassword", "/new_password",          "maxLength", 128),
    ("createGuest",    "/name",                  "minLength", 1),
    ("createGuest",    "/name",                  "maxLength", 40),
    ("createInvitations", "/count",              "minimum", 1),
    ("createInvitations", "/count",              "maximum", 1000),
    ("createInvitations", "/invitations",        "minItems", 1),
    ("createInvitations", "/invitations",        "maxItems", 1000),
    ("createInvitations", "/invitations/0/email", "maxLength", 254),
    ("createInvitations", "/invitations/0/label", "minLength", 1),
    ("createInvitations", "/invitations/0/label", "maxLength", 100),
    ("createQuestion", "/ballots_per_address",   "minimum", 1),
    ("createQuestion", "/ballots_per_address",   "maximum", 1_000_000),
    ("createQuestion", "/choices",               "minItems", 2),
    ("createQuestion", "/choices",               "maxItems", 100),
    ("createQuestion", "/choices/0/choice_text", "minLength", 1),
    ("createQuestion", "/choices/0/choice_text", "maxLength", 200),
    ("createQuestion", "/description",           "maxLength", 2000),
    ("createQuestion", "/max_choices",           "minimum", 1),
    ("createQuestion", "/max_choices",           "maximum", 100),
    ("createQuestion", "/max_score",             "minimum", 1),
    ("createQuestion", "/max_score",             "maximum", 100),
    ("createQuestion", "/min_choices",           "minimum", 0),
    ("createQuestion", "/min_choices",           "maximum", 100),
    ("createQuestion", "/question_text",         "minLength", 1),
    ("createQuestion", "/question_text",         "maxLength", 200),
    ("createQuestion", "/quorum",                "minimum", 1),
    ("createQuestion", "/quorum",                "maximum", 1_000_000_000),
    ("createQuestion", "/seats",                 "minimum", 1),
    ("createQuestion", "/seats",                 "maximum", 99),
    ("createQuestion", "/threshold/denominator", "minimum", 1),
    ("createQuestion", "/threshold/denominator", "maximum", 1000),
    ("createQuestion", "/threshold/numerator",   "minimum", 1),
    ("createQuestion", "/threshold/numerator",   "maximum", 1000),
    ("createUser",     "/email",                 "maxLength", 254),
    ("createUser",     "/name",                  "minLength", 1),
    ("createUser",     "/name",                  "maxLength", 40),
    ("createUser",     "/password",              "minLength", 8),
    ("createUser",     "/password",              "maxLength", 128),
    ("createUser",     "/phone",                 "maxLength", 32),
    ("deleteMe",       "/current_password",      "maxLength", 128),
    ("refuseInvitations", "/token",              "minLength", 1),
    ("refuseInvitations", "/token",              "maxLength", 100),
    ("requestPasswordReset", "/email",           "maxLength", 254),
    ("resetPassword",  "/new_password",          "minLength", 8),
    ("resetPassword",  "/new_password",          "maxLength", 128),
    ("resetPassword",  "/token",                 "minLength", 1),
    ("resetPassword",  "/token",                 "maxLength", 100),
    ("updateChoice",   "/choice_text",           "minLength", 1),
    ("updateChoice",   "/choice_text",           "maxLength", 200),
    ("updateChoice",   "/position",              "minimum", 0),
    ("updateChoice",   "/position",              "maximum", 99),
    ("updateMe",       "/current_password",      "maxLength", 128),
    ("updateMe",       "/email",                 "maxLength", 254),
    ("updateMe",       "/name",                  "minLength", 1),
    ("updateMe",       "/name",                  "maxLength", 40),
    ("updateMe",       "/phone",                 "maxLength", 32),
    ("updateQuestion", "/ballots_per_address",   "minimum", 1),
    ("updateQuestion", "/ballots_per_address",   "maximum", 1_000_000),
    ("updateQuestion", "/description",           "maxLength", 2000),
    ("updateQuestion", "/max_choices",           "minimum", 1),
    ("updateQuestion", "/max_choices",           "maximum", 100),
    ("updateQuestion", "/max_score",             "minimum", 1),
    ("updateQuestion", "/max_score",             "maximum", 100),
    ("updateQuestion", "/min_choices",           "minimum", 0),
    ("updateQuestion", "/min_choices",           "maximum", 100),
    ("updateQuestion", "/question_text",         "minLength", 1),
    ("updateQuestion", "/question_text",         "maxLength", 200),
    ("updateQuestion", "/quorum",                "minimum", 1),
    ("updateQuestion", "/quorum",                "maximum", 1_000_000_000),
    ("updateQuestion", "/seats",                 "minimum", 1),
    ("updateQuestion", "/seats",                 "maximum", 99),
    ("updateQuestion", "/threshold/denominator", "minimum", 1),
    ("updateQuestion", "/threshold/denominator", "maximum", 1000),
    ("updateQuestion", "/threshold/numerator",   "minimum", 1),
    ("updateQuestion", "/threshold/numerator",   "maximum", 1000),
    ("verifyEmail",    "/code",                  "minLength", 1),
    ("verifyEmail",    "/code",                  "maxLength", 40),
];

/// Operations whose bodies have no limits.
const UNLIMITED: [&str; 2] = ["reopenQuestion", "updateUser"];

#[test]
fn the_specification_says_the_contracts_limits_and_no_others() {
    let operations = operations(&polls::app::document());
    let mut said = BTreeSet::new();
    for operation in &operations {
        for limit in &operation.limits {
            let value = limit.value.as_f64().unwrap_or(1.0) as i64;
            said.insert((
                operation.id.clone(),
                limit.pointer.clone(),
                limit.keyword,
                value,
            ));
        }
    }
    let contract: BTreeSet<_> = CONTRACT
        .iter()
        .map(|(id, pointer, keyword, value)| {
            ((*id).to_owned(), (*pointer).to_owned(), *keyword, *value)
        })
        .collect();
    assert_eq!(said, contract);
    let with_body: BTreeSet<_> = operations
        .iter()
        .map(|operation| operation.id.as_str())
        .collect();
    let known: BTreeSet<_> = CONTRACT.iter().map(|row| row.0).chain(UNLIMITED).collect();
    assert_eq!(with_body, known);
}

/// A valid text for the field with so many characters. It uses characters of several bytes where
/// the field allows them, because characters are counted, not bytes.
fn text(pointer: &str, length: usize) -> String {
    match pointer {
        "/email" | "/invitations/0/email" => {
            // The local part and each label of the domain have their own limits.
            let mut domain = String::new();
            while domain.len() + 65 < length {
                let label = (length - 65 - domain.len()).min(63);
                domain.push_str(&"d".repeat(label));
                if domain.len() + 65 < length {
                    domain.push('.');
                }
            }
            format!("{}@{domain}", "l".repeat(64))
        }
        "/phone" => format!("+86{}16666666661", " ".repeat(length.saturating_sub(14))),
        "/receipt" => "a".repeat(length),
        _ => "字".repeat(length),
    }
}

/// A value of this size for the field.
fn sized(limit: &Limit, size: i64, question: &Question) -> Value {
    let count = usize::try_from(size).unwrap_or(0);
    match (limit.keyword, limit.pointer.as_str()) {
        ("minimum" | "maximum", _) => json!(size),
        ("minLength" | "maxLength", pointer) => json!(text(pointer, count)),
        (_, "/scores") => (0..count)
            .map(|index| match question.choices.get(index) {
                Some(id) => json!({"choice_id": id, "score": 1}),
                None => json!({"choice_id": polls::clock::Time::MAX.new_id(), "score": 1}),
            })
            .collect(),
        (_, "/invitations") => (0..count).map(|_| json!({})).collect(),
        (_, "/choices") => (0..count)
            .map(|number| json!({"choice_text": number.to_string()}))
            .collect(),
        (_, "/choice_ids") => {
            // More than the question has: only the number is wrong.
            let more = std::iter::repeat_with(|| polls::clock::Time::MAX.new_id().to_string());
            question
                .choices
                .iter()
                .cloned()
                .chain(more)
                .take(count)
                .map(Value::from)
                .collect()
        }
        (keyword, pointer) => panic!("no value is known for {keyword} of {pointer}"),
    }
}

/// A valid body for the operation. New questions have a hundred choices, all of which a ballot may
/// name, so that only the tested limit can refuse a value.
fn template(operation: &str, limit: &Limit) -> Value {
    let choices: Value = (0..100)
        .map(|number| json!({"choice_text": number.to_string()}))
        .collect();
    match operation {
        "createUser" => json!({"name": "n", "email": "n@example.org", "password": PASSWORD}),
        "updateMe" => json!({"current_password": PASSWORD}),
        "resetPassword" => json!({"token": "nonsense", "new_password": PASSWORD}),
        "changePassword" => json!({"current_password": PASSWORD, "new_password": PASSWORD}),
        "createQuestion" if limit.pointer == "/choices" => json!({"question_text": "?"}),
        "createQuestion" => {
            let mut body = json!({"question_text": "?", "choices": choices, "max_choices": 100, "method": method(limit)});
            if limit.pointer.starts_with("/threshold") {
                body["threshold"] = threshold();
            }
            if limit.pointer == "/ballots_per_address" {
                body["electorate"] = json!("anyone");
            }
            body
        }
        "updateQuestion" if limit.pointer.starts_with("/threshold") => {
            json!({"threshold": threshold()})
        }
        "updateQuestion" if limit.pointer == "/ballots_per_address" => {
            json!({"electorate": "anyone"})
        }
        "castBallot" if limit.pointer.starts_with("/scores/0") => {
            json!({"scores": [{"choice_id": null, "score": 0}]})
        }
        "addChoice" => json!({"choice_text": "another"}),
        "createInvitations" if limit.pointer.starts_with("/invitations/0") => {
            json!({"invitations": [{}]})
        }
        _ => json!({}),
    }
}

/// The method with which the field has a meaning.
fn method(limit: &Limit) -> &'static str {
    match limit.pointer.starts_with("/scores") || limit.pointer == "/max_score" {
        true => "score",
        false => "multiple_choice",
    }
}

fn threshold() -> Value {
    json!({"numerator": 1, "denominator": 1000, "of": "ballots"})
}

/// A request by a new user for a new question, with a value of this size.
async fn request(app: &TestApp, operation: &Operation, limit: &Limit, size: i64) -> RequestBuilder {
    let user = app.user("somebody").await;
    if limit.pointer == "/invitations/0/email" {
        guests::verify(app, &user).await;
    }
    let question = match operation.path.contains("{question_id}") {
        true => large_question(&user, &operation.id, limit).await,
        false => Question {
            id: String::new(),
            path: String::new(),
            choices: vec![String::new()],
        },
    };
    let mut body = template(&operation.id, limit);
    put(&mut body, &limit.pointer, sized(limit, size, &question));
    if let Some(score) = body.pointer_mut("/scores/0") {
        score["choice_id"] = json!(question.choices[0]);
    }
    let path = operation.path.replace("{question_id}", &question.id);
    let path = path.replace("{choice_id}", &question.choices[0]);
    user.request(operation.method.clone(), &path).json(&body)
}

async fn large_question(author: &User, operation: &str, limit: &Limit) -> Question {
    // There must be room for a hundredth choice.
    let count = if operation == "addChoice" { 99 } else { 100 };
    let texts: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let method = method(limit);
    let mut more = json!({"max_choices": count, "method": method, "min_choices": 0});
    if method == "score" {
        more["max_score"] = json!(100);
    }
    if operation == "createInvitations" {
        more["electorate"] = json!("invited");
    }
    if limit.pointer == "/receipt" {
        more["ballot_secrecy"] = json!("anonymous");
        more["allow_change"] = json!(false);
    }
    author.ask(&texts, more).await
}

/// Sets the value at a pointer whose parent exists.
fn put(body: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').expect("a field");
    let parent = body.pointer_mut(parent).expect("what the field belongs to");
    let fields: &mut Map<String, Value> = parent.as_object_mut().expect("an object");
    fields.insert(name.to_owned(), value);
}

/// The name of the limit in the answer, if it has one.
fn refusal(limit: &Limit) -> (String, &'static str) {
    match (limit.keyword, limit.pointer.as_str()) {
        // For a phone number one rule checks everything, including the length.
        ("maxLength", "/phone") => (limit.pointer.clone(), "phone"),
        ("minimum" | "maximum", _) => (limit.pointer.clone(), "range"),
        _ => (limit.pointer.clone(), "length"),
    }
}

fn is_refused(answer: &Answer, limit: &Limit) -> bool {
    let (pointer, code) = refusal(limit);
    let errors = answer.json["errors"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    errors
        .iter()
        .any(|error| error["pointer"] == pointer && error["code"] == code)
}

/// The field of a secret that no value of the right size can guess.
fn secret_of(operation: &Operation, limit: &Limit) -> Option<&'static str> {
    match (operation.id.as_str(), limit.pointer.as_str()) {
        (_, "/current_password") => Some("/current_password"),
        ("resetPassword" | "refuseInvitations", _) => Some("/token"),
        ("verifyEmail", _) => Some("/code"),
        _ => None,
    }
}

async fn check(operation: &Operation, limit: &Limit) {
    let app = TestApp::without_mail_server().await;
    let context = format!("{} {limit:?}", operation.id);
    let at = limit.value.as_f64().unwrap_or(1.0) as i64;
    let beyond = match limit.keyword {
        keyword if keyword.starts_with("min") => at - 1,
        _ => at + 1,
    };
    let fits = send(request(&app, operation, limit, at).await).await;
    if let Some(secret) = secret_of(operation, limit) {
        fits.fields(&[(secret, "wrong")]);
    } else {
        assert!(fits.status.is_success(), "{context}: {}", fits.json);
    }
    let refused = send(request(&app, operation, limit, beyond).await).await;
    let refused = refused.problem("invalid_fields").expect(422);
    assert!(is_refused(&refused, limit), "{context}: {}", refused.json);
}

#[tokio::test]
async fn every_limit_of_a_body_holds_on_both_sides() {
    for operation in operations(&polls::app::document()) {
        for limit in &operation.limits {
            check(&operation, limit).await;
        }
    }
}

#[tokio::test]
async fn a_body_is_an_object_and_no_list_of_its_fields() {
    let app = TestApp::start().await;
    let admin = app.admin("root").await;
    let question = admin.ask(&["a", "b"], json!({})).await;
    for operation in operations(&polls::app::document()) {
        let path = operation.path.replace("{question_id}", &question.id);
        let path = path
            .replace("{choice_id}", &question.choices[0])
            .replace("{user_id}", &admin.id);
        let mut wrong = vec![json!([]), json!(["a", "b", "c", "d"]), json!("a"), json!(1)];
        // Where a body may be left out, null says the same.
        let optional = ["reopenQuestion", "createGuest"].contains(&operation.id.as_str());
        wrong.extend((!optional).then_some(json!(null)));
        for body in wrong {
            let request = admin.request(operation.method.clone(), &path);
            let refused = send(request.json(&body)).await;
            refused.fields(&[("", "type")]);
        }
    }
}

#[tokio::test]
async fn objects_and_words_within_a_body_are_what_they_are() {
    let (app, user) = TestApp::with_user("lucy").await;
    let asking = |more: Value| {
        let mut body = json!({"question_text": "?", "choices": [
            {"choice_text": "a"}, {"choice_text": "b"},
        ]});
        put_all(&mut body, &more);
        user.post("/questions", body)
    };
    let listed = asking(json!({"choices": [["a"], ["b"]]})).await;
    listed.fields(&[("/choices/0", "type"), ("/choices/1", "type")]);
    let wrapped = asking(json!({"results_visibility": {"author": null}})).await;
    wrapped.fields(&[("/results_visibility", "type")]);
    let unknown = asking(json!({"results_visibility": "nobody"})).await;
    unknown.fields(&[("/results_visibility", "choice")]);

    let question = user.ask(&["a", "b"], json!({})).await;
    let patch = json!({"results_visibility": {"author": null}});
    let patched = user.patch(&question.path, patch).await;
    patched.fields(&[("/results_visibility", "type")]);
    let admin = app.admin("root").await;
    let role = json!({"role": {"admin": null}});
    let promoted = admin.patch(&format!("/users/{}", user.id), role).await;
    promoted.fields(&[("/role", "type")]);
}

#[tokio::test]
async fn everything_that_a_body_lacks_or_has_wrong_is_named() {
    let (app, user) = TestApp::with_user("lucy").await;
    let required = |pointers: &[&'static str]| -> Vec<(&str, &str)> {
        pointers
            .iter()
            .map(|pointer| (*pointer, "required"))
            .collect()
    };
    let register = |body: Value| app.post("/users", body);
    register(json!({}))
        .await
        .fields(&required(&["/name", "/email", "/password"]));
    register(json!({"password": 1, "phone": [], "email": "nowhere", "name": "", "age": 7}))
        .await
        .fields(&[
            ("/name", "length"),
            ("/email", "email"),
            ("/phone", "type"),
            ("/password", "type"),
            ("/age", "unknown_field"),
        ]);
    let mut expected = required(&["/name", "/email", "/password"]);
    expected.push(("/phone", "phone"));
    register(json!({"phone": "nobody's"}))
        .await
        .fields(&expected);
    user.post("/questions", json!({}))
        .await
        .fields(&required(&["/question_text", "/choices"]));
    user.post(
        "/questions",
        json!({
            "closes_at": "tomorrow", "max_choices": "two", "min_choices": -1, "allow_change": "yes",
            "choices": [{}, {"choice_text": 1}, "c", {"choice_text": ""}, {"choice_text": "e"}],
        }),
    )
    .await
    .fields(&[
        ("/question_text", "required"),
        ("/choices/0/choice_text", "required"),
        ("/choices/1/choice_text", "type"),
        ("/choices/2", "type"),
        ("/choices/3/choice_text", "length"),
        ("/min_choices", "range"),
        ("/max_choices", "type"),
        ("/allow_change", "type"),
        ("/closes_at", "type"),
    ]);
    let question = user.ask(&["a", "b"], json!({})).await;
    let ballot = json!({"choice_ids": [1, question.choices[0], "x"], "note": ""});
    let cast = user.request(Method::PUT, &question.under("ballot"));
    send(cast.json(&ballot)).await.fields(&[
        ("/choice_ids/0", "type"),
        ("/choice_ids/2", "type"),
        ("/note", "unknown_field"),
    ]);
    // Nothing of it was done.
    user.get(&question.under("ballot")).await.expect(404);
}

#[tokio::test]
async fn every_required_field_is_named_where_the_body_is_empty() {
    let app = TestApp::start().await;
    let admin = app.admin("root").await;
    let question = admin.ask(&["a", "b"], json!({})).await;
    let document = polls::app::document();
    let mut named = 0;
    for operation in operations(&document) {
        let path = operation.path.replace("{question_id}", &question.id);
        let template =
            &document["paths"][&operation.path][operation.method.as_str().to_lowercase()];
        let schema = &template["requestBody"]["content"]["application/json"]["schema"];
        let required = resolve(&document, schema)["required"].as_array().cloned();
        let required = required.unwrap_or_default();
        if required.is_empty() {
            continue;
        }
        let refused = send(
            admin
                .request(operation.method.clone(), &path)
                .json(&json!({})),
        )
        .await;
        let errors = refused.problem("invalid_fields").json["errors"].clone();
        let pointers: Vec<Value> = required
            .iter()
            .map(|name| json!(format!("/{}", name.as_str().expect("a name"))))
            .collect();
        let found = errors.as_array().into_iter().flatten();
        let found: Vec<Value> = found.map(|error| error["pointer"].clone()).collect();
        assert_eq!(found, pointers, "{}", operation.id);
        named += 1;
    }
    assert!(named >= 4, "{named}");
}

#[tokio::test]
async fn a_body_that_may_be_left_out_may_be_empty_or_null() {
    let (_app, user) = TestApp::with_user("lucy").await;
    let question = user.ask(&["a", "b"], json!({})).await;
    for body in ["", "null", " null\n"] {
        user.post(&question.under("close"), json!(null))
            .await
            .expect(200);
        let reopening = user
            .request(Method::POST, &question.under("reopen"))
            .header("content-type", "application/json")
            .body(body);
        let reopened = send(reopening).await.expect(200);
        assert_eq!(reopened.text("status"), "open", "{body:?}");
    }
}

fn put_all(body: &mut Value, more: &Value) {
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
}

#[tokio::test]
async fn every_limit_of_a_query_holds_on_both_sides() {
    let app = TestApp::start().await;
    let admin = app.admin("root").await;
    let public = json!({"ballot_secrecy": "public"});
    let question = admin.ask(&["a", "b"], public).await;
    let document = polls::app::document();
    let mut tried = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let target = path.replace("{question_id}", &question.id);
        for (_, operation) in methods.as_object().expect("methods") {
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let parameter = resolve(&document, parameter);
                let name = parameter["name"].as_str().expect("a name");
                let mut found = Vec::new();
                limits(&document, &parameter["schema"], name, &mut found);
                for limit in found {
                    let at = limit.value.as_f64().expect("a number") as i64;
                    let beyond = if limit.keyword.starts_with("min") {
                        at - 1
                    } else {
                        at + 1
                    };
                    let value = |size: i64| match limit.keyword {
                        "minimum" | "maximum" => size.to_string(),
                        _ => "x".repeat(usize::try_from(size).unwrap_or(0)),
                    };
                    admin
                        .get(&format!("{target}?{name}={}", value(at)))
                        .await
                        .expect(200);
                    let refused = admin
                        .get(&format!("{target}?{name}={}", value(beyond)))
                        .await;
                    let detail = refused.problem("malformed_request").text("detail");
                    assert!(detail.contains(name), "{detail}");
                    tried.insert(format!("{path} {name} {} {at}", limit.keyword));
                }
            }
        }
    }
    let expected = [
        "/auth/sessions limit maximum 100",
        "/auth/sessions limit minimum 1",
        "/mail limit maximum 100",
        "/mail limit minimum 1",
        "/questions limit maximum 100",
        "/questions limit minimum 1",
        "/questions q maxLength 100",
        "/questions q minLength 1",
        "/questions/{question_id}/ballots limit maximum 100",
        "/questions/{question_id}/ballots limit minimum 1",
        "/questions/{question_id}/invitations limit maximum 100",
        "/questions/{question_id}/invitations limit minimum 1",
        "/questions/{question_id}/voters limit maximum 100",
        "/questions/{question_id}/voters limit minimum 1",
        "/users limit maximum 100",
        "/users limit minimum 1",
        "/users/me/ballots limit maximum 100",
        "/users/me/ballots limit minimum 1",
    ];
    assert_eq!(
        tried.iter().map(String::as_str).collect::<Vec<_>>(),
        expected
    );
}

#[tokio::test]
async fn a_parameter_that_is_not_acceptable_is_told_what_is() {
    let (app, user) = TestApp::with_user("lucy").await;
    let question = user.ask(&["a", "b"], json!({})).await;
    let uuid = "must be a UUID such as 01963b1c-7a20-7d4e-9c1f-5a6b7c8d9e0f.";
    let limit = "The query parameter `limit` must be an integer from 1 to 100.";
    let list = |parameter: &str| format!("/questions?{parameter}");
    for (path, detail) in [
        (list("limit=0"), limit.to_owned()),
        (list("limit=101"), limit.to_owned()),
        (list("limit=ten"), limit.to_owned()),
        (list("limit="), limit.to_owned()),
        (list("limit=-1"), limit.to_owned()),
        (list("limit=99999999999"), limit.to_owned()),
        (
            list("status=done"),
            "The query parameter `status` must be `scheduled`, `open` or `closed`.".to_owned(),
        ),
        (
            list("sort=name"),
            "The query parameter `sort` must be `-created_at`, `created_at` or `closes_at`."
                .to_owned(),
        ),
        (
            list("deleted=yes"),
            "The query parameter `deleted` must be `true` or `false`.".to_owned(),
        ),
        (
            list("q="),
            "The query parameter `q` must have 1 to 100 characters.".to_owned(),
        ),
        (
            list("author=lucy"),
            "The query parameter `author` must match \
             `^(me|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})$`."
                .to_owned(),
        ),
        (
            "/questions/7".to_owned(),
            format!("The path parameter `question_id` {uuid}"),
        ),
        (
            question.under("choices/7"),
            format!("The path parameter `choice_id` {uuid}"),
        ),
        (
            "/users/lucy".to_owned(),
            format!("The path parameter `user_id` {uuid}"),
        ),
    ] {
        let refused = app
            .get(&path)
            .await
            .problem("malformed_request")
            .expect(400);
        assert_eq!(refused.text("detail"), detail, "{path}");
    }
    let capitals = format!("/questions/{}", question.id.to_uppercase());
    let shown = app.get(&capitals).await.expect(200);
    assert_eq!(shown.text("id"), question.id);
}

#[test]
fn every_parameter_of_the_document_is_told_in_words() {
    let operations = polls::app::describe().operations;
    let all: Vec<_> = operations.iter().flat_map(|it| &it.parameters).collect();
    assert!(all.len() > 20, "{}", all.len());
    for parameter in all {
        let free = [
            "Accept-Language",
            "cursor",
            "If-Match",
            "If-None-Match",
            "Last-Event-ID",
        ];
        let is_free = free.contains(&parameter.name.as_str());
        assert_eq!(
            parameter.allowed == "must be a string",
            is_free,
            "{parameter:?}"
        );
    }
}
