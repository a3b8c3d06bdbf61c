//! Values of requests that carry their limits: each limit is written once, and the type brings
//! it to the schema, to the check and to the message.
//!
//! Fields of these types are marked `#[validate(nested)]`, so that a request with several
//! mistakes is told all of them.

pub mod allowed;
pub mod exact;
mod form;
mod mistakes;

use std::ops::Deref;

use poem_openapi::registry::MetaSchema;
use serde::{Deserialize, Deserializer, Serialize};
use validator::{Validate, ValidationError, ValidationErrors};

use crate::text;

pub use mistakes::{check, mistakes_of_json};

/// Describes to poem-openapi a type that wraps a value: how it is made, and which limits its
/// schema has beside those of the value.
macro_rules! described {
    ([$($parameters:tt)*] $type:ty, $value:ty, $new:expr, $limits:expr) => {
        impl<$($parameters)*> poem_openapi::types::Type for $type {
            const IS_REQUIRED: bool = true;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> std::borrow::Cow<'static, str> {
                <$value as poem_openapi::types::Type>::name()
            }

            fn schema_ref() -> poem_openapi::registry::MetaSchemaRef {
                <$value as poem_openapi::types::Type>::schema_ref().merge($limits)
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }

        impl<$($parameters)*> poem_openapi::types::ParseFromJSON for $type {
            fn parse_from_json(value: Option<serde_json::Value>) -> poem_openapi::types::ParseResult<Self> {
                match <$value as poem_openapi::types::ParseFromJSON>::parse_from_json(value) {
                    Ok(value) => Ok($new(value)),
                    Err(error) => Err(error.propagate()),
                }
            }
        }

        impl<$($parameters)*> poem_openapi::types::ToJSON for $type {
            fn to_json(&self) -> Option<serde_json::Value> {
                poem_openapi::types::ToJSON::to_json(&self.0)
            }
        }
    };
}

pub(crate) use described;

/// Text in Unicode NFC without white space around it, of `MIN` to `MAX` characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Text<const MIN: usize, const MAX: usize, const LINE_BREAKS: bool>(String);

/// One line of text.
pub type Line<const MIN: usize, const MAX: usize> = Text<MIN, MAX, false>;

/// Text that may have several lines, or none.
pub type Lines<const MAX: usize> = Text<0, MAX, true>;

impl<const MIN: usize, const MAX: usize, const LINE_BREAKS: bool> Text<MIN, MAX, LINE_BREAKS> {
    /// Normalises a text. Its limits are checked by [`Validate`].
    pub fn new(text: &str) -> Self {
        Text(text::normalise(text))
    }
}

impl<const MIN: usize, const MAX: usize, const LINE_BREAKS: bool> Validate
    for Text<MIN, MAX, LINE_BREAKS>
{
    fn validate(&self) -> Result<(), ValidationErrors> {
        let checked = match LINE_BREAKS {
            true => text::lines(self),
            false => text::line(self),
        };
        let length = length_mistake(self, MIN, MAX);
        result(length.into_iter().chain(checked.err()))
    }
}

impl<'de, const MIN: usize, const MAX: usize, const LINE_BREAKS: bool> Deserialize<'de>
    for Text<MIN, MAX, LINE_BREAKS>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Text::new(&text))
    }
}

impl<const MIN: usize, const MAX: usize, const LINE_BREAKS: bool> Deref
    for Text<MIN, MAX, LINE_BREAKS>
{
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MIN: usize, const MAX: usize, const LINE_BREAKS: bool> From<Text<MIN, MAX, LINE_BREAKS>>
    for String
{
    fn from(text: Text<MIN, MAX, LINE_BREAKS>) -> String {
        text.0
    }
}

described! {
    [const MIN: usize, const MAX: usize, const LINE_BREAKS: bool] Text<MIN, MAX, LINE_BREAKS>, String,
    |text: String| Text::new(&text),
    MetaSchema { min_length: (MIN > 0).then_some(MIN), max_length: Some(MAX), ..MetaSchema::ANY }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Number<const MIN: i32, const MAX: i32>(pub i32);

impl<const MIN: i32, const MAX: i32> Validate for Number<MIN, MAX> {
    fn validate(&self) -> Result<(), ValidationErrors> {
        let mistake = (!(MIN..=MAX).contains(&self.0)).then(|| {
            let mut error = ValidationError::new("range");
            error.add_param("min".into(), &MIN);
            error.add_param("max".into(), &MAX);
            error
        });
        result(mistake)
    }
}

described! {
    [const MIN: i32, const MAX: i32] Number<MIN, MAX>, i32,
    Number,
    MetaSchema { minimum: Some(MIN.into()), maximum: Some(MAX.into()), ..MetaSchema::ANY }
}

/// The name under which `validator` keeps mistakes of a value as a whole.
const WHOLE: &str = "__all__";

/// What is wrong with the length of a text, if it has not `min` to `max` characters.
pub fn length_mistake(text: &str, min: usize, max: usize) -> Option<ValidationError> {
    if (min..=max).contains(&text.chars().count()) {
        return None;
    }
    let mut error = ValidationError::new("length");
    if min > 0 {
        error.add_param("min".into(), &min);
    }
    error.add_param("max".into(), &max);
    Some(error)
}

/// The result of checking a value as a whole.
pub fn result(mistakes: impl IntoIterator<Item = ValidationError>) -> Result<(), ValidationErrors> {
    let mut errors = ValidationErrors::new();
    for mistake in mistakes {
        errors.add(WHOLE, mistake);
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(errors),
    }
}

/// For `#[serde(deserialize_with)]`: a value that may be absent but not null.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(checked: Result<(), ValidationErrors>) -> Vec<String> {
        let errors = checked.err().unwrap_or_default();
        let errors = errors.field_errors().remove(WHOLE).cloned();
        let codes = errors.into_iter().flatten().map(|error| error.code.into());
        codes.collect()
    }

    #[test]
    fn text_is_normalised_before_it_is_measured_and_every_mistake_is_named() {
        let line = |text: &str| codes(Line::<1, 3>::new(text).validate());
        assert!(line("  e\u{301}bc\u{3000}").is_empty());
        assert_eq!(line(" "), ["length"]);
        assert_eq!(line("ab\0cd"), ["length", "control_character"]);
        let lines = |text: &str| codes(Lines::<3>::new(text).validate());
        assert!(lines("").is_empty() && lines("a\nb").is_empty());
        assert_eq!(lines("a\nbc"), ["length"]);
    }

    #[test]
    fn a_number_is_within_its_range() {
        let number = |number| codes(Number::<1, 9>(number).validate());
        assert!(number(1).is_empty() && number(9).is_empty());
        assert_eq!(
            (number(0), number(10)),
            (vec!["range".into()], vec!["range".into()])
        );
    }
}
