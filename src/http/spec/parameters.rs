//! What the parameters of an operation may be, in words, from their schemas.

use serde_json::Value;

use crate::http::routes::{Parameter, Place};

/// The parameters of an operation of a finished document.
pub(super) fn of(document: &Value, operation: &Value) -> Vec<Parameter> {
    let all = operation["parameters"].as_array().into_iter().flatten();
    all.filter_map(|parameter| {
        let parameter = resolved(document, parameter);
        Some(Parameter {
            name: parameter["name"].as_str()?.to_owned(),
            place: match parameter["in"].as_str()? {
                "path" => Place::Path,
                "query" => Place::Query,
                "header" => Place::Header,
                _ => return None,
            },
            allowed: allowed(resolved(document, &parameter["schema"])),
        })
    })
    .collect()
}

/// What a reference leads to, also one that stands alone in an `allOf`.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let reference = value.get("$ref").or_else(|| value.pointer("/allOf/0/$ref"));
    let target = reference.and_then(Value::as_str);
    let target = target.and_then(|target| document.pointer(target.strip_prefix('#')?));
    target.unwrap_or(value)
}

/// What a schema allows, as the end of a sentence: "must be …".
fn allowed(schema: &Value) -> String {
    if let Some(words) = schema["enum"].as_array() {
        let words = words.iter().filter_map(Value::as_str);
        return format!("must be {}", one_of(words));
    }
    let bound = |name: &str| schema[name].as_i64();
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("integer"), _) => match (bound("minimum"), bound("maximum")) {
            (Some(min), Some(max)) => format!("must be an integer from {min} to {max}"),
            (Some(min), None) => format!("must be an integer of at least {min}"),
            (None, Some(max)) => format!("must be an integer of at most {max}"),
            (None, None) => "must be an integer".to_owned(),
        },
        (Some("boolean"), _) => format!("must be {}", one_of(["true", "false"].into_iter())),
        (_, Some("uuid")) => {
            "must be a UUID such as 01963b1c-7a20-7d4e-9c1f-5a6b7c8d9e0f".to_owned()
        }
        (_, Some("date-time")) => "must be an RFC 3339 time such as 2026-04-15T19:47:16Z".into(),
        _ => match (bound("minLength"), bound("maxLength")) {
            (Some(min), Some(max)) => format!("must have {min} to {max} characters"),
            (Some(min), None) => format!("must have at least {min} characters"),
            (None, Some(max)) => format!("must have at most {max} characters"),
            (None, None) => "must be text".to_owned(),
        },
    }
}

/// Such as "`a`, `b` or `c`".
fn one_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_parameter_is_told_in_words() {
        for (schema, words) in [
            (
                json!({"type": "integer", "minimum": 1, "maximum": 100}),
                "must be an integer from 1 to 100",
            ),
            (
                json!({"type": "integer", "minimum": 0}),
                "must be an integer of at least 0",
            ),
            (
                json!({"type": "string", "enum": ["a", "b", "c"]}),
                "must be `a`, `b` or `c`",
            ),
            (json!({"type": "string", "enum": ["a"]}), "must be `a`"),
            (json!({"type": "boolean"}), "must be `true` or `false`"),
            (
                json!({"type": "string", "format": "uuid"}),
                "must be a UUID such as 01963b1c-7a20-7d4e-9c1f-5a6b7c8d9e0f",
            ),
            (
                json!({"type": "string", "minLength": 1, "maxLength": 100}),
                "must have 1 to 100 characters",
            ),
            (json!({"type": "string"}), "must be text"),
        ] {
            assert_eq!(allowed(&schema), words);
        }
    }

    #[test]
    fn references_are_followed() {
        let document = json!({"components": {
            "parameters": {"Etag": {"name": "If-None-Match", "in": "header", "schema": {}}},
            "schemas": {"Sort": {"type": "string", "enum": ["up", "down"]}},
        }});
        let operation = json!({"parameters": [
            {"$ref": "#/components/parameters/Etag"},
            {"name": "sort", "in": "query", "schema": {"$ref": "#/components/schemas/Sort"}},
            {"name": "by", "in": "query", "schema": {
                "default": "up", "allOf": [{"$ref": "#/components/schemas/Sort"}],
            }},
            {"name": "session", "in": "cookie", "schema": {}},
        ]});
        let found = of(&document, &operation);
        let names: Vec<&str> = found.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["If-None-Match", "sort", "by"]);
        assert_eq!(found[1].allowed, "must be `up` or `down`");
        assert_eq!(found[2].allowed, found[1].allowed);
    }
}
