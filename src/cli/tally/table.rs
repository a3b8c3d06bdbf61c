use std::cmp::Reverse;
use std::io::{self, Write};

use super::bars::{self, Bar};
use super::election::Election;
use super::rounds;
use super::text::{Ink, Style, clean, decimal, fit, grouped, listed, percent, width, wrapped};
use crate::tally::{
    BallotKind, Count, Explanation, Method, Pairs, PointTotals, Rules, Runoff, Status, TieBrokenBy,
};

/// Shows a count to people.
pub(super) fn print(
    election: &Election,
    rules: &Rules,
    count: &Count,
    style: Style,
    out: &mut impl Write,
) -> io::Result<()> {
    let names: Vec<String> = election.choices.iter().map(|name| clean(name)).collect();
    let page = Page {
        names: &names,
        rules,
        count,
        style,
    };
    if let Some(title) = &election.title {
        let title = wrapped(&clean(title), style.columns(), 0);
        writeln!(out, "{}", style.paint(Ink::Heading, &title))?;
    }
    let facts = wrapped(&page.facts(), style.columns(), 0);
    writeln!(out, "{}\n", style.paint(Ink::Faint, &facts))?;
    match &count.explanation {
        None => page.votes(out)?,
        Some(Explanation::Rounds(explanation)) => rounds::print(&names, explanation, style, out)?,
        Some(Explanation::Pairs(pairs)) => page.pairs(pairs, out)?,
        Some(Explanation::Points(points)) => page.points(points, out)?,
        Some(Explanation::Runoff(runoff)) => page.runoff(runoff, out)?,
    }
    let outcome = wrapped(&page.outcome(), style.columns(), 0);
    let ink = if count.outcome.status == Status::Decided {
        Ink::Elected
    } else {
        Ink::Heading
    };
    writeln!(out, "\n{}", style.paint(ink, &outcome))
}

const fn method_name(method: Method) -> &'static str {
    match method {
        Method::MultipleChoice => "Multiple choice",
        Method::InstantRunoff => "Instant run-off",
        Method::SingleTransferableVote => "Single transferable vote (Scottish rules)",
        Method::RankedPairs => "Ranked pairs",
        Method::Borda => "Borda count",
        Method::Score => "Score voting",
        Method::Star => "STAR voting",
    }
}

struct Page<'a> {
    names: &'a [String],
    rules: &'a Rules,
    count: &'a Count,
    style: Style,
}

impl Page<'_> {
    /// Method, seats, ballots and quota in a line.
    fn facts(&self) -> String {
        let turnout = self.count.turnout;
        let several = |number: u64, one: &str| {
            format!(
                "{} {one}{}",
                grouped(number),
                if number == 1 { "" } else { "s" }
            )
        };
        let mut facts = vec![method_name(self.rules.method).to_owned()];
        facts.push(several(self.rules.seats as u64, "seat"));
        facts.push(several(turnout.ballots, "ballot"));
        if turnout.abstentions > 0 {
            facts.push(several(turnout.abstentions, "abstention"));
        }
        if let Some(Explanation::Rounds(rounds)) = &self.count.explanation
            && let Some(quota) = rounds.quota
        {
            facts.push(format!("quota {}", grouped(quota)));
        }
        facts.join(" · ")
    }

    /// Bars of totals, the highest first.
    fn chart(
        &self,
        choices: impl Iterator<Item = usize>,
        value: impl Fn(usize) -> (u64, String),
        share: impl Fn(usize) -> String,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let mut choices: Vec<usize> = choices.collect();
        choices.sort_by_key(|&choice| Reverse(value(choice).0));
        let outcome = &self.count.outcome;
        let bars: Vec<Bar> = choices
            .into_iter()
            .map(|choice| {
                let (value, value_text) = value(choice);
                let (mark, ink) = if outcome.elected_choice_ids.contains(&choice) {
                    ('✔', Ink::Elected)
                } else if outcome.tied_choice_ids.contains(&choice) {
                    ('=', Ink::Heading)
                } else {
                    (' ', Ink::Plain)
                };
                let name = self.names[choice].clone();
                Bar {
                    name,
                    value,
                    value_text,
                    share: share(choice),
                    mark,
                    ink,
                }
            })
            .collect();
        bars::print(&bars, self.style, out)
    }

    fn votes(&self, out: &mut impl Write) -> io::Result<()> {
        let votes = &self.count.votes;
        let valid = self.count.turnout.valid();
        self.chart(
            0..votes.len(),
            |choice| (votes[choice], grouped(votes[choice])),
            |choice| match self.rules.method.ballot_kind() {
                BallotKind::Scores => average(votes[choice], valid),
                _ => percent(votes[choice], valid),
            },
            out,
        )
    }

    fn points(&self, points: &PointTotals, out: &mut impl Write) -> io::Result<()> {
        let of = |choice: usize| points.totals[choice].points;
        let decimals = usize::from(points.totals.iter().any(|total| !total.points.is_whole()));
        self.chart(
            0..points.totals.len(),
            |choice| (of(choice).parts(), decimal(of(choice), decimals)),
            |_| String::new(),
            out,
        )
    }

    fn runoff(&self, runoff: &Runoff, out: &mut impl Write) -> io::Result<()> {
        let style = self.style;
        writeln!(
            out,
            "{}",
            style.paint(Ink::Heading, "Scoring round: sum and average of scores")
        )?;
        self.votes(out)?;
        if let Some(rule) = runoff.finalists_tie_broken_by {
            writeln!(
                out,
                "The tie for the run-off was broken by {}.",
                rule_name(rule)
            )?;
        }
        writeln!(
            out,
            "\n{}",
            style.paint(Ink::Heading, "Run-off: ballots that prefer each finalist")
        )?;
        let ballots = |choice: usize| {
            let finalist = runoff.preferring.iter().find(|one| one.choice_id == choice);
            finalist.map_or(0, |one| one.ballots)
        };
        let decided = runoff.preferring.iter().map(|one| one.ballots).sum();
        self.chart(
            runoff.finalist_ids.iter().copied(),
            |choice| (ballots(choice), grouped(ballots(choice))),
            |choice| percent(ballots(choice), decided),
            out,
        )?;
        writeln!(
            out,
            "{} without a preference.",
            grouped(runoff.no_preference)
        )?;
        let is_even =
            matches!(runoff.preferring[..], [ref one, ref other] if one.ballots == other.ballots);
        if let (true, Some(rule)) = (is_even, runoff.tie_broken_by) {
            writeln!(
                out,
                "The tie of the run-off was broken by {}.",
                rule_name(rule)
            )?;
        }
        Ok(())
    }

    fn pairs(&self, pairs: &Pairs, out: &mut impl Write) -> io::Result<()> {
        let columns = self.style.columns();
        let numbers = pairs
            .pairs
            .iter()
            .map(|pair| width(&grouped(pair.supporting)))
            .max();
        let numbers = numbers.unwrap_or(1);
        let names = self.names.iter().map(|name| width(name)).max().unwrap_or(1);
        // Two names, two numbers, the colon, five spaces and the longest remark.
        let names = names
            .min(columns.saturating_sub(2 * numbers + 30) / 2)
            .max(8);
        for pair in &pairs.pairs {
            let (remark, ink) = if pair.supporting == pair.opposing {
                ("even, not counted", Ink::Faint)
            } else if pair.locked && pair.tie_broken_by.is_some() {
                ("locked, order by lot", Ink::Plain)
            } else if pair.locked {
                ("locked", Ink::Plain)
            } else {
                ("would close a circle", Ink::Out)
            };
            let winner = fit(&self.names[pair.winner_id], names);
            let loser = fit(&self.names[pair.loser_id], names);
            let score = format!(
                "{:>numbers$} : {:<numbers$}",
                grouped(pair.supporting),
                grouped(pair.opposing)
            );
            writeln!(
                out,
                "{}",
                self.style
                    .paint(ink, &format!("{winner} {score} {loser}  {remark}"))
            )?;
        }
        if let Some(winner) = pairs.condorcet_winner_id {
            let sentence = format!("\n{} wins against every other choice.", self.names[winner]);
            writeln!(out, "{}", wrapped(&sentence, columns, 0))?;
        }
        Ok(())
    }

    /// The outcome in a sentence.
    fn outcome(&self) -> String {
        let outcome = &self.count.outcome;
        let called = |choices: &[usize]| -> String {
            listed(
                &choices
                    .iter()
                    .map(|&choice| self.names[choice].clone())
                    .collect::<Vec<_>>(),
            )
        };
        let is_elected = |choices: &[usize]| {
            let verb = if choices.len() == 1 { "is" } else { "are" };
            format!("{} {verb} elected.", called(choices))
        };
        let mut sentence = match outcome.status {
            Status::NoVotes => "Nobody is elected: no ballot chooses anything.".to_owned(),
            Status::NoQuorum => format!(
                "Nobody is elected: {} ballots are fewer than the quorum of {}.",
                grouped(self.count.turnout.ballots),
                grouped(self.rules.quorum.unwrap_or(0))
            ),
            Status::BelowThreshold => {
                "Nobody is elected: no choice reaches the threshold.".to_owned()
            }
            Status::Decided => is_elected(&outcome.elected_choice_ids),
            Status::Tied => {
                let open = self
                    .rules
                    .seats
                    .saturating_sub(outcome.elected_choice_ids.len());
                let seats = if open == 1 {
                    "one seat"
                } else {
                    &format!("{open} seats")
                };
                let tie = format!("{} are tied for {seats}.", called(&outcome.tied_choice_ids));
                if outcome.elected_choice_ids.is_empty() {
                    tie
                } else {
                    format!("{} {tie}", is_elected(&outcome.elected_choice_ids))
                }
            }
        };
        if outcome.decided_by_lot {
            sentence.push_str(" The lot decided a tie.");
        }
        sentence
    }
}

const fn rule_name(rule: TieBrokenBy) -> &'static str {
    match rule {
        TieBrokenBy::EarlierRound => "an earlier round",
        TieBrokenBy::HeadToHead => "the head-to-head preferences",
        TieBrokenBy::HigherSum => "the higher sum of scores",
        TieBrokenBy::MostFives => "the most scores of 5",
        TieBrokenBy::Lot => "lot",
    }
}

/// An average with two decimals, rounded half up.
fn average(sum: u64, ballots: u64) -> String {
    let divisor = u128::from(ballots.max(1));
    let hundredths = (u128::from(sum) * 200 + divisor) / (2 * divisor);
    format!("⌀ {}.{:02}", hundredths / 100, hundredths % 100)
}
