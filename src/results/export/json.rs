//! `.json` files: one object, with the ballots at its end.

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::{Ballot, Election, Form};
use crate::ballots::roll::Voter;
use crate::clock::Time;
use crate::tally::{BallotKind, Method, Threshold, TieBreak};

/// Whether a ballot was written already.
#[derive(Default)]
pub(super) struct Json {
    is_begun: bool,
}

/// What comes before the ballots.
#[derive(Serialize)]
struct Head<'a> {
    name: &'a str,
    method: Method,
    seats: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_score: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quorum: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<Threshold>,
    tie_break: TieBreak,
    #[serde(skip_serializing_if = "Option::is_none")]
    lot: Option<Vec<&'a str>>,
    choices: &'a [String],
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    voter: Option<&'a Voter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cast_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ranking: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scores: Option<Scores<'a>>,
}

/// The score of each choice, by name.
struct Scores<'a>(Vec<(&'a str, i32)>);

impl Serialize for Scores<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, score) in &self.0 {
            map.serialize_entry(name, score)?;
        }
        map.end()
    }
}

impl Form for Json {
    fn begin(&mut self, election: &Election, out: &mut Vec<u8>) {
        let name = |position: &usize| election.choices[*position].as_str();
        let lot = election.lot.as_ref();
        let head = Head {
            name: &election.title,
            method: election.rules.method,
            seats: election.rules.seats,
            max_score: election.max_score,
            quorum: election.rules.quorum,
            threshold: election.rules.threshold,
            tie_break: election.rules.tie_break,
            lot: lot.map(|lot| lot.iter().map(name).collect()),
            choices: &election.choices,
        };
        write(out, &head);
        // The ballots come into the same object.
        out.pop();
        out.extend_from_slice(b",\"ballots\":[");
    }

    fn ballot(&mut self, election: &Election, ballot: &Ballot<'_>, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.is_begun, true) {
            out.push(b',');
        }
        out.push(b'\n');
        let marks = ballot.marks.iter();
        let marks = marks.map(|(position, value)| (election.choices[*position].as_str(), *value));
        let is_scored = election.rules.method.ballot_kind() == BallotKind::Scores;
        let line = Line {
            voter: ballot.signed.map(|signed| &signed.voter),
            cast_at: ballot.signed.map(|signed| signed.cast_at),
            updated_at: ballot.signed.map(|signed| signed.updated_at),
            count: Some(ballot.count).filter(|_| ballot.signed.is_none()),
            ranking: (!is_scored).then(|| marks.clone().map(|(name, _)| name).collect()),
            scores: is_scored.then(|| Scores(marks.collect())),
        };
        write(out, &line);
    }

    fn end(&mut self, _: &Election, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\n]}\n");
    }
}

fn write(out: &mut Vec<u8>, value: &impl Serialize) {
    // Neither writing to a vector nor serialising these types can fail.
    let _ = serde_json::to_writer(out, value);
}
