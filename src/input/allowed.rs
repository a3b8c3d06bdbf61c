//! What a schema allows, in words: the end of a sentence that begins with the field or parameter.

use serde_json::Value;

/// What a schema allows of a text: its limits, or else its [`kind`].
pub fn allowed(schema: &Value) -> String {
    let bound = |name: &str| schema[name].as_i64();
    match (bound("minLength"), bound("maxLength")) {
        (Some(min), Some(max)) => format!("must have {min} to {max} characters"),
        (Some(min), None) => format!("must have at least {min} characters"),
        (None, Some(max)) => format!("must have at most {max} characters"),
        (None, None) => kind(schema),
    }
}

/// What kind of value a schema allows, such as "must be an integer from 1 to 100".
pub fn kind(schema: &Value) -> String {
    if let Some(words) = schema["enum"].as_array() {
        let words = words.iter().filter_map(Value::as_str);
        return format!("must be {}", one_of(words));
    }
    let bound = |name: &str| schema[name].as_f64();
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("integer"), _) => match (bound("minimum"), bound("maximum")) {
            (Some(min), Some(max)) => format!("must be an integer from {min} to {max}"),
            (Some(min), None) => format!("must be an integer of at least {min}"),
            (None, Some(max)) => format!("must be an integer of at most {max}"),
            (None, None) => "must be an integer".to_owned(),
        },
        (Some("number"), _) => "must be a number".to_owned(),
        (Some("boolean"), _) => format!("must be {}", one_of(["true", "false"].into_iter())),
        (Some("object"), _) => "must be an object".to_owned(),
        (Some("array"), _) => "must be an array".to_owned(),
        (_, Some("uuid")) => {
            "must be a UUID such as 01963b1c-7a20-7d4e-9c1f-5a6b7c8d9e0f".to_owned()
        }
        (_, Some("date-time")) => "must be an RFC 3339 time such as 2026-04-15T19:47:16Z".into(),
        _ => match schema["pattern"].as_str() {
            Some(pattern) => format!("must match `{pattern}`"),
            None => "must be a string".to_owned(),
        },
    }
}

/// Such as "`a`, `b` or `c`".
pub fn one_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
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
    fn every_kind_of_value_is_told_in_words() {
        for (schema, words) in [
            (
                json!({"type": "integer", "minimum": 1.0, "maximum": 100}),
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
            (
                json!({"type": "string", "pattern": "^(a|b)$"}),
                "must match `^(a|b)$`",
            ),
            (json!({"type": "string"}), "must be a string"),
            (json!({"type": "array"}), "must be an array"),
        ] {
            assert_eq!(allowed(&schema), words);
        }
        assert_eq!(
            kind(&json!({"type": "string", "maxLength": 9})),
            "must be a string"
        );
    }
}
