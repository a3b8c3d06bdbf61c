//! The OpenAPI document, from what poem-openapi gathers to what is served and checked in.
//!
//! poem knows paths, parameters, schemas and each call's own failures. What holds for all calls is
//! added here, and what generators stumble over is mended: [`finish`] has the whole list.

mod about;
mod calls;
mod file;
mod links;
mod parameters;
mod responses;
mod schemas;
mod served;
mod site;
mod strict;
mod tag;

use std::collections::HashMap;
use std::marker::PhantomData;

use http::Method;
use poem::endpoint::BoxEndpoint;
use poem_openapi::registry::{MetaApi, Registry};
use poem_openapi::{OpenApi, OpenApiService};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

pub use self::file::{CHECKED_IN, FileError, run};
pub use self::served::served;
pub use self::site::add;
pub use self::tag::Tag;

use self::responses::Shared;
use super::API;
use super::rates::Kind;
use super::routes::Operation;

/// The name of the security scheme.
pub const SECURITY_SCHEME: &str = "token";

/// Under this name calls declare that they take the tokens of guests, too. The finished document has
/// [`SECURITY_SCHEME`] instead.
pub const VOTER_SCHEME: &str = "voter";

/// Extensions of an operation: the type of the events that it sends, and that of the message that it
/// waits for. Generators make types of all that is named in the document.
pub const EVENTS: &str = "x-events";
pub const FIRST_MESSAGE: &str = "x-first-message";

/// An extension of the document: the type of any problem, for clients that treat all alike.
const ANY_PROBLEM: &str = "x-problem";

/// Why there is no document to serve. Only a mistake in the program's own API can be the reason.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    #[error("the OpenAPI document is not sound: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the OpenAPI document lacks `{0}`")]
    Missing(&'static str),
}

/// What the API is: to its clients, and to the server.
#[derive(Debug)]
pub struct Description {
    /// The finished OpenAPI document.
    pub document: Value,
    /// The operations of the document, each with its declared policy, for the table of routes.
    pub operations: Vec<Operation>,
}

/// Describes the API `T`. No value of `T` is needed for this.
pub fn describe<T: OpenApi>() -> Result<Description, Flaw> {
    let described = Described::<T>(PhantomData);
    finish(&OpenApiService::new(described, "polls", env!("CARGO_PKG_VERSION")).spec())
}

/// An API that is described but not served, so that no database is needed.
struct Described<T>(PhantomData<T>);

impl<T: OpenApi> OpenApi for Described<T> {
    fn meta() -> Vec<MetaApi> {
        T::meta()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn add_routes(self, _: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {}
}

/// Turns poem's document into ours.
///
/// - Says what the API is, and where.
/// - Gives each operation its security, every status that it can answer with, and what is written
///   about each; shares what is the same.
/// - Gives each problem a type with the codes that it may have.
/// - Moves the types of messages to extensions of their operations.
/// - Links operations to those that go on with what they answer.
/// - Mends schemas: defaults and descriptions beside references, constants and what may be null where they are used, no
///   `default: null`, whole numbers, formats that OpenAPI has, request bodies without other fields
///   and without defaults, examples without needless nulls, problems with an enum of codes. Drops
///   those that nothing refers to any more.
///
/// # Errors
///
/// When a key is there twice, as it is where two handlers share a path or two answers a status.
pub fn finish(text: &str) -> Result<Description, Flaw> {
    let mut raw = strict::parse(text)?;
    let mut schemas = take(&mut raw["components"]["schemas"], "components.schemas")?;
    let paths = take(&mut raw["paths"], "paths")?;

    schemas::mend_named(&mut schemas);
    schemas::inline_constants(&mut schemas);
    schemas::inline_nullables(&mut schemas);
    schemas::close_objects(&mut schemas, &received(&paths));
    responses::split_problem(&mut schemas);

    let mut shared = Shared::default();
    let mut finished = Map::new();
    let mut policies = HashMap::new();
    for (path, methods) in paths {
        let Value::Object(methods) = methods else {
            return Err(Flaw::Missing("operations"));
        };
        let mut operations = Map::new();
        for (method, operation) in methods {
            let Value::Object(operation) = operation else {
                return Err(Flaw::Missing("operations"));
            };
            let policy = operation.get("responses").and_then(Value::as_object);
            let policy = policy.map(responses::policy).unwrap_or_default();
            let operation = calls::finish(&method, operation, &schemas, &mut shared);
            if let Some(id) = operation["operationId"].as_str() {
                policies.insert(id.to_owned(), policy);
            }
            operations.insert(method, operation);
        }
        finished.insert(path, Value::Object(operations));
    }
    links::add(&mut finished, &policies);
    schemas.extend(shared.schemas);
    let tags = tags(&raw["tags"], &finished);
    let mut components = json!({
        "schemas": schemas,
        "responses": shared.responses,
        "parameters": about::parameters(),
        "headers": about::headers(),
    });
    if let Some(schemes) = raw["components"].get_mut("securitySchemes") {
        components["securitySchemes"] = security_schemes(schemes.take());
    }
    let mut document = json!({
        "openapi": about::OPENAPI,
        "info": about::info(),
        "servers": about::servers(),
        "security": [{SECURITY_SCHEME: []}],
        "tags": tags,
        "paths": finished,
        "components": components,
        ANY_PROBLEM: {"$ref": "#/components/schemas/Problem"},
    });
    schemas::drop_unused(&mut document);
    let operations = operations(&document, &policies);
    Ok(Description {
        document,
        operations,
    })
}

/// The operations of a finished document.
fn operations(document: &Value, policies: &HashMap<String, Value>) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            if let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) {
                let answers = operation["responses"].as_object();
                let id = operation["operationId"].as_str().unwrap_or_default();
                let policy = policies.get(id).unwrap_or(&Value::Null);
                let rate = Kind::deserialize(&policy["rate"]).ok();
                let by_method = match method {
                    Method::GET => Kind::Reads,
                    _ => Kind::Writes,
                };
                operations.push(Operation {
                    checks_query: answers.is_some_and(calls::answers_400_itself),
                    parameters: parameters::of(document, operation),
                    produces: produces(operation),
                    max_body: policy["max_body"].as_u64(),
                    rate: Some(rate.unwrap_or(by_method)),
                    survives_disconnect: policy["survives_disconnect"] == true,
                    takes_body: operation.get("requestBody").is_some(),
                    counts_itself: operation["security"]
                        .as_array()
                        .is_some_and(|security| !security.is_empty()),
                    ..Operation::new(method, format!("{API}{path}"))
                });
            }
        }
    }
    operations
}

fn produces(operation: &Value) -> Vec<String> {
    let answers = operation["responses"].as_object().into_iter().flatten();
    let mut produces: Vec<String> = answers
        .filter(|(status, _)| status.starts_with('2'))
        .filter_map(|(_, answer)| answer["content"].as_object())
        .flat_map(|content| content.keys().cloned())
        .collect();
    produces.sort_unstable();
    produces.dedup();
    produces
}

fn take(value: &mut Value, name: &'static str) -> Result<Map<String, Value>, Flaw> {
    match value.take() {
        Value::Object(map) => Ok(map),
        _ => Err(Flaw::Missing(name)),
    }
}

/// The schemas of all JSON that the server receives. Forms are OAuth's, which ignores what it doesn't
/// know.
fn received(paths: &Map<String, Value>) -> Vec<Value> {
    let methods = paths.values().filter_map(Value::as_object);
    let json = methods.flat_map(Map::values).flat_map(|operation| {
        let body = &operation["requestBody"]["content"]["application/json"];
        [
            body,
            &operation["responses"]["101"]["content"][FIRST_MESSAGE],
        ]
    });
    json.map(|media| media["schema"].clone()).collect()
}

/// A flow must list its scopes, though there are none.
fn security_schemes(mut schemes: Value) -> Value {
    for scheme in schemes
        .as_object_mut()
        .into_iter()
        .flat_map(Map::values_mut)
    {
        let flows = scheme.get_mut("flows").and_then(Value::as_object_mut);
        for flow in flows
            .into_iter()
            .flat_map(Map::values_mut)
            .filter_map(Value::as_object_mut)
        {
            flow.entry("scopes").or_insert_with(|| json!({}));
        }
    }
    schemes
}

/// The tags in the order of their first operations, which is how a reader meets them.
fn tags(declared: &Value, paths: &Map<String, Value>) -> Vec<Value> {
    let mut tags: Vec<Value> = declared.as_array().cloned().unwrap_or_default();
    let methods = paths.values().filter_map(Value::as_object);
    let used = methods
        .flat_map(Map::values)
        .filter_map(|operation| operation["tags"].get(0));
    let used: Vec<&Value> = used.collect();
    tags.retain(|tag| used.contains(&&tag["name"]));
    tags.sort_by_key(|tag| used.iter().position(|name| **name == tag["name"]));
    for tag in &mut tags {
        if let Value::String(text) = &mut tag["description"] {
            *text = schemas::unwrap_lines(text);
        }
    }
    tags
}

#[cfg(test)]
mod tests;
