//! Live events in the OpenAPI document. These types describe what [`Event`] encodes; no value of
//! theirs is ever sent.
//!
//! [`Event`]: crate::live::event::Event

use std::borrow::Cow;

use poem_openapi::registry::{MetaDiscriminatorObject, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{Example, ToJSON as _, Type};
use poem_openapi::{Enum, Object};

use crate::live::event::EndReason;
use crate::results::Results;

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
