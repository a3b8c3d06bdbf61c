//! Clients that try to deny the service to others, each from its own address.
//!
//! The tests check that the server keeps serving everybody else meanwhile. They print its speed and
//! its memory: `cargo test hostile:: -- --nocapture --test-threads 1`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http_body_util::combinators::BoxBody;
use http_body_util::{Empty, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use reqwest::{Client, Method};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::app::{client, send, try_send};
use crate::support::crowd::{CHEAP_PASSWORDS, crowd};
use crate::support::process::polls_reading;
use crate::support::{PASSWORD, Question, Server, User, amount};

const PATIENCE: Duration = Duration::from_secs(30);

const MIB: f64 = 1024.0 * 1024.0;

/// A server with one ordinary user, at the address 127.0.0.1.
struct House {
    server: Server,
    user: User,
    question: Question,
    /// Deleted with the test.
    _folder: TempDir,
}

impl House {
    async fn with(settings: &[&str]) -> House {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut arguments = CHEAP_PASSWORDS.to_vec();
        for setting in settings {
            arguments.extend(["--set", setting]);
        }
        let server = Server::start(folder.path(), &arguments);
        let user = crowd(folder.path(), &server, 1).remove(0);
        let question = user.ask(&["a", "b"], json!({})).await;
        House {
            server,
            user,
            question,
            _folder: folder,
        }
    }

    fn address(&self) -> SocketAddr {
        let address = self.server.address.strip_prefix("http://");
        address.expect("a TCP address").parse().expect("an address")
    }

    /// A connection of an attacker, from the address 127.0.0.2.
    async fn connect(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        let from = SocketAddr::from(([127, 0, 0, 2], 0));
        socket.bind(from).expect("an address of the loopback");
        socket.connect(self.address()).await.expect("a connection")
    }

    async fn connect_http2(&self) -> SendRequest<BoxBody<Bytes, Infallible>> {
        let stream = TokioIo::new(self.connect().await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream)
            .await
            .expect("HTTP/2");
        tokio::spawn(connection);
        sender
    }

    /// The server's current memory, in bytes.
    fn memory(&self) -> f64 {
        let status = format!("/proc/{}/status", self.server.id());
        let status = std::fs::read_to_string(status).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.expect("its memory").parse::<f64>().expect("a number") * 1024.0
    }

    /// Asks 100 questions of the largest size.
    async fn ask_much(&self) {
        let text = "字".repeat(197);
        let choices: Vec<_> = (0..100)
            .map(|number| format!("{number:03}{text}"))
            .collect();
        let choices: Vec<&str> = choices.iter().map(String::as_str).collect();
        let description = json!({"description": "字".repeat(2000)});
        for _ in 0..100 {
            self.user.ask(&choices, description.clone()).await;
        }
    }

    /// Another client that keeps reading a question until it is told to stop. All requests must
    /// succeed.
    fn bystander(&self) -> Bystander {
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let client = client();
        let url = format!("{}/api/v1{}", self.server.address, self.question.path);
        let reading = tokio::spawn(async move {
            let mut times = Vec::new();
            loop {
                let begun = Instant::now();
                let answer = client.get(&url).send().await.expect("an answer");
                assert_eq!(answer.status(), 200);
                answer.bytes().await.expect("all of it");
                times.push(begun.elapsed());
                tokio::select! {
                    _ = &mut stopped => return times,
                    () = tokio::time::sleep(Duration::from_millis(5)) => {}
                }
            }
        });
        Bystander { stop, reading }
    }

    /// How long a read takes while nothing else happens.
    async fn calm(&self) -> Latency {
        let bystander = self.bystander();
        tokio::time::sleep(Duration::from_secs(1)).await;
        bystander.latency().await
    }
}

struct Bystander {
    stop: tokio::sync::oneshot::Sender<()>,
    reading: JoinHandle<Vec<Duration>>,
}

impl Bystander {
    async fn latency(self) -> Latency {
        let _ = self.stop.send(());
        let mut times = self.reading.await.expect("every read succeeds");
        times.sort_unstable();
        Latency {
            reads: times.len(),
            median: times[times.len() / 2],
            p99: times[times.len() * 99 / 100],
        }
    }
}

/// The latencies of reads of one question.
#[derive(Debug)]
#[expect(dead_code, reason = "printed")]
struct Latency {
    reads: usize,
    median: Duration,
    p99: Duration,
}

/// An ordinary client at the address of the attackers.
fn neighbour() -> Client {
    Client::builder()
        .no_proxy()
        .local_address(std::net::IpAddr::from([127, 0, 0, 2]))
        .build()
        .expect("a client")
}

fn get(path: &str) -> http::Request<BoxBody<Bytes, Infallible>> {
    let request = http::Request::get(format!("http://polls{path}"));
    let empty = BoxBody::new(Empty::new());
    request.body(empty).expect("a request")
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_that_are_never_read() {
    let house = House::with(&[]).await;
    let (calm, before) = (house.calm().await, house.memory());
    let bystander = house.bystander();
    let path = format!("/api/v1{}/results/ws", house.question.path);
    let flood = async || {
        let mut stream = house.connect().await;
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("a head");
        // Many pings of 125 bytes with a mask of zero.
        let ping = [&[0x89, 0xfd, 0, 0, 0, 0][..], &[b'x'; 125]].concat();
        let pings = ping.repeat(500);
        let mut sent = 0;
        for _ in 0..2_000 {
            match timeout(Duration::from_secs(5), stream.write_all(&pings)).await {
                Ok(Ok(())) => sent += 500,
                // The server has closed the connection, or stopped reading.
                Ok(Err(_)) | Err(_) => break,
            }
        }
        sent
    };
    let sent: Vec<i32> = join_all([flood(), flood()]).await;
    let (grown, latency) = (house.memory() - before, bystander.latency().await);
    println!(
        "pings: {sent:?} sent; {:.0} MiB more; reads before {calm:?}, meanwhile {latency:?}",
        grown / MIB
    );
    assert!(grown < 32.0 * MIB);
    // The server closes the connection.
    assert!(sent.iter().all(|sent| *sent < 1_000_000), "{sent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_never_read() {
    // HTTP/1 connections are closed sooner than by default, to shorten the test.
    let house = House::with(&["http.send_timeout=2s"]).await;
    house.ask_much().await;
    let (calm, before) = (house.calm().await, house.memory());
    let bystander = house.bystander();
    let mut answers = Vec::new();
    let mut refused = 0;
    let mut most: f64 = 0.0;
    for connection in 0..3 {
        let mut sender = house.connect_http2().await;
        for number in 0..64 {
            sender.ready().await.expect("an open connection");
            // A different list for each.
            let limit = 37 + number;
            let sort = ["created_at", "-created_at", "closes_at"][connection];
            let path = format!("/api/v1/questions?limit={limit}&sort={sort}");
            let answer = timeout(PATIENCE, sender.send_request(get(&path))).await;
            let answer: hyper::Response<Incoming> = match answer.expect("a head") {
                Ok(answer) => answer,
                // The client reads nothing, so the connection was closed.
                Err(_) => break,
            };
            match answer.status().as_u16() {
                200 => answers.push(answer),
                503 => refused += 1,
                other => panic!("{other}"),
            }
            most = most.max(house.memory());
        }
    }
    let mut unread = Vec::new();
    for _ in 0..100 {
        let mut stream = house.connect().await;
        let list = "GET /api/v1/questions?limit=100 HTTP/1.1\r\nHost: a\r\n\r\n";
        stream.write_all(list.as_bytes()).await.expect("a request");
        unread.push(stream);
    }
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        most = most.max(house.memory());
    }
    let latency = bystander.latency().await;
    println!(
        "unread answers: {} of HTTP/2, {refused} refused; {:.0} MiB more; reads before {calm:?}, \
         meanwhile {latency:?}",
        answers.len(),
        (most - before) / MIB
    );
    assert!(most - before < 160.0 * MIB);
    assert!(refused > 0);
    // Other clients are not refused.
    let list = house.user.get("/questions?limit=100").await.expect(200);
    // The page is shorter, with a cursor to the next.
    let bytes = list.bytes.len() as f64;
    assert!(bytes < 1.3 * MIB, "{bytes}");
    assert!(list.json["meta"]["next_cursor"].is_string());
    // Only the connections that read nothing remain.
    for mut stream in unread {
        let gone = async {
            while stream.write_all(b"\r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, gone).await.expect("it is closed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_never_end() {
    let house = House::with(&[]).await;
    let (calm, before) = (house.calm().await, house.memory());
    let bystander = house.bystander();
    let mut connections = Vec::new();
    for _ in 0..320 {
        connections.push(house.connect_http2().await);
    }
    let mut asked = Vec::new();
    for sender in &mut connections {
        for _ in 0..64 {
            let begun = Bytes::from_static(b"{");
            let begun = futures_util::stream::iter([Ok(Frame::data(begun))]);
            let endless = futures_util::StreamExt::chain(begun, futures_util::stream::pending());
            let request = http::Request::post("http://polls/api/v1/users")
                .header("content-type", "application/json")
                .body(BoxBody::new(StreamBody::new(endless)))
                .expect("a request");
            if sender.ready().await.is_ok() {
                asked.push(tokio::spawn(sender.send_request(request)));
            }
        }
    }
    let mut refused = 0;
    for answer in &mut asked {
        if let Ok(Ok(Ok(answer))) = timeout(Duration::from_millis(1), answer).await {
            refused += usize::from(answer.status() == 503);
        }
    }
    let grown = house.memory() - before;
    // All other clients can make all calls.
    let account = json!({"name": "Ada", "email": "ada@example.org", "password": PASSWORD});
    let url = format!("{}/api/v1", house.server.address);
    let register = client().post(format!("{url}/users")).json(&account);
    let begun = Instant::now();
    send(register).await.expect(201);
    let form = [
        ("grant_type", "password"),
        ("username", "ada@example.org"),
        ("password", PASSWORD),
    ];
    let sign_in = client().post(format!("{url}/auth/token")).form(&form);
    send(sign_in).await.expect(200);
    house.user.ask(&["a", "b"], json!({})).await;
    house.user.vote(&house.question, &[0]).await.expect(201);
    let took = begun.elapsed();
    // Even at the same address: only bodies that arrive slowly are refused there.
    let account = json!({"name": "Bob", "email": "bob@example.org", "password": PASSWORD});
    let neighbour = neighbour().post(format!("{url}/users")).json(&account);
    send(neighbour).await.expect(201);
    let latency = bystander.latency().await;
    println!(
        "half-sent bodies: {} requests, {refused} refused; {:.0} MiB more; registering, signing \
         in, asking and voting took {took:?}; reads before {calm:?}, meanwhile {latency:?}",
        asked.len(),
        grown / MIB
    );
    assert!(refused > 0);
    for answer in asked {
        answer.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_lists_by_eight_clients() {
    let house = House::with(&[]).await;
    house.ask_much().await;
    let calm = house.calm().await;
    let bystander = house.bystander();
    let client = neighbour();
    let rounds = amount(10, 100);
    let greedy = async |number: usize| {
        for _ in 0..rounds {
            // Each requests a different list.
            let limit = 100 - number;
            let list = format!("{}/api/v1/questions?limit={limit}", house.server.address);
            let request = client.get(list).header("accept-encoding", "br");
            let answer = request.send().await.expect("an answer");
            assert_eq!(answer.status(), 200);
            answer.bytes().await.expect("all of it");
        }
    };
    join_all((0..8).map(greedy)).await;
    let latency = bystander.latency().await;
    println!("large lists: reads before {calm:?}, meanwhile {latency:?}");
    assert!(latency.reads > 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_nobody_waits_for() {
    let house = House::with(&[]).await;
    let calm = house.calm().await;
    let bystander = house.bystander();
    let mut sender = house.connect_http2().await;
    let mut given_up = 0;
    for number in 0..amount(2_000, 20_000) {
        let path = format!("/api/v1/questions?q=word{number}");
        if sender.ready().await.is_err() {
            sender = house.connect_http2().await;
            continue;
        }
        // The stream is reset at once, but its query still waits for the database.
        drop(sender.send_request(get(&path)));
        given_up += 1;
        tokio::task::yield_now().await;
    }
    let list = house.user.get("/questions?q=which").await.expect(200);
    assert_eq!(list.json["data"].as_array().map(Vec::len), Some(1));
    let latency = bystander.latency().await;
    println!("{given_up} lists given up: reads before {calm:?}, meanwhile {latency:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_connections_to_one_address() {
    let settings = [
        "http.max_connections=300",
        "http.max_connections_per_address=200",
    ];
    let house = House::with(&settings).await;
    let calm = house.calm().await;
    let mut open = Vec::new();
    for _ in 0..400 {
        open.push(house.connect().await);
    }
    // A new client can still connect.
    let bystander = house.bystander();
    let question = client().get(format!(
        "{}/api/v1{}",
        house.server.address, house.question.path
    ));
    send(question).await.expect(200);
    let mut closed = 0;
    for stream in &mut open {
        let mut byte = [0];
        let end = timeout(Duration::from_millis(1), stream.read(&mut byte)).await;
        closed += usize::from(matches!(end, Ok(Ok(0) | Err(_))));
    }
    let latency = bystander.latency().await;
    println!("idle connections: reads before {calm:?}, meanwhile {latency:?}");
    assert_eq!(closed, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_without_end() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::serve(folder.path(), &["--port", "0"]);
    let sign_in = |client: &Client, email: &str| {
        let form = [
            ("grant_type", "password"),
            ("username", email),
            ("password", PASSWORD),
        ];
        let url = format!("{}/api/v1/auth/token", server.address);
        client.request(Method::POST, url).form(&form)
    };
    for name in ["greedy", "modest"] {
        let email = format!("{name}@example.org");
        let arguments = ["user", "create", "--name", name, "--email", &email];
        polls_reading(folder.path(), &arguments, PASSWORD).done();
    }
    let own = client();
    let begun = Instant::now();
    send(sign_in(&own, "modest@example.org")).await.expect(200);
    let calm = begun.elapsed();
    let greedy = neighbour();
    let attempts: Vec<_> = (0..700)
        .map(|_| tokio::spawn(try_send(sign_in(&greedy, "greedy@example.org"))))
        .collect();
    // Including these.
    let mut taken = Vec::new();
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let begun = Instant::now();
        send(sign_in(&own, "modest@example.org")).await.expect(200);
        taken.push(begun.elapsed());
    }
    let mut limited = 0;
    for attempt in attempts {
        if let Ok(Ok(answer)) = attempt.await {
            limited += usize::from(answer.status == 429);
        }
    }
    println!(
        "sign-ins: {limited} of 700 limited; another's took {calm:?} before, {taken:?} meanwhile"
    );
    assert!(limited > 500);
}
