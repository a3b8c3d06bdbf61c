//! The OpenAPI document: valid, complete, and the same as the one that is checked in.

use std::collections::BTreeSet;

use polls::failure::Code;
use serde_json::{Map, Value, json};

use crate::support::contract::DOCUMENT;
use crate::support::schema::{complaints, resolve};

/// Each operation with its method and path.
fn operations() -> impl Iterator<Item = (&'static str, &'static str, &'static Value)> {
    fields(&DOCUMENT["paths"])
        .flat_map(|(path, methods)| fields(methods).map(move |(method, it)| (method, path, it)))
        .map(|(method, path, operation)| (method.as_str(), path.as_str(), operation))
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// All objects in the document, with a pointer to each.
fn objects(
    value: &'static Value,
    at: String,
    found: &mut Vec<(String, &'static Map<String, Value>)>,
) {
    match value {
        Value::Object(map) => {
            found.push((at.clone(), map));
            for (key, below) in map {
                objects(below, format!("{at}/{key}"), found);
            }
        }
        Value::Array(items) => {
            for (index, below) in items.iter().enumerate() {
                objects(below, format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn all_objects() -> Vec<(String, &'static Map<String, Value>)> {
    let mut found = Vec::new();
    objects(&DOCUMENT, String::new(), &mut found);
    found
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[test]
fn the_file_that_is_checked_in_is_current() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/polls.json");
    let written = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        written == format!("{:#}\n", *DOCUMENT),
        "openapi/polls.json is stale; run `cargo run -- openapi --output openapi/polls.json`"
    );
}

#[test]
fn references_lead_somewhere_and_everything_is_used() {
    let used: BTreeSet<String> = all_objects()
        .iter()
        .filter_map(|(_, object)| object.get("$ref")?.as_str().map(str::to_owned))
        .collect();
    for target in &used {
        let pointer = target.strip_prefix('#').expect("references are local");
        assert!(
            DOCUMENT.pointer(pointer).is_some(),
            "{target} leads nowhere"
        );
    }
    for (kind, components) in fields(&DOCUMENT["components"]) {
        for (name, _) in fields(components).filter(|_| kind != "securitySchemes") {
            let target = format!("#/components/{kind}/{name}");
            assert!(used.contains(&target), "{target} is not used");
        }
    }
}

#[test]
fn it_is_openapi_3_0() {
    assert_eq!(DOCUMENT["openapi"], "3.0.3");
    let later = [
        "$defs",
        "$id",
        "$schema",
        "const",
        "contentEncoding",
        "contentMediaType",
        "else",
        "if",
        "patternProperties",
        "prefixItems",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
        "webhooks",
        "jsonSchemaDialect",
        "pathItems",
        "identifier",
    ];
    for (at, object) in all_objects() {
        // Below these, names are those of fields or statuses, not keywords.
        if ["/properties", "/example", "/value"]
            .iter()
            .any(|end| at.ends_with(end))
        {
            continue;
        }
        for keyword in later {
            assert!(!object.contains_key(keyword), "{at} has {keyword}");
        }
        for keyword in ["type", "exclusiveMinimum", "exclusiveMaximum"] {
            let value = object.get(keyword);
            let of_3_0 = value.is_none_or(|value| value.is_string() || value.is_boolean());
            assert!(of_3_0, "{at} has {keyword} as in 3.1");
        }
        assert!(
            object.get("default") != Some(&Value::Null),
            "{at} defaults to null"
        );
        if object.contains_key("nullable") {
            assert!(
                object.contains_key("type"),
                "{at} is nullable without a type"
            );
        }
        if object.contains_key("$ref") {
            assert_eq!(object.len(), 1, "{at} has a reference with siblings");
        }
    }
}

#[test]
fn every_operation_is_introduced() {
    let tags: Vec<_> = DOCUMENT["tags"].as_array().unwrap().iter().collect();
    assert!(tags.iter().all(|tag| !text(tag, "description").is_empty()));
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations() {
        let id = text(operation, "operationId");
        assert!(
            !id.is_empty() && ids.insert(id),
            "{method} {path} needs an id of its own"
        );
        let tag = &operation["tags"];
        assert_eq!(tag.as_array().map(Vec::len), Some(1), "{id}: one tag");
        assert!(
            tags.iter().any(|known| known["name"] == tag[0]),
            "{id}: tag {tag}"
        );
        assert!(
            !text(operation, "summary").ends_with('.'),
            "{id}: the summary is a title"
        );
        assert!(!text(operation, "summary").is_empty(), "{id}: no summary");
        assert!(
            text(operation, "description").ends_with('.'),
            "{id}: no description"
        );
        let security = operation["security"].as_array().expect(id);
        let last = security.len().saturating_sub(1);
        // Programs that use the first alternative send the token where it is optional.
        assert!(!security[..last].contains(&json!({})), "{id}: {security:?}");
    }
    assert_eq!(DOCUMENT["security"], json!([{"token": []}]));
}

#[test]
fn every_post_says_what_sending_it_twice_does() {
    let posts: Vec<_> = operations()
        .filter(|(method, ..)| *method == "post")
        .collect();
    assert!(posts.len() >= 8);
    for (_, path, operation) in posts {
        let description = text(operation, "description");
        assert!(
            description.contains("\n\nSent twice: "),
            "{path}: {description}"
        );
    }
}

#[test]
fn a_kind_of_problem_does_not_narrow_what_its_base_has() {
    let schemas = &DOCUMENT["components"]["schemas"];
    let base = schemas["ProblemBase"]["properties"]
        .as_object()
        .expect("a base");
    let mut kinds = 0;
    for (name, schema) in fields(schemas) {
        for part in schema["allOf"].as_array().into_iter().flatten() {
            for (property, _) in fields(&part["properties"]) {
                assert!(!base.contains_key(property), "{name}.{property}");
                kinds += usize::from(property == "code");
            }
        }
    }
    assert!(kinds > Code::ALL.len() / 2, "{kinds}");
}

#[test]
fn forms_are_one_object() {
    let mut forms = 0;
    for (_, path, operation) in operations() {
        let content = &operation["requestBody"]["content"];
        let Some(form) = content.get("application/x-www-form-urlencoded") else {
            continue;
        };
        let schema = resolve(&DOCUMENT, &form["schema"]);
        assert_eq!(schema["type"], "object", "{path}");
        for keyword in ["oneOf", "anyOf", "allOf", "discriminator"] {
            assert!(schema.get(keyword).is_none(), "{path}: {keyword}");
        }
        forms += 1;
    }
    assert_eq!(forms, 2);
}

#[test]
fn streams_are_text_and_messages_have_types() {
    let types = |id: &str| {
        let (_, _, operation) = operations()
            .find(|(.., operation)| text(operation, "operationId") == id)
            .expect(id);
        let name = |extension: &str| text(&operation[extension], "$ref").to_owned();
        (operation, name("x-events"), name("x-first-message"))
    };
    let event = "#/components/schemas/LiveEvent".to_owned();
    let (watch, events, _) = types("watchResults");
    let stream = &watch["responses"]["200"]["content"]["text/event-stream"]["schema"];
    assert_eq!((&events, text(stream, "type")), (&event, "string"));
    let sample = text(stream, "example");
    let data = sample
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    let data: Vec<Value> = data
        .map(|data| serde_json::from_str(data).expect("JSON"))
        .collect();
    let schemas = &DOCUMENT["components"]["schemas"];
    for (data, schema) in data.iter().zip(["Results", "StreamEnd"]) {
        assert_eq!(complaints(&DOCUMENT, &schemas[schema], data), [""; 0]);
    }
    assert_eq!(data.len(), 2);
    let (_, events, first) = types("openResultsSocket");
    assert_eq!(
        (events, first),
        (event, "#/components/schemas/FirstMessage".to_owned())
    );
}

#[test]
fn nothing_goes_without_a_description() {
    for (_, path, operation) in operations() {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let parameter = resolve(&DOCUMENT, parameter);
            let described = text(parameter, "description").ends_with('.');
            assert!(described, "{path}: {parameter}");
            let example = parameter.get("example").expect(path);
            assert_eq!(
                complaints(&DOCUMENT, &parameter["schema"], example),
                [""; 0]
            );
        }
        for (status, response) in fields(&operation["responses"]) {
            let described = !text(resolve(&DOCUMENT, response), "description").is_empty();
            assert!(described, "{path}: {status}");
        }
    }
    for (name, header) in fields(&DOCUMENT["components"]["headers"]) {
        assert!(!text(header, "description").is_empty(), "{name}");
    }
    for (name, schema) in fields(&DOCUMENT["components"]["schemas"]) {
        assert!(!text(schema, "description").is_empty(), "{name}");
        for (property, schema) in fields(&schema["properties"]) {
            let schema = resolve(&DOCUMENT, schema);
            assert!(!text(schema, "description").is_empty(), "{name}.{property}");
        }
    }
}

#[test]
fn what_has_a_discriminator_is_named_plainly() {
    let schemas = fields(&DOCUMENT["components"]["schemas"]);
    let unions = schemas.filter(|(_, schema)| schema.get("discriminator").is_some());
    let unions: BTreeSet<String> = unions
        .map(|(name, _)| format!("#/components/schemas/{name}"))
        .collect();
    assert!(unions.contains("#/components/schemas/Explanation"));
    for (at, object) in all_objects() {
        for part in object
            .get("allOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            // openapi-typescript takes this for inheritance, and leaves nothing of the union.
            assert!(!unions.contains(text(part, "$ref")), "{at}");
        }
    }
}

#[test]
fn every_example_is_valid_and_every_object_that_is_sent_or_answered_has_one() {
    for (name, schema) in fields(&DOCUMENT["components"]["schemas"]) {
        if let Some(example) = schema.get("example") {
            assert_eq!(complaints(&DOCUMENT, schema, example), [""; 0], "{name}");
        }
    }
    let mut checked = 0;
    for (at, object) in all_objects() {
        let Some(schema) = object.get("schema") else {
            continue;
        };
        if let Some(example) = schema.get("example") {
            assert_eq!(complaints(&DOCUMENT, schema, example), [""; 0], "{at}");
        }
        for (_, example) in object.get("examples").map(fields).into_iter().flatten() {
            assert_eq!(
                complaints(&DOCUMENT, schema, &example["value"]),
                [""; 0],
                "{at}"
            );
            checked += 1;
        }
        if at.contains("/content/") {
            let shown = object.contains_key("examples")
                || resolve(&DOCUMENT, schema).get("example").is_some();
            assert!(shown, "{at} has no example");
        }
    }
    assert!(checked >= Code::ALL.len() / 2);
}

#[test]
fn statuses_are_those_that_a_call_of_its_kind_has() {
    for (method, path, operation) in operations() {
        let id = text(operation, "operationId");
        let has = |status: &str| operation["responses"].get(status).is_some();
        let security = operation["security"].as_array().unwrap();
        let body = &operation["requestBody"]["content"];
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let parameters: Vec<_> = parameters
            .map(|parameter| text(resolve(&DOCUMENT, parameter), "name"))
            .collect();
        let answers_something = fields(&operation["responses"])
            .any(|(status, answer)| status.starts_with('2') && answer.get("content").is_some());

        let succeeds = fields(&operation["responses"]).any(|(status, _)| status.starts_with('2'));
        assert!(succeeds || has("101"), "{id}: no success");
        for status in ["400", "500", "503"] {
            assert!(has(status), "{id}: {status}");
        }
        assert_eq!(has("401"), !security.is_empty(), "{id}: 401");
        for status in ["408", "413", "415"] {
            assert_eq!(has(status), body.is_object(), "{id}: {status}");
        }
        assert_eq!(has("406"), answers_something, "{id}: 406");
        assert_eq!(
            has("304"),
            parameters.contains(&"If-None-Match"),
            "{id}: 304"
        );
        assert_eq!(has("412"), parameters.contains(&"If-Match"), "{id}: 412");
        if body.get("application/json").is_some() {
            assert!(has("422"), "{id}: 422");
        }
        if path.contains('{') {
            assert!(has("404"), "{id}: 404");
        }
        if method == "get" {
            assert!(!has("201") && !has("204"), "{id}");
        }
        for outside in ["405", "default"] {
            assert!(!has(outside), "{id}: {outside}");
        }
        for (status, response) in fields(&operation["responses"]) {
            let response = resolve(&DOCUMENT, response);
            let header = |name: &str| response["headers"].get(name).is_some();
            assert!(header("X-Request-Id"), "{id}: {status}");
            assert_eq!(
                header("WWW-Authenticate"),
                status == "401",
                "{id}: {status}"
            );
            let waits = matches!(status.as_str(), "429" | "503");
            assert_eq!(header("Retry-After"), waits, "{id}: {status}");
            assert_eq!(header("Location"), status == "201", "{id}: {status}");
        }
    }
}

#[test]
fn no_type_is_called_like_the_constructor_of_another() {
    let schemas = DOCUMENT["components"]["schemas"].as_object().unwrap();
    for name in schemas.keys() {
        // Go's generated constructor `NewQuestion()` would conflict with this name.
        let of = name.strip_prefix("New").unwrap_or_default();
        assert!(!schemas.contains_key(of), "{name}");
    }
}

#[test]
fn links_lead_to_operations_with_the_parameters_that_they_fill() {
    let mut linked = BTreeSet::new();
    for (_, _, operation) in operations() {
        let id = text(operation, "operationId");
        for (status, response) in fields(&operation["responses"]) {
            for (name, link) in fields(&response["links"]) {
                let target = text(link, "operationId");
                assert_eq!(name, target, "{id}: {status}");
                let (_, path, found) = operations()
                    .find(|(_, _, other)| text(other, "operationId") == target)
                    .unwrap_or_else(|| panic!("{id} links to {target}, which is nowhere"));
                let mut parameters = found["parameters"].as_array().into_iter().flatten();
                for (parameter, _) in fields(&link["parameters"]) {
                    assert!(
                        parameters.any(|known| known["name"] == parameter.as_str()),
                        "{id} to {target}: {parameter}"
                    );
                }
                linked.insert(path);
            }
        }
    }
    for (_, path, operation) in operations().filter(|(_, path, _)| path.contains('{')) {
        let id = text(operation, "operationId");
        assert!(linked.contains(path), "nothing links to {id}");
    }
}

#[test]
fn request_bodies_take_nothing_that_they_do_not_know() {
    for (_, path, operation) in operations() {
        let Some(media) = operation["requestBody"]["content"].get("application/json") else {
            continue;
        };
        let schema = resolve(&DOCUMENT, &media["schema"]);
        assert_eq!(schema["additionalProperties"], json!(false), "{path}");
    }
    // The alternatives of a message are closed, since each alone knows all of its fields.
    for (name, closed) in [("AnonymousMessage", true), ("FirstMessage", false)] {
        let schema = &DOCUMENT["components"]["schemas"][name];
        assert_eq!(
            schema.get("additionalProperties").is_some(),
            closed,
            "{name}"
        );
    }
}

#[test]
fn the_codes_of_problems_are_those_of_the_program() {
    for beside in ["/healthz", "/readyz", "deprecated"] {
        assert!(text(&DOCUMENT["info"], "description").contains(beside));
    }
    let names = DOCUMENT["components"]["schemas"]["ProblemCode"]["enum"]
        .as_array()
        .unwrap();
    assert_eq!(names.len(), Code::ALL.len());
    for code in Code::ALL {
        assert!(names.contains(&json!(code.name())));
    }
}
