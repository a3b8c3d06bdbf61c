//! `.csv` files: a header of choices, then a row of scores for each ballot.
//!
//! An optional first column `count` says how many ballots are alike. An empty cell is a score of 0.
//! Commas separate cells; where the header has none, semicolons or tabs do. Quotes work as in RFC
//! 4180. Lines before the header may be settings: `# polls.method: star`.

use super::election::{Election, score};
use super::problem::Fault;
use super::settings::Settings;
use super::text;
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
    let has_count = header.first().is_some_and(|name| name == "count");
    if has_count {
        header.remove(0);
    }
    let header = header.into_iter().map(unguarded).collect();
    let mut election = Election::new(line, header, BallotKind::Scores, settings)?;
    let mut scores = Vec::new();
    for record in records {
        let (line, cells) = record?;
        let expected = election.choices.len() + usize::from(has_count);
        if cells.len() != expected {
            return Err(Fault::at(
                line,
                format!(
                    "The row has {} cells, the header has {expected}.",
                    cells.len()
                ),
                "Give every choice a cell; an empty cell is a score of 0. Quote cells with commas.",
            ));
        }
        let (count, cells) = match cells.split_first() {
            Some((first, others)) if has_count => (count(line, first)?, others),
            _ => (1, &cells[..]),
        };
        scores.clear();
        for (choice, cell) in cells
            .iter()
            .enumerate()
            .filter(|(_, cell)| !cell.is_empty())
        {
            scores.push((choice, score(line, cell, &election.choices[choice])?));
        }
        election.push_scores(line, count, &scores)?;
    }
    Ok(election)
}

/// The comment in the first line, and the lines behind.
fn comment(text: &str) -> Option<(&str, &str)> {
    let comment = text.strip_prefix('#')?;
    let (first, after) = comment.split_once('\n').unwrap_or((comment, ""));
    // A choice may begin with "#", too: only a line of its own settings is none.
    first
        .trim_start()
        .starts_with("polls.")
        .then_some((first, after))
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

/// The name of a choice without the apostrophe that keeps spreadsheets from running it as a formula.
fn unguarded(name: String) -> String {
    match name.strip_prefix('\'') {
        Some(rest) if rest.starts_with(['=', '+', '-', '@', '\'']) => rest.to_owned(),
        _ => name,
    }
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
