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
    /// The names of all choices in the order of the lot, and the line that says so.
    pub(super) lot: Option<(Vec<String>, usize)>,
}

/// Comments that start like this are settings, in `.csv` and `.blt` files alike:
/// `# polls.method: star`.
const PREFIX: &str = "polls.";

const KNOWN: &str = "Known are: # polls.method: star; # polls.seats: 2; # polls.max_score: 10; \
                     # polls.quorum: 20; # polls.threshold: 2/3 of votes_cast (or: more than 1/2 of \
                     ballots); # polls.tie_break: lot; # polls.lot: Ann, Bob, Cem.";

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
                self.lot = Some((names, line));
            }
            _ => return Err(unknown()),
        }
        Ok(())
    }
}
