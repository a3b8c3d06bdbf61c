//! `.csv` files: settings, a header, and a row for each distinct ballot, or for each voter where
//! ballots are public.

use std::io::Write as _;

use super::{Ballot, Election, Form};
use crate::formula;
use crate::tally::BallotKind;

/// Spreadsheets take a file without it for one in another encoding than UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The columns before the choices.
const COUNTED: &[&str] = &["count"];
const SIGNED: &[&str] = &["voter_id", "voter_name", "guest", "cast_at", "updated_at"];

/// About how many bytes a row has.
const ROW: usize = 512;

pub(super) struct Csv;

impl Csv {
    fn columns(election: &Election) -> &'static [&'static str] {
        match election.is_signed {
            true => SIGNED,
            false => COUNTED,
        }
    }
}

impl Form for Csv {
    fn begin(&mut self, election: &Election, out: &mut Vec<u8>) {
        out.extend_from_slice(BYTE_ORDER_MARK);
        let mut settings = election.settings();
        if election.rules.method.ballot_kind() == BallotKind::Ranking {
            settings.push(("cells", "ranks".to_owned()));
        }
        let columns = Csv::columns(election);
        settings.push(("first_choice_column", (columns.len() + 1).to_string()));
        for (name, value) in settings {
            // Writing to a vector cannot fail.
            let _ = write!(out, "# polls.{name}: {value}\r\n");
        }
        let columns = columns.iter().map(|column| (*column).to_owned());
        let choices = election.choices.iter().map(|name| formula::guarded(name));
        row(out, columns.chain(choices));
    }

    fn ballot(&mut self, election: &Election, ballot: &Ballot<'_>, out: &mut Vec<u8>) {
        let mut cells = match ballot.signed {
            None => vec![ballot.count.to_string()],
            Some(signed) => {
                let name = signed.voter.name.as_deref().unwrap_or_default();
                vec![
                    signed.voter.id.to_string(),
                    formula::guarded(name),
                    signed.voter.guest.to_string(),
                    signed.cast_at.to_string(),
                    signed.updated_at.to_string(),
                ]
            }
        };
        let before = cells.len();
        cells.resize(before + election.choices.len(), String::new());
        for (position, value) in &ballot.marks {
            cells[before + position] = value.to_string();
        }
        row(out, cells.into_iter());
    }

    fn end(&mut self, _: &Election, _: &mut Vec<u8>) {}
}

fn row(out: &mut Vec<u8>, cells: impl Iterator<Item = String>) {
    let mut writer = csv::WriterBuilder::new();
    let writer = writer.terminator(csv::Terminator::CRLF);
    let mut writer = writer.buffer_capacity(ROW).from_writer(out);
    // Writing to a vector cannot fail.
    let _ = writer.write_record(cells);
    let _ = writer.flush();
}
