//! Elections that show what the methods do, and properties that hold in all elections.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod classics;
mod ladders;
mod naive;
mod outcomes;
mod properties;
mod shapes;

use super::*;

/// Rankings written as `"3 A>B>C"`, with an optional number in front. Letters are choices; an
/// empty ranking is an abstention.
fn rankings(choices: usize, lines: &[&str]) -> Profile {
    let mut profile = Profile::new(choices);
    for line in lines {
        let (count, ranking) = split(line);
        let ranking = ranking
            .split('>')
            .filter(|name| !name.is_empty())
            .map(position);
        profile.push_choices(count, ranking).unwrap();
    }
    profile
}

/// Scores written as `"3 A5 B2"`.
fn scores(choices: usize, lines: &[&str]) -> Profile {
    let mut profile = Profile::new(choices);
    for line in lines {
        let (count, scores) = split(line);
        let scores = scores
            .split_whitespace()
            .map(|score| (position(&score[..1]), score[1..].parse().unwrap()));
        profile.push_scores(count, scores).unwrap();
    }
    profile
}

fn split(line: &str) -> (u64, &str) {
    match line.split_once(' ') {
        Some((count, rest)) if count.parse::<u64>().is_ok() => (count.parse().unwrap(), rest),
        _ => (1, line),
    }
}

fn position(name: &str) -> usize {
    usize::from(name.trim().as_bytes()[0] - b'A')
}

fn letter(choice: usize) -> char {
    char::from(b'A' + u8::try_from(choice).unwrap())
}

fn letters(choices: &[usize]) -> String {
    choices.iter().map(|&choice| letter(choice)).collect()
}

/// A lot written as `"BCA"`.
fn lot(order: &str) -> Lot {
    let order: Vec<usize> = order.bytes().map(|name| usize::from(name - b'A')).collect();
    Lot::from_order(&order)
}

fn run(method: Method, seats: usize, profile: &Profile) -> Count {
    count(&Rules::new(method, seats), profile, &Lot::Pending)
}

fn elected(method: Method, seats: usize, profile: &Profile) -> String {
    let count = run(method, seats, profile);
    assert!(!count.outcome.provisional, "needs a lot: {count:?}");
    letters(&count.outcome.elected_choice_ids)
}

fn rounds(count: &Count) -> &Rounds {
    match &count.explanation {
        Some(Explanation::Rounds(rounds)) => rounds,
        other => panic!("no rounds: {other:?}"),
    }
}

fn pairs(count: &Count) -> &Pairs {
    match &count.explanation {
        Some(Explanation::Pairs(pairs)) => pairs,
        other => panic!("no pairs: {other:?}"),
    }
}

fn runoff(count: &Count) -> &Runoff {
    match &count.explanation {
        Some(Explanation::Runoff(runoff)) => runoff,
        other => panic!("no run-off: {other:?}"),
    }
}

/// The votes of a choice in a round, as text: `"7.99968"`.
fn votes_in(round: &Round, choice: char) -> String {
    let choice = position(&choice.to_string());
    let tally = round
        .tallies
        .iter()
        .find(|tally| tally.choice_id == choice)
        .unwrap();
    tally.votes.to_string()
}
