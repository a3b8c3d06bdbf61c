//! The ballots of a question as a file: what it says, to whom, and that `polls tally` counts it to the
//! same outcome.

use std::collections::BTreeSet;
use std::path::Path;

use futures_util::future::join_all;
use polls::db::{self, Column, Db, Rows};
use reqwest::Method;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::app::send;
use crate::support::crowd::{CHEAP_PASSWORDS, crowd};
use crate::support::{Answer, Question, Server, TestApp, User, engine, polls};

/// Names of choices that formats and spreadsheets could take for something else.
const NAMES: [&str; 7] = [
    "=1+1",
    "a \"quoted\" \\ name, with 'all', of it;=cmd;x",
    "count",
    "scores",
    "# polls.method: star",
    "'-5",
    "寿司",
];

async fn export(who: &User, question: &Question, format: &str) -> Answer {
    let path = question.under(&format!("export?format={format}"));
    who.get(&path).await
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.bytes.to_vec()).expect("UTF-8")
}

async fn close(author: &User, question: &Question) {
    let close = question.under("close");
    author.post(&close, Value::Null).await.expect(200);
}

/// A user whose name is no part of an address.
async fn named(app: &TestApp, name: &str) -> User {
    let user = app.user("voter").await;
    let change = json!({"name": name});
    user.patch("/users/me", change).await.expect(200);
    user
}

/// Casts a ballot that names these choices, the best first.
async fn cast(voter: &User, question: &Question, method: &str, choices: &[usize]) {
    let ids = choices.iter().map(|choice| &question.choices[*choice]);
    let ballot = match method {
        "score" | "star" => {
            let scores = ids.zip((1..=5).rev());
            let scores = scores.map(|(id, score)| json!({"choice_id": id, "score": score}));
            json!({"scores": scores.collect::<Vec<_>>()})
        }
        _ => json!({"choice_ids": ids.collect::<Vec<_>>()}),
    };
    let cast = voter.put(&question.under("ballot"), ballot).await;
    assert!(cast.status.is_success(), "{}", cast.json);
}

/// The outcome and the totals that the results tell, with names for ids.
async fn expected(app: &TestApp, question: &Question) -> Value {
    let results = app.get(&question.under("results")).await.expect(200).json;
    let choices = results["choices"].as_array().expect("choices");
    let name = |id: &Value| {
        let choice = choices.iter().find(|choice| choice["id"] == *id);
        choice.expect("a choice")["choice_text"].clone()
    };
    let names = |field: &str| -> Value {
        let ids = results["outcome"][field].as_array().expect("ids");
        ids.iter().map(name).collect()
    };
    let totals = choices.iter().map(|choice| {
        let name = choice["choice_text"].as_str().expect("a name");
        (name.to_owned(), choice["votes"].clone())
    });
    json!({
        "outcome": {
            "status": results["outcome"]["status"],
            "elected": names("elected_choice_ids"),
            "tied": names("tied_choice_ids"),
            "decided_by_lot": results["outcome"]["decided_by_lot"],
        },
        "totals": totals.collect::<serde_json::Map<_, _>>(),
    })
}

/// What `polls tally --json` counts in a file.
fn tallied(folder: &Path, file: &Answer, extension: &str) -> Value {
    let path = folder.join(format!("ballots.{extension}"));
    std::fs::write(&path, &file.bytes).expect("the file is written");
    let path = path.display().to_string();
    let printed = polls(folder, &["tally", "--json", &path]).done();
    let mut report: Value = serde_json::from_str(&printed).expect("JSON");
    report
        .as_object_mut()
        .expect("an object")
        .remove("explanation");
    report
}

/// An election: the method, the settings, and what the voters choose.
struct Story {
    method: &'static str,
    more: Value,
    ballots: &'static [&'static [usize]],
}

const SPREAD: &[&[usize]] = &[
    &[0, 1, 2],
    &[1, 0],
    &[1, 0],
    &[6, 5, 4, 3],
    &[3],
    &[2, 3, 0],
    &[],
    &[0, 1, 2],
];
/// Two choices are tied for a seat.
const TIE: &[&[usize]] = &[&[5], &[1], &[], &[5], &[1], &[3]];

fn stories() -> Vec<Story> {
    let mut stories = Vec::new();
    for method in [
        "multiple_choice",
        "instant_runoff",
        "single_transferable_vote",
        "ranked_pairs",
        "borda",
        "score",
        "star",
    ] {
        let seats = match method {
            "multiple_choice" | "single_transferable_vote" | "borda" | "score" => 2,
            _ => 1,
        };
        let limit = json!({"max_choices": 7, "min_choices": 0, "seats": seats});
        let with = |more: Value| {
            let mut all = limit.clone();
            let fields = all.as_object_mut().expect("an object");
            fields.extend(more.as_object().expect("fields").clone());
            all
        };
        let mut story = |more: Value, ballots| {
            let more = with(more);
            stories.push(Story {
                method,
                more,
                ballots,
            });
        };
        story(json!({}), SPREAD);
        story(json!({"quorum": 9}), SPREAD);
        story(json!({"seats": 1, "tie_break": "lot"}), TIE);
        story(json!({}), &[]);
        story(json!({}), &[&[], &[]]);
        if matches!(method, "multiple_choice" | "borda" | "score") {
            story(json!({"seats": 1, "tie_break": "none"}), TIE);
        }
        if method == "multiple_choice" {
            let most = json!({"numerator": 9, "denominator": 10, "of": "ballots", "exceed": true});
            story(json!({"threshold": most}), SPREAD);
            let third = json!({"numerator": 1, "denominator": 3, "of": "votes_cast"});
            story(json!({"threshold": third}), SPREAD);
        }
        if method == "score" {
            story(json!({"max_score": 100}), SPREAD);
        }
    }
    stories
}

#[tokio::test]
async fn polls_tally_counts_every_export_to_the_same_outcome() {
    let (app, author) = TestApp::with_user("lucy").await;
    let voters = join_all((0..SPREAD.len()).map(|_| app.user("scores"))).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut statuses, mut lots) = (Vec::new(), 0);
    for Story {
        method,
        more,
        ballots,
    } in stories()
    {
        for secrecy in ["secret", "public"] {
            let mut more = more.clone();
            more["method"] = json!(method);
            more["ballot_secrecy"] = json!(secrecy);
            let question = author.ask(&NAMES, more.clone()).await;
            for (voter, ballot) in voters.iter().zip(ballots) {
                cast(voter, &question, method, ballot).await;
            }
            close(&author, &question).await;
            let expected = expected(&app, &question).await;
            for format in ["csv", "blt", "json"] {
                let file = export(&author, &question, format).await;
                if format == "blt" && matches!(method, "score" | "star") {
                    file.problem("format_unavailable").expect(409);
                    continue;
                }
                let file = file.expect(200);
                let counted = tallied(folder.path(), &file, format);
                assert_eq!(counted, expected, "{more} as {format}:\n{}", text(&file));
            }
            lots += usize::from(expected["outcome"]["decided_by_lot"] == true);
            statuses.push(
                expected["outcome"]["status"]
                    .as_str()
                    .expect("a status")
                    .to_owned(),
            );
        }
    }
    // Everything that can come out did.
    for status in [
        "decided",
        "tied",
        "no_votes",
        "no_quorum",
        "below_threshold",
    ] {
        assert!(statuses.iter().any(|found| found == status), "{status}");
    }
    assert!(lots >= 10, "{lots}");
}

/// Another method counts the same file, without the server.
#[tokio::test]
async fn an_export_can_be_counted_otherwise() {
    let (app, author) = TestApp::with_user("lucy").await;
    let voters = join_all((0..3).map(|_| app.user("voter"))).await;
    let question = author
        .ask(&["a", "b", "c"], json!({"method": "instant_runoff"}))
        .await;
    for (voter, ballot) in voters.iter().zip([[0, 1, 2], [1, 2, 0], [1, 0, 2]]) {
        cast(voter, &question, "instant_runoff", &ballot).await;
    }
    close(&author, &question).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    for format in ["csv", "blt", "json"] {
        let file = export(&author, &question, format).await.expect(200);
        let path = folder.path().join(format!("ballots.{format}"));
        std::fs::write(&path, &file.bytes).expect("the file is written");
        let path = path.display().to_string();
        let command = ["tally", "--json", "--method", "borda", &path];
        let report: Value =
            serde_json::from_str(&polls(folder.path(), &command).done()).expect("JSON");
        assert_eq!(report["outcome"]["elected"], json!(["b"]));
        let points = &report["explanation"]["totals"][1]["points"];
        assert_eq!(points.as_f64(), Some(5.0), "{report}");
    }
}

#[tokio::test]
async fn the_files_say_what_they_should() {
    let (app, author) = TestApp::with_user("lucy").await;
    let voters = join_all((0..4).map(|_| app.user("voter"))).await;
    let more = json!({"question_text": "Which \"one\"?", "method": "single_transferable_vote",
        "seats": 2, "min_choices": 0});
    let question = author.ask(&["a", "-b", "c"], more).await;
    for (voter, ballot) in voters.iter().zip([&[2, 0][..], &[], &[0], &[2, 0]]) {
        cast(voter, &question, "single_transferable_vote", ballot).await;
    }
    close(&author, &question).await;
    let csv = export(&author, &question, "csv").await.expect(200);
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    let expected = "\u{feff}# polls.method: single_transferable_vote\r\n# polls.seats: 2\r\n\
        # polls.tie_break: lot\r\n# polls.cells: ranks\r\n# polls.first_choice_column: 2\r\n\
        count,a,'-b,c\r\n1,,,\r\n1,1,,\r\n2,2,,1\r\n";
    assert_eq!(text(&csv), expected);
    // It is the default.
    let default = author.get(&question.under("export")).await.expect(200);
    assert_eq!(default.bytes, csv.bytes);
    let blt = export(&author, &question, "blt").await.expect(200);
    assert_eq!(blt.header("content-type"), "text/plain; charset=utf-8");
    let expected = "# polls.method: single_transferable_vote\n# polls.seats: 2\n\
        # polls.tie_break: lot\n3 2\n1 0\n1 1 0\n2 3 1 0\n0\n\"a\"\n\"-b\"\n\"c\"\n\
        \"Which \\\"one\\\"?\"\n";
    assert_eq!(text(&blt), expected);
    let json = export(&author, &question, "json").await.expect(200);
    assert_eq!(
        json.header("content-type"),
        "application/vnd.polls.election+json"
    );
    assert_eq!(
        json.json,
        json!({"name": "Which \"one\"?", "method": "single_transferable_vote", "seats": 2,
        "tie_break": "lot", "choices": ["a", "-b", "c"], "ballots": [
            {"count": 1, "ranking": []},
            {"count": 1, "ranking": ["a"]},
            {"count": 2, "ranking": ["c", "a"]},
        ]})
    );
    for (format, name) in [
        ("csv", "Which-one.csv"),
        ("blt", "Which-one.blt"),
        ("json", "Which-one.json"),
    ] {
        let path = question.under(&format!("export?format={format}"));
        let get = author.get(&path).await.expect(200);
        let disposition = format!("attachment; filename=\"{name}\"");
        assert_eq!(get.header("content-disposition"), disposition);
        assert_eq!(get.header("cache-control"), "no-store");
        // HEAD tells the same, and sends nothing.
        let head = send(author.request(Method::HEAD, &path)).await.expect(200);
        assert!(head.bytes.is_empty());
        let without = |answer: &Answer| {
            let headers = answer.lasting_headers().into_iter();
            headers
                .filter(|(name, _)| name != "transfer-encoding")
                .collect::<Vec<_>>()
        };
        assert_eq!(without(&head), without(&get));
    }
    author
        .get(&question.under("export?format=xml"))
        .await
        .problem("malformed_request");
}

#[tokio::test]
async fn an_export_is_for_the_author_and_admins_once_voting_has_ended() {
    let (app, author) = TestApp::with_user("lucy").await;
    let (other, admin) = (app.user("other").await, app.admin("root").await);
    let question = author.ask(&["a", "b"], json!({})).await;
    other.vote(&question, &[0]).await.expect(201);
    for format in ["csv", "blt", "json"] {
        for who in [&author, &admin] {
            export(who, &question, format)
                .await
                .problem("voting_open")
                .expect(409);
        }
        export(&other, &question, format)
            .await
            .problem("forbidden")
            .expect(403);
    }
    close(&author, &question).await;
    let path = question.under("export");
    app.get(&path).await.problem("unauthenticated").expect(401);
    other.get(&path).await.problem("forbidden").expect(403);
    for who in [&author, &admin] {
        who.get(&path).await.expect(200);
    }
    author
        .post(&question.under("reopen"), json!({}))
        .await
        .expect(200);
    author.get(&path).await.problem("voting_open");
    author.delete(&question.path).await.expect(204);
    other.get(&path).await.problem("not_found");
}

#[tokio::test]
async fn public_ballots_are_exported_with_their_voters_at_any_time() {
    let (app, author) = TestApp::with_user("lucy").await;
    let voters = [
        named(&app, "=HYPERLINK(\"http://evil\")").await,
        app.user("scores").await,
    ];
    let question = author
        .ask(&["a", "b"], json!({"ballot_secrecy": "public"}))
        .await;
    for (voter, choice) in voters.iter().zip([1, 0]) {
        voter.vote(&question, &[choice]).await.expect(201);
    }
    voters[1].delete_account().await.expect(204);
    let shown = app.get(&question.under("ballots")).await.expect(200).json["data"].clone();
    let time = |place: usize, name: &str| shown[place][name].as_str().expect("a time").to_owned();
    let csv = text(&export(&author, &question, "csv").await.expect(200));
    let expected = format!(
        "\u{feff}# polls.method: multiple_choice\r\n# polls.seats: 1\r\n\
         # polls.first_choice_column: 6\r\n\
         voter_id,voter_name,guest,cast_at,updated_at,a,b\r\n\
         {},\"'=HYPERLINK(\"\"http://evil\"\")\",false,{},{},,1\r\n{},,false,{},{},1,\r\n",
        voters[0].id,
        time(0, "cast_at"),
        time(0, "updated_at"),
        voters[1].id,
        time(1, "cast_at"),
        time(1, "updated_at"),
    );
    assert_eq!(csv, expected);
    let json = export(&author, &question, "json").await.expect(200).json;
    for (place, name) in [(0, "b"), (1, "a")] {
        let ballot = json!({"voter": shown[place]["voter"], "cast_at": time(place, "cast_at"),
            "updated_at": time(place, "updated_at"), "ranking": [name]});
        assert_eq!(json["ballots"][place], ballot);
    }
    // This format has no room for names.
    let blt = text(&export(&author, &question, "blt").await.expect(200));
    assert!(blt.contains("\n1 2 0\n1 1 0\n0\n"), "{blt}");
    voters[0]
        .get(&question.under("export"))
        .await
        .problem("forbidden");
}

/// Whoever has voted, in whatever order: the file is the same.
#[tokio::test]
async fn secret_ballots_are_exported_without_names_times_and_order() {
    let (app, author) = TestApp::with_user("lucy").await;
    let voters = join_all((0..6).map(|_| app.user("Ada"))).await;
    for method in ["multiple_choice", "borda", "score"] {
        let ballots: [&[usize]; 6] = [&[2, 0], &[0, 2], &[1], &[], &[1], &[0, 1, 2]];
        let mut files: Vec<Vec<String>> = Vec::new();
        for turn in 0..3 {
            let more = json!({"method": method, "min_choices": 0, "max_choices": 3});
            let question = author.ask(&["a", "b", "c"], more).await;
            for place in 0..6 {
                // The same ballots by others, in another order, and with changes on the way.
                let place = (place * 5 + turn) % 6;
                let voter = &voters[(place + 2 * turn) % 6];
                if turn == 2 {
                    cast(voter, &question, method, &[2]).await;
                }
                cast(voter, &question, method, ballots[place]).await;
            }
            close(&author, &question).await;
            let mut of_question = Vec::new();
            for format in ["csv", "blt", "json"] {
                let file = export(&author, &question, format).await;
                if file.status == 200 {
                    let file = text(&file);
                    assert!(!file.contains("Ada") && !file.contains("20"), "{file}");
                    assert!(voters.iter().all(|voter| !file.contains(&voter.id)));
                    of_question.push(file);
                }
            }
            files.push(of_question);
        }
        assert!(files[0].len() >= 2);
        assert_eq!(files[0], files[1], "{method}");
        assert_eq!(files[0], files[2], "{method}");
    }
}

/// Spreadsheets with another separator split cells at semicolons.
#[tokio::test]
async fn no_cell_of_a_table_is_a_formula() {
    let (app, author) = TestApp::with_user("lucy").await;
    let names = [
        "=1+1", "+1", "-1", "@SUM(1)", "＝1", "x;=1;y", "x; +1", "a,=1", "'=1", "\"=1",
    ];
    let voter = named(&app, "@SUM(1);=2").await;
    for secrecy in ["secret", "public"] {
        let question = author.ask(&names, json!({"ballot_secrecy": secrecy})).await;
        voter.vote(&question, &[0]).await.expect(201);
        close(&author, &question).await;
        let file = export(&author, &question, "csv").await.expect(200);
        for separator in [b',', b';'] {
            let mut table = csv::ReaderBuilder::new();
            let table = table.delimiter(separator).flexible(true).has_headers(false);
            for row in table.from_reader(&file.bytes[..]).records() {
                for cell in &row.expect("a row") {
                    let cell = cell.trim_start();
                    let runs = cell.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
                    assert!(!runs, "{cell:?}");
                }
            }
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let expected = expected(&app, &question).await;
        assert_eq!(tallied(folder.path(), &file, "csv"), expected);
    }
}

/// How many ballots a large question has.
const MANY: usize = 100_000;

/// Stores rows, so many at once. `insert` has the names of the table and its columns, `select` their
/// values; the rows are called `r`.
async fn store(
    database: &Db,
    (insert, select): (&str, &str),
    columns: &[Column],
    push: impl Fn(&mut Rows, usize),
) {
    const AT_ONCE: usize = 10_000;
    for first in (0..MANY).step_by(AT_ONCE) {
        let mut rows = Rows::new();
        (first..first + AT_ONCE).for_each(|number| push(&mut rows, number));
        let (rows, value) = (db::rows(database.read(), "r", columns), rows.to_value());
        let sql = format!("INSERT INTO {insert} SELECT {select} FROM {rows}");
        let statement = db::statement(database.read(), &sql, [value]);
        database
            .read()
            .execute_raw(statement)
            .await
            .expect("it is stored");
    }
}

/// A different ranking for each number: of 8 choices there are 109,600.
fn rankings() -> Vec<Vec<u8>> {
    let mut rankings: Vec<Vec<u8>> = vec![Vec::new()];
    let mut next = 0;
    while rankings.len() <= MANY {
        for choice in 0..8 {
            if !rankings[next].contains(&choice) {
                let longer = [&rankings[next][..], &[choice]].concat();
                rankings.push(longer);
            }
        }
        next += 1;
    }
    rankings.split_off(1)
}

/// A field of `/proc/PID/status`, in bytes.
fn memory(server: &Server, field: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id()));
    let status = status.expect("the status of the process");
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    1024 * number
        .expect("a number")
        .parse::<usize>()
        .expect("a number")
}

/// Downloads a file; returns its lines, and by how much the memory of the server has grown at most.
async fn download(server: &Server, author: &User, path: &str) -> (Vec<String>, usize) {
    let before = memory(server, "VmRSS");
    // From here on its peak counts.
    let reset = std::fs::write(format!("/proc/{}/clear_refs", server.id()), "5");
    reset.expect("the peak is reset");
    let mut answer = author
        .request(Method::GET, path)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
    let mut file = Vec::new();
    while let Some(piece) = answer.chunk().await.expect("it is whole") {
        file.extend_from_slice(&piece);
    }
    let grown = memory(server, "VmHWM").saturating_sub(before);
    let file = String::from_utf8(file).expect("UTF-8");
    (file.lines().map(str::to_owned).collect(), grown)
}

#[tokio::test]
async fn large_files_take_little_memory() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Beside the tests of other engines, MariaDB may take its time for so many rankings.
    let patience = ["--set", "database.statement_timeout=30s"];
    let flags: Vec<&str> = CHEAP_PASSWORDS.into_iter().chain(patience).collect();
    let server = Server::start(folder.path(), &flags);
    let author = &crowd(folder.path(), &server, 1)[0];
    let database = engine::connect(&engine::database_url(folder.path())).await;
    let choices = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let public = author
        .ask(&choices, json!({"ballot_secrecy": "public"}))
        .await;
    let secret = author.ask(&choices, json!({"method": "borda"})).await;
    let id = |text: &str| text.parse::<Uuid>().expect("an id");
    let (question, choice) = (id(&public.id), id(&public.choices[3]));
    let voter = |number: usize| Uuid::from_u128(number as u128 + 1);
    let name = "x".repeat(40);
    let users = format!("id, '{name}', 'user', 1, 0, 0");
    let into = "users (id, name, role, revision, created_at, updated_at)";
    store(
        &database,
        (into, &users),
        &[Column::Id("id")],
        |rows, number| {
            rows.push(&[voter(number)], &[]);
        },
    )
    .await;
    let (question_id, user_id) = (Column::Id("question_id"), Column::Id("user_id"));
    let into = "ballots (question_id, user_id, cast_at, updated_at)";
    let ballots = (into, "question_id, user_id, 0, 0");
    store(
        &database,
        ballots,
        &[question_id, user_id],
        |rows, number| {
            rows.push(&[question, voter(number)], &[]);
        },
    )
    .await;
    let into = "ballot_marks (question_id, user_id, choice_id, value)";
    let marks = (into, "question_id, user_id, choice_id, 1");
    let columns = [question_id, user_id, Column::Id("choice_id")];
    store(&database, marks, &columns, |rows, number| {
        rows.push(&[question, voter(number), choice], &[]);
    })
    .await;
    let (ranked, rankings) = (id(&secret.id), rankings());
    let into = "profile_shards (question_id, shard, ballot, ballots)";
    let profile = (into, "question_id, 0, ballot, 1");
    store(
        &database,
        profile,
        &[question_id, Column::Bytes("ballot")],
        |rows, number| {
            rows.push_bytes(&[ranked], &rankings[number], &[]);
        },
    )
    .await;
    close(author, &secret).await;

    let bytes = |lines: &[String]| lines.iter().map(|line| line.len() + 2).sum::<usize>();
    // The first time fills the caches of the connections.
    for is_measured in [false, true] {
        let (lines, grown) = download(&server, author, &public.under("export")).await;
        let rows = lines.iter().filter(|line| line.ends_with(",,,,1,,,,"));
        let voters = rows.filter_map(|line| line.split(',').next());
        assert_eq!(voters.collect::<BTreeSet<_>>().len(), MANY);
        println!("public: {} bytes, {grown} bytes of memory", bytes(&lines));
        assert!(!is_measured || grown < bytes(&lines) / 2);

        let path = secret.under("export?format=json");
        let (lines, grown) = download(&server, author, &path).await;
        let ballots = lines.iter().filter(|line| line.contains("\"count\":1,"));
        assert_eq!(ballots.collect::<BTreeSet<_>>().len(), MANY);
        println!("secret: {} bytes, {grown} bytes of memory", bytes(&lines));
        // What one pass keeps does not depend on the number of ballots.
        assert!(!is_measured || grown < 24 << 20);
    }
}
