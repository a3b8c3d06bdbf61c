//! `.blt` files: numbers of choices, best first, then the names.

use std::io::Write as _;

use super::{Ballot, Election, Form};

pub(super) struct Blt;

impl Form for Blt {
    fn begin(&mut self, election: &Election, out: &mut Vec<u8>) {
        // Writing to a vector cannot fail.
        for (name, value) in election.settings() {
            let _ = writeln!(out, "# polls.{name}: {value}");
        }
        let (choices, seats) = (election.choices.len(), election.rules.seats);
        let _ = writeln!(out, "{choices} {seats}");
    }

    fn ballot(&mut self, _: &Election, ballot: &Ballot<'_>, out: &mut Vec<u8>) {
        let _ = write!(out, "{}", ballot.count);
        for (position, _) in &ballot.marks {
            let _ = write!(out, " {}", position + 1);
        }
        out.extend_from_slice(b" 0\n");
    }

    fn end(&mut self, election: &Election, out: &mut Vec<u8>) {
        out.extend_from_slice(b"0\n");
        for name in election.choices.iter().chain([&election.title]) {
            let _ = writeln!(
                out,
                "\"{}\"",
                name.replace('\\', "\\\\").replace('"', "\\\"")
            );
        }
    }
}
