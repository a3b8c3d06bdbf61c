use std::cmp::Reverse;

use super::outcome::Found;
use super::{Draw, Explanation, Pair, Pairs, Profile, TieBrokenBy};

/// Locks head-to-head victories, the largest first, unless they close a circle; the winner is the
/// choice without a locked defeat.
///
/// Victories are ordered by winning votes (the ballots for the winner), then by smaller opposition.
/// Equal pairs go by the winner's, then by the loser's place in the lot. The lot is only drawn if
/// the order among equal pairs decides which of them are locked: if all of them that do not close a
/// circle with stronger pairs can be locked together, any order gives the same. Of several
/// undefeated choices the lot's first wins.
///
/// Sources: T. N. Tideman, "Independence of clones as a criterion for voting rules", Social Choice
/// and Welfare 4, 1987; T. M. Zavist and T. N. Tideman, "Complete independence of clones in the
/// ranked pairs rule", ibid. 6, 1989. Tideman orders by margins; winning votes are the usual choice
/// for partial rankings.
pub(super) fn count(profile: &Profile, draw: &mut Draw<'_>) -> Found {
    let choices = profile.choices();
    let matrix = preferences(profile);
    let mut victories = Vec::new();
    let mut even = Vec::new();
    for one in 0..choices {
        for other in one + 1..choices {
            let ballots = (matrix[one * choices + other], matrix[other * choices + one]);
            let (winner_id, loser_id) = if ballots.0 >= ballots.1 {
                (one, other)
            } else {
                (other, one)
            };
            let pair = Pair {
                winner_id,
                loser_id,
                supporting: ballots.0.max(ballots.1),
                opposing: ballots.0.min(ballots.1),
                locked: false,
                tie_broken_by: None,
            };
            if ballots.0 == ballots.1 {
                even.push(pair);
            } else {
                victories.push(pair);
            }
        }
    }
    let strength = |pair: &Pair| (Reverse(pair.supporting), pair.opposing);
    victories.sort_by_key(|pair| (strength(pair), pair.winner_id, pair.loser_id));
    let mut reach = Reach::new(choices);
    for equal in victories.chunk_by_mut(|one, other| strength(one) == strength(other)) {
        lock(equal, &mut reach, draw);
    }
    let mut victories_of = vec![0; choices];
    let mut undefeated: Vec<usize> = (0..choices).collect();
    for pair in &victories {
        victories_of[pair.winner_id] += 1;
        if pair.locked {
            undefeated.retain(|&choice| choice != pair.loser_id);
        }
    }
    if undefeated.len() > 1 {
        draw.sort(&mut undefeated);
    }
    undefeated.truncate(1);
    let condorcet_winner_id =
        (0..choices).find(|&choice| choices > 1 && victories_of[choice] == choices - 1);
    victories.extend(even);
    let explanation = Some(Explanation::Pairs(Pairs {
        pairs: victories,
        condorcet_winner_id,
    }));
    Found {
        elected: undefeated,
        explanation,
        ..Found::default()
    }
}

/// How many ballots prefer one choice (row) to another (column). Choices that a ballot does not
/// name are behind those that it names.
fn preferences(profile: &Profile) -> Vec<u64> {
    let choices = profile.choices();
    let mut matrix = vec![0; choices * choices];
    let mut behind = vec![0; choices];
    for ballot in profile.iter() {
        behind.fill(ballot.count);
        for mark in ballot.marks {
            behind[mark.choice()] = 0;
            let row = mark.choice() * choices;
            for (cell, &count) in matrix[row..row + choices].iter_mut().zip(&behind) {
                *cell += count;
            }
        }
    }
    matrix
}

/// Locks pairs of equal strength.
fn lock(equal: &mut [Pair], reach: &mut Reach, draw: &mut Draw<'_>) {
    if let [_, _, ..] = equal {
        let open = |pair: &&mut Pair| !reach.leads(pair.loser_id, pair.winner_id);
        let mut together = reach.clone();
        for pair in equal.iter_mut().filter(open) {
            together.add(pair.winner_id, pair.loser_id);
        }
        // Pairs in a circle of their own strength compete; their order decides.
        let mut compete = false;
        for pair in equal.iter_mut() {
            if !reach.leads(pair.loser_id, pair.winner_id)
                && together.leads(pair.loser_id, pair.winner_id)
            {
                pair.tie_broken_by = Some(TieBrokenBy::Lot);
                compete = true;
            }
        }
        if compete {
            equal.sort_by_key(|pair| (draw.place(pair.winner_id), draw.place(pair.loser_id)));
        }
    }
    for pair in equal {
        if !reach.leads(pair.loser_id, pair.winner_id) {
            reach.add(pair.winner_id, pair.loser_id);
            pair.locked = true;
        }
    }
}

/// Which choices can be reached from which over added pairs: a matrix of bits.
#[derive(Clone)]
struct Reach {
    words: usize,
    bits: Vec<u64>,
}

impl Reach {
    fn new(choices: usize) -> Self {
        let words = choices.div_ceil(64);
        Self {
            words,
            bits: vec![0; words * choices],
        }
    }

    fn leads(&self, from: usize, to: usize) -> bool {
        self.bits[from * self.words + to / 64] >> (to % 64) & 1 == 1
    }

    /// Adds the way from one choice to another, and all ways over it.
    fn add(&mut self, from: usize, to: usize) {
        if self.leads(from, to) {
            return;
        }
        let mut gained = self.bits[to * self.words..(to + 1) * self.words].to_vec();
        gained[to / 64] |= 1 << (to % 64);
        for start in 0..self.bits.len() / self.words.max(1) {
            if start == from || self.leads(start, from) {
                let row = &mut self.bits[start * self.words..(start + 1) * self.words];
                for (word, &more) in row.iter_mut().zip(&gained) {
                    *word |= more;
                }
            }
        }
    }
}
