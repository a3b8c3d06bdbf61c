//! What an operation may answer instead: its own short list of failures, and the spec from it.

use std::marker::PhantomData;

use poem_openapi::payload::Payload;
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry,
};
use poem_openapi::types::Type as _;
use poem_openapi::{ApiResponse, Object};

use crate::failure::{Code, Failure};

/// The failures that one operation has of its own. What every operation may answer (a bad token,
/// a malformed request, an overloaded server) is added where the spec is finished.
pub trait Failures: Send + Sync + 'static {
    const CODES: &'static [Code];
}

/// Declares the failures of operations: `failures!(CastBallot: NotFound, VotingClosed);`
macro_rules! failures {
    ($($operation:ident: $($code:ident),+;)+) => {
        $(
            pub struct $operation;

            impl $crate::http::refused::Failures for $operation {
                const CODES: &'static [$crate::failure::Code] =
                    &[$($crate::failure::Code::$code),+];
            }
        )+
    };
}
pub(crate) use failures;

/// A refusal by an operation whose failures `L` lists.
pub struct Refused<L>(Failure, PhantomData<L>);

impl<L: Failures, F: Into<Failure>> From<F> for Refused<L> {
    fn from(failure: F) -> Self {
        let failure = failure.into();
        let code = failure.code;
        debug_assert!(
            code.status() >= 500 || L::CODES.contains(&code),
            "{} answers {}, which its list of failures lacks",
            std::any::type_name::<L>(),
            code.name(),
        );
        Refused(failure, PhantomData)
    }
}

impl<L> From<Refused<L>> for poem::Error {
    fn from(refused: Refused<L>) -> Self {
        refused.0.into()
    }
}

impl<L: Failures> ApiResponse for Refused<L> {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: responses(L::CODES),
        }
    }

    fn register(registry: &mut Registry) {
        Problem::register(registry);
    }
}

/// One response for each status among `codes`. The codes go along as if they were headers, for
/// want of a better place; where the document is finished, they become what is written about it.
fn responses(codes: &[Code]) -> Vec<MetaResponse> {
    let mut statuses: Vec<u16> = codes.iter().map(|code| code.status()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    let response = |status| MetaResponse {
        description: "",
        status: Some(status),
        status_range: None,
        content: vec![MetaMediaType {
            content_type: ProblemJson::CONTENT_TYPE,
            schema: Problem::schema_ref(),
        }],
        headers: codes
            .iter()
            .filter(|code| code.status() == status)
            .map(marker)
            .collect(),
    };
    statuses.into_iter().map(response).collect()
}

fn marker(code: &Code) -> MetaHeader {
    MetaHeader {
        name: code.name().to_owned(),
        description: None,
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
    /// The rule that was broken; never changes its meaning, and further rules may be added.
    ///
    /// - `required`, `type`, `unknown_field`, `duplicate_field`: the body does not have the form of
    ///   its schema.
    /// - `length`, `range`: more or less than a limit.
    /// - `choice`, `unique`: none of those there are, or twice the same.
    /// - `order`, `past`: a time before another one, or before now.
    /// - `control_character`, `invisible`, `open_direction`: text with characters that it must not
    ///   have, without any that can be seen, or with a writing direction that does not end.
    /// - `email`, `phone`: no such address or number.
    /// - `common_password`, `contains_account`, `wrong`: a password that is easily guessed, that is
    ///   made of what is known of the account, or that is not the account's.
    code: String,
    /// What is allowed.
    message: String,
}
