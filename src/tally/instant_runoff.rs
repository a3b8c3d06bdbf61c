use super::outcome::Found;
use super::piles::Piles;
use super::{Draw, Explanation, Profile, Rounds};

/// Eliminates the choice with the fewest votes, one a round, until one choice has more than half of
/// the continuing ballots.
///
/// Ties for the elimination are broken as in [`ties`](super::ties).
///
/// Source: Robert's Rules of Order Newly Revised (12th edition, 45:62–69, "preferential voting");
/// the majority is one of the continuing ballots, as in the elections of San Francisco and
/// Burlington, so that exhausted ballots do not keep anyone from winning.
pub(super) fn count(profile: &Profile, draw: &mut Draw<'_>) -> Found {
    let mut piles = Piles::new(profile);
    let mut rounds = Vec::new();
    loop {
        let mut round = piles.begin_round();
        let all: u64 = round.tallies.iter().map(|tally| tally.votes.parts()).sum();
        let only_one = round.tallies.len() == 1;
        let winner = round
            .tallies
            .iter()
            .find(|tally| only_one || tally.votes.parts() > all / 2);
        if let Some(winner) = winner.map(|tally| tally.choice_id) {
            round.elected_choice_ids.push(winner);
            rounds.push(round);
            return found(vec![winner], rounds);
        }
        let Some((loser, tie)) = piles.lowest(1, draw) else {
            return found(Vec::new(), rounds);
        };
        piles.eliminate(loser);
        round.eliminated_choice_ids.push(loser);
        round.transfers = piles.transfer_all(loser);
        round.tie_broken_by = tie;
        rounds.push(round);
    }
}

fn found(elected: Vec<usize>, rounds: Vec<super::Round>) -> Found {
    let explanation = Some(Explanation::Rounds(Rounds {
        quota: None,
        rounds,
    }));
    Found {
        elected,
        explanation,
        ..Found::default()
    }
}
