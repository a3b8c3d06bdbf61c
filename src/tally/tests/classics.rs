use super::*;

/// The capital of Tennessee: Memphis, Nashville, Chattanooga, Knoxville.
fn tennessee() -> Profile {
    rankings(4, &["42 A>B>C>D", "26 B>C>D>A", "15 C>D>B>A", "17 D>C>B>A"])
}

#[test]
fn tennessee_by_every_ranked_method() {
    let profile = tennessee();
    assert_eq!(elected(Method::InstantRunoff, 1, &profile), "D");
    assert_eq!(elected(Method::RankedPairs, 1, &profile), "B");
    assert_eq!(elected(Method::Borda, 1, &profile), "B");
    let count = run(Method::InstantRunoff, 1, &profile);
    assert_eq!(count.votes, [42, 26, 15, 17]);
    let falls: Vec<String> = rounds(&count)
        .rounds
        .iter()
        .map(|round| letters(&round.eliminated_choice_ids))
        .collect();
    assert_eq!(falls, ["C", "B", ""]);
    let Some(Explanation::Points(points)) = run(Method::Borda, 1, &profile).explanation else {
        panic!("no points");
    };
    let points: Vec<String> = points
        .totals
        .iter()
        .map(|total| total.points.to_string())
        .collect();
    assert_eq!(points, ["126", "194", "173", "107"]);
    let pairs = run(Method::RankedPairs, 1, &profile);
    assert_eq!(super::pairs(&pairs).condorcet_winner_id, Some(1));
}

/// Tennessee by scores, from the article on STAR voting: Nashville wins.
#[test]
fn tennessee_by_scores() {
    let profile = scores(
        4,
        &[
            "42 A5 B2 C1 D0",
            "26 B5 C2 D2 A0",
            "15 C5 D4 B3 A0",
            "17 D5 C4 B2 A0",
        ],
    );
    assert_eq!(run(Method::Score, 1, &profile).votes, [210, 293, 237, 197]);
    assert_eq!(elected(Method::Score, 1, &profile), "B");
    assert_eq!(elected(Method::Star, 1, &profile), "B");
    let star = run(Method::Star, 1, &profile);
    assert_eq!(runoff(&star).finalist_ids, [1, 2]);
    assert_eq!(runoff(&star).preferring[0].ballots, 68);
    assert_eq!(runoff(&star).preferring[1].ballots, 32);
}

/// The last rounds of the mayoral election of Burlington, 2009: Kiss, Montroll, Wright. Kiss is
/// elected though ballots prefer Montroll to each of the others.
#[test]
fn burlington_2009() {
    let profile = rankings(
        3,
        &[
            "1332 B>A>C",
            "767 B>C>A",
            "455 B",
            "2043 A>B>C",
            "371 A>C>B",
            "568 A",
            "1513 C>B>A",
            "495 C>A>B",
            "1289 C",
        ],
    );
    let count = run(Method::InstantRunoff, 1, &profile);
    assert_eq!(letters(&count.outcome.elected_choice_ids), "A");
    let rounds = &rounds(&count).rounds;
    assert_eq!(rounds.len(), 2);
    assert_eq!(votes_in(&rounds[0], 'A'), "2982");
    assert_eq!(votes_in(&rounds[0], 'B'), "2554");
    assert_eq!(votes_in(&rounds[0], 'C'), "3297");
    assert_eq!(votes_in(&rounds[1], 'A'), "4314");
    assert_eq!(votes_in(&rounds[1], 'C'), "4064");
    assert_eq!(rounds[1].exhausted.to_string(), "455");
    assert_eq!(elected(Method::RankedPairs, 1, &profile), "B");
}

/// The 45 voters of M. Schulze, "A new monotonic, clone-independent, reversal symmetric, and
/// Condorcet-consistent single-winner election method", 2011, example 1. Every choice is beaten by
/// another. By hand: B>D, E>D, A>D and C>B are locked. D>C would close D>C>B>D. E>B and A>C are
/// locked. B>A would close A>C>B>A. C>E is locked. E>A would close A>C>E>A. Nothing beats A, where
/// Schulze's own method elects E.
#[test]
fn schulze_45_voters() {
    let profile = rankings(
        5,
        &[
            "5 A>C>B>E>D",
            "5 A>D>E>C>B",
            "8 B>E>D>A>C",
            "3 C>A>B>E>D",
            "7 C>A>E>B>D",
            "2 C>B>A>D>E",
            "7 D>C>E>B>A",
            "8 E>B>A>D>C",
        ],
    );
    let count = run(Method::RankedPairs, 1, &profile);
    let order: Vec<String> = pairs(&count)
        .pairs
        .iter()
        .map(|pair| {
            let sign = if pair.locked { '>' } else { '/' };
            format!(
                "{}{sign}{} {}",
                letter(pair.winner_id),
                letter(pair.loser_id),
                pair.supporting
            )
        })
        .collect();
    assert_eq!(
        order,
        [
            "B>D 33", "E>D 31", "A>D 30", "C>B 29", "D/C 28", "E>B 27", "A>C 26", "B/A 25",
            "C>E 24", "E/A 23"
        ]
    );
    assert_eq!(letters(&count.outcome.elected_choice_ids), "A");
    assert_eq!(pairs(&count).condorcet_winner_id, None);
}

/// Partial rankings in a circle where winning votes and margins differ. By winning votes C>A is the
/// weakest victory and A wins; by margins (A>B 10, C>A 15, B>C 22) A>B is the weakest and B would
/// win.
#[test]
fn winning_votes_differ_from_margins() {
    let profile = rankings(
        3,
        &["7 A>B>C", "20 B>C>A", "20 C>A>B", "28 A", "25 B", "10 C"],
    );
    let count = run(Method::RankedPairs, 1, &profile);
    let order: Vec<(char, char, u64, u64, bool)> = pairs(&count)
        .pairs
        .iter()
        .map(|pair| {
            let (winner, loser) = (letter(pair.winner_id), letter(pair.loser_id));
            (winner, loser, pair.supporting, pair.opposing, pair.locked)
        })
        .collect();
    assert_eq!(
        order,
        [
            ('A', 'B', 55, 45, true),
            ('B', 'C', 52, 30, true),
            ('C', 'A', 50, 35, false)
        ]
    );
    assert_eq!(elected(Method::RankedPairs, 1, &profile), "A");
}

/// Truncation to five decimals decides: exactly, A5 would have 8 votes and a tie with B; truncated,
/// A5 has 7.99968 and is excluded.
#[test]
fn truncation_decides_the_last_seat() {
    let profile = rankings(6, &["52 A>B>C>D>E", "8 F"]);
    let count = run(Method::SingleTransferableVote, 5, &profile);
    assert!(!count.outcome.provisional);
    assert_eq!(letters(&count.outcome.elected_choice_ids), "ABCDF");
    let rounds = rounds(&count);
    assert_eq!(rounds.quota, Some(11));
    let last = rounds.rounds.last().unwrap();
    assert_eq!(votes_in(last, 'E'), "7.99968");
    assert_eq!(letters(&last.eliminated_choice_ids), "E");
    assert_eq!(letters(&last.elected_choice_ids), "F");
    assert!(last.transfers.is_empty());
    assert_eq!(last.exhausted.to_string(), "0.00032");
}

/// A small count by the Scottish rules, worked out by hand. Valid 20, two seats, quota 7. A has 11,
/// surplus 4; each paper is worth 4/11 = 0.36363. Six papers go to B (2.18178), three to C
/// (1.09089), two name nobody else; the rest, 0.72733, is exhausted.
#[test]
fn surplus_by_hand() {
    let profile = rankings(4, &["6 A>B", "3 A>C", "2 A", "3 B", "4 C", "2 D>B"]);
    let count = run(Method::SingleTransferableVote, 2, &profile);
    let rounds = rounds(&count);
    assert_eq!(rounds.quota, Some(7));
    let [first, second, third] = &rounds.rounds[..] else {
        panic!("{} rounds", rounds.rounds.len());
    };
    assert_eq!(letters(&first.elected_choice_ids), "A");
    assert_eq!(votes_in(second, 'A'), "7");
    assert_eq!(votes_in(second, 'B'), "5.18178");
    assert_eq!(votes_in(second, 'C'), "5.09089");
    assert_eq!(second.exhausted.to_string(), "0.72733");
    assert_eq!(letters(&second.eliminated_choice_ids), "D");
    assert_eq!(votes_in(third, 'B'), "7.18178");
    assert_eq!(letters(&third.elected_choice_ids), "B");
}

/// Papers keep the value at which their choice received them.
#[test]
fn a_second_surplus_uses_the_value_of_each_paper() {
    let profile = rankings(4, &["20 A>B>C", "10 B>D", "6 C", "5 D"]);
    let count = run(Method::SingleTransferableVote, 3, &profile);
    let rounds = rounds(&count);
    // Three seats: quota 41/4+1 = 11, surplus 9, value 0.45; B 10+9 = 19, surplus 8.
    assert_eq!(rounds.quota, Some(11));
    let third = &rounds.rounds[2];
    // C: 6 + 20 × ⌊8 × 0.45 ÷ 19⌋ = 6 + 20 × 0.18947; D: 5 + 10 × ⌊8 ÷ 19⌋ = 5 + 10 × 0.42105.
    assert_eq!(votes_in(third, 'C'), "9.7894");
    assert_eq!(votes_in(third, 'D'), "9.2105");
    assert_eq!(letters(&count.outcome.elected_choice_ids), "ABC");
}
