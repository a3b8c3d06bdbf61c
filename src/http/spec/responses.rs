//! What a call may answer, status by status.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::about;
use crate::failure::Code;
use crate::http::refused::POLICY;

/// The media type of problems.
const PROBLEM: &str = "application/problem+json";

/// What calls share, by component name.
#[derive(Default)]
pub(super) struct Shared {
    pub responses: BTreeMap<String, Value>,
    /// The type of each kind of problem.
    pub schemas: BTreeMap<String, Value>,
}

/// The policy that the operation declares, which `http::refused::responses` has put here.
pub(super) fn policy(responses: &Map<String, Value>) -> Value {
    let mut problems = responses.values().filter(|response| is_problem(response));
    let policy = problems.find_map(|response| response["headers"][POLICY]["description"].as_str());
    let policy = policy.and_then(|policy| serde_json::from_str(policy).ok());
    policy.unwrap_or_default()
}

/// The codes that the operation declares, which `http::refused::responses` has put here.
pub(super) fn listed_codes(responses: &Map<String, Value>) -> Vec<Code> {
    let problems = responses.values().filter(|response| is_problem(response));
    let names = problems.filter_map(|response| response["headers"].as_object());
    let names = names.flat_map(Map::keys);
    names
        .filter_map(|name| Code::ALL.into_iter().find(|code| code.name() == name))
        .collect()
}

pub(super) fn is_problem(response: &Value) -> bool {
    response["content"].get(PROBLEM).is_some()
}

/// An answer that is no problem, from what poem says about it.
pub(super) fn plain(status: u16, raw: &Value, schemas: &Map<String, Value>) -> Value {
    let what = raw["content"]
        .as_object()
        .and_then(|content| content.values().next())
        .and_then(|media| match media["schema"]["$ref"].as_str() {
            Some(target) => schemas.get(target.rsplit('/').next()?),
            None => media.get("schema"),
        })
        .and_then(|schema| schema["description"].as_str())
        .unwrap_or_default();
    let description = match status {
        101 => "From here on the connection is a WebSocket.".to_owned(),
        201 => format!("Created. {what}"),
        202 => "Accepted. A message is sent if there is reason to.".to_owned(),
        204 => "Done; there is nothing more to say.".to_owned(),
        304 => "You have this already: its `ETag` is the one in `If-None-Match`.".to_owned(),
        _ if what.is_empty() => "Done.".to_owned(),
        _ => what.to_owned(),
    };
    let mut headers = Map::new();
    for (name, raw) in raw["headers"].as_object().into_iter().flatten() {
        let name = canonical(name);
        let header = header(&name).unwrap_or_else(|| raw.clone());
        headers.insert(name, header);
    }
    if status == 304 {
        insert_header(&mut headers, "ETag");
    }
    for name in ["RateLimit", "RateLimit-Policy", "X-Request-Id"] {
        insert_header(&mut headers, name);
    }
    let mut response = json!({"description": description, "headers": headers});
    if let Some(content) = raw.get("content") {
        response["content"] = content.clone();
    }
    response
}

/// An answer of `operation` with one of `codes`, which have the same status. What is the same for
/// many operations is shared.
pub(super) fn problem(operation: &str, codes: &[Code], shared: &mut Shared) -> Value {
    let common = match codes {
        [code] => Some(pascal(code.name())),
        // Every change that can be lost has these two.
        [Code::Overloaded, Code::OutcomeUnknown] => Some("Unavailable".to_owned()),
        _ => None,
    };
    match common {
        Some(name) => {
            let target = format!("#/components/responses/{name}");
            let schema = problem_type(&name, codes, shared);
            let response = shared.responses.entry(name);
            response.or_insert_with(|| describe(codes, schema));
            json!({"$ref": target})
        }
        None => {
            let (first, rest) = operation.split_at(operation.len().min(1));
            let reason = match codes.first().map(|code| code.status()) {
                Some(403) => "Forbidden",
                Some(409) => "Conflict",
                Some(503) => "Unavailable",
                _ => "Failure",
            };
            let name = format!("{}{rest}{reason}", first.to_ascii_uppercase());
            let schema = problem_type(&name, codes, shared);
            describe(codes, schema)
        }
    }
}

/// A reference to the type of problems that have one of `codes`, which clients can switch on.
fn problem_type(name: &str, codes: &[Code], shared: &mut Shared) -> Value {
    let name = format!("{name}Problem");
    let target = format!("#/components/schemas/{name}");
    shared.schemas.entry(name).or_insert_with(|| {
        let names: Vec<_> = codes.iter().map(|code| code.name()).collect();
        let code = json!({"type": "string", "description": "Which it is.", "enum": names});
        let mut own = json!({
            "type": "object",
            "required": ["code"],
            "properties": {"code": code},
        });
        if let [Code::InvalidFields] = codes {
            own["required"] = json!(["code", "errors"]);
            own["properties"]["errors"] = json!({
                "type": "array",
                "description": "Field by field: all of them at once.",
                "items": {"$ref": "#/components/schemas/ProblemField"},
            });
        }
        with_base(&list(codes), own)
    });
    json!({"$ref": target})
}

/// What all problems have in common, by component name.
const BASE: &str = "ProblemBase";

/// Splits the type of all problems. The base has what is the same for all, and every kind of problem
/// adds its own `code`: to narrow a `code` of the base would be a conflict of types in many
/// languages.
pub(super) fn split_problem(schemas: &mut Map<String, Value>) {
    let Some(mut base) = schemas.shift_remove("Problem") else {
        return;
    };
    let errors = base["properties"]
        .as_object_mut()
        .and_then(|properties| properties.shift_remove("errors"));
    if let Some(properties) = base["properties"].as_object_mut() {
        properties.shift_remove("code");
    }
    if let Some(required) = base["required"].as_array_mut() {
        required.retain(|name| name != "code");
    }
    let description = base["description"].as_str().unwrap_or_default().to_owned();
    base["description"] = json!("What every problem has, whatever its `code`.");
    let own = json!({
        "type": "object",
        "required": ["code"],
        "properties": {"code": {"$ref": "#/components/schemas/ProblemCode"}, "errors": errors},
    });
    schemas.insert(BASE.to_owned(), base);
    schemas.insert("Problem".to_owned(), with_base(&description, own));
    schemas.insert("ProblemCode".to_owned(), about::problem_code());
}

fn with_base(description: &str, own: Value) -> Value {
    json!({
        "description": description,
        "allOf": [{"$ref": format!("#/components/schemas/{BASE}")}, own],
    })
}

/// The codes with their titles, as Markdown.
fn list(codes: &[Code]) -> String {
    let line = |code: &Code| format!("`{}`: {}.", code.name(), code.title());
    match codes {
        [code] => line(code),
        codes => {
            let lines = codes.iter().map(|code| format!("- {}", line(code)));
            lines.collect::<Vec<_>>().join("\n")
        }
    }
}

fn describe(codes: &[Code], schema: Value) -> Value {
    let description = match codes {
        [code] => format!("`{}`: {}", code.name(), code.explanation()),
        codes => list(codes),
    };
    let mut headers = Map::new();
    match codes.first().map(|code| code.status()) {
        Some(401) => insert_header(&mut headers, "WWW-Authenticate"),
        Some(415) => insert_header(&mut headers, "Accept-Encoding"),
        Some(429 | 503) => insert_header(&mut headers, "Retry-After"),
        _ => {}
    }
    for name in ["RateLimit", "RateLimit-Policy", "X-Request-Id"] {
        insert_header(&mut headers, name);
    }
    let examples: Map<String, Value> = codes
        .iter()
        .map(|code| {
            let example = json!({"summary": code.title(), "value": about::problem(*code)});
            (code.name().to_owned(), example)
        })
        .collect();
    json!({
        "description": description,
        "headers": headers,
        "content": {
            PROBLEM: {
                "schema": schema,
                "examples": examples,
            },
        },
    })
}

fn insert_header(headers: &mut Map<String, Value>, name: &str) {
    if let Some(header) = header(name) {
        headers.insert(name.to_owned(), header);
    }
}

fn header(name: &str) -> Option<Value> {
    let component = about::header_component(name)?;
    Some(json!({"$ref": format!("#/components/headers/{component}")}))
}

/// A header's name as the RFCs write it. poem writes some in capitals.
pub(super) fn canonical(name: &str) -> String {
    const UNUSUAL: [&str; 5] = [
        "ETag",
        "WWW-Authenticate",
        "RateLimit",
        "RateLimit-Policy",
        "Last-Event-ID",
    ];
    if let Some(name) = UNUSUAL
        .iter()
        .find(|unusual| unusual.eq_ignore_ascii_case(name))
    {
        return (*name).to_owned();
    }
    let words: Vec<_> = name.split('-').map(capitalised).collect();
    words.join("-")
}

fn pascal(name: &str) -> String {
    name.split('_').map(capitalised).collect()
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first
        .into_iter()
        .chain(letters.map(|letter| letter.to_ascii_lowercase()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_written_as_the_rfcs_write_them() {
        for name in [
            "ETag",
            "If-Match",
            "WWW-Authenticate",
            "X-Request-Id",
            "Location",
        ] {
            assert_eq!(canonical(&name.to_uppercase()), name);
            assert_eq!(canonical(&name.to_lowercase()), name);
        }
    }

    #[test]
    fn a_status_with_one_code_is_shared_and_one_with_more_lists_them() {
        let mut shared = Shared::default();
        let one = problem("getThing", &[Code::NotFound], &mut shared);
        assert_eq!(one, json!({"$ref": "#/components/responses/NotFound"}));
        assert!(
            shared.responses["NotFound"]["description"]
                .as_str()
                .unwrap()
                .contains("nothing here")
        );
        let codes = [Code::VotingClosed, Code::AlreadyVoted];
        let two = problem("castBallot", &codes, &mut shared);
        let text = two["description"].as_str().unwrap();
        assert_eq!(
            text,
            "- `voting_closed`: Voting has closed.\n- `already_voted`: You have already voted."
        );
        assert_eq!(shared.responses.len(), 1);
        assert_eq!(
            shared.schemas["CastBallotConflictProblem"]["allOf"][1]["properties"]["code"]["enum"],
            json!(["voting_closed", "already_voted"])
        );
        let lost = [Code::Overloaded, Code::OutcomeUnknown];
        let lost = problem("putThing", &lost, &mut shared);
        assert_eq!(lost, json!({"$ref": "#/components/responses/Unavailable"}));
    }

    #[test]
    fn waits_and_challenges_come_with_their_headers() {
        let names = |code: Code| {
            let response = describe(&[code], json!({}));
            let headers = response["headers"].as_object().unwrap();
            headers.keys().cloned().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            names(Code::Unauthenticated),
            "WWW-Authenticate RateLimit RateLimit-Policy X-Request-Id"
        );
        assert_eq!(
            names(Code::RateLimited),
            "Retry-After RateLimit RateLimit-Policy X-Request-Id"
        );
        assert_eq!(names(Code::Overloaded), names(Code::RateLimited));
        assert_eq!(
            names(Code::NotFound),
            "RateLimit RateLimit-Policy X-Request-Id"
        );
    }
}
