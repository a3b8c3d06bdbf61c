//! Elections with known winners, through the API with a ballot for each voter.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::crowd::{CHEAP_PASSWORDS, all_at_once, crowd};
use crate::support::{Question, Server, User, amount};

/// The elections of each method with the fewest ballots.
fn elections(folder: &std::path::Path, method: &str, most: usize) -> Vec<Value> {
    let file = folder.join(format!("{method}.json"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
    let mut elections: Vec<Value> = serde_json::from_str(&text).expect("elections");
    elections.retain(|election| ballots(election).len() <= most);
    elections.sort_by_key(|election| ballots(election).len());
    elections
}

/// The ballots of an election, one for each voter.
fn ballots(election: &Value) -> Vec<Value> {
    let distinct = election["ballots"].as_array().expect("ballots").iter();
    let each = distinct.flat_map(|ballot| {
        let count = ballot["count"].as_u64().expect("a count") as usize;
        std::iter::repeat_n(ballot.clone(), count)
    });
    each.collect()
}

/// The body of a ballot.
fn body(ballot: &Value, names: &[&str], question: &Question) -> Value {
    let id = |name: &str| {
        let index = names.iter().position(|other| *other == name);
        &question.choices[index.expect("a choice")]
    };
    match ballot["scores"].as_object() {
        Some(scores) => {
            let scores = scores
                .iter()
                .map(|(name, score)| json!({"choice_id": id(name), "score": score}));
            json!({"scores": scores.collect::<Vec<_>>()})
        }
        None => {
            let ranking = ballot["ranking"].as_array().expect("a ranking").iter();
            let ids = ranking.map(|name| id(name.as_str().expect("a name")));
            json!({"choice_ids": ids.collect::<Vec<_>>()})
        }
    }
}

async fn check(election: &Value, voters: &[User]) {
    let names = election["choices"].as_array().expect("choices").iter();
    let names: Vec<&str> = names.filter_map(Value::as_str).collect();
    let more = json!({
        "method": election["method"], "seats": election["seats"], "min_choices": 0,
    });
    let question = &voters[0].ask(&names, more).await;
    let papers: Vec<Value> = ballots(election);
    let cast = papers.iter().zip(voters);
    all_at_once(cast, |(paper, voter)| {
        let body = body(paper, &names, question);
        async move { voter.put(&question.under("ballot"), body).await.expect(201) }
    })
    .await;
    let close = question.under("close");
    voters[0].post(&close, json!(null)).await.expect(200);
    let results = voters[0]
        .get(&question.under("results?explain=true"))
        .await
        .expect(200)
        .json;
    let name = |id: &Value| {
        let index = question.choices.iter().position(|choice| id == choice);
        names[index.expect("a choice")].to_owned()
    };
    let sorted = |names: &mut Vec<String>| {
        names.sort();
        names.clone()
    };
    let elected = results["outcome"]["elected_choice_ids"]
        .as_array()
        .expect("ids");
    let elected = sorted(&mut elected.iter().map(name).collect());
    let expected = election["expected"]["elected"]
        .as_array()
        .expect("winners")
        .iter();
    let expected = expected.map(|name| name.as_str().expect("a name").to_owned());
    let context = &election["name"];
    assert_eq!(elected, sorted(&mut expected.collect()), "{context}");
    assert_eq!(results["ballot_count"], papers.len(), "{context}");
    for (choice, name) in results["choices"]
        .as_array()
        .expect("choices")
        .iter()
        .zip(&names)
    {
        if let Some(total) = election["expected"]["totals"].get(name) {
            assert_eq!(choice["votes"], *total, "{context}, {name}");
        }
    }
    let rounds = election["expected"]["rounds"]
        .as_array()
        .into_iter()
        .flatten();
    for (index, expected) in rounds.enumerate() {
        let round = &results["explanation"]["rounds"][index];
        for tally in round["tallies"].as_array().into_iter().flatten() {
            let expected = &expected[&name(&tally["choice_id"])];
            let expected = expected.as_f64().unwrap_or(0.0);
            assert_eq!(
                tally["votes"].as_f64(),
                Some(expected),
                "{context}, round {index}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn known_winners_win_over_the_api() {
    let Some(folder) = std::env::var_os("POLLS_TEST_ELECTIONS").map(PathBuf::from) else {
        println!("skipped: POLLS_TEST_ELECTIONS names no folder");
        return;
    };
    let data = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(data.path(), &CHEAP_PASSWORDS);
    let most = amount(400, 12_000);
    let mut chosen = Vec::new();
    for (method, count) in [
        ("instant_runoff", amount(12, 36)),
        ("ranked_pairs", 6),
        ("star", amount(12, 79)),
        ("single_transferable_vote", 8),
    ] {
        chosen.extend(elections(&folder, method, most).into_iter().take(count));
    }
    assert!(chosen.len() >= 20, "{}", chosen.len());
    let needed = chosen.iter().map(|election| ballots(election).len()).max();
    let voters = crowd(data.path(), &server, needed.unwrap_or(1));
    for election in &chosen {
        check(election, &voters).await;
    }
}
