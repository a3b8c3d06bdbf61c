use std::fmt;

/// The largest number of choices that can be counted.
pub const MAX_CHOICES: usize = 1_000;

/// The largest number of ballots that can be counted: more than there are people.
pub const MAX_BALLOTS: u64 = 10_000_000_000;

/// How many ballots are alike: each distinct ballot with its number.
///
/// The order of the ballots does not matter, and the same ballot may be added more than once.
/// Ballots lie one behind the other in one allocation: four bytes a mark and twelve a ballot.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    choices: usize,
    marks: Vec<Mark>,
    /// Where each ballot ends in `marks`.
    ends: Vec<u32>,
    counts: Vec<u64>,
    turnout: Turnout,
    /// Which choices the ballot that is being added has named.
    seen: Vec<bool>,
}

/// What a ballot says about one choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    choice: u16,
    /// 1 to 255; always 1 unless ballots are scored.
    pub score: u8,
}

impl Mark {
    /// The position of the choice.
    #[must_use]
    pub const fn choice(self) -> usize {
        self.choice as usize
    }
}

/// A distinct ballot and how often it was cast. Its marks are never empty: abstentions are only
/// counted.
#[derive(Debug, Clone, Copy)]
pub struct Ballot<'a> {
    pub count: u64,
    /// Best first if ballots are ranked.
    pub marks: &'a [Mark],
}

/// How many ballots there are, and how many of them choose nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Turnout {
    /// All ballots, abstentions included.
    pub ballots: u64,
    pub abstentions: u64,
}

impl Turnout {
    /// The ballots that choose something.
    #[must_use]
    pub const fn valid(self) -> u64 {
        self.ballots.saturating_sub(self.abstentions)
    }
}

/// Why a ballot cannot be part of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidBallot {
    /// No choice has this position.
    UnknownChoice(usize),
    /// The ballot names this choice twice.
    Repeated(usize),
    /// The profile would exceed [`MAX_BALLOTS`] or the memory that positions of 32 bits can reach.
    TooMany,
}

impl fmt::Display for InvalidBallot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownChoice(choice) => write!(f, "choice {choice} does not exist"),
            Self::Repeated(choice) => write!(f, "choice {choice} is named twice"),
            Self::TooMany => write!(f, "there are more than {MAX_BALLOTS} ballots"),
        }
    }
}

impl std::error::Error for InvalidBallot {}

impl Profile {
    /// An empty profile. Of more than [`MAX_CHOICES`] choices, those behind do not exist.
    #[must_use]
    pub fn new(choices: usize) -> Self {
        let choices = choices.min(MAX_CHOICES);
        Self {
            choices,
            seen: vec![false; choices],
            ..Self::default()
        }
    }

    /// Adds `count` equal rankings (best first) or sets of choices.
    ///
    /// # Errors
    /// The profile stays as it was if the ballot is invalid.
    pub fn push_choices(
        &mut self,
        count: u64,
        choices: impl IntoIterator<Item = usize>,
    ) -> Result<(), InvalidBallot> {
        self.push(count, choices.into_iter().map(|choice| (choice, 1)))
    }

    /// Adds `count` equal ballots with scores. A score of 0 is the same as none.
    ///
    /// # Errors
    /// The profile stays as it was if the ballot is invalid.
    pub fn push_scores(
        &mut self,
        count: u64,
        scores: impl IntoIterator<Item = (usize, u8)>,
    ) -> Result<(), InvalidBallot> {
        self.push(count, scores.into_iter())
    }

    fn push(
        &mut self,
        count: u64,
        marks: impl Iterator<Item = (usize, u8)>,
    ) -> Result<(), InvalidBallot> {
        let start = self.marks.len();
        let result = self.push_marks(count, start, marks);
        if result.is_err() {
            self.marks.truncate(start);
        }
        self.seen.fill(false);
        result
    }

    fn push_marks(
        &mut self,
        count: u64,
        start: usize,
        marks: impl Iterator<Item = (usize, u8)>,
    ) -> Result<(), InvalidBallot> {
        let ballots = self.turnout.ballots.saturating_add(count);
        if ballots > MAX_BALLOTS {
            return Err(InvalidBallot::TooMany);
        }
        for (position, score) in marks {
            let seen = self
                .seen
                .get_mut(position)
                .ok_or(InvalidBallot::UnknownChoice(position))?;
            if std::mem::replace(seen, true) {
                return Err(InvalidBallot::Repeated(position));
            }
            let choice =
                u16::try_from(position).map_err(|_| InvalidBallot::UnknownChoice(position))?;
            if score > 0 {
                self.marks.push(Mark { choice, score });
            }
        }
        if count == 0 {
            self.marks.truncate(start);
        } else if self.marks.len() == start {
            self.turnout.abstentions += count;
        } else {
            let end = u32::try_from(self.marks.len()).map_err(|_| InvalidBallot::TooMany)?;
            self.ends.push(end);
            self.counts.push(count);
        }
        self.turnout.ballots = ballots;
        Ok(())
    }

    /// The same ballots on `choices` choices, each mark with the new `position` of its choice.
    ///
    /// # Errors
    /// If a choice that a ballot names has no new position.
    pub fn renumbered(
        mut self,
        choices: usize,
        position: impl Fn(usize) -> Option<usize>,
    ) -> Result<Self, InvalidBallot> {
        self.choices = choices.min(MAX_CHOICES);
        self.seen = vec![false; self.choices];
        for mark in &mut self.marks {
            let unknown = InvalidBallot::UnknownChoice(mark.choice());
            let new = position(mark.choice()).filter(|new| *new < self.choices);
            mark.choice = new.and_then(|new| u16::try_from(new).ok()).ok_or(unknown)?;
        }
        Ok(self)
    }

    /// The number of choices.
    #[must_use]
    pub const fn choices(&self) -> usize {
        self.choices
    }

    #[must_use]
    pub const fn turnout(&self) -> Turnout {
        self.turnout
    }

    /// The number of entries that choose something; at most `u32::MAX`, as each has a mark.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.counts.len()
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The ballots that choose something, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = Ballot<'_>> {
        let mut start = 0;
        self.ends
            .iter()
            .zip(&self.counts)
            .map(move |(&end, &count)| {
                let end = end as usize;
                let marks = &self.marks[start..end];
                start = end;
                Ballot { count, marks }
            })
    }

    /// The ballot of an index below [`Self::len`].
    pub(super) fn get(&self, index: usize) -> Ballot<'_> {
        let start = index
            .checked_sub(1)
            .map_or(0, |before| self.ends[before] as usize);
        Ballot {
            count: self.counts[index],
            marks: &self.marks[start..self.ends[index] as usize],
        }
    }

    /// For each choice, whether some ballot names it.
    pub(super) fn named(&self) -> Vec<bool> {
        let mut named = vec![false; self.choices];
        for mark in &self.marks {
            named[mark.choice()] = true;
        }
        named
    }
}
