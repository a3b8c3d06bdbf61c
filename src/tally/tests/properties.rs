//! What holds in all elections, in thousands of random ones.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::naive::{self, Ranking, Scores};
use super::*;

#[derive(Debug, Clone)]
struct Ranked {
    n: usize,
    seats: usize,
    ballots: Vec<Ranking>,
    /// An order of all choices: a lot, or new names.
    order: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Scored {
    n: usize,
    seats: usize,
    ballots: Vec<Scores>,
    order: Vec<usize>,
}

fn ranked() -> impl Strategy<Value = Ranked> {
    (2_usize..=6).prop_flat_map(|n| {
        let all: Vec<usize> = (0..n).collect();
        let ranking = (Just(all.clone()).prop_shuffle(), 0..=n)
            .prop_map(|(order, length)| order[..length].to_vec());
        (
            1..n,
            vec((1_u64..=6, ranking), 1..14),
            Just(all).prop_shuffle(),
        )
            .prop_map(move |(seats, ballots, order)| Ranked {
                n,
                seats,
                ballots,
                order,
            })
    })
}

fn scored() -> impl Strategy<Value = Scored> {
    (2_usize..=5).prop_flat_map(|n| {
        let all: Vec<usize> = (0..n).collect();
        // Few different scores make ties frequent.
        let score = prop_oneof![Just(0_u8), Just(1), Just(3), Just(5), 0_u8..=5];
        let ballots = vec((1_u64..=3, vec(score, n)), 1..9);
        (1..n, ballots, Just(all).prop_shuffle()).prop_map(move |(seats, ballots, order)| Scored {
            n,
            seats,
            ballots,
            order,
        })
    })
}

fn profile_of(n: usize, ballots: &[Ranking]) -> Profile {
    let mut profile = Profile::new(n);
    for (count, ranking) in ballots {
        profile
            .push_choices(*count, ranking.iter().copied())
            .unwrap();
    }
    profile
}

fn scores_of(n: usize, ballots: &[Scores]) -> Profile {
    let mut profile = Profile::new(n);
    for (count, scores) in ballots {
        profile
            .push_scores(*count, scores.iter().copied().enumerate())
            .unwrap();
    }
    profile
}

fn rules(method: Method, seats: usize) -> Rules {
    let seats = if method.has_one_seat() { 1 } else { seats };
    Rules {
        tie_break: TieBreak::Lot,
        ..Rules::new(method, seats)
    }
}

fn winners(count: &Count) -> BTreeSet<usize> {
    count.outcome.elected_choice_ids.iter().copied().collect()
}

const RANKED: [Method; 5] = [
    Method::MultipleChoice,
    Method::InstantRunoff,
    Method::SingleTransferableVote,
    Method::RankedPairs,
    Method::Borda,
];

fn cases() -> Config {
    Config {
        cases: 2_000,
        failure_persistence: None,
        ..Config::default()
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn order_and_grouping_of_ballots_change_nothing(e in ranked(), s in scored()) {
        let single = |ballots: &[Ranking]| -> Vec<Ranking> {
            ballots
                .iter()
                .rev()
                .flat_map(|(count, ranking)| (0..*count).map(|_| (1, ranking.clone())))
                .collect()
        };
        let lot = Lot::from_order(&e.order);
        for method in RANKED {
            let rules = rules(method, e.seats);
            let one = count(&rules, &profile_of(e.n, &e.ballots), &lot);
            let other = count(&rules, &profile_of(e.n, &single(&e.ballots)), &lot);
            prop_assert_eq!(one, other);
        }
        let lot = Lot::from_order(&s.order);
        let reversed: Vec<Scores> = s.ballots.iter().rev().cloned().collect();
        for method in [Method::Score, Method::Star] {
            let rules = rules(method, s.seats);
            let one = count(&rules, &scores_of(s.n, &s.ballots), &lot);
            let other = count(&rules, &scores_of(s.n, &reversed), &lot);
            prop_assert_eq!(one, other);
        }
    }

    #[test]
    fn renaming_choices_renames_the_outcome(e in ranked(), s in scored()) {
        let renamed: Vec<Ranking> = e
            .ballots
            .iter()
            .map(|(count, ranking)| (*count, ranking.iter().map(|&c| e.order[c]).collect()))
            .collect();
        // The lot 0, 1, 2, … under its new names.
        for method in RANKED {
            let rules = rules(method, e.seats);
            let lot: Vec<usize> = (0..e.n).collect();
            let one = count(&rules, &profile_of(e.n, &e.ballots), &Lot::from_order(&lot));
            let other = count(&rules, &profile_of(e.n, &renamed), &Lot::from_order(&e.order));
            let expected: BTreeSet<usize> = winners(&one).iter().map(|&c| e.order[c]).collect();
            prop_assert_eq!(expected, winners(&other), "{}", method);
            prop_assert_eq!(one.outcome.decided_by_lot, other.outcome.decided_by_lot);
        }
        let renamed: Vec<Scores> = s
            .ballots
            .iter()
            .map(|(count, scores)| {
                let mut under_new_names = vec![0; s.n];
                for (choice, &score) in scores.iter().enumerate() {
                    under_new_names[s.order[choice]] = score;
                }
                (*count, under_new_names)
            })
            .collect();
        for method in [Method::Score, Method::Star] {
            let rules = rules(method, s.seats);
            let lot: Vec<usize> = (0..s.n).collect();
            let one = count(&rules, &scores_of(s.n, &s.ballots), &Lot::from_order(&lot));
            let other = count(&rules, &scores_of(s.n, &renamed), &Lot::from_order(&s.order));
            let expected: BTreeSet<usize> = winners(&one).iter().map(|&c| s.order[c]).collect();
            prop_assert_eq!(expected, winners(&other), "{}", method);
        }
    }

    #[test]
    fn sums_add_up(e in ranked(), s in scored()) {
        let profile = profile_of(e.n, &e.ballots);
        let valid = Votes::from_whole(profile.turnout().valid()).parts();
        for method in [Method::InstantRunoff, Method::SingleTransferableVote] {
            let count = count(&rules(method, e.seats), &profile, &Lot::from_order(&e.order));
            let Some(Explanation::Rounds(rounds)) = count.explanation else { continue };
            let parts = |tallies: &[Tally], choice: usize| -> u64 {
                let of = tallies.iter().filter(|tally| tally.choice_id == choice);
                of.map(|tally| tally.votes.parts()).sum()
            };
            for (number, round) in rounds.rounds.iter().enumerate() {
                let tallies: u64 = round.tallies.iter().map(|tally| tally.votes.parts()).sum();
                prop_assert_eq!(tallies + round.exhausted.parts(), valid);
                prop_assert_eq!(round.round, number + 1);
                // The transfers lead from this round's tallies to the next round's.
                let Some(next) = rounds.rounds.get(number + 1) else { continue };
                for choice in 0..e.n {
                    let got: u64 = round.transfers.iter()
                        .filter(|transfer| transfer.to_choice_id == Some(choice))
                        .map(|transfer| transfer.votes.parts()).sum();
                    let gave: u64 = round.transfers.iter()
                        .filter(|transfer| transfer.from_choice_id == choice)
                        .map(|transfer| transfer.votes.parts()).sum();
                    let before = parts(&round.tallies, choice) + got;
                    prop_assert_eq!(before, parts(&next.tallies, choice) + gave);
                }
                let lost: u64 = round.transfers.iter()
                    .filter(|transfer| transfer.to_choice_id.is_none())
                    .map(|transfer| transfer.votes.parts()).sum();
                prop_assert_eq!(round.exhausted.parts() + lost, next.exhausted.parts());
            }
        }
        let scores = scores_of(s.n, &s.ballots);
        let star = count(&rules(Method::Star, 1), &scores, &Lot::from_order(&s.order));
        if let Some(Explanation::Runoff(runoff)) = star.explanation {
            let decided: u64 = runoff.preferring.iter().map(|one| one.ballots).sum();
            prop_assert_eq!(decided + runoff.no_preference, scores.turnout().ballots);
        }
        for (choice, total) in naive::borda(e.n, &e.ballots).into_iter().enumerate() {
            prop_assert_eq!(borda::halves(&profile)[choice], total);
        }
    }

    #[test]
    fn criteria_hold(e in ranked()) {
        let profile = profile_of(e.n, &e.ballots);
        let lot = Lot::from_order(&e.order);
        let valid = profile.turnout().valid();
        let irv = count(&rules(Method::InstantRunoff, 1), &profile, &lot);
        if let Some(favourite) = (0..e.n).find(|&choice| irv.votes[choice] * 2 > valid) {
            prop_assert_eq!(winners(&irv), BTreeSet::from([favourite]));
        }
        let tideman = count(&rules(Method::RankedPairs, 1), &profile, &lot);
        if let Some(winner) = naive::condorcet_winner(e.n, &e.ballots) {
            prop_assert_eq!(winners(&tideman), BTreeSet::from([winner]));
            prop_assert_eq!(pairs(&tideman).condorcet_winner_id, Some(winner));
        } else if let Some(Explanation::Pairs(pairs)) = &tideman.explanation {
            prop_assert_eq!(pairs.condorcet_winner_id, None);
        }
        let stv = count(&rules(Method::SingleTransferableVote, e.seats), &profile, &lot);
        if valid > 0 {
            prop_assert_eq!(winners(&stv).len(), e.seats);
            prop_assert_eq!(stv.outcome.elected_choice_ids.len(), e.seats);
        }
        // Nobody without any mark is elected while seats can go to somebody with one.
        let named: BTreeSet<usize> =
            e.ballots.iter().flat_map(|(_, ranking)| ranking.iter().copied()).collect();
        for method in RANKED {
            let count = count(&rules(method, e.seats), &profile, &lot);
            if count.outcome.decided_by_lot {
                continue;
            }
            let elected = winners(&count);
            if named.difference(&elected).next().is_some() {
                prop_assert!(elected.is_subset(&named), "{} {:?}", method, elected);
            }
        }
    }

    #[test]
    fn unanimous_ballots_elect_their_order(e in ranked(), ballots in 1_u64..200) {
        let profile = profile_of(e.n, &[(ballots, e.order.clone())]);
        for method in RANKED.into_iter().filter(|&method| method != Method::MultipleChoice) {
            let rules = rules(method, e.seats);
            let count = count(&rules, &profile, &Lot::Pending);
            if !count.outcome.provisional {
                prop_assert_eq!(&count.outcome.elected_choice_ids, &e.order[..rules.seats]);
            }
        }
    }

    #[test]
    fn the_naive_implementation_agrees_on_rankings(e in ranked()) {
        let profile = profile_of(e.n, &e.ballots);
        if profile.turnout().valid() == 0 {
            return Ok(());
        }
        let one = |winner: usize| BTreeSet::from([winner]);
        let agree = |method: Method, expected: Option<BTreeSet<usize>>| {
            let count = count(&rules(method, e.seats), &profile, &Lot::Pending);
            prop_assert_eq!(count.outcome.provisional, expected.is_none(), "{}", method);
            if let Some(expected) = expected {
                prop_assert_eq!(winners(&count), expected, "{}", method);
            }
            Ok(count)
        };
        let rounds_agree = |count: &Count, history: &[Vec<Option<u128>>], unit: u128| {
            let ours: Vec<Vec<Option<u128>>> = rounds(count)
                .rounds
                .iter()
                .map(|round| {
                    let mut tallies = vec![None; e.n];
                    for tally in &round.tallies {
                        tallies[tally.choice_id] = Some(u128::from(tally.votes.parts()) / unit);
                    }
                    tallies
                })
                .collect();
            prop_assert_eq!(&ours[..], history);
            Ok(())
        };
        let naive = naive::instant_runoff(e.n, &e.ballots);
        let count = agree(Method::InstantRunoff, naive.clone().map(|(_, elected)| elected))?;
        if let Some((history, _)) = naive {
            rounds_agree(&count, &history, 100_000)?;
        }
        let naive = naive::single_transferable_vote(e.n, e.seats, &e.ballots);
        let count = agree(Method::SingleTransferableVote, naive.clone().map(|(_, elected)| elected))?;
        if let Some((history, _)) = naive {
            rounds_agree(&count, &history, 1)?;
        }
        agree(Method::RankedPairs, naive::ranked_pairs(e.n, &e.ballots).map(one))?;
        let named = |choice: usize| e.ballots.iter().any(|(_, ranking)| ranking.contains(&choice));
        agree(Method::Borda, naive::top(&naive::borda(e.n, &e.ballots), e.seats, named))?;
        let marks: Vec<u64> = (0..e.n)
            .map(|choice| {
                let naming = e.ballots.iter().filter(|(_, ranking)| ranking.contains(&choice));
                naming.map(|(count, _)| count).sum()
            })
            .collect();
        agree(Method::MultipleChoice, naive::top(&marks, e.seats, named))?;
    }

    #[test]
    fn the_naive_implementation_agrees_on_scores(s in scored()) {
        let profile = scores_of(s.n, &s.ballots);
        if profile.turnout().valid() == 0 {
            return Ok(());
        }
        let sums = naive::sums(s.n, &s.ballots);
        for (method, expected) in [
            (Method::Score, naive::top(&sums, s.seats, |choice| sums[choice] > 0)),
            (Method::Star, naive::star(s.n, &s.ballots).map(|winner| BTreeSet::from([winner]))),
        ] {
            let count = count(&rules(method, s.seats), &profile, &Lot::Pending);
            prop_assert_eq!(&count.votes, &sums);
            prop_assert_eq!(count.outcome.provisional, expected.is_none(), "{}", method);
            if let Some(expected) = expected {
                prop_assert_eq!(winners(&count), expected, "{}", method);
            }
        }
    }

    /// Whatever the numbers, the count ends and elects no more than there are seats.
    #[test]
    fn nothing_panics(
        ballots in vec((any::<u64>(), vec((0_usize..12, any::<u8>()), 0..8)), 0..12),
        n in 0_usize..10,
        seats in prop_oneof![0_usize..12, Just(usize::MAX)],
        order in vec(any::<usize>(), 0..12),
        quorum in any::<Option<u64>>(),
    ) {
        let mut profile = Profile::new(n);
        for (count, marks) in ballots {
            let count = count % (MAX_BALLOTS / 4);
            let _ = profile.push_scores(count, marks.into_iter());
        }
        for method in Method::ALL {
            for tie_break in [TieBreak::None, TieBreak::Lot] {
                let rules = Rules { method, seats, quorum, tie_break, threshold: None };
                for lot in [Lot::Pending, Lot::from_order(&order)] {
                    let count = count(&rules, &profile, &lot);
                    let elected = winners(&count).len();
                    prop_assert!(elected <= seats.max(1));
                    prop_assert_eq!(elected, count.outcome.elected_choice_ids.len());
                }
            }
        }
    }
}
