//! What happens to every request before and after its handler.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{Either, ready};
use http::header::{
    ACCEPT_ENCODING, ALLOW, AUTHORIZATION, CONTENT_ENCODING, ETAG, IF_NONE_MATCH, ORIGIN,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use poem::endpoint::DynEndpoint;
use poem::{Endpoint, Request, Response};
use tokio_util::task::TaskTracker;

use super::client::ClientAddr;
use super::compress::Compressor;
use super::cors::Cors;
use super::finish::answer_of;
use super::rates::{Metered, Rates};
use super::routes::{Operation, Route, Routes};
use super::{
    Admission, Connection, RequestId, access, conditional, cors, host, metrics, negotiate, problem,
    routes,
};
use crate::clock::Clock;
use crate::config::Config;
use crate::failure::{Code, Failure};
use crate::network::Network;
use crate::rendered::Coding;

/// The outermost endpoint. It never returns an error.
pub struct Stack {
    pub(super) inner: Arc<dyn DynEndpoint<Output = Response>>,
    routes: Routes,
    clock: Clock,
    pub(super) tasks: TaskTracker,
    pub(super) admission: Admission,
    rates: Option<Arc<Rates>>,
    pub(super) cors: Cors,
    requests: metrics::Requests,
    pub(super) max_body: u64,
    pub(super) body_timeout: Duration,
    pub(super) compression: bool,
    pub(super) compressor: Compressor,
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

/// What the answer depends on. The handler owns the request, so this is kept beside it.
pub(super) struct Asked {
    pub head: bool,
    pub get_in_api: bool,
    pub token_sent: bool,
    pub http1: bool,
    pub from: Sender,
    pub metered: Option<Metered>,
    pub origin: Option<HeaderValue>,
    /// Whether pages of other origins may not read the answer, whatever their origin.
    pub same_origin_only: bool,
    if_none_match: Option<HeaderValue>,
    pub coding: Option<Coding>,
}

impl Asked {
    /// Whether the client already has the body of this answer.
    pub fn has_already(&self, head: &poem::ResponseParts) -> bool {
        let (Some(known), Some(tag)) = (&self.if_none_match, head.headers.get(ETAG)) else {
            return false;
        };
        let (Ok(known), Ok(tag)) = (known.to_str(), tag.to_str()) else {
            return false;
        };
        self.get_in_api && head.status == StatusCode::OK && conditional::names(known, tag)
    }

    /// Tells the handler where the request comes from, and by which rate limit it is counted.
    fn attach(&self, request: &mut Request) {
        match &self.metered {
            // It has the network as well.
            Some(metered) => request.set_data(metered.clone()),
            None => request.set_data(self.from.network),
        }
    }

    /// Counts the request for its network, unless the handler counts it for an account.
    fn count(&self, operation: &Operation) -> Result<(), Failure> {
        let metered = self.metered.as_ref().filter(|_| !operation.counts_itself);
        metered.map_or(Ok(()), |metered| metered.count(None))
    }
}

/// Where a request comes from.
#[derive(Clone)]
pub(super) struct Sender {
    pub network: Network,
    pub connection: Option<Connection>,
}

/// What is measured and logged of a request.
struct Record {
    began: Instant,
    line: Option<access::Line>,
    method: &'static str,
    in_flight: metrics::Counted,
}

impl Stack {
    /// A stack around `endpoint`, whose paths are in `routes`. Requests that change something run
    /// on `tasks`, unless their operation [survives a disconnect](Operation::survives_disconnect).
    pub fn new(
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

    /// The steps that every request goes through. The handler has the request when this returns, so
    /// that the returned future, of which thousands may be waiting, has no room for it.
    fn answer(&self, mut request: Request, id: RequestId) -> impl Future<Output = Response> {
        let client = self.admission.proxies.client(&request);
        let record = self.begin_record(&request, client);
        routes::normalise(&mut request);
        let route = self.routes.find(request.uri().path());
        let operation = route.and_then(|route| route.operation(request.method()));
        let asked = self.note(&request, operation, route, client);
        asked.attach(&mut request);

        let early = self.answer_early(&request, route, &asked);
        let answered = early.and_then(|early| match early {
            Some(response) => Ok(Either::Left(ready(response))),
            None => {
                let handled = self.handle(request, operation, &asked.from, &id)?;
                Ok(Either::Right(
                    handled.map(move |outcome| answer_of(outcome, operation)),
                ))
            }
        });
        let answered =
            answered.unwrap_or_else(|failure| Either::Left(ready(problem::render(&failure))));

        async move {
            let (response, bytes) = self.finish(answered.await, &asked, &id).await;
            self.end_record(record, route, response.status(), bytes);
            response
        }
    }

    fn begin_record(&self, request: &Request, client: ClientAddr) -> Record {
        let began = Instant::now();
        let line = self.access_log;
        Record {
            began,
            line: line.then(|| access::Line::of(request, client, began)),
            method: metrics::method_label(request.method()),
            in_flight: self.requests.begin(),
        }
    }

    fn end_record(
        &self,
        record: Record,
        route: Option<&Route>,
        status: StatusCode,
        bytes: Option<u64>,
    ) {
        drop(record.in_flight);
        let duration = record.began.elapsed();
        self.requests.record(route, record.method, status, duration);
        if let Some(line) = record.line {
            line.write(status, bytes);
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
        let network = client.network();
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

    /// The answer to a request that needs no handler: the table of routes and the headers decide.
    fn answer_early(
        &self,
        request: &Request,
        route: Option<&Route>,
        asked: &Asked,
    ) -> Result<Option<Response>, Failure> {
        let headers = request.headers();
        host::check(request.version(), headers)?;
        if let Some(route) = route {
            if request.method() == Method::OPTIONS {
                return Ok(Some(self.options(request, route)));
            }
            let Some(operation) = route.operation(request.method()) else {
                return Ok(Some(method_not_allowed(route)));
            };
            asked.count(operation)?;
            if route.in_api {
                if let Some(query) = request.uri().query().filter(|_| !operation.checks_query) {
                    operation.check_query(query)?;
                }
                if !negotiate::accepts(headers, &operation.produces) {
                    return Err(problem::from_status(StatusCode::NOT_ACCEPTABLE));
                }
            }
            if !operation.takes_body {
                return Ok(None);
            }
        }
        Ok(has_content_encoding(headers).then(content_encoding_not_supported))
    }

    fn options(&self, request: &Request, route: &Route) -> Response {
        let mut response = with(StatusCode::NO_CONTENT.into(), ALLOW, route.allow.clone());
        if cors::is_preflight(request.headers()) {
            self.cors.preflight(&route.allow, response.headers_mut());
        }
        response
    }
}

fn method_not_allowed(route: &Route) -> Response {
    let failure = problem::from_status(StatusCode::METHOD_NOT_ALLOWED);
    with(problem::render(&failure), ALLOW, route.allow.clone())
}

fn has_content_encoding(headers: &HeaderMap) -> bool {
    let coding = headers.get(CONTENT_ENCODING);
    coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn content_encoding_not_supported() -> Response {
    let detail = "Request bodies are taken as they are, without a content encoding.";
    let failure = Failure::new(Code::UnsupportedMediaType, detail);
    let identity = HeaderValue::from_static("identity");
    with(problem::render(&failure), ACCEPT_ENCODING, identity)
}

fn with(mut response: Response, name: HeaderName, value: HeaderValue) -> Response {
    response.headers_mut().insert(name, value);
    response
}
