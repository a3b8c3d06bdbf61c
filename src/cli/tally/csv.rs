//! `.csv` files: a header of choices, then a row of scores for each ballot.
//!
//! An optional first column `count` says how many ballots are alike. An empty cell is a score of 0.
//! Commas separate cells; where the header has none, semicolons or tabs do. Quotes work as in RFC
//! 4180. Lines before the header may be settings: `# polls.method: star`. With `# polls.cells: ranks`
//! the cells are ranks, of which 1 is the best and an empty one is none; with
//! `# polls.first_choice_column: 4` the choices begin there, and `count` may be any column before.
//!
//! An apostrophe before a character with which a formula begins is no part of a name: see
//! [`formula`].

use super::election::{Election, score};
use super::problem::Fault;
use super::settings::{Cells, Settings};
use super::text;
use crate::formula;
use crate::tally::BallotKind;

pub(super) fn read(text: &str) -> Result<Election, Fault> {
    let mut settings = Settings::default();
    let mut rest = text;
    let mut line = 1;
    while let Some((first, after)) = comment(rest) {
        settings.read_comment(line, first)?;
        rest = after;
        line += 1;
    }
    let mut records = Records {
        rest,
        line,
        separator: separator(rest),
    };
    let Some((line, mut header)) = records.next().transpose()? else {
        return Err(Fault::new(
            "The file has no header.",
            "Begin with a line that names the choices, such as: count,Ann,Bob,Cem",
        ));
    };
    let columns = header.len();
    let first_choice = match settings.first_choice_column {
        Some(column) => column - 1,
        None => usize::from(header.first().is_some_and(|name| name == "count")),
    };
    let choices = header.split_off(first_choice.min(columns));
    let count_column = header.iter().position(|name| name == "count");
    let choices = choices.iter().map(|name| formula::unguarded(name));
    let (kind, cells) = match settings.cells {
        Cells::Scores => (BallotKind::Scores, settings.cells),
        Cells::Ranks => (BallotKind::Ranking, settings.cells),
    };
    let mut election = Election::new(line, choices.collect(), kind, settings)?;
    for record in records {
        let (line, row) = record?;
        if row.len() != columns {
            return Err(Fault::at(
                line,
                format!("The row has {} cells, the header has {columns}.", row.len()),
                "Give every choice a cell; an empty cell is a score of 0. Quote cells with commas.",
            ));
        }
        let count = match count_column {
            Some(column) => count(line, &row[column])?,
            None => 1,
        };
        let row = &row[first_choice..];
        match cells {
            Cells::Scores => {
                let scores = scores(line, row, &election.choices)?;
                election.push_scores(line, count, &scores)?;
            }
            Cells::Ranks => {
                let ranking = ranking(line, row, &election.choices)?;
                election.push_ranking(line, count, &ranking)?;
            }
        }
    }
    Ok(election)
}

/// The cells of a row that are not empty, each with the position of its choice.
fn filled(row: &[String]) -> impl Iterator<Item = (usize, &str)> {
    let cells = row.iter().map(String::as_str).enumerate();
    cells.filter(|(_, cell)| !cell.is_empty())
}

fn scores(line: usize, row: &[String], choices: &[String]) -> Result<Vec<(usize, u8)>, Fault> {
    filled(row)
        .map(|(choice, cell)| Ok((choice, score(line, cell, &choices[choice])?)))
        .collect()
}

/// The positions of the choices that a row ranks, best first.
fn ranking(line: usize, row: &[String], choices: &[String]) -> Result<Vec<usize>, Fault> {
    let mut ranked = Vec::new();
    for (choice, cell) in filled(row) {
        let rank = cell.parse().ok().filter(|rank: &u32| *rank > 0);
        let rank = rank.ok_or_else(|| {
            let (cell, choice) = (text::clean(cell), text::clean(&choices[choice]));
            Fault::at(
                line,
                format!("{cell:?} is not a rank of {choice:?}."),
                "A rank is a whole number from 1 on; leave the cell empty where there is none.",
            )
        })?;
        ranked.push((rank, choice));
    }
    ranked.sort_unstable();
    if let Some(equal) = ranked.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Fault::at(
            line,
            format!("The ballot gives two choices the rank {}.", equal[0].0),
            "Rankings are strict here. Decide an order, or leave the choices out.",
        ));
    }
    Ok(ranked.into_iter().map(|(_, choice)| choice).collect())
}

/// The comment in the first line, and the lines behind.
fn comment(text: &str) -> Option<(&str, &str)> {
    let comment = text.strip_prefix('#')?;
    let (first, after) = comment.split_once('\n').unwrap_or((comment, ""));
    // A choice may begin with "#", too: only a line of its own settings is none. A spreadsheet
    // writes empty cells behind it.
    let first = first.trim().trim_end_matches([',', ';', '\t']);
    first.starts_with("polls.").then_some((first, after))
}

fn separator(text: &str) -> char {
    let header = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("");
    [',', ';', '\t']
        .into_iter()
        .find(|&separator| header.contains(separator))
        .unwrap_or(',')
}

fn count(line: usize, text: &str) -> Result<u64, Fault> {
    text.parse().map_err(|_| {
        Fault::at(
            line,
            format!("{:?} is not a number of ballots.", text::clean(text)),
            "The first column says how many ballots are alike, as a whole number.",
        )
    })
}

/// The records of a CSV text, each with its line. Blank lines are skipped.
pub(super) struct Records<'a> {
    rest: &'a str,
    line: usize,
    separator: char,
}

impl<'a> Records<'a> {
    pub(super) const fn new(text: &'a str, separator: char) -> Self {
        Self {
            rest: text,
            line: 1,
            separator,
        }
    }

    /// Reads a cell, and whether it is the last one of its record.
    fn cell(&mut self) -> Result<(String, bool), Fault> {
        let separator = self.separator;
        let trimmed = self.rest.trim_start_matches(' ');
        let Some(quoted) = trimmed.strip_prefix('"') else {
            let end = self.rest.find([separator, '\n']).unwrap_or(self.rest.len());
            let cell = self.rest[..end].trim().to_owned();
            let last = !self.rest[end..].starts_with(separator);
            self.rest = self.rest.get(end + 1..).unwrap_or("");
            return Ok((cell, last));
        };
        let start = self.line;
        let mut cell = String::new();
        let mut rest = quoted;
        loop {
            let Some(end) = rest.find('"') else {
                return Err(Fault::at(
                    start,
                    "A quoted cell does not end.",
                    "Close the quotes. Write a quote within quotes twice: \"\".",
                ));
            };
            cell.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            let Some(after) = rest.strip_prefix('"') else {
                break;
            };
            cell.push('"');
            rest = after;
        }
        self.line += cell.matches('\n').count();
        let end = rest.find([separator, '\n']).unwrap_or(rest.len());
        if !rest[..end].trim().is_empty() {
            return Err(Fault::at(
                self.line,
                format!(
                    "{:?} follows a quoted cell.",
                    text::clean(rest[..end].trim())
                ),
                "Quote the whole cell. Write a quote within quotes twice: \"\".",
            ));
        }
        let last = !rest[end..].starts_with(separator);
        self.rest = rest.get(end + 1..).unwrap_or("");
        Ok((cell.trim().to_owned(), last))
    }
}

impl Iterator for Records<'_> {
    type Item = Result<(usize, Vec<String>), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some((blank, rest)) = self.rest.split_once('\n')
            && blank.trim().is_empty()
        {
            self.rest = rest;
            self.line += 1;
        }
        if self.rest.trim().is_empty() {
            return None;
        }
        let line = self.line;
        let mut cells = Vec::new();
        loop {
            match self.cell() {
                Ok((cell, last)) => {
                    cells.push(cell);
                    if last {
                        break;
                    }
                }
                Err(fault) => {
                    self.rest = "";
                    return Some(Err(fault));
                }
            }
        }
        self.line += 1;
        Some(Ok((line, cells)))
    }
}
