use std::cmp::Reverse;

use super::outcome::Found;
use super::piles::Piles;
use super::{Draw, Explanation, Profile, Round, Rounds, Votes};

/// Elects several choices in proportion, by the rules of Scottish council elections.
///
/// In every round, whoever has the quota is elected. Then the largest surplus is transferred or, if
/// there is none, the choice with the fewest votes is eliminated and its papers are transferred. As
/// soon as no more choices continue than seats are vacant, they are elected and nothing further is
/// transferred.
///
/// Source: The Scottish Local Government Elections Order 2007 (SSI 2007/42), schedule 1, rules
/// 45–52; the Order of 2011 (SSI 2011/399) has the same rules.
pub(super) fn count(seats: usize, profile: &Profile, draw: &mut Draw<'_>) -> Found {
    // Rule 46: the quota.
    let shares = u64::try_from(seats).unwrap_or(u64::MAX).saturating_add(1);
    let quota = profile.turnout().valid() / shares + 1;
    let quota_parts = Votes::from_whole(quota).parts();
    let mut piles = Piles::new(profile);
    let mut elected = Vec::new();
    let mut rounds = Vec::new();
    loop {
        let mut round = piles.begin_round();
        let goes_on = advance(
            seats,
            quota_parts,
            &mut piles,
            &mut elected,
            &mut round,
            draw,
        );
        rounds.push(round);
        if !goes_on {
            break;
        }
    }
    let explanation = Some(Explanation::Rounds(Rounds {
        quota: Some(quota),
        rounds,
    }));
    Found {
        elected,
        explanation,
        ..Found::default()
    }
}

/// Does what a round has to do. False once the count is complete.
fn advance(
    seats: usize,
    quota: u64,
    piles: &mut Piles<'_>,
    elected: &mut Vec<usize>,
    round: &mut Round,
    draw: &mut Draw<'_>,
) -> bool {
    // Rule 47: whoever has the quota is elected.
    let (reached, continuing): (Vec<usize>, Vec<usize>) = piles
        .continuing()
        .into_iter()
        .partition(|&choice| piles.votes(choice).parts() >= quota);
    elect(reached, piles, elected, round);
    let vacancies = seats.saturating_sub(elected.len());
    if vacancies == 0 {
        return false;
    }
    // Rule 52: the last vacancies.
    if continuing.len() <= vacancies {
        elect(continuing, piles, elected, round);
        return false;
    }
    // Rules 48 and 49: the largest surplus.
    let mut surpluses = piles.elected();
    surpluses.retain(|&choice| piles.votes(choice).parts() > quota);
    if let Some((choice, tie)) = piles.highest(&surpluses, draw) {
        round.tie_broken_by = tie;
        round.transfers = piles.transfer_surplus(choice, quota);
        return true;
    }
    // Rules 50 and 51: the exclusion of the last.
    let Some((loser, tie)) = piles.lowest(vacancies, draw) else {
        return false;
    };
    round.tie_broken_by = tie;
    round.eliminated_choice_ids.push(loser);
    piles.eliminate(loser);
    let rest = piles.continuing();
    if rest.len() <= vacancies {
        elect(rest, piles, elected, round);
        return false;
    }
    round.transfers = piles.transfer_all(loser);
    true
}

/// Elects choices in the same round, those with more votes first.
fn elect(
    mut choices: Vec<usize>,
    piles: &mut Piles<'_>,
    elected: &mut Vec<usize>,
    round: &mut Round,
) {
    choices.sort_by_key(|&choice| Reverse(piles.votes(choice)));
    for &choice in &choices {
        piles.elect(choice);
    }
    elected.extend(&choices);
    round.elected_choice_ids.extend(choices);
}
