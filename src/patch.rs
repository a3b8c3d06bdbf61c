//! A field of a merge patch (RFC 7396): absent leaves, null clears, a value sets.

use std::borrow::Cow;

use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{ParseFromJSON, ParseResult, ToJSON, Type};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use validator::{Validate, ValidateLength, ValidationErrors};

/// What a patch says of one field that can be cleared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Patch<T> {
    #[default]
    Unchanged,
    Cleared,
    Set(T),
}

impl<T> Patch<T> {
    /// Applies it to a field; tells whether the field was named.
    pub fn apply(self, field: &mut Option<T>) -> bool {
        match self {
            Patch::Unchanged => return false,
            Patch::Cleared => *field = None,
            Patch::Set(value) => *field = Some(value),
        }
        true
    }

    /// Whether the field was named.
    pub fn is_named(&self) -> bool {
        !matches!(self, Patch::Unchanged)
    }

    /// The value that is set, if one is.
    pub fn value(&self) -> Option<&T> {
        match self {
            Patch::Set(value) => Some(value),
            Patch::Unchanged | Patch::Cleared => None,
        }
    }

    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Patch<U> {
        match self {
            Patch::Unchanged => Patch::Unchanged,
            Patch::Cleared => Patch::Cleared,
            Patch::Set(value) => Patch::Set(change(value)),
        }
    }
}

/// Use with `#[serde(default)]`: serde does not call this for an absent field.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|value| value.map_or(Patch::Cleared, Patch::Set))
    }
}

/// `validator` needs this for its errors.
impl<T: Serialize> Serialize for Patch<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<T: ValidateLength<u64>> ValidateLength<u64> for Patch<T> {
    fn length(&self) -> Option<u64> {
        self.value()?.length()
    }
}

impl<T: Validate> Validate for Patch<T> {
    fn validate(&self) -> Result<(), ValidationErrors> {
        self.value().map_or(Ok(()), T::validate)
    }
}

impl<T: Type> Type for Patch<T> {
    const IS_REQUIRED: bool = false;
    type RawValueType = T::RawValueType;
    type RawElementValueType = T::RawElementValueType;

    fn name() -> Cow<'static, str> {
        format!("nullable_{}", T::name()).into()
    }

    fn schema_ref() -> MetaSchemaRef {
        let nullable = MetaSchema {
            nullable: true,
            ..MetaSchema::ANY
        };
        T::schema_ref().merge(nullable)
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn as_raw_value(&self) -> Option<&Self::RawValueType> {
        self.value()?.as_raw_value()
    }

    fn raw_element_iter<'a>(
        &'a self,
    ) -> Box<dyn Iterator<Item = &'a Self::RawElementValueType> + 'a> {
        Box::new(self.value().into_iter().flat_map(T::raw_element_iter))
    }
}

impl<T: ParseFromJSON> ParseFromJSON for Patch<T> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        match value {
            None => Ok(Patch::Unchanged),
            Some(Value::Null) => Ok(Patch::Cleared),
            Some(value) => match T::parse_from_json(Some(value)) {
                Ok(value) => Ok(Patch::Set(value)),
                Err(error) => Err(error.propagate()),
            },
        }
    }
}

impl<T: ToJSON> ToJSON for Patch<T> {
    fn to_json(&self) -> Option<Value> {
        match self {
            Patch::Unchanged => None,
            Patch::Cleared => Some(Value::Null),
            Patch::Set(value) => value.to_json(),
        }
    }
}
