//! Schemas as OpenAPI 3.0 and its generators want them.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// Mends one schema and all that are written inside it.
pub(super) fn mend(schema: &mut Value) {
    visit(schema, &mut |schema| {
        lift_annotations(schema);
        schema.retain(|key, value| key != "default" || !value.is_null());
        for bound in ["minimum", "maximum", "multipleOf"] {
            if let Some(bound) = schema.get_mut(bound) {
                make_whole(bound);
            }
        }
        name_known_format(schema);
        name_descending_orders(schema);
        if let Some(Value::String(text)) = schema.get_mut("description") {
            *text = unwrap_lines(text);
        }
    });
    shorten_references(schema);
}

/// Mends the named schemas, whose `title` would only repeat the name.
pub(super) fn mend_named(schemas: &mut Map<String, Value>) {
    for (name, schema) in schemas.iter_mut() {
        mend(schema);
        if let Value::Object(schema) = schema {
            schema.retain(|key, value| key != "title" || value != name);
        }
    }
    let known = schemas.clone();
    for schema in schemas.values_mut() {
        if let Some(mut example) = schema.get("example").cloned() {
            leave_out_nulls(&mut example, schema, &known);
            schema["example"] = example;
        }
    }
}

/// Writes enums of one value where they are used: a type of its own for each constant would say
/// nothing.
pub(super) fn inline_constants(schemas: &mut Map<String, Value>) {
    let is_constant = |schema: &Value| schema["enum"].as_array().is_some_and(|all| all.len() == 1);
    let (constants, mut rest): (Map<_, _>, Map<_, _>) = std::mem::take(schemas)
        .into_iter()
        .partition(|(_, schema)| is_constant(schema));
    for schema in rest.values_mut() {
        visit(schema, &mut |schema| {
            let target = match schema.get("allOf").and_then(Value::as_array) {
                Some(all) if all.len() == 1 => all[0]["$ref"].as_str(),
                _ => schema.get("$ref").and_then(Value::as_str),
            };
            let name = target.and_then(|target| target.rsplit('/').next());
            if let Some(Value::Object(constant)) = name.and_then(|name| constants.get(name)) {
                let own = std::mem::replace(schema, constant.clone());
                schema.extend(own.into_iter().filter(|(key, _)| key == "description"));
            }
        });
    }
    *schemas = rest;
}

/// Writes named schemas where they are used if they may be null there: OpenAPI 3.0 knows `nullable`
/// only beside a `type`, and an `enum` has to list the null.
pub(super) fn inline_nullables(schemas: &mut Map<String, Value>) {
    let known = schemas.clone();
    for schema in schemas.values_mut() {
        visit(schema, &mut |schema| {
            let target = match schema.get("allOf").and_then(Value::as_array) {
                Some(all) if all.len() == 1 && schema.contains_key("nullable") => &all[0]["$ref"],
                _ => return,
            };
            let name = target.as_str().and_then(|target| target.rsplit('/').next());
            if let Some(Value::Object(named)) = name.and_then(|name| known.get(name)) {
                let own = std::mem::replace(schema, named.clone());
                schema.extend(own.into_iter().filter(|(key, _)| key != "allOf"));
                if let Some(Value::Array(values)) = schema.get_mut("enum") {
                    values.push(Value::Null);
                }
            }
        });
    }
}

/// Says that the objects below a request body have no other fields. What holds where a field is
/// absent stands in its description alone: some generators make a field with a default required.
pub(super) fn close_objects(schemas: &mut Map<String, Value>, bodies: &[Value]) {
    let mut names = BTreeSet::new();
    let mut next: Vec<String> = bodies.iter().flat_map(references).collect();
    while let Some(name) = next.pop() {
        if let Some(schema) = schemas.get(&name)
            && names.insert(name)
        {
            next.extend(references(schema));
        }
    }
    for name in names {
        visit(&mut schemas[&name], &mut |schema| {
            schema.shift_remove("default");
            // The alternatives of a `oneOf` are closed by themselves.
            if schema.get("type") == Some(&json!("object")) && !schema.contains_key("oneOf") {
                schema.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
        });
    }
}

/// Removes the named schemas of a finished document that nothing refers to, such as those that were
/// written where they are used.
pub(super) fn drop_unused(document: &mut Value) {
    let used: BTreeSet<String> = references(document).into_iter().collect();
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        schemas.retain(|name, _| used.contains(name));
    }
}

/// The names of the schemas that `value` refers to.
fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| match (key.as_str(), value) {
                ("$ref", Value::String(target)) => target
                    .rsplit('/')
                    .next()
                    .map(str::to_owned)
                    .into_iter()
                    .collect(),
                _ => references(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// Calls `change` for a schema and all that are written inside it.
fn visit(schema: &mut Value, change: &mut dyn FnMut(&mut Map<String, Value>)) {
    let Value::Object(schema) = schema else {
        return;
    };
    change(schema);
    for_each_below(schema, &mut |below| visit(below, change));
}

fn for_each_below(schema: &mut Map<String, Value>, act: &mut dyn FnMut(&mut Value)) {
    for (key, below) in schema.iter_mut() {
        match (key.as_str(), below) {
            ("items" | "additionalProperties" | "not", below) => act(below),
            ("properties", Value::Object(properties)) => {
                properties.values_mut().for_each(&mut *act);
            }
            ("allOf" | "anyOf" | "oneOf", Value::Array(all)) => all.iter_mut().for_each(&mut *act),
            _ => {}
        }
    }
}

/// `allOf: [{$ref}, {default}]` asks for a new type in some generators, and is one without a type
/// in others. Beside an `allOf` of the reference alone, the default is understood by all.
fn lift_annotations(schema: &mut Map<String, Value>) {
    let Some(Value::Array(all)) = schema.get_mut("allOf") else {
        return;
    };
    let (references, annotations): (Vec<_>, Vec<_>) = std::mem::take(all)
        .into_iter()
        .partition(|part| part.get("$ref").is_some());
    *all = references;
    for annotation in annotations {
        if let Value::Object(annotation) = annotation {
            schema.extend(annotation);
        }
    }
}

/// An `allOf` of one reference, with nothing beside it, is that reference.
fn shorten_references(schema: &mut Value) {
    if let Value::Object(map) = schema {
        if map.len() == 1
            && let Some(Value::Array(all)) = map.get_mut("allOf")
            && all.len() == 1
        {
            *schema = all.swap_remove(0);
            return;
        }
        for_each_below(map, &mut shorten_references);
    }
}

fn make_whole(bound: &mut Value) {
    if let Some(number) = bound.as_f64()
        && number.fract() == 0.0
        && number.abs() < 2f64.powi(53)
    {
        *bound = Value::from(number as i64);
    }
}

/// OpenAPI has no unsigned formats: a minimum says the same.
fn name_known_format(schema: &mut Map<String, Value>) {
    let known = match schema.get("format").and_then(Value::as_str) {
        Some("uint8" | "uint16" | "uint32") => "int32",
        Some("uint64") => "int64",
        _ => return,
    };
    schema.insert("format".to_owned(), known.into());
    schema.entry("minimum").or_insert(0.into());
}

/// `-created_at` is no identifier, and without the sign it is the name of another order. This
/// extension is what most generators take names from.
fn name_descending_orders(schema: &mut Map<String, Value>) {
    let Some(Value::Array(values)) = schema.get("enum") else {
        return;
    };
    let names = values.iter().filter_map(Value::as_str);
    let names: Vec<_> = names
        .map(|name| match name.strip_prefix('-') {
            Some(name) => format!("{}_DESC", name.to_uppercase()),
            None => name.to_uppercase(),
        })
        .collect();
    if names.iter().any(|name| name.ends_with("_DESC")) {
        schema.insert("x-enum-varnames".to_owned(), names.into());
    }
}

/// Makes one line of each paragraph: the source's width is nothing that a reader of the document
/// should see.
pub(super) fn unwrap_lines(text: &str) -> String {
    let mut unwrapped = String::with_capacity(text.len());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        unwrapped.push_str(line.trim());
        let Some(next) = lines.peek() else {
            break;
        };
        let goes_on = !line.trim().is_empty()
            && !next.trim().is_empty()
            && !next.trim_start().starts_with("- ");
        unwrapped.push(if goes_on { ' ' } else { '\n' });
    }
    unwrapped
}

/// Makes an example as clients write it: what has no value is left out.
fn leave_out_nulls(example: &mut Value, schema: &Value, known: &Map<String, Value>) {
    let named = references(schema);
    let schema = match (schema.get("$ref"), named.first()) {
        (Some(_), Some(name)) => known.get(name).unwrap_or(schema),
        _ => schema,
    };
    match example {
        Value::Object(fields) => {
            let properties = &schema["properties"];
            let nullable = |name: &str| properties[name]["nullable"] == Value::Bool(true);
            fields.retain(|name, value| !value.is_null() || nullable(name));
            for (name, value) in fields.iter_mut() {
                leave_out_nulls(value, &properties[name.as_str()], known);
            }
        }
        Value::Array(items) => {
            for item in items {
                leave_out_nulls(item, &schema["items"], known);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(mut schema: Value) -> Value {
        mend(&mut schema);
        schema
    }

    fn named(schemas: Value) -> Map<String, Value> {
        let Value::Object(mut schemas) = schemas else {
            panic!("not an object");
        };
        mend_named(&mut schemas);
        schemas
    }

    #[test]
    fn annotations_stand_beside_the_reference() {
        let kind = json!({"$ref": "#/components/schemas/Kind"});
        assert_eq!(
            mended(json!({"properties": {"kind": {"allOf": [kind, {"default": "a"}]}}})),
            json!({"properties": {"kind": {"allOf": [kind], "default": "a"}}})
        );
        assert_eq!(
            mended(json!({"items": {"allOf": [kind, {}]}})),
            json!({"items": kind})
        );
    }

    #[test]
    fn numbers_and_formats_are_those_of_openapi() {
        assert_eq!(
            mended(json!({"format": "uint32", "maximum": 100.0, "default": null})).to_string(),
            r#"{"format":"int32","maximum":100,"minimum":0}"#
        );
        assert_eq!(mended(json!({"minimum": 0.5})), json!({"minimum": 0.5}));
        assert_eq!(
            mended(json!({"format": "uint64", "minimum": 1.0})),
            json!({"format": "int64", "minimum": 1})
        );
    }

    #[test]
    fn a_constant_stands_where_it_is_used() {
        let mut schemas = named(json!({
            "Kind": {"type": "string", "description": "A kind.", "enum": ["a"]},
            "Pair": {"type": "string", "enum": ["a", "b"]},
            "Thing": {"properties": {
                "plain": {"$ref": "#/x/Kind"},
                "described": {"allOf": [{"$ref": "#/x/Kind"}, {"description": "Ours."}]},
                "other": {"$ref": "#/x/Pair"},
            }},
        }));
        inline_constants(&mut schemas);
        let names: Vec<_> = schemas.keys().collect();
        assert_eq!(names, ["Pair", "Thing"]);
        assert_eq!(
            schemas["Thing"]["properties"],
            json!({
                "plain": {"type": "string", "description": "A kind.", "enum": ["a"]},
                "described": {"type": "string", "description": "Ours.", "enum": ["a"]},
                "other": {"$ref": "#/x/Pair"},
            })
        );
    }

    #[test]
    fn what_may_be_null_has_a_type() {
        let mut schemas = named(json!({
            "Kind": {"type": "string", "description": "A kind.", "enum": ["a", "b"]},
            "Patch": {"properties": {
                "kind": {"allOf": [{"$ref": "#/x/Kind"}, {"nullable": true, "description": "New."}]},
                "other": {"allOf": [{"$ref": "#/x/Kind"}, {"description": "Old."}]},
            }},
        }));
        inline_nullables(&mut schemas);
        assert_eq!(
            schemas["Patch"]["properties"],
            json!({
                "kind": {"type": "string", "description": "New.", "enum": ["a", "b", null], "nullable": true},
                "other": {"allOf": [{"$ref": "#/x/Kind"}], "description": "Old."},
            })
        );
    }

    #[test]
    fn descending_orders_have_names() {
        assert_eq!(
            mended(json!({"enum": ["-created_at", "closes_at"]})),
            json!({
                "enum": ["-created_at", "closes_at"],
                "x-enum-varnames": ["CREATED_AT_DESC", "CLOSES_AT"],
            })
        );
        let plain = json!({"enum": ["a", 1]});
        assert_eq!(mended(plain.clone()), plain);
    }

    #[test]
    fn a_property_may_be_named_like_a_keyword() {
        let schema = json!({"properties": {"default": {"type": "string"}, "allOf": {}}});
        assert_eq!(mended(schema.clone()), schema);
    }

    #[test]
    fn paragraphs_and_lists_stay_apart() {
        assert_eq!(
            unwrap_lines("a\nb\n\nc:\n- d\n  e\n- f"),
            "a b\n\nc:\n- d e\n- f"
        );
    }

    #[test]
    fn examples_keep_only_nulls_that_mean_something() {
        let schemas = named(json!({
            "Patch": {
                "title": "Patch",
                "properties": {
                    "plain": {"type": "string"},
                    "clearable": {"type": "string", "nullable": true},
                    "inner": {"type": "array", "items": {"$ref": "#/components/schemas/Inner"}},
                },
                "example": {"plain": null, "clearable": null, "inner": [{"x": null}]},
            },
            "Inner": {"title": "Something else", "properties": {"x": {"type": "string"}}},
        }));
        assert_eq!(
            schemas["Patch"]["example"],
            json!({"clearable": null, "inner": [{}]})
        );
        assert!(schemas["Patch"].get("title").is_none());
        assert!(schemas["Inner"].get("title").is_some());
    }

    #[test]
    fn bodies_are_closed_all_the_way_down() {
        let mut schemas = named(json!({
            "New": {"type": "object", "properties": {
                "of": {"items": {"$ref": "#/x/Part"}}, "size": {"type": "integer", "default": 1},
            }},
            "Part": {"type": "object"},
            "Other": {"type": "object"},
        }));
        close_objects(&mut schemas, &[json!({"$ref": "#/x/New"})]);
        let closed = |name: &str| schemas[name].get("additionalProperties").is_some();
        assert!(closed("New") && closed("Part") && !closed("Other"));
        assert_eq!(
            schemas["New"]["properties"]["size"],
            json!({"type": "integer"})
        );
    }
}
