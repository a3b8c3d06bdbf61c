//! Where requests go, and the connections there.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::task::JoinHandle;
use tokio_util::either::Either;
use url::Url;

use super::mistake::Mistake;
use super::options::Options;

/// A server, and how to connect to it.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its processes, at least one; connections are spread over them.
    peers: Vec<Peer>,
    /// The number of connections so far; shared by clones.
    connections: Arc<AtomicUsize>,
    authority: String,
    /// The URL's path and query.
    path: String,
    http2: bool,
    keep_alive: bool,
    headers: Vec<(http::HeaderName, HeaderValue)>,
}

#[derive(Debug, Clone)]
enum Peer {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A request that can be sent any number of times.
#[derive(Debug, Clone)]
pub struct Template {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Template {
    pub fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

impl Target {
    /// Parses the URLs, resolves their hosts, and checks that a server answers there.
    pub async fn find(options: &Options) -> Result<Target, Mistake> {
        let place = Place::of(&options.url)?;
        let others = options.also.iter().map(|url| Place::of_process(url));
        let others = others.collect::<Result<Vec<Place>, Mistake>>()?;
        let mut peers = Vec::new();
        if let Some(path) = &options.unix_socket {
            let peer = Peer::Unix(path.clone());
            let stream = peer.stream().await;
            stream.map_err(|source| Mistake::Connect {
                address: path.display().to_string(),
                source,
            })?;
            peers.push(peer);
        } else {
            peers.push(place.find().await?);
            for other in others {
                peers.push(other.find().await?);
            }
        }
        Ok(Target {
            peers,
            connections: Arc::default(),
            authority: place.authority,
            path: place.path,
            http2: options.http2,
            keep_alive: !options.no_keep_alive,
            headers: options.headers.clone(),
        })
    }

    /// The path and query of the URL.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The same server over HTTP/1.1 with keep-alive, for calls that are not measured.
    pub fn plain(&self) -> Target {
        Target {
            http2: false,
            keep_alive: true,
            ..self.clone()
        }
    }

    /// A request for a path of the server.
    pub fn template(&self, method: Method, path: &str, body: Bytes) -> Result<Template, Mistake> {
        let wrong = |reason: String| Mistake::Url {
            url: format!("http://{}{path}", self.authority),
            reason,
        };
        let path_and_query: PathAndQuery = path
            .parse()
            .map_err(|error: http::uri::InvalidUri| wrong(error.to_string()))?;
        let mut headers = HeaderMap::new();
        let mut uri = http::uri::Parts::default();
        uri.path_and_query = Some(path_and_query);
        if self.http2 {
            uri.scheme = Some(http::uri::Scheme::HTTP);
            let authority = self.authority.parse();
            uri.authority =
                Some(authority.map_err(|error: http::uri::InvalidUri| wrong(error.to_string()))?);
        } else {
            let host = HeaderValue::from_str(&self.authority);
            headers.insert(HOST, host.map_err(|error| wrong(error.to_string()))?);
            if !self.keep_alive {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
        }
        if !body.is_empty() {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        let uri = Uri::from_parts(uri).map_err(|error| wrong(error.to_string()))?;
        Ok(Template {
            method,
            uri,
            headers,
            body,
        })
    }

    /// Whether a connection serves more than one request.
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// A new connection, to each process in turn.
    pub async fn connect(&self) -> Result<Connection, io::Error> {
        let turn = self.connections.fetch_add(1, Ordering::Relaxed) % self.peers.len();
        let io = TokioIo::new(self.peers[turn].stream().await?);
        let (sender, driver) = if self.http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io)
                .await
                .map_err(io::Error::other)?;
            // Errors reach the request that waits for an answer.
            let driver = tokio::spawn(async move { drop(connection.await) });
            (Sender::Http2(sender), driver)
        } else {
            let (sender, connection) = http1::handshake(io).await.map_err(io::Error::other)?;
            let driver = tokio::spawn(async move { drop(connection.await) });
            (Sender::Http1(sender), driver)
        };
        Ok(Connection { sender, driver })
    }
}

impl Peer {
    async fn stream(&self) -> io::Result<Either<TcpStream, UnixStream>> {
        match self {
            Peer::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Either::Left(stream))
            }
            Peer::Unix(path) => Ok(Either::Right(UnixStream::connect(path).await?)),
        }
    }
}

/// The parts of a URL.
struct Place {
    host: String,
    port: u16,
    authority: String,
    /// With the query.
    path: String,
}

impl Place {
    fn of(text: &str) -> Result<Place, Mistake> {
        let wrong = |reason: &str| Mistake::Url {
            url: text.to_owned(),
            reason: reason.to_owned(),
        };
        let url = Url::parse(text).map_err(|error| match error {
            url::ParseError::RelativeUrlWithoutBase => {
                wrong("it must begin with http://, as in http://127.0.0.1:8080")
            }
            error => wrong(&error.to_string()),
        })?;
        match url.scheme() {
            "http" => {}
            "https" => {
                return Err(wrong(
                    "TLS is not supported; load the server behind the proxy",
                ));
            }
            _ => return Err(wrong("it must begin with http://")),
        }
        let host = url.host_str().ok_or_else(|| wrong("it has no host"))?;
        Ok(Place {
            host: host.to_owned(),
            port: url.port_or_known_default().unwrap_or(80),
            authority: match url.port() {
                Some(port) => format!("{host}:{port}"),
                None => host.to_owned(),
            },
            path: url[url::Position::BeforePath..url::Position::AfterQuery].to_owned(),
        })
    }

    /// Another process, which gets the same path as the first.
    fn of_process(text: &str) -> Result<Place, Mistake> {
        let place = Place::of(text)?;
        if place.path != "/" {
            return Err(Mistake::Url {
                url: text.to_owned(),
                reason: "it must have no path; the path of the first URL is used".to_owned(),
            });
        }
        Ok(place)
    }

    /// The first of the host's addresses at which a server answers.
    async fn find(&self) -> Result<Peer, Mistake> {
        let no_answer = |source| Mistake::Connect {
            address: format!("{}:{}", self.host, self.port),
            source,
        };
        // Without the brackets of an IPv6 address.
        let name = self.host.trim_start_matches('[').trim_end_matches(']');
        let found = lookup_host((name, self.port)).await.map_err(no_answer)?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in found {
            let peer = Peer::Tcp(address);
            match peer.stream().await {
                Ok(_) => return Ok(peer),
                Err(error) => last = error,
            }
        }
        Err(no_answer(last))
    }
}

/// A connection, which carries one request at a time.
#[derive(Debug)]
pub struct Connection {
    sender: Sender,
    driver: JoinHandle<()>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A request that got no answer.
#[derive(Debug)]
pub struct Lost {
    pub error: hyper::Error,
    /// The request, if the connection ended before any of it was sent.
    pub unsent: Option<Request<Full<Bytes>>>,
}

impl Connection {
    /// Sends a request and returns the answer's head; the body follows.
    pub async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<http::Response<hyper::body::Incoming>, Lost> {
        let outcome = match &mut self.sender {
            Sender::Http1(sender) => {
                if let Err(error) = sender.ready().await {
                    return Err(Lost {
                        error,
                        unsent: Some(request),
                    });
                }
                sender.try_send_request(request).await
            }
            Sender::Http2(sender) => {
                if let Err(error) = sender.ready().await {
                    return Err(Lost {
                        error,
                        unsent: Some(request),
                    });
                }
                sender.try_send_request(request).await
            }
        };
        outcome.map_err(|mut error| Lost {
            unsent: error.take_message(),
            error: error.into_error(),
        })
    }
}
