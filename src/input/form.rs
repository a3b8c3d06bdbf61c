//! The form that a schema gives to JSON: which fields are missing, not known, there twice or of the
//! wrong type. serde stops at the first of these; this names all of them.

use std::fmt;

use poem_openapi::registry::Registry;
use poem_openapi::types::Type;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::allowed::{kind, one_of};
use crate::clock::{BadTime, Time};
use crate::failure::{FieldError, MOST_ERRORS, Rule};

/// The schema of a type, with those that it refers to.
pub struct Form {
    schemas: Value,
    root: Value,
}

/// What JSON has of a form.
pub struct Reading {
    /// The JSON without its mistakes: what is not usable is left out, or is neutral where it is
    /// required.
    pub value: Value,
    pub mistakes: Vec<FieldError>,
}

impl Form {
    pub fn of<T: Type>() -> Form {
        let mut registry = Registry::new();
        T::register(&mut registry);
        // Schemas always have a form in JSON.
        Form {
            schemas: serde_json::to_value(&registry.schemas).unwrap_or_default(),
            root: serde_json::to_value(T::schema_ref()).unwrap_or_default(),
        }
    }

    /// Reads JSON. An error means that it is none.
    pub fn read(&self, json: &str) -> serde_json::Result<Reading> {
        let mut mistakes = Vec::new();
        let reader = Reader {
            form: self,
            schema: &self.root,
            pointer: String::new(),
            mistakes: &mut mistakes,
        };
        let mut json = serde_json::Deserializer::from_str(json);
        let value = reader.deserialize(&mut json)?;
        json.end()?;
        Ok(Reading {
            value: value.unwrap_or_default(),
            mistakes,
        })
    }

    /// Sorts mistakes by the order in which the schema has the fields; unknown fields come last.
    pub fn sort(&self, mistakes: &mut [FieldError]) {
        mistakes.sort_by_cached_key(|mistake| self.place(&mistake.pointer));
    }

    fn place(&self, pointer: &str) -> Vec<usize> {
        let mut schema = self.resolved(&self.root);
        let steps = pointer.split('/').skip(1).map(|step| {
            let fields = schema["properties"].as_object();
            let (place, below) = match fields {
                Some(fields) => {
                    let place = fields.keys().position(|name| *name == step);
                    (place, fields.get(step))
                }
                None => (step.parse().ok(), schema.get("items")),
            };
            schema = self.resolved(below.unwrap_or(&Value::Null));
            place.unwrap_or(usize::MAX)
        });
        steps.collect()
    }

    /// The named schema that a schema refers to, else the schema itself.
    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let reference = schema
            .get("$ref")
            .or_else(|| schema.pointer("/allOf/0/$ref"));
        let name = reference.and_then(|target| target.as_str()?.rsplit('/').next());
        name.and_then(|name| self.schemas.get(name))
            .unwrap_or(schema)
    }

    /// A value that stands for one that is missing or of the wrong type.
    fn neutral(&self, schema: &Value) -> Value {
        let schema = self.resolved(schema);
        if let Some(first) = schema["enum"].get(0) {
            return first.clone();
        }
        match (schema["type"].as_str(), schema["format"].as_str()) {
            (Some("object"), _) => {
                let field =
                    |name: &str| (name.to_owned(), self.neutral(&schema["properties"][name]));
                required(schema).map(field).collect()
            }
            (Some("array"), _) => Value::Array(Vec::new()),
            (Some("integer" | "number"), _) => 0.into(),
            (Some("boolean"), _) => false.into(),
            (_, Some("uuid")) => Uuid::nil().to_string().into(),
            (_, Some("date-time")) => Time(0).to_string().into(),
            _ => "".into(),
        }
    }
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    let names = schema["required"].as_array().into_iter().flatten();
    names.filter_map(Value::as_str)
}

/// Reads a value of a schema; `None` if it is not usable.
struct Reader<'f, 'm> {
    form: &'f Form,
    schema: &'f Value,
    pointer: String,
    mistakes: &'m mut Vec<FieldError>,
}

impl<'f> Reader<'f, '_> {
    fn below(&mut self, schema: &'f Value, step: impl fmt::Display) -> Reader<'f, '_> {
        Reader {
            form: self.form,
            schema,
            pointer: format!("{}/{step}", self.pointer),
            mistakes: self.mistakes,
        }
    }

    fn resolved(&self) -> &'f Value {
        self.form.resolved(self.schema)
    }

    fn is(&self, kind: &str) -> bool {
        self.resolved()["type"] == kind
    }

    fn refuse(&mut self, rule: Rule, message: impl Into<String>) -> Option<Value> {
        if self.mistakes.len() < MOST_ERRORS {
            let mistake = FieldError::new(&self.pointer, rule, message);
            self.mistakes.push(mistake);
        }
        None
    }

    fn wrong_type(&mut self) -> Option<Value> {
        self.refuse(Rule::Type, kind(self.resolved()))
    }

    fn text(&mut self, text: &str) -> Option<Value> {
        let schema = self.resolved();
        if let Some(words) = schema["enum"].as_array() {
            return match words.iter().any(|word| word == text) {
                true => Some(text.into()),
                false => self.refuse(Rule::Choice, kind(schema)),
            };
        }
        let fits = match schema["format"].as_str() {
            Some("uuid") => text.parse::<Uuid>().is_ok(),
            Some("date-time") => match text.parse::<Time>() {
                Err(range @ BadTime::Range) => {
                    return self.refuse(Rule::Range, format!("must be {range}"));
                }
                time => time.is_ok(),
            },
            _ => true,
        };
        match fits {
            true => Some(text.into()),
            false => self.wrong_type(),
        }
    }

    fn integer(&mut self, number: i128, value: Value) -> Option<Value> {
        let schema = self.resolved();
        let is_wide = schema["format"] != "int32" || i32::try_from(number).is_ok();
        match (schema["type"].as_str(), is_wide) {
            (Some("number"), _) | (Some("integer"), true) => Some(value),
            (Some("integer"), false) => self.refuse(Rule::Range, kind(schema)),
            _ => self.wrong_type(),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_, '_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<Value>, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_, '_> {
    type Value = Option<Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(mut self) -> Result<Option<Value>, E> {
        // Beside a reference, `nullable` is a second part of `allOf`.
        let beside = self.schema.pointer("/allOf/1").unwrap_or(&Value::Null);
        let schemas = [self.schema, self.resolved(), beside];
        Ok(
            match schemas.iter().any(|schema| schema["nullable"] == true) {
                true => Some(Value::Null),
                false => self.wrong_type(),
            },
        )
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<Option<Value>, E> {
        Ok(match self.is("boolean") {
            true => Some(value.into()),
            false => self.wrong_type(),
        })
    }

    fn visit_i64<E: Error>(mut self, number: i64) -> Result<Option<Value>, E> {
        Ok(self.integer(number.into(), number.into()))
    }

    fn visit_u64<E: Error>(mut self, number: u64) -> Result<Option<Value>, E> {
        Ok(self.integer(number.into(), number.into()))
    }

    fn visit_f64<E: Error>(mut self, number: f64) -> Result<Option<Value>, E> {
        Ok(match self.is("number") {
            true => Some(number.into()),
            false => self.wrong_type(),
        })
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<Option<Value>, E> {
        Ok(match self.is("string") {
            true => self.text(text),
            false => self.wrong_type(),
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<Option<Value>, A::Error> {
        let schema = self.resolved();
        if !self.is("array") {
            while access.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(self.wrong_type());
        }
        let most = schema["maxItems"].as_u64().unwrap_or(u64::MAX);
        let mut items = Vec::new();
        for index in 0..=most {
            let reader = self.below(&schema["items"], index);
            let Some(item) = access.next_element_seed(reader)? else {
                return Ok(Some(items.into()));
            };
            items.push(item.unwrap_or_else(|| self.form.neutral(&schema["items"])));
        }
        // With one item too many, the number of items is wrong, however many follow.
        while access.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Some(items.into()))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Option<Value>, A::Error> {
        let schema = self.resolved();
        if !self.is("object") {
            while access.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(self.wrong_type());
        }
        let known = schema["properties"].as_object();
        let any = schema
            .get("additionalProperties")
            .filter(|any| any.is_object());
        let mut fields: Map<String, Value> = Map::new();
        let mut unusable = Vec::new();
        while let Some(name) = access.next_key::<String>()? {
            let escaped = name.replace('~', "~0").replace('/', "~1");
            let below = known.and_then(|known| known.get(&name)).or(any);
            let Some(below) = below else {
                access.next_value::<IgnoredAny>()?;
                let known = known.into_iter().flat_map(Map::keys).map(String::as_str);
                let message = format!("is not a field here; expected {}", one_of(known));
                self.below(schema, escaped)
                    .refuse(Rule::UnknownField, message);
                continue;
            };
            if fields.contains_key(&name) || unusable.contains(&name) {
                access.next_value::<IgnoredAny>()?;
                let mut twice = self.below(below, escaped);
                twice.refuse(Rule::DuplicateField, "must not be given twice");
                continue;
            }
            match access.next_value_seed(self.below(below, escaped))? {
                Some(value) => drop(fields.insert(name, value)),
                None => unusable.push(name),
            }
        }
        for name in required(schema) {
            if fields.contains_key(name) {
                continue;
            }
            let below = &schema["properties"][name];
            if !unusable.iter().any(|other| other == name) {
                self.below(below, name)
                    .refuse(Rule::Required, "is required");
            }
            fields.insert(name.to_owned(), self.form.neutral(below));
        }
        Ok(Some(fields.into()))
    }
}
