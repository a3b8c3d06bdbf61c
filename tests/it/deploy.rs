//! Several processes, run with the files in `config/deploy/`.

use std::fmt::Display;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::processes::wait_until;
use crate::support::app::{client, send};
use crate::support::crowd::{CHEAP_PASSWORDS, crowd};
use crate::support::database::{Database, POSTGRES, TURN, free_port};
use crate::support::nginx::{Nginx, shipped};
use crate::support::process::{Run, command};
use crate::support::stub::Stubs;
use crate::support::{PASSWORD, Question, Server, User, amount, polls, require};

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn socket(folder: &Path, name: impl Display) -> String {
    folder.join(format!("{name}.sock")).display().to_string()
}

/// One of the four processes.
fn start(folder: &Path, number: usize) -> Server {
    let socket = socket(folder, number);
    let own = ["--path", &socket, "--set", "limits.enabled=false"];
    Server::serve(folder, &[&own, CHEAP_PASSWORDS.as_slice()].concat())
}

/// Reads, votes and asks until `over`, without pause or with pauses in which connections are idle.
/// All requests must succeed. Returns the texts of the questions that were asked.
async fn be_busy(user: &User, question: &Question, over: &AtomicBool, pause: u64) -> Vec<String> {
    let mut asked = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let turn = asked.len();
        user.get(&question.path).await.expect(200);
        let first = turn == 0;
        let ballot = user.vote(question, &[turn % 2]).await;
        ballot.expect(if first { 201 } else { 200 });
        let text = format!("{turn} of {}", user.id);
        user.ask(&["a", "b"], json!({"question_text": text})).await;
        asked.push(text);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    asked
}

/// The texts of an author's questions, including duplicates.
async fn asked_by(user: &User) -> Vec<String> {
    let mut texts = Vec::new();
    let mut cursor = String::new();
    loop {
        let list = format!("/questions?limit=100&author={}{cursor}", user.id);
        let page = user.get(&list).await.expect(200).json;
        let questions = page["data"].as_array().expect("a list");
        let text = |question: &Value| question["question_text"].as_str().map(str::to_owned);
        texts.extend(questions.iter().filter_map(text));
        match page["meta"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return texts,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_fails_no_request_and_repeats_none() {
    let folder = folder();
    let mut servers: Vec<Server> = (1..=4).map(|number| start(folder.path(), number)).collect();
    let Some(nginx) = Nginx::start(folder.path(), &[]) else {
        return;
    };
    let users = crowd(folder.path(), &servers[0], 48);
    let users: Vec<User> = users.iter().map(|user| user.at(&nginx.address)).collect();
    let question = users[0].ask(&["a", "b"], json!({})).await;
    let over = AtomicBool::new(false);
    let rounds = amount(2, 10);
    let restarts = async {
        let place = folder.path().to_owned();
        let restart_all = move || {
            for _ in 0..rounds {
                for number in 1..=4 {
                    assert_eq!(servers.remove(0).terminate(), Some(0));
                    servers.push(start(&place, number));
                }
            }
            servers
        };
        let restarted = tokio::task::spawn_blocking(restart_all).await;
        over.store(true, Ordering::Relaxed);
        restarted.expect("no panic")
    };
    let busy = users.iter().enumerate().map(|(index, user)| {
        let pause = if index % 3 == 0 { 0 } else { index as u64 * 10 };
        be_busy(user, &question, &over, pause)
    });
    let (asked, _servers) = join(join_all(busy), restarts).await;

    // No request was sent to a process and not answered, not even one that nginx may send again: at
    // most nginx could not connect.
    let of_upstream = |error: &String| error.contains(", upstream: ");
    for error in nginx.errors().into_iter().filter(of_upstream) {
        assert!(error.contains("while connecting to upstream"), "{error}");
    }
    let requests: usize = asked.iter().map(|asked| 3 * asked.len()).sum();
    println!("{rounds} times all four were restarted, over {requests} requests");
    for (user, mut asked) in users.iter().zip(asked) {
        assert!(!asked.is_empty());
        let mut found = asked_by(user).await;
        // The question that all vote on is not part of the load.
        found.retain(|text| text != "Which one?");
        found.sort();
        asked.sort();
        assert_eq!(found, asked);
    }
    let results = users[0].get(&question.under("results")).await.expect(200);
    assert_eq!(results.json["ballot_count"], users.len());
    polls(folder.path(), &["recount", "--check"]).done();
}

/// nginx in front of stub servers, with timeouts of seconds instead of a minute.
async fn with_stubs(folder: &Path) -> Option<(Nginx, Stubs)> {
    let stubs = Stubs::start(folder);
    let impatient = [("proxy_read_timeout    60s;", "proxy_read_timeout 3s;")];
    let nginx = Nginx::start(folder, &impatient)?;
    Some((nginx, stubs))
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_repeats_nothing_that_may_be_at_work_and_ejects_nobody() {
    let folder = folder();
    let Some((nginx, mut stubs)) = with_stubs(folder.path()).await else {
        return;
    };
    let client = client();
    let send = async |method: &Method, path: &str| {
        let request = client.request(method.clone(), format!("{}{path}", nginx.address));
        send(request.json(&json!({}))).await
    };
    // One slow request for each process, and two more.
    let methods = [
        Method::PUT,
        Method::POST,
        Method::PATCH,
        Method::DELETE,
        Method::GET,
        Method::PUT,
    ];
    join_all(methods.iter().map(|method| send(method, "/slow")))
        .await
        .into_iter()
        .for_each(|answer| {
            let answer = answer.expect(503).problem("outcome_unknown");
            assert_eq!(answer.header("retry-after"), "1");
        });
    assert_eq!(stubs.count("PUT /slow"), 2);
    for method in ["POST", "PATCH", "DELETE", "GET"] {
        assert_eq!(stubs.count(&format!("{method} /slow")), 1, "{method}");
    }
    // All four keep getting requests.
    for _ in 0..16 {
        send(&Method::GET, "/fine").await.expect(200);
    }
    let seen = stubs.seen();
    let fine = seen.iter().filter(|seen| seen.call == "GET /fine");
    let mut used: Vec<usize> = fine.map(|seen| seen.by).collect();
    used.sort_unstable();
    used.dedup();
    assert_eq!(used, [1, 2, 3, 4]);

    // A process that dies during a request may have executed it.
    for method in [Method::POST, Method::PATCH] {
        let answer = send(&method, "/dies").await;
        answer.expect(503).problem("outcome_unknown");
        assert_eq!(stubs.count(&format!("{method} /dies")), 1);
    }

    // A process that is down has executed nothing: the next one gets the request.
    stubs.stop_one().await;
    for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH] {
        for _ in 0..8 {
            send(&method, "/without-one").await.expect(200);
        }
        assert_eq!(stubs.count(&format!("{method} /without-one")), 8);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn live_results_pass_through_nginx_at_once_and_for_long() {
    let folder = folder();
    let Some((nginx, stubs)) = with_stubs(folder.path()).await else {
        return;
    };
    let live = format!("{}/api/v1/questions/1/results/live", nginx.address);
    let client = client();
    let mut stream = client.get(live).send().await.expect("an answer");
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let event = stream.chunk().await.expect("an event");
    assert_eq!(event.expect("an event").as_ref(), b"one\n\n");

    // Like nothing else, it may be silent for longer than nginx waits for an answer.
    let slow = client.get(format!("{}/slow", nginx.address));
    send(slow).await.expect(503);
    stubs.release();
    let rest = stream.bytes().await.expect("the rest");
    assert_eq!(rest.as_ref(), b"two\n\n");

    let address = nginx.address.strip_prefix("http://").expect("an address");
    let mut socket = TcpStream::connect(address).await.expect("a connection");
    let request = "GET /api/v1/questions/1/results/ws HTTP/1.1\r\nHost: polls\r\n\
                   Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    socket.write_all(request.as_bytes()).await.expect("written");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.expect("a header"));
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    for message in [b"ping", b"pong"] {
        socket.write_all(message).await.expect("written");
        let mut echo = [0; 4];
        let read = timeout(Duration::from_secs(20), socket.read_exact(&mut echo)).await;
        read.expect("at once").expect("an echo");
        assert_eq!(&echo, message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_tells_the_server_who_asks_and_under_which_id() {
    let folder = folder();
    let Some((nginx, _stubs)) = with_stubs(folder.path()).await else {
        return;
    };
    let client = client();
    let ask = async |id: &str| {
        let request = client.get(format!("{}/any?q=1", nginx.address));
        let request = request.header("x-request-id", id);
        let request = request.header("x-forwarded-for", "203.0.113.5");
        let answer = send(request).await.expect(200);
        String::from_utf8(answer.bytes.to_vec()).expect("a header")
    };
    let head = ask("trace-1").await;
    let has = |line: &str| assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
    assert!(head.starts_with("GET /any?q=1 HTTP/1.1\r\n"), "{head}");
    has("X-Request-Id: trace-1");
    has("X-Forwarded-For: 203.0.113.5, 127.0.0.1");
    has("X-Forwarded-Proto: http");
    has(&format!("Host: {}", &nginx.address["http://".len()..]));
    // The connection stays open.
    assert!(!head.contains("\r\nConnection:"), "{head}");
    assert!(!ask("not \"one\"").await.contains("not \"one\""));

    let large = client.post(format!("{}/any", nginx.address));
    let answer = send(large.body(vec![b'x'; 321 * 1024])).await;
    answer.expect(413).problem("payload_too_large");
    let largest = client.post(format!("{}/any", nginx.address));
    send(largest.body(vec![b'x'; 320 * 1024])).await.expect(200);
}

/// A process that logs to a file.
struct Logged {
    child: Child,
    log: PathBuf,
}

impl Logged {
    fn start(folder: &Path, arguments: &[&str]) -> Logged {
        let log = folder.join("polls.log");
        let child = command(folder)
            .arg("serve")
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).expect("its log"))
            .spawn();
        let child = child.expect("the program starts");
        Logged { child, log }
    }

    /// The client addresses in the access log of requests to this path.
    fn clients(&self, path: &str) -> Vec<Value> {
        let log = fs::read_to_string(&self.log).expect("its log");
        let lines = log
            .lines()
            .map(|line| serde_json::from_str(line).expect(line));
        let lines = lines.filter(|line: &Value| line["path"] == path);
        lines.map(|line| line["client"].clone()).collect()
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_is_what_nginx_says_and_not_what_the_client_says() {
    let folder = folder();
    let Some(nginx) = Nginx::start(folder.path(), &[]) else {
        return;
    };
    // nginx must find the one of the four that is running.
    let path = socket(folder.path(), 3);
    let limit = "limits.registrations_per_address=2";
    let metrics = format!("server.metrics={}", socket(folder.path(), "3-metrics"));
    let mut arguments = vec!["--path", &path];
    for setting in ["log.format=json", limit, &metrics] {
        arguments.extend(["--set", setting]);
    }
    let server = Logged::start(folder.path(), &arguments);
    polls(folder.path(), &["ready", "--path", &path, "--wait", "30s"]).done();

    let client = client();
    let register = async |number: usize| {
        let email = format!("{number}@example.org");
        let account = json!({"name": "Ada", "email": email, "password": PASSWORD});
        let request = client.post(format!("{}/api/v1/users", nginx.address));
        let forged = format!("203.0.113.{number}");
        send(request.header("x-forwarded-for", forged).json(&account)).await
    };
    register(1).await.expect(201);
    register(2).await.expect(201);
    register(3).await.expect(429).problem("rate_limited");
    assert_eq!(server.clients("/api/v1/users"), ["127.0.0.1"; 3]);

    // Metrics are for operators only, and those of the requested process.
    let figures = |client: &Client, address: &str, path: &str| {
        let request = client.get(format!("{address}{path}"));
        async { send(request).await }
    };
    figures(&client, &nginx.address, "/metrics")
        .await
        .expect(404);
    let metrics = Client::builder().unix_socket(folder.path().join("metrics.sock"));
    let metrics = metrics.build().expect("a client");
    let answer = figures(&metrics, "http://polls", "/metrics/3").await;
    let text = String::from_utf8_lossy(&answer.expect(200).bytes).into_owned();
    assert!(text.contains("http_requests"), "{text}");
    // Prometheus requests those of all four, of which one is running.
    let prometheus = shipped("prometheus.yml", &[]);
    let paths = prometheus.split("__metrics_path__: ").skip(1);
    let paths: Vec<&str> = paths.filter_map(|rest| rest.split(',').next()).collect();
    assert_eq!(paths.len(), 4);
    for path in paths {
        let status = if path == "/metrics/3" { 200 } else { 502 };
        figures(&metrics, "http://polls", path).await.expect(status);
    }
}

/// A supervisord that is stopped with the test.
struct Supervisor {
    child: Child,
    program: PathBuf,
    folder: PathBuf,
}

impl Supervisor {
    fn start(folder: &Path) -> Option<Supervisor> {
        let program = require::program("supervisord");
        let program = require::installed("supervisor", "supervisor", program)?;
        let place = folder.display().to_string();
        let sockets = format!("{place}/");
        let environment = format!("{place}/environment");
        let replacements = [
            ("/run/polls/", sockets.as_str()),
            ("/run/polls-", &sockets),
            ("/var/log/polls", &place),
            ("/var/lib/polls", &place),
            ("/usr/local/bin/polls", env!("CARGO_BIN_EXE_polls")),
            ("/etc/polls/environment", &environment),
            // Tests have no user of that name.
            ("user=polls\n", ""),
        ];
        // Nothing in it has a meaning for the shell.
        let line = "POLLS__SERVER__PUBLIC_URL='http://from-the-file.example'\n# $( a comment\n";
        fs::write(&environment, line).expect("a file");
        let configuration = shipped("supervisord.conf", &replacements);
        fs::write(folder.join("supervisord.conf"), configuration).expect("a file");
        let child = Supervisor::command(&program, folder)
            .arg("--nodaemon")
            .stdout(Stdio::null())
            .spawn();
        Some(Supervisor {
            child: child.expect("supervisord starts"),
            program,
            folder: folder.to_owned(),
        })
    }

    /// With the database of the tests, and nothing else of the environment but PATH.
    fn command(program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        let configuration = folder.join("supervisord.conf");
        command.arg("-c").arg(configuration).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(own_environment(folder));
        command
    }

    fn control(&self, arguments: &[&str]) -> Run {
        let program = self.program.with_file_name("supervisorctl");
        let mut command = Supervisor::command(&program, &self.folder);
        Run::of(command.args(arguments), "")
    }

    fn process_id(&self, number: usize) -> String {
        let run = self.control(&["pid", &format!("polls:{number}")]);
        run.stdout.trim().to_owned()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("supervisord.log")).unwrap_or_default()
    }

    fn stop(&mut self) -> Option<i32> {
        if let Ok(Some(ended)) = self.child.try_wait() {
            return ended.code();
        }
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        self.child.wait().ok()?.code()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The environment that [`command`] sets.
fn own_environment(folder: &Path) -> Vec<(String, String)> {
    let command = command(folder);
    let text = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
    let variables = command.get_envs();
    let variables = variables.filter_map(|(name, value)| Some((text(name), text(value?))));
    variables.collect()
}

#[test]
fn supervisor_keeps_four_processes_running() {
    let folder = folder();
    let Some(mut supervisor) = Supervisor::start(folder.path()) else {
        return;
    };
    let ready = |number: usize| {
        let socket = socket(folder.path(), number);
        polls(
            folder.path(),
            &["ready", "--path", &socket, "--wait", "60s"],
        )
        .done();
    };
    (1..=4).for_each(ready);
    // With the contents of the file for secrets.
    let id = supervisor.process_id(1);
    let environment = fs::read(format!("/proc/{id}/environ")).expect("its environment");
    let environment = String::from_utf8_lossy(&environment);
    let from_file = "POLLS__SERVER__PUBLIC_URL=http://from-the-file.example";
    assert!(
        environment
            .split('\0')
            .any(|variable| variable == from_file)
    );

    // Killed, it is started again.
    let killed = supervisor.process_id(1);
    let status = Command::new("kill").args(["-KILL", &killed]).status();
    assert!(status.expect("kill is there").success());
    wait_until("another process", || {
        let id = supervisor.process_id(1);
        id != killed && id != "0"
    });
    ready(1);

    // As operators restart one after the other.
    let before = supervisor.process_id(2);
    supervisor.control(&["restart", "polls:2"]).done();
    ready(2);
    assert_ne!(supervisor.process_id(2), before);

    assert_eq!(supervisor.stop(), Some(0));
    let log = supervisor.log();
    for number in 1..=4 {
        let stopped = format!("stopped: {number} (exit status 0)");
        assert!(log.contains(&stopped), "{log}");
        assert!(!Path::new(&socket(folder.path(), number)).exists());
    }
    assert!(log.contains("exited: 1 (terminated by SIGKILL"), "{log}");
}

#[test]
fn systemd_finds_no_fault() {
    let program = require::program("systemd-analyze");
    let Some(program) = require::installed("systemd", "systemd", program) else {
        return;
    };
    let folder = folder();
    let binary = ("/usr/local/bin/polls", env!("CARGO_BIN_EXE_polls"));
    let unit = shipped("polls@.service", &[binary]);
    let target = shipped("polls.target", &[]);
    let instances = (1..=4).map(|number| format!("polls@{number}.service"));
    for (name, text) in instances.map(|name| (name, &unit)).chain([
        ("polls@.service".into(), &unit),
        ("polls.target".into(), &target),
    ]) {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    let run = Run::of(
        Command::new(program)
            .args(["verify", "./polls.target", "./polls@1.service"])
            .current_dir(folder.path()),
        "",
    );
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
}

/// A server as systemd starts it, and its messages to systemd.
struct Notifying {
    child: Child,
    systemd: UnixDatagram,
}

impl Notifying {
    /// Starts it with a `WatchdogSec=` of so many microseconds.
    fn start(folder: &Path, watchdog: &str, arguments: &[&str], log: Stdio) -> Notifying {
        let path = folder.join("notify.sock");
        let systemd = UnixDatagram::bind(&path).expect("a socket");
        let patience = Some(Duration::from_secs(60));
        systemd.set_read_timeout(patience).expect("a timeout");
        let child = command(folder)
            .arg("serve")
            .args(arguments)
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", watchdog)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let child = child.expect("the program starts");
        Notifying { child, systemd }
    }

    fn next(&self) -> String {
        let mut message = [0; 100];
        let length = self.systemd.recv(&mut message).expect("a message");
        String::from_utf8_lossy(&message[..length]).into_owned()
    }

    /// Waits for messages in any order, skipping those of the watchdog.
    fn expect(&self, message: &str) {
        let mut seen = (0..1000).map(|_| self.next());
        assert!(seen.any(|next| next == message), "no {message}");
    }
}

impl Drop for Notifying {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn systemd_is_told_that_the_server_is_ready_and_then_that_it_lives() {
    let folder = folder();
    let server = Notifying::start(folder.path(), "1000000", &["--port", "0"], Stdio::null());
    server.expect("READY=1\n");
    for _ in 0..5 {
        server.expect("WATCHDOG=1\n");
    }
}

#[test]
fn a_server_that_hangs_ends_itself() {
    let folder = folder();
    // The log is not read: once the pipe is full, every thread that logs blocks.
    let port = free_port();
    let at = port.to_string();
    let arguments = ["--port", &at, "--set", "log.filter=info"];
    let mut server = Notifying::start(folder.path(), "1000000", &arguments, Stdio::piped());
    let log = server.child.stderr.take().expect("its log");
    let mut connections = Vec::new();
    let mut ended = None;
    // Enough requests to fill the pipe, and about a minute for the watchdog to notice.
    for _ in 0..1_200 {
        ended = server.child.try_wait().expect("its status");
        if ended.is_some() {
            break;
        }
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let patience = Duration::from_millis(50);
        // A server that hangs accepts no connections.
        if let Ok(mut connection) = std::net::TcpStream::connect_timeout(&address, patience) {
            let requests = "GET /healthz HTTP/1.1\r\nHost: polls\r\n\r\n".repeat(40);
            let _ = connection.write_all(requests.as_bytes());
            connections.push(connection);
        }
        std::thread::sleep(patience);
    }
    let ended = ended.expect("it does not hang for ever");
    assert_eq!(ended.code(), Some(1));
    drop(log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_ends_no_server() {
    let Some(program) = POSTGRES.installed() else {
        return;
    };
    let _turn = TURN.lock().await;
    let mut database = Database::start(&POSTGRES, &program);
    database.run("CREATE DATABASE polls");
    let folder = folder();
    let url = format!("database.url={}", database.url("polls"));
    let arguments = ["--port", "0", "--set", &url];
    let mut server = Notifying::start(folder.path(), "500000", &arguments, Stdio::null());
    server.expect("READY=1\n");
    database.stall();
    // Three times the timeout of the watchdog.
    for _ in 0..30 {
        server.expect("WATCHDOG=1\n");
    }
    assert!(server.child.try_wait().expect("its status").is_none());
    database.go_on();
    database.kill();
    for _ in 0..30 {
        server.expect("WATCHDOG=1\n");
    }
    assert!(server.child.try_wait().expect("its status").is_none());
}

#[test]
fn a_server_that_others_reach_says_what_is_not_set() {
    let warned = |arguments: &[&str]| {
        let folder = folder();
        let server = Server::serve(folder.path(), &[&["--port", "0"], arguments].concat());
        let log = server.log();
        let warning = "neither server.public_url nor server.trusted_proxies is set";
        log.matches(warning).count()
    };
    let everywhere = ["--host", "0.0.0.0", "--set"];
    let with = |setting| [&everywhere[..], &[setting]].concat();
    assert_eq!(warned(&everywhere[..2]), 1);
    assert_eq!(
        warned(&with("server.public_url=https://polls.example.org")),
        0
    );
    assert_eq!(warned(&with("server.trusted_proxies=10.0.0.0/8")), 0);
    assert_eq!(warned(&[]), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_listens_on_ipv6_too() {
    let folder = folder();
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        println!("skipped: this machine has no IPv6");
        return;
    }
    let Some((nginx, _stubs)) = with_stubs(folder.path()).await else {
        return;
    };
    let port = nginx.address.rsplit(':').next().expect("a port");
    let request = client().get(format!("http://[::1]:{port}/any"));
    send(request).await.expect(200);
}

#[test]
fn readiness_can_be_asked_for() {
    let folder = folder();
    let server = start(folder.path(), 1);
    let ready = |path: &str| polls(folder.path(), &["ready", "--path", path]);
    ready(&socket(folder.path(), 1)).done();
    let refusal = ready(&socket(folder.path(), 2)).fails(1);
    assert!(refusal.contains("no answer from the server"), "{refusal}");
    drop(server);

    let delay = ["--set", "http.shutdown_delay=10m"];
    let server = Server::start(folder.path(), &delay);
    let port = server
        .address
        .rsplit(':')
        .next()
        .expect("a port")
        .to_owned();
    polls(folder.path(), &["ready", "--port", &port]).done();
    server.ask_to_stop();
    wait_until("it is not ready any more", || {
        polls(folder.path(), &["ready", "--port", &port]).code == Some(1)
    });
    let refusal = polls(folder.path(), &["ready", "--port", &port]).fails(1);
    assert!(refusal.contains("shutting_down"), "{refusal}");
}
