//! Questions that are not listed: read by whoever has their links, and in no list but their author's
//! and the admins'.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::send;
use crate::support::{Answer, Question, TestApp, User};

async fn ask(author: &User, text: &str, listed: bool) -> Question {
    let more = json!({"question_text": text, "listed": listed});
    author.ask(&["yes", "no"], more).await
}

fn ids(page: &Answer) -> Vec<String> {
    let rows = page.json["data"].as_array().expect("a page");
    let ids = rows
        .iter()
        .map(|row| row["id"].as_str().expect("an id").to_owned());
    ids.collect()
}

/// The ids on all pages of a list, two on each.
async fn list(app: &TestApp, who: Option<&User>, query: &str) -> Vec<String> {
    let path = format!("/questions?limit=2&{query}");
    let (mut found, mut next) = (Vec::new(), path.clone());
    loop {
        let page = send(app.request_by(who, Method::GET, &next))
            .await
            .expect(200);
        found.extend(ids(&page));
        assert!(found.len() < 100, "{path} has no end");
        match page.json["meta"]["next_cursor"].as_str() {
            Some(cursor) => next = format!("{path}&cursor={cursor}"),
            None => return found,
        }
    }
}

/// Every sort, status and search that finds the questions of these tests.
const QUERIES: [&str; 11] = [
    "",
    "sort=created_at",
    "sort=closes_at",
    "status=open",
    "status=open&sort=closes_at",
    "q=which",
    "q=which%20one",
    "q=whi&sort=created_at",
    "q=which&sort=closes_at",
    "q=yes&status=open",
    "q=%E6%B0%B4%E6%9E%9C",
];

/// One query string of several.
fn joined(queries: &[&str]) -> String {
    let parts = queries.iter().copied().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("&")
}

#[tokio::test]
async fn no_list_and_no_search_shows_an_unlisted_question_to_anybody() {
    let (app, author) = TestApp::with_user("lucy").await;
    let (other, admin) = (app.user("other").await, app.admin("root").await);
    let text = "Which one 水果?";
    let mut shown = Vec::new();
    for _ in 0..3 {
        ask(&author, text, false).await;
        shown.push(ask(&author, text, true).await.id);
        ask(&author, text, false).await;
    }
    shown.sort();
    let of_author = format!("author={}", author.id);
    for who in [None, Some(&other), Some(&author), Some(&admin)] {
        for query in QUERIES {
            for more in ["", &of_author, "listed=true"] {
                let query = joined(&[query, more]);
                let mut found = list(&app, who, &query).await;
                found.sort();
                assert_eq!(found, shown, "{query}");
            }
        }
    }
}

#[tokio::test]
async fn authors_ask_for_all_their_own_and_admins_for_all_that_are_unlisted() {
    let (app, author) = TestApp::with_user("lucy").await;
    let (other, admin) = (app.user("other").await, app.admin("root").await);
    let (mut mine, mut hidden, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..5 {
        let listed = number % 2 == 0;
        let id = ask(&author, "Which one 水果?", listed).await.id;
        if !listed {
            hidden.push(id.clone());
        }
        mine.push(id);
        theirs.push(ask(&other, "Which one 水果?", false).await.id);
    }
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    for query in QUERIES {
        let found = async |who: &User, more: &[&str]| {
            let query = joined(&[&[query], more].concat());
            sorted(list(&app, Some(who), &query).await)
        };
        assert_eq!(found(&author, &["author=me"]).await, mine, "{query}");
        let own_hidden = ["author=me", "listed=false"];
        assert_eq!(found(&author, &own_hidden).await, hidden, "{query}");
        let expected = sorted([hidden.clone(), theirs.clone()].concat());
        assert_eq!(found(&admin, &["listed=false"]).await, expected, "{query}");
        let of_author = format!("author={}", author.id);
        let of_author = ["listed=false", &of_author];
        assert_eq!(found(&admin, &of_author).await, hidden, "{query}");
        assert!(found(&admin, &["author=me"]).await.is_empty());
    }
    // The newest come first, listed or not.
    let newest: Vec<String> = mine.iter().rev().cloned().collect();
    assert_eq!(list(&app, Some(&author), "author=me").await, newest);

    for query in [
        "listed=false",
        "author=me",
        "author=me&listed=false",
        "deleted=true",
    ] {
        let path = format!("/questions?{query}");
        app.get(&path).await.problem("unauthenticated").expect(401);
    }
    let of_author = format!("/questions?listed=false&author={}", author.id);
    for path in ["/questions?listed=false", &of_author] {
        for user in [&author, &other] {
            user.get(path).await.problem("forbidden").expect(403);
        }
    }
    // A page of one's own list leads to no other list.
    let page = author.get("/questions?limit=1&author=me").await.expect(200);
    let cursor = page.json["meta"]["next_cursor"].as_str().expect("more");
    let of_author = format!("author={}", author.id);
    for query in [&of_author, "listed=true", ""] {
        let query = joined(&["limit=1", query, &format!("cursor={cursor}")]);
        let path = format!("/questions?{query}");
        author.get(&path).await.problem("malformed_request");
    }
}

#[tokio::test]
async fn deleted_questions_are_listed_for_their_owners_whether_listed_or_not() {
    let (app, author) = TestApp::with_user("lucy").await;
    let admin = app.admin("root").await;
    let mut gone = Vec::new();
    for listed in [true, false] {
        let question = ask(&author, "Which one 水果?", listed).await;
        author.delete(&question.path).await.expect(204);
        gone.push(question.id);
    }
    for query in QUERIES {
        for (who, author) in [(&author, "author=me"), (&author, ""), (&admin, "")] {
            let query = joined(&["deleted=true", query, author]);
            let mut found = list(&app, Some(who), &query).await;
            found.sort();
            assert_eq!(found, gone, "{query}");
        }
    }
    let found = list(&app, Some(&author), "deleted=true&listed=false").await;
    assert_eq!(found, gone[1..]);
}

#[tokio::test]
async fn whoever_has_the_link_reads_an_unlisted_question() {
    let (app, author) = TestApp::with_user("lucy").await;
    let voter = app.user("nancy").await;
    let question = ask(&author, "Which one?", false).await;
    voter.vote(&question, &[0]).await.expect(201);
    let read = app.get(&question.path).await.expect(200);
    assert_eq!(read.json["listed"], false);
    for path in ["results", "results.svg", "choices"] {
        app.get(&question.under(path)).await.expect(200);
    }
    let mine = format!("/users/me/ballots?question_id={}", question.id);
    assert_eq!(
        voter.get(&mine).await.expect(200).json["data"][0]["question_id"],
        question.id
    );
}

/// At any time, also after people have voted and after the close; from the answer on, every list and
/// every search has it or does not.
#[tokio::test]
async fn listing_and_unlisting_take_effect_at_once() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = ask(&author, "Which one 水果, naïve?", true).await;
    let set = async |listed: bool| {
        let change = json!({"listed": listed});
        let changed = author.patch(&question.path, change).await.expect(200).json;
        assert_eq!(changed["listed"], listed);
        changed["revision"].clone()
    };
    let lists = async |status: &str| {
        let mut lists = Vec::new();
        for query in [
            "",
            "q=which",
            "q=na%C3%AFv",
            "q=%E6%B0%B4",
            "q=no",
            "sort=closes_at",
        ] {
            for status in [String::new(), format!("status={status}")] {
                let found = list(&app, None, &joined(&[query, &status])).await;
                lists.push(!found.is_empty());
            }
        }
        lists
    };
    let all = |shown: bool| vec![shown; 12];
    assert_eq!(lists("open").await, all(true));
    set(false).await;
    assert_eq!(lists("open").await, all(false));
    author.vote(&question, &[0]).await.expect(201);
    set(true).await;
    assert_eq!(lists("open").await, all(true));
    author
        .post(&question.under("close"), Value::Null)
        .await
        .expect(200);
    assert_eq!(lists("closed").await, all(true));
    let revision = set(false).await;
    assert_eq!(lists("closed").await, all(false));
    assert_eq!(set(false).await, revision, "nothing has changed");
    // A new choice of an unlisted question is found by its author alone.
    author
        .post(&question.under("reopen"), json!({}))
        .await
        .expect(200);
    let more = json!({"choice_text": "perhaps"});
    author
        .post(&question.under("choices"), more)
        .await
        .expect(201);
    assert!(list(&app, None, "q=perhaps").await.is_empty());
    let own = list(&app, Some(&author), "q=perhaps&author=me").await;
    assert_eq!(own, [question.id.as_str()]);
    set(true).await;
    assert_eq!(list(&app, None, "q=perhaps").await, [question.id.as_str()]);
}

#[tokio::test]
async fn search_engines_are_told_to_leave_out_an_unlisted_question() {
    let (app, author) = TestApp::with_user("lucy").await;
    for listed in [true, false] {
        let question = ask(&author, "Which one?", listed).await;
        let page = app.outside(Method::GET, &question.path);
        let page = send(page.header("accept", "text/html")).await.expect(200);
        let html = String::from_utf8_lossy(&page.bytes).into_owned();
        let left_out = html.contains("<meta name=\"robots\" content=\"noindex\">");
        assert_eq!(left_out, !listed);
        // Chats preview it all the same.
        assert!(html.contains("<meta property=\"og:title\" content=\"Which one?\">"));
    }
}
