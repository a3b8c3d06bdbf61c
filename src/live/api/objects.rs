//! The messages of live streams in the OpenAPI document. These types describe what [`Event`] encodes
//! and what [`socket`](super::socket) reads; no value of theirs is ever sent.
//!
//! [`Event`]: crate::live::event::Event

use std::borrow::Cow;

use poem_openapi::registry::{MetaDiscriminatorObject, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{Example, ToJSON as _, Type};
use poem_openapi::{Enum, Object};
use serde_json::Value;

use crate::live::event::EndReason;
use crate::results::Results;

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
    data: StreamEnd,
}

/// What an `end` event is called.
#[derive(Enum)]
#[oai(rename_all = "snake_case")]
pub enum EndEventType {
    End,
}

/// Why a stream ends.
#[derive(Object)]
pub struct StreamEnd {
    /// Why it ends.
    reason: EndReason,
}

/// Somebody who has an account watches.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct AuthenticateMessage {
    #[oai(rename = "type")]
    kind: AuthenticateMessageType,
    /// The access token.
    access_token: String,
    /// The `id` of the last event that the client has, if it connects again.
    last_event_id: Option<String>,
}

/// What the message of a client with a token is called.
#[derive(Enum)]
#[oai(rename_all = "snake_case")]
pub enum AuthenticateMessageType {
    Authenticate,
}

/// Somebody without an account watches.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct AnonymousMessage {
    #[oai(rename = "type")]
    kind: AnonymousMessageType,
    /// The `id` of the last event that the client has, if it connects again.
    last_event_id: Option<String>,
}

/// What the message of a client without a token is called.
#[derive(Enum)]
#[oai(rename_all = "snake_case")]
pub enum AnonymousMessageType {
    Anonymous,
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
            data: StreamEnd {
                reason: EndReason::Closed,
            },
        }
    }
}

impl Example for AuthenticateMessage {
    fn example() -> Self {
        AuthenticateMessage {
            kind: AuthenticateMessageType::Authenticate,
            access_token: "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.x".to_owned(),
            last_event_id: Some("17".to_owned()),
        }
    }
}

impl Example for AnonymousMessage {
    fn example() -> Self {
        AnonymousMessage {
            kind: AnonymousMessageType::Anonymous,
            last_event_id: None,
        }
    }
}

/// The text of a stream of Server-Sent Events.
pub fn sample_stream() -> String {
    let data = |event: Option<Value>| event.unwrap_or_default()["data"].to_string();
    let (results, end) = (ResultsEvent::example(), EndEvent::example());
    format!(
        "retry: 1204\n\nid: {}\nevent: results\ndata: {}\n\nevent: end\ndata: {}\n\n",
        results.id,
        data(results.to_json()),
        data(end.to_json()),
    )
}

/// Declares a type that is one of several objects, told apart by their `type`. poem's own unions
/// name their parts otherwise.
macro_rules! one_of {
    ($(#[doc = $description:literal])+ $name:ident: $($kind:literal => $part:ty),+) => {
        $(#[doc = $description])+
        pub struct $name;

        impl Type for $name {
            const IS_REQUIRED: bool = true;

            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn schema_ref() -> MetaSchemaRef {
                MetaSchemaRef::Reference(Self::name().into_owned())
            }

            fn register(registry: &mut Registry) {
                registry.create_schema::<Self, _>(Self::name().into_owned(), |registry| {
                    $(<$part>::register(registry);)+
                    let target = |name: Cow<'_, str>| format!("#/components/schemas/{name}");
                    let examples = [$(<$part>::example().to_json()),+];
                    MetaSchema {
                        description: Some(concat!($($description, "\n"),+)),
                        one_of: vec![$(<$part>::schema_ref()),+],
                        discriminator: Some(MetaDiscriminatorObject {
                            property_name: "type",
                            mapping: vec![$(($kind.to_owned(), target(<$part>::name()))),+],
                        }),
                        example: examples.into_iter().flatten().next(),
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
    };
}

one_of! {
    /// An event of a live stream. Over Server-Sent Events, `type` is the `event`, `id` the `id`, and
    /// `data` the `data` of the event; over a WebSocket this is one message.
    LiveEvent: "results" => ResultsEvent, "end" => EndEvent
}

one_of! {
    /// The first message of a WebSocket's client, which says who watches. It is the only one that
    /// the client sends.
    FirstMessage: "authenticate" => AuthenticateMessage, "anonymous" => AnonymousMessage
}

#[cfg(test)]
mod tests {
    use super::super::socket;
    use super::*;

    #[test]
    fn the_server_reads_the_first_messages_of_the_document() {
        for message in [
            AuthenticateMessage::example().to_json(),
            AnonymousMessage::example().to_json(),
        ] {
            let text = message.unwrap_or_default().to_string();
            assert!(socket::FirstMessage::parse(&text).is_ok(), "{text}");
        }
    }
}
