//! `/questions/{id}/results/live` and `/questions/{id}/results/ws`.

mod objects;
mod socket;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use poem::{Body, IntoResponse, Request, Response};
use poem_openapi::param::{Header, Path};
use poem_openapi::registry::{
    MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::Type as _;
use poem_openapi::{ApiResponse, OpenApi};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::Hub;
use super::event::Event;
use super::streams::CloseConnection;
use super::subscription::Subscription;
use crate::auth::Tokens;
use crate::auth::guard::MaybeSignedIn;
use crate::failure::{Code, Failure};
use crate::http::cors::Cors;
use crate::http::policy::operations;
use crate::http::rates::Kind;
use crate::http::refused::Refused;
use crate::http::spec::{EVENTS, FIRST_MESSAGE, Tag};
use crate::http::{Connection, websocket};
use crate::network::Network;
use crate::results::Views;

use objects::{FirstMessage, LiveEvent, sample_stream};

/// The handlers of live results.
pub struct LiveApi {
    pub hub: Hub,
    pub views: Views,
    pub tokens: Tokens,
    /// The origins whose pages may open WebSockets.
    pub cors: Arc<Cors>,
    /// The tasks that a shutdown waits for.
    pub tasks: TaskTracker,
}

operations! {
    WatchResults: NotFound, ResultsHidden, ShuttingDown => { rate: Some(Kind::Streams) };
    OpenSocket: MalformedRequest, Forbidden, NotFound, ShuttingDown => {
        rate: Some(Kind::Streams),
    };
}

#[OpenApi]
impl LiveApi {
    /// Watch the results
    ///
    /// A stream of Server-Sent Events: `results` at once, and again after each change, at most
    /// four times a second; in between, a comment every 15 seconds. `LiveEvent` describes them: the
    /// `data` of `results` is the answer of `getResults`, the `id` the version of the tally. A client that reconnects and
    /// sends the last `id` as `Last-Event-ID` is sent `results` only if they have changed. The last
    /// event is `end`, whose `data` has the `reason`: after `closed`, `deleted`, `hidden` and
    /// `token_revoked` there is no reason to reconnect.
    ///
    /// Whoever may read the results may watch them; when that changes, the stream ends. A browser's
    /// `EventSource` cannot send a token: read the stream with `fetch`. Tokens in the URL are
    /// refused. A client that does not read is disconnected.
    #[oai(
        path = "/questions/:question_id/results/live",
        method = "get",
        operation_id = "watchResults",
        tag = "Tag::Results"
    )]
    async fn watch(
        &self,
        request: &Request,
        network: Network,
        caller: MaybeSignedIn,
        /// The question.
        question_id: Path<Uuid>,
        /// The `id` of the last event that you have.
        #[oai(name = "Last-Event-ID", example = "event_id")]
        last_event_id: Header<Option<String>>,
    ) -> Result<Events, Refused<WatchResults>> {
        let connection = request.extensions().get::<Connection>().cloned();
        let close =
            connection.map(|connection| Box::new(move || connection.drop_now()) as CloseConnection);
        let stream = self.hub.open_stream(network, close)?;
        let (question, seen) = (question_id.0, last_event_id.0.as_deref());
        let subscription = self.hub.subscribe(question, caller.0, stream, seen);
        Ok(Events(subscription.await?))
    }

    /// Watch the results over a WebSocket
    ///
    /// The same events as `watchResults`, each as one text message: a `LiveEvent`. The client has
    /// 5 seconds to authenticate. That is its only message, a `FirstMessage`:
    /// `{"type": "authenticate", "access_token": "…"}` or `{"type": "anonymous"}`, with
    /// `"last_event_id": "…"` if it reconnects. Tokens in the URL or in a header are refused. The
    /// server sends a ping every 15 seconds, and disconnects clients that do not answer.
    ///
    /// Close codes: 1000 after `closed` and `deleted`, 1001 while shutting down (connect again),
    /// 1003 for a binary message, 1008 for more than 16 pings between two of the server's, 1009
    /// for a message of more than 16 KiB, 1011 for a failure of the server, 1013 when it is
    /// overloaded (try again later), 4400 for a message that is malformed or not expected, 4401 if
    /// the token is invalid, has expired or was revoked, 4403 if the results are hidden, 4404 if
    /// there is no such question, 4408 if the first message did not come in time. The close reason
    /// is the code of the problem or the reason of the end.
    ///
    /// Pages of other origins may open a WebSocket if CORS allows them to read answers.
    #[oai(
        path = "/questions/:question_id/results/ws",
        method = "get",
        operation_id = "openResultsSocket",
        tag = "Tag::Results"
    )]
    async fn open_socket(
        &self,
        request: &Request,
        network: Network,
        /// The question.
        question_id: Path<Uuid>,
    ) -> Result<Upgraded, Refused<OpenSocket>> {
        let handshake = websocket::Handshake::of(request)?;
        if request.headers().contains_key(AUTHORIZATION) {
            let detail = "Send the access token of a WebSocket in its first message.";
            return Err(Failure::new(Code::MalformedRequest, detail).into());
        }
        if !self.cors.admits(request.headers()) {
            let detail = "Pages of this origin may not open a WebSocket here.";
            return Err(Failure::new(Code::Forbidden, detail).into());
        }
        let question = question_id.0;
        self.views.find(question, None).await?;
        let stream = self.hub.open_stream(network, None)?;
        let (hub, tokens) = (self.hub.clone(), self.tokens.clone());
        // A shutdown waits until the token is dropped.
        let tracked = self.tasks.token();
        let response = handshake.accept(socket::MAX_MESSAGE, async move |socket| {
            socket::serve(socket, &hub, &tokens, question, stream).await;
            drop(tracked);
        });
        Ok(Upgraded(response))
    }
}

fn event_id() -> Option<String> {
    Some("17".to_owned())
}

/// A live stream of Server-Sent Events.
pub struct Events(Subscription);

impl IntoResponse for Events {
    fn into_response(self) -> Response {
        Response::builder()
            .header(CONTENT_TYPE, "text/event-stream")
            .header(CACHE_CONTROL, "no-store")
            // Tells nginx to pass on each event at once.
            .header("x-accel-buffering", "no")
            .body(Body::from_bytes_stream(frames(self.0)))
    }
}

impl ApiResponse for Events {
    fn meta() -> MetaResponses {
        let stream = MetaSchema {
            description: Some(
                "A stream of Server-Sent Events, whose fields `LiveEvent` describes.",
            ),
            example: Some(sample_stream().into()),
            ..MetaSchema::new("string")
        };
        let stream = MetaSchemaRef::Inline(Box::new(stream));
        responses(
            200,
            [
                ("text/event-stream", stream),
                (EVENTS, LiveEvent::schema_ref()),
            ],
        )
    }

    fn register(registry: &mut Registry) {
        LiveEvent::register(registry);
    }
}

/// 101 Switching Protocols: the connection becomes a WebSocket.
pub struct Upgraded(Response);

impl IntoResponse for Upgraded {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for Upgraded {
    fn meta() -> MetaResponses {
        responses(
            101,
            [
                (FIRST_MESSAGE, FirstMessage::schema_ref()),
                (EVENTS, LiveEvent::schema_ref()),
            ],
        )
    }

    fn register(registry: &mut Registry) {
        FirstMessage::register(registry);
        LiveEvent::register(registry);
    }
}

fn responses(status: u16, content: [(&'static str, MetaSchemaRef); 2]) -> MetaResponses {
    let content = content.map(|(content_type, schema)| MetaMediaType {
        content_type,
        schema,
    });
    let response = MetaResponse {
        description: "",
        status: Some(status),
        status_range: None,
        content: content.into(),
        headers: Vec::new(),
    };
    MetaResponses {
        responses: vec![response],
    }
}

/// The events as bytes. The next event is taken when the client has room for it.
fn frames(subscription: Subscription) -> impl Stream<Item = io::Result<Bytes>> {
    // A random delay, so that the clients of a process that stops do not all reconnect at once.
    let retry = rand::random_range(500..2_500);
    let opening = Bytes::from(format!("retry: {retry}\n\n"));
    let events = stream::unfold(Some(subscription), |subscription| async {
        let mut subscription = subscription?;
        subscription.stream.write_finished();
        let event = subscription.next().await;
        subscription.stream.write_started();
        let is_last = matches!(event, Event::End(_));
        let frame = event.to_sse().map_err(io::Error::other);
        Some((frame, (!is_last).then_some(subscription)))
    });
    futures_util::StreamExt::chain(stream::iter([Ok(opening)]), events)
}
