//! `.blt` files, as OpenSTV, OpaVote and others exchange rankings.
//!
//! ```text
//! 4 2                 four choices, two seats
//! -3                  the third has withdrawn (optional)
//! 3 1 4 0             three ballots that rank the first choice, then the fourth
//! 2 0                 two abstentions
//! 0                   the end of the ballots
//! "Ann" "Bob" "Cem" "Dora"
//! "Title"
//! ```
//! Line breaks are like spaces. `#` begins a comment, `# polls.method: borda` is a setting. A `-`
//! within a ranking is a rank left out and is ignored. Equal ranks (`1=2`) cannot be counted.
//!
//! Source: I. D. Hill, B. A. Wichmann, D. R. Woodall, "Algorithm 123: Single transferable vote by
//! Meek's method", The Computer Journal 30, 1987, with the comments and skipped ranks of OpenSTV.

use super::election::Election;
use super::problem::Fault;
use super::settings::Settings;
use super::text;
use crate::tally::{BallotKind, MAX_CHOICES};

pub(super) fn read(text: &str) -> Result<Election, Fault> {
    let mut tokens = Tokens {
        rest: text,
        line: 1,
        settings: Settings::default(),
    };
    let head = "Begin with the number of choices and the number of seats, such as: 4 2";
    let choices = tokens.number("the number of choices", head)?;
    if choices > MAX_CHOICES as u64 {
        let advice = format!("At most {MAX_CHOICES} choices can be counted.");
        return Err(Fault::at(
            tokens.line,
            format!("There are {choices} choices."),
            advice,
        ));
    }
    // No truncation: at most MAX_CHOICES.
    let choices = choices as usize;
    let seats = tokens.number("the number of seats", head)?;
    let (withdrawn, ballots) = ballots(&mut tokens, choices)?;
    let names_line = tokens.line;
    let mut names = Vec::new();
    for number in 1..=choices {
        let advice = format!(
            "After the 0 that ends the ballots, name all {choices} choices, each in quotes, then \
             the title."
        );
        let missing = format!("The name of choice {number} is missing.");
        let name = tokens
            .next()?
            .ok_or_else(|| Fault::at(tokens.line, missing, advice))?;
        names.push(name.text);
    }
    let title = tokens.next()?.map(|title| title.text);

    // Positions without the withdrawn choices.
    let mut positions = vec![None; choices];
    let mut remaining = Vec::new();
    for (number, name) in names.into_iter().enumerate() {
        if !withdrawn[number] {
            positions[number] = Some(remaining.len());
            remaining.push(name);
        }
    }
    let mut settings = tokens.settings;
    settings.seats = settings.seats.or(usize::try_from(seats).ok());
    let mut election = Election::new(names_line, remaining, BallotKind::Ranking, settings)?;
    election.title = title;
    for (line, count, numbers) in ballots {
        let ranking: Vec<usize> = numbers
            .iter()
            .filter_map(|&number| positions[number - 1])
            .collect();
        election.push_ranking(line, count, &ranking)?;
    }
    Ok(election)
}

/// The line of a ballot, how many are alike, and the numbers of the choices, all within range.
type Ballot = (usize, u64, Vec<usize>);

/// Reads withdrawals and ballots, to the 0 that ends them.
fn ballots(tokens: &mut Tokens<'_>, choices: usize) -> Result<(Vec<bool>, Vec<Ballot>), Fault> {
    let mut withdrawn = vec![false; choices];
    let mut ballots = Vec::new();
    loop {
        let Some(token) = tokens.next()? else {
            return Err(Fault::at(
                tokens.line,
                "The ballots do not end.",
                "Write a 0 behind the last ballot, then the names of the choices.",
            ));
        };
        if token.quoted {
            return Err(Fault::at(
                token.line,
                format!(
                    "{:?} stands where a ballot is expected.",
                    text::clean(&token.text)
                ),
                "Write a 0 behind the last ballot, before the names of the choices.",
            ));
        }
        if let Some(number) = token.text.strip_prefix('-') {
            let number = choice(&token, number, choices)?;
            withdrawn[number - 1] = true;
            continue;
        }
        let count = token.text.parse().map_err(|_| {
            Fault::at(
                token.line,
                format!("{:?} is not a number of ballots.", text::clean(&token.text)),
                "A ballot is: how many are alike, the numbers of the choices, and 0, such as: 3 1 4 0",
            )
        })?;
        if count == 0 {
            return Ok((withdrawn, ballots));
        }
        ballots.push((token.line, count, ranking(tokens, token.line, choices)?));
    }
}

/// Reads the numbers of a ballot, to the 0 that ends them.
fn ranking(tokens: &mut Tokens<'_>, start: usize, choices: usize) -> Result<Vec<usize>, Fault> {
    let mut ranking = Vec::new();
    loop {
        let unended = || {
            Fault::at(
                start,
                "The ballot does not end.",
                "Write a 0 behind the last choice of every ballot, such as: 3 1 4 0",
            )
        };
        let token = tokens
            .next()?
            .filter(|token| !token.quoted)
            .ok_or_else(unended)?;
        match token.text.as_str() {
            "0" => return Ok(ranking),
            "-" => continue,
            equal if equal.contains('=') => {
                return Err(Fault::at(
                    token.line,
                    format!(
                        "The ballot ranks choices equally: {:?}.",
                        text::clean(equal)
                    ),
                    "Rankings are strict here. Decide an order, or leave the choices out.",
                ));
            }
            number => {
                let number = choice(&token, number, choices)?;
                if ranking.contains(&number) {
                    return Err(if token.line == start {
                        Fault::at(
                            start,
                            format!("The ballot names choice {number} twice."),
                            "Name each choice once, or leave it out.",
                        )
                    } else {
                        unended()
                    });
                }
                ranking.push(number);
            }
        }
    }
}

fn choice(token: &Token, number: &str, choices: usize) -> Result<usize, Fault> {
    let number = number
        .parse()
        .ok()
        .filter(|number| (1..=choices).contains(number));
    number.ok_or_else(|| {
        Fault::at(
            token.line,
            format!(
                "{:?} is not the number of a choice.",
                text::clean(&token.text)
            ),
            format!("The choices are numbered from 1 to {choices}, as the first line says."),
        )
    })
}

struct Token {
    line: usize,
    text: String,
    quoted: bool,
}

/// Words, numbers and quoted names. Comments are read as settings or skipped.
struct Tokens<'a> {
    rest: &'a str,
    line: usize,
    settings: Settings,
}

impl Tokens<'_> {
    fn next(&mut self) -> Result<Option<Token>, Fault> {
        loop {
            let trimmed = self.rest.trim_start();
            let skipped = self.rest.len() - trimmed.len();
            self.line += self.rest[..skipped].matches('\n').count();
            self.rest = trimmed;
            let Some(comment) = trimmed.strip_prefix('#') else {
                break;
            };
            let (comment, rest) = comment.split_at(comment.find('\n').unwrap_or(comment.len()));
            self.settings.read_comment(self.line, comment)?;
            self.rest = rest;
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let line = self.line;
        let Some(quoted) = self.rest.strip_prefix('"') else {
            let end = self
                .rest
                .find(char::is_whitespace)
                .unwrap_or(self.rest.len());
            let (word, rest) = self.rest.split_at(end);
            self.rest = rest;
            return Ok(Some(Token {
                line,
                text: word.to_owned(),
                quoted: false,
            }));
        };
        // A backslash protects a quote or a backslash in a name.
        let mut text = String::new();
        let mut characters = quoted.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &quoted[at + 1..];
                    return Ok(Some(Token {
                        line,
                        text,
                        quoted: true,
                    }));
                }
                '\\' if quoted[at + 1..].starts_with(['"', '\\']) => {
                    text.extend(characters.next().map(|(_, protected)| protected));
                }
                other => {
                    self.line += usize::from(other == '\n');
                    text.push(other);
                }
            }
        }
        Err(Fault::at(
            line,
            "A name in quotes does not end.",
            "Close the quotes behind the name.",
        ))
    }

    fn number(&mut self, what: &str, advice: &str) -> Result<u64, Fault> {
        let token = self.next()?;
        let line = token.as_ref().map_or(self.line, |token| token.line);
        let number = token
            .filter(|token| !token.quoted)
            .and_then(|token| token.text.parse().ok());
        number.ok_or_else(|| {
            Fault::at(
                line,
                format!("The file does not begin with {what}."),
                advice,
            )
        })
    }
}
