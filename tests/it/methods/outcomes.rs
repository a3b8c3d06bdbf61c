//! Outcomes: quorum, threshold, ties, choices that are added late, and who may see any of it.

use serde_json::{Value, json};

use super::{METHODS, close, indices, prefer, results, score};
use crate::support::app::send;
use crate::support::live::{Stream, WAYS, no_watch};
use crate::support::{Question, TestApp, User};

/// Asks a question with choices `a`, `b`, `c` and casts one ballot for each ranking.
async fn ranked(author: &User, voters: &[User], more: Value, rankings: &[&[usize]]) -> Question {
    let question = author.ask(&["a", "b", "c"], more).await;
    for (voter, ranking) in voters.iter().zip(rankings) {
        voter.vote(&question, ranking).await.expect(201);
    }
    question
}

async fn users(app: &TestApp, count: usize) -> Vec<User> {
    let mut users = Vec::new();
    for number in 0..count {
        users.push(app.user(&format!("voter{number}")).await);
    }
    users
}

#[tokio::test]
async fn each_method_explains_its_outcome() {
    let (app, author) = TestApp::with_user("lucy").await;
    let voters = users(&app, 5).await;
    // b is the Condorcet winner, c leads in first preferences until a is eliminated.
    let rankings: [&[usize]; 5] = [&[2, 1, 0], &[2, 1], &[1, 0, 2], &[1, 2, 0], &[0, 1, 2]];
    for (method, kind) in [
        ("instant_runoff", "rounds"),
        ("single_transferable_vote", "rounds"),
        ("ranked_pairs", "pairs"),
        ("borda", "points"),
    ] {
        let question = ranked(&author, &voters, json!({"method": method}), &rankings).await;
        let results = results(&app, &question).await;
        assert_eq!(results["method"], method);
        assert_eq!(results["outcome"]["status"], "decided", "{results}");
        assert_eq!(
            indices(&question, &results["outcome"]["elected_choice_ids"]),
            [1]
        );
        assert_eq!(indices(&question, &results["leading_choice_ids"]), [1]);
        assert_eq!(results["explanation"]["kind"], kind, "{results}");
        let brief = app.get(&question.under("results")).await.expect(200).json;
        assert!(brief.get("explanation").is_none());
        assert_eq!(brief["outcome"], results["outcome"]);
        let votes: Vec<&Value> = [0, 1, 2]
            .map(|index| &brief["choices"][index]["votes"])
            .into();
        assert_eq!(votes, [1, 2, 2]);
    }
    let more = json!({"method": "star"});
    let question = author.ask(&["a", "b", "c"], more).await;
    for (voter, scores) in voters.iter().zip([[5, 4, 0], [0, 4, 5], [0, 4, 5]]) {
        let scores: Vec<_> = scores.into_iter().enumerate().collect();
        score(voter, &question, &scores).await.expect(201);
    }
    let runoff = results(&app, &question).await;
    // The sums are 5, 12, 10; two of three prefer c to b.
    assert_eq!(runoff["choices"][1]["votes"], 12);
    assert_eq!(runoff["choices"][1]["share"], 0.8);
    assert_eq!(runoff["explanation"]["kind"], "runoff");
    assert_eq!(
        indices(&question, &runoff["explanation"]["finalist_ids"]),
        [1, 2]
    );
    assert_eq!(
        indices(&question, &runoff["outcome"]["elected_choice_ids"]),
        [2]
    );
}

/// 52 ballots for A1 to A5 in this order and 8 for B; five seats. Truncation leaves A5 just behind B.
#[tokio::test]
async fn fractions_of_votes_are_exact() {
    let (app, author) = TestApp::with_user("lucy").await;
    let voters = users(&app, 60).await;
    let more = json!({"method": "single_transferable_vote", "seats": 5});
    let question = author.ask(&["A1", "A2", "A3", "A4", "A5", "B"], more).await;
    for (turn, voter) in voters.iter().enumerate() {
        let ranking: &[usize] = if turn < 52 { &[0, 1, 2, 3, 4] } else { &[5] };
        voter.vote(&question, ranking).await.expect(201);
    }
    let results = app
        .get(&question.under("results?explain=true"))
        .await
        .expect(200);
    let text = String::from_utf8_lossy(&results.bytes);
    assert!(text.contains("\"votes\":7.99968"), "{text}");
    let elected = &results.json["outcome"]["elected_choice_ids"];
    assert_eq!(indices(&question, elected), [0, 1, 2, 3, 5]);
}

#[tokio::test]
async fn quorum_and_threshold_decide_whether_anybody_is_elected() {
    let (app, author) = TestApp::with_user("lucy").await;
    let voters = users(&app, 4).await;
    let outcome = async |question: &Question| results(&app, question).await["outcome"].clone();
    for method in METHODS {
        let question = author
            .ask(&["a", "b"], json!({"method": method, "quorum": 2}))
            .await;
        prefer(&voters[0], &question, method, 1).await.expect(201);
        let without = results(&app, &question).await;
        assert_eq!(without["outcome"]["status"], "no_quorum", "{method}");
        assert_eq!(
            without["outcome"]["elected_choice_ids"],
            json!([]),
            "{method}"
        );
        assert_eq!(
            indices(&question, &without["leading_choice_ids"]),
            [1],
            "{method}"
        );
        prefer(&voters[1], &question, method, 1).await.expect(201);
        assert_eq!(outcome(&question).await["status"], "decided", "{method}");
    }
    // Two of three votes cast, two of four ballots.
    for (of, exceed, status) in [
        ("votes_cast", false, "decided"),
        ("votes_cast", true, "below_threshold"),
        ("ballots", false, "below_threshold"),
    ] {
        let threshold = json!({"numerator": 2, "denominator": 3, "of": of, "exceed": exceed});
        let more = json!({"threshold": threshold, "min_choices": 0});
        let rankings: [&[usize]; 4] = [&[0], &[0], &[1], &[]];
        let question = ranked(&author, &voters, more, &rankings).await;
        assert_eq!(outcome(&question).await["status"], status, "{of}, {exceed}");
    }
}

#[tokio::test]
async fn a_tie_is_shown_where_no_lot_breaks_it() {
    let (app, author) = TestApp::with_user("lucy").await;
    let voters = users(&app, 4).await;
    for method in ["multiple_choice", "borda", "score"] {
        let more = json!({"method": method, "seats": 2, "max_choices": 1});
        let question = author.ask(&["a", "b", "c", "d"], more).await;
        for (voter, choice) in voters.iter().zip([0, 0, 1, 2]) {
            prefer(voter, &question, method, choice).await.expect(201);
        }
        close(&author, &question).await;
        let results = results(&app, &question).await;
        let outcome = &results["outcome"];
        assert_eq!(outcome["status"], "tied", "{method}: {outcome}");
        assert_eq!(indices(&question, &outcome["elected_choice_ids"]), [0]);
        assert_eq!(indices(&question, &outcome["tied_choice_ids"]), [1, 2]);
        assert_eq!(
            indices(&question, &results["leading_choice_ids"]),
            [0, 1, 2]
        );
        assert!(results.get("lot").is_none(), "{method}");
        let picture = app.get(&question.under("results.svg")).await.expect(200);
        let picture = String::from_utf8_lossy(&picture.bytes).into_owned();
        assert!(picture.contains("Elected: a; tied: b, c"), "{picture}");
    }
}

#[tokio::test]
async fn a_choice_that_is_added_late_is_last_on_earlier_ballots() {
    let (app, author) = TestApp::with_user("lucy").await;
    let voters = users(&app, 3).await;
    for method in [
        "instant_runoff",
        "borda",
        "ranked_pairs",
        "single_transferable_vote",
    ] {
        let rankings: [&[usize]; 1] = [&[0, 1, 2]];
        let mut question = ranked(&author, &voters, json!({"method": method}), &rankings).await;
        let body = json!({"choice_text": "late", "position": 0});
        let added = author
            .post(&question.under("choices"), body)
            .await
            .expect(201);
        question.choices.insert(0, added.text("id"));
        let before = results(&app, &question).await;
        assert_eq!(
            indices(&question, &before["outcome"]["elected_choice_ids"]),
            [1],
            "{method}"
        );
        for voter in &voters[1..] {
            voter.vote(&question, &[0, 3, 2, 1]).await.expect(201);
        }
        let after = results(&app, &question).await;
        assert_eq!(
            indices(&question, &after["outcome"]["elected_choice_ids"]),
            [0],
            "{method}"
        );
    }
}

#[tokio::test]
async fn the_choices_of_a_closed_question_do_not_change() {
    let (app, author) = TestApp::with_user("lucy").await;
    for method in METHODS {
        let question = author
            .ask(&["a", "b", "c"], json!({"method": method}))
            .await;
        close(&author, &question).await;
        let before = app.get(&question.under("results")).await.expect(200);
        let choice = question.under(&format!("choices/{}", question.choices[0]));
        let added = author
            .post(&question.under("choices"), json!({"choice_text": "d"}))
            .await;
        added.problem("voting_closed").expect(409);
        let moved = author.patch(&choice, json!({"position": 1})).await;
        moved.problem("voting_closed").expect(409);
        let reworded = author.patch(&choice, json!({"choice_text": "z"})).await;
        reworded.problem("voting_closed").expect(409);
        author
            .delete(&choice)
            .await
            .problem("voting_closed")
            .expect(409);
        let after = app.get(&question.under("results")).await.expect(200);
        assert_eq!(after.header("etag"), before.header("etag"), "{method}");
    }
}

/// Two questions with the same ballots except for their order tell a stranger the same.
#[tokio::test]
async fn hidden_results_give_nothing_derived_away() {
    let (app, author) = TestApp::with_user("lucy").await;
    let (voters, stranger) = (users(&app, 3).await, app.user("stranger").await);
    let mut seen = Vec::new();
    for method in ["instant_runoff", "ranked_pairs", "borda"] {
        for rankings in [
            [&[0, 1, 2][..], &[0, 2, 1], &[1, 0]],
            [&[2][..], &[1, 2], &[2, 1, 0]],
        ] {
            let more = json!({"method": method, "results_visibility": "after_close"});
            let question = ranked(&author, &voters, more, &rankings).await;
            for path in ["results", "results?explain=true"] {
                let hidden = stranger.get(&question.under(path)).await;
                hidden.problem("results_hidden").expect(403);
            }
            let card = stranger
                .get(&question.under("results.svg"))
                .await
                .expect(200);
            let card = String::from_utf8_lossy(&card.bytes).into_owned();
            assert!(
                !card.contains("Ahead") && !card.contains("voters"),
                "{card}"
            );
            let watched = send(no_watch(&app.address, &question, Some(&stranger))).await;
            watched.problem("results_hidden").expect(403);
            let shown = stranger.get(&question.path).await.expect(200);
            assert!(shown.json.get("outcome").is_none());
            let ballot = voters[0].get(&question.under("ballot")).await.expect(200);
            assert!(ballot.json.get("results").is_none(), "{}", ballot.json);
            let fields = shown.json.as_object().expect("an object");
            seen.push(fields.keys().cloned().collect::<Vec<_>>());
        }
    }
    // In pairs of the same method.
    let (pairs, rest) = seen.as_chunks::<2>();
    assert!(
        rest.is_empty() && pairs.iter().all(|[one, other]| one == other),
        "{seen:?}"
    );
    let question = author
        .ask(&["a", "b"], json!({"method": "instant_runoff"}))
        .await;
    let anonymous = app.request(reqwest::Method::GET, &question.under("results"));
    send(anonymous).await.expect(200);
}

#[tokio::test]
async fn live_results_carry_the_outcome() {
    let (app, author) = TestApp::with_user("lucy").await;
    let voters = users(&app, 2).await;
    for way in WAYS {
        let more = json!({"method": "instant_runoff"});
        let question = author.ask(&["a", "b"], more).await;
        let mut stream = Stream::open(way, &app.address, &question, None, None).await;
        let first = stream.event().await;
        assert_eq!(first.data["outcome"]["status"], "no_votes");
        voters[0].vote(&question, &[1, 0]).await.expect(201);
        let next = stream.event().await;
        assert_eq!(next.ballots(), 1);
        let elected = &next.data["outcome"]["elected_choice_ids"];
        assert_eq!(indices(&question, elected), [1]);
        assert!(next.data.get("explanation").is_none());
        close(&author, &question).await;
        let last = stream.event().await;
        assert_eq!(last.data["is_final"], true);
        assert_eq!(stream.event().await.reason(), "closed");
    }
}
