//! The API and everything else, as one endpoint.
//!
//! Nested in poem's router, the API's paths would be matched twice, and the request's address would
//! be rewritten in between.

use std::collections::HashMap;

use futures_util::future::BoxFuture;
use http::Method;
use poem::endpoint::{BoxEndpoint, DynEndpoint};
use poem::{Endpoint, EndpointExt as _, IntoEndpoint as _, Request, Response, Result};
use poem_openapi::registry::{MetaApi, Registry};
use poem_openapi::{OpenApi, OpenApiService};

use super::API;
use super::routes::is_in_api;

/// Answers what lies in the API by its handlers, and the rest by another endpoint.
pub struct Split<D> {
    api: BoxEndpoint<'static>,
    rest: BoxEndpoint<'static>,
    data: D,
}

impl<D> Split<D> {
    /// Both find `data` in the request.
    pub fn new(
        api: impl OpenApi + 'static,
        rest: impl Endpoint<Output = Response> + 'static,
        data: D,
    ) -> Split<D> {
        Split {
            api: OpenApiService::new(Rooted(api), "", "").into_endpoint(),
            rest: rest.boxed(),
            data,
        }
    }
}

// The future of an async function would hold the request while the handler holds it, too.
impl<D: Clone + Send + Sync + 'static> DynEndpoint for Split<D> {
    type Output = Response;

    fn call(&self, mut request: Request) -> BoxFuture<'_, Result<Response>> {
        request.set_data(self.data.clone());
        let part = match is_in_api(request.uri().path()) {
            true => &self.api,
            false => &self.rest,
        };
        DynEndpoint::call(&**part, request)
    }
}

/// An API at the paths that requests have.
struct Rooted<A>(A);

impl<A: OpenApi> OpenApi for Rooted<A> {
    fn meta() -> Vec<MetaApi> {
        A::meta()
    }

    fn register(registry: &mut Registry) {
        A::register(registry);
    }

    fn add_routes(self, table: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {
        let mut handlers = HashMap::new();
        self.0.add_routes(&mut handlers);
        let handlers = handlers.into_iter();
        table.extend(handlers.map(|(path, methods)| (format!("{API}{path}"), methods)));
    }
}
