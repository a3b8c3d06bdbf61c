//! `polls tally FILE`: counts an election from a file, with the code that counts for the server.
//!
//! - `election`: what a file says; `blt`, `csv` and `json` read the three formats.
//! - `table` shows a count to people, `report` to programs.
//! - `text`: widths and numbers in a terminal.

mod bars;
mod blt;
mod csv;
mod election;
mod json;
mod problem;
mod report;
mod rounds;
mod settings;
mod table;
#[cfg(test)]
mod tests;
mod text;

use std::error::Error;
use std::fs;
use std::io::{self, IsTerminal as _, Write};
use std::path::Path;

pub use problem::{Failure, Fault};
pub use text::Style;

use super::arguments::Tally;
use crate::tally::{self, Lot, Method};
use election::Election;

/// How wide a table may be where there is no terminal.
const DEFAULT_WIDTH: usize = 100;

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Counts with this method, whatever the file says.
    pub method: Option<Method>,
    pub seats: Option<usize>,
    /// The names of the choices in the order of the lot, separated by commas. Quotes protect a
    /// comma in a name. A tie for the last seat is then broken by the lot.
    pub lot: Option<String>,
    /// Whether to print JSON instead of a table.
    pub json: bool,
}

/// Does what `polls tally` was asked for.
///
/// # Errors
/// As [`run`], and where standard output does not take the result.
pub fn command(arguments: &Tally) -> Result<(), Box<dyn Error + Send + Sync>> {
    let options = Options {
        method: arguments.method,
        seats: arguments.seats,
        lot: arguments.lot.clone(),
        json: arguments.json,
    };
    let mut out = io::stdout().lock();
    let mut printed = Vec::new();
    let is_terminal = out.is_terminal();
    let style = Style {
        width: match rustix::termios::tcgetwinsize(&out) {
            Ok(size) if is_terminal && size.ws_col > 0 => size.ws_col.into(),
            _ => DEFAULT_WIDTH,
        },
        color: is_terminal && std::env::var_os("NO_COLOR").is_none(),
    };
    run(&arguments.file, &options, style, &mut printed)?;
    out.write_all(&printed)?;
    Ok(())
}

/// Counts the election in a file and prints the result.
///
/// # Errors
/// The file cannot be read or is faulty, the options do not fit it, or a lot is needed that nobody
/// has given.
pub fn run(
    file: &Path,
    options: &Options,
    style: Style,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let shown = text::clean(&file.display().to_string());
    let problem = |fault: Fault| Failure::Problem(fault.in_file(&shown));
    let bytes = fs::read(file).map_err(|error| problem(problem::unreadable(&error)))?;
    let text = String::from_utf8(bytes).map_err(|error| problem(problem::not_utf8(&error)))?;
    let extension = file
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or("");
    count(&text, extension, options, style, out).map_err(|failure| match failure {
        Failure::Fault(fault) => problem(fault),
        other => other,
    })
}

/// Counts the election in a text. The extension (`blt`, `csv`, `json`) says how to read the text.
///
/// # Errors
/// As [`run`], but a fault does not name the file.
pub fn count(
    text: &str,
    extension: &str,
    options: &Options,
    style: Style,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let election = read(text, extension)?;
    let (rules, lot) = election.rules(options)?;
    let lot = lot.as_deref().map_or(Lot::Pending, Lot::from_order);
    let count = tally::count(&rules, &election.profile, &lot);
    if count.outcome.provisional {
        return Err(Failure::LotNeeded {
            example: election::names_as_list(&election.choices),
        });
    }
    let printed = if options.json {
        report::print(&election.choices, count, out)
    } else {
        table::print(&election, &rules, &count, style, out)
    };
    printed.map_err(|error: io::Error| Failure::Output(error.to_string()))
}

fn read(text: &str, extension: &str) -> Result<Election, Fault> {
    // Spreadsheets write a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match extension.to_ascii_lowercase().as_str() {
        "blt" => blt::read(text),
        "csv" => csv::read(text),
        "json" => json::read(text),
        _ => Err(Fault::new(
            "The name of the file does not tell its format.",
            "Name the file .blt (rankings), .csv (scores) or .json.",
        )),
    }
}
