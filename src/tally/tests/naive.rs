//! A second implementation: slow, straightforward, and written without a look at the first. Every
//! paper is a paper of its own, every number is recomputed from the papers in every round.
//!
//! `None` means that a lot is needed.

use std::collections::BTreeSet;

/// A ranking, best first, and how many are alike.
pub(super) type Ranking = (u64, Vec<usize>);
/// A score for every choice, and how many are alike.
pub(super) type Scores = (u64, Vec<u8>);

/// The tally of every choice in every round (absent once eliminated), and the elected.
pub(super) type ByRounds = (Vec<Vec<Option<u128>>>, BTreeSet<usize>);

/// Instant run-off in whole votes.
pub(super) fn instant_runoff(n: usize, ballots: &[Ranking]) -> Option<ByRounds> {
    let mut gone = BTreeSet::new();
    let mut history: Vec<Vec<Option<u128>>> = Vec::new();
    loop {
        let tally: Vec<Option<u128>> = (0..n)
            .map(|choice| {
                if gone.contains(&choice) {
                    return None;
                }
                let mut votes = 0;
                for (count, ranking) in ballots {
                    if ranking.iter().find(|other| !gone.contains(*other)) == Some(&choice) {
                        votes += u128::from(*count);
                    }
                }
                Some(votes)
            })
            .collect();
        history.push(tally.clone());
        let total: u128 = tally.iter().flatten().sum();
        if let Some(winner) = (0..n).find(|&choice| tally[choice].unwrap_or(0) * 2 > total) {
            return Some((history, BTreeSet::from([winner])));
        }
        gone.insert(loser(&history, 1)?);
    }
}

/// The choice to be eliminated: compare the votes of the last round, then of the round before, and
/// so on, like words in a dictionary.
fn loser(history: &[Vec<Option<u128>>], vacancies: usize) -> Option<usize> {
    loser_among(history, vacancies, &BTreeSet::new())
}

fn loser_among(
    history: &[Vec<Option<u128>>],
    vacancies: usize,
    elected: &BTreeSet<usize>,
) -> Option<usize> {
    let now = history.last()?;
    let past = |choice: usize| -> Vec<u128> {
        history
            .iter()
            .rev()
            .map(|tally| tally[choice].unwrap_or(0))
            .collect()
    };
    let mut candidates: Vec<usize> = (0..now.len())
        .filter(|c| now[*c].is_some() && !elected.contains(c))
        .collect();
    candidates.sort_by_key(|&choice| past(choice));
    let least = past(*candidates.first()?);
    let zeros: Vec<usize> = candidates
        .iter()
        .copied()
        .filter(|&c| now[c] == Some(0))
        .collect();
    if zeros.len() > 1 && candidates.len() - zeros.len() >= vacancies {
        return zeros.into_iter().max();
    }
    let lowest: Vec<usize> = candidates
        .into_iter()
        .filter(|&c| past(c) == least)
        .collect();
    if lowest.len() == 1 {
        Some(lowest[0])
    } else {
        None
    }
}

struct Paper {
    ranking: Vec<usize>,
    value: u128,
    holder: Option<usize>,
}

/// Scottish STV in units of 1/100,000 vote.
pub(super) fn single_transferable_vote(
    n: usize,
    seats: usize,
    ballots: &[Ranking],
) -> Option<ByRounds> {
    let mut papers = Vec::new();
    for (count, ranking) in ballots.iter().filter(|(_, ranking)| !ranking.is_empty()) {
        for _ in 0..*count {
            papers.push(Paper {
                ranking: ranking.clone(),
                value: 100_000,
                holder: Some(ranking[0]),
            });
        }
    }
    let quota = (papers.len() as u128 / (seats as u128 + 1) + 1) * 100_000;
    let mut elected = BTreeSet::new();
    let mut done = BTreeSet::new(); // elected whose surplus has been transferred
    let mut gone = BTreeSet::new();
    let mut history: Vec<Vec<Option<u128>>> = Vec::new();
    loop {
        let tally: Vec<Option<u128>> = (0..n)
            .map(|choice| {
                if gone.contains(&choice) {
                    None
                } else if done.contains(&choice) {
                    Some(quota)
                } else {
                    let held = papers.iter().filter(|paper| paper.holder == Some(choice));
                    Some(held.map(|paper| paper.value).sum())
                }
            })
            .collect();
        history.push(tally.clone());
        elected.extend((0..n).filter(|&choice| tally[choice].is_some_and(|votes| votes >= quota)));
        let continuing = |elected: &BTreeSet<usize>, gone: &BTreeSet<usize>| -> Vec<usize> {
            (0..n)
                .filter(|c| !elected.contains(c) && !gone.contains(c))
                .collect()
        };
        if elected.len() == seats {
            return Some((history, elected));
        }
        if elected.len() + continuing(&elected, &gone).len() <= seats {
            elected.extend(continuing(&elected, &gone));
            return Some((history, elected));
        }
        let past = |choice: usize| -> Vec<u128> {
            history
                .iter()
                .rev()
                .map(|tally| tally[choice].unwrap_or(0))
                .collect()
        };
        let mut waiting: Vec<usize> = elected
            .iter()
            .copied()
            .filter(|&c| tally[c].unwrap() > quota)
            .collect();
        waiting.sort_by_key(|&choice| past(choice));
        let moving;
        let mut factor = None;
        if let Some(&first) = waiting.last() {
            if waiting
                .iter()
                .filter(|&&choice| past(choice) == past(first))
                .count()
                > 1
            {
                return None;
            }
            moving = first;
            factor = Some((tally[first].unwrap() - quota, tally[first].unwrap()));
            done.insert(first);
        } else {
            moving = loser_among(&history, seats - elected.len(), &elected)?;
            gone.insert(moving);
            if elected.len() + continuing(&elected, &gone).len() <= seats {
                elected.extend(continuing(&elected, &gone));
                return Some((history, elected));
            }
        }
        for paper in papers
            .iter_mut()
            .filter(|paper| paper.holder == Some(moving))
        {
            if let Some((surplus, votes)) = factor {
                paper.value = paper.value * surplus / votes;
            }
            let here = paper
                .ranking
                .iter()
                .position(|&choice| choice == moving)
                .unwrap();
            paper.holder = paper.ranking[here + 1..]
                .iter()
                .copied()
                .find(|choice| !elected.contains(choice) && !gone.contains(choice));
        }
    }
}

fn prefers(n: usize, ranking: &[usize], one: usize, other: usize) -> bool {
    let place = |choice| ranking.iter().position(|&c| c == choice).unwrap_or(n);
    place(one) < place(other)
}

/// How many ballots prefer one choice to another.
pub(super) fn preferring(n: usize, ballots: &[Ranking], one: usize, other: usize) -> u64 {
    let prefer = ballots
        .iter()
        .filter(|(_, ranking)| prefers(n, ranking, one, other));
    prefer.map(|(count, _)| count).sum()
}

pub(super) fn condorcet_winner(n: usize, ballots: &[Ranking]) -> Option<usize> {
    (0..n).find(|&one| {
        (0..n).all(|other| {
            one == other || preferring(n, ballots, one, other) > preferring(n, ballots, other, one)
        })
    })
}

/// Ranked pairs. The lot is needed if another order of the choices gives other locked pairs. It is
/// enough to try the orders that put one pair first among its equals.
pub(super) fn ranked_pairs(n: usize, ballots: &[Ranking]) -> Option<usize> {
    let locked = lock(n, ballots, &(0..n).collect::<Vec<usize>>());
    for winner in 0..n {
        for loser in (0..n).filter(|&loser| loser != winner) {
            let mut order = vec![winner, loser];
            order.extend((0..n).filter(|&choice| choice != winner && choice != loser));
            if lock(n, ballots, &order) != locked {
                return None;
            }
        }
    }
    let undefeated: Vec<usize> = (0..n)
        .filter(|&choice| locked.iter().all(|&(_, loser)| loser != choice))
        .collect();
    if undefeated.len() == 1 {
        Some(undefeated[0])
    } else {
        None
    }
}

fn lock(n: usize, ballots: &[Ranking], order: &[usize]) -> BTreeSet<(usize, usize)> {
    let place = |choice: usize| order.iter().position(|&c| c == choice);
    let mut pairs = Vec::new();
    for one in 0..n {
        for other in 0..n {
            let votes = preferring(n, ballots, one, other);
            let against = preferring(n, ballots, other, one);
            if votes > against {
                let weakness = u64::MAX - votes;
                pairs.push((weakness, against, place(one), place(other), one, other));
            }
        }
    }
    pairs.sort_unstable();
    let mut locked = BTreeSet::new();
    for (.., winner, loser) in pairs {
        if !path(&locked, loser, winner) {
            locked.insert((winner, loser));
        }
    }
    locked
}

fn path(locked: &BTreeSet<(usize, usize)>, from: usize, to: usize) -> bool {
    from == to
        || locked
            .iter()
            .any(|&(winner, loser)| winner == from && path(locked, loser, to))
}

/// Doubled points.
pub(super) fn borda(n: usize, ballots: &[Ranking]) -> Vec<u64> {
    let mut points = vec![0; n];
    for (count, ranking) in ballots.iter().filter(|(_, ranking)| !ranking.is_empty()) {
        let mut left: Vec<u64> = (0..n as u64).collect();
        for &choice in ranking {
            points[choice] += 2 * count * left.pop().unwrap();
        }
        let unranked: Vec<usize> = (0..n).filter(|choice| !ranking.contains(choice)).collect();
        for &choice in &unranked {
            points[choice] += 2 * count * left.iter().sum::<u64>() / unranked.len() as u64;
        }
    }
    points
}

/// The highest totals; `None` if choices are tied for the last seat.
pub(super) fn top(
    totals: &[u64],
    seats: usize,
    electable: impl Fn(usize) -> bool,
) -> Option<BTreeSet<usize>> {
    let mut choices: Vec<usize> = (0..totals.len())
        .filter(|&choice| electable(choice))
        .collect();
    choices.sort_by_key(|&choice| u64::MAX - totals[choice]);
    if choices.len() > seats && totals[choices[seats - 1]] == totals[choices[seats]] {
        return None;
    }
    Some(choices.into_iter().take(seats).collect())
}

pub(super) fn sums(n: usize, ballots: &[Scores]) -> Vec<u64> {
    (0..n)
        .map(|c| {
            ballots
                .iter()
                .map(|(count, scores)| count * u64::from(scores[c]))
                .sum()
        })
        .collect()
}

/// STAR with its ladders, by repeated elimination.
pub(super) fn star(n: usize, ballots: &[Scores]) -> Option<usize> {
    let sums = sums(n, ballots);
    let higher = |one: usize, other: usize| -> u64 {
        ballots
            .iter()
            .filter(|(_, s)| s[one] > s[other])
            .map(|(count, _)| count)
            .sum()
    };
    let fives = |choice: usize| -> u64 {
        ballots
            .iter()
            .filter(|(_, s)| s[choice] == 5)
            .map(|(count, _)| count)
            .sum()
    };
    let mut finalists: Vec<usize> = Vec::new();
    let mut rest: Vec<usize> = (0..n).collect();
    while finalists.len() < 2 && !rest.is_empty() {
        let best = rest.iter().map(|&choice| sums[choice]).max().unwrap();
        let mut group: Vec<usize> = rest.iter().copied().filter(|&c| sums[c] == best).collect();
        if finalists.len() + group.len() > 2 && best == 0 {
            group.truncate(2 - finalists.len());
        }
        if finalists.len() + group.len() > 2 {
            group = winners_of_tie(group, 2 - finalists.len(), &higher, &fives)?;
        }
        rest.retain(|choice| sums[*choice] != best);
        finalists.extend(group);
    }
    let (one, other) = (finalists[0], finalists[1]);
    let key = |a: usize, b: usize| (higher(a, b), sums[a], fives(a));
    match key(one, other).cmp(&key(other, one)) {
        std::cmp::Ordering::Greater => Some(one),
        std::cmp::Ordering::Less => Some(other),
        std::cmp::Ordering::Equal => None,
    }
}

fn winners_of_tie(
    group: Vec<usize>,
    places: usize,
    higher: &dyn Fn(usize, usize) -> u64,
    fives: &dyn Fn(usize) -> u64,
) -> Option<Vec<usize>> {
    if group.len() <= places {
        return Some(group);
    }
    let losses = |group: &[usize], choice: usize| {
        group
            .iter()
            .filter(|&&other| higher(other, choice) > higher(choice, other))
            .count()
    };
    // Drop by losses as long as that changes anything, then by fives.
    let mut kept = group.clone();
    let mut out: Vec<usize>;
    let mut by_losses = true;
    loop {
        let worst_losses = kept.iter().map(|&c| losses(&kept, c)).max().unwrap();
        let fewest_fives = kept.iter().map(|&c| fives(c)).min().unwrap();
        let falls = |c: usize| {
            if by_losses {
                losses(&kept, c) == worst_losses
            } else {
                fives(c) == fewest_fives
            }
        };
        out = kept.iter().copied().filter(|&c| falls(c)).collect();
        let stay: Vec<usize> = kept.iter().copied().filter(|&c| !falls(c)).collect();
        if stay.is_empty() {
            if by_losses {
                by_losses = false;
                continue;
            }
            return None;
        }
        if stay.len() == places {
            return Some(stay);
        }
        if stay.len() < places {
            let mut winners = winners_of_tie(out, places - stay.len(), higher, fives)?;
            winners.extend(stay);
            return Some(winners);
        }
        kept = stay;
    }
}
