//! The lot: drawn once, shown when it has decided, and checked by the program of the README.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;

use super::{close, indices, results};
use crate::support::require::{installed, program};
use crate::support::{Question, TestApp, User};

/// Two of three choices are tied for one seat.
async fn tied(author: &User, other: &User, method: &str) -> Question {
    let more = json!({"method": method, "tie_break": "lot"});
    let question = author.ask(&["a", "b", "c"], more).await;
    author.vote(&question, &[1]).await.expect(201);
    other.vote(&question, &[2]).await.expect(201);
    question
}

#[tokio::test]
async fn positions_stand_in_for_the_lot_until_the_result_is_final() {
    let (app, author) = TestApp::with_user("lucy").await;
    let other = app.user("other").await;
    for method in ["multiple_choice", "instant_runoff", "ranked_pairs", "borda"] {
        let question = tied(&author, &other, method).await;
        let commitment = app
            .get(&question.path)
            .await
            .expect(200)
            .text("lot_commitment");
        let open = results(&app, &question).await;
        assert_eq!(open["outcome"]["provisional"], true, "{method}");
        assert_eq!(open["outcome"]["decided_by_lot"], false, "{method}");
        assert_eq!(
            indices(&question, &open["outcome"]["elected_choice_ids"]),
            [1],
            "{method}"
        );
        assert_eq!(open["lot"], json!({"commitment": commitment}), "{method}");
        close(&author, &question).await;
        let last = results(&app, &question).await;
        assert_eq!(last["outcome"]["provisional"], false, "{method}");
        assert_eq!(last["outcome"]["decided_by_lot"], true, "{method}");
        assert_eq!(last["lot"]["commitment"], commitment, "{method}");
        assert_eq!(
            last["lot"]["seed"].as_str().map(str::len),
            Some(64),
            "{method}"
        );
        let again = results(&app, &question).await;
        assert_eq!(again["outcome"], last["outcome"], "{method}");
    }
}

#[tokio::test]
async fn a_question_whose_lot_was_drawn_stays_closed() {
    let (app, author) = TestApp::with_user("lucy").await;
    let (other, stranger) = (app.user("other").await, app.user("stranger").await);
    let reopen = async |user: &User, question: &Question| {
        user.post(&question.under("reopen"), json!({})).await
    };
    for method in ["multiple_choice", "instant_runoff"] {
        let question = tied(&author, &other, method).await;
        close(&author, &question).await;
        reopen(&author, &question)
            .await
            .problem("lot_drawn")
            .expect(409);
        reopen(&stranger, &question).await.problem("forbidden");
        // A lot that decides nothing is not drawn.
        let question = tied(&author, &other, method).await;
        other.vote(&question, &[1]).await.expect(200);
        close(&author, &question).await;
        assert!(results(&app, &question).await["lot"].get("seed").is_none());
        reopen(&author, &question).await.expect(200);
        let again = results(&app, &question).await;
        assert_eq!(again["is_final"], false);
    }
}

#[tokio::test]
async fn no_lot_is_drawn_where_nothing_is_decided() {
    let (app, author) = TestApp::with_user("lucy").await;
    let other = app.user("other").await;
    let more = json!({"method": "instant_runoff", "quorum": 3});
    let question = author.ask(&["a", "b"], more).await;
    author.vote(&question, &[0]).await.expect(201);
    other.vote(&question, &[1]).await.expect(201);
    close(&author, &question).await;
    let results = results(&app, &question).await;
    assert_eq!(results["outcome"]["status"], "no_quorum");
    assert!(results["lot"].get("seed").is_none());
    author
        .post(&question.under("reopen"), json!({}))
        .await
        .expect(200);
}

/// The program in the README that checks a lot.
fn checker() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).expect("the README");
    let program = readme.split("```python\n").skip(1);
    let mut program = program.filter_map(|rest| rest.split("```").next());
    let program = program.find(|program| program.contains("[\"lot\"]"));
    program.expect("a program about the lot").to_owned()
}

#[tokio::test]
async fn the_program_of_the_readme_checks_a_lot() {
    let Some(python) = installed("python3", "python3", program("python3")) else {
        return;
    };
    let (app, author) = TestApp::with_user("lucy").await;
    let other = app.user("other").await;
    let question = tied(&author, &other, "instant_runoff").await;
    close(&author, &question).await;
    let check = |results: String| {
        let mut child = Command::new(&python)
            .args(["-c", &checker()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("python starts");
        let stdin = child.stdin.as_mut().expect("its input");
        stdin.write_all(results.as_bytes()).expect("it reads");
        child.wait_with_output().expect("it ends")
    };
    let body = app.get(&question.under("results")).await.expect(200);
    let text = String::from_utf8(body.bytes.to_vec()).expect("text");
    let checked = check(text.clone());
    assert!(checked.status.success(), "{checked:?}");
    let printed = String::from_utf8(checked.stdout).expect("text");
    let drawn: Vec<&str> = printed.lines().collect();
    assert_eq!(drawn.len(), 3, "{printed}");
    // Of the two that are tied, the one that was drawn first is elected.
    let place = |name: &str| {
        drawn
            .iter()
            .position(|drawn| *drawn == name)
            .expect("a place")
    };
    let elected = if place("b") < place("c") { 1 } else { 2 };
    assert_eq!(
        indices(&question, &body.json["outcome"]["elected_choice_ids"]),
        [elected]
    );
    // Another seed is not the one that was promised.
    let seed = body.json["lot"]["seed"].as_str().expect("a seed");
    let forged = check(text.replace(seed, &"0".repeat(64)));
    assert!(!forged.status.success(), "{forged:?}");
}
