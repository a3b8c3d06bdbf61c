use super::ties::{self, Wanted};
use super::{Draw, Profile, Round, Tally, TieBrokenBy, Transfer, Votes};

/// One vote in the units of [`Votes`].
const VOTE: u64 = Votes::PARTS;

/// The ballots of a count by rounds, each on the pile of the choice that has it.
///
/// Memory: 4 bytes for each distinct ballot on a pile, 2 for its place in the ranking, 4 for its
/// value. A ballot never goes back in its ranking, so all transfers together read each mark once.
pub(super) struct Piles<'a> {
    profile: &'a Profile,
    /// For each choice, the indexes of the distinct ballots that it has.
    piles: Vec<Vec<u32>>,
    /// For each distinct ballot, the place of the choice that has it.
    places: Vec<u16>,
    /// For each distinct ballot, what one paper is worth in units of [`Votes`]: at most one vote.
    values: Vec<u32>,
    tallies: Vec<u64>,
    standing: Vec<Standing>,
    /// The tallies of the rounds before the current one.
    earlier: Vec<Vec<u64>>,
    /// All valid ballots, in units of [`Votes`].
    valid: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Continuing,
    Elected,
    Eliminated,
}

impl<'a> Piles<'a> {
    /// Every ballot on the pile of its first preference.
    pub(super) fn new(profile: &'a Profile) -> Self {
        let choices = profile.choices();
        let mut piles = vec![Vec::new(); choices];
        let mut tallies = vec![0; choices];
        for (index, ballot) in (0..).zip(profile.iter()) {
            if let Some(first) = ballot.marks.first() {
                piles[first.choice()].push(index);
                tallies[first.choice()] += ballot.count * VOTE;
            }
        }
        Self {
            profile,
            piles,
            places: vec![0; profile.len()],
            values: vec![VOTE as u32; profile.len()],
            tallies,
            standing: vec![Standing::Continuing; choices],
            earlier: Vec::new(),
            valid: profile.turnout().valid() * VOTE,
        }
    }

    /// Begins the next round, with the tallies as they stand.
    pub(super) fn begin_round(&self) -> Round {
        let tallies: Vec<Tally> = (0..self.tallies.len())
            .filter(|&choice| self.standing[choice] != Standing::Eliminated)
            .map(|choice_id| Tally {
                choice_id,
                votes: self.votes(choice_id),
            })
            .collect();
        let counted: u64 = tallies.iter().map(|tally| tally.votes.parts()).sum();
        Round {
            round: self.earlier.len() + 1,
            tallies,
            exhausted: Votes::from_parts(self.valid.saturating_sub(counted)),
            elected_choice_ids: Vec::new(),
            eliminated_choice_ids: Vec::new(),
            transfers: Vec::new(),
            tie_broken_by: None,
        }
    }

    pub(super) fn votes(&self, choice: usize) -> Votes {
        Votes::from_parts(self.tallies[choice])
    }

    /// The choices that are neither elected nor eliminated, by position.
    pub(super) fn continuing(&self) -> Vec<usize> {
        self.standing_as(Standing::Continuing)
    }

    /// The elected choices, by position.
    pub(super) fn elected(&self) -> Vec<usize> {
        self.standing_as(Standing::Elected)
    }

    fn standing_as(&self, standing: Standing) -> Vec<usize> {
        (0..self.standing.len())
            .filter(|&choice| self.standing[choice] == standing)
            .collect()
    }

    pub(super) fn elect(&mut self, choice: usize) {
        self.standing[choice] = Standing::Elected;
    }

    pub(super) fn eliminate(&mut self, choice: usize) {
        self.standing[choice] = Standing::Eliminated;
    }

    /// The continuing choice to be eliminated while `vacancies` seats are open, and what broke a
    /// tie.
    ///
    /// Choices without any vote fall by position, the last one first, while the choices with votes
    /// can fill the seats: no order among them can change who is elected.
    pub(super) fn lowest(
        &self,
        vacancies: usize,
        draw: &mut Draw<'_>,
    ) -> Option<(usize, Option<TieBrokenBy>)> {
        let continuing = self.continuing();
        let fewest = continuing
            .iter()
            .map(|&choice| self.tallies[choice])
            .min()?;
        let with_votes = continuing
            .iter()
            .filter(|&&choice| self.tallies[choice] > 0)
            .count();
        let tied: Vec<usize> = continuing
            .into_iter()
            .filter(|&choice| self.tallies[choice] == fewest)
            .collect();
        match tied[..] {
            [choice] => Some((choice, None)),
            [.., last] if fewest == 0 && with_votes >= vacancies => Some((last, None)),
            _ => self.pick(tied, Wanted::Lowest, draw),
        }
    }

    /// Of these choices, the one with the most votes, and what broke a tie.
    pub(super) fn highest(
        &self,
        of: &[usize],
        draw: &mut Draw<'_>,
    ) -> Option<(usize, Option<TieBrokenBy>)> {
        let most = of.iter().map(|&choice| self.tallies[choice]).max()?;
        let tied: Vec<usize> = of
            .iter()
            .copied()
            .filter(|&choice| self.tallies[choice] == most)
            .collect();
        match tied[..] {
            [choice] => Some((choice, None)),
            _ => self.pick(tied, Wanted::Highest, draw),
        }
    }

    fn pick(
        &self,
        tied: Vec<usize>,
        wanted: Wanted,
        draw: &mut Draw<'_>,
    ) -> Option<(usize, Option<TieBrokenBy>)> {
        ties::pick(tied, &self.earlier, wanted, draw).map(|(choice, by)| (choice, Some(by)))
    }

    /// Ends the round by transferring all votes of an eliminated choice, at their value.
    pub(super) fn transfer_all(&mut self, from: usize) -> Vec<Transfer> {
        self.transfer(from, 0, |value| value)
    }

    /// Ends the round by transferring what an elected choice has above the quota.
    ///
    /// Each paper is worth surplus × its value ÷ the choice's votes, truncated to five decimals.
    pub(super) fn transfer_surplus(&mut self, from: usize, quota: u64) -> Vec<Transfer> {
        let votes = u128::from(self.tallies[from].max(1));
        let surplus = u128::from(self.tallies[from].saturating_sub(quota));
        self.transfer(from, quota, |value| {
            // Never more than `value`, as the surplus is a part of the votes.
            u32::try_from(surplus * u128::from(value) / votes).unwrap_or(value)
        })
    }

    /// Gives each ballot of a pile to the next continuing choice it names; `keep` votes stay.
    fn transfer(
        &mut self,
        from: usize,
        keep: u64,
        new_value: impl Fn(u32) -> u32,
    ) -> Vec<Transfer> {
        self.earlier.push(self.tallies.clone());
        let mut moved = vec![0_u64; self.tallies.len()];
        for index in std::mem::take(&mut self.piles[from]) {
            let at = index as usize;
            let ballot = self.profile.get(at);
            let behind = usize::from(self.places[at]) + 1;
            let next = ballot
                .marks
                .iter()
                .enumerate()
                .skip(behind)
                .find(|(_, mark)| self.standing[mark.choice()] == Standing::Continuing);
            let value = new_value(self.values[at]);
            if let Some((place, mark)) = next
                && value > 0
            {
                // A place is below the number of choices, which 16 bits hold.
                self.places[at] = place as u16;
                self.values[at] = value;
                self.piles[mark.choice()].push(index);
                moved[mark.choice()] += ballot.count * u64::from(value);
            }
        }
        let gone = self.tallies[from].saturating_sub(keep);
        self.tallies[from] = keep;
        let mut transfers = Vec::new();
        let mut lost = gone;
        for (to, &votes) in moved.iter().enumerate().filter(|&(_, &votes)| votes > 0) {
            self.tallies[to] += votes;
            lost = lost.saturating_sub(votes);
            transfers.push(Transfer {
                from_choice_id: from,
                to_choice_id: Some(to),
                votes: Votes::from_parts(votes),
            });
        }
        if lost > 0 {
            transfers.push(Transfer {
                from_choice_id: from,
                to_choice_id: None,
                votes: Votes::from_parts(lost),
            });
        }
        transfers
    }
}
