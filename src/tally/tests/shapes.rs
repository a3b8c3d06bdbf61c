//! The shapes in JSON.

use serde_json::{json, to_string, to_value};

use super::*;

fn named(count: Count) -> (serde_json::Value, serde_json::Value) {
    let explanation = count.explanation.map(|explanation| explanation.map(letter));
    (
        to_value(count.outcome.map(letter)).unwrap(),
        to_value(explanation).unwrap(),
    )
}

#[test]
fn rounds_have_exact_decimal_numbers() {
    let profile = rankings(4, &["6 A>B", "3 A>C", "2 A", "3 B", "4 C", "2 D>B"]);
    let (outcome, explanation) = named(run(Method::SingleTransferableVote, 2, &profile));
    assert_eq!(
        outcome,
        json!({
            "status": "decided", "elected_choice_ids": ["A", "B"], "tied_choice_ids": [],
            "decided_by_lot": false, "provisional": false
        })
    );
    assert_eq!(explanation["kind"], "rounds");
    assert_eq!(explanation["quota"], 7);
    assert_eq!(
        explanation["rounds"][0]["transfers"],
        json!([
            {"from_choice_id": "A", "to_choice_id": "B", "votes": 2.18178},
            {"from_choice_id": "A", "to_choice_id": "C", "votes": 1.09089},
            {"from_choice_id": "A", "votes": 0.72733}
        ])
    );
    assert_eq!(
        explanation["rounds"][1],
        json!({
            "round": 2,
            "tallies": [
                {"choice_id": "A", "votes": 7}, {"choice_id": "B", "votes": 5.18178},
                {"choice_id": "C", "votes": 5.09089}, {"choice_id": "D", "votes": 2}
            ],
            "exhausted": 0.72733,
            "elected_choice_ids": [],
            "eliminated_choice_ids": ["D"],
            "transfers": [{"from_choice_id": "D", "to_choice_id": "B", "votes": 2}]
        })
    );
}

#[test]
fn pairs_points_and_runoff() {
    let (_, pairs) = named(run(
        Method::RankedPairs,
        1,
        &rankings(2, &["2 A>B", "1 B>A"]),
    ));
    assert_eq!(
        pairs,
        json!({
            "kind": "pairs",
            "pairs": [{"winner_id": "A", "loser_id": "B", "for": 2, "against": 1, "locked": true}],
            "condorcet_winner_id": "A"
        })
    );
    let (_, points) = named(run(
        Method::Borda,
        1,
        &rankings(3, &["A>B>C", "B>A>C", "C"]),
    ));
    assert_eq!(
        points,
        json!({
            "kind": "points",
            "totals": [
                {"choice_id": "A", "points": 3.5}, {"choice_id": "B", "points": 3.5},
                {"choice_id": "C", "points": 2}
            ]
        })
    );
    let (_, runoff) = named(run(
        Method::Star,
        1,
        &scores(3, &["A5 B3", "A1 B3", "A2 B2", ""]),
    ));
    assert_eq!(
        runoff,
        json!({
            "kind": "runoff", "finalist_ids": ["A", "B"],
            "preferring": [{"choice_id": "A", "ballots": 1}, {"choice_id": "B", "ballots": 1}],
            "no_preference": 2, "finalists_tie_broken_by": null, "tie_broken_by": "most_fives"
        })
        .as_object()
        .map(|all| {
            let present = all.iter().filter(|(_, value)| !value.is_null());
            present
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect::<serde_json::Map<_, _>>()
        })
        .map(serde_json::Value::Object)
        .unwrap()
    );
    let (_, nothing) = named(run(Method::Score, 1, &scores(2, &["A5 B3"])));
    assert!(nothing.is_null());
}

#[test]
fn numbers_are_exact_and_short() {
    for (parts, text) in [
        (0, "0"),
        (1, "0.00001"),
        (799_968, "7.99968"),
        (150_000, "1.5"),
        (1_000_000_000_000_000, "10000000000"),
        (u64::MAX, "184467440737095.51615"),
    ] {
        assert_eq!(Votes::from_parts(parts).to_string(), text);
        assert_eq!(to_string(&Votes::from_parts(parts)).unwrap(), text);
    }
    assert_eq!(to_string(&Points::from_parts(7)).unwrap(), "3.5");
    assert_eq!(Votes::from_whole(u64::MAX).parts(), u64::MAX);
}

#[test]
fn names_of_methods() {
    for method in Method::ALL {
        assert_eq!(to_string(&method).unwrap(), format!("\"{method}\""));
        assert_eq!(method.name().parse(), Ok(method));
    }
    assert!(
        "irv"
            .parse::<Method>()
            .unwrap_err()
            .to_string()
            .contains("instant_runoff")
    );
}
