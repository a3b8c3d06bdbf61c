/// The lot: an order of the choices that decides where the ballots do not.
///
/// The first of the tied choices in the lot has the advantage: it takes the seat, stays in the
/// count, or has its surplus transferred first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Lot {
    /// Nothing has been drawn. Positions stand in for the lot, and an outcome that depends on them
    /// is provisional.
    #[default]
    Pending,
    /// The place of each choice, by position.
    Drawn(Vec<usize>),
}

impl Lot {
    /// A lot with the choices in this order, the first drawn first. Choices that the order does not
    /// name come after the others, by position.
    #[must_use]
    pub fn from_order(order: &[usize]) -> Self {
        let choices = order.iter().max().map_or(0, |last| last.saturating_add(1));
        let behind = order.len();
        let mut places: Vec<usize> = (0..choices.min(super::MAX_CHOICES))
            .map(|choice| behind + choice)
            .collect();
        for (place, &choice) in order.iter().enumerate().rev() {
            if let Some(entry) = places.get_mut(choice) {
                *entry = place;
            }
        }
        Self::Drawn(places)
    }

    fn place(&self, choice: usize) -> usize {
        match self {
            Self::Pending => choice,
            Self::Drawn(places) => places
                .get(choice)
                .copied()
                .unwrap_or_else(|| places.len().saturating_mul(2) + choice),
        }
    }
}

/// The lot during one count, which remembers whether anything had to be drawn.
#[derive(Debug)]
pub(super) struct Draw<'a> {
    lot: &'a Lot,
    used: bool,
}

impl<'a> Draw<'a> {
    pub(super) const fn new(lot: &'a Lot) -> Self {
        Self { lot, used: false }
    }

    /// Whether the lot, or positions in its place, decided something.
    pub(super) const fn is_used(&self) -> bool {
        self.used
    }

    /// Whether a lot that was drawn decided something.
    pub(super) fn decided(&self) -> bool {
        self.used && *self.lot != Lot::Pending
    }

    /// Whether positions decided something in place of the lot.
    pub(super) fn is_provisional(&self) -> bool {
        self.used && *self.lot == Lot::Pending
    }

    /// The place of a choice in the lot.
    pub(super) fn place(&mut self, choice: usize) -> usize {
        self.used = true;
        self.lot.place(choice)
    }

    /// Sorts choices by the lot, the first drawn first.
    pub(super) fn sort(&mut self, choices: &mut [usize]) {
        choices.sort_by_key(|&choice| self.place(choice));
    }
}
