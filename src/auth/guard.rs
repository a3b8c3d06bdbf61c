//! Who may call a handler, as the type of an argument.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaOAuthFlow, MetaOAuthFlows, MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use uuid::Uuid;

use super::Tokens;

pub use super::SignedIn;
use crate::failure::{Code, Failure};
use crate::http::rates::Metered;
use crate::http::spec::{SECURITY_SCHEME, VOTER_SCHEME};
use crate::users::Caller;

const TOKEN_URL: &str = "/api/v1/auth/token";

/// An account or a guest.
#[derive(Debug, Clone, Copy)]
pub struct Voter(pub SignedIn);

/// Anybody, guests too; whoever sends a token must send a good one.
#[derive(Debug, Clone, Copy)]
pub struct MaybeSignedIn(pub Option<SignedIn>);

impl MaybeSignedIn {
    pub fn caller(&self) -> Option<Caller> {
        self.0.map(|signed_in| signed_in.caller)
    }
}

/// An admin.
#[derive(Debug, Clone, Copy)]
pub struct Admin(pub SignedIn);

/// Implements the extractor, which differs in whom it lets pass.
macro_rules! guard {
    ($guard:ty, scheme: $scheme:expr, fallback: $fallback:literal, $admit:expr) => {
        impl<'a> ApiExtractor<'a> for $guard {
            const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

            type ParamType = ();
            type ParamRawType = ();

            fn register(registry: &mut Registry) {
                registry.create_security_scheme(SECURITY_SCHEME, scheme());
            }

            fn security_schemes() -> Vec<&'static str> {
                vec![$scheme]
            }

            fn has_security_fallback() -> bool {
                $fallback
            }

            async fn from_request(
                request: &'a Request,
                _: &mut RequestBody,
                _: ExtractParamOptions<()>,
            ) -> poem::Result<Self> {
                let admit: fn(Option<SignedIn>) -> Result<$guard, Failure> = $admit;
                Ok(admit(signed_in(request).await?)?)
            }
        }
    };
}

guard!(SignedIn, scheme: SECURITY_SCHEME, fallback: false, |signed_in| {
    let signed_in = required(signed_in)?;
    if signed_in.caller.is_guest() {
        let detail = "A guest may vote where anyone may, and do nothing else. This needs an \
                      account: register with `POST /users` and the guest's token, which keeps its \
                      ballots, or sign in.";
        return Err(Failure::new(Code::Forbidden, detail));
    }
    Ok(signed_in)
});
guard!(Voter, scheme: VOTER_SCHEME, fallback: false, |signed_in| required(signed_in).map(Voter));
guard!(MaybeSignedIn, scheme: SECURITY_SCHEME, fallback: true, |signed_in| {
    Ok(MaybeSignedIn(signed_in))
});
guard!(Admin, scheme: SECURITY_SCHEME, fallback: false, |signed_in| {
    let signed_in = required(signed_in)?;
    if signed_in.caller.is_admin() {
        Ok(Admin(signed_in))
    } else {
        Err(Failure::new(Code::Forbidden, "Only admins may do this."))
    }
});

fn required(signed_in: Option<SignedIn>) -> Result<SignedIn, Failure> {
    signed_in.ok_or_else(|| Failure::new(Code::Unauthenticated, "This call needs an access token."))
}

/// Who sent the request; nobody only if it has no `Authorization` at all.
async fn signed_in(request: &Request) -> Result<Option<SignedIn>, Failure> {
    let mut headers = request.headers().get_all(AUTHORIZATION).iter();
    let Some(header) = headers.next() else {
        count(request, None)?;
        return Ok(None);
    };
    let token = header.to_str().ok().and_then(bearer);
    let Some(token) = token.filter(|_| headers.next().is_none()) else {
        count(request, None)?;
        return Err(Failure::new(
            Code::Unauthenticated,
            "The Authorization header must be `Bearer` and an access token.",
        ));
    };
    let tokens = request.data::<Arc<Tokens>>();
    let tokens = tokens.ok_or_else(|| Failure::internal("no Tokens in the request's data"))?;
    let signed_in = tokens.authenticate(token).await;
    // Guests count for the network, because anybody can make many; and so does a bad token.
    let caller = signed_in.as_ref().ok().map(|signed_in| signed_in.caller);
    let account = caller.filter(|caller| !caller.is_guest());
    count(request, account.map(|account| account.id))?;
    signed_in.map(Some)
}

fn count(request: &Request, account: Option<Uuid>) -> Result<(), Failure> {
    let metered: Option<&Metered> = request.data();
    metered.map_or(Ok(()), |metered| metered.count(account))
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

fn scheme() -> MetaSecurityScheme {
    MetaSecurityScheme {
        ty: "oauth2",
        description: Some(
            "Sign in with the email address or phone number of an account and its password. \
             Programs send the access token as `Authorization: Bearer …`.",
        ),
        name: None,
        key_in: None,
        scheme: None,
        bearer_format: None,
        flows: Some(MetaOAuthFlows {
            implicit: None,
            password: Some(MetaOAuthFlow {
                authorization_url: None,
                token_url: Some(TOKEN_URL),
                refresh_url: Some(TOKEN_URL),
                scopes: Vec::new(),
            }),
            client_credentials: None,
            authorization_code: None,
        }),
        openid_connect_url: None,
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use poem::{Endpoint as _, EndpointExt as _};
    use poem_openapi::{OpenApi, OpenApiService};

    use super::*;
    use crate::auth::tests::{Cluster, admin, nowhere, sign_in, user};

    struct Doors;

    #[OpenApi]
    impl Doors {
        #[oai(path = "/signed-in", method = "get")]
        async fn signed_in(&self, _who: SignedIn) {}

        #[oai(path = "/voter", method = "get")]
        async fn voter(&self, _who: Voter) {}

        #[oai(path = "/anybody", method = "get")]
        async fn anybody(&self, _who: MaybeSignedIn) {}

        #[oai(path = "/admin", method = "get")]
        async fn admin(&self, _who: Admin) {}
    }

    #[tokio::test]
    async fn each_guard_lets_in_whom_it_says() {
        let (_cluster, process) = Cluster::new().await;
        user(&process, "luxi").await;
        admin(&process, "nanxi").await;
        let bearer =
            async |name: &str| format!("Bearer {}", sign_in(&process, name).await.access_token);
        let (user, admin) = (bearer("luxi").await, bearer("nanxi").await);
        let made = process.accounts.make_guest(None, None, nowhere()).await;
        let guest = format!("Bearer {}", made.unwrap().1.access_token);
        let lower = user.replacen("Bearer", "bearer", 1);
        let doors = OpenApiService::new(Doors, "doors", "1").data(Arc::new(process.tokens.clone()));
        let status = async |path: &str, headers: &[&str]| {
            let mut request = Request::builder().uri_str(path);
            for header in headers {
                request = request.header(AUTHORIZATION, *header);
            }
            doors.get_response(request.finish()).await.status()
        };
        let (ok, denied) = (StatusCode::OK, StatusCode::UNAUTHORIZED);
        let forbidden = StatusCode::FORBIDDEN;
        for (headers, voter, signed_in, anybody, admins) in [
            (&[][..], denied, denied, ok, denied),
            (&[guest.as_str()], ok, forbidden, ok, forbidden),
            (&[user.as_str()], ok, ok, ok, forbidden),
            (&[lower.as_str()], ok, ok, ok, forbidden),
            (&[admin.as_str()], ok, ok, ok, ok),
            (
                &[admin.as_str(), admin.as_str()],
                denied,
                denied,
                denied,
                denied,
            ),
            (&["Bearer nonsense"], denied, denied, denied, denied),
            (&["Bearer "], denied, denied, denied, denied),
            (&["Bearer"], denied, denied, denied, denied),
            (&["Basic Og=="], denied, denied, denied, denied),
            (&[&user["Bearer ".len()..]], denied, denied, denied, denied),
            (&[""], denied, denied, denied, denied),
        ] {
            let found = (
                status("/voter", headers).await,
                status("/signed-in", headers).await,
                status("/anybody", headers).await,
                status("/admin", headers).await,
            );
            assert_eq!(found, (voter, signed_in, anybody, admins), "{headers:?}");
        }
    }

    #[test]
    fn the_document_says_where_a_token_is_needed() {
        let service = OpenApiService::new(Doors, "doors", "1");
        let spec: serde_json::Value = serde_json::from_str(&service.spec()).unwrap();
        let security = |path: &str| spec["paths"][path]["get"]["security"].clone();
        assert_eq!(security("/signed-in"), serde_json::json!([{"token": []}]));
        assert_eq!(security("/anybody"), serde_json::json!([{"token": []}, {}]));
        let flow = &spec["components"]["securitySchemes"]["token"]["flows"]["password"];
        assert_eq!(flow["tokenUrl"], TOKEN_URL);
    }
}
