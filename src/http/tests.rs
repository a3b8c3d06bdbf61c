//! The house over real sockets.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use poem::endpoint::{ToDynEndpoint, make, make_sync};
use poem::{Route as Router, get, post, put};
use reqwest::header::{ETAG, VARY};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::client::TrustedProxies;
use super::usage::Usage;
use super::*;
use crate::config;
use crate::telemetry::tests::Sink;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(100);

/// What tests change about a house before it opens.
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

struct House {
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

impl House {
    async fn open(plan: Plan) -> House {
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
        let router = Router::new()
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
        let router = mount(router, || async { Ok(Value::Null) }, shutdown.clone(), true);
        let admission = Admission {
            usage: Usage::new(&plan.http),
            proxies: TrustedProxies(plan.trusted),
        };
        let stack = Stack {
            inner: Arc::new(ToDynEndpoint(router)),
            routes: routes(),
            clock: Clock::default(),
            tasks: tasks.clone(),
            admission: admission.clone(),
            rates: None,
            cors: Cors::new(
                &config::Cors {
                    origins: plan.origins.try_into().unwrap(),
                    auth: false,
                    headers: Vec::new(),
                    credentials: false,
                    max_age: Duration::from_secs(600),
                },
                None,
            ),
            requests: metrics::Requests::new(),
            max_body: plan.http.max_body,
            body_timeout: plan.http.body_timeout,
            compression: plan.http.compression,
            compressor: Compressor::default(),
            access_log: true,
        };
        let listener = Listener::bind(&plan.server).await.unwrap();
        let address = listener.address().clone();
        let served = tokio::spawn({
            let (shutdown, tasks) = (shutdown.clone(), tasks.clone());
            async move { serve(listener, stack, admission, &plan.http, shutdown, tasks).await }
        });
        House {
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

fn routes() -> Routes {
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
    Routes::new(own.into_iter().chain(operations(true)))
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

#[tokio::test]
async fn a_half_sent_header_is_not_waited_for() {
    let mut plan = Plan::default();
    plan.http.header_timeout = SHORT;
    let house = House::open(plan).await;
    raw(
        &mut house.connect().await,
        "GET /healthz HTTP/1.1\r\nHost: ",
    )
    .await;
    raw(&mut house.connect().await, "").await;
    raw(
        &mut house.connect().await,
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    )
    .await;
    let idle = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = raw(&mut house.connect().await, idle).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_trickling_header_is_not_waited_for() {
    let mut plan = Plan::default();
    plan.http.header_timeout = SHORT;
    let house = House::open(plan).await;
    let http1 = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: ";
    // No settings, and the beginning of a frame with 16,383 bytes of headers for stream 1.
    let http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
        \0\0\0\x04\0\0\0\0\0\
        \0\x3f\xff\x01\x04\0\0\0\x01";
    for head in [&http1[..], http2] {
        let (mut incoming, mut outgoing) = house.connect().await.into_split();
        let trickle = async {
            let mut sent = outgoing.write_all(head).await;
            while sent.is_ok() {
                tokio::time::sleep(SHORT / 20).await;
                sent = outgoing.write_all(b"a").await;
            }
        };
        let mut answer = Vec::new();
        let closed = async {
            tokio::select! {
                _ = incoming.read_to_end(&mut answer) => {}
                () = trickle => {}
            }
        };
        timeout(LONG, closed)
            .await
            .expect("the server closes the connection");
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_left() {
    let mut plan = Plan::default();
    plan.http.send_timeout = SHORT;
    let house = House::open(plan).await;
    let gone = async |stream: TcpStream| {
        // The server's end is closed once nothing can be written to it any more.
        let (_incoming, mut outgoing) = stream.into_split();
        while outgoing.write_all(b"\r\n").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    // HTTP/1: a large answer that fills what the system has room for.
    let mut one = house.connect().await;
    let get = "GET /api/v1/huge HTTP/1.1\r\nHost: a\r\n\r\n";
    one.write_all(get.as_bytes()).await.unwrap();
    timeout(LONG, gone(one)).await.expect("it is closed");

    // HTTP/2: a small one, for which the client opens no window, though it sends a ping now and
    // then. (Settings with a window of 0, then GET /api/v1/large as HPACK has it.)
    let mut two = house.connect().await;
    let mut request =
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0".to_vec();
    let path = b"/api/v1/large";
    let block = [
        &[0x82, 0x86, 0x04, path.len() as u8][..],
        path,
        &[0x01, 1, b'a'],
    ]
    .concat();
    request.extend([0, 0, block.len() as u8, 1, 5, 0, 0, 0, 1]);
    request.extend(&block);
    two.write_all(&request).await.unwrap();
    // The head of the answer comes.
    loop {
        let mut frame = [0; 9];
        two.read_exact(&mut frame).await.unwrap();
        let mut payload = vec![0; usize::from(frame[1]) << 8 | usize::from(frame[2])];
        two.read_exact(&mut payload).await.unwrap();
        if frame[3] == 1 {
            break;
        }
    }
    let pings = async {
        let ping = b"\0\0\x08\x06\0\0\0\0\0........";
        while two.write_all(ping).await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    timeout(LONG, pings).await.expect("it is closed");
}

#[tokio::test]
async fn one_address_has_only_so_many_connections() {
    let mut plan = Plan::default();
    plan.http.max_connections_per_address = 3;
    let house = House::open(plan).await;
    let from = async |last: u8| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket
            .bind(SocketAddr::from(([127, 0, 0, last], 0)))
            .unwrap();
        socket.connect(house.tcp()).await.unwrap()
    };
    let get = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(from(2).await);
    }
    let mut refused = from(2).await;
    let mut answer = Vec::new();
    // Reset or closed, whichever the system tells first.
    let _ = refused.write_all(get.as_bytes()).await;
    let _ = timeout(LONG, refused.read_to_end(&mut answer))
        .await
        .expect("it is closed");
    assert!(answer.is_empty());
    assert!(
        raw(&mut from(3).await, get)
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        raw(&mut open.remove(0), get)
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        raw(&mut from(2).await, get)
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test]
async fn half_sent_bodies_of_one_address_are_bounded_and_keep_nobody_out() {
    let mut plan = Plan::default();
    // One request at a time, and five bodies that have begun.
    plan.http.max_requests_per_address = 1;
    plan.http.max_received_per_address = 5 * (usage::WAITING_BODY as u64 + 3);
    let house = House::open(plan).await;
    let mut open = Vec::new();
    let post = "POST /api/v1/things HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc";
    for _ in 0..5 {
        let mut stream = house.connect().await;
        stream.write_all(post.as_bytes()).await.unwrap();
        open.push(stream);
    }
    let refused = async || {
        let mut one_more = house.connect().await;
        raw(&mut one_more, post).await.contains("503")
    };
    // The five are counted as soon as the server has read their heads.
    timeout(LONG, async { while !refused().await {} })
        .await
        .unwrap();
    // Whole bodies come through, of the same address and of others.
    let whole = "POST /api/v1/things HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
        Content-Length: 3\r\n\r\nabc";
    let mut same = house.connect().await;
    assert!(raw(&mut same, whole).await.contains("HTTP/1.1 200"));
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 2], 0))).unwrap();
    let mut other = socket.connect(house.tcp()).await.unwrap();
    assert!(raw(&mut other, whole).await.contains("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_trickling_body_is_a_408() {
    let mut plan = Plan::default();
    plan.http.body_timeout = SHORT;
    let house = House::open(plan).await;
    let head = "POST /api/v1/things HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc";
    let answer = raw(&mut house.connect().await, head).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(answer.contains("request_timeout"), "{answer}");
}

#[tokio::test]
async fn a_body_is_measured_not_believed() {
    let house = House::open(Plan::default()).await;
    let send = |body: reqwest::Body| {
        let request = reqwest::Client::new().post(house.url("/api/v1/things"));
        request.body(body).send()
    };
    assert_eq!(
        send("x".repeat(1000).into())
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
        "1000"
    );
    let refused = problem(send("x".repeat(1001).into()).await.unwrap()).await;
    assert_eq!(refused["code"], "payload_too_large");

    let chunks = "1f4\r\n".to_owned() + &"x".repeat(500) + "\r\n";
    let head = "POST /api/v1/things HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
        Transfer-Encoding: chunked\r\n\r\n";
    let request = format!("{head}{}0\r\n\r\n", chunks.repeat(3));
    let answer = raw(&mut house.connect().await, &request).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");

    let bare = "GET /api/v1/things HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert!(
        raw(&mut house.connect().await, bare)
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test]
async fn an_early_answer_keeps_the_connection_or_says_that_it_is_the_last() {
    let house = House::open(Plan::default()).await;
    let get = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for head in [
        "PUT /healthz HTTP/1.1\r\nHost: a",
        "POST /api/v1/things?unknown=1 HTTP/1.1\r\nHost: a",
        "POST /api/v1/things HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip",
        "POST /api/v1/plain HTTP/1.1\r\nHost: a",
        "GET /api/v1/secret HTTP/1.1\r\nHost: a",
    ] {
        // What came along is read, and the connection goes on.
        let whole = format!("{head}\r\nContent-Length: 3\r\n\r\nabc{get}");
        let answers = raw(&mut house.connect().await, &whole).await;
        assert!(answers.contains("HTTP/1.1 4"), "{head}: {answers}");
        assert!(answers.contains("HTTP/1.1 200"), "{head}: {answers}");
        // What does not come is not waited for.
        for rest in [
            "\r\nContent-Length: 3\r\n\r\na",
            "\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
        ] {
            if head.contains("/plain") {
                continue;
            }
            let answer = raw(&mut house.connect().await, &format!("{head}{rest}")).await;
            assert!(answer.contains("connection: close"), "{head}: {answer}");
        }
    }
}

#[tokio::test]
async fn an_answer_arrives_though_nobody_read_the_body() {
    let house = House::open(Plan::default()).await;
    for path in ["/api/v1/plain", "/api/v1/things?lmit=3"] {
        for _ in 0..20 {
            let request = reqwest::Client::new().post(house.url(path));
            let answer = request.body("x".repeat(200_000)).send().await.unwrap();
            assert!(problem(answer).await["code"].is_string());
        }
    }
}

#[tokio::test]
async fn a_panic_is_a_500_and_the_connection_lives_on() {
    let house = House::open(Plan::default()).await;
    let client = reqwest::Client::new();
    for method in [Method::GET, Method::PUT] {
        let answer = client.request(method, house.url("/panic")).send();
        let problem = problem(answer.await.unwrap()).await;
        assert_eq!(problem["code"], "internal");
        assert!(!problem.to_string().contains("on purpose"));
        let next = client.get(house.url("/healthz")).send().await.unwrap();
        assert_eq!(next.status(), 200);
    }
}

#[tokio::test]
async fn a_graceful_end_finishes_what_was_begun() {
    let house = House::open(Plan::default()).await;
    let mut idle = house.connect().await;
    let running = tokio::spawn(reqwest::get(house.url("/slow")));
    house.begun.notified().await;
    house.shutdown.cancel();
    // Nothing lingers in this house: an idle connection is closed, and the listener is gone.
    raw(&mut idle, "").await;
    while TcpStream::connect(house.tcp()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!house.served.is_finished());
    house.release.notify_one();
    let answer = running.await.unwrap().unwrap();
    assert_eq!(answer.headers()["connection"], "close");
    assert_eq!(answer.text().await.unwrap(), "slow");
    timeout(LONG, house.served).await.unwrap().unwrap();
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

/// Reads one answer without a body of its own length, and leaves the connection open.
async fn ask(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with(r#"{"status":"ok"}"#) {
        let byte = timeout(LONG, stream.read_u8()).await.unwrap().unwrap();
        answer.push(byte.into());
    }
    answer
}

#[tokio::test]
async fn a_request_that_meets_the_end_on_its_way_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("polls.sock");
    let mut plan = on_socket(&path);
    plan.http.shutdown_linger = LONG;
    plan.http.max_connections = 1;
    let house = House::open(plan).await;
    // One connection has been used; the others wait where only the system has accepted them.
    let mut used = UnixStream::connect(&path).await.unwrap();
    assert!(!ask(&mut used, HEALTH).await.contains("connection: close"));
    let mut others = Vec::new();
    for _ in 0..20 {
        others.push(UnixStream::connect(&path).await.unwrap());
    }
    house.shutdown.cancel();
    while path.exists() {
        tokio::task::yield_now().await;
    }
    // The next process can take the address at once.
    let next = Listener::bind(&on_socket(&path).server).await.unwrap();
    for stream in others.iter_mut().chain([&mut used]) {
        let answer = raw(stream, HEALTH).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    // Nobody else holds it up, however long idle connections might have stayed.
    timeout(LONG / 2, house.served).await.unwrap().unwrap();
    assert!(path.exists());
    drop(next);
    assert!(!path.exists());
}

#[tokio::test]
async fn for_a_while_all_goes_on_though_the_end_is_announced() {
    let mut plan = Plan::default();
    plan.http.shutdown_delay = Duration::from_secs(1);
    let house = House::open(plan).await;
    house.shutdown.cancel();
    assert_eq!(house.get("/readyz").await.status(), 503);
    let answer = house.get("/healthz").await;
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("connection"));
    timeout(LONG, house.served).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_taken_address_lets_nobody_in_before_it_listens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("polls.sock");
    for server in [Plan::default().server, on_socket(&path).server] {
        let bound = Bound::new(&server.address(), server.path_mode)
            .await
            .unwrap();
        let connect = async |address: &Address| match address {
            Address::Tcp(address) => TcpStream::connect(address).await.map(drop),
            Address::Unix(path) => UnixStream::connect(path).await.map(drop),
        };
        let refused = connect(&bound.address().clone()).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        let listener = bound.listen().unwrap();
        connect(listener.address()).await.unwrap();
    }
    // Two that start at once with one socket: the file is the second one's.
    let server = on_socket(&path).server;
    let first = Bound::new(&server.address(), server.path_mode)
        .await
        .unwrap();
    let second = Bound::new(&server.address(), server.path_mode)
        .await
        .unwrap();
    let refused = first.listen().unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::AddrInUse);
    let second = second.listen().unwrap();
    UnixStream::connect(&path).await.unwrap();
    drop(second);
}

#[tokio::test]
async fn the_grace_period_ends() {
    let mut plan = Plan::default();
    plan.http.shutdown_grace = SHORT;
    let house = House::open(plan).await;
    let running = tokio::spawn(reqwest::get(house.url("/slow")));
    house.begun.notified().await;
    house.shutdown.cancel();
    timeout(LONG, house.served).await.unwrap().unwrap();
    running.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_change_is_finished_though_the_client_hangs_up() {
    for (method, finishes) in [("GET", false), ("PUT", true)] {
        let house = House::open(Plan::default()).await;
        let mut stream = house.connect().await;
        let request = format!("{method} /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        house.begun.notified().await;
        drop(stream);
        // The connection is gone; what is left is the change.
        while house.tasks.len() != usize::from(finishes) {
            tokio::task::yield_now().await;
        }
        house.release.notify_one();
        while !house.tasks.is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(house.finished.load(Ordering::SeqCst), finishes, "{method}");
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let mut plan = Plan::default();
    plan.http.max_connections = 1;
    let house = House::open(plan).await;
    let first = house.connect().await;
    let mut second = house.connect().await;
    let request = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = raw(&mut second, request);
    let mut answer = std::pin::pin!(answer);
    assert!(timeout(SHORT, answer.as_mut()).await.is_err());
    drop(first);
    assert!(answer.await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn head_has_the_headers_of_get_over_both_protocols() {
    let house = House::open(Plan::default()).await;
    let http2 = reqwest::Client::builder().http2_prior_knowledge().build();
    for client in [reqwest::Client::new(), http2.unwrap()] {
        for path in ["/api/v1/things", "/api/v1/large", "/healthz"] {
            let get = client.get(house.url(path)).send().await.unwrap();
            let head = client.head(house.url(path)).send().await.unwrap();
            assert_eq!(head.status(), 200);
            assert_eq!(head.version(), get.version());
            for (name, value) in get.headers() {
                if !["x-request-id", "date"].contains(&name.as_str()) {
                    assert_eq!(head.headers().get(name), Some(value), "{name}");
                }
            }
            assert!(head.headers().contains_key(CONTENT_LENGTH));
            assert_eq!(head.bytes().await.unwrap().len(), 0);
        }
    }
}

#[tokio::test]
async fn methods_are_told() {
    let house = House::open(Plan::default()).await;
    let options = house.send(Method::OPTIONS, "/api/v1/things", &[]).await;
    assert_eq!(options.status(), 204);
    assert_eq!(options.headers()[ALLOW], "GET, HEAD, POST, OPTIONS");
    let wrong = house.send(Method::DELETE, "/api/v1/things", &[]).await;
    assert_eq!(wrong.headers()[ALLOW], "GET, HEAD, POST, OPTIONS");
    assert_eq!(problem(wrong).await["code"], "method_not_allowed");
    let head = house.send(Method::HEAD, "/api/v1/ids/7", &[]).await;
    assert_eq!(head.status(), 405);
    let nowhere = house.send(Method::OPTIONS, "/nowhere", &[]).await;
    assert_eq!(problem(nowhere).await["code"], "not_found");
}

#[tokio::test]
async fn what_the_table_and_headers_refuse_is_a_problem() {
    let house = House::open(Plan::default()).await;
    let code = async |method, path, headers| {
        let answer = house.send(method, path, headers).await;
        problem(answer).await["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(code(Method::GET, "/nowhere", &[]).await, "not_found");
    let query = "/api/v1/things?lmit=3";
    assert_eq!(code(Method::GET, query, &[]).await, "malformed_request");
    let html = [("accept", "text/html")];
    assert_eq!(
        code(Method::GET, "/api/v1/things", &html).await,
        "not_acceptable"
    );
    let gzip = [("content-encoding", "gzip")];
    assert_eq!(
        code(Method::POST, "/api/v1/things", &gzip).await,
        "unsupported_media_type"
    );
    assert_eq!(
        code(Method::POST, "/api/v1/plain", &[]).await,
        "unsupported_media_type"
    );
    assert_eq!(code(Method::GET, "/api/v1/broken", &[]).await, "internal");
    assert_eq!(house.get("/healthz?anything=goes").await.status(), 200);
}

#[tokio::test]
async fn a_trailing_slash_changes_nothing() {
    let house = House::open(Plan::default()).await;
    assert_eq!(house.get("/api/v1/things/?limit=1").await.status(), 200);
    let put = house.send(Method::PUT, "/api/v1/ids/7/", &[]).await;
    assert_eq!(put.status(), 200);
    assert_eq!(
        problem(house.get("/nothing/").await).await["code"],
        "not_found"
    );
}

#[tokio::test]
async fn a_challenge_tells_a_bad_token_from_none() {
    let house = House::open(Plan::default()).await;
    let none = house.get("/api/v1/secret").await;
    assert_eq!(
        none.headers()["www-authenticate"],
        r#"Bearer realm="polls""#
    );
    assert_eq!(problem(none).await["code"], "unauthenticated");
    let token = [("authorization", "Bearer nonsense")];
    let bad = house.send(Method::GET, "/api/v1/secret", &token).await;
    assert_eq!(
        bad.headers()["www-authenticate"],
        r#"Bearer realm="polls", error="invalid_token""#
    );
}

#[tokio::test]
async fn request_ids_are_echoed_or_made() {
    let house = House::open(Plan::default()).await;
    let own = house
        .send(Method::GET, "/nowhere", &[("x-request-id", "mine")])
        .await;
    assert_eq!(problem(own).await["request_id"], "mine");
    let one = house.get("/healthz").await.headers()["x-request-id"].clone();
    let other = house.get("/healthz").await.headers()["x-request-id"].clone();
    assert_ne!(one, other);
}

#[tokio::test]
async fn a_request_is_logged_without_its_query_and_a_failure_once_with_its_cause() {
    // Test runtimes have one thread, so that the sink sees the server's lines, too.
    let (sink, _guard) = Sink::json();
    let house = House::open(Plan::default()).await;
    let id = [("x-request-id", "r-1")];
    house.send(Method::GET, "/healthz?token=hunter2", &id).await;
    house.send(Method::GET, "/api/v1/broken", &id).await;
    let lines = sink.lines();
    let access = &lines
        .iter()
        .find(|line| line["target"] == "access")
        .unwrap();
    assert_eq!(access["path"], "/healthz");
    assert_eq!(access["status"], 200);
    assert_eq!(access["request_id"], "r-1");
    assert!(!format!("{lines:?}").contains("hunter2"));
    let failed: Vec<_> = lines
        .iter()
        .filter(|line| line["level"] == "ERROR")
        .collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["cause"], "disk on fire");
    assert_eq!(failed[0]["request_id"], "r-1");
}

#[tokio::test]
async fn a_request_is_logged_though_its_client_hangs_up() {
    let (sink, _guard) = Sink::json();
    let house = House::open(Plan::default()).await;
    let mut stream = house.connect().await;
    let request = "GET /slow HTTP/1.1\r\nHost: a\r\nX-Request-Id: r-2\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    house.begun.notified().await;
    drop(stream);
    while !house.tasks.is_empty() {
        tokio::task::yield_now().await;
    }
    let lines = sink.lines();
    let access: Vec<_> = lines
        .iter()
        .filter(|line| line["target"] == "access")
        .collect();
    assert_eq!(access.len(), 1);
    assert_eq!(
        (&access[0]["path"], &access[0]["status"]),
        (&"/slow".into(), &499.into())
    );
    assert_eq!(access[0]["request_id"], "r-2");
}

#[tokio::test]
async fn reads_of_the_api_are_private_and_answers_are_not_sniffed() {
    let house = House::open(Plan::default()).await;
    let answer = house.get("/api/v1/things").await;
    assert_eq!(answer.headers()[CACHE_CONTROL], "private, no-cache");
    assert_eq!(answer.headers()[VARY], "Authorization");
    let health = house.get("/healthz").await;
    assert_eq!(health.headers()[CACHE_CONTROL], "no-store");
    assert_eq!(health.headers()["x-content-type-options"], "nosniff");
    assert!(!health.headers().contains_key(VARY));
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_ask() {
    let house = House::open(Plan::default()).await;
    let get = async |path, coding| {
        house
            .send(Method::GET, path, &[("accept-encoding", coding)])
            .await
    };
    let large = get("/api/v1/large", "gzip").await;
    assert_eq!(large.headers()[CONTENT_ENCODING], "gzip");
    assert_eq!(large.headers()[VARY], "Authorization, Accept-Encoding");
    assert_eq!(large.headers()[ETAG], "\"1.a\"");
    let length: usize = large.headers()[CONTENT_LENGTH]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(large.bytes().await.unwrap().len(), length);
    assert!(length < 1000);
    for (path, coding) in [("/api/v1/large", "gzip;q=0"), ("/api/v1/things", "gzip")] {
        let plain = get(path, coding).await;
        assert!(!plain.headers().contains_key(CONTENT_ENCODING), "{path}");
    }
}

#[tokio::test]
async fn pages_of_listed_origins_may_read_and_ask_first() {
    let plan = Plan {
        origins: vec!["https://app.example".into()],
        ..Plan::default()
    };
    let house = House::open(plan).await;
    let asks = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization"),
    ];
    let preflight = house.send(Method::OPTIONS, "/api/v1/things", &asks).await;
    assert_eq!(preflight.status(), 204);
    let header = |name: &str| preflight.headers()[name].to_str().unwrap();
    assert_eq!(header("access-control-allow-origin"), "https://app.example");
    assert_eq!(
        header("access-control-allow-methods"),
        "GET, HEAD, POST, OPTIONS"
    );
    assert!(header("access-control-allow-headers").contains("Authorization"));
    assert_eq!(header("access-control-max-age"), "600");

    // A page of our own sends its origin too, and needs no permission.
    let own = house
        .send(
            Method::POST,
            "/api/v1/things",
            &[("origin", "http://127.0.0.1")],
        )
        .await;
    assert_eq!(own.status(), 200);
    assert!(!own.headers().contains_key("access-control-allow-origin"));
    // A cache must not keep what was said to nobody in particular for a page.
    assert_eq!(own.headers()[VARY], "Origin");
    assert_eq!(house.get("/healthz").await.headers()[VARY], "Origin");

    let refused = house.send(Method::GET, "/nowhere", &asks[..1]).await;
    assert_eq!(
        refused.headers()["access-control-allow-origin"],
        "https://app.example"
    );
}

#[tokio::test]
async fn trusted_proxies_tell_the_client() {
    let forwarded = [("x-forwarded-for", "203.0.113.5")];
    for (trusted, client) in [("127.0.0.0/8", "203.0.113.5"), ("10.0.0.0/8", "127.0.0.1")] {
        let plan = Plan {
            trusted: vec![trusted.parse().unwrap()],
            ..Plan::default()
        };
        let house = House::open(plan).await;
        let answer = house.send(Method::GET, "/client", &forwarded).await;
        assert_eq!(answer.text().await.unwrap(), client);
    }
}

fn on_socket(path: &Path) -> Plan {
    let mut plan = Plan::default();
    plan.server.path = Some(path.into());
    plan
}

#[tokio::test]
async fn a_unix_socket_comes_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("polls.sock");
    // What a killed server leaves behind.
    drop(UnixListener::bind(&path).unwrap());
    let house = House::open(on_socket(&path)).await;
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let second = Listener::bind(&on_socket(&path).server).await;
    assert_eq!(second.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);

    let request = "GET /client HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.5\r\nConnection: close\r\n\r\n";
    let mut stream = UnixStream::connect(&path).await.unwrap();
    assert!(raw(&mut stream, request).await.ends_with("203.0.113.5"));

    house.shutdown.cancel();
    timeout(LONG, house.served).await.unwrap().unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "precious").unwrap();
    let refused = Listener::bind(&on_socket(&path).server).await;
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}
