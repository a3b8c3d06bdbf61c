//! Each rung of each ladder of tie-breaks has an election of its own.

use super::*;

fn with_lot(method: Method, seats: usize, profile: &Profile, order: &str) -> Count {
    count(
        &Rules {
            tie_break: TieBreak::Lot,
            ..Rules::new(method, seats)
        },
        profile,
        &lot(order),
    )
}

fn eliminated(count: &Count) -> Vec<(String, Option<TieBrokenBy>)> {
    rounds(count)
        .rounds
        .iter()
        .map(|round| (letters(&round.eliminated_choice_ids), round.tie_broken_by))
        .collect()
}

#[test]
fn elimination_by_the_round_before() {
    // Round 1: A 5, B 3, C 2, D 1. D goes to C: B and C have 3; in round 1 C had fewer.
    let profile = rankings(4, &["5 A", "3 B", "2 C", "1 D>C"]);
    let count = run(Method::InstantRunoff, 1, &profile);
    assert_eq!(
        eliminated(&count)[..2],
        [
            ("D".to_owned(), None),
            ("C".to_owned(), Some(TieBrokenBy::EarlierRound))
        ]
    );
    assert!(!count.outcome.provisional);
}

#[test]
fn elimination_by_the_round_before_that() {
    // Round 1: A 9, B 5, C 4, D 2, E 1. E goes to C: C 5. D goes to B and C: both have 6 in round 3
    // and both had 5 in round 2; in round 1 C had 4.
    let profile = rankings(5, &["9 A", "5 B", "4 C", "1 D>B", "1 D>C", "1 E>C"]);
    let count = run(Method::InstantRunoff, 1, &profile);
    assert_eq!(
        eliminated(&count)[..3],
        [
            ("E".to_owned(), None),
            ("D".to_owned(), None),
            ("C".to_owned(), Some(TieBrokenBy::EarlierRound))
        ]
    );
}

#[test]
fn the_most_recent_difference_counts() {
    // Tied in round 3 with 7: B and C. Round 2: B 6, C 5; round 1 was the other way round.
    let profile = rankings(5, &["9 A", "4 B", "5 C", "1 D>B", "2 D>C", "2 E>B"]);
    let count = run(Method::InstantRunoff, 1, &profile);
    assert_eq!(
        eliminated(&count)[2],
        ("C".to_owned(), Some(TieBrokenBy::EarlierRound))
    );
}

#[test]
fn elimination_narrows_three_down_over_two_rounds() {
    // Tied in round 3 with 6: B, C, D. Round 2: B 5, C 5, D 6 leaves B and C; round 1: B 5, C 4
    // leaves C.
    let profile = rankings(6, &["9 A", "5 B", "4 C", "6 D", "1 E>B", "1 E>C", "1 F>C"]);
    let count = run(Method::InstantRunoff, 1, &profile);
    assert_eq!(
        eliminated(&count)[2],
        ("C".to_owned(), Some(TieBrokenBy::EarlierRound))
    );
}

#[test]
fn elimination_by_lot() {
    let profile = rankings(3, &["3 A", "2 B", "2 C"]);
    let count = with_lot(Method::InstantRunoff, 1, &profile, "CBA");
    assert_eq!(
        eliminated(&count)[0],
        ("B".to_owned(), Some(TieBrokenBy::Lot))
    );
    assert!(count.outcome.decided_by_lot && !count.outcome.provisional);
    let open = run(Method::InstantRunoff, 1, &profile);
    assert_eq!(
        eliminated(&open)[0],
        ("C".to_owned(), Some(TieBrokenBy::Lot))
    );
    assert!(!open.outcome.decided_by_lot && open.outcome.provisional);
}

#[test]
fn choices_without_votes_fall_from_the_last_without_a_lot() {
    let profile = rankings(4, &["3 B", "2 C"]);
    let count = with_lot(Method::InstantRunoff, 1, &profile, "DCBA");
    assert_eq!(eliminated(&count), [(String::new(), None)]);
    let profile = rankings(5, &["3 B", "2 C", "2 E"]);
    let count = with_lot(Method::InstantRunoff, 1, &profile, "DCBAE");
    assert_eq!(
        eliminated(&count)[..2],
        [("D".to_owned(), None), ("A".to_owned(), None)]
    );
    let profile = rankings(4, &["9 A", "5 B"]);
    let count = run(Method::SingleTransferableVote, 2, &profile);
    assert_eq!(letters(&count.outcome.elected_choice_ids), "AB");
    assert!(!count.outcome.provisional);
}

#[test]
fn choices_without_votes_need_the_lot_for_a_seat() {
    let profile = rankings(4, &["9 A"]);
    let count = with_lot(Method::SingleTransferableVote, 2, &profile, "CDBA");
    assert_eq!(letters(&count.outcome.elected_choice_ids), "AC");
    assert!(count.outcome.decided_by_lot);
}

fn surpluses(count: &Count) -> Vec<(String, Option<TieBrokenBy>)> {
    rounds(count)
        .rounds
        .iter()
        .filter(|round| round.eliminated_choice_ids.is_empty() && !round.transfers.is_empty())
        .map(|round| {
            (
                letter(round.transfers[0].from_choice_id).to_string(),
                round.tie_broken_by,
            )
        })
        .collect()
}

#[test]
fn the_largest_surplus_goes_first() {
    // Valid 40, three seats, quota 11.
    let profile = rankings(5, &["13 A>D", "15 B>E", "6 C", "3 D", "3 E"]);
    let count = run(Method::SingleTransferableVote, 3, &profile);
    assert_eq!(
        surpluses(&count)[..2],
        [("B".to_owned(), None), ("A".to_owned(), None)]
    );
}

#[test]
fn equal_surpluses_by_the_round_before() {
    // Valid 46, four seats, quota 10. A has 20, so that each paper goes on with 0.5: B rises from 6
    // to 11 and C from 8 to 11. C had more in round 1.
    let profile = rankings(
        5,
        &["10 A>B", "6 A>C", "4 A", "6 B>D", "8 C>E", "6 D", "6 E"],
    );
    let count = run(Method::SingleTransferableVote, 4, &profile);
    assert_eq!(
        surpluses(&count)[..2],
        [
            ("A".to_owned(), None),
            ("C".to_owned(), Some(TieBrokenBy::EarlierRound))
        ]
    );
    assert!(!count.outcome.provisional);
}

#[test]
fn equal_surpluses_by_lot() {
    let profile = rankings(4, &["6 A>C", "6 B>D", "2 C", "2 D"]);
    for (order, first) in [("ABCD", "A"), ("BADC", "B")] {
        let count = with_lot(Method::SingleTransferableVote, 3, &profile, order);
        assert_eq!(
            surpluses(&count)[0],
            (first.to_owned(), Some(TieBrokenBy::Lot))
        );
        assert!(count.outcome.decided_by_lot);
    }
}

#[test]
fn exclusion_under_stv_by_an_earlier_round() {
    // Valid 22, two seats, quota 8. D goes to C: B and C have 4, and C had 3 before.
    let profile = rankings(5, &["7 A", "4 B", "3 C", "1 D>C", "7 E"]);
    let count = run(Method::SingleTransferableVote, 2, &profile);
    assert_eq!(
        eliminated(&count)[..2],
        [
            ("D".to_owned(), None),
            ("C".to_owned(), Some(TieBrokenBy::EarlierRound))
        ]
    );
}

#[test]
fn ranked_pairs_by_smaller_opposition() {
    // A circle of victories with 6 ballots each: A>B against 3, B>C against 4, C>A against 5.
    let profile = rankings(3, &["3 A>B>C", "2 B>C>A", "1 C>A>B", "2 A", "1 B", "3 C"]);
    let count = run(Method::RankedPairs, 1, &profile);
    let order: Vec<(String, u64, u64, bool)> = pairs(&count)
        .pairs
        .iter()
        .map(|pair| {
            let names = letters(&[pair.winner_id, pair.loser_id]);
            (names, pair.supporting, pair.opposing, pair.locked)
        })
        .collect();
    assert_eq!(
        order,
        [
            ("AB".to_owned(), 6, 3, true),
            ("BC".to_owned(), 6, 4, true),
            ("CA".to_owned(), 6, 5, false)
        ]
    );
    assert_eq!(elected(Method::RankedPairs, 1, &profile), "A");
}

/// A circle of three equal victories.
fn circle() -> Profile {
    rankings(3, &["A>B>C", "B>C>A", "C>A>B"])
}

#[test]
fn equal_pairs_by_the_winners_place_in_the_lot() {
    for (order, locking, winner) in [
        ("ABC", ["AB", "BC", "CA"], "A"),
        ("BCA", ["BC", "CA", "AB"], "B"),
        ("CBA", ["CA", "BC", "AB"], "B"),
    ] {
        let count = with_lot(Method::RankedPairs, 1, &circle(), order);
        let names = |pair: &Pair| letters(&[pair.winner_id, pair.loser_id]);
        let pairs = &pairs(&count).pairs;
        assert_eq!(pairs.iter().map(names).collect::<Vec<String>>(), locking);
        assert_eq!(letters(&count.outcome.elected_choice_ids), winner);
        assert!(count.outcome.decided_by_lot);
        assert!(
            pairs
                .iter()
                .all(|pair| pair.tie_broken_by == Some(TieBrokenBy::Lot))
        );
    }
}

#[test]
fn equal_pairs_by_the_losers_place_in_the_lot() {
    // A>B>D>A and A>C>D>A, every victory 4 to 2; B and C are even.
    let profile = rankings(
        4,
        &[
            "A>B>C>D", "A>C>B>D", "B>C>D>A", "C>B>D>A", "D>A>B>C", "D>A>C>B",
        ],
    );
    let count = with_lot(Method::RankedPairs, 1, &profile, "ACBD");
    let first = pairs(&count)
        .pairs
        .iter()
        .filter(|pair| pair.winner_id == 0);
    let losers: Vec<usize> = first.map(|pair| pair.loser_id).collect();
    assert_eq!(letters(&losers), "CB");
}

#[test]
fn equal_pairs_that_fit_together_need_no_lot() {
    let count = run(Method::RankedPairs, 1, &rankings(4, &["7 C>A>D>B"]));
    assert_eq!(letters(&count.outcome.elected_choice_ids), "C");
    assert!(!count.outcome.provisional);
    assert!(
        pairs(&count)
            .pairs
            .iter()
            .all(|pair| pair.locked && pair.tie_broken_by.is_none())
    );
}

#[test]
fn of_several_undefeated_choices_the_lots_first_wins() {
    let profile = rankings(3, &["2 A>B>C", "2 B>A>C"]);
    for (order, winner) in [("CBA", "B"), ("CAB", "A")] {
        let count = with_lot(Method::RankedPairs, 1, &profile, order);
        assert_eq!(letters(&count.outcome.elected_choice_ids), winner);
        assert!(count.outcome.decided_by_lot);
        let even = pairs(&count).pairs.last().unwrap();
        assert_eq!((even.supporting, even.opposing, even.locked), (2, 2, false));
    }
}

#[test]
fn totals_show_a_tie_or_draw_the_lot() {
    let profile = rankings(4, &["3 A", "2 B", "2 C", "1 D"]);
    let count = run(Method::MultipleChoice, 2, &profile);
    assert_eq!(count.outcome.status, Status::Tied);
    assert_eq!(letters(&count.outcome.elected_choice_ids), "A");
    assert_eq!(letters(&count.outcome.tied_choice_ids), "BC");
    let count = with_lot(Method::MultipleChoice, 2, &profile, "DCBA");
    assert_eq!(letters(&count.outcome.elected_choice_ids), "AC");
    assert!(count.outcome.decided_by_lot && count.outcome.tied_choice_ids.is_empty());
    let profile = scores(3, &["A2 B2", "C4"]);
    assert_eq!(
        letters(&run(Method::Score, 1, &profile).outcome.elected_choice_ids),
        "C"
    );
    let profile = scores(3, &["A2 B2", "C2"]);
    assert_eq!(
        letters(&run(Method::Score, 2, &profile).outcome.tied_choice_ids),
        "ABC"
    );
    let profile = rankings(3, &["A>B>C", "B>A>C"]);
    assert_eq!(
        letters(&run(Method::Borda, 1, &profile).outcome.tied_choice_ids),
        "AB"
    );
    assert_eq!(
        letters(
            &with_lot(Method::Borda, 1, &profile, "CBA")
                .outcome
                .elected_choice_ids
        ),
        "B"
    );
}

fn scoring_tie(lines: &[&str], choices: usize, order: &str) -> (String, Option<TieBrokenBy>, bool) {
    let count = with_lot(Method::Star, 1, &scores(choices, lines), order);
    let mut finalists = runoff(&count).finalist_ids.clone();
    finalists.sort_unstable();
    (
        letters(&finalists),
        runoff(&count).finalists_tie_broken_by,
        count.outcome.decided_by_lot,
    )
}

#[test]
fn star_scoring_round_head_to_head() {
    // B and C have 6; two ballots prefer C, one prefers B.
    let lines = ["A5 B4 C1", "A5 B1 C3", "A0 B1 C2"];
    assert_eq!(
        scoring_tie(&lines, 3, "ABC"),
        ("AC".to_owned(), Some(TieBrokenBy::HeadToHead), false)
    );
}

#[test]
fn star_scoring_round_most_fives() {
    // B and C have 7 and one preference each; C has a five.
    let lines = ["A5 B4 C2", "A5 B3 C5"];
    assert_eq!(
        scoring_tie(&lines, 3, "ABC"),
        ("AC".to_owned(), Some(TieBrokenBy::MostFives), false)
    );
}

#[test]
fn star_scoring_round_lot() {
    let lines = ["A5 B4 C2", "A5 B2 C4"];
    assert_eq!(
        scoring_tie(&lines, 3, "ABC"),
        ("AB".to_owned(), Some(TieBrokenBy::Lot), true)
    );
    assert_eq!(
        scoring_tie(&lines, 3, "CBA"),
        ("AC".to_owned(), Some(TieBrokenBy::Lot), true)
    );
}

#[test]
fn star_three_tied_the_most_losses_drop_out() {
    // B, C and D have 6. B beats C and D, C beats D: D drops out, then C.
    let lines = ["A5 B3 C2 D1", "A5 B3 C2 D1", "A5 C2 D4"];
    assert_eq!(
        scoring_tie(&lines, 4, "DCBA"),
        ("AB".to_owned(), Some(TieBrokenBy::HeadToHead), false)
    );
}

#[test]
fn star_three_tied_for_both_places() {
    // A, B and C have 6: A beats both, B and C each lose once to A; then B against C.
    let lines = ["A3 B2 C1", "A3 B2 C1", "B2 C4"];
    assert_eq!(
        scoring_tie(&lines, 3, "CBA"),
        ("AB".to_owned(), Some(TieBrokenBy::HeadToHead), false)
    );
}

#[test]
fn star_three_tied_in_a_circle_the_fewest_fives_drop_out() {
    // B>C>D>B, each with 8; only B has a five.
    let lines = ["A5 B5 C3 D1", "A5 B1 C4 D3", "A5 B2 C1 D4"];
    assert_eq!(
        scoring_tie(&lines, 4, "DCBA"),
        ("AB".to_owned(), Some(TieBrokenBy::MostFives), false)
    );
}

#[test]
fn star_three_tied_in_a_circle_by_lot() {
    let lines = ["A5 B3 C2 D1", "A5 B1 C3 D2", "A5 B2 C1 D3"];
    assert_eq!(
        scoring_tie(&lines, 4, "DCBA"),
        ("AD".to_owned(), Some(TieBrokenBy::Lot), true)
    );
    assert_eq!(
        scoring_tie(&lines, 4, "ABCD"),
        ("AB".to_owned(), Some(TieBrokenBy::Lot), true)
    );
}

#[test]
fn star_choices_without_scores_need_no_lot() {
    let count = with_lot(Method::Star, 1, &scores(4, &["C5", "C1"]), "DBAC");
    assert_eq!(runoff(&count).finalist_ids, [2, 0]);
    assert_eq!(runoff(&count).tie_broken_by, None);
    assert_eq!(letters(&count.outcome.elected_choice_ids), "C");
    assert!(!count.outcome.decided_by_lot);
}

fn runoff_tie(lines: &[&str], order: &str) -> (String, Option<TieBrokenBy>, bool) {
    let count = with_lot(Method::Star, 1, &scores(2, lines), order);
    (
        letters(&count.outcome.elected_choice_ids),
        runoff(&count).tie_broken_by,
        count.outcome.decided_by_lot,
    )
}

#[test]
fn star_runoff_ladder() {
    use TieBrokenBy::{HigherSum, Lot, MostFives};
    assert_eq!(
        runoff_tie(&["A3 B2", "A1 B2", "B1"], "AB"),
        ("B".to_owned(), None, false)
    );
    assert_eq!(
        runoff_tie(&["A3 B2", "A1 B3"], "AB"),
        ("B".to_owned(), Some(HigherSum), false)
    );
    assert_eq!(
        runoff_tie(&["A4 B3", "A4 B5"], "AB"),
        ("B".to_owned(), Some(MostFives), false)
    );
    assert_eq!(
        runoff_tie(&["A4 B3", "A3 B4"], "BA"),
        ("B".to_owned(), Some(Lot), true)
    );
    assert_eq!(
        runoff_tie(&["A4 B3", "A3 B4"], "AB"),
        ("A".to_owned(), Some(Lot), true)
    );
}
