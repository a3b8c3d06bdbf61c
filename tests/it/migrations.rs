//! Changes of the schema, as operators make them and take them back.

use std::path::Path;

use polls::db::Db;
use sea_orm::ConnectionTrait as _;
use serde_json::json;

use crate::support::crowd::CHEAP_PASSWORDS;
use crate::support::process::{polls_in_terminal, polls_reading};
use crate::support::{Server, TestApp, engine, polls};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

async fn database(folder: &Path) -> Db {
    engine::connect(&engine::database_url(folder)).await
}

fn status(folder: &Path) -> String {
    polls(folder, &["migrate", "status"]).done()
}

#[tokio::test]
async fn changes_are_taken_back_when_nobody_is_there_and_somebody_agrees() {
    let folder = folder();
    let server = Server::start(folder.path(), &CHEAP_PASSWORDS);
    polls(folder.path(), &["seed"]).done();
    let before = status(folder.path());
    assert!(!before.contains("pending"), "{before}");
    let down = |rest: &[&str]| polls(folder.path(), &[&["migrate", "down"], rest].concat());
    let used = down(&["--yes"]).fails(1);
    let words = match engine::is_sqlite() {
        true => "a server or another command uses the database",
        false => "others are connected to the database: ",
    };
    assert!(used.contains(words), "{used}");
    assert_eq!(server.terminate(), Some(0));

    // Nobody can be asked.
    let asked = down(&["--steps", "100"]).fails(1);
    let newest = &*engine::newest_migration();
    for words in ["--yes", newest, "users (6 rows)", "ballots (30 rows)"] {
        assert!(asked.contains(words), "no {words} in {asked}");
    }
    assert_eq!(status(folder.path()), before);
    // Somebody is asked.
    let ask = |answer: &str| polls_in_terminal(folder.path(), "migrate down", &[], answer);
    let declined = ask("no\n");
    assert_eq!(declined.code, Some(1), "{declined:?}");
    assert!(declined.stdout.contains(newest), "{declined:?}");
    assert!(
        declined.stdout.contains("nothing was changed"),
        "{declined:?}"
    );
    assert_eq!(status(folder.path()), before);
    let agreed = ask("yes\n").done();
    assert!(agreed.contains(&format!("pending  {newest}")), "{agreed}");
    let after = down(&["--yes", "--steps", "100"]).done();
    assert!(!after.contains("applied"), "{after}");
    polls(folder.path(), &["migrate", "up"]).done();
    assert_eq!(status(folder.path()), before);
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_known_for_one() {
    let folder = folder();
    polls(folder.path(), &["migrate", "up"]).done();
    let db = database(folder.path()).await;
    let later = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m0099_later', 1)";
    db.write(|transaction| async move {
        transaction.execute_unprepared(later).await?;
        Ok(())
    })
    .await
    .expect("it is written");
    db.close().await;
    drop(db);
    // Its last session ends when its task does.
    tokio::task::yield_now().await;
    for line in [
        "serve --port 0",
        "serve --port 0 --set database.migrate=false",
        "migrate status",
        "migrate up",
        "migrate down --yes",
        "seed",
        "user promote ada@example.org",
        "token --all",
        "recount",
        "keys rotate",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let said = polls_reading(folder.path(), &words, "").fails(1);
        for expected in [
            "a newer version of polls has migrated the database",
            "does not know m0099_later",
            "`polls migrate down --steps 1`",
        ] {
            assert!(said.contains(expected), "{line}: no {expected:?} in {said}");
        }
    }
}

/// A migration that indexes what is there stores the same as the server does.
#[tokio::test]
async fn search_terms_are_the_same_after_a_migration() {
    let (mut app, author) = TestApp::with_user("lucy").await;
    let lunch = json!({"question_text": "Lunch: naïve or 最受欢迎的水果?"});
    author.ask(&["Ramen 拉面", "b", "B"], lunch).await;
    let many = (0..100).map(|n| format!("第{n}个选项 number{n} among others"));
    let many: Vec<String> = many.collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    author.ask(&many, json!({})).await;
    app.shut_down().await;
    let db = app.database_from_outside().await;
    let terms = async || {
        let all = "SELECT term FROM search_terms ORDER BY question_id, term";
        let all = sea_orm::Statement::from_string(db.read().get_database_backend(), all);
        let rows = db.read().query_all_raw(all).await.expect("the terms");
        let terms = rows.iter().map(|row| row.try_get_by_index(0));
        terms.collect::<Result<Vec<String>, _>>().expect("texts")
    };
    let stored = terms().await;
    assert!(stored.contains(&"rame".to_owned()));
    engine::migrate_down_with(&db, "m0017_search_beginnings").await;
    let whole = terms().await;
    assert!(whole.contains(&"lunch".to_owned()) && whole.contains(&"水果".to_owned()));
    for none in ["lun", "rame", "ramen"] {
        assert!(!whole.contains(&none.to_owned()), "{none}");
    }
    db.migrate_up(None).await.expect("it is up to date");
    assert_eq!(terms().await, stored);
}

/// What `migrate down` says is lost is what goes.
#[tokio::test]
async fn the_tables_of_every_migration_are_known() {
    let folder = folder();
    // The other engines have the same tables, but list them in other ways.
    if !engine::is_sqlite() {
        return;
    }
    let db = database(folder.path()).await;
    let tables = async || {
        let names = "SELECT name FROM sqlite_master WHERE type = 'table'";
        let engine = db.read().get_database_backend();
        let rows = sea_orm::Statement::from_string(engine, names);
        let rows = db.read().query_all_raw(rows).await.expect("the tables");
        let names = rows.iter().map(|row| row.try_get_by_index(0));
        let mut names: Vec<String> = names.collect::<Result<_, _>>().expect("names");
        names.sort();
        names
    };
    db.migrate_up(None).await.expect("it is up to date");
    let steps = db.migration_status().await.expect("its steps");
    for step in steps.iter().rev() {
        let before = tables().await;
        db.migrate_down(Some(1)).await.expect("a step back");
        let after = tables().await;
        let mut gone: Vec<&String> = before.iter().filter(|name| !after.contains(name)).collect();
        // Replaced by another one.
        gone.retain(|name| step.name != "m0008_search" || *name != "search_terms");
        gone.retain(|name| step.name != "m0003_questions" || *name != "question_terms");
        let mut known = migration::tables_of(&step.name).to_vec();
        known.sort_unstable();
        assert_eq!(gone, known, "{}", step.name);
    }
}
