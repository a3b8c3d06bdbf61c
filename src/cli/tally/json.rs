//! `.json` files: one object with the method, the seats, the choices and the ballots.
//!
//! ```json
//! {"method": "instant_runoff", "seats": 1, "choices": ["Ann", "Bob"],
//!  "ballots": [{"count": 3, "ranking": ["Bob", "Ann"]}, {"ranking": []}]}
//! ```
//! Scored ballots have `"scores": {"Ann": 5}` instead of `ranking`. `count` is 1 if absent. `quorum`,
//! `threshold`, `tie_break`, `max_score` and `lot` (names in order) are optional. `name` is the title;
//! `source` and `expected` are ignored, and so are `voter`, `cast_at` and `updated_at` of a ballot.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::election::{Election, score};
use super::problem::Fault;
use super::settings::{LotOrder, Settings};
use super::text;
use crate::tally::{BallotKind, Method, Threshold, TieBreak};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<'a> {
    name: Option<String>,
    #[serde(rename = "source")]
    _source: Option<IgnoredAny>,
    #[serde(rename = "expected")]
    _expected: Option<IgnoredAny>,
    method: Option<Method>,
    seats: Option<usize>,
    choices: Vec<String>,
    #[serde(borrow)]
    ballots: Vec<&'a RawValue>,
    max_score: Option<u8>,
    quorum: Option<u64>,
    threshold: Option<Threshold>,
    tie_break: Option<TieBreak>,
    lot: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ballot {
    #[serde(default = "one")]
    count: u64,
    ranking: Option<Vec<String>>,
    scores: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(rename = "voter")]
    _voter: Option<IgnoredAny>,
    #[serde(rename = "cast_at")]
    _cast_at: Option<IgnoredAny>,
    #[serde(rename = "updated_at")]
    _updated_at: Option<IgnoredAny>,
}

const fn one() -> u64 {
    1
}

pub(super) fn read(text: &str) -> Result<Election, Fault> {
    if text.trim_start().starts_with('[') {
        return Err(Fault::new(
            "The file is a list; one election is expected.",
            "Put one election into a file, as an object in braces.",
        ));
    }
    let file: File<'_> = serde_json::from_str(text).map_err(|error| syntax(&error, 1))?;
    let settings = Settings {
        method: file.method,
        seats: file.seats,
        max_score: file.max_score,
        quorum: file.quorum,
        threshold: file.threshold,
        tie_break: file.tie_break,
        lot: file
            .lot
            .map(|names| (LotOrder::Names(names), line_of(text, "\"lot\""))),
        ..Settings::default()
    };
    let kind = match file.ballots.first() {
        Some(first) if has_scores(first) => BallotKind::Scores,
        Some(_) => BallotKind::Ranking,
        None => file.method.map_or(BallotKind::Ranking, Method::ballot_kind),
    };
    let mut election = Election::new(line_of(text, "\"choices\""), file.choices, kind, settings)?;
    election.title = file.name;
    let mut lines = Lines {
        text,
        offset: 0,
        line: 1,
    };
    for raw in file.ballots {
        let line = lines.at(raw.get());
        let ballot: Ballot =
            serde_json::from_str(raw.get()).map_err(|error| syntax(&error, line))?;
        match (ballot.ranking, ballot.scores, kind) {
            (Some(names), None, BallotKind::Ranking | BallotKind::Set) => {
                let ranking = names
                    .iter()
                    .map(|name| known(&election, line, name))
                    .collect::<Result<Vec<usize>, Fault>>()?;
                election.push_ranking(line, ballot.count, &ranking)?;
            }
            (None, Some(scores), BallotKind::Scores) => {
                let scores = scores
                    .iter()
                    .map(|(name, value)| {
                        let choice = known(&election, line, name)?;
                        Ok((choice, score(line, &value.to_string(), name)?))
                    })
                    .collect::<Result<Vec<(usize, u8)>, Fault>>()?;
                election.push_scores(line, ballot.count, &scores)?;
            }
            _ => {
                return Err(Fault::at(
                    line,
                    "The ballot has another form than the first one.",
                    "Give every ballot a \"ranking\", or every ballot \"scores\", but not both.",
                ));
            }
        }
    }
    Ok(election)
}

fn has_scores(ballot: &RawValue) -> bool {
    let ballot: Result<Ballot, _> = serde_json::from_str(ballot.get());
    ballot.is_ok_and(|ballot| ballot.scores.is_some())
}

fn known(election: &Election, line: usize, name: &str) -> Result<usize, Fault> {
    election.position(name).ok_or_else(|| {
        Fault::at(
            line,
            format!(
                "The ballot names {:?}, which is not a choice.",
                text::clean(name)
            ),
            "Write the name as in \"choices\", or add it there.",
        )
    })
}

/// What serde_json says, without the place, which is told by the line.
fn syntax(error: &serde_json::Error, first_line: usize) -> Fault {
    let said = error.to_string();
    let what = said.split(" at line ").next().unwrap_or(&said);
    let mut what = text::clean(what);
    if let Some(first) = what.get(..1) {
        what = first.to_uppercase() + &what[1..] + ".";
    }
    Fault::at(
        first_line + error.line().saturating_sub(1),
        what,
        "The form is {\"method\": …, \"seats\": 1, \"choices\": [\"Ann\", …], \"ballots\": \
         [{\"count\": 3, \"ranking\": [\"Ann\", …]}, …]}, or \"scores\": {\"Ann\": 5, …} in each \
         ballot.",
    )
}

fn line_of(text: &str, key: &str) -> usize {
    text.find(key)
        .map_or(1, |at| text[..at].matches('\n').count() + 1)
}

/// Finds the lines of parts of a text that come one behind the other, in one pass.
struct Lines<'a> {
    text: &'a str,
    offset: usize,
    line: usize,
}

impl Lines<'_> {
    /// The line of a slice of the text.
    fn at(&mut self, part: &str) -> usize {
        let offset = part
            .as_ptr()
            .addr()
            .saturating_sub(self.text.as_ptr().addr());
        if let Some(between) = self.text.get(self.offset..offset) {
            self.line += between.matches('\n').count();
            self.offset = offset;
        }
        self.line
    }
}
