//! One operation of the document: who may call it, with what, and everything it may answer.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::about;
use super::responses::{self, Shared};
use super::schemas::{mend, unwrap_lines};
use super::{EVENTS, FIRST_MESSAGE, SECURITY_SCHEME, VOTER_SCHEME};
use crate::failure::Code;

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Anyone,
    /// Anyone; whoever sends a token must send a good one.
    MaybeSignedIn,
    /// Accounts and guests.
    Voter,
    /// Accounts only.
    SignedIn,
}

impl Access {
    fn of(raw: &Map<String, Value>) -> Access {
        match raw.get("security").and_then(Value::as_array) {
            None => Access::Anyone,
            Some(schemes) if schemes.is_empty() => Access::Anyone,
            Some(schemes) if schemes.contains(&json!({})) => Access::MaybeSignedIn,
            Some(schemes) if schemes.contains(&json!({VOTER_SCHEME: []})) => Access::Voter,
            Some(_) => Access::SignedIn,
        }
    }
}

/// Finishes an operation. Answers that other operations give as well go to `shared`.
pub(super) fn finish(
    method: &str,
    mut raw: Map<String, Value>,
    schemas: &Map<String, Value>,
    shared: &mut Shared,
) -> Value {
    let access = Access::of(&raw);
    let mut operation = Map::new();
    for key in ["operationId", "tags", "summary"] {
        operation.extend(raw.remove_entry(key));
    }
    if let Some(Value::String(text)) = raw.remove("description") {
        operation.insert("description".to_owned(), unwrap_lines(&text).into());
    }
    operation.insert("security".to_owned(), security(raw.remove("security")));

    let mut answers = match raw.remove("responses") {
        Some(Value::Object(answers)) => answers,
        _ => Map::new(),
    };
    operation.extend(take_messages(&mut answers));
    let mut parameters: Vec<Value> = match raw.remove("parameters") {
        Some(Value::Array(parameters)) => parameters
            .into_iter()
            .flat_map(split)
            .map(|raw| parameter(raw, schemas))
            .collect(),
        _ => Vec::new(),
    };
    if answers.contains_key("304") {
        parameters.push(json!({"$ref": "#/components/parameters/IfNoneMatch"}));
    }
    if !parameters.is_empty() {
        operation.insert("parameters".to_owned(), parameters.into());
    }
    let body = raw.remove("requestBody");
    let codes = codes(method, access, body.as_ref(), &answers);
    if let Some(mut body) = body {
        for media in body["content"]
            .as_object_mut()
            .into_iter()
            .flat_map(Map::values_mut)
        {
            mend(&mut media["schema"]);
        }
        operation.insert("requestBody".to_owned(), body);
    }
    let id = operation["operationId"].as_str().unwrap_or_default();
    let answers = finish_answers(id, &answers, &codes, schemas, shared);
    operation.insert("responses".to_owned(), answers);
    operation.extend(raw);
    Value::Object(operation)
}

/// No list at all would mean "whatever holds for the document". Where a token is optional, it comes
/// first: many programs use the first alternative.
fn security(schemes: Option<Value>) -> Value {
    let mut schemes = match schemes {
        Some(Value::Array(schemes)) => schemes,
        _ => Vec::new(),
    };
    for scheme in &mut schemes {
        if *scheme == json!({VOTER_SCHEME: []}) {
            *scheme = json!({SECURITY_SCHEME: []});
        }
    }
    schemes.sort_by_key(|scheme| *scheme == json!({}));
    Value::Array(schemes)
}

/// The types of what is sent apart from bodies, which the API declares as media types. OpenAPI 3.0
/// has no place for them, so they become extensions of the operation.
fn take_messages(answers: &mut Map<String, Value>) -> Map<String, Value> {
    let mut messages = Map::new();
    for answer in answers.values_mut() {
        let Some(Value::Object(content)) = answer.get_mut("content") else {
            continue;
        };
        for name in [FIRST_MESSAGE, EVENTS] {
            if let Some(mut media) = content.shift_remove(name) {
                messages.insert(name.to_owned(), media["schema"].take());
            }
        }
        if content.is_empty()
            && let Some(answer) = answer.as_object_mut()
        {
            answer.shift_remove("content");
        }
    }
    messages
}

/// The parameters that one extractor takes: [`extract`](crate::http::extract) describes them as the
/// properties of an object.
fn split(mut raw: Value) -> Vec<Value> {
    let properties = raw.pointer_mut("/schema/properties").map(Value::take);
    let Some(Value::Object(properties)) = properties else {
        return vec![raw];
    };
    let parameter = |(name, mut schema): (String, Value)| {
        let description = schema.as_object_mut()?.shift_remove("description");
        let place = &raw["in"];
        Some(json!({
            "name": name,
            "in": place,
            "description": description,
            "required": false,
            "schema": schema,
        }))
    };
    properties.into_iter().filter_map(parameter).collect()
}

fn parameter(raw: Value, schemas: &Map<String, Value>) -> Value {
    let Value::Object(mut raw) = raw else {
        return raw;
    };
    let mut parameter = Map::new();
    for key in ["name", "in", "description", "required", "schema"] {
        parameter.extend(raw.remove_entry(key));
    }
    if parameter.get("in") == Some(&json!("header"))
        && let Some(Value::String(name)) = parameter.get_mut("name")
    {
        *name = responses::canonical(name);
    }
    if let Some(Value::String(text)) = parameter.get_mut("description") {
        *text = unwrap_lines(text);
    }
    if let Some(schema) = parameter.get_mut("schema") {
        mend(schema);
        inline_default(schema, schemas);
        let example = example(schema, schemas);
        parameter.extend(example.map(|example| ("example".to_owned(), example)));
    }
    // The rest only repeats what holds anyway.
    if raw.get("deprecated") == Some(&json!(true)) {
        parameter.extend(raw.remove_entry("deprecated"));
    }
    Value::Object(parameter)
}

/// Writes a named schema that has a default here where it is used: many generators lose a default
/// beside a reference.
fn inline_default(schema: &mut Value, schemas: &Map<String, Value>) {
    if schema.get("default").is_none() {
        return;
    }
    let named = resolved(schema, schemas).as_object().cloned();
    let own = schema.as_object_mut();
    if let Some((own, named)) = own.zip(named)
        && own.shift_remove("allOf").is_some()
    {
        let more = named.into_iter().filter(|(key, _)| key != "description");
        own.extend(more);
    }
}

/// What a parameter may look like.
fn example(schema: &mut Value, schemas: &Map<String, Value>) -> Option<Value> {
    let declared = schema.as_object_mut()?.shift_remove("example");
    let schema = resolved(schema, schemas);
    let of_values = || schema["enum"].get(0);
    let derived = || schema.get("default").or_else(of_values).cloned();
    let of_format = || (schema["format"] == "uuid").then(|| json!(about::UUID));
    declared.or_else(derived).or_else(of_format)
}

/// The named schema that a schema refers to, else the schema itself.
fn resolved<'a>(schema: &'a Value, schemas: &'a Map<String, Value>) -> &'a Value {
    let reference = schema
        .get("$ref")
        .or_else(|| schema.pointer("/allOf/0/$ref"));
    let name = reference.and_then(|target| target.as_str()?.rsplit('/').next());
    name.and_then(|name| schemas.get(name)).unwrap_or(schema)
}

/// All codes that the operation may answer with, by status.
fn codes(
    method: &str,
    access: Access,
    body: Option<&Value>,
    answers: &Map<String, Value>,
) -> Vec<Code> {
    let mut codes = responses::listed_codes(answers);
    codes.extend([Code::RateLimited, Code::Internal, Code::Overloaded]);
    if !answers_400_itself(answers) {
        // Unknown query parameters are refused everywhere.
        codes.push(Code::MalformedRequest);
    }
    if access != Access::Anyone {
        codes.push(Code::Unauthenticated);
    }
    if access == Access::SignedIn {
        // Guests.
        codes.push(Code::Forbidden);
    }
    if answers
        .iter()
        .any(|(status, answer)| status.starts_with('2') && has_content(answer))
    {
        codes.push(Code::NotAcceptable);
    }
    if let Some(body) = body {
        codes.extend([
            Code::RequestTimeout,
            Code::PayloadTooLarge,
            Code::UnsupportedMediaType,
        ]);
        // OAuth has its own way to say what is wrong with a form.
        if body["content"].get("application/json").is_some() {
            codes.push(Code::InvalidFields);
        }
    }
    if method != "get" {
        codes.push(Code::OutcomeUnknown);
    }
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// Whether the operation has a 400 of its own, whatever is malformed.
pub(super) fn answers_400_itself(answers: &Map<String, Value>) -> bool {
    let own = answers.get("400");
    own.is_some_and(|own| own.get("$ref").is_none() && !responses::is_problem(own))
}

fn has_content(answer: &Value) -> bool {
    answer["content"]
        .as_object()
        .is_some_and(|content| !content.is_empty())
}

fn finish_answers(
    operation: &str,
    raw: &Map<String, Value>,
    codes: &[Code],
    schemas: &Map<String, Value>,
    shared: &mut Shared,
) -> Value {
    let mut answers: BTreeMap<u16, Value> = raw
        .iter()
        .filter(|(_, answer)| !responses::is_problem(answer))
        .filter_map(|(status, answer)| Some((status.parse().ok()?, answer)))
        .map(|(status, answer)| (status, responses::plain(status, answer, schemas)))
        .collect();
    for codes in codes.chunk_by(|one, other| one.status() == other.status()) {
        let answer = || responses::problem(operation, codes, shared);
        answers.entry(codes[0].status()).or_insert_with(answer);
    }
    answers
        .into_iter()
        .map(|(status, answer)| (status.to_string(), answer))
        .collect()
}
