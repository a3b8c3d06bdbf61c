//! Sealing in several steps: what a process leaves behind that dies in between, and many ballots.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use polls::ballots::recount;
use polls::db::{self, Column, Db, Rows};
use reqwest::Method;
use sea_orm::{ConnectionTrait as _, Value as SqlValue};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use super::{ask, close, draw, receipts, vote};
use crate::support::app::{client, try_send};
use crate::support::crowd::CHEAP_PASSWORDS;
use crate::support::{Question, Server, TestApp, User, amount, engine, eventually, polls};

async fn execute(db: &Db, sql: &str, values: Vec<SqlValue>) {
    let statement = &db::statement(db.read(), sql, values);
    let done = db
        .write(|transaction| async move { Ok(transaction.execute_raw(statement.clone()).await?) });
    done.await.expect("it is done");
}

async fn number(db: &Db, sql: &str, question: &Question) -> i64 {
    let id: Uuid = question.id.parse().expect("an id");
    let row = db
        .read()
        .query_one_raw(db::statement(db.read(), sql, [id.into()]));
    let row = row.await.expect("it is read").expect("a row");
    row.try_get_by_index(0).expect("a number")
}

/// A process that is killed after it has closed a question, or while it seals it, leaves it as it
/// is here. The next one finishes it.
#[tokio::test]
async fn a_seal_that_was_begun_is_finished() {
    let app = TestApp::with(&[("ballots.seal_interval", "1m")]).await;
    let author = app.user("lucy").await;
    let mut voters = vec![author.clone()];
    for _ in 0..9 {
        voters.push(app.user("v").await);
    }
    for some_are_moved in [false, true] {
        let question = ask(&author, json!({"method": "borda", "min_choices": 0})).await;
        let drawn: BTreeSet<String> = voters.iter().map(|_| draw()).collect();
        let drawn: Vec<String> = drawn.into_iter().collect();
        for (turn, voter) in voters.iter().enumerate() {
            let preferred = super::preferences(turn);
            vote(voter, &question, &preferred, &drawn[turn])
                .await
                .expect(201);
        }
        let id: Uuid = question.id.parse().expect("an id");
        let ids = || vec![SqlValue::from(id)];
        let closed = "UPDATE questions SET closed_at = 1 WHERE id = ?";
        execute(&app.db, closed, ids()).await;
        if some_are_moved {
            let frozen = "UPDATE questions SET frozen_at = 2 WHERE id = ?";
            execute(&app.db, frozen, ids()).await;
            let middle: Uuid = drawn[5].parse().expect("a number");
            let some = || vec![id.into(), middle.into()];
            for (table, columns) in [
                ("anonymous_ballots", "receipt"),
                ("anonymous_marks", "receipt, choice_id, value"),
            ] {
                let copy = format!(
                    "INSERT INTO {table} (question_id, sealed, {columns}) \
                     SELECT question_id, 1, {columns} FROM {table} \
                     WHERE question_id = ? AND receipt < ?"
                );
                execute(&app.db, &copy, some()).await;
            }
            for table in ["anonymous_marks", "anonymous_ballots"] {
                let delete = format!(
                    "DELETE FROM {table} WHERE question_id = ? AND receipt < ? AND sealed = 0"
                );
                execute(&app.db, &delete, some()).await;
            }
        }
        // All ballots are there and no more are taken, but nobody sees the numbers.
        assert_eq!(recount::check(&app.db).await.expect("a recount"), []);
        for (turn, voter) in voters.iter().enumerate() {
            let preferred = super::preferences(turn);
            vote(voter, &question, &preferred, &drawn[turn])
                .await
                .expect(200);
        }
        vote(&author, &question, &[0], &draw())
            .await
            .problem("voting_closed");
        author
            .get(&question.under("results"))
            .await
            .problem("results_hidden");
        author
            .get(&question.under("receipts"))
            .await
            .problem("voting_open");
        author
            .post(&question.under("reopen"), json!({}))
            .await
            .problem("anonymous_ballots");

        assert_eq!(app.questions.seal_due().await.expect("it is sealed"), [id]);
        let listed = receipts(&author, &question).await;
        let listed: Vec<&str> = listed
            .iter()
            .filter_map(|one| one["receipt"].as_str())
            .collect();
        assert_eq!(listed, drawn);
        for (what, expected) in [
            ("COUNT(*) FROM anonymous_ballots WHERE sealed = 1 AND", 10),
            ("COUNT(*) FROM anonymous_ballots WHERE sealed = 0 AND", 0),
            ("COUNT(*) FROM anonymous_marks WHERE sealed = 0 AND", 0),
            ("COUNT(DISTINCT shard) FROM profile_shards WHERE", 1),
        ] {
            let sql = format!("SELECT {what} question_id = ?");
            assert_eq!(number(&app.db, &sql, &question).await, expected, "{what}");
        }
        let frozen = "SELECT COUNT(*) FROM questions WHERE frozen_at IS NOT NULL AND id = ?";
        assert_eq!(number(&app.db, frozen, &question).await, 0);
        assert_eq!(recount::check(&app.db).await.expect("a recount"), []);
    }
}

/// An end that another process, whose clock is ahead, has found to have come.
#[tokio::test]
async fn a_frozen_question_is_closed_whatever_the_clock_says() {
    let app = TestApp::with(&[("ballots.seal_interval", "1m")]).await;
    let author = app.user("lucy").await;
    let later = |seconds| {
        let seconds = Duration::from_secs(seconds);
        app.clock.now().after(seconds).to_string()
    };
    let question = ask(&author, json!({"closes_at": later(3600)})).await;
    let id: Uuid = question.id.parse().expect("an id");
    let frozen = "UPDATE questions SET frozen_at = 2 WHERE id = ?";
    execute(&app.db, frozen, vec![id.into()]).await;
    assert_eq!(
        author.get(&question.path).await.expect(200).json["status"],
        "closed"
    );
    vote(&author, &question, &[0], &draw())
        .await
        .problem("voting_closed");
    let later = json!({"closes_at": later(7200)});
    let reopened = author.post(&question.under("reopen"), later.clone()).await;
    reopened.problem("anonymous_ballots");
    let patched = author.patch(&question.path, later).await;
    patched.problem("voting_closed");
    close(&author, &question).await;
    author.get(&question.under("receipts")).await.expect(200);
}

/// Casts a ballot of every account on an anonymous question, in the database: as many as no test
/// has the time to cast over HTTP.
async fn fill(db: &Db, question: &Question) -> usize {
    let users = "SELECT id FROM users ORDER BY id";
    let rows = db.read().query_all_raw(db::statement(db.read(), users, []));
    let rows = rows.await.expect("the users").into_iter();
    let users: Vec<Uuid> = rows
        .map(|row| row.try_get_by_index(0).expect("an id"))
        .collect();
    let id: Uuid = question.id.parse().expect("an id");
    let choices: Vec<Uuid> = question
        .choices
        .iter()
        .filter_map(|id| id.parse().ok())
        .collect();
    for some in users.chunks(1_000) {
        let (mut roll, mut ballots, mut marks) = (Rows::new(), Rows::new(), Rows::new());
        for user in some {
            let receipt = Uuid::from_u128(rand::random());
            roll.push(&[id, *user], &[]);
            ballots.push(&[id, receipt], &[]);
            let mut ranking = choices.clone();
            rand::seq::SliceRandom::shuffle(&mut ranking[..], &mut rand::rng());
            for (rank, choice) in (1..).zip(ranking) {
                marks.push(&[id, receipt, choice], &[rank]);
            }
        }
        let key = |second| [Column::Id("question_id"), Column::Id(second)];
        let mark = [
            &key("receipt")[..],
            &[Column::Id("choice_id"), Column::Integer("value")],
        ];
        for (into, columns, rows) in [
            (
                "ballots (question_id, user_id, cast_at, updated_at) SELECT question_id, user_id, 0, 0",
                key("user_id").to_vec(),
                roll,
            ),
            (
                "anonymous_ballots (question_id, sealed, receipt) SELECT question_id, 0, receipt",
                key("receipt").to_vec(),
                ballots,
            ),
            (
                "anonymous_marks (question_id, sealed, receipt, choice_id, value) SELECT question_id, 0, receipt, choice_id, value",
                mark.concat(),
                marks,
            ),
        ] {
            let sql = format!(
                "INSERT INTO {into} FROM {}",
                db::rows(db.read(), "r", &columns)
            );
            execute(db, &sql, vec![rows.to_value()]).await;
        }
    }
    recount::mend(db, id).await.expect("the tallies");
    users.len()
}

/// A question with more ballots than fit into one step.
struct Large {
    server: Server,
    author: User,
    question: Question,
    ballots: usize,
    db: Db,
    /// Deleted with the test.
    folder: TempDir,
}

impl Large {
    async fn new() -> Large {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let number = amount(5_000, 200_000).to_string();
        let some = ["--users", &number, "--questions", "1", "--ballots", "1"];
        polls(folder.path(), &[&["seed"], &some[..]].concat()).done();
        let server = Server::start(folder.path(), &CHEAP_PASSWORDS);
        let tokens = polls(folder.path(), &["token", "--all"]).done();
        let first = tokens.lines().next();
        let (id, token) = first
            .and_then(|line| line.split_once(' '))
            .expect("a token");
        let author = User::of_token(id, token, client(), &server.address);
        let more = json!({"ballot_secrecy": "anonymous", "allow_change": false, "method": "borda"});
        let choices = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let question = author.ask(&choices, more).await;
        let db = engine::connect(&engine::database_url(folder.path())).await;
        let ballots = fill(&db, &question).await;
        assert!(ballots >= 5_000);
        let large = Large {
            server,
            author,
            question,
            ballots,
            db,
            folder,
        };
        large.recount().await;
        large
    }

    async fn number(&self, what: &str) -> i64 {
        let sql = format!("SELECT COUNT(*) FROM {what}");
        number(&self.db, &sql, &self.question).await
    }

    async fn unsealed(&self) -> i64 {
        self.number("anonymous_ballots WHERE sealed = 0 AND question_id = ?")
            .await
    }

    async fn recount(&self) {
        let differences = recount::check(&self.db).await.expect("a recount");
        assert_eq!(differences, []);
    }

    /// Waits until all ballots are shown, and expects that none is missing.
    async fn is_sealed(&self) {
        let (author, receipts) = (&self.author, self.question.under("receipts?limit=100"));
        eventually(async || author.get(&receipts).await.status == 200).await;
        assert_eq!(self.unsealed().await, 0);
        let roll = self.number("ballots WHERE question_id = ?").await;
        assert_eq!(roll, self.ballots as i64);
        self.recount().await;
        let results = author.get(&self.question.under("results")).await;
        let results = results.expect(200).json;
        assert_eq!(
            (&results["is_final"], &results["ballot_count"]),
            (&json!(true), &json!(self.ballots))
        );
        let first = author.get(&receipts).await.expect(200).json;
        assert_eq!(first["data"].as_array().map(Vec::len), Some(100));
    }
}

/// With more ballots than fit into one step, others vote meanwhile, and the count stays the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_question_is_sealed_in_steps() {
    let large = Large::new().await;
    let (author, question) = (&large.author, &large.question);
    let other = author.ask(&["a", "b"], json!({})).await;
    let (begun, over) = (Instant::now(), AtomicBool::new(false));
    let closing = async {
        let closed = close(author, question).await;
        over.store(true, Ordering::SeqCst);
        closed
    };
    let voting = async {
        let (mut votes, mut longest) = (0, Duration::ZERO);
        while !over.load(Ordering::SeqCst) {
            let sent = Instant::now();
            let answer = author.vote(&other, &[votes % 2]).await;
            assert!(answer.status.is_success(), "{answer:?}");
            longest = longest.max(sent.elapsed());
            votes += 1;
        }
        (votes, longest)
    };
    let (closed, (votes, longest)) = tokio::join!(closing, voting);
    let elapsed = begun.elapsed();
    println!("{} ballots sealed in {elapsed:?}", large.ballots);
    println!("meanwhile {votes} ballots elsewhere, each within {longest:?}");
    assert_eq!(closed.json["status"], "closed");
    large.is_sealed().await;
    println!("and shown after {:?}", begun.elapsed());
}

/// A server that is killed while it stores the ballots anew. The next one goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_seal_goes_on_after_kill_9() {
    let mut large = Large::new().await;
    let path = large.question.under("close");
    let closing = large.author.request(Method::POST, &path).json(&json!(null));
    let closing = tokio::spawn(try_send(closing));
    let all = large.ballots as i64;
    while large.unsealed().await == all {
        tokio::task::yield_now().await;
    }
    large.server.kill();
    let unsealed = large.unsealed().await;
    println!("killed with {unsealed} of {all} ballots to be stored anew");
    assert!(0 < unsealed && unsealed < all, "{unsealed}");
    closing.await.expect("no panic").expect_err("no answer");
    let frozen = "questions WHERE frozen_at IS NOT NULL AND sealed_at IS NULL AND id = ?";
    assert_eq!(large.number(frozen).await, 1);
    large.recount().await;

    large.server = Server::start(large.folder.path(), &CHEAP_PASSWORDS);
    large.author = large.author.at(&large.server.address);
    vote(&large.author, &large.question, &[0], &draw())
        .await
        .problem("voting_closed");
    large.is_sealed().await;
    let frozen = "questions WHERE frozen_at IS NOT NULL AND id = ?";
    assert_eq!(large.number(frozen).await, 0);
}
