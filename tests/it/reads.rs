//! What many readers share is never older than their request.

use std::sync::atomic::{AtomicU64, Ordering};

use polls::results::poll::{self, Stamp};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{Question, TestApp};

/// The stamp as the database tells it, which has to be that of the whole poll, too.
async fn stamp(app: &TestApp, question: &Question) -> Stamp {
    let id: Uuid = question.id.parse().unwrap();
    let polls = poll::read(app.db.read(), &[id]).await.unwrap();
    let stamps = poll::stamps(app.db.read(), [id]).await.unwrap();
    assert_eq!(stamps, [polls[0].stamp()]);
    stamps[0].clone()
}

#[tokio::test]
async fn whatever_changes_a_question_changes_its_stamp() {
    let (app, author) = TestApp::with_user("lucy").await;
    let voter = app.user("ada").await;
    let question = author.ask(&["a", "b"], json!({})).await;
    let choice = question.under(&format!("choices/{}", question.choices[1]));
    let mut stamps = vec![stamp(&app, &question).await];
    assert_eq!(stamp(&app, &question).await, stamps[0]);
    macro_rules! changes {
        ($($who:ident.$call:ident($($argument:expr),*) => $status:literal;)*) => {$(
            $who.$call($($argument),*).await.expect($status);
            let now = stamp(&app, &question).await;
            assert!(!stamps.contains(&now), "{}", stringify!($call($($argument),*)));
            stamps.push(now);
        )*};
    }
    let ballot = question.under("ballot");
    changes! {
        voter.vote(&question, &[0]) => 201;
        voter.vote(&question, &[1]) => 200;
        voter.delete(&ballot) => 204;
        author.patch(&question.path, json!({"question_text": "Which?"})) => 200;
        author.patch(&question.path, json!({"description": "Of these."})) => 200;
        author.patch(&choice, json!({"choice_text": "c"})) => 200;
        author.patch(&choice, json!({"position": 0})) => 200;
        author.post(&question.under("choices"), json!({"choice_text": "d"})) => 201;
        author.delete(&choice) => 204;
        author.patch("/users/me", json!({"name": "Lucinda"})) => 200;
        author.post(&question.under("close"), json!({})) => 200;
        author.post(&question.under("reopen"), json!({})) => 200;
        author.delete(&question.path) => 204;
        author.post(&question.under("restore"), json!({})) => 200;
        author.delete_account() => 204;
    }
    let results = app.get(&question.path).await.expect(200).json;
    assert_eq!(results["author"]["name"], json!(null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_read_that_begins_after_a_change_shows_it_however_many_read() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author.ask(&["a", "b"], json!({})).await;
    let page = "/questions?limit=1";
    let read = &AtomicU64::new(0);
    let stop = &CancellationToken::new();
    let crowd = (0..16).map(|number| {
        let path = if number % 2 == 0 {
            &question.path
        } else {
            page
        };
        let app = &app;
        async move {
            while !stop.is_cancelled() {
                app.get(path).await.expect(200);
                read.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    // Until the crowd has seen several times how things are: then it shares what has not changed.
    let calm = async || {
        let enough = read.load(Ordering::Relaxed) + 100;
        while read.load(Ordering::Relaxed) < enough {
            tokio::task::yield_now().await;
        }
    };
    let shown = async || {
        let question = app.get(&question.path).await.expect(200).json;
        let page = app.get(page).await.expect(200).json;
        assert_eq!(page["data"][0], question);
        question
    };
    let changes = async {
        for round in 0..10 {
            calm().await;
            let text = format!("In round {round}.");
            let patch = author.patch(&question.path, json!({"description": text}));
            patch.await.expect(200);
            assert_eq!(shown().await["description"], text);
            calm().await;
            author.vote(&question, &[round % 2]).await;
            assert_eq!(shown().await["choices"][round % 2]["votes"], 1);
            calm().await;
            let name = format!("Lucy {round}");
            let patch = author.patch("/users/me", json!({"name": name}));
            patch.await.expect(200);
            assert_eq!(shown().await["author"]["name"], name);
        }
        stop.cancel();
    };
    tokio::join!(changes, futures_util::future::join_all(crowd));
}
