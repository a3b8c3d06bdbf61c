use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::tally::{Count, Explanation, Status};

/// A count in JSON, with names in place of ids.
#[derive(Serialize)]
struct Report {
    outcome: Outcome,
    totals: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explanation<String>>,
}

#[derive(Serialize)]
struct Outcome {
    status: Status,
    elected: Vec<String>,
    tied: Vec<String>,
    decided_by_lot: bool,
}

pub(super) fn print(choices: &[String], count: Count, out: &mut impl Write) -> io::Result<()> {
    let name = |choice: usize| choices.get(choice).cloned().unwrap_or_default();
    let outcome = count.outcome.map(name);
    let report = Report {
        outcome: Outcome {
            status: outcome.status,
            elected: outcome.elected_choice_ids,
            tied: outcome.tied_choice_ids,
            decided_by_lot: outcome.decided_by_lot,
        },
        totals: choices
            .iter()
            .cloned()
            .zip(count.votes.into_iter().map(Value::from))
            .collect(),
        explanation: count.explanation.map(|explanation| explanation.map(name)),
    };
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)
}
