//! Answers that succeed: serialised once, typed in the spec.

use std::marker::PhantomData;

use poem::http::{HeaderName, StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::Type;

use crate::rendered::Rendered;

impl Rendered {
    fn into_response(self, status: StatusCode) -> Response {
        self.into_media(status, "application/json")
    }

    fn into_media(self, status: StatusCode, media: &str) -> Response {
        let mut response = Response::builder().status(status).content_type(media);
        if let Some(etag) = self.etag {
            response = response.header(header::ETAG, etag);
        }
        if let Some(forms) = self.compressed {
            response = response.extension(forms);
        }
        response.body(self.body)
    }
}

/// 200 with a `T`. What kind of answer it is shows in the spec alone.
pub struct Success<T, K>(Rendered, PhantomData<fn() -> (T, K)>);

/// 200 with a `T`; 304 where the client has this very body already.
pub type Fetched<T> = Success<T, State>;

/// 200 with a `T` that is nobody's current state: a list, a token, the outcome of an action.
pub type Answered<T> = Success<T, Plain>;

/// 200 with the changed `T` and its new entity tag.
pub type Changed<T> = Success<T, NewState>;

/// A kind of successful answer, as the spec tells it.
pub trait Kind {
    /// The responses of an operation that answers with `success`.
    fn responses(success: MetaResponse) -> Vec<MetaResponse>;
}

pub struct State;
pub struct Plain;
pub struct NewState;

impl Kind for State {
    fn responses(mut success: MetaResponse) -> Vec<MetaResponse> {
        success
            .headers
            .push(meta_header("ETag", "Changes with the body."));
        vec![success, bodiless(304)]
    }
}

impl Kind for Plain {
    fn responses(success: MetaResponse) -> Vec<MetaResponse> {
        vec![success]
    }
}

impl Kind for NewState {
    fn responses(mut success: MetaResponse) -> Vec<MetaResponse> {
        success
            .headers
            .push(meta_header("ETag", "The tag of the new state."));
        vec![success]
    }
}

impl<T, K> Success<T, K> {
    pub fn new(rendered: Rendered) -> Self {
        Success(rendered, PhantomData)
    }
}

impl<T, K> IntoResponse for Success<T, K> {
    fn into_response(self) -> Response {
        self.0.into_response(StatusCode::OK)
    }
}

impl<T: Type, K: Kind> ApiResponse for Success<T, K> {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: K::responses(success::<T>(200)),
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// 200 with a picture; 304 where the client has this very one already.
pub struct Picture(Rendered);

impl Picture {
    pub fn new(svg: Rendered) -> Self {
        Picture(svg)
    }
}

impl IntoResponse for Picture {
    fn into_response(self) -> Response {
        // Opened by itself it is a page; it needs its own styles and nothing else.
        let policy = "default-src 'none'; style-src 'unsafe-inline'; sandbox";
        let picture = self.0.into_media(StatusCode::OK, SVG);
        picture
            .with_header(header::CONTENT_SECURITY_POLICY, policy)
            .into_response()
    }
}

const SVG: &str = "image/svg+xml";

impl ApiResponse for Picture {
    fn meta() -> MetaResponses {
        let schema = MetaSchema {
            description: Some("A picture."),
            example: Some("<svg xmlns=\"http://www.w3.org/2000/svg\"/>".into()),
            ..MetaSchema::new_with_format("string", "binary")
        };
        let content = MetaMediaType {
            content_type: SVG,
            schema: MetaSchemaRef::Inline(Box::new(schema)),
        };
        let success = MetaResponse {
            content: vec![content],
            ..bodiless(200)
        };
        MetaResponses {
            responses: State::responses(success),
        }
    }

    fn register(_: &mut Registry) {}
}

/// 201 with the new `T` and where it is.
pub struct Created<T> {
    rendered: Rendered,
    location: String,
    kind: PhantomData<fn() -> T>,
}

impl<T> Created<T> {
    pub fn new(rendered: Rendered, location: String) -> Self {
        Created {
            rendered,
            location,
            kind: PhantomData,
        }
    }
}

impl<T> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        self.rendered
            .into_response(StatusCode::CREATED)
            .with_header(header::LOCATION, self.location)
            .into_response()
    }
}

impl<T: Type> ApiResponse for Created<T> {
    fn meta() -> MetaResponses {
        let mut created = success::<T>(201);
        created
            .headers
            .push(meta_header("Location", "The path of what was created."));
        created
            .headers
            .push(meta_header("ETag", "The tag of its first state."));
        MetaResponses {
            responses: vec![created],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// 201 with a `T` that was not there, 200 with one that was.
pub enum Put<T> {
    Created(Created<T>),
    Replaced(Changed<T>),
}

impl<T> IntoResponse for Put<T> {
    fn into_response(self) -> Response {
        match self {
            Put::Created(created) => created.into_response(),
            Put::Replaced(replaced) => replaced.into_response(),
        }
    }
}

impl<T: Type> ApiResponse for Put<T> {
    fn meta() -> MetaResponses {
        let mut responses = Changed::<T>::meta().responses;
        responses.extend(Created::<T>::meta().responses);
        MetaResponses { responses }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// 204: done, and nothing to say.
pub struct Done;

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

impl ApiResponse for Done {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![bodiless(204)],
        }
    }

    fn register(_: &mut Registry) {}
}

/// 202: it will be done, as far as it can be.
pub struct Accepted;

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        StatusCode::ACCEPTED.into_response()
    }
}

impl ApiResponse for Accepted {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![bodiless(202)],
        }
    }

    fn register(_: &mut Registry) {}
}

fn success<T: Type>(status: u16) -> MetaResponse {
    let content = MetaMediaType {
        content_type: "application/json",
        schema: T::schema_ref(),
    };
    MetaResponse {
        content: vec![content],
        ..bodiless(status)
    }
}

fn bodiless(status: u16) -> MetaResponse {
    MetaResponse {
        description: "",
        status: Some(status),
        status_range: None,
        content: Vec::new(),
        headers: Vec::new(),
    }
}

pub(super) fn meta_header(name: &'static str, description: &str) -> MetaHeader {
    debug_assert!(name.parse::<HeaderName>().is_ok());
    MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: true,
        deprecated: false,
        schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
    }
}
