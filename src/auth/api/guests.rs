//! Guests over HTTP.

use http::StatusCode;
use http::header::{LOCATION, USER_AGENT};
use poem::{IntoResponse, Request, Response};
use poem_openapi::registry::{MetaResponses, Registry};
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Deserialize;
use uuid::Uuid;
use validator::Validate;

use super::token::unstored;
use crate::auth::Accounts;
use crate::auth::tokens::grant::TokenResponse;
use crate::http::API;
use crate::http::body::OptionalBody;
use crate::http::policy::operations;
use crate::http::rates::Metered;
use crate::http::refused::Refused;
use crate::http::reply::Created;
use crate::http::spec::Tag;
use crate::input::present;
use crate::network::Network;
use crate::users::Name;

/// The handlers of guests.
pub struct GuestsApi {
    pub accounts: Accounts,
}

operations! {
    CreateGuest: InvalidFields, RateLimited;
}

#[OpenApi]
impl GuestsApi {
    /// Become a guest
    ///
    /// Makes a guest: somebody who votes without an account, and has neither an email address nor a
    /// password. The answer has its tokens, as that of the token endpoint; they are all that the guest
    /// has, so whoever loses them is a new guest. A guest may vote on questions whose `electorate` is
    /// `anyone`, and sees what everyone sees. `POST /users` with its token makes an account of it that
    /// keeps its ballots. A guest stays while it is used, by default for a year after the last use. How
    /// many guests one network address may make is limited, and calls of guests count for their
    /// address.
    ///
    /// Sent twice: makes two guests.
    #[oai(path = "/auth/guest", method = "post", operation_id = "createGuest", tag = Tag::Auth)]
    async fn create_guest(
        &self,
        request: &Request,
        network: Network,
        body: OptionalBody<NewGuest>,
    ) -> Result<GuestCreated, Refused<CreateGuest>> {
        let client = request.headers().get(USER_AGENT);
        let client = client.and_then(|client| client.to_str().ok());
        let name = body.0.name.map(String::from);
        let made = self.accounts.make_guest(name, client, network).await;
        Metered::tell(request, self.accounts.guest_limit(network));
        let (id, granted) = made?;
        Ok(GuestCreated(id, granted))
    }
}

/// What is known of a guest.
#[derive(Default, Object, Deserialize, Validate)]
#[oai(
    rename = "GuestInput",
    deny_unknown_fields,
    example,
    skip_serializing_if_is_none
)]
#[serde(deny_unknown_fields)]
struct NewGuest {
    /// What others see, where they see who votes.
    #[serde(default, deserialize_with = "present")]
    #[validate(nested)]
    name: Option<Name>,
}

impl Example for NewGuest {
    fn example() -> Self {
        NewGuest {
            name: Some(Name::new("露西")),
        }
    }
}

/// 201 with the tokens of a new guest.
struct GuestCreated(Uuid, TokenResponse);

impl IntoResponse for GuestCreated {
    fn into_response(self) -> Response {
        let GuestCreated(id, granted) = self;
        unstored(StatusCode::CREATED, &granted)
            .with_header(LOCATION, format!("{API}/users/{id}"))
            .into_response()
    }
}

impl ApiResponse for GuestCreated {
    fn meta() -> MetaResponses {
        let mut responses = Created::<TokenResponse>::meta();
        for response in &mut responses.responses {
            response.headers.retain(|header| header.name != "ETag");
        }
        responses
    }

    fn register(registry: &mut Registry) {
        Created::<TokenResponse>::register(registry);
    }
}
