//! Whose questions a list shows.

use std::borrow::Cow;

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{ParseError, ParseFromParameter, ParseResult, Type};
use serde_json::json;
use uuid::Uuid;

/// An account, by its id or as `me`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    Me,
    Account(Uuid),
}

const ME: &str = "me";

// A pattern, not alternatives: in most languages a type for "one of two strings" is a burden.
const PATTERN: &str = "^(me|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})$";

impl Type for Asker {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "string_asker".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        let schema = MetaSchema {
            pattern: Some(PATTERN.to_owned()),
            example: Some(json!(ME)),
            ..MetaSchema::new("string")
        };
        MetaSchemaRef::Inline(Box::new(schema))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ParseFromParameter for Asker {
    fn parse_from_parameter(text: &str) -> ParseResult<Self> {
        if text == ME {
            return Ok(Asker::Me);
        }
        // Ids have other forms, too, which the pattern does not have.
        let id = Some(text).filter(|text| text.len() == 36);
        let id = id.and_then(|text| text.parse().ok());
        id.map(Asker::Account)
            .ok_or_else(|| ParseError::custom("neither an id nor `me`"))
    }
}
