//! Starting and stopping processes, and several processes of one database.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::join;
use polls::db::statement;
use reqwest::Client;
use sea_orm::{ConnectionTrait as _, QueryResult};
use serde_json::json;
use tokio::sync::Notify;

use crate::support::app::{PASSWORD, client, send, try_send};
use crate::support::crowd::{CHEAP_PASSWORDS, Pair, all_at_once, crowd};
use crate::support::{Server, TestApp, User, amount, engine, eventually, polls};

const KEY: &str = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA==";
const OTHER_KEY: &str = "b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldC1vdGhlci1zZQ==";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Registers an account and signs it in.
async fn sign_up(client: &Client, address: &str, email: &str) -> User {
    let account = json!({"name": "Ada", "email": email, "password": PASSWORD});
    let users = client.post(format!("{address}/api/v1/users"));
    let id = send(users.json(&account)).await.expect(201).text("id");
    let form = [
        ("grant_type", "password"),
        ("username", email),
        ("password", PASSWORD),
    ];
    let token = client.post(format!("{address}/api/v1/auth/token"));
    let token = send(token.form(&form))
        .await
        .expect(200)
        .text("access_token");
    User::of_token(&id, &token, client.clone(), address)
}

#[tokio::test(flavor = "multi_thread")]
async fn four_servers_start_at_once_on_an_empty_database() {
    let client = client();
    for _ in 0..amount(2, 20) {
        let folder = folder();
        let servers = thread::scope(|scope| {
            let starting: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| Server::start(folder.path(), &CHEAP_PASSWORDS)))
                .collect();
            let started = starting
                .into_iter()
                .map(|server| server.join().expect("it starts"));
            started.collect::<Vec<_>>()
        });
        for server in &servers {
            send(client.get(format!("{}/readyz", server.address)))
                .await
                .expect(200);
        }
        // They share a signing key: a token from one is valid at all of them.
        let user = sign_up(&client, &servers[0].address, "ada@example.org").await;
        for server in &servers {
            let me = user.at(&server.address).get("/users/me").await.expect(200);
            assert_eq!(me.text("id"), user.id);
        }
        let status = polls(folder.path(), &["migrate", "status"]).done();
        assert!(status.lines().count() > 3, "{status}");
        assert!(
            status.lines().all(|line| line.starts_with("applied ")),
            "{status}"
        );
        for server in servers {
            assert_eq!(server.terminate(), Some(0));
        }
    }
}

#[test]
fn a_key_that_is_not_the_databases_is_refused() {
    let folder = folder();
    let with = |key: &str| format!("auth.key={key}");
    drop(Server::start(folder.path(), &["--set", &with(KEY)]));
    // It starts without a configured key, and with the same one.
    drop(Server::start(folder.path(), &[]));
    drop(Server::start(folder.path(), &["--set", &with(KEY)]));
    let refusal = polls(
        folder.path(),
        &["serve", "--port", "0", "--set", &with(OTHER_KEY)],
    )
    .fails(1);
    assert!(
        refusal.contains("auth.key is not the key of this database"),
        "{refusal}"
    );
    assert!(refusal.contains("polls keys rotate"), "{refusal}");
    assert!(!refusal.contains(OTHER_KEY), "{refusal}");
    let other = ["serve", "--port", "0", "--set", "auth.algorithm=EdDSA"];
    let refusal = polls(folder.path(), &other).fails(1);
    assert!(refusal.contains("auth.algorithm is EdDSA"), "{refusal}");
}

#[tokio::test]
async fn migrations_go_up_and_down_and_up_again() {
    let folder = folder();
    let run = |arguments: &[&str]| polls(folder.path(), arguments).done();
    let count = |text: &str, word: &str| text.lines().filter(|line| line.starts_with(word)).count();

    let before = run(&["migrate", "status"]);
    let steps = before.lines().count();
    assert_eq!(count(&before, "pending "), steps);
    let up = run(&["migrate", "up"]);
    assert_eq!(count(&up, "applied "), steps);
    assert_eq!(run(&["migrate", "up"]), up);
    // Migrations that were interrupted before they were recorded are run again.
    let db = engine::connect(&engine::database_url(folder.path())).await;
    let forget = "DELETE FROM seaql_migrations WHERE version >= 'm0009'";
    let forgotten = db.read().execute_unprepared(forget).await;
    let forgotten = forgotten.expect("they are forgotten").rows_affected();
    assert_eq!(forgotten, steps as u64 - 8);
    db.close().await;
    drop(db);
    // Its last session ends together with its task.
    tokio::task::yield_now().await;
    assert_eq!(run(&["migrate", "up"]), up);
    run(&["seed"]);

    let down = run(&["migrate", "down", "--yes"]);
    assert_eq!(
        (count(&down, "applied "), count(&down, "pending ")),
        (steps - 1, 1)
    );
    run(&["migrate", "up"]);
    let server = Server::start(folder.path(), &[]);
    let search = format!("{}/api/v1/questions?q=good", server.address);
    let found = send(client().get(search)).await.expect(200);
    assert_eq!(
        found.json["data"][0]["question_text"],
        "What makes a good poll?"
    );
    drop(server);

    let all = steps.to_string();
    assert_eq!(
        count(
            &run(&["migrate", "down", "--yes", "--steps", &all]),
            "pending "
        ),
        steps
    );
    assert_eq!(tables(folder.path()).await, Vec::<String>::new());
    // A server that must not migrate says what to do.
    let by_hand = ["serve", "--port", "0", "--set", "database.migrate=false"];
    let refusal = polls(folder.path(), &by_hand).fails(1);
    assert!(refusal.contains("polls migrate up"), "{refusal}");

    assert_eq!(run(&["migrate", "up"]), up);
    assert!(tables(folder.path()).await.len() > 6);
    run(&["seed"]);
    run(&["recount", "--check"]);
    drop(Server::start(
        folder.path(),
        &["--set", "database.migrate=false"],
    ));
}

/// The tables that the migrations have created.
async fn tables(folder: &Path) -> Vec<String> {
    let db = engine::connect(&engine::database_url(folder)).await;
    let sql = if engine::is_sqlite() {
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    } else {
        "SELECT table_name FROM information_schema.tables \
         WHERE table_schema IN ('public', DATABASE_NAME)"
    };
    let name = engine::name(folder);
    let sql = sql.replace("DATABASE_NAME", &format!("'{name}'"));
    let rows = db.read().query_all_raw(statement(db.read(), &sql, []));
    let rows = rows.await.expect("its tables");
    let name = |row: QueryResult| row.try_get_by_index(0).expect("a name");
    let names = rows.into_iter().map(name).collect::<Vec<String>>();
    db.close().await;
    names
        .into_iter()
        // The tables that record and lock the migrations.
        .filter(|name| name != "seaql_migrations" && name != "migration_lease")
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_under_load_loses_nothing() {
    for _ in 0..amount(2, 10) {
        let Pair { one, other, folder } = Pair::start();
        let voters = &crowd(folder.path(), &one, amount(300, 2_000));
        // More than fit into one commit.
        let mut questions = Vec::new();
        for _ in 0..10 {
            questions.push(voters[0].ask(&["a", "b"], json!({})).await);
        }
        let (questions, all) = (&questions, voters.len() * questions.len());
        let acknowledged = Mutex::new(Vec::new());
        let stopping_time = Notify::new();
        let storm = all_at_once(voters, |voter| {
            let (acknowledged, stopping_time) = (&acknowledged, &stopping_time);
            async move {
                for question in questions {
                    let Ok(answer) = try_send(voter.ballot(question, &[1])).await else {
                        return;
                    };
                    if answer.status != 201 {
                        answer.problem("shutting_down").expect(503);
                        return;
                    }
                    let mut acknowledged = acknowledged.lock().expect("no panic");
                    acknowledged.push((voter, question));
                    if acknowledged.len() == all / 10 {
                        stopping_time.notify_one();
                    }
                }
            }
        });
        let stopping = async {
            stopping_time.notified().await;
            tokio::task::spawn_blocking(move || one.terminate())
                .await
                .expect("no panic")
        };
        let (_, code) = join(storm, stopping).await;
        assert_eq!(code, Some(0));

        let acknowledged = acknowledged.into_inner().expect("no panic");
        println!(
            "{} of {all} acknowledged before the end",
            acknowledged.len()
        );
        assert!(acknowledged.len() < all, "it did not stop under load");
        all_at_once(&acknowledged, |(voter, question)| {
            let voter = voter.at(&other.address);
            async move { voter.get(&question.under("ballot")).await.expect(200) }
        })
        .await;
        polls(folder.path(), &["recount", "--check"]).done();
    }
}

/// A connection on which the test sends raw bytes.
struct Wire(BufReader<TcpStream>);

impl Wire {
    fn open(server: &Server) -> Wire {
        let address = server
            .address
            .strip_prefix("http://")
            .expect("a TCP address");
        let stream = TcpStream::connect(address).expect("a connection");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a timeout");
        Wire(BufReader::new(stream))
    }

    fn write(&mut self, text: &str) {
        self.0
            .get_mut()
            .write_all(text.as_bytes())
            .expect("it is written");
    }

    /// The status of the next answer; 0 if the server has closed the connection.
    fn status(&mut self) -> u16 {
        let mut line = String::new();
        // A reset connection has no answer, either.
        let _ = self.0.read_line(&mut line);
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        while !line.trim().is_empty() {
            line.clear();
            let _ = self.0.read_line(&mut line);
        }
        status.unwrap_or(0)
    }
}

/// Waits until `condition` is true, up to a limit.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{what}: waited in vain"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_was_begun_is_finished_while_nothing_new_is_taken() {
    let folder = folder();
    let server = Server::start(folder.path(), &CHEAP_PASSWORDS);
    let mut probes: Vec<Wire> = (0..5).map(|_| Wire::open(&server)).collect();
    for probe in &mut probes {
        probe.write("GET /readyz HTTP/1.1\r\n");
    }
    let body = json!({"name": "Ada", "email": "ada@example.org", "password": PASSWORD}).to_string();
    let mut begun = Wire::open(&server);
    begun.write(&format!(
        "POST /api/v1/users HTTP/1.1\r\nHost: polls\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len(),
    ));
    // The server asks for the body, so the request is in progress.
    assert_eq!(begun.status(), 100);
    server.ask_to_stop();

    let address = server
        .address
        .strip_prefix("http://")
        .expect("a TCP address");
    wait_until("no new connections", || {
        TcpStream::connect(address).is_err()
    });
    let mut statuses = Vec::new();
    for mut probe in probes {
        probe.write("Host: polls\r\n\r\n");
        statuses.push(probe.status());
    }
    // All are answered, even those that the server had not begun to read.
    assert_eq!(statuses, [503; 5]);

    begun.write(&body);
    assert_eq!(begun.status(), 201);
    assert_eq!(server.ended(), Some(0));
}

#[test]
fn a_request_that_never_ends_is_given_up_after_the_grace_period() {
    let folder = folder();
    let server = Server::start(folder.path(), &["--set", "http.shutdown_grace=200ms"]);
    let mut begun = Wire::open(&server);
    begun.write(
        "POST /api/v1/users HTTP/1.1\r\nHost: polls\r\nContent-Type: application/json\r\n\
         Content-Length: 100\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(begun.status(), 100);
    let asked = Instant::now();
    assert_eq!(server.terminate(), Some(0));
    let took = asked.elapsed();
    assert!(
        (Duration::from_millis(200)..Duration::from_secs(15)).contains(&took),
        "{took:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_serves_as_well() {
    let folder = folder();
    let path = folder.path().join("polls.sock");
    let name = path.to_str().expect("UTF-8");
    let start = |more: &[&str]| Server::serve(folder.path(), &[&["--path", name], more].concat());
    let mode = || {
        fs::metadata(&path)
            .expect("the socket")
            .permissions()
            .mode()
            & 0o777
    };
    let healthy = async || {
        let client = Client::builder()
            .unix_socket(path.clone())
            .build()
            .expect("a client");
        send(client.get("http://polls/readyz")).await.expect(200);
    };

    let mut server = start(&["--set", "server.path_mode=600"]);
    assert_eq!(server.address, format!("unix:{name}"));
    assert_eq!(mode(), 0o600);
    healthy().await;
    // The socket of a running server is not taken over.
    let refusal = polls(folder.path(), &["serve", "--path", name]).fails(1);
    assert!(refusal.contains(name), "{refusal}");
    healthy().await;

    // The socket that a killed server has left does not keep the next one from starting.
    server.kill();
    assert!(
        fs::metadata(&path)
            .expect("still there")
            .file_type()
            .is_socket()
    );
    let server = start(&[]);
    assert_eq!(mode(), 0o660);
    healthy().await;
    assert_eq!(server.terminate(), Some(0));
    assert!(!path.exists());

    // Any other file at that path is kept.
    fs::write(&path, "precious").expect("a file");
    polls(folder.path(), &["serve", "--path", name]).fails(1);
    assert_eq!(fs::read_to_string(&path).expect("the file"), "precious");
}

#[tokio::test]
async fn the_greeting_tells_where_everything_is() {
    let folder = folder();
    let begun = Instant::now();
    let server = Server::start(folder.path(), &[]);
    println!("ready after {:?}", begun.elapsed());
    let client = client();
    let named = |what: &str| {
        let line = server
            .greeting
            .iter()
            .find_map(|line| line.trim().strip_prefix(what));
        line.unwrap_or_else(|| panic!("no {what} in {:?}", server.greeting))
            .trim()
            .to_owned()
    };
    assert_eq!(server.greeting.len(), 7, "{:?}", server.greeting);
    send(client.get(format!("{}/questions", named("API"))))
        .await
        .expect(200);
    let page = send(client.get(named("Web page"))).await.expect(200);
    assert!(page.header("content-type").starts_with("text/html"));
    let docs = send(client.get(named("Swagger UI"))).await.expect(200);
    assert!(docs.header("content-type").starts_with("text/html"));
    let spec = send(client.get(named("OpenAPI"))).await.expect(200);
    assert!(spec.json["openapi"].is_string());
    if engine::is_sqlite() {
        assert_eq!(named("Database"), "sqlite:polls.db");
        assert!(folder.path().join("polls.db").exists());
    } else {
        assert!(named("Database").ends_with(&engine::name(folder.path())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_is_felt_in_the_other_process() {
    let pair = Pair::start();
    let user = sign_up(&client(), &pair.one.address, "ada@example.org").await;
    let there = user.at(&pair.other.address);
    there.get("/users/me").await.expect(200);
    user.delete("/auth/sessions").await.expect(204);
    let begun = Instant::now();
    // At once in the process that has revoked it.
    user.get("/users/me").await.problem("unauthenticated");
    loop {
        let answer = there.get("/users/me").await;
        if answer.status != 200 {
            answer.problem("unauthenticated");
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "never felt");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("felt after {:?}", begun.elapsed());
}

const APART: Duration = Duration::from_secs(600);

/// Waits until a process refuses the user's token, whether or not the account still exists.
async fn refused(user: &User) {
    eventually(async || {
        let answer = user.get("/questions").await;
        answer.status != 200 && answer.problem("unauthenticated").status == 401
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_lost_on_one_process_are_lost_on_another_whatever_their_clocks_say() {
    for one_is_ahead in [true, false] {
        let one = TestApp::start().await;
        let other = one.beside().await;
        if one_is_ahead { &one } else { &other }
            .clock
            .advance(APART);
        let admin = one.admin("root").await;
        let question = admin.ask(&["a", "b"], json!({})).await;
        let losses = ["sign-out", "password", "role", "disabled", "deleted"];
        for loss in losses {
            for signed_in_at in [&one, &other] {
                let new = one.user("ada").await;
                let user = signed_in_at.user_of(&new).await;
                let (here, there) = (user.at(&one.address), user.at(&other.address));
                // A token is valid at all processes, whichever has signed it.
                here.get("/users/me").await.expect(200);
                there.get("/users/me").await.expect(200);
                let path = format!("/users/{}", user.id);
                let done = match loss {
                    "sign-out" => here.delete("/auth/sessions").await,
                    "password" => {
                        let change =
                            json!({"current_password": PASSWORD, "new_password": "battery staple"});
                        new.put("/users/me/password", change).await
                    }
                    "role" => admin.patch(&path, json!({"role": "admin"})).await,
                    "disabled" => admin.patch(&path, json!({"disabled": true})).await,
                    _ => here.delete_account().await,
                };
                assert!(done.status.is_success(), "{loss}: {}", done.status);
                refused(&there).await;
                there
                    .vote(&question, &[0])
                    .await
                    .problem("unauthenticated")
                    .expect(401);
            }
        }
    }
}

/// The slots of the stored revocations.
async fn slots_taken(app: &TestApp) -> Vec<i32> {
    let sql = "SELECT slot FROM revocation_slots";
    let rows = app
        .db
        .read()
        .query_all_raw(statement(app.db.read(), sql, []));
    let slot = |row: &QueryResult| row.try_get_by_index(0).expect("a slot");
    rows.await.expect("the slots").iter().map(slot).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_is_committed_late_is_not_skipped() {
    // SQLite has one writer, so nothing else can be committed meanwhile.
    if engine::is_sqlite() {
        return;
    }
    let one = TestApp::start().await;
    let other = one.beside().await;
    let user = one.user("ada").await;
    let there = |user: &User| user.at(&other.address);
    // One revocation, to find out the slot.
    let early = one.another_session(&user).await;
    early.delete("/auth/sessions").await.expect(204);
    refused(&there(&early)).await;
    let (late, meanwhile) = (one.user("late").await, one.user("meanwhile").await);
    let taken = slots_taken(&one).await;
    let slot = (0..16).find(|slot| !taken.contains(slot)).expect("a slot");

    // Another process takes its number first, but commits late. Its clock is behind.
    let (commit, may_commit) = tokio::sync::oneshot::channel::<()>();
    let (wrote, has_written) = tokio::sync::oneshot::channel::<()>();
    let db = one.database_from_outside().await;
    let session = late.get("/auth/sessions").await.expect(200).json;
    let session = session["data"][0]["id"].as_str().expect("an id").to_owned();
    let session: uuid::Uuid = session.parse().expect("an id");
    let slow = tokio::spawn(async move {
        let (wrote, may_commit) = (Mutex::new(Some(wrote)), Mutex::new(Some(may_commit)));
        let (wrote, may_commit) = (&wrote, &may_commit);
        let written = db.write(|transaction| async move {
            let sql = "INSERT INTO revocation_slots (slot, number) VALUES (?, 1)";
            let take = statement(&transaction, sql, [slot.into()]);
            transaction.execute_raw(take).await?;
            let sql = "INSERT INTO revocations \
                (session_id, generation, revoked_at, expires_at, slot, number) \
                VALUES (?, 2147483647, 0, 9000000000000000, ?, 1)";
            let list = statement(&transaction, sql, [session.into(), slot.into()]);
            transaction.execute_raw(list).await?;
            // On a cluster the transaction may be retried.
            let wrote = wrote.lock().expect("no panic").take();
            let may_commit = may_commit.lock().expect("no panic").take();
            if let (Some(wrote), Some(may_commit)) = (wrote, may_commit) {
                wrote.send(()).expect("somebody waits");
                may_commit.await.expect("it is told");
            }
            Ok(())
        });
        written.await.expect("it is committed");
        db.close().await;
    });
    has_written.await.expect("it is written");
    meanwhile.delete("/auth/sessions").await.expect(204);
    refused(&there(&meanwhile)).await;
    there(&late).get("/users/me").await.expect(200);
    commit.send(()).expect("it waits");
    slow.await.expect("no panic");
    refused(&there(&late)).await;
}

#[test]
fn a_server_has_as_many_file_descriptors_as_the_system_allows() {
    let folder = folder();
    let first = "ulimit -Sn 200; ulimit -Hn 3000";
    let server = Server::start_in_shell(folder.path(), first, &CHEAP_PASSWORDS);
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.id())).expect("its limits");
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let numbers = files.expect("it is there").split_whitespace().skip(3);
    assert_eq!(numbers.take(2).collect::<Vec<_>>(), ["3000", "3000"]);
}
