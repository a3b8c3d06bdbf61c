//! Clients that watch results.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::app::Question;
use super::contract::DOCUMENT;
use super::schema::complaints;
use super::{Answer, User};

/// How long an expected event may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An event of either encoding.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub kind: String,
    pub id: String,
    pub data: Value,
}

impl Event {
    /// An event that was received. It is what the document says.
    fn new(kind: String, id: String, data: Value) -> Event {
        let mut message = json!({"type": kind, "data": data});
        if !id.is_empty() {
            message["id"] = json!(id);
        }
        let schema = &DOCUMENT["components"]["schemas"]["LiveEvent"];
        assert_eq!(complaints(&DOCUMENT, schema, &message), [""; 0]);
        Event { kind, id, data }
    }

    /// The number of ballots; the event must be results.
    #[track_caller]
    pub fn ballots(&self) -> i64 {
        assert_eq!(self.kind, "results", "{self:?}");
        self.data["ballot_count"].as_i64().expect("a number")
    }

    /// The reason of an end.
    #[track_caller]
    pub fn reason(&self) -> &str {
        assert_eq!(self.kind, "end", "{self:?}");
        self.data["reason"].as_str().expect("a reason")
    }
}

/// The two ways to watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Events,
    Socket,
}

pub const WAYS: [Way; 2] = [Way::Events, Way::Socket];

/// A client that watches a question.
pub enum Stream {
    Events(Events),
    Socket(Socket),
}

impl Stream {
    /// Opens a stream, anonymously if `who` is None; `seen` is the id of the last event.
    pub async fn open(
        way: Way,
        address: &str,
        question: &Question,
        who: Option<&User>,
        seen: Option<&str>,
    ) -> Stream {
        match way {
            Way::Events => {
                let mut request = watch(address, question, who);
                if let Some(seen) = seen {
                    request = request.header("Last-Event-ID", seen);
                }
                Stream::Events(Events::open(request).await)
            }
            Way::Socket => {
                let mut socket = Socket::open(address, question).await;
                let mut hello = match who {
                    Some(user) => {
                        json!({"type": "authenticate", "access_token": user.access_token})
                    }
                    None => json!({"type": "anonymous"}),
                };
                if let Some(seen) = seen {
                    hello["last_event_id"] = seen.into();
                }
                socket.say(hello.to_string()).await;
                Stream::Socket(socket)
            }
        }
    }

    /// The next event; None after the end. Heartbeats do not extend the time limit.
    pub async fn next(&mut self) -> Option<Event> {
        let next = async {
            match self {
                Stream::Events(events) => events.next().await,
                Stream::Socket(socket) => socket.next().await,
            }
        };
        let next = tokio::time::timeout(TIMEOUT, next).await;
        next.expect("an event comes")
    }

    /// The next event; fails at the end.
    pub async fn event(&mut self) -> Event {
        self.next().await.expect("another event")
    }

    /// Reads up to the end, after which nothing may follow. Returns the number of ballots in the
    /// last results, and the reason of the end.
    pub async fn rest(mut self) -> (Option<i64>, String) {
        let mut ballots = None;
        loop {
            let event = self.event().await;
            if event.kind == "end" {
                assert_eq!(self.next().await, None, "nothing follows");
                return (ballots, event.reason().to_owned());
            }
            ballots = Some(event.ballots());
        }
    }

    /// Reads until the results have this number of ballots. Returns how many events it took.
    pub async fn until(&mut self, ballots: i64) -> usize {
        for count in 1.. {
            if self.event().await.ballots() == ballots {
                return count;
            }
        }
        unreachable!("there are events without end");
    }
}

/// The request for a stream of Server-Sent Events.
pub fn watch(address: &str, question: &Question, who: Option<&User>) -> RequestBuilder {
    let path = question.under("results/live");
    // Without a time limit for the whole response.
    let client = Client::builder().no_proxy().build().expect("a client");
    let request = client.get(format!("{address}/api/v1{path}"));
    match who {
        Some(user) => request.bearer_auth(&user.access_token),
        None => request,
    }
}

/// The same if a refusal is expected, with a time limit in case the stream is opened.
pub fn no_watch(address: &str, question: &Question, who: Option<&User>) -> RequestBuilder {
    watch(address, question, who).timeout(TIMEOUT)
}

/// A stream of Server-Sent Events.
pub struct Events {
    response: Response,
    buffer: Vec<u8>,
}

impl Events {
    pub async fn open(request: RequestBuilder) -> Events {
        let response = request.send().await.expect("an answer");
        if response.status() != 200 {
            let call = (Method::GET, response.url().path().to_owned());
            let refused = Answer::read(call, response).await;
            panic!("{:?}", refused.expect("an answer"));
        }
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Events {
            response,
            buffer: Vec::new(),
        }
    }

    /// The next block of lines: an event, a comment, or a setting.
    pub async fn block(&mut self) -> Option<String> {
        loop {
            let mut pairs = self.buffer.windows(2);
            if let Some(end) = pairs.position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let block = String::from_utf8(block).expect("UTF-8");
                return Some(block.trim_end().to_owned());
            }
            let chunk = tokio::time::timeout(TIMEOUT, self.response.chunk()).await;
            let chunk = chunk.expect("something comes").expect("no broken stream")?;
            self.buffer.extend_from_slice(&chunk);
        }
    }

    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            if block.starts_with(':') || block.starts_with("retry: ") {
                continue;
            }
            let field = |name: &str| {
                let mut lines = block.lines().filter_map(|line| line.split_once(": "));
                let found = lines.find(|(field, _)| *field == name);
                found.map(|(_, value)| value.to_owned()).unwrap_or_default()
            };
            let data = serde_json::from_str(&field("data")).expect("JSON");
            return Some(Event::new(field("event"), field("id"), data));
        }
    }
}

/// A WebSocket.
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// Code and reason of the server's close frame.
    pub closed: Option<(u16, String)>,
}

impl Socket {
    pub async fn open(address: &str, question: &Question) -> Socket {
        match Socket::try_open(address, question, &[]).await {
            Ok(socket) => socket,
            Err(refused) => panic!("{refused:?}"),
        }
    }

    /// Opens a WebSocket with further headers, or returns the response that refuses it.
    pub async fn try_open(
        address: &str,
        question: &Question,
        headers: &[(&'static str, &str)],
    ) -> Result<Socket, Answer> {
        let path = question.under("results/ws");
        let mut request: Request = format!("{address}/api/v1{path}")
            .replacen("http://", "ws://", 1)
            .into_client_request()
            .expect("a request");
        for (name, value) in headers {
            let value = value.parse().expect("a value");
            request.headers_mut().insert(*name, value);
        }
        let address = address.strip_prefix("http://").expect("a TCP address");
        let address: SocketAddr = address.parse().expect("an address");
        let stream = TcpStream::connect(address).await.expect("a connection");
        match client_async(request, stream).await {
            Ok((stream, _)) => Ok(Socket {
                stream,
                closed: None,
            }),
            Err(Error::Http(response)) => {
                let (head, body) = response.into_parts();
                let bytes: bytes::Bytes = body.unwrap_or_default().into();
                Err(Answer::of(
                    (Method::GET, &format!("/api/v1{path}")),
                    head.status,
                    head.headers,
                    bytes,
                ))
            }
            Err(error) => panic!("{error}"),
        }
    }

    pub async fn say(&mut self, text: String) {
        self.send(Message::text(text)).await;
    }

    pub async fn send(&mut self, message: Message) {
        self.stream.send(message).await.expect("it takes messages");
    }

    /// The next message of any kind. Pings are answered automatically.
    pub async fn message(&mut self) -> Option<Message> {
        let next = tokio::time::timeout(TIMEOUT, self.stream.next()).await;
        let message = next.expect("something comes")?.ok()?;
        if let Message::Close(Some(frame)) = &message {
            self.closed = Some((frame.code.into(), frame.reason.to_string()));
        }
        Some(message)
    }

    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.message().await? {
                Message::Text(text) => {
                    let json: Value = serde_json::from_str(&text).expect("JSON");
                    let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
                    return Some(Event::new(text("type"), text("id"), json["data"].clone()));
                }
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    /// Waits until the server closes the socket; returns code and reason.
    pub async fn close(mut self) -> (u16, String) {
        let closing = async { while self.message().await.is_some() {} };
        let closed = tokio::time::timeout(TIMEOUT, closing).await;
        closed.expect("it is closed");
        self.closed.expect("it is closed properly")
    }
}
