//! All mistakes of a value at once: the limits of its type, and rules that go beyond them.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::Value;
use validator::{Validate, ValidationError, ValidationErrors, ValidationErrorsKind};

use crate::failure::{Failure, FieldError};

/// Checks a value against the limits of its type and against `rule`, which returns the mistakes
/// that it finds. A field that is outside its limits is not reported a second time.
pub fn check<T: Validate>(
    value: &T,
    rule: impl FnOnce(&T) -> Vec<FieldError>,
) -> Result<(), Failure> {
    let mut errors = Vec::new();
    if let Err(mistakes) = value.validate() {
        collect(&mistakes, "", &mut errors);
    }
    let reported: HashSet<String> = errors.iter().map(|error| error.pointer.clone()).collect();
    let further = rule(value).into_iter();
    errors.extend(further.filter(|error| !reported.contains(&error.pointer)));
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Failure::invalid(errors)),
    }
}

fn collect(errors: &ValidationErrors, base: &str, fields: &mut Vec<FieldError>) {
    let mut kinds: Vec<_> = errors.errors().iter().collect();
    kinds.sort_by_key(|&(name, _)| name);
    for (name, kind) in kinds {
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
    let (code, message) = match (error.code.as_ref(), &error.message) {
        (_, Some(message)) => (None, message.to_string()),
        ("length", None) => (
            Some("length"),
            match (bound("min"), bound("max")) {
                (Some(min), Some(max)) => format!("must have {min} to {max} {unit}"),
                (None, Some(max)) => format!("must have at most {max} {unit}"),
                (Some(min), None) => format!("must have at least {min} {unit}"),
                (None, None) => "has the wrong length".to_owned(),
            },
        ),
        ("range", None) => (
            Some("range"),
            match (bound("min"), bound("max")) {
                (Some(min), Some(max)) => format!("must be {min} to {max}"),
                (None, Some(max)) => format!("must be at most {max}"),
                (Some(min), None) => format!("must be at least {min}"),
                (None, None) => "is out of range".to_owned(),
            },
        ),
        _ => (None, "is not valid".to_owned()),
    };
    let code = code.unwrap_or(match error.code.clone() {
        Cow::Borrowed(code) => code,
        Cow::Owned(_) => "invalid",
    });
    let step = error
        .params
        .get("at")
        .and_then(Value::as_str)
        .unwrap_or_default();
    FieldError::new(format!("{pointer}{step}"), code, message)
}
