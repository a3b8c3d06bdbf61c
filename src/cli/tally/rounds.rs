use std::io::{self, Write};

use super::text::{Ink, Style, decimal, fit, grouped, listed, right, width, wrapped};
use crate::tally::{Round, Rounds, TieBrokenBy, Votes};

/// Shows rounds: first what each choice had in each round, then what happened.
pub(super) fn print(
    names: &[String],
    rounds: &Rounds,
    style: Style,
    out: &mut impl Write,
) -> io::Result<()> {
    let grid = Grid::new(names, rounds);
    grid.print(style, out)?;
    writeln!(out)?;
    for round in &rounds.rounds {
        let story = story(names, rounds.quota, round);
        let head = format!("Round {}  ", round.round);
        let text = wrapped(&format!("{head}{story}"), style.columns(), width(&head));
        let (head, story) = text.split_at(head.len());
        writeln!(out, "{}{story}", style.paint(Ink::Heading, head))?;
    }
    Ok(())
}

/// The votes by choice and round.
struct Grid<'a> {
    rounds: &'a Rounds,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    cells: Vec<(String, Ink)>,
}

impl<'a> Grid<'a> {
    fn new(names: &[String], rounds: &'a Rounds) -> Self {
        let all = &rounds.rounds;
        let fractions = all.iter().any(|round| {
            let tallies = round.tallies.iter().map(|tally| tally.votes);
            tallies
                .chain([round.exhausted])
                .any(|votes| !votes.is_whole())
        });
        let decimals = if fractions { 5 } else { 0 };
        let mut rows: Vec<Row> = order(names.len(), rounds)
            .into_iter()
            .map(|choice| Row {
                name: names[choice].clone(),
                cells: all
                    .iter()
                    .map(|round| cell(choice, round, decimals))
                    .collect(),
            })
            .collect();
        if all.iter().any(|round| round.exhausted > Votes::default()) {
            rows.push(Row {
                name: "Exhausted".to_owned(),
                cells: all
                    .iter()
                    .map(|round| {
                        (
                            format!("{}  ", decimal(round.exhausted, decimals)),
                            Ink::Faint,
                        )
                    })
                    .collect(),
            });
        }
        Self { rounds, rows }
    }

    /// Prints as many rounds side by side as the terminal has room for, then the next ones below.
    fn print(&self, style: Style, out: &mut impl Write) -> io::Result<()> {
        let columns = style.columns();
        let names = self
            .rows
            .iter()
            .map(|row| width(&row.name))
            .max()
            .unwrap_or(0);
        let names = names.clamp(9, columns / 3);
        let cells = self.rows.iter().flat_map(|row| &row.cells);
        let cell = cells.map(|(text, _)| width(text)).max().unwrap_or(0).max(6);
        let side_by_side = ((columns - names) / (cell + 1)).max(1);
        for (block, rounds) in self.rounds.rounds.chunks(side_by_side).enumerate() {
            if block > 0 {
                writeln!(out)?;
            }
            let mut head = fit("Round", names);
            for round in rounds {
                head.push_str(&right(&format!("{}  ", round.round), cell + 1));
            }
            writeln!(out, "{}", style.paint(Ink::Heading, head.trim_end()))?;
            let rule = "─".repeat(names + rounds.len() * (cell + 1));
            writeln!(out, "{}", style.paint(Ink::Faint, &rule))?;
            for row in &self.rows {
                let start = block * side_by_side;
                let cells = &row.cells[start..start + rounds.len()];
                if cells.iter().all(|(text, _)| text.is_empty()) {
                    // Eliminated before these rounds.
                    continue;
                }
                let mut line = fit(&row.name, names);
                for (text, ink) in cells {
                    line.push_str(&style.paint(*ink, &right(text, cell + 1)));
                }
                writeln!(out, "{}", line.trim_end())?;
            }
        }
        Ok(())
    }
}

/// What stands in a cell: the votes, and `✔` or `✘` in the round that decides about the choice.
fn cell(choice: usize, round: &Round, decimals: usize) -> (String, Ink) {
    let Some(tally) = round.tallies.iter().find(|tally| tally.choice_id == choice) else {
        return (String::new(), Ink::Plain);
    };
    let votes = decimal(tally.votes, decimals);
    if round.elected_choice_ids.contains(&choice) {
        (format!("{votes} ✔"), Ink::Elected)
    } else if round.eliminated_choice_ids.contains(&choice) {
        (format!("{votes} ✘"), Ink::Out)
    } else {
        (format!("{votes}  "), Ink::Plain)
    }
}

/// The elected in their order, then those who were never eliminated, then the eliminated, the last
/// one first.
fn order(choices: usize, rounds: &Rounds) -> Vec<usize> {
    let all = || rounds.rounds.iter();
    let mut order: Vec<usize> = all()
        .flat_map(|round| round.elected_choice_ids.clone())
        .collect();
    let eliminated: Vec<usize> = all()
        .rev()
        .flat_map(|round| round.eliminated_choice_ids.clone())
        .collect();
    let mut others: Vec<usize> = (0..choices)
        .filter(|choice| !order.contains(choice) && !eliminated.contains(choice))
        .collect();
    if let Some(last) = rounds.rounds.last() {
        others.sort_by_key(|&choice| {
            let tally = last.tallies.iter().find(|tally| tally.choice_id == choice);
            std::cmp::Reverse(tally.map(|tally| tally.votes))
        });
    }
    order.extend(others);
    order.extend(eliminated);
    order
}

/// What happened in a round, in sentences.
fn story(names: &[String], quota: Option<u64>, round: &Round) -> String {
    let votes_of = |choice: usize| {
        let tally = round.tallies.iter().find(|tally| tally.choice_id == choice);
        tally.map_or(Votes::default(), |tally| tally.votes)
    };
    let called = |choices: &[usize]| -> String {
        listed(
            &choices
                .iter()
                .map(|&choice| names[choice].clone())
                .collect::<Vec<_>>(),
        )
    };
    let is_are = |choices: &[usize]| if choices.len() == 1 { "is" } else { "are" };
    let mut sentences = Vec::new();
    let (reached, filled): (Vec<usize>, Vec<usize>) =
        round.elected_choice_ids.iter().partition(|&&choice| {
            quota.is_none_or(|quota| votes_of(choice) >= Votes::from_whole(quota))
        });
    match (quota, &reached[..]) {
        (_, []) => {}
        (Some(quota), reached) => {
            let verb = if reached.len() == 1 { "has" } else { "have" };
            let quota = grouped(quota);
            sentences.push(format!(
                "{} {verb} the quota of {quota} and {} elected.",
                called(reached),
                is_are(reached)
            ));
        }
        (None, [winner, ..]) => {
            let all: u64 = round.tallies.iter().map(|tally| tally.votes.whole()).sum();
            sentences.push(format!(
                "{} has {} of {} continuing ballots, more than half, and is elected.",
                names[*winner],
                grouped(votes_of(*winner).whole()),
                grouped(all)
            ));
        }
    }
    let tie = match round.tie_broken_by {
        Some(TieBrokenBy::EarlierRound) => " An earlier round broke the tie.",
        Some(_) => " The lot broke the tie.",
        None => "",
    };
    if let [loser, ..] = round.eliminated_choice_ids[..] {
        let votes = decimal(votes_of(loser), 0);
        sentences.push(format!(
            "{} is last with {votes} and is eliminated.{tie}",
            names[loser]
        ));
    } else if let Some(first) = round.transfers.first() {
        let surplus = Votes::from_parts(round.transfers.iter().map(|one| one.votes.parts()).sum());
        let surplus = decimal(surplus, 0);
        sentences.push(format!(
            "The surplus of {}, {surplus}, is transferred.{tie}",
            names[first.from_choice_id]
        ));
    }
    if !filled.is_empty() {
        let seats = if filled.len() == 1 {
            "the last seat"
        } else {
            "the last seats"
        };
        sentences.push(format!(
            "{} {} elected to {seats}.",
            called(&filled),
            is_are(&filled)
        ));
    }
    let transfers: Vec<String> = round
        .transfers
        .iter()
        .map(|transfer| {
            let to = transfer
                .to_choice_id
                .map_or("nobody", |to| names[to].as_str());
            format!("{} to {to}", decimal(transfer.votes, 0))
        })
        .collect();
    if !transfers.is_empty() {
        sentences.push(format!("Transfers: {}.", transfers.join(", ")));
    }
    sentences.join(" ")
}
