//! Tokens and sessions over HTTP.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, PRAGMA, USER_AGENT};
use jsonwebtoken::jwk::JwkSet;
use poem::web::{Data, Json};
use poem::{IntoResponse, Request, RequestBody, Response, get, handler};
use poem_openapi::param::Path;
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{
    MetaDiscriminatorObject, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef,
    Registry,
};
use poem_openapi::types::{Example, ToJSON as _, Type as _};
use poem_openapi::{ApiResponse, Enum, Object, OpenApi, impl_apirequest_for_payload};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::form::{Form, Repeated};
use super::tokens::grant::{GrantFailure, Granted};
use super::tokens::session;
use super::{Accounts, SignedIn, Tokens};
use crate::clock::Time;
use crate::failure::{Code, Failure};
use crate::http::API;
use crate::http::Site;
use crate::http::body;
use crate::http::policy::{Links, operations};
use crate::http::rates::Metered;
use crate::http::refused::Refused;
use crate::http::reply::{Answered, Done, Rendered};
use crate::http::spec::Tag;
use crate::network::Network;
use crate::page::{PageMeta, Paging};

/// Tokens and sessions.
pub struct AuthApi {
    pub accounts: Accounts,
    pub tokens: Tokens,
}

operations! {
    IssueToken: RateLimited;
    RevokeToken: MalformedRequest;
    ListSessions: MalformedRequest => {
        links: Some(Links {
            status: 200,
            parameters: &[("session_id", "$response.body#/data/0/id")],
        }),
    };
    EndSession: NotFound;
    EndAllSessions: Unauthenticated;
}

#[OpenApi]
impl AuthApi {
    /// Get tokens
    ///
    /// OAuth 2.0: with `grant_type=password`, signs in by email address or phone number; with
    /// `grant_type=refresh_token`, exchanges a refresh token for new tokens. A refresh token is
    /// good for one use. Used again within a short while, because an answer was lost, it gets the
    /// same refresh token again; used again later, it ends the session. Failures of the grant are
    /// answered as RFC 6749, section 5.2, says, with the same words whether the account, the
    /// password or the token is wrong. Too many attempts are 429. An account has a limited number
    /// of sessions: another sign-in ends the least recently used one. Other parameters, such as `client_id` and
    /// `scope`, are ignored.
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
        let granted = match form.take("grant_type").as_deref() {
            Some("password") => {
                let (Some(username), Some(password)) =
                    (form.take("username"), form.take("password"))
                else {
                    return Ok(TokenReply::invalid("username and password are required."));
                };
                let client = request.headers().get(USER_AGENT);
                let client = client.and_then(|client| client.to_str().ok());
                let granted = self.accounts.sign_in(&username, password, client, network);
                let granted = granted.await;
                Metered::tell(request, self.accounts.sign_in_limit(&username, network));
                granted
            }
            Some("refresh_token") => match form.take("refresh_token") {
                Some(token) => self.tokens.refresh(&token).await,
                None => return Ok(TokenReply::invalid("refresh_token is required.")),
            },
            Some(_) => {
                return Ok(TokenReply::Refused(GrantError {
                    error: GrantErrorCode::UnsupportedGrantType,
                    error_description: "grant_type must be password or refresh_token.".into(),
                }));
            }
            None => return Ok(TokenReply::invalid("grant_type is required.")),
        };
        match granted {
            Ok(granted) => Ok(TokenReply::Granted(granted.into())),
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
    #[oai(path = "/auth/revoke", method = "post", operation_id = "revokeToken", tag = Tag::Auth)]
    async fn revoke_token(&self, form: RevokeForm) -> Result<Revoked, Refused<RevokeToken>> {
        let token = form.0.ok().and_then(|mut form| form.take("token"));
        let missing = || Failure::new(Code::MalformedRequest, "token is required, once.");
        self.tokens.revoke(&token.ok_or_else(missing)?).await?;
        Ok(Revoked)
    }

    /// List where I am signed in
    ///
    /// The sessions of this account that have neither ended nor expired, newest first.
    #[oai(path = "/auth/sessions", method = "get", operation_id = "listSessions", tag = Tag::Auth)]
    async fn list_sessions(
        &self,
        signed_in: SignedIn,
        page: Paging,
    ) -> Result<Answered<SessionPage>, Refused<ListSessions>> {
        let scope = format!("sessions of {}", signed_in.caller.id);
        let request = page.of(&scope)?;
        let sessions = self.tokens.sessions(&signed_in, request).await?;
        let page = SessionPage {
            data: sessions
                .items
                .into_iter()
                .map(|row| Session::of(row, &signed_in))
                .collect(),
            meta: PageMeta::new(sessions.next, &scope),
        };
        Ok(Answered::new(Rendered::plain(&page)?))
    }

    /// Sign out somewhere
    ///
    /// Ends one session of this account, be it this one. Its tokens stop working at once on this
    /// process and within a second on others.
    #[oai(path = "/auth/sessions/:session_id", method = "delete", operation_id = "endSession", tag = Tag::Auth)]
    async fn end_session(
        &self,
        signed_in: SignedIn,
        /// The session's id.
        session_id: Path<Uuid>,
    ) -> Result<Done, Refused<EndSession>> {
        self.tokens.end_session(&signed_in, session_id.0).await?;
        Ok(Done)
    }

    /// Sign out everywhere
    ///
    /// Ends all sessions of this account, this one too.
    #[oai(path = "/auth/sessions", method = "delete", operation_id = "endAllSessions", tag = Tag::Auth)]
    async fn end_all_sessions(&self, signed_in: SignedIn) -> Result<Done, Refused<EndAllSessions>> {
        self.tokens.end_all_sessions(&signed_in).await?;
        Ok(Done)
    }
}

/// One of the grants, told apart by `grant_type`. poem's own unions name their parts otherwise.
struct TokenRequest;

impl TokenRequest {
    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference("TokenRequest".to_owned())
    }

    fn register(registry: &mut Registry) {
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
struct RevocationRequest {
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

/// Tokens for a grant.
#[derive(Object, Serialize)]
#[oai(example)]
struct TokenResponse {
    /// Send it as `Authorization: Bearer …`. A JWT; treat it as opaque.
    access_token: String,
    /// How the access token is sent.
    token_type: TokenType,
    /// For how many seconds the access token is good.
    expires_in: u64,
    /// Gets the next tokens; good for one use.
    refresh_token: String,
}

impl From<Granted> for TokenResponse {
    fn from(granted: Granted) -> Self {
        TokenResponse {
            access_token: granted.access_token,
            token_type: TokenType::Bearer,
            expires_in: granted.expires_in,
            refresh_token: granted.refresh_token,
        }
    }
}

impl Example for TokenResponse {
    fn example() -> Self {
        TokenResponse {
            access_token: "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJIUzI1NiJ9.eyJnZW4iOjB9.c2lnbmF0dXJl"
                .into(),
            token_type: TokenType::Bearer,
            expires_in: 900,
            refresh_token: "8xLOxBtZp8-0Qn2bM3v5Cw1dE6fG7hJ9kL4mN0pR2sT".into(),
        }
    }
}

/// The type of all access tokens.
#[derive(Enum, Serialize)]
enum TokenType {
    Bearer,
}

/// A grant that got no tokens, as RFC 6749, section 5.2, writes it.
#[derive(Object, Serialize)]
#[oai(example)]
struct GrantError {
    /// What programs switch on.
    error: GrantErrorCode,
    /// For people.
    error_description: String,
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
enum GrantErrorCode {
    InvalidRequest,
    InvalidGrant,
    UnsupportedGrantType,
}

enum TokenReply {
    Granted(TokenResponse),
    Refused(GrantError),
}

impl TokenReply {
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

fn unstored(status: StatusCode, body: &impl Serialize) -> Response {
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

/// A page of sessions.
#[derive(Object, Serialize)]
#[oai(example)]
struct SessionPage {
    /// The sessions of this page, newest first.
    data: Vec<Session>,
    meta: PageMeta,
}

impl Example for SessionPage {
    fn example() -> Self {
        SessionPage {
            data: vec![Session::example()],
            meta: PageMeta { next_cursor: None },
        }
    }
}

/// Where an account is signed in.
#[derive(Object, Serialize)]
#[oai(example, skip_serializing_if_is_none)]
struct Session {
    /// The session's id.
    id: Uuid,
    /// What the client called itself when it signed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    /// Whether it is the one that this request belongs to.
    current: bool,
    /// When it began, with a password.
    created_at: Time,
    /// When it last got new tokens.
    last_used_at: Time,
    /// When it ends unless it is used before.
    expires_at: Time,
}

impl Session {
    fn of(row: session::Model, signed_in: &SignedIn) -> Session {
        Session {
            id: row.id,
            client: row.client,
            current: row.id == signed_in.session_id,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            expires_at: row.expires_at,
        }
    }
}

impl Example for Session {
    fn example() -> Self {
        let created_at = Time(1_776_282_436_000_000);
        Session {
            id: Uuid::from_u128(0x0196_3b1c_7a20_7d4e_9c1f_5a6b_7c8d_9e0f),
            client: Some("Mozilla/5.0 (X11; Linux x86_64)".into()),
            current: true,
            created_at,
            last_used_at: created_at,
            expires_at: Time(1_778_874_436_000_000),
        }
    }
}

/// Adds the server's metadata and its public keys. Both need the [`Tokens`] in the request's data.
pub fn add_well_known(site: Site) -> Site {
    site.get("/.well-known/oauth-authorization-server", get(metadata))
        .get("/.well-known/jwks.json", get(public_keys))
}

/// RFC 8414, but that the addresses are paths where `server.public_url` is not set: what a request
/// says of the server's address is no address to send passwords to.
#[handler]
fn metadata(tokens: Data<&Arc<Tokens>>) -> Json<serde_json::Value> {
    let base = tokens.public_url().unwrap_or_default();
    let base = base.trim_end_matches('/');
    Json(json!({
        "issuer": tokens.issuer(),
        "token_endpoint": format!("{base}{API}/auth/token"),
        "revocation_endpoint": format!("{base}{API}/auth/revoke"),
        "jwks_uri": format!("{base}/.well-known/jwks.json"),
        "service_documentation": format!("{base}/docs"),
        "grant_types_supported": ["password", "refresh_token"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
    }))
}

/// RFC 7517.
#[handler]
fn public_keys(tokens: Data<&Arc<Tokens>>) -> Json<JwkSet> {
    Json(tokens.public_keys())
}

#[cfg(test)]
mod tests {
    use http::Method;
    use poem::{Endpoint as _, EndpointExt as _};
    use poem_openapi::OpenApiService;
    use serde_json::Value;

    use super::*;
    use crate::auth::tests::{Cluster, PASSWORD, Process, user};

    /// Posts a form and returns status, whether storing is forbidden, and the body.
    async fn post(process: &Process, path: &str, form: &str) -> (u16, bool, Value) {
        let api = AuthApi {
            accounts: process.accounts.clone(),
            tokens: process.tokens.clone(),
        };
        let api = OpenApiService::new(api, "auth", "1");
        let request = Request::builder()
            .method(Method::POST)
            .uri_str(path)
            .content_type("application/x-www-form-urlencoded; charset=UTF-8")
            // Swagger UI sends this where there is no client id.
            .header("authorization", "Basic Og==")
            .body(form.to_owned());
        let response = api
            .data(Arc::new(process.tokens.clone()))
            .get_response(request)
            .await;
        let status = response.status().as_u16();
        let unstored = response.header("cache-control") == Some("no-store");
        let body = response.into_body().into_vec().await.unwrap();
        (
            status,
            unstored,
            serde_json::from_slice(&body).unwrap_or_default(),
        )
    }

    #[tokio::test]
    async fn a_grant_gets_tokens_that_nobody_stores() {
        let (_cluster, process) = Cluster::new().await;
        user(&process, "luxi").await;
        let form = format!(
            "grant_type=password&username=luxi%40example.org&password={PASSWORD}&scope=&client_id=x"
        );
        let (status, unstored, tokens) = post(&process, "/auth/token", &form).await;
        assert_eq!((status, unstored), (200, true), "{tokens}");
        assert_eq!(tokens["token_type"], "Bearer");
        assert_eq!(tokens["expires_in"], 900);
        process
            .tokens
            .authenticate(tokens["access_token"].as_str().unwrap())
            .await
            .unwrap();

        let refresh_token = tokens["refresh_token"].as_str().unwrap();
        let form = format!("grant_type=refresh_token&refresh_token={refresh_token}");
        let (status, _, next) = post(&process, "/auth/token", &form).await;
        assert_eq!(status, 200, "{next}");
        let form = format!("token_type_hint=x&token={refresh_token}");
        assert_eq!(post(&process, "/auth/revoke", &form).await.0, 200);
        process
            .tokens
            .authenticate(next["access_token"].as_str().unwrap())
            .await
            .unwrap_err();
        assert_eq!(post(&process, "/auth/revoke", "token=unknown").await.0, 200);
        assert_eq!(post(&process, "/auth/revoke", "token=").await.0, 400);
    }

    #[tokio::test]
    async fn a_failed_grant_answers_as_oauth_prescribes() {
        let (_cluster, process) = Cluster::new().await;
        user(&process, "luxi").await;
        for (form, error) in [
            ("", "invalid_request"),
            ("grant_type=", "invalid_request"),
            (
                "grant_type=password&username=luxi@example.org",
                "invalid_request",
            ),
            ("grant_type=refresh_token", "invalid_request"),
            (
                "grant_type=password&grant_type=password&username=a&password=b",
                "invalid_request",
            ),
            ("grant_type=client_credentials", "unsupported_grant_type"),
            (
                "grant_type=password&username=luxi@example.org&password=wrong",
                "invalid_grant",
            ),
            (
                "grant_type=password&username=nobody&password=wrong",
                "invalid_grant",
            ),
            (
                "grant_type=refresh_token&refresh_token=unknown",
                "invalid_grant",
            ),
        ] {
            let (status, unstored, body) = post(&process, "/auth/token", form).await;
            assert_eq!((status, unstored), (400, true), "{form}");
            assert_eq!(body["error"], error, "{form}");
        }
    }

    #[tokio::test]
    async fn the_metadata_has_configured_addresses_or_paths_and_nothing_of_the_request() {
        for (settings, endpoint) in [
            (&[][..], "/api/v1/auth/token"),
            (
                &[("server.public_url", "https://polls.example.org")],
                "https://polls.example.org/api/v1/auth/token",
            ),
        ] {
            let settings = [&[("auth.algorithm", "ES256")], settings].concat();
            let (_cluster, process) = Cluster::with(&settings).await;
            let (routes, _) = add_well_known(Site::default()).into_parts([]);
            let routes = routes.data(Arc::new(process.tokens));
            let get = async |path: &str| {
                let request = Request::builder()
                    .uri_str(path)
                    .header("host", "forged.test:8080");
                let body = routes.get_response(request.finish()).await.into_body();
                let body = body.into_string().await.unwrap();
                assert!(!body.contains("forged"), "{body}");
                serde_json::from_str::<Value>(&body).unwrap()
            };
            let server = get("/.well-known/oauth-authorization-server").await;
            assert_eq!(server["token_endpoint"], endpoint);
            assert_eq!(get("/.well-known/jwks.json").await["keys"][0]["kty"], "EC");
        }
    }
}
