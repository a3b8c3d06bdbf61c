use super::{Draw, TieBrokenBy};

/// Which of the tied choices is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    /// The one with the fewest votes, for an elimination.
    Lowest,
    /// The one with the most votes, for the next surplus.
    Highest,
}

/// Picks one of the tied choices by the votes in earlier rounds, then by lot.
///
/// The most recent earlier round in which the choices differ narrows them down; if several are
/// left, the round before goes on with those. The lot's first has the advantage: its surplus goes
/// first, and the lot's last is eliminated.
///
/// Source: The Scottish Local Government Elections Order 2007 (SSI 2007/42), schedule 1, rules
/// 49(2)–(3) and 51(2). The Order speaks of two candidates; for more than two, narrowing them down
/// is its natural extension. Instant run-off uses the same rule.
pub(super) fn pick(
    mut tied: Vec<usize>,
    earlier: &[Vec<u64>],
    wanted: Wanted,
    draw: &mut Draw<'_>,
) -> Option<(usize, TieBrokenBy)> {
    for tallies in earlier.iter().rev() {
        let votes = tied.iter().map(|&choice| tallies[choice]);
        let best = match wanted {
            Wanted::Lowest => votes.min(),
            Wanted::Highest => votes.max(),
        };
        tied.retain(|&choice| Some(tallies[choice]) == best);
        if let [choice] = tied[..] {
            return Some((choice, TieBrokenBy::EarlierRound));
        }
    }
    draw.sort(&mut tied);
    let choice = match wanted {
        Wanted::Lowest => tied.last(),
        Wanted::Highest => tied.first(),
    };
    choice.map(|&choice| (choice, TieBrokenBy::Lot))
}
