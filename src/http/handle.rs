//! Calling the handler: with the whole body, in a task of its own where the request changes
//! something, and within what the client may use.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::Either;
use http::{Method, Version};
use poem::endpoint::DynEndpoint;
use poem::{Request, Response};

use super::body_limit::{self, Received};
use super::routes::Operation;
use super::stack::{Sender, Stack};
use super::usage::{Client, Held, Resource};
use super::{Connection, RequestId};
use crate::failure::Failure;

/// What a handler returns; nothing if it panics.
pub(super) type Outcome = Option<poem::Result<Response>>;

impl Stack {
    /// Calls the handler, which then owns the request: thousands of requests may be waiting, and
    /// nothing else is to hold their memory.
    pub(super) fn handle(
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
            !(request.method().is_safe() || operation.is_some_and(|it| it.survives_disconnect));
        let body = request.take_body();
        let body = operation.is_some_and(|it| it.takes_body).then_some(body);
        let limit = operation.and_then(|operation| operation.max_body);
        let limit = limit.map_or(self.max_body, |own| own.max(self.max_body));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if let Some(body) = body {
            body_limit::check_claim(request.headers(), limit)?;
            match body_limit::look(body.into(), limit) {
                Received::Whole(bytes) => request.set_body(bytes),
                // In a box: this is rare, and its state would enlarge the future of every request.
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

    /// Reads the rest of the body, and then calls the handler.
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

    /// Takes one of the requests that the client may have under way. A read over HTTP/1 needs none:
    /// the client's connections are counted already.
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

    /// The client that a request comes from, as its usage is counted.
    pub(super) fn client(&self, from: &Sender) -> Arc<Client> {
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

    /// Calls the handler in a task of its own: a client that hangs up must not stop a change halfway.
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
}
