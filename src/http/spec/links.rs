//! Links: which operations take what another operation answers.
//!
//! Test generators follow links, and readers see which calls can come next.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

/// Adds links to the operations below `paths`: from each answer for which an operation's policy
/// declares [`Links`](crate::http::policy::Links), and from each page of a list to the next.
pub(super) fn add(paths: &mut Map<String, Value>, policies: &HashMap<String, Value>) {
    let targets: Vec<(String, Vec<String>)> = paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().into_iter().flat_map(Map::values);
            methods.filter_map(move |operation| Some((operation["operationId"].as_str()?, path)))
        })
        .map(|(id, path)| (id.to_owned(), parameters(path)))
        .collect();
    for operation in paths
        .values_mut()
        .filter_map(Value::as_object_mut)
        .flat_map(Map::values_mut)
    {
        let id = operation["operationId"].as_str().unwrap_or_default();
        let id = id.to_owned();
        let links = policies.get(&id).map(|policy| &policy["links"]);
        let known = links.and_then(|links| links["parameters"].as_array());
        let known: Vec<(&str, &Value)> = known
            .into_iter()
            .flatten()
            .filter_map(|parameter| Some((parameter[0].as_str()?, &parameter[1])))
            .collect();
        for (target, path) in &targets {
            let fits = path.iter().eq(known.iter().map(|(name, _)| name));
            if let Some(links) = links.filter(|_| fits && !known.is_empty() && *target != id) {
                let known = known.iter();
                let known = known.map(|(name, value)| ((*name).to_owned(), (*value).clone()));
                let status = links["status"].to_string();
                link(operation, &status, target, known.collect());
            }
        }
        let pages = operation["parameters"].as_array().into_iter().flatten();
        if pages
            .into_iter()
            .any(|parameter| parameter["name"] == "cursor")
        {
            let next = json!("$response.body#/meta/next_cursor");
            let parameters = [("cursor".to_owned(), next)].into_iter().collect();
            link(operation, "200", &id, parameters);
        }
    }
}

fn link(operation: &mut Value, status: &str, target: &str, parameters: Map<String, Value>) {
    if let Some(answer) = operation["responses"].get_mut(status) {
        answer["links"][target] = json!({"operationId": target, "parameters": parameters});
    }
}

/// The names of a path's parameters.
fn parameters(path: &str) -> Vec<String> {
    let parts = path.split('/');
    parts
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(str::to_owned)
        .collect()
}
