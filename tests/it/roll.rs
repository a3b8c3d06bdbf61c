//! Who has voted, and how where ballots are public.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::send;
use crate::support::{Question, TestApp, User};

/// All items of a list, a few on each page.
async fn all(app: &TestApp, who: Option<&User>, path: &str, limit: usize) -> Vec<Value> {
    let path = format!("{path}?limit={limit}");
    let (mut found, mut next) = (Vec::new(), path.clone());
    loop {
        let page = send(app.request_by(who, Method::GET, &next))
            .await
            .expect(200);
        let items = page.json["data"].as_array().expect("a page");
        assert!(items.len() <= limit);
        found.extend(items.iter().cloned());
        match page.json["meta"]["next_cursor"].as_str() {
            Some(cursor) => next = format!("{path}&cursor={cursor}"),
            None => return found,
        }
    }
}

async fn crowd(app: &TestApp, number: usize) -> Vec<User> {
    join_all((0..number).map(|_| app.user("voter"))).await
}

async fn close(author: &User, question: &Question) {
    author
        .post(&question.under("close"), Value::Null)
        .await
        .expect(200);
}

#[tokio::test]
async fn public_ballots_show_who_chose_what_to_everybody_who_sees_the_results() {
    let (app, author) = TestApp::with_user("lucy").await;
    let (ada, bob) = (app.user("Ada").await, app.user("Bob").await);
    let question = author
        .ask(
            &["a", "b", "c"],
            json!({"ballot_secrecy": "public", "max_choices": 2}),
        )
        .await;
    let none = app.get(&question.under("ballots")).await.expect(200).json;
    assert_eq!(none, json!({"data": [], "meta": {}}));
    ada.vote(&question, &[2, 0]).await.expect(201);
    bob.vote(&question, &[1]).await.expect(201);
    let ballots = all(&app, None, &question.under("ballots"), 1).await;
    assert_eq!(ballots.len(), 2);
    for (user, ballot) in [&ada, &bob].into_iter().zip(&ballots) {
        let own = user.get(&question.under("ballot")).await.expect(200).json;
        let voter = json!({"id": user.id, "name": user.name, "guest": false});
        let expected = json!({"voter": voter, "choice_ids": own["choice_ids"],
            "cast_at": own["cast_at"], "updated_at": own["updated_at"]});
        assert_eq!(*ballot, expected);
    }
    // A change is shown as such; a deleted account has no name.
    bob.vote(&question, &[0]).await.expect(200);
    bob.delete_account().await.expect(204);
    let ballots = all(&app, None, &question.under("ballots"), 10).await;
    assert_eq!(ballots[1]["choice_ids"], json!([question.choices[0]]));
    assert_eq!(ballots[1]["voter"], json!({"id": bob.id, "guest": false}));
    let voters = all(&app, None, &question.under("voters"), 10).await;
    let voter = json!({"id": ada.id, "name": "Ada", "guest": false});
    assert_eq!(voters, [voter, ballots[1]["voter"].clone()]);
}

#[tokio::test]
async fn public_rankings_and_scores_are_shown_best_first() {
    let (app, author) = TestApp::with_user("lucy").await;
    let public =
        |method: &str| json!({"method": method, "ballot_secrecy": "public", "min_choices": 0});
    let ranked = author.ask(&["a", "b", "c"], public("borda")).await;
    author.vote(&ranked, &[2, 0]).await.expect(201);
    let ballots = all(&app, None, &ranked.under("ballots"), 10).await;
    let ids = |choices: &[usize]| -> Value {
        choices
            .iter()
            .map(|choice| ranked.choices[*choice].clone())
            .collect()
    };
    assert_eq!(ballots[0]["choice_ids"], ids(&[2, 0]));
    author.vote(&ranked, &[]).await.expect(200);
    let ballots = all(&app, None, &ranked.under("ballots"), 10).await;
    assert_eq!(ballots[0]["choice_ids"], json!([]));

    let scored = author.ask(&["a", "b", "c"], public("score")).await;
    let score =
        |choice: usize, score: i32| json!({"choice_id": scored.choices[choice], "score": score});
    let ballot = json!({"scores": [score(0, 2), score(1, 0), score(2, 5)]});
    author
        .put(&scored.under("ballot"), ballot)
        .await
        .expect(201);
    let ballots = all(&app, None, &scored.under("ballots"), 10).await;
    assert_eq!(ballots[0]["scores"], json!([score(2, 5), score(0, 2)]));
}

#[tokio::test]
async fn public_ballots_follow_the_visibility_of_the_results() {
    let (app, author) = TestApp::with_user("lucy").await;
    let (voter, other) = (app.user("v").await, app.user("o").await);
    let admin = app.admin("root").await;
    let roles = [
        None,
        Some(&voter),
        Some(&other),
        Some(&author),
        Some(&admin),
    ];
    for (visibility, open, closed) in [
        ("always", [true; 5], [true; 5]),
        ("after_vote", [false, true, false, true, true], [true; 5]),
        ("after_close", [false, false, false, true, true], [true; 5]),
        (
            "author",
            [false, false, false, true, true],
            [false, false, false, true, true],
        ),
    ] {
        let more = json!({"results_visibility": visibility, "ballot_secrecy": "public"});
        let question = author.ask(&["a", "b"], more).await;
        voter.vote(&question, &[0]).await.expect(201);
        let check = async |expected: [bool; 5]| {
            for (role, visible) in roles.into_iter().zip(expected) {
                for path in ["ballots", "voters"] {
                    let path = question.under(path);
                    let answer = send(app.request_by(role, Method::GET, &path)).await;
                    match visible {
                        true => assert_eq!(
                            answer.expect(200).json["data"].as_array().map(Vec::len),
                            Some(1)
                        ),
                        false => drop(answer.problem("results_hidden").expect(403)),
                    }
                }
            }
        };
        check(open).await;
        close(&author, &question).await;
        check(closed).await;
        author.delete(&question.path).await.expect(204);
        voter
            .get(&question.under("ballots"))
            .await
            .problem("not_found");
        author.get(&question.under("ballots")).await.expect(200);
    }
}

#[tokio::test]
async fn nobody_sees_ballots_that_are_not_public() {
    let (app, author) = TestApp::with_user("lucy").await;
    let admin = app.admin("root").await;
    let question = author.ask(&["a", "b"], json!({})).await;
    author.vote(&question, &[0]).await.expect(201);
    for closed in [false, true] {
        if closed {
            close(&author, &question).await;
        }
        for role in [None, Some(&author), Some(&admin)] {
            let ballots = app.request_by(role, Method::GET, &question.under("ballots"));
            send(ballots)
                .await
                .problem("ballots_not_public")
                .expect(409);
        }
    }
}

/// Pages have neither gaps nor repeats of what stays, whatever happens between them.
#[tokio::test]
async fn pages_of_public_ballots_are_steady_while_people_vote() {
    let (app, author) = TestApp::with_user("lucy").await;
    let question = author
        .ask(&["a", "b"], json!({"ballot_secrecy": "public"}))
        .await;
    let voters = crowd(&app, 12).await;
    let (stay, others) = voters.split_at(6);
    // Those who come and go stand between those who stay.
    let late = crowd(&app, 4).await;
    for voter in stay.iter().chain(others) {
        voter.vote(&question, &[0]).await.expect(201);
    }
    let mut seen = BTreeMap::<String, usize>::new();
    let path = question.under("ballots?limit=2");
    let (mut next, mut turn) = (path.clone(), 0);
    loop {
        let page = app.get(&next).await.expect(200).json;
        for ballot in page["data"].as_array().expect("a page") {
            let voter = ballot["voter"]["id"].as_str().expect("an id");
            *seen.entry(voter.to_owned()).or_default() += 1;
        }
        let withdrawn = &others[turn % others.len()];
        withdrawn.delete(&question.under("ballot")).await;
        late[turn % late.len()].vote(&question, &[1]).await;
        stay[turn % stay.len()].vote(&question, &[turn % 2]).await;
        withdrawn.vote(&question, &[1]).await.expect(201);
        turn += 1;
        match page["meta"]["next_cursor"].as_str() {
            Some(cursor) => next = format!("{path}&cursor={cursor}"),
            None => break,
        }
    }
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    for voter in stay.iter().chain(others) {
        assert!(seen.contains_key(&voter.id));
    }
    // A cursor belongs to its list.
    let cursor = app.get(&path).await.expect(200).json["meta"]["next_cursor"].clone();
    let cursor = cursor.as_str().expect("more").to_owned();
    let voters = question.under(&format!("voters?limit=2&cursor={cursor}"));
    app.get(&voters).await.problem("malformed_request");
}

#[tokio::test]
async fn a_roll_tells_who_has_voted_after_the_close_and_to_the_author_alone() {
    let (app, author) = TestApp::with_user("lucy").await;
    let (other, admin) = (app.user("other").await, app.admin("root").await);
    let question = author.ask(&["a", "b"], json!({})).await;
    let path = question.under("voters");
    let voters = crowd(&app, 11).await;
    // In another order than that of the accounts.
    for voter in voters.iter().rev() {
        voter.vote(&question, &[0]).await.expect(201);
    }
    voters[3]
        .delete(&question.under("ballot"))
        .await
        .expect(204);
    author.get(&path).await.problem("voting_open").expect(409);
    other.get(&path).await.problem("forbidden").expect(403);
    app.get(&path).await.problem("unauthenticated").expect(401);
    close(&author, &question).await;
    for who in [&author, &admin] {
        let roll = all(&app, Some(who), &path, 4).await;
        let expected = voters.iter().enumerate().filter(|(place, _)| *place != 3);
        let mut expected: Vec<Value> = expected
            .map(|(_, voter)| json!({"id": voter.id, "name": "voter", "guest": false}))
            .collect();
        expected.sort_by_key(|voter| voter["id"].as_str().expect("an id").to_owned());
        assert_eq!(roll, expected);
    }
    for who in [None, Some(&other), Some(&voters[0])] {
        let answer = send(app.request_by(who, Method::GET, &path)).await;
        assert!(answer.status == 401 || answer.status == 403);
    }
}

#[tokio::test]
async fn a_roll_stays_closed_where_it_would_tell_who_voted_how() {
    let app = TestApp::with(&[("ballots.seal_interval", "1m")]).await;
    let author = app.user("lucy").await;
    let voters = crowd(&app, 10).await;
    let question = author.ask(&["a", "b"], json!({})).await;
    let path = question.under("voters");
    for voter in &voters[..9] {
        voter.vote(&question, &[0]).await.expect(201);
    }
    close(&author, &question).await;
    author
        .get(&path)
        .await
        .problem("too_few_ballots")
        .expect(409);
    author
        .post(&question.under("reopen"), json!({}))
        .await
        .expect(200);
    voters[9].vote(&question, &[0]).await.expect(201);
    author.get(&path).await.problem("voting_open");
    close(&author, &question).await;
    author.get(&path).await.problem("reopened").expect(409);

    // The end has come, but ballots may still be on their way into the count.
    let minute = std::time::Duration::from_secs(60);
    let closes_at = app.clock.now().after(minute).to_string();
    let question = author
        .ask(&["a", "b"], json!({"closes_at": closes_at}))
        .await;
    for voter in &voters {
        voter.vote(&question, &[0]).await.expect(201);
    }
    app.clock.advance(2 * minute);
    let path = question.under("voters");
    author.get(&path).await.problem("voting_open");
    app.questions.seal_due().await.expect("it is sealed");
    assert_eq!(all(&app, Some(&author), &path, 3).await.len(), 10);

    // Public ballots have nothing to hide.
    let question = author
        .ask(&["a", "b"], json!({"ballot_secrecy": "public"}))
        .await;
    voters[0].vote(&question, &[0]).await.expect(201);
    for step in ["close", "reopen"] {
        author
            .post(&question.under(step), Value::Null)
            .await
            .expect(200);
        assert_eq!(
            all(&app, None, &question.under("voters"), 10).await.len(),
            1
        );
    }
}
