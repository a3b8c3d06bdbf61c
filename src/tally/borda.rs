use super::{Explanation, PointTotal, PointTotals, Points, Profile};

/// The points of each choice, in halves.
///
/// With n choices, the first of a ballot gets n−1 points, the next n−2, and so on down to 0. The
/// choices that a ballot does not name share the points that are left equally: k of them get
/// (k−1)/2 each, a multiple of one half.
///
/// Sources: J.-C. de Borda, "Mémoire sur les élections au scrutin", 1781; for the shared points, J.
/// Cullinan, S. K. Hsiao, D. Polett, "A Borda count for partially ordered ballots", Social Choice and
/// Welfare 42, 2014.
pub(super) fn halves(profile: &Profile) -> Vec<u64> {
    let choices = profile.choices();
    let mut halves = vec![0; choices];
    // Every choice gets the share of the unranked; ranked choices get the difference on top.
    let mut everybody = 0;
    for ballot in profile.iter() {
        let unranked = (choices - ballot.marks.len()) as u64;
        let share = unranked.saturating_sub(1);
        everybody += ballot.count * share;
        for (place, mark) in ballot.marks.iter().enumerate() {
            let points = (choices - 1 - place) as u64;
            halves[mark.choice()] += ballot.count * (2 * points - share);
        }
    }
    for total in &mut halves {
        *total += everybody;
    }
    halves
}

pub(super) fn explanation(halves: &[u64]) -> Explanation {
    let totals = halves
        .iter()
        .enumerate()
        .map(|(choice_id, &parts)| PointTotal {
            choice_id,
            points: Points::from_parts(parts),
        })
        .collect();
    Explanation::Points(PointTotals { totals })
}
