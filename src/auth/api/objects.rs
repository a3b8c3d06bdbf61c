//! The forms of token requests as they are documented, and the answer to a failed grant.

use poem_openapi::registry::{MetaDiscriminatorObject, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{Example, ToJSON as _, Type as _};
use poem_openapi::{Enum, Object};
use serde::Serialize;

/// One of the grants, told apart by `grant_type`. poem's own unions name their parts otherwise.
pub struct TokenRequest;

impl TokenRequest {
    pub fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference("TokenRequest".to_owned())
    }

    pub fn register(registry: &mut Registry) {
        PasswordGrant::register(registry);
        RefreshTokenGrant::register(registry);
        let parts = [
            ("password", PasswordGrant::schema_ref()),
            ("refresh_token", RefreshTokenGrant::schema_ref()),
        ];
        let name = |part: &MetaSchemaRef| match part {
            MetaSchemaRef::Reference(name) => format!("#/components/schemas/{name}"),
            MetaSchemaRef::Inline(_) => String::new(),
        };
        let mapping = parts
            .iter()
            .map(|(value, part)| ((*value).to_owned(), name(part)));
        let discriminator = MetaDiscriminatorObject {
            property_name: "grant_type",
            mapping: mapping.collect(),
        };
        registry.create_schema::<TokenRequest, _>("TokenRequest".to_owned(), |_| MetaSchema {
            description: Some("What tokens are got for."),
            one_of: parts.map(|(_, part)| part).into(),
            discriminator: Some(discriminator),
            example: PasswordGrant::example().to_json(),
            ..MetaSchema::ANY
        });
    }
}

/// Signs in.
#[derive(Object)]
#[oai(example)]
struct PasswordGrant {
    /// `password`.
    grant_type: PasswordGrantType,
    /// The email address or phone number.
    #[oai(validator(min_length = 1))]
    username: String,
    /// The account's password.
    #[oai(validator(min_length = 1))]
    password: String,
}

impl Example for PasswordGrant {
    fn example() -> Self {
        PasswordGrant {
            grant_type: PasswordGrantType::Password,
            username: "luxi@qq.com".into(),
            password: "correct horse battery staple".into(),
        }
    }
}

/// Goes on being signed in.
#[derive(Object)]
#[oai(example)]
struct RefreshTokenGrant {
    /// `refresh_token`.
    grant_type: RefreshTokenGrantType,
    /// The refresh token of the last answer.
    #[oai(validator(min_length = 1))]
    refresh_token: String,
}

impl Example for RefreshTokenGrant {
    fn example() -> Self {
        RefreshTokenGrant {
            grant_type: RefreshTokenGrantType::RefreshToken,
            refresh_token: "8xLOxBtZp8-0Qn2bM3v5Cw1dE6fG7hJ9kL4mN0pR2sT".into(),
        }
    }
}

/// The type of a grant by password.
#[derive(Enum)]
#[oai(rename_all = "snake_case")]
enum PasswordGrantType {
    Password,
}

/// The type of a grant by refresh token.
#[derive(Enum)]
#[oai(rename_all = "snake_case")]
enum RefreshTokenGrantType {
    RefreshToken,
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
