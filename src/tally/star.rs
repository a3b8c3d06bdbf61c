use std::cmp::Reverse;

use super::outcome::Found;
use super::{Draw, Explanation, Preferring, Profile, Runoff, TieBrokenBy};

/// The two choices with the highest sums of scores go into a run-off; whichever more ballots score
/// higher than the other wins.
///
/// Ties for a place in the run-off: those with the most head-to-head losses among the tied drop
/// out, again and again; then those with the fewest scores of 5; then the lot decides. If dropping
/// would leave fewer choices than places, those who would be left have their place, and the others
/// go on as a tie of their own. Choices without any score go by position, as none of them can win.
/// Ties of the run-off: the higher sum, the most fives, the lot.
///
/// Source: the "Official Tiebreaker Protocol" of the Equal Vote Coalition,
/// <https://www.starvoting.org/ties>.
pub(super) fn count(profile: &Profile, sums: &[u64], draw: &mut Draw<'_>) -> Found {
    let (finalist_ids, finalists_tie_broken_by) = finalists(profile, sums, draw);
    let (winner, preferring, tie_broken_by) = match finalist_ids[..] {
        [one, other] => run_off(profile, sums, [one, other], draw),
        // A single choice.
        [one] => (one, Vec::new(), None),
        _ => return Found::default(),
    };
    let decided: u64 = preferring.iter().map(|one| one.ballots).sum();
    let explanation = Some(Explanation::Runoff(Runoff {
        finalist_ids,
        preferring,
        no_preference: profile.turnout().ballots.saturating_sub(decided),
        finalists_tie_broken_by,
        tie_broken_by: tie_broken_by.or(finalists_tie_broken_by),
    }));
    Found {
        elected: vec![winner],
        explanation,
        ..Found::default()
    }
}

/// The two choices with the highest sums, the higher one first, and what broke a tie.
fn finalists(
    profile: &Profile,
    sums: &[u64],
    draw: &mut Draw<'_>,
) -> (Vec<usize>, Option<TieBrokenBy>) {
    let mut by_sum: Vec<usize> = (0..sums.len()).collect();
    by_sum.sort_by_key(|&choice| Reverse(sums[choice]));
    let Some(lowest) = by_sum.iter().take(2).map(|&choice| sums[choice]).min() else {
        return (Vec::new(), None);
    };
    by_sum.retain(|&choice| sums[choice] >= lowest);
    let (mut finalists, mut tied): (Vec<usize>, Vec<usize>) = by_sum
        .into_iter()
        .partition(|&choice| sums[choice] > lowest);
    let places = 2_usize.saturating_sub(finalists.len());
    let mut tie_broken_by = None;
    if lowest == 0 {
        tied.truncate(places);
    } else if tied.len() > places {
        tie_broken_by = Some(narrow(profile, &mut tied, places, draw));
    }
    finalists.extend(tied);
    (finalists, tie_broken_by)
}

/// The winner of the run-off, the ballots that prefer each finalist, and what broke a tie.
fn run_off(
    profile: &Profile,
    sums: &[u64],
    [one, other]: [usize; 2],
    draw: &mut Draw<'_>,
) -> (usize, Vec<Preferring>, Option<TieBrokenBy>) {
    let (for_one, for_other) = compare(profile, one, other);
    let preferring = vec![
        Preferring {
            choice_id: one,
            ballots: for_one,
        },
        Preferring {
            choice_id: other,
            ballots: for_other,
        },
    ];
    let fives = || {
        let fives = fives(profile);
        fives[one].cmp(&fives[other])
    };
    let (order, tie_broken_by) = if for_one != for_other {
        (for_one.cmp(&for_other), None)
    } else if sums[one] != sums[other] {
        (sums[one].cmp(&sums[other]), Some(TieBrokenBy::HigherSum))
    } else if let order = fives()
        && order.is_ne()
    {
        (order, Some(TieBrokenBy::MostFives))
    } else {
        // The first in the lot wins.
        (
            draw.place(other).cmp(&draw.place(one)),
            Some(TieBrokenBy::Lot),
        )
    };
    let winner = if order.is_gt() { one } else { other };
    (winner, preferring, tie_broken_by)
}

/// Narrows down the tied choices until as many are left as there are places, and says which rule
/// was the last that was needed.
fn narrow(
    profile: &Profile,
    tied: &mut Vec<usize>,
    mut places: usize,
    draw: &mut Draw<'_>,
) -> TieBrokenBy {
    let beats = Beats::new(profile, tied);
    let fives = fives(profile);
    let mut safe = Vec::new();
    let mut last_rule = TieBrokenBy::HeadToHead;
    let mut rule = TieBrokenBy::HeadToHead;
    while tied.len() > places {
        // What speaks against each choice: those with the most drop out.
        let against = |choice: usize| match rule {
            TieBrokenBy::HeadToHead => beats.losses(choice, tied),
            _ => u64::MAX - fives[choice],
        };
        let worst = tied.iter().map(|&choice| against(choice)).max();
        let (dropped, left): (Vec<usize>, Vec<usize>) = tied
            .iter()
            .partition(|&&choice| Some(against(choice)) == worst);
        if !left.is_empty() {
            last_rule = last_rule.max(rule);
            if left.len() >= places {
                *tied = left;
            } else {
                places -= left.len();
                safe.extend(left);
                *tied = dropped;
                rule = TieBrokenBy::HeadToHead;
            }
        } else if rule == TieBrokenBy::HeadToHead {
            rule = TieBrokenBy::MostFives;
        } else {
            last_rule = TieBrokenBy::Lot;
            draw.sort(tied);
            tied.truncate(places);
        }
    }
    safe.append(tied);
    *tied = safe;
    last_rule
}

/// Which of the tied choices beats which head to head.
struct Beats {
    choices: usize,
    preferring: Vec<u64>,
}

impl Beats {
    fn new(profile: &Profile, tied: &[usize]) -> Self {
        let choices = profile.choices();
        let mut preferring = vec![0; choices * choices];
        let mut scores = vec![0; choices];
        for ballot in profile.iter() {
            for mark in ballot.marks {
                scores[mark.choice()] = mark.score;
            }
            for mark in ballot.marks {
                let row = mark.choice() * choices;
                for &other in tied {
                    preferring[row + other] += ballot.count * u64::from(mark.score > scores[other]);
                }
            }
            for mark in ballot.marks {
                scores[mark.choice()] = 0;
            }
        }
        Self {
            choices,
            preferring,
        }
    }

    /// How many of the others beat this choice.
    fn losses(&self, choice: usize, others: &[usize]) -> u64 {
        let preferring = |one: usize, other: usize| self.preferring[one * self.choices + other];
        let beaten_by = |&&other: &&usize| preferring(other, choice) > preferring(choice, other);
        others.iter().filter(beaten_by).count() as u64
    }
}

/// How many ballots score the one choice higher than the other, and the reverse.
fn compare(profile: &Profile, one: usize, other: usize) -> (u64, u64) {
    let mut ballots = (0, 0);
    for ballot in profile.iter() {
        let score = |choice| {
            ballot
                .marks
                .iter()
                .find(|mark| mark.choice() == choice)
                .map_or(0, |mark| mark.score)
        };
        let (for_one, for_other) = (score(one), score(other));
        ballots.0 += ballot.count * u64::from(for_one > for_other);
        ballots.1 += ballot.count * u64::from(for_one < for_other);
    }
    ballots
}

/// How many ballots give each choice a score of 5.
fn fives(profile: &Profile) -> Vec<u64> {
    let mut fives = vec![0; profile.choices()];
    for ballot in profile.iter() {
        for mark in ballot.marks.iter().filter(|mark| mark.score == 5) {
            fives[mark.choice()] += ballot.count;
        }
    }
    fives
}
