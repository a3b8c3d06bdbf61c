//! What a call may answer, status by status.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::about;
use crate::failure::Code;

/// The media type of problems.
const PROBLEM: &str = "application/problem+json";

/// Answers that many calls share, by component name.
pub(super) type Shared = BTreeMap<String, Value>;

/// The codes that poem's part of the document lists: see `http::refused::responses`.
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
        .and_then(|media| media["schema"]["$ref"].as_str())
        .and_then(|target| schemas.get(target.rsplit('/').next()?))
        .and_then(|schema| schema["description"].as_str())
        .unwrap_or_default();
    let description = match status {
        201 => format!("Created. {what}"),
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
    insert_header(&mut headers, "X-Request-Id");
    let mut response = json!({"description": description, "headers": headers});
    if let Some(content) = raw.get("content") {
        response["content"] = content.clone();
    }
    response
}

/// An answer with one of `codes`, which have the same status. With a single code it is shared.
pub(super) fn problem(codes: &[Code], shared: &mut Shared) -> Value {
    match codes {
        [code] => {
            let name = pascal(code.name());
            let target = format!("#/components/responses/{name}");
            shared.entry(name).or_insert_with(|| describe(codes));
            json!({"$ref": target})
        }
        codes => describe(codes),
    }
}

/// An answer that is either a `plain` one or a problem.
pub(super) fn either(plain: Value, codes: &[Code]) -> Value {
    let problem = describe(codes);
    let texts = [&plain, &problem].map(|part| part["description"].as_str().unwrap_or_default());
    let mut response = problem.clone();
    response["description"] = json!(texts.join("\n\n"));
    let mut content = plain["content"].clone();
    content[PROBLEM] = problem["content"][PROBLEM].clone();
    response["content"] = content;
    response
}

fn describe(codes: &[Code]) -> Value {
    let description = match codes {
        [code] => format!("`{}`: {}", code.name(), code.explanation()),
        codes => {
            let line = |code: &Code| format!("- `{}`: {}.", code.name(), code.title());
            codes.iter().map(line).collect::<Vec<_>>().join("\n")
        }
    };
    let mut headers = Map::new();
    match codes.first().map(|code| code.status()) {
        Some(401) => insert_header(&mut headers, "WWW-Authenticate"),
        Some(415) => insert_header(&mut headers, "Accept-Encoding"),
        Some(429) => {
            for name in ["Retry-After", "RateLimit", "RateLimit-Policy"] {
                insert_header(&mut headers, name);
            }
        }
        Some(503) => insert_header(&mut headers, "Retry-After"),
        _ => {}
    }
    insert_header(&mut headers, "X-Request-Id");
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
                "schema": {"$ref": "#/components/schemas/Problem"},
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
    const UNUSUAL: [&str; 4] = ["ETag", "WWW-Authenticate", "RateLimit", "RateLimit-Policy"];
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
        let mut shared = Shared::new();
        let one = problem(&[Code::NotFound], &mut shared);
        assert_eq!(one, json!({"$ref": "#/components/responses/NotFound"}));
        assert!(
            shared["NotFound"]["description"]
                .as_str()
                .unwrap()
                .contains("nothing here")
        );
        let two = problem(&[Code::VotingClosed, Code::AlreadyVoted], &mut shared);
        let text = two["description"].as_str().unwrap();
        assert_eq!(
            text,
            "- `voting_closed`: Voting has closed.\n- `already_voted`: You have already voted."
        );
        assert_eq!(shared.len(), 1);
    }

    #[test]
    fn waits_and_challenges_come_with_their_headers() {
        let names = |code: Code| {
            let response = describe(&[code]);
            let headers = response["headers"].as_object().unwrap();
            headers.keys().cloned().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            names(Code::Unauthenticated),
            "WWW-Authenticate X-Request-Id"
        );
        assert_eq!(
            names(Code::RateLimited),
            "Retry-After RateLimit RateLimit-Policy X-Request-Id"
        );
        assert_eq!(names(Code::Overloaded), "Retry-After X-Request-Id");
        assert_eq!(names(Code::NotFound), "X-Request-Id");
    }
}
