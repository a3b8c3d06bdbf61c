//! What a feature declares of each of its operations, beside the handler.

use serde::Serialize;

use super::rates::Kind;
use crate::failure::Code;

/// How the server treats the requests of an operation, apart from its handler.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Policy {
    /// The largest request body in bytes, where it is larger than `http.max_body`.
    pub max_body: Option<u64>,
    /// The rate limit that requests count for. By default GET counts as a read, anything else as a
    /// write.
    pub rate: Option<Kind>,
    /// Whether a change goes on when the client hangs up and the handler is dropped. By default a
    /// change runs in a task of its own, so that the handler is not dropped.
    pub survives_disconnect: bool,
    /// What an answer gives to other operations.
    pub links: Option<Links>,
}

/// Path parameters that an answer knows. The OpenAPI document links the answer to every operation
/// whose path has these parameters and no others.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Links {
    /// The status of the answer.
    pub status: u16,
    /// Each path parameter with the runtime expression that finds it, such as
    /// `$response.body#/id`.
    pub parameters: &'static [(&'static str, &'static str)],
}

impl Policy {
    /// What holds where an operation declares nothing else.
    pub const DEFAULT: Policy = Policy {
        max_body: None,
        rate: None,
        survives_disconnect: false,
        links: None,
    };
}

/// An operation, declared with `operations!`.
pub trait Declared: Send + Sync + 'static {
    /// The problems that this operation may answer with. What every operation may answer (a bad
    /// token, a malformed request, an overloaded server) is added where the document is finished.
    const CODES: &'static [Code];
    const POLICY: Policy;
}

/// Declares the operations of an API. Each name is a type, which the handler returns in a
/// [`Refused`](super::refused::Refused). After the name come the codes of the problems that the
/// operation may answer with, then the fields of its [`Policy`] that differ from the default:
///
/// ```ignore
/// operations! {
///     GetBallot: NotFound;
///     CastBallot: NotFound, VotingClosed => { rate: Some(Kind::Ballots), survives_disconnect: true };
/// }
/// ```
macro_rules! operations {
    ($($operation:ident: $($code:ident),+ $(=> { $($field:ident: $value:expr),+ $(,)? })?;)+) => {
        $(
            pub struct $operation;

            impl $crate::http::policy::Declared for $operation {
                const CODES: &'static [$crate::failure::Code] =
                    &[$($crate::failure::Code::$code),+];
                const POLICY: $crate::http::policy::Policy = $crate::http::policy::Policy {
                    $($($field: $value,)+)?
                    ..$crate::http::policy::Policy::DEFAULT
                };
            }
        )+
    };
}
pub(crate) use operations;
