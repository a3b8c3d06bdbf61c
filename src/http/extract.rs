//! What many handlers take as an argument: the precondition, the page, the client's network.

use http::header::ACCEPT_LANGUAGE;
use poem::{Request, RequestBody};
use poem_openapi::error::ParseParamError;
use poem_openapi::param::{Header, Query};
use poem_openapi::registry::{MetaParamIn, MetaSchema, MetaSchemaRef};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde_json::json;

use super::rates::Metered;
use crate::language::Language;
use crate::network::Network;
use crate::page::{DEFAULT_LIMIT, MAX_LIMIT, Paging};
use crate::precondition::IfMatch;

const IF_MATCH: &str = "If-Match";
const LIMIT: &str = "limit";
const CURSOR: &str = "cursor";

/// Describes several parameters, or one under a name that is no Rust identifier, as the properties
/// of one object. [`spec::finish`](super::spec::finish) writes each property as a parameter.
fn parameters(properties: Vec<(&'static str, MetaSchema)>) -> Option<MetaSchemaRef> {
    let properties = properties.into_iter();
    let object = MetaSchema {
        properties: properties
            .map(|(name, schema)| (name, MetaSchemaRef::Inline(Box::new(schema))))
            .collect(),
        ..MetaSchema::new("object")
    };
    Some(MetaSchemaRef::Inline(Box::new(object)))
}

fn named<T>(name: &'static str) -> ExtractParamOptions<T> {
    ExtractParamOptions {
        name,
        ..Default::default()
    }
}

impl<'a> ApiExtractor<'a> for IfMatch {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];

    type ParamType = ();
    type ParamRawType = ();

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        let header = MetaSchema {
            description: Some(
                "The `ETag` that you have seen. Only its revision is compared; with another \
                 revision the answer is 412.",
            ),
            example: Some(json!("\"3.1p2o3i4u5y6t7r8e\"")),
            ..MetaSchema::new("string")
        };
        parameters(vec![(IF_MATCH, header)])
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let header = Header::from_request(request, body, named(IF_MATCH)).await?;
        Ok(IfMatch::new(header.0))
    }
}

impl<'a> ApiExtractor<'a> for Paging {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];

    type ParamType = ();
    type ParamRawType = ();

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Query)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        let limit = MetaSchema {
            description: Some("How many items the page has at most."),
            default: Some(DEFAULT_LIMIT.into()),
            maximum: Some(MAX_LIMIT.into()),
            minimum: Some(1.0),
            ..MetaSchema::new_with_format("integer", "uint32")
        };
        let cursor = MetaSchema {
            description: Some("Where the page begins: `meta.next_cursor` of the page before."),
            example: Some(json!("AAZPkQ5Z4gABljscegB9TpwfWmt8jZ4PsV0zC9nA3kE")),
            ..MetaSchema::new("string")
        };
        parameters(vec![(LIMIT, limit), (CURSOR, cursor)])
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let limit = Query::<Option<u32>>::from_request(request, body, named(LIMIT)).await?;
        let limit = limit.0.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            let reason = "out of range".to_owned();
            return Err(ParseParamError {
                name: LIMIT,
                reason,
            }
            .into());
        }
        let cursor = Query::from_request(request, body, named(CURSOR)).await?;
        Ok(Paging {
            limit,
            cursor: cursor.0,
        })
    }
}

impl<'a> ApiExtractor<'a> for Network {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::PoemExtractor];

    type ParamType = ();
    type ParamRawType = ();

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(network(request))
    }
}

impl<'a> ApiExtractor<'a> for Language {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];

    type ParamType = ();
    type ParamRawType = ();

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        let header = MetaSchema {
            description: Some("The language of the message: English (`en`) or Chinese (`zh`)."),
            example: Some(json!("zh-CN, en;q=0.5")),
            ..MetaSchema::new("string")
        };
        parameters(vec![("Accept-Language", header)])
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Language::preferred(request.header(ACCEPT_LANGUAGE)))
    }
}

/// The network that a request comes from, which the [stack](super::Stack) has put into the request.
pub(super) fn network(request: &Request) -> Network {
    let metered = request.data().map(Metered::network);
    let network = metered.or_else(|| request.data().copied());
    network.unwrap_or_else(|| Network::of(None))
}
