//! `polls backup` and `polls restore`, on SQLite files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{join, join_all};
use serde_json::json;
use sqlx::{Connection as _, SqliteConnection};

use crate::support::app::{client, send};
use crate::support::crowd::{CHEAP_PASSWORDS, crowd};
use crate::support::process::polls_reading;
use crate::support::{Answer, Server, User, polls};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Starts a server on a database file in the folder.
fn serve(folder: &Path, file: &str) -> Server {
    let url = format!("database.url=sqlite:{file}");
    let own = ["--set", url.as_str()];
    Server::start(folder, &[&own, CHEAP_PASSWORDS.as_slice()].concat())
}

async fn ballots(server: &Server, path: &str) -> u64 {
    let answer = send(client().get(format!("{}/api/v1{path}", server.address))).await;
    let count = answer.expect(200).json["ballot_count"].as_u64();
    count.expect("a count")
}

/// The files in a folder whose names begin with this prefix.
fn files(folder: &Path, beginning: &str) -> Vec<String> {
    let names = fs::read_dir(folder).expect("a folder").flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(beginning)).collect();
    names.sort();
    names
}

async fn run(file: &Path, sql: &'static str) {
    let mut database = SqliteConnection::connect(&format!("sqlite:{}", file.display()))
        .await
        .expect("a database");
    sqlx::raw_sql(sql)
        .execute(&mut database)
        .await
        .expect("it is done");
    database.close().await.expect("it closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_whole_while_people_vote() {
    let folder = folder();
    let server = serve(folder.path(), "polls.db");
    let voters = crowd(folder.path(), &server, 16);
    let question = voters[0].ask(&["a", "b"], json!({})).await;
    let over = AtomicBool::new(false);
    let voting = voters.iter().map(|voter| {
        let (question, over) = (&question, &over);
        async move {
            let mut turn = 0;
            while !over.load(Ordering::Relaxed) {
                let answer = voter.vote(question, &[turn % 2]).await;
                assert!(answer.status.is_success(), "{answer:?}");
                turn += 1;
            }
            turn
        }
    });
    let place = folder.path().to_owned();
    let backing_up = async {
        let making = tokio::task::spawn_blocking(move || {
            let made = (1..=5).map(|number| {
                let file = format!("copies/{number}.db");
                polls(&place, &["backup", &file]).done()
            });
            fs::create_dir(place.join("copies")).expect("a folder");
            made.collect::<Vec<String>>()
        });
        let made = making.await;
        over.store(true, Ordering::Relaxed);
        made.expect("no panic")
    };
    let (turns, made) = join(join_all(voting), backing_up).await;
    assert!(turns.iter().all(|turns| *turns > 0), "{turns:?}");
    let copies = folder.path().join("copies");
    for (index, printed) in made.iter().enumerate() {
        let name = format!("{}.db", index + 1);
        assert!(
            printed.contains("16 account(s), 1 question(s) and "),
            "{printed}"
        );
        let mode = fs::metadata(copies.join(&name)).expect("a file");
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
        let url = format!("database.url=sqlite:copies/{name}");
        polls(folder.path(), &["--set", &url, "recount", "--check"]).done();
    }
    // One file for each backup, besides those that the recount has created.
    let named = files(&copies, "1.db");
    assert_eq!(named, ["1.db", "1.db-lock", "1.db-migrate"]);

    let before = fs::read(copies.join("5.db")).expect("a backup");
    let refused = polls(folder.path(), &["backup", "copies/5.db"]).fails(1);
    assert!(refused.contains("copies/5.db exists already"), "{refused}");
    assert!(fs::read(copies.join("5.db")).expect("a backup") == before);
    let refused = polls(folder.path(), &["backup", "nowhere/x.db"]).fails(1);
    assert!(refused.contains("nowhere/x.db"), "{refused}");
    let other = ["--set", "database.url=sqlite:other.db", "backup", "x.db"];
    let refused = polls(folder.path(), &other).fails(1);
    assert!(
        refused.contains("there is no database other.db"),
        "{refused}"
    );
    assert!(files(folder.path(), "other").is_empty() && files(folder.path(), "x").is_empty());
}

#[tokio::test]
async fn a_restore_over_what_a_crash_left_is_whole_and_nobody_is_signed_in() {
    let folder = folder();
    let mut server = serve(folder.path(), "polls.db");
    let voters = crowd(folder.path(), &server, 6);
    let create = [
        "user",
        "create",
        "--name",
        "Ada",
        "--email",
        "ada@example.org",
    ];
    polls_reading(folder.path(), &create, "correct horse battery").done();
    let question = voters[0].ask(&["a", "b"], json!({})).await;
    for voter in &voters[..2] {
        voter.vote(&question, &[0]).await.expect(201);
    }
    let sign_in = async |server: &Server, form: &[(&str, &str)]| -> Answer {
        let url = format!("{}/api/v1/auth/token", server.address);
        send(client().post(url).form(form)).await
    };
    let password = [
        ("grant_type", "password"),
        ("username", "ada@example.org"),
        ("password", "correct horse battery"),
    ];
    let before = sign_in(&server, &password).await.expect(200);
    polls(folder.path(), &["backup", "copy.db"]).done();
    let later = sign_in(&server, &password).await.expect(200);
    for voter in &voters[2..] {
        voter.vote(&question, &[1]).await.expect(201);
    }
    server.kill();
    drop(server);
    let left = fs::metadata(folder.path().join("polls.db-wal"));
    assert!(left.is_ok_and(|left| left.len() > 0), "a crash leaves it");

    let printed = polls(folder.path(), &["restore", "copy.db"]).done();
    assert!(
        printed.contains("1 question(s) and 2 ballot(s)"),
        "{printed}"
    );
    let kept = files(folder.path(), "polls.db.before-restore-");
    assert!(printed.contains(&kept[0]), "{printed} {kept:?}");
    // Including the changes that the crash had left in the WAL.
    assert_eq!(kept.len(), 1, "{kept:?}");
    let rest = ["polls.db", "polls.db-lock", "polls.db-migrate"];
    let all = files(folder.path(), "polls.db");
    assert_eq!(all, [&rest[..], &[&kept[0]]].concat());
    let mode = fs::metadata(folder.path().join("polls.db")).expect("a file");
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    polls(folder.path(), &["recount", "--check"]).done();

    let server = serve(folder.path(), "polls.db");
    assert_eq!(ballots(&server, &question.path).await, 2);
    for tokens in [&before, &later] {
        let token = tokens.text("access_token");
        let user = User::of_token("", &token, client(), &server.address);
        user.get("/users/me").await.expect(401);
        let refresh = tokens.text("refresh_token");
        let form = [("grant_type", "refresh_token"), ("refresh_token", &refresh)];
        sign_in(&server, &form).await.expect(400);
    }
    let again = sign_in(&server, &password).await.expect(200);
    let user = User::of_token("", &again.text("access_token"), client(), &server.address);
    user.vote(&question, &[0]).await.expect(201);
    drop(server);

    // The replaced database is complete, too.
    let server = serve(folder.path(), &kept[0]);
    assert_eq!(ballots(&server, &question.path).await, 6);
}

#[tokio::test]
async fn a_restore_refuses_what_is_in_use_and_what_is_no_backup() {
    let folder = folder();
    let server = serve(folder.path(), "polls.db");
    polls(folder.path(), &["seed"]).done();
    polls(folder.path(), &["backup", "copy.db"]).done();
    let refuses = |file: &str, words: &str| {
        let said = polls(folder.path(), &["restore", file]).fails(1);
        assert!(said.contains(words), "{said}");
        assert!(
            files(folder.path(), "polls.db-restore").is_empty(),
            "{said}"
        );
        assert!(files(folder.path(), "polls.db.before").is_empty(), "{said}");
    };
    let in_use = "a server or another command uses the database sqlite:polls.db";
    refuses("copy.db", in_use);
    // The database counts as in use even while the server has no open connections.
    assert_eq!(server.terminate(), Some(0));

    refuses("missing.db", "missing.db");
    fs::write(folder.path().join("text.db"), "no database, ".repeat(1000)).expect("a file");
    refuses("text.db", "text.db is damaged: ");
    fs::write(folder.path().join("empty.db"), "").expect("a file");
    refuses("empty.db", "empty.db is not a database of polls");
    let copy = fs::read(folder.path().join("copy.db")).expect("a backup");
    fs::write(folder.path().join("half.db"), &copy[..copy.len() / 2]).expect("a file");
    refuses("half.db", "half.db is damaged: ");
    fs::write(folder.path().join("live.db"), &copy).expect("a file");
    fs::write(folder.path().join("live.db-wal"), "changes").expect("a file");
    refuses("live.db", "live.db-wal beside it has changes");
    let orphan = folder.path().join("orphan.db");
    fs::write(&orphan, &copy).expect("a file");
    run(&orphan, "PRAGMA foreign_keys = off; DELETE FROM users").await;
    refuses("orphan.db", "rows refer to missing rows");
    let newer = folder.path().join("newer.db");
    fs::write(&newer, &copy).expect("a file");
    run(
        &newer,
        "INSERT INTO seaql_migrations VALUES ('m0099_later', 1)",
    )
    .await;
    refuses("newer.db", "this version does not know m0099_later");

    for command in ["backup", "restore"] {
        let url = "database.url=postgres://127.0.0.1:1/polls";
        let said = polls(folder.path(), &["--set", url, command, "copy.db"]).fails(1);
        assert!(said.contains("pg_dump"), "{said}");
    }

    // A backup of an older version is migrated.
    let older = folder.path().join("older.db");
    fs::write(&older, &copy).expect("a file");
    let down = ["--set", "database.url=sqlite:older.db", "migrate", "down"];
    polls(
        folder.path(),
        &[&down[..], &["--yes", "--steps", "2"]].concat(),
    )
    .done();
    let restored = polls(folder.path(), &["restore", "older.db"]).done();
    assert!(
        restored.contains("6 account(s), 5 question(s) and 30 ballot(s)"),
        "{restored}"
    );
    let status = polls(folder.path(), &["migrate", "status"]).done();
    assert!(!status.contains("pending"), "{status}");
}
