//! Streams of live results: opening them, and explaining why some could not be opened.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use http_body_util::{BodyExt as _, Collected};
use hyper::body::Incoming;

use super::api;
use super::events::{Event, Events};
use super::figures::Error;
use super::mistake::Mistake;
use super::report::words;
use super::target::{Connection, Target, Template};
use crate::progress::Bar;

/// How many streams are opened at once.
const AT_ONCE: usize = 256;

/// A stream of live results, on a connection of its own.
#[derive(Debug)]
pub struct Stream {
    body: Incoming,
    events: Events,
    /// How many bytes have arrived.
    pub received: u64,
    /// Closed when dropped, so it is kept as long as the stream.
    _connection: Connection,
}

/// Why a stream could not be opened, and the reason that the server gave.
type Unopened = (Error, Option<String>);

/// Opens `count` streams and reads the first event of each: its number of ballots.
pub async fn open(
    target: &Target,
    template: &Template,
    count: u32,
    timeout: Duration,
    bar: &Bar,
) -> Result<Vec<(Stream, i64)>, Mistake> {
    let opening = (0..count).map(|_| async {
        let opened = tokio::time::timeout(timeout, Stream::open(target, template)).await;
        bar.advance(1);
        opened.unwrap_or(Err((Error::Timeout, None)))
    });
    let mut opening = stream::iter(opening).buffer_unordered(AT_ONCE);
    let mut streams = Vec::with_capacity(count as usize);
    let mut unopened = BTreeMap::<Unopened, u32>::new();
    while let Some(opened) = opening.next().await {
        match opened {
            Ok(stream) => streams.push(stream),
            Err(why) => *unopened.entry(why).or_default() += 1,
        }
    }
    match unopened.is_empty() {
        true => Ok(streams),
        false => Err(Mistake::Unwatched(explain(&unopened, count))),
    }
}

impl Stream {
    async fn open(target: &Target, template: &Template) -> Result<(Stream, i64), Unopened> {
        let connected = target.connect().await;
        let mut connection = connected.map_err(|error| (Error::connecting(&error), None))?;
        let answered = connection.send(template.request()).await;
        let response = answered.map_err(|lost| (Error::of(&lost.error), None))?;
        let status = response.status();
        if status != StatusCode::OK {
            let body = response.into_body().collect().await;
            let body = body.map(Collected::to_bytes).unwrap_or_default();
            let answer = serde_json::from_slice(&body).unwrap_or_default();
            let reason = api::reason(&answer).map(str::to_owned);
            return Err((Error::Status(status), reason));
        }
        let mut stream = Stream {
            body: response.into_body(),
            events: Events::default(),
            received: 0,
            _connection: connection,
        };
        match stream.next().await {
            Ok(Event::Results { ballots }) => Ok((stream, ballots)),
            Ok(Event::End { reason }) => Err((Error::Closed, Some(reason))),
            Err(error) => Err((error, None)),
        }
    }

    /// The next event. Cancel safe.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            if let Some(event) = self.events.next() {
                return event.map_err(|_| Error::Protocol);
            }
            let frame = self.body.frame().await.ok_or(Error::Closed)?;
            if let Ok(piece) = frame.map_err(|error| Error::of(&error))?.into_data() {
                self.received += piece.len() as u64;
                self.events.arrive(&piece);
            }
        }
    }
}

/// Which streams could not be opened, and what helps.
fn explain(unopened: &BTreeMap<Unopened, u32>, count: u32) -> String {
    let failed: u32 = unopened.values().sum();
    let mut text = format!("{failed} of {count} watchers could not open a stream:");
    for ((error, reason), count) in unopened {
        let what = match error {
            Error::Status(status) => format!("status {}", status.as_u16()),
            error => words(&error.name()).to_owned(),
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {count}  {what}");
        if let Some(reason) = reason {
            let _ = write!(text, ": {reason}");
        }
    }
    let met = |kinds: &[Error]| unopened.keys().any(|(error, _)| kinds.contains(error));
    let full = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    if met(&full.map(Error::Status)) {
        let _ = write!(
            text,
            "\nStart the server with --set live.max_streams_per_address={count}; live.max_streams \
             must be at least as many, and http.max_connections more."
        );
    }
    if met(&[Error::Timeout]) {
        text.push_str(
            "\nThe server lets connections wait once it has reached http.max_connections or its limit \
             of file descriptors.",
        );
    }
    if met(&[Error::Descriptors]) {
        let _ = write!(
            text,
            "\nEach watcher takes a file descriptor here and another in the server: run \
             `ulimit -n {}` before starting either.",
            // A thousand for everything else.
            count.saturating_add(1000)
        );
    }
    text
}
