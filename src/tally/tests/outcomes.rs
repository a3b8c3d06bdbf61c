//! Quorum, threshold, abstentions, and what is told where.

use super::*;

fn threshold(numerator: u32, denominator: u32, of: Base, exceed: bool) -> Option<Threshold> {
    Some(Threshold {
        numerator,
        denominator,
        of,
        exceed,
    })
}

fn decide(rules: Rules, profile: &Profile) -> (Status, String, String) {
    let count = count(&rules, profile, &Lot::Pending);
    let elected = letters(&count.outcome.elected_choice_ids);
    assert_eq!(
        elected.is_empty() && count.outcome.tied_choice_ids.is_empty(),
        { !matches!(count.outcome.status, Status::Decided | Status::Tied) }
    );
    (count.outcome.status, elected, letters(&count.leading))
}

fn plurality(seats: usize) -> Rules {
    Rules::new(Method::MultipleChoice, seats)
}

#[test]
fn no_votes_comes_before_no_quorum() {
    let profile = rankings(3, &["5 "]);
    let rules = Rules {
        quorum: Some(9),
        ..plurality(1)
    };
    assert_eq!(
        decide(rules, &profile),
        (Status::NoVotes, String::new(), String::new())
    );
    for method in Method::ALL {
        let count = run(method, 1, &Profile::new(3));
        assert_eq!(count.outcome.status, Status::NoVotes);
        assert_eq!(count.explanation, None);
    }
}

#[test]
fn abstentions_count_towards_the_quorum_only() {
    let profile = rankings(3, &["3 A", "2 B", "4 "]);
    assert_eq!(
        profile.turnout(),
        Turnout {
            ballots: 9,
            abstentions: 4
        }
    );
    for (quorum, status) in [(9, Status::Decided), (10, Status::NoQuorum)] {
        for method in [Method::MultipleChoice, Method::InstantRunoff, Method::Borda] {
            let rules = Rules {
                quorum: Some(quorum),
                ..Rules::new(method, 1)
            };
            let count = count(&rules, &profile, &Lot::Pending);
            assert_eq!(count.outcome.status, status);
            assert_eq!(letters(&count.leading), "A");
        }
    }
}

#[test]
fn no_lot_is_drawn_without_a_quorum() {
    for method in [
        Method::MultipleChoice,
        Method::InstantRunoff,
        Method::RankedPairs,
    ] {
        let tie_break = TieBreak::Lot;
        let rules = Rules {
            quorum: Some(100),
            tie_break,
            ..Rules::new(method, 1)
        };
        let count = count(&rules, &rankings(2, &["2 A", "2 B"]), &lot("BA"));
        assert_eq!(count.outcome.status, Status::NoQuorum);
        assert!(!count.outcome.decided_by_lot && !count.outcome.provisional);
        assert_eq!(count.explanation, None);
        let leading = if method == Method::MultipleChoice {
            "AB"
        } else {
            "A"
        };
        assert_eq!(letters(&count.leading), leading);
    }
}

#[test]
fn thresholds() {
    // 10 ballots, 2 of them abstentions: A 6 of 8 votes cast, 6 of 10 ballots.
    let profile = rankings(2, &["6 A", "2 B", "2 "]);
    for (needed, status) in [
        (threshold(2, 3, Base::VotesCast, false), Status::Decided),
        (threshold(3, 4, Base::VotesCast, false), Status::Decided),
        (
            threshold(3, 4, Base::VotesCast, true),
            Status::BelowThreshold,
        ),
        (threshold(3, 5, Base::Ballots, false), Status::Decided),
        (threshold(3, 5, Base::Ballots, true), Status::BelowThreshold),
        (
            threshold(2, 3, Base::Ballots, false),
            Status::BelowThreshold,
        ),
    ] {
        let (found, elected, leading) = decide(
            Rules {
                threshold: needed,
                ..plurality(1)
            },
            &profile,
        );
        assert_eq!((found, leading.as_str()), (status, "A"), "{needed:?}");
        assert_eq!(elected.is_empty(), status == Status::BelowThreshold);
    }
}

#[test]
fn seats_stay_empty_below_the_threshold() {
    let profile = rankings(4, &["6 A", "4 B", "4 C"]);
    let needed = threshold(2, 5, Base::VotesCast, false);
    let rules = Rules {
        threshold: needed,
        tie_break: TieBreak::Lot,
        ..plurality(2)
    };
    // B and C are tied for the second seat, which neither can have: no lot is drawn.
    let count = count(&rules, &profile, &lot("CBA"));
    assert_eq!(letters(&count.outcome.elected_choice_ids), "A");
    assert_eq!(count.outcome.status, Status::Decided);
    assert!(!count.outcome.decided_by_lot);
    assert_eq!(letters(&count.leading), "ABC");
}

#[test]
fn other_methods_ignore_the_threshold() {
    let needed = threshold(1, 1, Base::Ballots, false);
    let profile = scores(2, &["A1", "B1", "A1"]);
    let rules = Rules {
        threshold: needed,
        ..Rules::new(Method::Score, 1)
    };
    assert_eq!(
        decide(rules, &profile),
        (Status::Decided, "A".to_owned(), "A".to_owned())
    );
}

#[test]
fn only_choices_with_votes_are_elected() {
    let profile = rankings(4, &["6 A", "4 B"]);
    for method in [Method::MultipleChoice, Method::Borda] {
        assert_eq!(elected(method, 3, &profile), "AB");
    }
    assert_eq!(elected(Method::Score, 2, &scores(3, &["B3"])), "B");
}

/// A choice that one ballot ranks last has no point and is elected nevertheless.
#[test]
fn borda_elects_ranked_choices_without_points() {
    let profile = rankings(3, &["A>B>C"]);
    assert_eq!(elected(Method::Borda, 2, &profile), "AB");
    let profile = rankings(2, &["A>B"]);
    assert_eq!(elected(Method::Borda, 2, &profile), "AB");
}

#[test]
fn scores_of_zero_are_no_scores() {
    let profile = scores(2, &["A0 B0", "A3 B0"]);
    assert_eq!(
        profile.turnout(),
        Turnout {
            ballots: 2,
            abstentions: 1
        }
    );
    assert_eq!(
        profile
            .iter()
            .map(|ballot| ballot.marks.len())
            .collect::<Vec<_>>(),
        [1]
    );
}

#[test]
fn invalid_ballots_leave_the_profile_as_it_was() {
    let mut profile = Profile::new(2);
    assert_eq!(
        profile.push_choices(1, [0, 2]),
        Err(InvalidBallot::UnknownChoice(2))
    );
    assert_eq!(
        profile.push_choices(1, [1, 0, 1]),
        Err(InvalidBallot::Repeated(1))
    );
    assert_eq!(
        profile.push_choices(MAX_BALLOTS + 1, [0]),
        Err(InvalidBallot::TooMany)
    );
    assert_eq!(
        profile.push_choices(u64::MAX, [0]),
        Err(InvalidBallot::TooMany)
    );
    assert_eq!((profile.turnout(), profile.len()), (Turnout::default(), 0));
    assert_eq!(profile.push_choices(MAX_BALLOTS, [1, 0]), Ok(()));
    assert_eq!(elected(Method::SingleTransferableVote, 1, &profile), "B");
    assert_eq!(elected(Method::Borda, 1, &profile), "B");
}

/// Questions never have as many seats as choices; the count still ends.
#[test]
fn as_many_seats_as_choices() {
    let profile = rankings(3, &["5 A>B", "2 B"]);
    for seats in [3, 9, usize::MAX] {
        let count = run(Method::SingleTransferableVote, seats, &profile);
        assert_eq!(letters(&count.outcome.elected_choice_ids), "ABC");
        assert!(
            rounds(&count)
                .rounds
                .iter()
                .all(|round| round.eliminated_choice_ids.is_empty())
        );
        assert!(!count.outcome.provisional);
    }
}

#[test]
fn sums_are_enough_for_multiple_choice_and_score() {
    let profile = rankings(3, &["2 A>B", "1 C", "1 "]);
    let rules = plurality(1);
    let from_sums = count_totals(&rules, vec![2, 2, 1], profile.turnout(), &Lot::Pending);
    assert_eq!(from_sums, count(&rules, &profile, &Lot::Pending));
    assert_eq!(letters(&from_sums.outcome.tied_choice_ids), "AB");
}
