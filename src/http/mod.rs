//! The house that the API lives in: everything about HTTP that is the same for every call.
//!
//! [`serve()`] brings connections, [`stack`] does for each request what is due (`Stack::answer` has
//! the order), and handlers see only requests worth handling. Whatever goes wrong on the way
//! leaves as a [`problem`].

pub mod asset;
pub mod body;
pub mod body_limit;
pub mod client;
pub mod conditional;
pub mod cors;
pub use crate::input::exact;
pub mod extract;
pub mod metrics;
pub mod policy;
pub mod problem;
pub mod rates;
pub mod refused;
pub mod reply;
pub mod request_id;
pub mod routes;
pub mod schema;
pub mod serve;
pub mod signals;
pub mod spec;
pub mod split;
pub mod usage;
pub mod websocket;

mod access;
mod compress;
mod health;
mod host;
mod negotiate;
mod pages;
mod unsent;
mod vary;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{Either, ready};
use http::header::{
    ACCEPT_ENCODING, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_TYPE, ETAG, IF_NONE_MATCH, ORIGIN, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Method, StatusCode, Version};
use hyper::body::Body as _;
use poem::endpoint::DynEndpoint;
use poem::{Body, Endpoint, Request, Response};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::metrics::Metrics;
pub use self::request_id::RequestId;
pub use self::routes::{Operation, Routes};
pub use self::serve::{Address, Admission, Bound, Connection, Listener, serve};
pub use self::signals::stop_on_signals;
pub use self::split::Split;

use self::body_limit::Received;
use self::client::ClientAddr;
use self::compress::Compressor;
use self::cors::Cors;
use self::negotiate::Coding;
use self::rates::{Metered, Rates};
use self::routes::Route;
use self::unsent::Unsent;
use self::usage::{Client, Held, Resource};
use self::vary::Vary;
use crate::clock::Clock;
use crate::config::Config;
use crate::failure::{Code, Failure};
use crate::network::Network;

/// Where the API begins.
pub const API: &str = "/api/v1";

/// An HTTP/1 connection has one answer to send. Up to this many bytes, it is not worth counting.
const SMALL_ANSWER: u64 = unsent::PIECE as u64;

type BoxBody = http_body_util::combinators::BoxBody<Bytes, std::io::Error>;

/// The routes that every server has beside the API: health, problem pages; and a plain front page
/// where there is no other.
pub fn operations(front: bool) -> impl Iterator<Item = Operation> {
    health::operations()
        .into_iter()
        .chain(pages::operations(front))
}

/// Adds what [`operations`] lists to a router. `check` tells whether requests can be
/// answered, and what is said of it.
pub fn mount<C, F>(
    router: poem::Route,
    check: C,
    shutdown: CancellationToken,
    front: bool,
) -> poem::Route
where
    C: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<Value, Failure>> + Send + 'static,
{
    pages::mount(health::mount(router, check, shutdown), front)
}

/// The routes for the operator alone: metrics, and health once more.
pub fn operations_for_operators() -> impl Iterator<Item = Operation> {
    health::operations()
        .into_iter()
        .chain([metrics::operation()])
}

/// A router with what [`operations_for_operators`] lists.
pub fn mount_for_operators<C, F>(
    check: C,
    shutdown: CancellationToken,
    metrics: Metrics,
) -> poem::Route
where
    C: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<Value, Failure>> + Send + 'static,
{
    metrics::mount(health::mount(poem::Route::new(), check, shutdown), metrics)
}

/// Puts the house around `endpoint`. Requests that change something run on `tasks`, unless their
/// operation [ends by itself](Operation::ends_by_itself).
pub fn stack(
    endpoint: Arc<dyn DynEndpoint<Output = Response>>,
    config: &Config,
    routes: Routes,
    admission: Admission,
    rates: Option<Arc<Rates>>,
    clock: Clock,
    tasks: TaskTracker,
) -> Stack {
    Stack {
        inner: endpoint,
        routes,
        clock,
        tasks,
        admission,
        rates,
        cors: Cors::new(&config.cors, config.server.public_url.as_ref()),
        requests: metrics::Requests::new(),
        max_body: config.http.max_body,
        body_timeout: config.http.body_timeout,
        compression: config.http.compression,
        compressor: Compressor::default(),
        access_log: config.log.access,
    }
}

/// The outermost endpoint. It never returns an error.
pub struct Stack {
    inner: Arc<dyn DynEndpoint<Output = Response>>,
    routes: Routes,
    clock: Clock,
    tasks: TaskTracker,
    admission: Admission,
    rates: Option<Arc<Rates>>,
    cors: Cors,
    requests: metrics::Requests,
    max_body: u64,
    body_timeout: Duration,
    compression: bool,
    compressor: Compressor,
    access_log: bool,
}

impl Endpoint for Stack {
    type Output = Response;

    fn call(&self, request: Request) -> impl Future<Output = poem::Result<Response>> + Send {
        let id = RequestId::of(request.headers(), &self.clock);
        let answer = id.clone().enter(|| self.answer(request, id.clone()));
        id.scope(answer).map(Ok)
    }
}

/// What the answer depends on, kept while the handler has the request.
struct Asked {
    head: bool,
    get_in_api: bool,
    token_sent: bool,
    http1: bool,
    from: Sender,
    metered: Option<Metered>,
    origin: Option<HeaderValue>,
    /// Whether pages of other origins may not read the answer, whatever their origin.
    same_origin_only: bool,
    if_none_match: Option<HeaderValue>,
    coding: Option<Coding>,
}

impl Asked {
    /// Whether the client has this very body already.
    fn has_already(&self, head: &poem::ResponseParts) -> bool {
        let (Some(known), Some(tag)) = (&self.if_none_match, head.headers.get(ETAG)) else {
            return false;
        };
        let (Ok(known), Ok(tag)) = (known.to_str(), tag.to_str()) else {
            return false;
        };
        self.get_in_api && head.status == StatusCode::OK && conditional::names(known, tag)
    }
}

/// Where a request comes from.
#[derive(Clone)]
struct Sender {
    network: Network,
    connection: Option<Connection>,
}

/// What a handler comes to; nothing where it panics.
type Outcome = Option<poem::Result<Response>>;

impl Stack {
    /// Everything that happens to a request, in order. It is with its handler when this returns:
    /// what waits for the answer has no room for it.
    fn answer(&self, mut request: Request, id: RequestId) -> impl Future<Output = Response> {
        let began = Instant::now();
        let client = self.admission.proxies.client(&request);
        let line = self
            .access_log
            .then(|| access::Line::of(&request, client, began));
        let method = metrics::method_label(request.method());
        let in_flight = self.requests.begin();

        if routes::is_in_api(request.uri().path()) {
            routes::trim_trailing_slash(&mut request);
        }
        let route = self.routes.find(request.uri().path());
        let operation = route.and_then(|route| route.operation(request.method()));
        let asked = self.note(&request, operation, route, client);
        match &asked.metered {
            // It knows the network, too.
            Some(metered) => request.set_data(metered.clone()),
            None => request.set_data(asked.from.network),
        }
        let answered = match self.answer_without_handler(&request, route, &asked) {
            Some(response) => Either::Left(ready(response)),
            None => match self.handle(request, operation, &asked.from, &id) {
                Ok(handling) => {
                    Either::Right(handling.map(move |outcome| answer_of(outcome, operation)))
                }
                Err(failure) => Either::Left(ready(problem::render(&failure))),
            },
        };
        async move {
            let (response, bytes) = self.finish(answered.await, &asked, &id).await;

            drop(in_flight);
            let status = response.status();
            self.requests.record(route, method, status, began.elapsed());
            if let Some(line) = line {
                line.write(status, bytes);
            }
            response
        }
    }

    fn note(
        &self,
        request: &Request,
        operation: Option<&Operation>,
        route: Option<&Route>,
        client: ClientAddr,
    ) -> Asked {
        let headers = request.headers();
        let network = Network::of(client.0);
        let kind = operation.and_then(|operation| operation.rate);
        let metered = kind.zip(self.rates.as_ref());
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        Asked {
            head: request.method() == Method::HEAD,
            get_in_api: reads && route.is_some_and(|route| route.in_api),
            token_sent: headers.contains_key(AUTHORIZATION),
            http1: request.version() < Version::HTTP_2,
            from: Sender {
                network,
                connection: request.data().cloned(),
            },
            metered: metered.map(|(kind, rates)| Metered::new(rates, kind, network)),
            origin: headers.get(ORIGIN).cloned(),
            same_origin_only: self.cors.withholds(request.uri().path()),
            if_none_match: headers.get(IF_NONE_MATCH).cloned(),
            coding: match self.compression {
                true => Coding::preferred(headers),
                false => None,
            },
        }
    }

    /// What the table of routes and the headers alone decide.
    fn answer_without_handler(
        &self,
        request: &Request,
        route: Option<&Route>,
        asked: &Asked,
    ) -> Option<Response> {
        let headers = request.headers();
        if let Err(failure) = host::check(request.version(), headers) {
            return Some(problem::render(&failure));
        }
        if let Some(route) = route {
            if request.method() == Method::OPTIONS {
                return Some(self.options(request, route));
            }
            let Some(operation) = route.operation(request.method()) else {
                let failure = problem::from_status(StatusCode::METHOD_NOT_ALLOWED);
                return Some(with(problem::render(&failure), ALLOW, route.allow.clone()));
            };
            if let Some(metered) = asked.metered.as_ref().filter(|_| !operation.counts_itself)
                && let Err(failure) = metered.count(None)
            {
                return Some(problem::render(&failure));
            }
            if route.in_api {
                let query = request.uri().query().filter(|_| !operation.checks_query);
                if let Some(Err(failure)) = query.map(|query| operation.check_query(query)) {
                    return Some(problem::render(&failure));
                }
                if !negotiate::accepts(headers, &operation.produces) {
                    let failure = problem::from_status(StatusCode::NOT_ACCEPTABLE);
                    return Some(problem::render(&failure));
                }
            }
            if !operation.takes_body {
                return None;
            }
        }
        match headers.get(CONTENT_ENCODING) {
            Some(coding) if !coding.as_bytes().eq_ignore_ascii_case(b"identity") => {
                let detail = "Request bodies are taken as they are, without a content encoding.";
                let failure = Failure::new(Code::UnsupportedMediaType, detail);
                let identity = HeaderValue::from_static("identity");
                Some(with(problem::render(&failure), ACCEPT_ENCODING, identity))
            }
            _ => None,
        }
    }

    fn options(&self, request: &Request, route: &Route) -> Response {
        let mut response = with(StatusCode::NO_CONTENT.into(), ALLOW, route.allow.clone());
        if cors::is_preflight(request.headers()) {
            self.cors.preflight(&route.allow, response.headers_mut());
        }
        response
    }

    /// Hands the request to its handler. While that works nothing else holds the request: there
    /// may be thousands of them, all waiting.
    fn handle(
        &self,
        mut request: Request,
        operation: Option<&Operation>,
        from: &Sender,
        id: &RequestId,
    ) -> Result<impl Future<Output = Outcome> + use<'_>, Failure> {
        if request.method() == Method::HEAD {
            request.set_method(Method::GET);
        }
        let in_a_task =
            !(request.method().is_safe() || operation.is_some_and(|it| it.ends_by_itself));
        let body = request.take_body();
        let body = operation.is_some_and(|it| it.takes_body).then_some(body);
        let limit = operation.and_then(|operation| operation.max_body);
        let limit = limit.map_or(self.max_body, |own| own.max(self.max_body));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if let Some(body) = body {
            body_limit::check_claim(request.headers(), limit)?;
            match body_limit::look(body.into(), limit) {
                Received::Whole(bytes) => request.set_body(bytes),
                // In a box: it is rare, and every request would need room for it otherwise.
                Received::Begun(begun) => {
                    let waiting = self.wait_for(begun, limit, request, from, id, in_a_task);
                    return Ok(Either::Right(Box::pin(waiting)));
                }
            }
        }
        let held = self.hold(&request, in_a_task, from)?;
        Ok(match in_a_task {
            true => Either::Left(Either::Left(self.change(request, held, id))),
            false => Either::Left(Either::Right(self.call(request, held))),
        })
    }

    /// Reads the rest of the body, and hands the request to its handler then.
    fn wait_for(
        &self,
        begun: body_limit::Begun,
        limit: usize,
        mut request: Request,
        from: &Sender,
        id: &RequestId,
        in_a_task: bool,
    ) -> impl Future<Output = Outcome> + use<'_> {
        let (from, id) = (from.clone(), id.clone());
        async move {
            let hold = |amount| self.client(&from).take(Resource::Received, amount);
            match body_limit::receive(begun, limit, self.body_timeout, hold).await {
                Ok(bytes) => request.set_body(bytes),
                Err(fault) => return Some(Err(Failure::from(fault).into())),
            }
            let held = match self.hold(&request, in_a_task, &from) {
                Ok(held) => held,
                Err(failure) => return Some(Err(failure.into())),
            };
            match in_a_task {
                true => self.change(request, held, &id).await,
                false => self.call(request, held).await,
            }
        }
    }

    /// Room for one more request of the client. Those that read over HTTP/1 have the connection's.
    fn hold(
        &self,
        request: &Request,
        in_a_task: bool,
        from: &Sender,
    ) -> Result<Option<Held>, Failure> {
        let direct = from.connection.as_ref().and_then(Connection::client);
        if direct.is_some() && request.version() < Version::HTTP_2 && !in_a_task {
            return Ok(None);
        }
        let held = self.client(from).take(Resource::Requests, 1);
        let too_many = || {
            let detail = "Too many requests of your network are under way.";
            Failure::overloaded(detail)
        };
        held.map(Some).ok_or_else(too_many)
    }

    /// The count of the network that a request comes from.
    fn client(&self, from: &Sender) -> Arc<Client> {
        let direct = from.connection.as_ref().and_then(Connection::client);
        let through_proxy = || self.admission.usage.client(from.network);
        direct.cloned().unwrap_or_else(through_proxy)
    }

    fn call(
        &self,
        request: Request,
        held: Option<Held>,
    ) -> impl Future<Output = Outcome> + use<'_> {
        let handled = AssertUnwindSafe(DynEndpoint::call(&*self.inner, request));
        handled.catch_unwind().map(|outcome| {
            drop(held);
            outcome.ok()
        })
    }

    /// A client that hangs up must not stop a change halfway.
    fn change(
        &self,
        request: Request,
        held: Option<Held>,
        id: &RequestId,
    ) -> impl Future<Output = Outcome> + use<> {
        let inner = self.inner.clone();
        let handled = async move {
            let outcome = DynEndpoint::call(&*inner, request).await;
            drop(held);
            outcome
        };
        self.tasks.spawn(id.clone().scope(handled)).map(Result::ok)
    }

    /// Counts what the client has to take, and refuses to give it more where it has not taken much
    /// of what it was given before.
    fn count_unsent(
        &self,
        head: poem::ResponseParts,
        body: BoxBody,
        asked: &Asked,
    ) -> (poem::ResponseParts, BoxBody) {
        let Some(connection) = &asked.from.connection else {
            return (head, body);
        };
        let bytes = body.size_hint().exact();
        let small = if asked.http1 { SMALL_ANSWER } else { 0 };
        if asked.head || bytes.is_some_and(|bytes| bytes <= small) || is_endless(&head) {
            return (head, body);
        }
        match Unsent::new(body, &self.client(&asked.from), connection.outbox()) {
            Some(unsent) => (head, BoxBody::new(unsent)),
            None => {
                let detail = "Your network has not yet taken what it was sent before.";
                let (head, body) = problem::render(&Failure::overloaded(detail)).into_parts();
                (head, body.into())
            }
        }
    }

    /// Adds the headers that every answer has, compresses it, and tells the length of its body.
    async fn finish(
        &self,
        response: Response,
        asked: &Asked,
        id: &RequestId,
    ) -> (Response, Option<u64>) {
        let (mut head, body) = response.into_parts();
        let mut body = BoxBody::from(body);
        if asked.has_already(&head) {
            head.status = StatusCode::NOT_MODIFIED;
            head.headers.remove(CONTENT_TYPE);
            body = BoxBody::from(Body::empty());
        }
        let mut vary = Vary {
            authorization: asked.get_in_api,
            origin: self.cors.varies(),
            encoding: false,
        };
        if self.compression {
            let by = (&self.compressor, asked.from.network);
            let compressing = compress::compress(&mut head, body, asked.coding, by);
            (body, vary.encoding) = compressing.await;
        }
        (head, body) = self.count_unsent(head, body, asked);
        let headers = &mut head.headers;
        if asked.token_sent && head.status == StatusCode::UNAUTHORIZED {
            problem::challenge_bad_token(headers);
        }
        if let Some(state) = asked.metered.as_ref().and_then(Metered::state) {
            rates::tell(headers, &state);
        }
        if asked.get_in_api && !headers.contains_key(CACHE_CONTROL) {
            headers.insert(CACHE_CONTROL, PRIVATE);
        }
        if !asked.same_origin_only {
            self.cors.apply(asked.origin.as_ref(), headers);
        }
        vary.tell(headers);
        headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        headers.insert(request_id::X_REQUEST_ID, id.header_value());

        let bytes = body.size_hint().exact();
        if asked.head {
            let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
            if let Some(bytes) = bytes.filter(|_| !bodiless.contains(&head.status)) {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
            }
            return (Response::from_parts(head, Body::empty()), Some(0));
        }
        (Response::from_parts(head, body.into()), bytes)
    }
}

/// Whether it is a stream, which has an end only when its client has one.
fn is_endless(head: &poem::ResponseParts) -> bool {
    let media = head.headers.get(CONTENT_TYPE);
    media.is_some_and(|media| media.as_bytes().starts_with(b"text/event-stream"))
}

const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-cache");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

fn with(mut response: Response, name: HeaderName, value: HeaderValue) -> Response {
    response.headers_mut().insert(name, value);
    response
}

/// What a handler answers, with a form of ours for what the framework or nobody has said.
fn answer_of(outcome: Outcome, operation: Option<&Operation>) -> Response {
    let failure = match outcome {
        Some(Ok(response)) if !is_bare_error(&response) => return response,
        Some(Ok(response)) => problem::from_status(response.status()),
        Some(Err(error)) => problem::from_handler(error, operation),
        // The panic hook has logged it.
        None => problem::from_status(StatusCode::INTERNAL_SERVER_ERROR),
    };
    problem::log(&failure);
    problem::render(&failure)
}

/// Whether the framework made this answer: handlers give their failures a form.
fn is_bare_error(response: &Response) -> bool {
    let status = response.status();
    let media = response.headers().get(CONTENT_TYPE);
    (status.is_client_error() || status.is_server_error())
        && media.is_none_or(|media| media.as_bytes().starts_with(b"text/plain"))
}

#[cfg(test)]
mod tests;
