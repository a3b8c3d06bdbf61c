//! What of one OpenAPI document a client of another one relies on in vain.
//!
//! Requests may be taken more widely, answers may say more: the other way round is a break. An
//! enum in answers may not grow, since clients switch on it, but for the codes of problems, which
//! clients are told to bear with.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value, json};

use crate::support::schema::resolve;

/// Something that a client may rely on, and cannot any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// The operation's id, or the name of a schema.
    pub of: String,
    pub what: String,
}

impl fmt::Display for Break {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.of, self.what)
    }
}

/// Everything that breaks clients of `old` where `new` is served.
pub fn breaks(old: &Value, new: &Value) -> Vec<Break> {
    let mut found = Vec::new();
    if old["servers"] != new["servers"] {
        let what = "the server's address has changed".to_owned();
        let of = "servers".to_owned();
        found.push(Break { of, what });
    }
    for (path, method, was) in operations(old) {
        let mut comparison = Comparison {
            old,
            new,
            found: Vec::new(),
        };
        match new["paths"][path].get(method) {
            Some(is) => comparison.operation(was, is),
            None => comparison.note(format!("{method} {path} is gone")),
        }
        let of = was["operationId"].as_str().unwrap_or_default();
        found.extend(comparison.found.into_iter().map(|what| Break {
            of: of.to_owned(),
            what,
        }));
    }
    for (name, _) in fields(&old["components"]["schemas"]) {
        if new["components"]["schemas"].get(name).is_none() {
            found.push(Break {
                of: name.clone(),
                what: "the type is gone, or has another name".to_owned(),
            });
        }
    }
    found
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    fields(&document["paths"]).flat_map(|(path, methods)| {
        fields(methods).map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn strings(value: &Value) -> BTreeSet<&str> {
    let items = value.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).collect()
}

/// Which way a value goes, and with it what a client may find changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// To the server, which must take what it took.
    Sent,
    /// To the client, which must find what it found.
    Answered,
    /// The same, in a problem, of which new kinds may come.
    Problem,
}

struct Comparison<'a> {
    old: &'a Value,
    new: &'a Value,
    found: Vec<String>,
}

impl Comparison<'_> {
    fn note(&mut self, what: impl Into<String>) {
        self.found.push(what.into());
    }

    fn operation(&mut self, was: &Value, is: &Value) {
        if was["operationId"] != is["operationId"] {
            self.note(format!("it is called {} now", is["operationId"]));
        }
        if open_to_anyone(was) && !open_to_anyone(is) {
            self.note("it needs a token now");
        }
        self.parameters(was, is);
        match (was.get("requestBody"), is.get("requestBody")) {
            (None, Some(body)) if body["required"] == true => self.note("it needs a body now"),
            (Some(_), None) => self.note("it takes no body any more"),
            (Some(was), Some(is)) => {
                if was["required"] != true && is["required"] == true {
                    self.note("it needs a body now");
                }
                self.content(was, is, Way::Sent, "the body");
            }
            _ => {}
        }
        self.responses(was, is);
    }

    fn parameters(&mut self, was: &Value, is: &Value) {
        let of = |document: &Value, operation: &Value| -> BTreeMap<(String, String), Value> {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let named = |parameter: &Value| {
                let parameter = resolve(document, parameter);
                let text = |key: &str| parameter[key].as_str().unwrap_or_default().to_owned();
                ((text("in"), text("name")), parameter.clone())
            };
            parameters.map(named).collect()
        };
        let (was, is) = (of(self.old, was), of(self.new, is));
        for ((place, name), was) in &was {
            let at = format!("the {place} parameter {name}");
            let Some(is) = is.get(&(place.clone(), name.clone())) else {
                self.note(format!("{at} is gone"));
                continue;
            };
            if was["required"] != true && is["required"] == true {
                self.note(format!("{at} is required now"));
            }
            self.schema(&was["schema"], &is["schema"], Way::Sent, &at);
        }
        for ((place, name), is) in &is {
            if is["required"] == true && !was.contains_key(&(place.clone(), name.clone())) {
                self.note(format!("the new {place} parameter {name} is required"));
            }
        }
    }

    fn responses(&mut self, was: &Value, is: &Value) {
        for (status, was) in fields(&was["responses"]) {
            let Some(is) = is["responses"].get(status) else {
                self.note(format!("the status {status} is gone"));
                continue;
            };
            let (was, is) = (
                resolve(self.old, was).clone(),
                resolve(self.new, is).clone(),
            );
            for (name, header) in fields(&was["headers"]) {
                let required = |document, header| resolve(document, header)["required"] == true;
                match is["headers"].get(name) {
                    None => self.note(format!("{status}: the header {name} is gone")),
                    Some(now) if required(self.old, header) && !required(self.new, now) => {
                        self.note(format!("{status}: the header {name} may be absent now"));
                    }
                    Some(_) => {}
                }
            }
            self.content(&was, &is, Way::Answered, status);
        }
        for (status, _) in fields(&is["responses"]) {
            let fails = status.starts_with(['4', '5']);
            if !fails && was["responses"].get(status).is_none() {
                self.note(format!("it may answer {status} now"));
            }
        }
    }

    fn content(&mut self, was: &Value, is: &Value, way: Way, at: &str) {
        for (media, was) in fields(&was["content"]) {
            let way = match (way, media.as_str()) {
                (Way::Answered, "application/problem+json") => Way::Problem,
                (way, _) => way,
            };
            match is["content"].get(media) {
                None => self.note(format!("{at}: {media} is gone")),
                Some(is) => self.schema(&was["schema"], &is["schema"], way, at),
            }
        }
        if way != Way::Sent && was.get("content").is_none() && is.get("content").is_some() {
            self.note(format!("{at}: there is a body now"));
        }
    }

    fn schema(&mut self, was: &Value, is: &Value, way: Way, at: &str) {
        let (was, is) = (flat(self.old, was), flat(self.new, is));
        for keyword in ["type", "format"] {
            if was.get(keyword) != is.get(keyword) {
                let [was, is] =
                    [&was, &is].map(|schema| schema.get(keyword).unwrap_or(&Value::Null));
                self.note(format!("{at}: the {keyword} was {was} and is {is}"));
            }
        }
        let nullable = |schema: &Map<String, Value>| schema.get("nullable") == Some(&json!(true));
        match (way, nullable(&was), nullable(&is)) {
            (Way::Sent, true, false) => self.note(format!("{at}: null is refused now")),
            (Way::Answered | Way::Problem, false, true) => {
                self.note(format!("{at}: may be null now"));
            }
            _ => {}
        }
        let (was, is) = (Value::Object(was), Value::Object(is));
        self.values(&was, &is, way, at);
        if way == Way::Sent {
            self.limits(&was, &is, at);
        }
        self.fields(&was, &is, way, at);
        if let (Some(was), Some(is)) = (was.get("items"), is.get("items")) {
            self.schema(was, is, way, &format!("{at}/*"));
        }
        self.alternatives(&was, &is, way, at);
    }

    fn values(&mut self, was: &Value, is: &Value, way: Way, at: &str) {
        let (old, new) = (was["enum"].as_array(), is["enum"].as_array());
        let lacks = |values: Option<&Vec<Value>>, value: &Value| {
            values.is_some_and(|values| !values.contains(value))
        };
        for value in old.into_iter().flatten().filter(|value| lacks(new, value)) {
            self.note(format!("{at}: the value {value} is gone"));
        }
        match (old, new) {
            (None, Some(_)) if way == Way::Sent => {
                self.note(format!("{at}: only some values are taken now"));
            }
            (Some(_), None) if way == Way::Answered => {
                self.note(format!("{at}: any value may come now"));
            }
            (Some(_), Some(new)) if way == Way::Answered => {
                for value in new.iter().filter(|value| lacks(old, value)) {
                    self.note(format!("{at}: the value {value} may come now"));
                }
            }
            _ => {}
        }
    }

    /// Limits on what is sent must not be tighter than they were.
    fn limits(&mut self, was: &Value, is: &Value, at: &str) {
        for (keyword, lower) in [
            ("minLength", true),
            ("minItems", true),
            ("minimum", true),
            ("maxLength", false),
            ("maxItems", false),
            ("maximum", false),
        ] {
            let (old, new) = (was[keyword].as_f64(), is[keyword].as_f64());
            let tighter = match (old, new) {
                (Some(old), Some(new)) if lower => new > old,
                (Some(old), Some(new)) => new < old,
                // No length is below nothing.
                (None, Some(new)) => !(lower && keyword != "minimum" && new <= 0.0),
                (_, None) => false,
            };
            if tighter {
                self.note(format!("{at}: {keyword} is tighter"));
            }
        }
        let pattern = is
            .get("pattern")
            .filter(|_| was["pattern"] != is["pattern"]);
        if let Some(pattern) = pattern {
            self.note(format!("{at}: must match {pattern} now"));
        }
        for (keyword, strict) in [("uniqueItems", true), ("additionalProperties", false)] {
            if is[keyword] == strict && was[keyword] != strict {
                self.note(format!("{at}: {keyword} is {strict} now"));
            }
        }
    }

    fn fields(&mut self, was: &Value, is: &Value, way: Way, at: &str) {
        let (needed, needs) = (strings(&was["required"]), strings(&is["required"]));
        for (name, field) in fields(&was["properties"]) {
            let at = format!("{at}/{name}");
            match is["properties"].get(name) {
                None => self.note(format!("{at} is gone")),
                Some(now) => self.schema(field, now, way, &at),
            }
        }
        match way {
            Way::Sent => {
                for name in needs.difference(&needed) {
                    self.note(format!("{at}/{name} is required now"));
                }
            }
            Way::Answered | Way::Problem => {
                for name in needed.difference(&needs) {
                    self.note(format!("{at}/{name} may be absent now"));
                }
            }
        }
    }

    /// Alternatives are known by the schemas that they refer to.
    fn alternatives(&mut self, was: &Value, is: &Value, way: Way, at: &str) {
        for keyword in ["oneOf", "anyOf"] {
            let of = |schema: &Value| -> BTreeMap<String, Value> {
                let parts = schema[keyword].as_array().cloned().unwrap_or_default();
                let name = |part: &Value| part["$ref"].as_str().map(str::to_owned);
                let named = |part: Value| (name(&part).unwrap_or_else(|| part.to_string()), part);
                parts.into_iter().map(named).collect()
            };
            let (old, new) = (of(was), of(is));
            for (name, part) in &old {
                match new.get(name) {
                    Some(now) => self.schema(part, now, way, &format!("{at}({name})")),
                    None => self.note(format!("{at}: {name} is gone")),
                }
            }
            let more = new.keys().filter(|name| !old.contains_key(*name));
            for name in more.filter(|_| way == Way::Answered || old.is_empty()) {
                self.note(format!("{at}: may be {name} now"));
            }
        }
    }
}

fn open_to_anyone(operation: &Value) -> bool {
    let schemes = operation["security"].as_array();
    schemes.is_none_or(|schemes| schemes.is_empty() || schemes.contains(&json!({})))
}

/// A schema with what it refers to, and the parts of an `allOf`, in one.
fn flat(document: &Value, schema: &Value) -> Map<String, Value> {
    let mut flat = Map::new();
    let own = resolve(document, schema)
        .as_object()
        .cloned()
        .unwrap_or_default();
    let parts = own.get("allOf").and_then(Value::as_array).cloned();
    let parts = parts.unwrap_or_default();
    let parts = parts.iter().map(|part| self::flat(document, part));
    for part in parts.chain([own]) {
        for (keyword, rule) in part {
            match (keyword.as_str(), flat.get_mut(&keyword)) {
                ("allOf", _) => {}
                ("properties", Some(all)) => {
                    for (name, field) in fields(&rule) {
                        let field = match all.get(name) {
                            Some(other) => json!({"allOf": [other, field]}),
                            None => field.clone(),
                        };
                        all[name] = field;
                    }
                }
                ("required", Some(Value::Array(all))) => {
                    all.extend(rule.as_array().cloned().unwrap_or_default());
                }
                ("enum", Some(Value::Array(all))) => {
                    all.retain(|value| rule.as_array().is_none_or(|rule| rule.contains(value)));
                }
                _ => {
                    flat.insert(keyword, rule);
                }
            }
        }
    }
    flat
}

mod tests {
    use super::*;

    fn document() -> Value {
        json!({
            "servers": [{"url": "/api"}],
            "paths": {"/things/{id}": {"put": {
                "operationId": "putThing",
                "security": [{}, {"token": []}],
                "parameters": [
                    {"in": "path", "name": "id", "required": true, "schema": {"type": "string"}},
                    {"in": "query", "name": "sort", "schema": {"type": "string", "enum": ["a", "b"]}},
                ],
                "requestBody": {"content": {"application/json": {"schema": {
                    "type": "object", "required": ["name"], "properties": {
                        "name": {"type": "string", "minLength": 1, "maxLength": 9},
                        "size": {"type": "integer", "nullable": true, "minimum": 1, "maximum": 9},
                        "tags": {"type": "array", "items": {"$ref": "#/components/schemas/Tag"}},
                        "how": {"oneOf": [{"$ref": "#/components/schemas/Tag"}, {"type": "integer"}]},
                    },
                }}}},
                "responses": {
                    "200": {
                        "headers": {"ETag": {"required": true}},
                        "content": {"application/json": {"schema": {"allOf": [
                            {"$ref": "#/components/schemas/Thing"},
                            {"required": ["at"], "properties": {
                                "at": {"type": "string", "format": "date-time"},
                            }},
                        ]}}},
                    },
                    "404": {"content": {"application/problem+json": {"schema": {
                        "type": "object", "required": ["code"],
                        "properties": {"code": {"type": "string", "enum": ["not_found"]}},
                    }}}},
                },
            }}},
            "components": {"schemas": {
                "Spare": {"type": "string"},
                "Tag": {"type": "string"},
                "Thing": {"type": "object", "required": ["id"], "properties": {
                    "id": {"type": "string"},
                    "kind": {"type": "string", "enum": ["x", "y"]},
                }},
            }},
        })
    }

    const PUT: &str = "/paths/~1things~1{id}/put";
    const BODY: &str = "/paths/~1things~1{id}/put/requestBody/content/application~1json/schema";
    const CODES: &str = "/paths/~1things~1{id}/put/responses/404/content/application~1problem+json\
                         /schema/properties/code/enum";

    /// The breaks that come of one change: something at a pointer replaced, or removed by null.
    fn found(pointer: &str, value: Value) -> Vec<Break> {
        let (old, mut new) = (document(), document());
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        match new.pointer_mut(parent).expect("a parent") {
            Value::Object(map) if value.is_null() => {
                map.remove(&key.replace("~1", "/")).expect("it was there");
            }
            Value::Array(items) if key == "-" => items.push(value),
            Value::Array(items) if value.is_null() => {
                items.remove(key.parse().expect("an index"));
            }
            parent => parent[key.replace("~1", "/")] = value,
        }
        assert_ne!(old, new, "{pointer} changes something");
        breaks(&old, &new)
    }

    #[test]
    fn each_kind_of_break_is_found() {
        let put = |rest: &str| format!("{PUT}{rest}");
        let body = |rest: &str| format!("{BODY}{rest}");
        let schemas = |rest: &str| format!("/components/schemas{rest}");
        let answer = |rest: &str| put(&format!("/responses/200{rest}"));
        let part = "/content/application~1json/schema/allOf/1";
        let parameter = |name: &str| json!({"in": "query", "name": name, "required": true, "schema": {"type": "string"}});
        for (pointer, value, says) in [
            ("/servers".to_owned(), json!([{"url": "/v2"}]), "address"),
            (PUT.to_owned(), Value::Null, "put /things/{id} is gone"),
            (put("/operationId"), json!("setThing"), "is called"),
            (put("/security"), json!([{"token": []}]), "needs a token"),
            (put("/parameters/1"), Value::Null, "parameter sort is gone"),
            (
                put("/parameters/-"),
                parameter("x"),
                "new query parameter x",
            ),
            (
                put("/parameters/1/required"),
                json!(true),
                "sort is required",
            ),
            (
                put("/parameters/1/schema/enum/1"),
                Value::Null,
                "\"b\" is gone",
            ),
            (put("/requestBody"), Value::Null, "takes no body"),
            (put("/requestBody/required"), json!(true), "needs a body"),
            (
                put("/requestBody/content"),
                json!({}),
                "application/json is gone",
            ),
            (body("/required/-"), json!("size"), "/size is required now"),
            (body("/properties/size"), Value::Null, "/size is gone"),
            (
                body("/properties/size/type"),
                json!("string"),
                "the type was",
            ),
            (
                body("/properties/size/format"),
                json!("int32"),
                "the format was",
            ),
            (
                body("/properties/size/nullable"),
                Value::Null,
                "null is refused",
            ),
            (
                body("/properties/size/minimum"),
                json!(2),
                "minimum is tighter",
            ),
            (
                body("/properties/size/maximum"),
                json!(8),
                "maximum is tighter",
            ),
            (
                body("/properties/size/enum"),
                json!([1]),
                "only some values",
            ),
            (
                body("/properties/name/minLength"),
                json!(2),
                "minLength is tighter",
            ),
            (
                body("/properties/name/maxLength"),
                json!(8),
                "maxLength is tighter",
            ),
            (body("/properties/name/pattern"), json!("^a"), "must match"),
            (
                body("/properties/tags/minItems"),
                json!(1),
                "minItems is tighter",
            ),
            (
                body("/properties/tags/maxItems"),
                json!(1),
                "maxItems is tighter",
            ),
            (
                body("/properties/tags/uniqueItems"),
                json!(true),
                "uniqueItems",
            ),
            (body("/properties/how/oneOf/1"), Value::Null, "is gone"),
            (
                body("/additionalProperties"),
                json!(false),
                "additionalProperties",
            ),
            (schemas("/Tag/maxLength"), json!(3), ": maxLength"),
            (put("/responses/404"), Value::Null, "status 404 is gone"),
            (put("/responses/202"), json!({}), "may answer 202"),
            (answer("/headers/ETag"), Value::Null, "header ETag is gone"),
            (
                answer("/headers/ETag/required"),
                Value::Null,
                "ETag may be absent",
            ),
            (answer("/content"), json!({}), "application/json is gone"),
            (
                answer(&format!("{part}/required")),
                json!([]),
                "/at may be absent",
            ),
            (
                answer(&format!("{part}/properties/at/format")),
                Value::Null,
                "the format",
            ),
            (
                answer(&format!("{part}/properties/at/nullable")),
                json!(true),
                "may be null",
            ),
            (
                schemas("/Thing/properties/kind"),
                Value::Null,
                "/kind is gone",
            ),
            (
                schemas("/Thing/properties/kind/enum/0"),
                Value::Null,
                "\"x\" is gone",
            ),
            (
                schemas("/Thing/properties/kind/enum/-"),
                json!("z"),
                "\"z\" may come",
            ),
            (
                schemas("/Thing/properties/kind/enum"),
                Value::Null,
                "any value",
            ),
            (format!("{CODES}/0"), Value::Null, "\"not_found\" is gone"),
        ] {
            let breaks = found(&pointer, value);
            assert!(!breaks.is_empty(), "{pointer}");
            for one in breaks {
                assert!(one.what.contains(says), "{pointer}: {one}");
            }
        }
        let [spare] = &found("/components/schemas/Spare", Value::Null)[..] else {
            panic!("a type that is gone is one break");
        };
        assert_eq!(spare.of, "Spare");
    }

    #[test]
    fn nothing_harmless_is_taken_for_a_break() {
        let put = |rest: &str| format!("{PUT}{rest}");
        let body = |rest: &str| format!("{BODY}{rest}");
        let schemas = |rest: &str| format!("/components/schemas{rest}");
        let optional = json!({"in": "query", "name": "x", "schema": {"type": "string"}});
        let integer = json!({"type": "integer"});
        for (pointer, value) in [
            ("/info".to_owned(), json!({"title": "new words"})),
            (
                "/paths/~1others".to_owned(),
                json!({"get": {"operationId": "getOthers"}}),
            ),
            (put("/summary"), json!("new words")),
            (put("/security"), json!([])),
            (put("/parameters/-"), optional),
            (put("/parameters/1/schema/enum/-"), json!("c")),
            (put("/parameters/1/schema/enum"), Value::Null),
            (put("/requestBody/content/text~1csv"), json!({})),
            (body("/required/0"), Value::Null),
            (body("/properties/more"), integer.clone()),
            (body("/properties/name/minLength"), Value::Null),
            (body("/properties/name/maxLength"), json!(10)),
            (body("/properties/tags/nullable"), json!(true)),
            (body("/properties/how/oneOf/-"), json!({"type": "boolean"})),
            (body("/description"), json!("new words")),
            (put("/responses/409"), json!({})),
            (put("/responses/200/headers/Age"), json!({})),
            (put("/responses/200/links"), json!({"next": {}})),
            (schemas("/Thing/properties/more"), integer),
            (schemas("/Thing/required/-"), json!("kind")),
            (schemas("/New"), json!({})),
            (format!("{CODES}/-"), json!("gone")),
        ] {
            assert_eq!(found(&pointer, value), [], "{pointer}");
        }
        assert_eq!(breaks(&document(), &document()), []);
    }
}
