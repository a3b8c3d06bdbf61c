//! Live events as clients see them. The program writes them without these types, once for all who
//! watch; the OpenAPI document is made from them.

use std::borrow::Cow;

use poem_openapi::registry::{MetaDiscriminatorObject, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{Example, ToJSON as _, Type};
use poem_openapi::{Enum, Object};

use crate::results::objects::Results;

/// An event of a live stream. Over Server-Sent Events, `type` is the `event`, `id` the `id`, and
/// `data` the `data` of the event; over a WebSocket this is one message.
pub struct LiveEvent;

/// The results as they are now.
#[derive(Object)]
#[oai(example)]
pub struct ResultsEvent {
    #[oai(rename = "type")]
    kind: ResultsEventType,
    /// The version of the tally, which grows. Send the last one that you have when you connect
    /// again.
    id: String,
    /// The results.
    data: Results,
}

/// What a `results` event is called.
#[derive(Enum)]
#[oai(rename_all = "snake_case")]
pub enum ResultsEventType {
    Results,
}

/// The last event: nothing comes after it.
#[derive(Object)]
#[oai(example)]
pub struct EndEvent {
    #[oai(rename = "type")]
    kind: EndEventType,
    /// What the end is about.
    data: End,
}

/// What an `end` event is called.
#[derive(Enum)]
#[oai(rename_all = "snake_case")]
pub enum EndEventType {
    End,
}

/// Why a stream ends.
#[derive(Object)]
pub struct End {
    /// Why it ends.
    reason: EndReason,
}

/// Why a stream ends, and what to do about it.
///
/// - `closed`: voting is over, and the results before were the final ones.
/// - `deleted`: the question was deleted.
/// - `hidden`: you may not see the results any more.
/// - `token_expired`: get a new access token, and connect again.
/// - `token_revoked`: you were signed out.
/// - `shutting_down`: connect again; another process, or the restarted one, goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
#[oai(rename_all = "snake_case")]
pub enum EndReason {
    Closed,
    Deleted,
    Hidden,
    TokenExpired,
    TokenRevoked,
    ShuttingDown,
}

impl EndReason {
    /// As it is written in events.
    pub fn name(self) -> &'static str {
        match self {
            EndReason::Closed => "closed",
            EndReason::Deleted => "deleted",
            EndReason::Hidden => "hidden",
            EndReason::TokenExpired => "token_expired",
            EndReason::TokenRevoked => "token_revoked",
            EndReason::ShuttingDown => "shutting_down",
        }
    }

    /// The code with which a WebSocket is closed.
    pub fn close_code(self) -> u16 {
        match self {
            EndReason::Closed | EndReason::Deleted => 1000,
            EndReason::Hidden => 4403,
            EndReason::TokenExpired | EndReason::TokenRevoked => 4401,
            EndReason::ShuttingDown => 1001,
        }
    }
}

impl Example for ResultsEvent {
    fn example() -> Self {
        ResultsEvent {
            kind: ResultsEventType::Results,
            id: "17".to_owned(),
            data: Results::example(),
        }
    }
}

impl Example for EndEvent {
    fn example() -> Self {
        EndEvent {
            kind: EndEventType::End,
            data: End {
                reason: EndReason::Closed,
            },
        }
    }
}

impl Type for LiveEvent {
    const IS_REQUIRED: bool = true;

    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "LiveEvent".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(Self::name().into_owned())
    }

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(Self::name().into_owned(), |registry| {
            ResultsEvent::register(registry);
            EndEvent::register(registry);
            let target = |name: &str| format!("#/components/schemas/{name}");
            MetaSchema {
                description: Some(
                    "An event of a live stream. Over Server-Sent Events, `type` is the `event`, \
                     `id` the `id`, and `data` the `data` of the event; over a WebSocket this is \
                     one message.",
                ),
                one_of: vec![ResultsEvent::schema_ref(), EndEvent::schema_ref()],
                discriminator: Some(MetaDiscriminatorObject {
                    property_name: "type",
                    mapping: vec![
                        ("results".to_owned(), target("ResultsEvent")),
                        ("end".to_owned(), target("EndEvent")),
                    ],
                }),
                example: ResultsEvent::example().to_json(),
                ..MetaSchema::new("object")
            }
        });
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_written_as_the_document_has_them() {
        for reason in [
            EndReason::Closed,
            EndReason::Deleted,
            EndReason::Hidden,
            EndReason::TokenExpired,
            EndReason::TokenRevoked,
            EndReason::ShuttingDown,
        ] {
            assert_eq!(reason.to_json(), Some(reason.name().into()));
        }
    }
}
