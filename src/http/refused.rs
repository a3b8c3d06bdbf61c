//! Failures that an operation answers with. The OpenAPI document has exactly those that it
//! declares.

use std::marker::PhantomData;

use poem_openapi::payload::Payload;
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry,
};
use poem_openapi::types::Type as _;
use poem_openapi::{ApiResponse, Object};

use super::policy::{Declared, Policy};
use crate::failure::{Code, Failure, Rule};

/// A failure of the operation `O`, with one of the codes that `O` declares.
pub struct Refused<O>(Failure, PhantomData<O>);

impl<O: Declared, F: Into<Failure>> From<F> for Refused<O> {
    fn from(failure: F) -> Self {
        let failure = failure.into();
        let code = failure.code;
        debug_assert!(
            code.status() >= 500 || O::CODES.contains(&code),
            "{} answers {}, which it does not declare",
            std::any::type_name::<O>(),
            code.name(),
        );
        Refused(failure, PhantomData)
    }
}

impl<O> From<Refused<O>> for poem::Error {
    fn from(refused: Refused<O>) -> Self {
        refused.0.into()
    }
}

impl<O: Declared> ApiResponse for Refused<O> {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: responses(O::CODES, O::POLICY),
        }
    }

    fn register(registry: &mut Registry) {
        Problem::register(registry);
    }
}

/// The name of the header that carries the policy, as JSON.
pub(super) const POLICY: &str = "policy";

/// One response for each status among `codes`. poem-openapi has no place for codes and policy, so
/// they travel as names of headers to where [the document is finished](super::spec::finish), and
/// are taken out there.
fn responses(codes: &[Code], policy: Policy) -> Vec<MetaResponse> {
    let mut statuses: Vec<u16> = codes.iter().map(|code| code.status()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    // A struct of strings and numbers always has a form in JSON.
    let policy = serde_json::to_string(&policy).unwrap_or_default();
    let response = |status| {
        let codes = codes.iter().filter(|code| code.status() == status);
        let codes = codes.map(|code| marker(code.name(), None));
        let policy = marker(POLICY, Some(policy.clone()));
        MetaResponse {
            description: "",
            status: Some(status),
            status_range: None,
            content: vec![MetaMediaType {
                content_type: ProblemJson::CONTENT_TYPE,
                schema: Problem::schema_ref(),
            }],
            headers: codes.chain([policy]).collect(),
        }
    };
    statuses.into_iter().map(response).collect()
}

fn marker(name: &str, description: Option<String>) -> MetaHeader {
    MetaHeader {
        name: name.to_owned(),
        description,
        required: false,
        deprecated: false,
        schema: String::schema_ref(),
    }
}

/// The media type of problems.
struct ProblemJson;

impl Payload for ProblemJson {
    const CONTENT_TYPE: &'static str = "application/problem+json";

    fn schema_ref() -> MetaSchemaRef {
        Problem::schema_ref()
    }
}

/// What went wrong, as RFC 9457 writes it.
#[derive(Object)]
pub struct Problem {
    /// A page of this server that explains the code.
    #[oai(rename = "type")]
    kind: String,
    /// A summary, the same each time.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What programs switch on; never changes its meaning.
    code: String,
    /// What happened this time.
    detail: String,
    /// Under this the server's log has more.
    request_id: String,
    /// Field by field, with `invalid_fields` only: all of them at once.
    errors: Option<Vec<ProblemField>>,
}

/// A field that is not acceptable.
#[derive(Object)]
pub struct ProblemField {
    /// An RFC 6901 JSON pointer into the body.
    pointer: String,
    code: Rule,
    /// What is allowed.
    message: String,
}
