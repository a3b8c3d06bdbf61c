//! What the parameters of an operation may be, in words, from their schemas.

use serde_json::Value;

use crate::http::routes::{Parameter, Place};
use crate::input::allowed::allowed;

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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
