//! What is called often reads no large table from end to end: on SQLite and PostgreSQL by their
//! plans, on MariaDB by its counters.

use std::collections::BTreeSet;
use std::path::Path;

use sea_orm::{ConnectionTrait as _, DbBackend};
use serde_json::{Value, json};
use sqlx::{Connection as _, Row as _, SqliteConnection};

use crate::support::app::{client, send};
use crate::support::database::{Database, MARIADB, POSTGRES};
use crate::support::{PASSWORD, Question, Server, User, engine, polls};

/// What there is: enough that a scan shows, and that planners would rather not do one.
const QUESTIONS: usize = 8_000;
const BALLOTS: usize = 30_000;

/// What grows without end.
const LARGE: [&str; 8] = [
    "users",
    "questions",
    "choices",
    "ballots",
    "ballot_marks",
    "question_shards",
    "choice_shards",
    "search_terms",
];

/// A server on a database full of data, and somebody who uses it.
struct Busy {
    server: Server,
    user: User,
}

impl Busy {
    async fn start(folder: &Path, url: &str) -> Busy {
        let database = format!("database.url={url}");
        let (questions, ballots) = (QUESTIONS.to_string(), BALLOTS.to_string());
        let amount = [
            "--users",
            "3000",
            "--questions",
            &questions,
            "--ballots",
            &ballots,
        ];
        polls(
            folder,
            &[&["seed", "--set", &database], &amount[..]].concat(),
        )
        .done();
        make_it_hard(url).await;
        // So that it is looked for what has to be sealed, too.
        let often = ["--set", "ballots.seal_interval=100ms"];
        // What SQLite is asked; the servers tell by themselves.
        let logged = ["--set", "log.filter=sqlx=trace"];
        let flags = [&["--set", &database], &often[..], &logged].concat();
        let server = Server::start(folder, &flags);
        let account = json!({"name": "Ada", "email": "ada@example.org", "password": PASSWORD});
        let call = |path: &str| client().post(format!("{}/api/v1{path}", server.address));
        let id = send(call("/users").json(&account)).await.expect(201);
        let token = sign_in(&server).await;
        let user = User::of_token(&id.text("id"), &token, client(), &server.address);
        Busy { server, user }
    }

    /// The calls that are made often, each with what comes after it.
    async fn call(&self, mut after: impl FnMut(&str)) {
        let user = &self.user;
        let mut get = async |path: &str| {
            let answer = user.get(path).await.expect(200);
            after(&format!("GET {path}"));
            answer
        };
        for query in [
            "sort=created_at",
            "sort=closes_at",
            "status=open&sort=closes_at",
            "status=closed",
            "status=closed&sort=closes_at",
            "q=sample",
            "q=sample%20question%207",
            "q=sample&sort=created_at",
            "q=nothing%20of%20the%20kind",
            "status=scheduled",
            "status=scheduled&sort=closes_at",
            "status=scheduled&q=sample",
            "status=open&q=nothing",
            "q=7&sort=closes_at",
        ] {
            get(&format!("/questions?{query}")).await;
        }
        get(&format!("/questions?author={}", user.id)).await;
        let open = get("/questions?status=open").await;
        let question = Question::of(&open.json["data"][0]);
        let author = &open.json["data"][0]["author"]["id"];
        let author = author.as_str().expect("an author");
        // What all have in common changes no list, whichever index that follows.
        for (common, queries) in [
            (
                format!("author={author}"),
                &["status=open", "status=closed", "q=7", ""][..],
            ),
            (
                "q=sample%20question".to_owned(),
                &["status=open", "status=closed", ""],
            ),
        ] {
            for query in queries {
                for sort in ["-created_at", "created_at", "closes_at"] {
                    let list = format!("/questions?limit=20&sort={sort}&{query}");
                    let all = get(&list).await;
                    let page = get(&format!("{list}&{common}")).await;
                    assert_eq!(page.json["data"], all.json["data"], "{list} {common}");
                }
            }
        }
        let mut page = get("/questions?limit=20").await;
        for _ in 0..5 {
            let cursor = page.json["meta"]["next_cursor"].as_str().expect("more");
            page = get(&format!("/questions?limit=20&cursor={cursor}")).await;
        }
        get(&question.path).await;
        get(&question.under("results")).await;
        get("/users/me").await;

        let ballot = question.under("ballot");
        for (choices, status) in [([0], 201), ([1], 200), ([1], 200)] {
            user.vote(&question, &choices).await.expect(status);
            after(&format!("PUT {ballot}"));
        }
        user.get(&ballot).await.expect(200);
        after(&format!("GET {ballot}"));
        user.delete(&ballot).await.expect(204);
        after(&format!("DELETE {ballot}"));
        sign_in(&self.server).await;
        after("POST /auth/token");
    }
}

/// Signs the user in; gives the access token.
async fn sign_in(server: &Server) -> String {
    let form = [
        ("grant_type", "password"),
        ("username", "ada@example.org"),
        ("password", PASSWORD),
    ];
    let call = client().post(format!("{}/api/v1/auth/token", server.address));
    let tokens = send(call.form(&form)).await.expect(200);
    tokens.text("access_token")
}

/// The newest are the first in most lists, so that an open question is behind all others; and all
/// have one author.
async fn make_it_hard(url: &str) {
    let database = engine::connect(url).await;
    let run = async |sql: String| database.read().execute_unprepared(&sql).await;
    let oldest = "SELECT created_at FROM questions ORDER BY created_at LIMIT 1 OFFSET 10";
    let oldest = sea_orm::Statement::from_string(database.read().get_database_backend(), oldest);
    let oldest = database.read().query_one_raw(oldest).await;
    let oldest: i64 = oldest
        .expect("an answer")
        .expect("questions")
        .try_get_by_index(0)
        .expect("a time");
    let close = "UPDATE questions SET closed_at = created_at, sealed_at = created_at";
    run(format!("{close} WHERE created_at > {oldest}"))
        .await
        .expect("they are closed");
    let author = "UPDATE questions SET author_id = (SELECT MIN(id) FROM users)";
    let author = match database.read().get_database_backend() {
        // It has no smallest id.
        DbBackend::Postgres => author.replace("MIN(id)", "CAST(MIN(CAST(id AS text)) AS uuid)"),
        _ => author.to_owned(),
    };
    run(author).await.expect("they are one author's");
    database.analyze(&LARGE).await.expect("the planner knows");
}

#[tokio::test]
async fn sqlite_plans_no_scan() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("polls.db");
    let busy = Busy::start(folder.path(), &format!("sqlite:{}", file.display())).await;
    busy.call(|_| ()).await;
    let log = busy.server.log();

    let mut statements = BTreeSet::new();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).expect("the log is JSON");
        let texts = [&line["db.statement"], &line["summary"]];
        let texts = texts.map(|text| text.as_str().unwrap_or_default().trim());
        // A short one is its own summary.
        let text = texts.into_iter().find(|text| !text.is_empty());
        // Several go together; see `db::Script`.
        statements.extend(text.unwrap_or_default().split(";\n").map(str::to_owned));
    }
    statements.retain(|sql| LARGE.iter().any(|table| sql.contains(table)));
    // Beside its plan, SQLite lists what a violated foreign key would have to look for.
    statements.retain(|sql| !sql.starts_with("INSERT INTO \"users\""));
    assert!(statements.len() > 15, "{statements:#?}");

    let mut database = SqliteConnection::connect(&format!("sqlite:{}", file.display()))
        .await
        .expect("the file");
    for sql in statements {
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let plan = sqlx::raw_sql(explain).fetch_all(&mut database).await;
        let plan = plan.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let steps: Vec<String> = plan.iter().map(|step| step.get("detail")).collect();
        for step in &steps {
            let scanned = step.strip_prefix("SCAN ");
            // By the order that is wanted, as far as the page goes.
            let paged = |table: &str| table.contains(" USING ") && sql.contains("LIMIT");
            let scanned = scanned.filter(|table| !paged(table));
            let is_large = |table: &str| {
                let name = table.split(' ').next().unwrap_or_default();
                // Aliases are the first letters of tables; these are rows of parameters and counts.
                !table.contains("VIRTUAL TABLE")
                    && !["r", "d", "j", "t", "json_each", "CONSTANT"].contains(&name)
            };
            assert!(!scanned.is_some_and(is_large), "{sql}\n{steps:#?}");
            assert!(
                !step.contains("TEMP B-TREE FOR ORDER BY") || !sql.contains("LIMIT"),
                "{sql}\n{steps:#?}"
            );
        }
        let by_status = steps.iter().any(|step| step.contains("questions_status_"));
        // The status that another index leads to has a form of its own.
        let beside = sql.matches("WHEN (\"questions\".\"is_sealed\"").count();
        let wanted = sql.matches("is_sealed").count() > beside;
        assert_eq!(by_status, wanted, "{sql}\n{steps:#?}");
    }
}

#[tokio::test]
async fn postgresql_plans_no_scan() {
    let Some(program) = POSTGRES.installed() else {
        return;
    };
    let explained = [
        "session_preload_libraries=auto_explain",
        "auto_explain.log_min_duration=0",
        "auto_explain.log_nested_statements=on",
    ];
    let explained = explained.map(|setting| ["-c".to_owned(), setting.to_owned()]);
    let database = Database::start_with(&POSTGRES, &program, &explained.concat());
    database.run("CREATE DATABASE polls");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let busy = Busy::start(folder.path(), &database.url("polls")).await;
    let before = database.log().len();
    busy.call(|_| ()).await;
    assert_eq!(busy.server.terminate(), Some(0));

    let log = database.log();
    let (plans, mut looked_up) = (log[before..].split(" LOG: "), 0);
    for plan in plans.filter(|entry| entry.contains("plan:")) {
        let large = |line: &str| {
            LARGE
                .iter()
                .any(|table| line.contains(&format!(" on {table} ")))
        };
        let scan = |line: &str| line.contains("Seq Scan on") && large(line);
        assert!(!plan.lines().any(scan), "{plan}");
        looked_up += usize::from(plan.contains("Index"));
    }
    assert!(looked_up > 15, "{looked_up} plans with an index");
}

#[tokio::test]
async fn mariadb_reads_no_table_from_end_to_end() {
    let Some(program) = MARIADB.installed() else {
        return;
    };
    let database = Database::start(&MARIADB, &program);
    database.run("CREATE DATABASE polls");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let busy = Busy::start(folder.path(), &database.url("polls")).await;
    for table in LARGE {
        database.run(&format!("ANALYZE TABLE polls.{table}"));
    }
    let read = || -> usize {
        let count = "SELECT CAST(SUM(VARIABLE_VALUE) AS CHAR) \
            FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME IN \
            ('HANDLER_READ_RND_NEXT', 'HANDLER_READ_NEXT', 'HANDLER_READ_PREV')";
        database.run(count)[0].parse().expect("a count")
    };
    // Asking is a scan, too.
    let cost = {
        let before = read();
        read() - before
    };
    let mut before = read();
    busy.call(|call| {
        let now = read();
        let rows = (now - before).saturating_sub(cost);
        assert!(rows < QUESTIONS / 2, "{call} has read {rows} rows");
        before = now;
    })
    .await;

    // Some hundred wait to open, and are older than all that are open.
    let oldest = "SELECT created_at FROM polls.questions ORDER BY created_at LIMIT 1 OFFSET 300";
    let oldest = &database.run(oldest)[0];
    database.run(&format!(
        "UPDATE polls.questions SET closed_at = NULL, sealed_at = NULL, \
         opens_at = IF(created_at < {oldest}, 4102444800000000, NULL)"
    ));
    let before = read();
    let scheduled = busy
        .user
        .get("/questions?status=scheduled")
        .await
        .expect(200);
    assert_eq!(scheduled.json["data"][0]["status"], "scheduled");
    let rows = (read() - before).saturating_sub(cost);
    assert!(rows < QUESTIONS / 2, "the scheduled ones: {rows} rows");
    assert_eq!(busy.server.terminate(), Some(0));
}
