//! The command line, as an operator uses it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Instant;

use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use crate::support::app::{client, send};
use crate::support::crowd::CHEAP_PASSWORDS;
use crate::support::live::{Stream, WAYS};
use crate::support::process::{Run, command, polls_in_terminal, polls_reading};
use crate::support::{Answer, Server, User, amount, engine, polls};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

async fn get(server: &Server, path: &str) -> Answer {
    send(client().get(format!("{}/api/v1{path}", server.address))).await
}

async fn sign_in(server: &Server, username: &str, password: &str) -> Answer {
    let form = [
        ("grant_type", "password"),
        ("username", username),
        ("password", password),
    ];
    let url = format!("{}/api/v1/auth/token", server.address);
    send(client().post(url).form(&form)).await
}

/// The token that `polls token --user` makes.
fn token(folder: &Path, server: &Server, login: &str) -> User {
    let line = polls(folder, &["token", "--user", login]).done();
    let (id, token) = line.trim().split_once(' ').expect("an id and a token");
    User::of_token(id, token, client(), &server.address)
}

/// The head of a token, which names its key.
fn key_of(token: &str) -> &str {
    token.split('.').next().expect("a head")
}

#[tokio::test]
async fn seed_tells_the_tutorials_story() {
    let folder = folder();
    let printed = polls(folder.path(), &["seed"]).done();
    let server = Server::start(folder.path(), &[]);
    for (name, phone, email) in [
        ("露西", "16666666661", "luxi@qq.com"),
        ("南希", "16666666662", "nanxi@qq.com"),
        ("雪灵", "16666666663", "xueling@qq.com"),
    ] {
        let line = printed
            .lines()
            .find(|line| line.contains(phone))
            .expect("the phone number");
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((words[1], words[3]), (email, name));
        for login in [phone, email] {
            sign_in(&server, login, words[2]).await.expect(200);
        }
        sign_in(&server, email, &words[2].to_lowercase())
            .await
            .expect(400);
    }

    let list = get(&server, "/questions?sort=created_at").await.expect(200);
    let questions = list.json["data"].as_array().expect("questions");
    assert_eq!(questions.len(), 5);
    let story = |question: &Value| {
        let choices = question["choices"].as_array().expect("choices").iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let choice = |choice: &Value| (text(&choice["choice_text"]), choice["votes"].as_i64());
        (
            text(&question["question_text"]),
            choices.map(choice).collect::<Vec<_>>(),
        )
    };
    let votes = |text: &str, votes| (text.to_owned(), Some(votes));
    let languages = vec![votes("python", 3), votes("java", 2), votes("go", 1)];
    let fruits = vec![votes("香蕉", 3), votes("苹果", 2), votes("草莓", 1)];
    assert_eq!(
        story(&questions[0]),
        ("最受欢迎的计算机语言?".to_owned(), languages)
    );
    assert_eq!(story(&questions[1]), ("最受欢迎的水果?".to_owned(), fruits));
    assert!(
        questions
            .iter()
            .all(|question| question["ballot_count"] == 6)
    );
    for (question, method, elected) in [(3, "instant_runoff", "Prague"), (4, "star", "海边")] {
        assert_eq!(questions[question]["method"], method);
        let id = questions[question]["id"].as_str().expect("an id");
        let results = get(&server, &format!("/questions/{id}/results"))
            .await
            .expect(200)
            .json;
        let winner = &results["outcome"]["elected_choice_ids"][0];
        let mut choices = results["choices"].as_array().expect("choices").iter();
        let winner = choices
            .find(|choice| choice["id"] == *winner)
            .expect("a winner");
        assert_eq!(winner["choice_text"], elected);
    }
    polls(folder.path(), &["recount", "--check"]).done();

    let again = polls(folder.path(), &["seed"]).fails(1);
    assert!(
        again.contains("The sample data is there already."),
        "{again}"
    );
    let list = get(&server, "/questions").await.expect(200);
    assert_eq!(list.json["data"].as_array().map(Vec::len), Some(5));
}

#[test]
fn a_terminal_shows_progress_and_colours_unless_they_are_unwanted() {
    let folder = folder();
    let seed = "seed --users 3000 --questions 2 --ballots 5000";
    let shown = polls_in_terminal(folder.path(), seed, &[], "").done();
    for of in ["/3000 users", "/2 questions", "/5000 ballots"] {
        assert!(shown.contains(of), "no {of} in {shown:?}");
    }
    let beside = polls(folder.path(), &["seed", "--users", "1"]);
    assert_eq!(beside.stderr, "");

    let unknown = "user promote nobody@example.org";
    let coloured = polls_in_terminal(folder.path(), unknown, &[], "");
    let (red, plain) = ("\u{1b}[1m\u{1b}[31mpolls:\u{1b}[0m", "polls: ");
    assert!(coloured.stdout.starts_with(red), "{coloured:?}");
    let mistaken = polls_in_terminal(folder.path(), "--set server.port=none", &[], "");
    assert_eq!(mistaken.code, Some(2));
    assert!(mistaken.stdout.starts_with(red), "{mistaken:?}");
    let unwanted = polls_in_terminal(folder.path(), unknown, &[("NO_COLOR", "1")], "");
    assert!(unwanted.stdout.starts_with(plain), "{unwanted:?}");
    let words: Vec<&str> = unknown.split(' ').collect();
    let piped = polls(folder.path(), &words).fails(1);
    assert!(piped.starts_with(plain), "{piped:?}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = folder();
    polls(folder.path(), &["migrate", "up"]).done();
    for (line, file) in [
        ("backup none/backup.db", "cannot create"),
        ("serve --path none/polls.sock", "cannot listen on"),
    ] {
        if line.starts_with("backup") && !engine::is_sqlite() {
            continue;
        }
        let words: Vec<&str> = line.split(' ').collect();
        let said = polls(folder.path(), &words).fails(1);
        assert!(said.contains(file), "{said}");
        assert!(said.contains("because: there is no folder "), "{said}");
    }
}

#[tokio::test]
async fn seed_makes_any_amount() {
    let folder = folder();
    let users = amount(2_000, 20_000).to_string();
    let begun = Instant::now();
    let arguments = [
        "seed",
        "--users",
        &users,
        "--questions",
        "3",
        "--choices",
        "5",
        "--ballots",
        "4001",
    ];
    let printed = polls(folder.path(), &arguments).done();
    println!("{users} users in {:?}", begun.elapsed());
    let password = printed.split_whitespace().last().expect("the password");

    let begun = Instant::now();
    let tokens = polls(folder.path(), &["token", "--all", "--ttl", "2h"]).done();
    println!("and their tokens in {:?}", begun.elapsed());
    assert_eq!(tokens.lines().count().to_string(), users);

    let server = Server::start(folder.path(), &[]);
    let list = get(&server, "/questions").await.expect(200);
    let questions = list.json["data"].as_array().expect("questions");
    assert_eq!(questions.len(), 3);
    assert!(
        questions
            .iter()
            .all(|question| question["choices"].as_array().unwrap().len() == 5)
    );
    let counts = questions
        .iter()
        .map(|question| question["ballot_count"].as_i64());
    let mut counts: Vec<i64> = counts.map(|count| count.expect("a count")).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1333, 1334, 1334]);
    polls(folder.path(), &["recount", "--check"]).done();
    // Any of them signs in, and has a token.
    for line in [tokens.lines().next(), tokens.lines().last()] {
        let (id, token) = line.and_then(|line| line.split_once(' ')).expect("a token");
        let user = User::of_token(id, token, client(), &server.address);
        let me = user.get("/users/me").await.expect(200);
        assert_eq!(me.text("id"), id);
        sign_in(&server, &me.text("email"), password)
            .await
            .expect(200);
    }
    // More come beside them.
    polls(folder.path(), &["seed", "--users", "1"]).done();
}

#[tokio::test]
async fn an_operator_manages_accounts() {
    let folder = folder();
    let server = Server::start(folder.path(), &CHEAP_PASSWORDS);
    let user = |arguments: &[&str], input: &str| {
        polls_reading(folder.path(), &[&["user"], arguments].concat(), input)
    };
    let ada = "ada@example.org";
    let phone = "16666666661";
    let create = ["create", "--name", "Ada", "--email", ada, "--phone", phone];
    let made = user(&create, " first password \n").done();
    // Spaces belong to it.
    sign_in(&server, ada, "first password").await.expect(400);
    let tokens = sign_in(&server, ada, " first password ").await.expect(200);
    let signed_in = User::of_token("", &tokens.text("access_token"), client(), &server.address);
    let me = signed_in.get("/users/me").await.expect(200);
    assert!(made.contains(&me.text("id")), "{made}");
    assert_eq!(me.json["role"], "user");

    let taken = user(&create, "another password").fails(1);
    assert!(
        taken.contains("email") || taken.contains("taken") || taken.contains("account"),
        "{taken}"
    );
    for (password, words) in [
        ("password1", "must not be one of the most common passwords"),
        (
            "adalovelace",
            "beside the account's name, email address and phone number",
        ),
        (
            "ada@example.org",
            "beside the account's name, email address and phone number",
        ),
        ("          ", "must have a character that can be seen"),
    ] {
        let name = ["create", "--name", "Lovelace", "--email", ada];
        let refused = user(&name, password).fails(1);
        assert!(refused.contains("password: "), "{refused}");
        assert!(refused.contains(words), "{refused}");
    }
    let turned = [
        "create",
        "--name",
        "a\u{202e}b",
        "--email",
        "eve@example.org",
    ];
    let refused = user(&turned, "another password").fails(1);
    assert!(
        refused.contains("name: must end each change of the writing direction"),
        "{refused}"
    );
    let mistakes = user(&["create", "--name", "", "--email", "x"], "short").fails(1);
    for field in ["name: ", "email: ", "password: "] {
        assert!(mistakes.contains(field), "{mistakes}");
    }
    let none = user(
        &["create", "--name", "Eve", "--email", "eve@example.org"],
        "",
    )
    .fails(1);
    assert!(none.contains("no password"), "{none}");

    for (password, words) in [
        ("qwertyuiop", "must not be one of the most common passwords"),
        (phone, "beside the account's name"),
        ("short", "must have 8 to 128 characters"),
    ] {
        let refused = user(&["passwd", ada], password).fails(1);
        assert!(refused.contains(words), "{refused}");
    }
    // A new password ends what was signed in with the old one; running servers hear of it.
    user(&["passwd", phone], "second password\n").done();
    sign_in(&server, ada, " first password ").await.expect(400);
    sign_in(&server, ada, "second password").await.expect(200);
    eventually(async || signed_in.get("/users/me").await.status == 401).await;

    user(&["promote", ada], "").done();
    let admin = token(folder.path(), &server, ada);
    assert_eq!(
        admin.get("/users").await.expect(200).json["data"][0]["role"],
        "admin"
    );
    let last = user(&["demote", ada], "").fails(1);
    assert!(last.contains("no active admin left"), "{last}");
    let last = user(&["disable", phone], "").fails(1);
    assert!(last.contains("no active admin left"), "{last}");
    let root = [
        "create",
        "--name",
        "Root",
        "--email",
        "root@example.org",
        "--admin",
    ];
    user(&root, "root password").done();
    user(&["demote", ada], "").done();
    eventually(async || admin.get("/users").await.status != 200).await;
    token(folder.path(), &server, ada)
        .get("/users")
        .await
        .problem("forbidden");

    let disabled = token(folder.path(), &server, ada);
    user(&["disable", ada], "").done();
    sign_in(&server, ada, "second password").await.expect(400);
    eventually(async || disabled.get("/users/me").await.status == 401).await;
    polls(folder.path(), &["token", "--user", ada]).fails(1);
    user(&["enable", ada], "").done();
    sign_in(&server, ada, "second password").await.expect(200);

    for verb in ["passwd", "promote", "demote", "disable", "enable"] {
        let unknown = user(&[verb, "nobody@example.org"], "some password").fails(1);
        assert!(unknown.contains("There is no such account."), "{unknown}");
    }
}

/// Waits until `condition`, but not for ever.
async fn eventually(condition: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed().as_secs() < 10, "waited in vain");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_rotated_key_is_taken_up_by_running_servers() {
    let folder = folder();
    polls(folder.path(), &["seed", "--users", "2"]).done();
    let server = Server::start(folder.path(), &[]);
    let tokens = || polls(folder.path(), &["token", "--all"]).done();
    let before = tokens();
    polls(folder.path(), &["keys", "rotate"]).done();
    let after = tokens();
    let mut keys = HashMap::new();
    for (age, tokens) in [("before", before), ("after", after)] {
        for line in tokens.lines() {
            let (id, token) = line.split_once(' ').expect("an id and a token");
            let user = User::of_token(id, token, client(), &server.address);
            user.get("/users/me").await.expect(200);
            keys.insert(age, key_of(token).to_owned());
        }
    }
    assert_ne!(keys["before"], keys["after"]);

    // The server itself signs with the new one, too, by and by.
    let root = [
        "user",
        "create",
        "--name",
        "Root",
        "--email",
        "root@example.org",
    ];
    polls_reading(folder.path(), &root, "root password").done();
    eventually(async || {
        let tokens = sign_in(&server, "root@example.org", "root password")
            .await
            .expect(200);
        key_of(&tokens.text("access_token")) == keys["after"]
    })
    .await;
}

#[tokio::test]
async fn a_revoked_key_is_refused_by_running_servers() {
    let folder = folder();
    let servers = [(); 2].map(|()| Server::start(folder.path(), &CHEAP_PASSWORDS));
    let create = [
        "user",
        "create",
        "--name",
        "Ada",
        "--email",
        "ada@example.org",
    ];
    polls_reading(folder.path(), &create, "a good password").done();
    let granted = sign_in(&servers[0], "ada@example.org", "a good password");
    let granted = granted.await.expect(200);
    let old = granted.text("access_token");
    polls(folder.path(), &["keys", "rotate"]).done();
    let rotated = token(folder.path(), &servers[0], "ada@example.org");
    let at = |server: &Server, token: &str| User::of_token("", token, client(), &server.address);
    let question = rotated.ask(&["a", "b"], json!({})).await;
    let mut streams = Vec::new();
    for server in &servers {
        for token in [&old, &rotated.access_token] {
            let user = at(server, token);
            user.get("/users/me").await.expect(200);
            let mut stream =
                Stream::open(WAYS[0], &server.address, &question, Some(&user), None).await;
            stream.event().await.ballots();
            streams.push(stream);
        }
    }

    polls(folder.path(), &["keys", "revoke"]).done();
    for server in &servers {
        for token in [&old, &rotated.access_token] {
            eventually(async || {
                let answer = at(server, token).get("/users/me").await;
                answer.status != 200 && answer.problem("unauthenticated").status == 401
            })
            .await;
        }
    }
    for stream in streams {
        assert_eq!(stream.rest().await.1, "token_revoked");
    }
    // Nobody is signed out.
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &*granted.text("refresh_token")),
    ];
    let path = format!("{}/api/v1/auth/token", servers[1].address);
    let next = send(client().post(path).form(&form)).await.expect(200);
    let next = next.text("access_token");
    assert_ne!(key_of(&next), key_of(&rotated.access_token));
    for server in &servers {
        at(server, &next).get("/users/me").await.expect(200);
    }

    let key = "auth.key=c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA==";
    let refused = polls(folder.path(), &["keys", "revoke", "--set", key]).fails(1);
    assert!(refused.contains("auth.key is configured"), "{refused}");
    assert!(!refused.contains("c2VjcmV0"), "{refused}");
    at(&servers[0], &next).get("/users/me").await.expect(200);
}

#[tokio::test]
async fn recount_mends_a_broken_tally() {
    let folder = folder();
    polls(folder.path(), &["seed"]).done();
    let server = Server::start(folder.path(), &[]);
    let healthy = get(&server, "/questions?sort=created_at").await.expect(200);
    let untouched = polls(folder.path(), &["recount"]).done();
    assert!(
        untouched.contains("Every tally equals its ballots."),
        "{untouched}"
    );

    let breakages = [
        "UPDATE choice_shards SET votes = votes + 5 WHERE choice_id = \
         (SELECT id FROM choices WHERE choice_text = 'python')",
        "UPDATE question_shards SET ballots = ballots - 1 WHERE question_id = \
         (SELECT id FROM questions WHERE question_text = '最受欢迎的水果?')",
    ];
    let db = engine::connect(&engine::database_url(folder.path())).await;
    for breakage in breakages {
        let breaking = db.write(|transaction| async move {
            Ok(transaction
                .execute_unprepared(breakage)
                .await?
                .rows_affected())
        });
        assert!(breaking.await.expect("it can be broken") > 0);
    }
    db.close().await;
    let broken = get(&server, "/questions?sort=created_at").await.expect(200);
    assert_eq!(broken.json["data"][0]["choices"][0]["votes"], 8);

    let check = polls(folder.path(), &["recount", "--check"]);
    assert_eq!(check.stdout.lines().count(), 2, "{check:?}");
    let said = check.stdout.clone();
    assert!(said.contains("the tally says 8, the ballots 3"), "{said}");
    assert!(check.fails(1).contains("polls recount"));
    // It only looked.
    polls(folder.path(), &["recount", "--check"]).fails(1);
    polls(folder.path(), &["recount"]).done();
    polls(folder.path(), &["recount", "--check"]).done();
    let mended = get(&server, "/questions?sort=created_at").await.expect(200);
    assert_eq!(mended.json, healthy.json);
}

#[test]
fn config_print_names_layers_and_masks_secrets() {
    let folder = folder();
    let secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA==";
    fs::write(
        folder.path().join("my.yaml"),
        "http:\n  max_body: 128KiB\nserver:\n  port: 9001\n",
    )
    .expect("a file");
    let run = Run::of(
        command(folder.path())
            .args([
                "--config",
                "my.yaml",
                "--set",
                "log.filter=debug",
                "config",
                "print",
            ])
            .env("POLLS__SERVER__PORT", "9002")
            .env(
                "POLLS__DATABASE__URL",
                "postgres://u:hunter2@localhost/polls",
            )
            .env("POLLS__AUTH__KEY", secret),
        "",
    );
    let printed = run.done();
    let line = |key: &str| {
        let line = printed
            .lines()
            .find(|line| line.starts_with(&format!("{key}: ")));
        line.unwrap_or_else(|| panic!("no {key} in {printed}"))
    };
    assert_eq!(line("server.host"), "server.host: 127.0.0.1  # default");
    assert!(
        line("http.max_body").contains("128KiB  # ") && line("http.max_body").contains("my.yaml")
    );
    // The environment is stronger than the file.
    let port = line("server.port");
    assert!(port.starts_with("server.port: 9002  # ") && port.ends_with("POLLS__SERVER__PORT"));
    assert_eq!(line("log.filter"), "log.filter: debug  # --set log.filter");
    assert!(line("auth.key").contains("****"), "{printed}");
    assert!(
        !printed.contains(secret) && !printed.contains("hunter2"),
        "{printed}"
    );
}

#[test]
fn every_mistake_is_named_wherever_it_was_made() {
    let folder = folder();
    let file = "server:\n  prot: 9000\naccounts:\n  default_region: Mars\n";
    fs::write(folder.path().join("my.yaml"), file).expect("a file");
    for check in ["config check", "serve", "migrate up", "seed", "recount"] {
        let run = Run::of(
            command(folder.path())
                .args(["--config", "my.yaml", "--set", "ballots.batch=0"])
                .args(check.split(' '))
                .env("POLLS__HTTP__MAX_BODY", "huge")
                .env("POLLS__AUTH__KEY", "c2hvcnQ=")
                .env("POLLS__DATABASE__MIN_CONNECTIONS", "50"),
            "",
        );
        let problems = run.fails(2);
        for (key, layer) in [
            ("server.prot", "my.yaml"),
            ("accounts.default_region: Mars", "my.yaml"),
            ("ballots.batch: 0", "--set ballots.batch"),
            ("http.max_body: huge", "POLLS__HTTP__MAX_BODY"),
            ("auth.key", "POLLS__AUTH__KEY"),
            (
                "database.min_connections: 50",
                "POLLS__DATABASE__MIN_CONNECTIONS",
            ),
        ] {
            let named = problems.lines().find(|line| line.starts_with(key));
            let named = named.unwrap_or_else(|| panic!("{check}: no {key} in {problems}"));
            assert!(named.contains(layer), "{check}: {named}");
        }
        assert!(problems.contains("6 problems"), "{problems}");
        assert!(!problems.contains("c2hvcnQ="), "{problems}");
        assert!(
            !folder.path().join("polls.db").exists(),
            "{check} began with mistakes"
        );
    }
    polls(folder.path(), &["config", "check"]).done();
    let both = polls(
        folder.path(),
        &["serve", "--port", "9000", "--path", "x.sock"],
    )
    .fails(2);
    assert!(both.contains("--port") && both.contains("--path"), "{both}");
    let missing = polls(
        folder.path(),
        &["--config", "missing.yaml", "config", "check"],
    )
    .fails(2);
    assert!(missing.contains("missing.yaml"), "{missing}");
    let unknown = polls(folder.path(), &["--set", "database.url=mongodb://x/y"]).fails(2);
    assert!(
        unknown.contains("database.url") && unknown.contains("sqlite:"),
        "{unknown}"
    );
    let wrong = polls(folder.path(), &["vote"]).fails(2);
    assert!(wrong.contains("vote"), "{wrong}");
}

#[test]
fn every_command_has_help() {
    let folder = folder();
    let commands = [
        "",
        "serve",
        "ready",
        "migrate",
        "migrate up",
        "migrate down",
        "migrate status",
        "backup",
        "restore",
        "seed",
        "openapi",
        "config",
        "config check",
        "config print",
        "user",
        "user create",
        "user passwd",
        "user promote",
        "user demote",
        "user disable",
        "user enable",
        "keys",
        "keys rotate",
        "keys revoke",
        "mail",
        "mail test",
        "token",
        "recount",
        "tally",
        "load",
    ];
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let help = polls(folder.path(), &words).done();
        assert!(help.contains("Usage: polls"), "{command}: {help}");
        // The first line says what it does.
        let first = help.lines().next().unwrap_or_default();
        assert!(first.split(' ').count() > 1, "{command}: {first}");
        // No command that this test doesn't know.
        let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        let listed = listed.take_while(|line| !line.is_empty() && line.starts_with("  "));
        for name in listed.filter(|line| !line.starts_with("   ")) {
            let name = name.split_whitespace().next().unwrap_or_default();
            let full = format!("{command} {name}");
            assert!(name == "help" || commands.contains(&full.trim()), "{full}");
        }
    }
    assert!(
        polls(folder.path(), &["--version"])
            .done()
            .starts_with("polls ")
    );
}

#[test]
fn a_reader_may_stop_reading() {
    let folder = folder();
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let mut print = command(folder.path());
    let output = print.args(["config", "print"]).stdout(writer).output();
    let output = output.expect("the program runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn what_cannot_be_used_is_named_with_the_cause() {
    let folder = folder();
    let fails = |arguments: &[&str], expected: &[&str]| {
        let said = polls(folder.path(), arguments).fails(1);
        assert!(!said.contains("hunter2"), "{said}");
        for words in expected {
            assert!(
                said.contains(words),
                "{arguments:?}: no {words:?} in {said}"
            );
        }
    };
    fails(
        &[
            "--set",
            "database.url=postgres://u:hunter2@127.0.0.1:1/x",
            "--set",
            "database.acquire_timeout=100ms",
        ],
        &[
            "cannot open the database: postgres://u:",
            "onnection refused",
        ],
    );

    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address");
    let port = address.port().to_string();
    let in_use = [
        "cannot listen on",
        &address.to_string(),
        "polls --port 0",
        "because: Address already in use",
    ];
    fails(&["serve", "--port", &port], &in_use);

    fs::write(folder.path().join("file"), "").expect("a file");
    let beneath = [
        "migrate",
        "up",
        "--set",
        "database.url=sqlite:file/polls.db",
    ];
    fails(
        &beneath,
        &["there is no folder file to keep the database in"],
    );
    let mistyped = ["serve", "--set", "database.url=sqlite:missing/too/polls.db"];
    fails(
        &mistyped,
        &["there is no folder missing/too to keep the database in"],
    );
    assert!(!folder.path().join("missing").exists(), "it was made");
    // Nobody may make files there, not even root.
    let unwritable = [
        "migrate",
        "up",
        "--set",
        "database.url=sqlite:/sys/polls.db",
    ];
    fails(
        &unwritable,
        &["cannot write to the folder /sys", "because: "],
    );
    let a_folder = ["migrate", "up", "--set", "database.url=sqlite:."];
    fails(
        &a_folder,
        &[
            "cannot open the database sqlite:.",
            "because: ",
            "Is a directory",
        ],
    );
    fs::write(folder.path().join("text.db"), "no database, ".repeat(1000)).expect("a file");
    let a_text = ["migrate", "up", "--set", "database.url=sqlite:text.db"];
    fails(&a_text, &["text.db", "file is not a database"]);

    let locked = folder.path().join("locked");
    fs::create_dir(&locked).expect("a folder");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).expect("permissions");
    // Root may write everywhere.
    if fs::write(locked.join("probe"), "").is_err() {
        let locked = [
            "migrate",
            "up",
            "--set",
            "database.url=sqlite:locked/polls.db",
        ];
        fails(&locked, &["cannot write to the folder locked", "because: "]);
    }
}
