//! Links: which operations go on with what another one answers.
//!
//! Tools that try an API in earnest follow them, and readers see what can come next.

use serde_json::{Map, Value, json};

/// What an answer knows: for a status of an operation, path parameters and where they are.
struct Source {
    operation: &'static str,
    status: &'static str,
    parameters: &'static [(&'static str, &'static str)],
}

const SOURCES: [Source; 6] = [
    Source {
        operation: "createUser",
        status: "201",
        parameters: &[("user_id", "$response.body#/id")],
    },
    Source {
        operation: "listSessions",
        status: "200",
        parameters: &[("session_id", "$response.body#/data/0/id")],
    },
    Source {
        operation: "createQuestion",
        status: "201",
        parameters: &[("question_id", "$response.body#/id")],
    },
    Source {
        operation: "deleteQuestion",
        status: "204",
        parameters: &[("question_id", "$request.path.question_id")],
    },
    Source {
        operation: "addChoice",
        status: "201",
        parameters: &[
            ("question_id", "$request.path.question_id"),
            ("choice_id", "$response.body#/id"),
        ],
    },
    Source {
        operation: "castBallot",
        status: "201",
        parameters: &[("question_id", "$request.path.question_id")],
    },
];

/// Adds the links to the operations below `paths`: from each source to whatever has its path
/// parameters and no others, and from each page to the next.
pub(super) fn add(paths: &mut Map<String, Value>) {
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
        let id = operation["operationId"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        for source in SOURCES.iter().filter(|source| source.operation == id) {
            let known: Vec<_> = source.parameters.iter().map(|(name, _)| *name).collect();
            let fits = |target: &&(String, Vec<String>)| target.1 == known && target.0 != id;
            for (target, _) in targets.iter().filter(fits) {
                let parameters: Map<String, Value> = source
                    .parameters
                    .iter()
                    .map(|(name, place)| ((*name).to_owned(), json!(place)))
                    .collect();
                link(operation, source.status, target, parameters);
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
