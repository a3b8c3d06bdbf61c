//! All mistakes of a value at once: the form and the limits of its type, and rules that go beyond
//! them.

use std::collections::HashSet;

use poem_openapi::types::Type;
use serde::de::{self, Deserialize as _, DeserializeOwned, IntoDeserializer as _};
use serde_json::Value;
use validator::{Validate, ValidationError, ValidationErrors, ValidationErrorsKind};

use super::form::{Form, Reading};
use crate::failure::{Failure, FieldError, Rule};

/// Checks a value against the limits of its type and against `rule`, which returns the mistakes
/// that it finds. A field that is outside its limits is not reported a second time.
pub fn check<T: Type + Validate>(
    value: &T,
    rule: impl FnOnce(&T) -> Vec<FieldError>,
) -> Result<(), Failure> {
    let mut errors = beyond_limits(value);
    let reported: HashSet<String> = errors.iter().map(|error| error.pointer.clone()).collect();
    let further = rule(value).into_iter();
    errors.extend(further.filter(|error| !reported.contains(&error.pointer)));
    if errors.is_empty() {
        return Ok(());
    }
    Form::of::<T>().sort(&mut errors);
    Err(Failure::invalid(errors))
}

/// The mistakes of JSON that is no `T`: where it does not have the form of the schema, and limits
/// that the rest is beyond. An error means that it is no JSON.
pub fn mistakes_of_json<T>(json: &str) -> serde_json::Result<Vec<FieldError>>
where
    T: Type + DeserializeOwned + Validate,
{
    let form = Form::of::<T>();
    let Reading {
        value,
        mut mistakes,
    } = form.read(json)?;
    if let Ok(value) = serde_json::from_value::<T>(value) {
        let mut limits = beyond_limits(&value);
        limits.retain(|limit| !mistakes.iter().any(|mistake| covers(mistake, limit)));
        mistakes.extend(limits);
    }
    form.sort(&mut mistakes);
    Ok(mistakes)
}

/// Whether `other` is about the same field or one within it.
fn covers(mistake: &FieldError, other: &FieldError) -> bool {
    let rest = other.pointer.strip_prefix(&mistake.pointer);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn beyond_limits(value: &impl Validate) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Err(mistakes) = value.validate() {
        collect(&mistakes, "", &mut errors);
    }
    errors
}

fn collect(errors: &ValidationErrors, base: &str, fields: &mut Vec<FieldError>) {
    for (name, kind) in errors.errors() {
        // validator's name for rules about the whole object.
        let pointer = match name.as_ref() {
            "__all__" => base.to_owned(),
            name => format!("{base}/{name}"),
        };
        match kind {
            ValidationErrorsKind::Field(errors) => {
                fields.extend(errors.iter().map(|error| field_error(&pointer, error)));
            }
            ValidationErrorsKind::Struct(errors) => collect(errors, &pointer, fields),
            ValidationErrorsKind::List(items) => {
                for (index, errors) in items {
                    collect(errors, &format!("{pointer}/{index}"), fields);
                }
            }
        }
    }
}

/// The rule in words of our own; a rule may carry its own words and a step further down.
fn field_error(pointer: &str, error: &ValidationError) -> FieldError {
    let bound = |name: &str| error.params.get(name).map(ToString::to_string);
    let unit = match error.params.get("value") {
        Some(Value::Array(_)) => "items",
        _ => "characters",
    };
    let message = match (error.code.as_ref(), &error.message) {
        (_, Some(message)) => message.to_string(),
        ("length", None) => match (bound("min"), bound("max")) {
            (Some(min), Some(max)) => format!("must have {min} to {max} {unit}"),
            (None, Some(max)) => format!("must have at most {max} {unit}"),
            (Some(min), None) => format!("must have at least {min} {unit}"),
            (None, None) => "has the wrong length".to_owned(),
        },
        ("range", None) => match (bound("min"), bound("max")) {
            (Some(min), Some(max)) => format!("must be {min} to {max}"),
            (None, Some(max)) => format!("must be at most {max}"),
            (Some(min), None) => format!("must be at least {min}"),
            (None, None) => "is out of range".to_owned(),
        },
        _ => "is not valid".to_owned(),
    };
    let step = error
        .params
        .get("at")
        .and_then(Value::as_str)
        .unwrap_or_default();
    FieldError::new(format!("{pointer}{step}"), rule(&error.code), message)
}

/// The rule that `validator` knows by its name alone.
fn rule(name: &str) -> Rule {
    let rule = Rule::deserialize(name.into_deserializer());
    rule.unwrap_or_else(|error: de::value::Error| {
        debug_assert!(false, "no rule of the contract: {error}");
        Rule::Type
    })
}
