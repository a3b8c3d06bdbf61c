//! The forms of token requests as they are documented, and the answer to a failed grant.

use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use serde::Serialize;

/// What tokens are got for. Which fields a grant needs, its `grant_type` says; the others are
/// ignored. An empty field counts as left out (RFC 6749, section 3.2).
// One object for all grants: generators write a form of alternatives in ways that no server reads.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct TokenRequest {
    grant_type: GrantType,
    /// For `password`: the email address or phone number.
    username: Option<String>,
    /// For `password`: the account's password.
    password: Option<String>,
    /// For `refresh_token`: the refresh token of the last answer.
    refresh_token: Option<String>,
    /// For `urn:polls:grant:invitation`: the code of the invitation. Case, hyphens and spaces do not
    /// matter.
    code: Option<String>,
}

impl Example for TokenRequest {
    fn example() -> Self {
        TokenRequest {
            grant_type: GrantType::Password,
            username: Some("luxi@qq.com".into()),
            password: Some("correct horse battery staple".into()),
            refresh_token: None,
            code: None,
        }
    }
}

/// How to get tokens.
///
/// - `password`: signs in; needs `username` and `password`.
/// - `refresh_token`: goes on being signed in; needs `refresh_token`.
/// - `urn:polls:grant:invitation`: votes by invitation; needs `code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum GrantType {
    Password,
    RefreshToken,
    #[oai(rename = "urn:polls:grant:invitation")]
    Invitation,
}

/// A token that shall be good for nothing any more.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
pub struct RevocationRequest {
    /// An access token or a refresh token.
    #[oai(validator(min_length = 1))]
    token: String,
    /// Not needed, and ignored.
    token_type_hint: Option<String>,
}

impl Example for RevocationRequest {
    fn example() -> Self {
        RevocationRequest {
            token: "8xLOxBtZp8-0Qn2bM3v5Cw1dE6fG7hJ9kL4mN0pR2sT".into(),
            token_type_hint: None,
        }
    }
}

/// A grant that got no tokens, as RFC 6749, section 5.2, writes it.
#[derive(Object, Serialize)]
#[oai(example)]
pub struct GrantError {
    /// What programs switch on.
    pub error: GrantErrorCode,
    /// For people.
    pub error_description: String,
}

impl Example for GrantError {
    fn example() -> Self {
        GrantError {
            error: GrantErrorCode::InvalidGrant,
            error_description: "The credentials are not valid.".into(),
        }
    }
}

/// Why there are no tokens, as RFC 6749, section 5.2, calls it.
#[derive(Enum, Serialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum GrantErrorCode {
    InvalidRequest,
    InvalidGrant,
    UnsupportedGrantType,
}
