//! The server and the stack, over real sockets.

mod answers;
mod bodies;
mod connections;
mod shutdown;
mod unix_sockets;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};
use poem::endpoint::{ToDynEndpoint, make, make_sync};
use poem::{Request, Response, get, post, put};
use reqwest::header::{
    ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, VARY,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::TrustedProxies;
use super::usage::Usage;
use super::*;
use crate::clock::Clock;
use crate::config;
use crate::failure::{Code, Failure};
use crate::telemetry::tests::Sink;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(100);

/// What tests change of the configuration.
struct Plan {
    server: config::Server,
    http: config::Http,
    origins: Vec<String>,
    trusted: Vec<ipnet::IpNet>,
}

impl Default for Plan {
    fn default() -> Plan {
        let sources = config::Sources::default();
        let config = config::load(&sources).unwrap().config;
        Plan {
            server: config::Server {
                port: 0,
                path_mode: 0o600,
                ..config.server
            },
            http: config::Http {
                max_connections: 100,
                header_timeout: LONG,
                body_timeout: LONG,
                shutdown_linger: Duration::ZERO,
                shutdown_grace: LONG,
                max_body: 1000,
                docs: false,
                ..config.http
            },
            origins: vec!["*".into()],
            trusted: Vec::new(),
        }
    }
}

struct Served {
    address: Address,
    shutdown: CancellationToken,
    served: JoinHandle<()>,
    /// Lets `/slow` go on.
    release: Arc<Notify>,
    /// `/slow` has begun.
    begun: Arc<Notify>,
    /// `/slow` has come to its end.
    finished: Arc<AtomicBool>,
    tasks: TaskTracker,
}

impl Served {
    async fn open(plan: Plan) -> Served {
        let (release, begun) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let finished = Arc::new(AtomicBool::new(false));
        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        let slow = {
            let (release, begun, finished) = (release.clone(), begun.clone(), finished.clone());
            move || {
                let (release, begun) = (release.clone(), begun.clone());
                let finished = finished.clone();
                make(move |_| {
                    let (release, begun) = (release.clone(), begun.clone());
                    let finished = finished.clone();
                    async move {
                        begun.notify_one();
                        release.notified().await;
                        finished.store(true, Ordering::SeqCst);
                        "slow"
                    }
                })
            }
        };
        let site = health::add(
            Site::default(),
            || async { Ok(Value::Null) },
            shutdown.clone(),
        );
        let (router, routes) = site.into_parts(operations());
        let router = router
            .at("/slow", get(slow()).put(slow()))
            .at("/panic", get(make_sync(panics)).put(make_sync(panics)))
            .at("/client", get(make_sync(client)))
            .at("/api/v1/things", get(make_sync(thing)).post(make(length)))
            .at("/api/v1/large", get(make_sync(large)))
            .at("/api/v1/huge", get(make_sync(huge)))
            .at("/api/v1/broken", get(make_sync(broken)))
            .at("/api/v1/secret", get(make_sync(secret)))
            .at(
                "/api/v1/plain",
                post(make_sync(|_| StatusCode::UNSUPPORTED_MEDIA_TYPE)),
            )
            .at("/api/v1/ids/:id", put(make_sync(|_| ())));
        let admission = Admission {
            usage: Usage::new(&plan.http),
            proxies: TrustedProxies(plan.trusted),
        };
        let mut config = config::load(&config::Sources::default()).unwrap().config;
        config.http = plan.http.clone();
        config.cors = config::Cors {
            origins: plan.origins.try_into().unwrap(),
            auth: false,
            headers: Vec::new(),
            credentials: false,
            max_age: Duration::from_secs(600),
        };
        config.log.access = true;
        let stack = Stack::new(
            Arc::new(ToDynEndpoint(router)),
            &config,
            routes,
            admission.clone(),
            None,
            Clock::default(),
            tasks.clone(),
        );
        let listener = Listener::bind(&plan.server).await.unwrap();
        let address = listener.address().clone();
        let served = tokio::spawn({
            let (shutdown, tasks) = (shutdown.clone(), tasks.clone());
            async move { serve(listener, stack, admission, &plan.http, shutdown, tasks).await }
        });
        Served {
            address,
            shutdown,
            served,
            release,
            begun,
            finished,
            tasks,
        }
    }

    fn tcp(&self) -> SocketAddr {
        match self.address {
            Address::Tcp(address) => address,
            Address::Unix(_) => panic!("not on TCP"),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        reqwest::get(self.url(path)).await.unwrap()
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> reqwest::Response {
        let mut request = reqwest::Client::new().request(method, self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.tcp()).await.unwrap()
    }
}

fn operations() -> impl Iterator<Item = Operation> {
    let json = |method: Method, path: &str| Operation {
        takes_body: method == Method::POST,
        produces: vec!["application/json".into()],
        ..Operation::new(method, path)
    };
    let things = Operation {
        parameters: vec![routes::Parameter {
            name: "limit".into(),
            place: routes::Place::Query,
            allowed: "must be an integer".into(),
        }],
        ..json(Method::GET, "/api/v1/things")
    };
    let own = [
        things,
        json(Method::POST, "/api/v1/things"),
        json(Method::GET, "/api/v1/large"),
        json(Method::GET, "/api/v1/huge"),
        json(Method::GET, "/api/v1/broken"),
        json(Method::GET, "/api/v1/secret"),
        json(Method::POST, "/api/v1/plain"),
        Operation::new(Method::PUT, "/api/v1/ids/{id}"),
        Operation::new(Method::GET, "/slow"),
        Operation::new(Method::PUT, "/slow"),
        Operation::new(Method::GET, "/panic"),
        Operation::new(Method::PUT, "/panic"),
        Operation::new(Method::GET, "/client"),
    ];
    own.into_iter()
}

fn panics(_: Request) {
    panic!("on purpose");
}

fn client(request: Request) -> String {
    let key = extract::network(&request).key();
    match <[u8; 4]>::try_from(key) {
        Ok(v4) => std::net::Ipv4Addr::from(v4).to_string(),
        Err(_) => "unknown".to_owned(),
    }
}

fn thing(_: Request) -> Response {
    Response::builder()
        .content_type("application/json")
        .header(ETAG, "\"1.a\"")
        .body("{}")
}

fn large(_: Request) -> Response {
    Response::builder()
        .content_type("application/json")
        .header(ETAG, "\"1.a\"")
        .body(format!("\"{}\"", "x".repeat(5000)))
}

/// More than the system takes for a client that reads nothing.
fn huge(_: Request) -> Response {
    Response::builder()
        .content_type("application/json")
        .body(vec![b' '; 20 << 20])
}

async fn length(request: Request) -> poem::Result<String> {
    Ok(request.into_body().into_bytes().await?.len().to_string())
}

fn broken(_: Request) -> poem::Result<()> {
    Err(Failure::internal(std::io::Error::other("disk on fire")).into())
}

fn secret(_: Request) -> poem::Result<()> {
    Err(Failure::new(Code::Unauthenticated, "Sign in.").into())
}

async fn problem(response: reqwest::Response) -> Value {
    let status = response.status();
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    let id = response.headers()["x-request-id"].clone();
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["status"], status.as_u16());
    assert_eq!(problem["request_id"], id.to_str().unwrap());
    problem
}

/// Sends bytes and reads until the server closes.
async fn raw(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), bytes: &str) -> String {
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(LONG, stream.read_to_end(&mut answer))
        .await
        .expect("the server closes the connection")
        .unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

fn on_socket(path: &Path) -> Plan {
    let mut plan = Plan::default();
    plan.server.path = Some(path.into());
    plan
}
