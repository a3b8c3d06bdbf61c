use super::election::split_names;
use super::problem::Fault;
use crate::tally::{Method, Threshold, TieBreak, UnknownMethod};

/// What a file says about the count, beside choices and ballots.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub(super) method: Option<Method>,
    pub(super) seats: Option<usize>,
    pub(super) max_score: Option<u8>,
    pub(super) quorum: Option<u64>,
    pub(super) threshold: Option<Threshold>,
    pub(super) tie_break: Option<TieBreak>,
    /// All choices in the order of the lot, and the line that says so.
    pub(super) lot: Option<(LotOrder, usize)>,
    /// What the cells of a `.csv` file are.
    pub(super) cells: Cells,
    /// The column of a `.csv` file, counted from 1, that the first choice has. Of the columns before,
    /// only `count` is read.
    pub(super) first_choice_column: Option<usize>,
}

/// The order of the lot.
#[derive(Debug, Clone)]
pub(super) enum LotOrder {
    Names(Vec<String>),
    /// Counted from 1.
    Numbers(Vec<usize>),
}

/// What the cells of a `.csv` file are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Cells {
    #[default]
    Scores,
    /// Ranks, of which 1 is the best.
    Ranks,
}

/// Comments that start like this are settings, in `.csv` and `.blt` files alike:
/// `# polls.method: star`.
const PREFIX: &str = "polls.";

const KNOWN: &str = "Known are: # polls.method: star; # polls.seats: 2; # polls.max_score: 10; \
                     # polls.quorum: 20; # polls.threshold: 2/3 of votes_cast (or: more than 1/2 of \
                     ballots); # polls.tie_break: lot; # polls.lot: Ann, Bob, Cem; \
                     # polls.lot_numbers: 2 1 3; # polls.cells: ranks; \
                     # polls.first_choice_column: 3.";

impl Settings {
    /// Reads the text of a comment, without its `#`. Comments that are no settings are ignored.
    pub(super) fn read_comment(&mut self, line: usize, comment: &str) -> Result<(), Fault> {
        let Some((key, value)) = comment
            .trim()
            .strip_prefix(PREFIX)
            .and_then(|c| c.split_once(':'))
        else {
            return Ok(());
        };
        let value = value.trim();
        let unknown = || {
            Fault::at(
                line,
                format!("The setting {key:?} has no meaning with {value:?}."),
                KNOWN,
            )
        };
        match key.trim() {
            "method" => {
                let method = value.parse().map_err(|error: UnknownMethod| {
                    Fault::at(line, format!("{error}."), "Choose one of these methods.")
                })?;
                self.method = Some(method);
            }
            "seats" => self.seats = Some(value.parse().map_err(|_| unknown())?),
            "max_score" => self.max_score = Some(value.parse().map_err(|_| unknown())?),
            "quorum" => self.quorum = Some(value.parse().map_err(|_| unknown())?),
            "threshold" => self.threshold = Some(value.parse().map_err(|_| unknown())?),
            "tie_break" => {
                self.tie_break = Some(match value {
                    "none" => TieBreak::None,
                    "lot" => TieBreak::Lot,
                    _ => return Err(unknown()),
                });
            }
            "lot" => {
                let names = split_names(value).map_err(|fault| Fault {
                    line: Some(line),
                    ..fault
                })?;
                self.lot = Some((LotOrder::Names(names), line));
            }
            "lot_numbers" => {
                let numbers = value.split_whitespace().map(str::parse);
                let numbers: Result<Vec<usize>, _> = numbers.collect();
                let numbers = numbers.map_err(|_| unknown())?;
                self.lot = Some((LotOrder::Numbers(numbers), line));
            }
            "cells" => {
                self.cells = match value {
                    "scores" => Cells::Scores,
                    "ranks" => Cells::Ranks,
                    _ => return Err(unknown()),
                };
            }
            "first_choice_column" => {
                let column = value.parse().ok().filter(|column| *column > 0);
                self.first_choice_column = Some(column.ok_or_else(unknown)?);
            }
            _ => return Err(unknown()),
        }
        Ok(())
    }
}
