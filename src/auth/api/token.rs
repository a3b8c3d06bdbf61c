//! The token endpoint (RFC 6749) and the revocation endpoint (RFC 7009).

use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, PRAGMA, USER_AGENT};
use poem::{IntoResponse, Request, RequestBody, Response};
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry};
use poem_openapi::types::{ParseFromParameter as _, Type as _};
use poem_openapi::{ApiResponse, OpenApi, impl_apirequest_for_payload};
use serde::Serialize;

use super::form::{Form, Repeated};
use super::objects::{GrantError, GrantErrorCode, GrantType, RevocationRequest, TokenRequest};
use crate::auth::tokens::grant::{GrantFailure, TokenResponse};
use crate::auth::{Accounts, Tokens};
use crate::failure::{Code, Failure};
use crate::http::body;
use crate::http::policy::operations;
use crate::http::rates::Metered;
use crate::http::refused::Refused;
use crate::http::spec::Tag;
use crate::invitations::Invitations;
use crate::network::Network;

/// The handlers of tokens.
pub struct TokensApi {
    pub accounts: Accounts,
    pub tokens: Tokens,
    pub invitations: Invitations,
}

operations! {
    IssueToken: RateLimited;
    RevokeToken: MalformedRequest;
}

#[OpenApi]
impl TokensApi {
    /// Get tokens
    ///
    /// OAuth 2.0: with `grant_type=password`, signs in by email address or phone number; with
    /// `grant_type=refresh_token`, exchanges a refresh token for new tokens; with
    /// `grant_type=urn:polls:grant:invitation`, exchanges the code of an invitation for tokens of a
    /// guest who may vote on its question. The same code gets the same guest every time, on any device.
    /// A refresh token is good for one use. Used again within a short while, because an answer was lost, it gets the
    /// same refresh token again; used again later, it ends the session. Failures of the grant are
    /// answered as RFC 6749, section 5.2, says, with the same words whether the account, the
    /// password, the token or the code is wrong. Too many attempts are 429. An account has a limited number
    /// of sessions: another sign-in ends the least recently used one. Other parameters, such as
    /// `client_id` and `scope`, are ignored.
    ///
    /// Sent twice: a password or code signs in twice, as two sessions; a refresh token gets the same
    /// successor again, as long as that may be because an answer was lost.
    #[oai(path = "/auth/token", method = "post", operation_id = "issueToken", tag = Tag::Auth)]
    async fn issue_token(
        &self,
        request: &Request,
        network: Network,
        form: TokenForm,
    ) -> Result<TokenReply, Refused<IssueToken>> {
        if request.uri().query().is_some_and(|query| !query.is_empty()) {
            return Ok(TokenReply::invalid("Parameters belong in the body."));
        }
        let Ok(mut form) = form.0 else {
            return Ok(TokenReply::invalid("A parameter is given twice."));
        };
        let Some(grant_type) = form.take("grant_type") else {
            return Ok(TokenReply::invalid("grant_type is required."));
        };
        let client = request.headers().get(USER_AGENT);
        let client = client.and_then(|client| client.to_str().ok());
        let granted = match GrantType::parse_from_parameter(&grant_type) {
            Ok(GrantType::Password) => {
                let [username, password] = match form.require(["username", "password"]) {
                    Ok(fields) => fields,
                    Err(missing) => return Ok(TokenReply::missing(&missing)),
                };
                let granted = self.accounts.sign_in(&username, password, client, network);
                let granted = granted.await;
                Metered::tell(request, self.accounts.sign_in_limit(&username, network));
                granted
            }
            Ok(GrantType::RefreshToken) => match form.require(["refresh_token"]) {
                Ok([token]) => self.tokens.refresh(&token).await,
                Err(missing) => return Ok(TokenReply::missing(&missing)),
            },
            Ok(GrantType::Invitation) => match form.require(["code"]) {
                Ok([code]) => self.invitations.exchange(&code, client, network).await,
                Err(missing) => return Ok(TokenReply::missing(&missing)),
            },
            Err(_) => {
                let description = "grant_type must be password, refresh_token or \
                    urn:polls:grant:invitation.";
                return Ok(TokenReply::Refused(GrantError {
                    error: GrantErrorCode::UnsupportedGrantType,
                    error_description: description.into(),
                }));
            }
        };
        match granted {
            Ok(tokens) => Ok(TokenReply::Granted(tokens)),
            Err(GrantFailure::InvalidGrant) => Ok(TokenReply::Refused(GrantError {
                error: GrantErrorCode::InvalidGrant,
                error_description: "The credentials are not valid.".into(),
            })),
            Err(GrantFailure::Other(failure)) => Err(failure.into()),
        }
    }

    /// Revoke a token
    ///
    /// Ends the session that an access or refresh token belongs to (RFC 7009). Answers 200 for
    /// any token, known or not.
    ///
    /// Sent twice: the second changes nothing and is 200 as well.
    #[oai(path = "/auth/revoke", method = "post", operation_id = "revokeToken", tag = Tag::Auth)]
    async fn revoke_token(&self, form: RevokeForm) -> Result<Revoked, Refused<RevokeToken>> {
        let token = form.0.ok().and_then(|mut form| form.take("token"));
        let missing = || Failure::new(Code::MalformedRequest, "token is required, once.");
        self.tokens.revoke(&token.ok_or_else(missing)?).await?;
        Ok(Revoked)
    }
}

/// Declares a form body that is documented as one type and read as OAuth reads forms.
macro_rules! form {
    ($form:ident, $documented:ty) => {
        struct $form(Result<Form, Repeated>);

        impl Payload for $form {
            const CONTENT_TYPE: &'static str = "application/x-www-form-urlencoded";

            fn check_content_type(content_type: &str) -> bool {
                let essence = content_type.split(';').next().unwrap_or_default();
                essence.trim().eq_ignore_ascii_case(Self::CONTENT_TYPE)
            }

            fn schema_ref() -> MetaSchemaRef {
                <$documented>::schema_ref()
            }

            fn register(registry: &mut Registry) {
                <$documented>::register(registry);
            }
        }

        impl ParsePayload for $form {
            const IS_REQUIRED: bool = true;

            async fn from_request(_: &Request, body: &mut RequestBody) -> poem::Result<Self> {
                Ok($form(Form::parse(&body::read(body).await?)))
            }
        }

        impl_apirequest_for_payload!($form);
    };
}

form!(TokenForm, TokenRequest);
form!(RevokeForm, RevocationRequest);

enum TokenReply {
    Granted(TokenResponse),
    Refused(GrantError),
}

impl TokenReply {
    /// Names the parameters that the grant needs and the form does not have.
    fn missing(names: &[&str]) -> Self {
        let (verb, names) = (
            if names.len() == 1 { "is" } else { "are" },
            names.join(" and "),
        );
        TokenReply::invalid(&format!("{names} {verb} required."))
    }

    fn invalid(description: &str) -> Self {
        TokenReply::Refused(GrantError {
            error: GrantErrorCode::InvalidRequest,
            error_description: description.to_owned(),
        })
    }
}

impl IntoResponse for TokenReply {
    fn into_response(self) -> Response {
        match self {
            TokenReply::Granted(tokens) => unstored(StatusCode::OK, &tokens),
            TokenReply::Refused(error) => unstored(StatusCode::BAD_REQUEST, &error),
        }
    }
}

impl ApiResponse for TokenReply {
    fn meta() -> MetaResponses {
        let response = |status, schema| MetaResponse {
            description: "",
            status: Some(status),
            status_range: None,
            content: vec![MetaMediaType {
                content_type: "application/json",
                schema,
            }],
            headers: Vec::new(),
        };
        MetaResponses {
            responses: vec![
                response(200, TokenResponse::schema_ref()),
                response(400, GrantError::schema_ref()),
            ],
        }
    }

    fn register(registry: &mut Registry) {
        TokenResponse::register(registry);
        GrantError::register(registry);
    }
}

/// An answer that no cache may keep.
pub(super) fn unstored(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => Response::builder()
            .status(status)
            .content_type("application/json")
            .header(CACHE_CONTROL, "no-store")
            .header(PRAGMA, "no-cache")
            .body(body),
        Err(error) => poem::Error::from(Failure::internal(error)).into_response(),
    }
}

/// 200 without a body: whatever the token was, it is good for nothing now.
struct Revoked;

impl IntoResponse for Revoked {
    fn into_response(self) -> Response {
        let empty = Response::builder().status(StatusCode::OK);
        empty.header(CACHE_CONTROL, "no-store").body(Bytes::new())
    }
}

impl ApiResponse for Revoked {
    fn meta() -> MetaResponses {
        <() as ApiResponse>::meta()
    }

    fn register(_: &mut Registry) {}
}
