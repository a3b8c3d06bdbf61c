//! What is called often reads no large table from end to end: on SQLite by its plans, on PostgreSQL
//! by what its plans have read, on MariaDB by its counters.

use std::collections::BTreeSet;
use std::path::Path;

use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use sqlx::{Connection as _, Row as _, SqliteConnection};

use crate::support::app::{client, send};
use crate::support::database::{Database, MARIADB, POSTGRES};
use crate::support::{PASSWORD, Question, Server, User, engine, eventually, polls};

/// What there is: enough that a scan shows, and that planners would rather not do one.
const QUESTIONS: usize = 8_000;
const BALLOTS: usize = 30_000;

/// How the test's own statements begin, and what follows the last of them.
const DATA: &str = "/* data */ ";
const READY: &str = "/* ready */ SELECT 1";

/// Somebody who has asked nothing.
const NOBODY: &str = "00000000-0000-7000-8000-000000000000";

/// What grows without end.
const LARGE: [&str; 10] = [
    "users",
    "questions",
    "choices",
    "ballots",
    "ballot_marks",
    "anonymous_ballots",
    "anonymous_marks",
    "question_shards",
    "choice_shards",
    "search_terms",
];

/// A server on a database full of data, and somebody who uses it.
struct Busy {
    server: Server,
    user: User,
    url: String,
    /// How often each list is asked for.
    times: usize,
}

impl Busy {
    async fn start(folder: &Path, url: &str, times: usize) -> Busy {
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
        // So that it is looked for what has to be sealed, too.
        let often = ["--set", "ballots.seal_interval=100ms"];
        // What SQLite is asked; the servers tell by themselves.
        let logged = ["--set", "log.filter=sqlx=trace"];
        // A statement is planned for each connection anew.
        let one = ["--set", "database.max_connections=1"];
        let flags = [&["--set", &database], &often[..], &logged, &one].concat();
        let server = Server::start(folder, &flags);
        let account = json!({"name": "Ada", "email": "ada@example.org", "password": PASSWORD});
        let call = |path: &str| client().post(format!("{}/api/v1{path}", server.address));
        let id = send(call("/users").json(&account)).await.expect(201);
        let token = sign_in(&server).await;
        let user = User::of_token(&id.text("id"), &token, client(), &server.address);
        let url = url.to_owned();
        Busy {
            server,
            user,
            url,
            times,
        }
    }

    /// All that is called often, each call with what comes after it: where nearly all questions
    /// are closed, and where many are of every kind.
    async fn call(&self, mut after: impl FnMut(&str)) {
        for data in [nearly_all_closed(), mixed()] {
            self.change(&data).await;
            after(DATA);
            self.call_all(&mut after).await;
        }
        let scheduled = self.list("status=scheduled", &mut after).await;
        assert_eq!(scheduled["data"][0]["status"], "scheduled");
        let deleted = self.list("deleted=true", &mut after).await;
        assert!(deleted["data"][0]["deleted_at"].is_string(), "{deleted}");
        self.change(&nearly_all_unlisted()).await;
        after(DATA);
        self.call_all(&mut after).await;
        self.list_own(&mut after).await;
    }

    /// One's own questions, which are all there are, and nearly all of them unlisted.
    async fn list_own(&self, after: &mut impl FnMut(&str)) {
        for whose in ["", "&listed=true", "&listed=false", "&deleted=true"] {
            for query in [
                "",
                "status=open",
                "status=closed",
                "q=half",
                "q=sample&status=open",
            ] {
                for sort in ["-created_at", "created_at", "closes_at"] {
                    let list = format!("author=me{whose}&sort={sort}&{query}");
                    let own = self.list(&list, after).await;
                    assert_ne!(own["data"], json!([]), "{list}");
                }
            }
        }
    }

    /// Changes the data, and lets the planner know.
    async fn change(&self, statements: &[String]) {
        let database = engine::connect(&self.url).await;
        let author = "UPDATE questions SET author_id = \
             (SELECT id FROM users WHERE email = 'ada@example.org')";
        for sql in [&[author.to_owned()], statements].concat() {
            let sql = format!("{DATA}{sql}");
            let done = database.read().execute_unprepared(&sql).await;
            done.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        database.analyze(&LARGE).await.expect("the planner knows");
        let ready = database.read().execute_unprepared(READY).await;
        ready.expect("it is done");
    }

    /// The first page of a list, having turned to the second.
    async fn list(&self, query: &str, after: &mut impl FnMut(&str)) -> Value {
        let list = format!("/questions?limit=20&{query}");
        let mut first = Value::Null;
        for _ in 0..self.times {
            let page = self.user.get(&list).await.expect(200);
            after(&list);
            if let Some(cursor) = page.json["meta"]["next_cursor"].as_str() {
                let next = format!("{list}&cursor={cursor}");
                self.user.get(&next).await.expect(200);
                after(&next);
            }
            first = page.json;
        }
        first
    }

    async fn call_all(&self, after: &mut impl FnMut(&str)) {
        let user = &self.user;
        for query in [
            "",
            "status=closed",
            "status=scheduled",
            "deleted=true",
            "deleted=true&q=half",
            "q=sample",
            "q=sample%20question%207",
            "q=sample&status=scheduled",
            "q=half",
            "q=nothing%20of%20the%20kind",
            "q=nothing&status=open",
            // Both are common, but one of them among the oldest only.
            "q=sample%20vintage",
            "q=rare%20half",
            "q=half%20third",
            "q=half&status=open",
            "q=half&status=closed",
            "q=half&status=scheduled",
            "q=rare&status=open",
            "q=rare&status=closed",
        ] {
            for sort in ["-created_at", "created_at", "closes_at"] {
                self.list(&format!("sort={sort}&{query}"), after).await;
            }
        }
        self.list(&format!("author={NOBODY}"), after).await;
        let open = self.list("status=open", after).await;
        let question = Question::of(&open["data"][0]);
        // What all have in common changes no list, whichever index that follows.
        for (common, queries) in [
            (
                format!("author={}", user.id),
                &["status=open", "status=closed", "q=7", "q=half", ""][..],
            ),
            (
                "q=sample%20question".to_owned(),
                &["status=open", "status=closed", ""],
            ),
        ] {
            for query in queries {
                for sort in ["-created_at", "created_at", "closes_at"] {
                    let list = format!("sort={sort}&{query}");
                    let all = self.list(&list, after).await;
                    let same = self.list(&format!("{list}&{common}"), after).await;
                    assert_eq!(same["data"], all["data"], "{list} {common}");
                }
            }
        }
        let mut get = async |path: &str| {
            let answer = user.get(path).await.expect(200);
            after(path);
            answer
        };
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
        after(&ballot);
        for path in ["/users/me/ballots", "/users/me/ballots?limit=1"] {
            user.get(path).await.expect(200);
            after(path);
        }
        user.delete(&ballot).await.expect(204);
        after(&format!("DELETE {ballot}"));
        sign_in(&self.server).await;
        after("POST /auth/token");
        self.call_anonymous(after).await;
    }

    /// A ballot and the receipts of an anonymous question with many ballots.
    async fn call_anonymous(&self, after: &mut impl FnMut(&str)) {
        let user = &self.user;
        let anonymous = json!({"ballot_secrecy": "anonymous", "allow_change": false});
        let question = user.ask(&["a", "b"], anonymous).await;
        let new = "(SELECT c.id FROM choices c WHERE c.question_id = q.id ORDER BY c.id LIMIT 1) \
             AS choice_id, o.id AS receipt FROM choices o, questions q \
             WHERE q.ballot_secrecy = 'anonymous' \
             AND NOT EXISTS (SELECT 1 FROM anonymous_marks m WHERE m.question_id = q.id) \
             ORDER BY o.id LIMIT 9000";
        let fill = |into: &str, columns: &str| {
            format!(
                "INSERT INTO {into} (question_id, sealed, {columns}) \
                 SELECT question_id, 0, {columns} \
                 FROM (SELECT q.id AS question_id, 1 AS value, {new}) AS n"
            )
        };
        let ballots = fill("anonymous_ballots", "receipt");
        let marks = fill("anonymous_marks", "receipt, choice_id, value");
        self.change(&[ballots, marks]).await;
        after(DATA);
        let ballot = question.under("ballot");
        let receipt = format!("{:032x}", rand::random::<u128>());
        let body = json!({"choice_ids": question.choices[..1], "receipt": receipt});
        for _ in 0..self.times {
            let cast = user.put(&ballot, body.clone()).await;
            assert!(cast.status.is_success(), "{cast:?}");
            after(&format!("PUT {ballot}"));
            user.get(&ballot).await.expect(200);
            after(&ballot);
        }
        let close = question.under("close");
        user.post(&close, json!(null)).await.expect(200);
        let receipts = question.under("receipts");
        eventually(async || user.get(&receipts).await.status == 200).await;
        after(DATA);
        for _ in 0..self.times {
            let page = user.get(&receipts).await.expect(200).json;
            after(&receipts);
            let cursor = page["meta"]["next_cursor"].as_str().expect("more");
            let next = format!("{receipts}?cursor={cursor}");
            user.get(&next).await.expect(200);
            after(&next);
        }
        user.put(&ballot, body).await.expect(200);
        after(&format!("PUT {ballot}"));
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

/// The questions, numbered from the oldest to the newest, for which the condition on `n` is true.
fn numbered(condition: &str) -> String {
    format!(
        "(SELECT id, created_at FROM (SELECT id, created_at, \
         ROW_NUMBER() OVER (ORDER BY created_at, id) AS n FROM questions) AS all_questions \
         WHERE {condition}) AS numbered"
    )
}

/// The newest are the first in most lists, so an open question is behind all others. Words are put
/// among the questions.
fn nearly_all_closed() -> Vec<String> {
    let mut statements = vec![close("n > 10")];
    for (word, condition) in [
        ("half", "n % 2 = 0"),
        ("third", "n % 3 = 0"),
        ("rare", "n % 400 = 0"),
        ("vintage", "n <= 250"),
    ] {
        statements.push(format!(
            "INSERT INTO search_terms (term, created_at, question_id) \
             SELECT '{word}', created_at, id FROM {}",
            numbered(condition)
        ));
    }
    statements
}

/// Half are open, and some hundred of them, the oldest, only later; many were deleted.
fn mixed() -> Vec<String> {
    vec![
        "UPDATE questions SET closed_at = NULL, sealed_at = NULL".to_owned(),
        close("n % 5 IN (0, 1)"),
        set("opens_at = 4102444800000000", "n < 300"),
        set("deleted_at = created_at", "n % 8 IN (1, 2, 3)"),
    ]
}

/// Some hundred, the oldest, are listed; a list must not look for them among all the others.
fn nearly_all_unlisted() -> Vec<String> {
    /// The terms are changed in as many statements, since the servers end long ones.
    const PARTS: usize = 64;
    let others = "n > 250";
    let mut statements = vec![
        set("listed = FALSE", others),
        set("opens_at = NULL", "n <= 100"),
    ];
    statements.extend((0..PARTS).map(|part| {
        let some = numbered(&format!("{others} AND n % {PARTS} = {part}"));
        format!(
            "UPDATE search_terms SET term = concat('-', substr(term, 1, 63)) \
             WHERE question_id IN (SELECT id FROM {some})"
        )
    }));
    statements
}

fn close(condition: &str) -> String {
    set("closed_at = created_at, sealed_at = created_at", condition)
}

fn set(change: &str, condition: &str) -> String {
    let which = numbered(condition);
    format!("UPDATE questions SET {change} WHERE id IN (SELECT id FROM {which})")
}

#[tokio::test]
async fn sqlite_plans_no_scan() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("polls.db");
    let busy = Busy::start(folder.path(), &format!("sqlite:{}", file.display()), 1).await;
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
        let by_status = steps.iter().any(|step| step.contains("_status_"));
        // The status that another index leads to has a form of its own.
        let beside = sql.matches("WHEN (\"questions\".\"is_sealed\"").count();
        let wanted = sql.matches("is_sealed").count() > beside;
        assert_eq!(by_status, wanted, "{sql}\n{steps:#?}");
        // So has the author.
        let by_author = steps.iter().any(|step| step.contains("questions_author"));
        let of_author = sql.matches("\"questions\".\"author_id\" = ?").count();
        let beside = sql.matches("WHEN (\"questions\".\"author_id\" = ?").count();
        let wanted = sql.contains("\"list_key\"") && of_author > beside;
        assert!(by_author || !wanted, "{sql}\n{steps:#?}");
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
        "auto_explain.log_analyze=on",
        "auto_explain.log_timing=off",
        "auto_explain.log_format=json",
    ];
    let explained = explained.map(|setting| ["-c".to_owned(), setting.to_owned()]);
    let database = Database::start_with(&POSTGRES, &program, &explained.concat());
    database.run("CREATE DATABASE polls");
    let folder = tempfile::tempdir().expect("a temporary folder");
    // After five times a statement is planned once for all.
    let busy = Busy::start(folder.path(), &database.url("polls"), 7).await;
    let before = database.log().len();
    busy.call(|_| ()).await;
    assert_eq!(busy.server.terminate(), Some(0));

    let log = database.log();
    let (mut looked_up, mut is_ready) = (0, false);
    for plan in log[before..].split(" plan:\n").skip(1) {
        let mut plan = serde_json::Deserializer::from_str(plan).into_iter();
        let plan: Value = plan.next().expect("a plan").expect("in JSON");
        let text = plan["Query Text"].as_str().expect("its text");
        let reads = reads(&plan["Plan"]);
        let rows: f64 = reads.iter().map(|node| rows_read(node)).sum();
        let scanned = reads.iter().any(|node| node["Node Type"] == "Seq Scan");
        // In between the planner does not know.
        is_ready = text == READY || is_ready && !text.starts_with(DATA);
        assert!(
            !is_ready || !scanned && rows < QUESTIONS as f64 / 2.0,
            "{rows} rows: {plan:#}"
        );
        looked_up += usize::from(rows > 0.0);
    }
    assert!(looked_up > 1_000, "{looked_up} plans that read");
}

/// Where a plan reads large tables.
fn reads(node: &Value) -> Vec<&Value> {
    let is_large = |name: &Value| LARGE.iter().any(|table| name == table);
    let own = is_large(&node["Relation Name"]).then_some(node);
    let children = node["Plans"].as_array().into_iter().flatten();
    own.into_iter().chain(children.flat_map(reads)).collect()
}

/// How many rows it has read there, those included that it did not want.
fn rows_read(node: &Value) -> f64 {
    let number = |name: &str| node[name].as_f64().unwrap_or_default();
    let each = number("Actual Rows")
        + number("Rows Removed by Filter")
        + number("Rows Removed by Index Recheck");
    each * number("Actual Loops")
}

#[tokio::test]
async fn mariadb_reads_no_table_from_end_to_end() {
    let Some(program) = MARIADB.installed() else {
        return;
    };
    let database = Database::start(&MARIADB, &program);
    database.run("CREATE DATABASE polls");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let busy = Busy::start(folder.path(), &database.url("polls"), 1).await;
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
        // A search among listed and unlisted questions looks into two lists of terms, and counts the
        // rarest of its conditions in each.
        let has_both = ["author=me", "deleted=true"]
            .iter()
            .any(|of| call.contains(of));
        let is_twofold = has_both && call.contains("q=") && !call.contains("listed=");
        let lists = if is_twofold { 2 } else { 1 };
        assert!(
            call == DATA || rows < lists * QUESTIONS / 2,
            "{call} has read {rows} rows"
        );
        before = now;
    })
    .await;
    assert_eq!(busy.server.terminate(), Some(0));
}
