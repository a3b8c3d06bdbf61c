//! Validates values against schemas of the OpenAPI document. It knows the keywords that the
//! document uses, and panics at others.
//!
//! Fields that a schema does not name are errors here, although the document allows additional
//! fields in responses, so that every field is documented.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Map, Value};

/// The errors of `value`, each with a JSON pointer.
pub fn complaints(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut check = Check {
        document,
        complaints: Vec::new(),
    };
    check.schema(schema, value, "");
    check.complaints
}

/// The target of a `$ref`; other schemas are returned unchanged.
pub fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(target) => {
            let pointer = target.strip_prefix('#').expect("references are local");
            document
                .pointer(pointer)
                .unwrap_or_else(|| panic!("{target} leads nowhere"))
        }
        None => value,
    }
}

struct Check<'a> {
    document: &'a Value,
    complaints: Vec<String>,
}

impl Check<'_> {
    fn complain(&mut self, at: &str, text: impl std::fmt::Display) {
        self.complaints.push(format!("{at}: {text}"));
    }

    fn schema(&mut self, schema: &Value, value: &Value, at: &str) {
        let schema = resolve(self.document, schema);
        let Value::Object(rules) = schema else {
            return self.complain(at, format_args!("{schema} is not a schema"));
        };
        if value.is_null() {
            if rules.get("nullable") != Some(&Value::Bool(true)) {
                self.complain(at, "null is not allowed");
            }
            return;
        }
        if let Some(fields) = value.as_object()
            && let Some(known) = fields_of(self.document, schema)
        {
            for name in fields.keys().filter(|name| !known.contains(name.as_str())) {
                self.complain(at, format_args!("`{name}` is not a field"));
            }
        }
        self.rules(rules, value, at);
    }

    fn rules(&mut self, rules: &Map<String, Value>, value: &Value, at: &str) {
        for (keyword, rule) in rules {
            self.keyword(keyword, rule, value, at);
        }
    }

    fn keyword(&mut self, keyword: &str, rule: &Value, value: &Value, at: &str) {
        let fine = match keyword {
            "type" => is_of_type(value, rule),
            "enum" => rule.as_array().is_some_and(|values| values.contains(value)),
            "format" => value.as_str().is_none_or(|text| has_format(text, rule)),
            "pattern" => {
                let pattern = Regex::new(rule.as_str().unwrap_or_default()).expect("a pattern");
                value.as_str().is_none_or(|text| pattern.is_match(text))
            }
            "minLength" => characters(value) >= rule.as_u64(),
            "maxLength" => characters(value) <= rule.as_u64(),
            "minItems" => items(value) >= rule.as_u64(),
            "maxItems" => items(value) <= rule.as_u64(),
            "minimum" => value.as_f64() >= rule.as_f64(),
            "maximum" => value.as_f64() <= rule.as_f64(),
            "uniqueItems" => value.as_array().is_none_or(|items| {
                let mut rest = items.iter();
                std::iter::from_fn(|| rest.next().map(|item| (item, rest.clone())))
                    .all(|(item, mut rest)| !rest.any(|other| other == item))
            }),
            "required" => {
                let names = rule
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str);
                for name in names.filter(|name| value.get(name).is_none()) {
                    self.complain(at, format_args!("`{name}` is missing"));
                }
                true
            }
            "properties" => {
                for (name, below) in rule.as_object().into_iter().flatten() {
                    if let Some(value) = value.get(name) {
                        self.schema(below, value, &format!("{at}/{name}"));
                    }
                }
                true
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    self.schema(rule, item, &format!("{at}/{index}"));
                }
                true
            }
            "allOf" => {
                for part in rule.as_array().into_iter().flatten() {
                    // Unknown fields are checked elsewhere, for all parts together.
                    if let Value::Object(rules) = resolve(self.document, part) {
                        self.rules(rules, value, at);
                    }
                }
                true
            }
            "oneOf" => {
                let parts = rule.as_array().into_iter().flatten();
                let fits = |part: &&Value| complaints(self.document, part, value).is_empty();
                parts.filter(fits).count() == 1
            }
            "additionalProperties"
            | "default"
            | "description"
            | "discriminator"
            | "example"
            | "nullable"
            | "title"
            | "x-enum-varnames" => true,
            _ => panic!("the keyword `{keyword}` is not one that this document uses"),
        };
        if !fine {
            self.complain(at, format_args!("{value} against {keyword} {rule}"));
        }
    }
}

/// The fields that an object may have; `None` if the schema does not restrict them.
fn fields_of<'a>(document: &'a Value, schema: &'a Value) -> Option<BTreeSet<&'a str>> {
    let schema = resolve(document, schema);
    let own = schema["properties"].as_object();
    let own = own.map(|own| own.keys().map(String::as_str).collect());
    let parts = schema["allOf"].as_array().into_iter().flatten();
    let parts = parts.filter_map(|part| fields_of(document, part));
    own.into_iter().chain(parts).reduce(|mut all, more| {
        all.extend(more);
        all
    })
}

fn is_of_type(value: &Value, kind: &Value) -> bool {
    match kind.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        _ => false,
    }
}

fn has_format(text: &str, format: &Value) -> bool {
    match format.as_str() {
        Some("uuid") => text.parse::<uuid::Uuid>().is_ok(),
        Some("date-time") => is_time(text),
        Some("uri-reference") => text.starts_with('/') || text.parse::<url::Url>().is_ok(),
        Some("password" | "binary") => true,
        _ => panic!("the format {format} is not one that this document uses for strings"),
    }
}

/// Whether it is an RFC 3339 time in UTC, with a four-digit year.
fn is_time(text: &str) -> bool {
    let civil = text
        .strip_suffix('Z')
        .map(str::parse::<jiff::civil::DateTime>);
    let of_form = text.len() >= 20 && text.as_bytes()[4] == b'-' && text.as_bytes()[10] == b'T';
    of_form && matches!(civil, Some(Ok(time)) if time.year() > 0)
}

fn characters(value: &Value) -> Option<u64> {
    value.as_str().map(|text| text.chars().count() as u64)
}

fn items(value: &Value) -> Option<u64> {
    value.as_array().map(|items| items.len() as u64)
}

#[test]
fn each_rule_is_held() {
    let document = serde_json::json!({"kinds": {"enum": ["a", "b"]}});
    let schema = serde_json::json!({
        "type": "object",
        "required": ["id"],
        "additionalProperties": false,
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "kind": {"$ref": "#/kinds"},
            "either": {"oneOf": [{"type": "string"}, {"type": "integer"}, {"type": "number"}]},
            "names": {
                "type": "array", "minItems": 1, "maxItems": 2, "uniqueItems": true,
                "items": {"type": "string", "minLength": 1, "maxLength": 2, "pattern": "^[a-z]*$"},
            },
            "size": {"type": "integer", "minimum": 1, "maximum": 9},
            "gone": {"type": "string", "format": "date-time", "nullable": true},
        },
    });
    let good = serde_json::json!({
        "id": "01963b1c-7a20-7d4e-9c1f-5a6b7c8d9e0f", "kind": "a", "names": ["x", "y"], "size": 9,
        "gone": null, "either": "x",
    });
    assert_eq!(complaints(&document, &schema, &good), [""; 0]);
    for (field, bad) in [
        ("id", "\"7\""),
        ("id", "null"),
        ("kind", "\"c\""),
        ("names", "[]"),
        ("names", "[\"x\", \"x\"]"),
        ("names", "[\"x\", \"y\", \"z\"]"),
        ("names", "[\"xyz\"]"),
        ("names", "[\"\"]"),
        ("names", "[\"X\"]"),
        ("size", "0"),
        ("size", "10"),
        ("size", "1.5"),
        ("gone", "\"yesterday\""),
        ("either", "true"),
        ("either", "1"),
        ("more", "1"),
    ] {
        let mut value = good.clone();
        value[field] = serde_json::from_str(bad).unwrap();
        assert_eq!(
            complaints(&document, &schema, &value).len(),
            1,
            "{field}: {bad}"
        );
    }
    assert_eq!(
        complaints(&document, &schema, &serde_json::json!({})).len(),
        1
    );
}

#[test]
fn parts_are_taken_together_and_alternatives_apart() {
    let document = serde_json::json!({
        "pet": {
            "type": "object", "required": ["kind"],
            "properties": {"kind": {"enum": ["cat", "dog"]}},
        },
        "cat": {"allOf": [
            {"$ref": "#/pet"},
            {"required": ["lives"], "properties": {
                "kind": {"enum": ["cat"]}, "lives": {"type": "integer"},
            }},
        ]},
        "dog": {"type": "object", "properties": {"kind": {"enum": ["dog"]}}},
        "any": {"oneOf": [{"$ref": "#/cat"}, {"$ref": "#/dog"}]},
    });
    let fits = |schema: &str, text: &str| {
        let value = serde_json::from_str(text).unwrap();
        complaints(&document, &document[schema], &value).is_empty()
    };
    for schema in ["cat", "any"] {
        assert!(fits(schema, r#"{"kind": "cat", "lives": 9}"#), "{schema}");
        assert!(!fits(schema, r#"{"kind": "cat"}"#), "{schema}");
        assert!(!fits(schema, r#"{"kind": "cat", "lives": 9, "x": 1}"#));
        assert!(!fits(schema, r#"{"kind": "dog", "lives": 9}"#), "{schema}");
    }
    assert!(fits("any", r#"{"kind": "dog"}"#));
    assert!(!fits("any", r#"{"kind": "bird"}"#));
}
