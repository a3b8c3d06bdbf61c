use super::*;

/// What `getThing` declares.
const POLICY: &str =
    r#"{"max_body": 7, "rate": "Streams", "survives_disconnect": true, "links": null}"#;

/// A document as poem writes it.
fn raw() -> Value {
    let text = |name: &str| json!({"schema": {"$ref": format!("#/components/schemas/{name}")}});
    json!({
        "openapi": "3.0.0",
        "info": {"title": "x", "version": "1"},
        "servers": [],
        "tags": [{"name": "A", "description": "Last."}, {"name": "B", "description": "First\nof all."}],
        "paths": {
            "/things/{id}": {
                "get": {
                    "tags": ["B"],
                    "operationId": "getThing",
                    "security": [{"token": []}, {}],
                    "parameters": [{
                        "name": "part", "in": "query", "required": false, "explode": true,
                        "deprecated": false,
                        "schema": {"allOf": [{"$ref": "#/components/schemas/Part"}, {"default": "y"}]},
                    }],
                    "responses": {
                        "200": {
                            "description": "", "content": {"application/json": text("Thing")},
                            "headers": {"ETAG": {"schema": {"type": "string"}}},
                        },
                        "304": {"description": ""},
                        "404": {
                            "description": "", "content": {"application/problem+json": text("Problem")},
                            "headers": {
                                "not_found": {"schema": {"type": "string"}},
                                "policy": {"description": POLICY, "schema": {"type": "string"}},
                            },
                        },
                    },
                },
                "put": {
                    "tags": ["A"],
                    "operationId": "putThing",
                    "security": [{"token": []}],
                    "parameters": [{"name": "IF-MATCH", "in": "header", "schema": {"type": "string"}}],
                    "requestBody": {"content": {"application/json": text("Thing")}, "required": true},
                    "responses": {"204": {"description": ""}},
                },
            },
            "/token": {
                "post": {
                    "tags": ["A"],
                    "operationId": "token",
                    "requestBody": {"content": {"application/x-www-form-urlencoded": text("Form")}},
                    "responses": {
                        "200": {"description": "", "content": {
                            "application/json": text("Thing"), "x-events": text("Thing"),
                        }},
                        "400": {"description": "", "content": {"application/json": text("Form")}},
                    },
                },
            },
        },
        "components": {
            "schemas": {
                "Thing": {"type": "object", "title": "Thing", "description": "A thing."},
                "Form": {"type": "object", "description": "A form."},
                "Part": {"type": "string", "description": "A part.", "enum": ["x", "y"]},
                "Problem": {
                    "type": "object", "description": "What went wrong.", "required": ["code", "title"],
                    "properties": {"code": {"type": "string"}, "title": {"type": "string"}, "errors": {"type": "array"}},
                },
            },
            "securitySchemes": {"token": {"type": "oauth2", "flows": {"password": {}}}},
        },
    })
}

fn described() -> Description {
    finish(&raw().to_string()).unwrap()
}

fn finished() -> Value {
    described().document
}

fn statuses(operation: &Value) -> Vec<&str> {
    operation["responses"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn a_call_lists_what_it_can_answer_and_nothing_else() {
    let document = finished();
    let thing = &document["paths"]["/things/{id}"];
    assert_eq!(
        statuses(&thing["get"]),
        [
            "200", "304", "400", "401", "404", "406", "429", "500", "503"
        ]
    );
    assert_eq!(
        statuses(&thing["put"]),
        [
            "204", "400", "401", "403", "408", "413", "415", "422", "429", "500", "503"
        ]
    );
    assert_eq!(
        statuses(&document["paths"]["/token"]["post"]),
        [
            "200", "400", "406", "408", "413", "415", "429", "500", "503"
        ]
    );
}

#[test]
fn security_is_said_of_each_call() {
    let document = finished();
    let thing = &document["paths"]["/things/{id}"];
    assert_eq!(thing["get"]["security"], json!([{"token": []}, {}]));
    assert_eq!(thing["put"]["security"], json!([{"token": []}]));
    assert_eq!(document["paths"]["/token"]["post"]["security"], json!([]));
    assert_eq!(
        document["components"]["securitySchemes"]["token"],
        json!({"type": "oauth2", "flows": {"password": {"scopes": {}}}})
    );
}

#[test]
fn a_call_with_a_400_of_its_own_has_no_other() {
    let document = finished();
    let refused = &document["paths"]["/token"]["post"]["responses"]["400"];
    let forms: Vec<_> = refused["content"].as_object().unwrap().keys().collect();
    assert_eq!(forms, ["application/json"]);
    let checks: Vec<_> = described()
        .operations
        .iter()
        .map(|row| row.checks_query)
        .collect();
    assert_eq!(checks, [false, false, true]);
}

#[test]
fn reading_can_be_conditional() {
    let get = &finished()["paths"]["/things/{id}"]["get"];
    assert_eq!(
        get["parameters"][1]["$ref"],
        "#/components/parameters/IfNoneMatch"
    );
    assert_eq!(
        get["parameters"][0],
        json!({
            "name": "part", "in": "query", "required": false,
            "schema": {"default": "y", "type": "string", "enum": ["x", "y"]}, "example": "y",
        })
    );
    let etag = json!({"$ref": "#/components/headers/ETag"});
    assert_eq!(get["responses"]["200"]["headers"]["ETag"], etag);
    assert_eq!(get["responses"]["304"]["headers"]["ETag"], etag);
    assert_eq!(
        finished()["paths"]["/things/{id}"]["put"]["parameters"][0]["name"],
        "If-Match"
    );
}

#[test]
fn each_kind_of_problem_adds_its_code_to_a_base_without_one() {
    let document = finished();
    let schemas = &document["components"]["schemas"];
    let names = |schema: &Value| {
        let properties = schema["properties"].as_object().unwrap();
        properties.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(names(&schemas["ProblemBase"]), ["title"]);
    assert_eq!(schemas["ProblemBase"]["required"], json!(["title"]));
    for (name, own) in [
        ("Problem", &["code", "errors"][..]),
        ("NotFoundProblem", &["code"]),
    ] {
        let parts = &schemas[name]["allOf"];
        assert_eq!(
            parts[0],
            json!({"$ref": "#/components/schemas/ProblemBase"})
        );
        assert_eq!(names(&parts[1]), own, "{name}");
    }
}

#[test]
fn messages_are_extensions_of_their_operation() {
    let document = finished();
    let token = &document["paths"]["/token"]["post"];
    assert_eq!(
        token["x-events"],
        json!({"$ref": "#/components/schemas/Thing"})
    );
    let bodies = token["responses"]["200"]["content"].as_object().unwrap();
    assert_eq!(bodies.keys().collect::<Vec<_>>(), ["application/json"]);
}

#[test]
fn a_schema_that_was_written_where_it_is_used_has_no_name() {
    assert!(finished()["components"]["schemas"].get("Part").is_none());
}

#[test]
fn json_bodies_are_closed_and_forms_are_open() {
    let document = finished();
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["Thing"]["additionalProperties"], false);
    assert!(schemas["Form"].get("additionalProperties").is_none());
}

#[test]
fn tags_come_in_the_order_of_their_calls() {
    assert_eq!(
        finished()["tags"],
        json!([{"name": "B", "description": "First of all."}, {"name": "A", "description": "Last."}])
    );
}

#[test]
fn a_status_or_path_that_is_there_twice_is_a_flaw() {
    let once = r#""204":{"description":""}"#;
    let twice = raw().to_string().replace(once, &format!("{once},{once}"));
    let flaw = finish(&twice).unwrap_err().to_string();
    assert!(flaw.contains("`204` is there twice"), "{flaw}");
}

#[test]
fn an_operation_has_the_policy_that_it_declares() {
    let operations = described().operations;
    let rates: Vec<_> = operations.iter().map(|row| row.rate).collect();
    let writes = Some(Kind::Writes);
    assert_eq!(rates, [Some(Kind::Streams), writes, writes]);
    assert_eq!(operations[0].max_body, Some(7));
    assert!(operations[0].survives_disconnect && !operations[1].survives_disconnect);
    assert!(!finished().to_string().contains("policy"));
}

#[test]
fn the_table_of_routes_is_made_from_it() {
    let operations = described().operations;
    let rows: Vec<_> = operations
        .iter()
        .map(|row| {
            (
                row.method.as_str(),
                row.path.as_str(),
                row.parameters.len(),
                row.produces.len(),
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("GET", "/api/v1/things/{id}", 2, 1),
            ("PUT", "/api/v1/things/{id}", 1, 0),
            ("POST", "/api/v1/token", 0, 1),
        ]
    );
}
