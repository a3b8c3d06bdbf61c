use super::outcome::Found;
use super::{BallotKind, Draw, Method, Profile, Rules, TieBreak};

/// The votes of each choice as results show them: marks, first preferences or sums of scores.
pub(super) fn votes(method: Method, profile: &Profile) -> Vec<u64> {
    let mut votes = vec![0; profile.choices()];
    for ballot in profile.iter() {
        match method.ballot_kind() {
            BallotKind::Set => {
                for mark in ballot.marks {
                    votes[mark.choice()] += ballot.count;
                }
            }
            BallotKind::Ranking => {
                if let Some(first) = ballot.marks.first() {
                    votes[first.choice()] += ballot.count;
                }
            }
            BallotKind::Scores => {
                for mark in ballot.marks {
                    votes[mark.choice()] += ballot.count * u64::from(mark.score);
                }
            }
        }
    }
    votes
}

/// Elects the `seats` electable choices with the highest totals.
///
/// If choices are tied for the last seats, the lot fills the seats or all of them are `tied`, as
/// the rules say. The elected come in descending order of their totals.
///
/// Sources: plurality and approval voting (S. J. Brams, P. C. Fishburn, "Approval Voting", American
/// Political Science Review 72, 1978); score voting adds up scores in the same way.
pub(super) fn select(
    totals: &[u64],
    electable: impl Fn(usize) -> bool,
    rules: &Rules,
    draw: &mut Draw<'_>,
) -> Found {
    let seats = rules.seats.max(1);
    let mut elected: Vec<usize> = (0..totals.len())
        .filter(|&choice| electable(choice))
        .collect();
    elected.sort_by_key(|&choice| std::cmp::Reverse(totals[choice]));
    let (Some(&last), Some(&next)) = (elected.get(seats - 1), elected.get(seats)) else {
        return Found {
            elected,
            ..Found::default()
        };
    };
    if totals[last] > totals[next] {
        elected.truncate(seats);
        return Found {
            elected,
            ..Found::default()
        };
    }
    let contested = totals[last];
    let mut tied: Vec<usize> = elected
        .iter()
        .copied()
        .filter(|&choice| totals[choice] == contested)
        .collect();
    elected.retain(|&choice| totals[choice] > contested);
    if rules.tie_break == TieBreak::Lot {
        draw.sort(&mut tied);
        elected.extend(tied.drain(..).take(seats - elected.len()));
    }
    Found {
        elected,
        tied,
        explanation: None,
    }
}
