//! `/readyz`: what it knows, and how little it costs.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use polls::db::{Db, Readiness};
use reqwest::Method;
use sea_orm::{ConnectionTrait as _, Statement};
use serde_json::json;

use crate::support::app::{client, send};
use crate::support::crowd::CHEAP_PASSWORDS;
use crate::support::{Server, TestApp, engine, eventually};

async fn readyz(address: &str) -> u16 {
    let answer = send(client().get(format!("{address}/readyz"))).await;
    match answer.status.as_u16() {
        200 => assert_eq!(answer.json, json!({"status": "ok"})),
        _ => {
            let answer = answer.clone().problem("overloaded");
            assert!(answer.text("detail").contains("Its log tells why"));
        }
    }
    answer.status.as_u16()
}

#[tokio::test]
async fn a_full_disk_is_not_ready() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start_on_small_disk(folder.path(), &CHEAP_PASSWORDS);
    assert_eq!(readyz(&server.address).await, 200);
    server.limit_files(Some(4096));
    eventually(async || readyz(&server.address).await == 503).await;
    server.limit_files(None);
    eventually(async || readyz(&server.address).await == 200).await;
    let log = server.log();
    let told = log.matches("the database cannot be written to").count();
    assert_eq!(told, 1, "once until it changes: {log}");
}

#[tokio::test]
async fn a_schema_that_lacks_a_migration_is_not_ready() {
    let app = TestApp::start().await;
    assert_eq!(readyz(&app.address).await, 200);
    let db = app.database_from_outside().await;
    let newest = &engine::newest_migration();
    // What a newer process has added does not matter to this one.
    db.write(|transaction| async move {
        let later = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m0099_later', 1)";
        transaction.execute_unprepared(later).await?;
        let known = format!("DELETE FROM seaql_migrations WHERE version = '{newest}'");
        transaction.execute_unprepared(&known).await?;
        Ok(())
    })
    .await
    .expect("it is written");
    eventually(async || readyz(&app.address).await == 503).await;
    db.write(|transaction| async move {
        let known = "INSERT INTO seaql_migrations (version, applied_at)";
        let known = format!("{known} VALUES ('{newest}', 1)");
        transaction.execute_unprepared(&known).await?;
        Ok(())
    })
    .await
    .expect("it is written");
    eventually(async || readyz(&app.address).await == 200).await;
    db.close().await;
}

/// How often processes have written to see whether they can.
async fn writes(db: &Db) -> i64 {
    let engine = db.read().get_database_backend();
    let taken = "SELECT taken FROM locks WHERE name = 'readiness'";
    let row = db
        .read()
        .query_one_raw(Statement::from_string(engine, taken));
    let row = row.await.expect("an answer").expect("a row");
    row.try_get_by_index(0).expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_ask_the_database_is_written_to_once_in_five_seconds() {
    let app = TestApp::start().await;
    let begun = Instant::now();
    for _ in 0..3 {
        let asked = join_all((0..200).map(|_| send(app.outside(Method::GET, "/readyz")))).await;
        asked
            .into_iter()
            .for_each(|answer| drop(answer.expect(200)));
    }
    let most = 1 + begun.elapsed().as_secs() / 5 + 1;
    let written = writes(&app.db).await;
    assert!(
        (1..=most).contains(&(written as u64)),
        "{written} of {most}"
    );
}

#[tokio::test]
async fn the_details_tell_how_far_the_clocks_are_apart() {
    let app = TestApp::start().await;
    let offset = async || {
        let details = Readiness::new(app.db.clone(), app.clock.clone())
            .report()
            .await
            .details();
        let found = json!({"ready": true, "writable": true, "schema": true,
                           "clock_offset": details["clock_offset"]});
        assert_eq!(details, found);
        details["clock_offset"].as_f64().expect("seconds")
    };
    // The clocks are the machine's; asking may take a while where it is busy.
    let before = offset().await;
    assert!(before.abs() < 60.0, "{before}");
    app.clock.advance(Duration::from_secs(3600));
    let after = offset().await;
    assert!((-3660.0..-3540.0).contains(&after), "{after}");
}
