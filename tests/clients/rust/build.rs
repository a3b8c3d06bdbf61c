//! Generates the client from the OpenAPI document, after the changes that progenitor needs.

use std::path::Path;
use std::{env, fs};

use serde_json::{Value, json};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    println!("cargo::rerun-if-env-changed=SPEC");
    let spec = env::var("SPEC").unwrap_or_else(|_| "../../../openapi/polls.json".to_owned());
    println!("cargo::rerun-if-changed={spec}");
    let mut document: Value = serde_json::from_str(&fs::read_to_string(spec)?)?;
    for path in objects(&mut document["paths"]) {
        for operation in objects(path) {
            one_error_type(operation);
        }
    }
    // Nothing refers to the types of single problems any more.
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        schemas.retain(|name, _| name == "Problem" || !name.ends_with("Problem"));
    }
    document["components"]["schemas"]["TokenFailure"] = json!({
        "description": "Why there are no tokens.",
        "oneOf": [reference("GrantError"), reference("Problem")],
    });
    let document: openapiv3::OpenAPI = serde_json::from_value(document)?;
    let mut settings = progenitor_impl::GenerationSettings::new();
    settings.with_interface(progenitor_impl::InterfaceStyle::Builder);
    let client = progenitor_impl::Generator::new(&settings).generate_tokens(&document)?;
    let out = env::var("OUT_DIR")?;
    fs::write(Path::new(&out).join("polls.rs"), client.to_string())?;
    Ok(())
}

/// progenitor has one type for all failures of an operation, and knows JSON by its plain name only.
fn one_error_type(operation: &mut Value) {
    let failure = match operation["operationId"].as_str() {
        Some("issueToken") => reference("TokenFailure"),
        _ => reference("Problem"),
    };
    for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
        if status.starts_with(['4', '5']) {
            *response = json!({
                "description": "",
                "content": {"application/json": {"schema": failure}},
            });
        }
    }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn objects(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    value
        .as_object_mut()
        .into_iter()
        .flat_map(|map| map.values_mut())
}
