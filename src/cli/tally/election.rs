use std::collections::HashMap;

use super::csv::Records;
use super::problem::{Failure, Fault};
use super::settings::{LotOrder, Settings};
use super::{Options, text};
use crate::tally::{
    BallotKind, InvalidBallot, MAX_BALLOTS, MAX_CHOICES, Method, Profile, Rules, TieBreak,
};

/// An election as a file describes it.
#[derive(Debug)]
pub(super) struct Election {
    pub(super) title: Option<String>,
    pub(super) choices: Vec<String>,
    /// What the ballots of the file are: rankings (which may also be sets) or scores.
    pub(super) kind: BallotKind,
    pub(super) profile: Profile,
    pub(super) settings: Settings,
    /// The highest score and the line of a ballot with it.
    highest: (u8, usize),
    positions: HashMap<String, usize>,
}

impl Election {
    /// An election without ballots.
    pub(super) fn new(
        line: usize,
        choices: Vec<String>,
        kind: BallotKind,
        settings: Settings,
    ) -> Result<Self, Fault> {
        if choices.len() < 2 {
            return Err(Fault::at(
                line,
                format!("The election has {} choices.", choices.len()),
                "Name at least two choices.",
            ));
        }
        if choices.len() > MAX_CHOICES {
            return Err(Fault::at(
                line,
                format!("The election has {} choices.", choices.len()),
                format!("At most {MAX_CHOICES} choices can be counted."),
            ));
        }
        let mut positions = HashMap::new();
        for (position, name) in choices.iter().enumerate() {
            if name.trim().is_empty() {
                let what = format!("Choice {} has no name.", position + 1);
                return Err(Fault::at(line, what, "Give every choice a name."));
            }
            if positions.insert(name.clone(), position).is_some() {
                let what = format!("Two choices are called {:?}.", text::clean(name));
                return Err(Fault::at(
                    line,
                    what,
                    "Give every choice a name of its own.",
                ));
            }
        }
        let profile = Profile::new(choices.len());
        Ok(Self {
            title: None,
            choices,
            kind,
            profile,
            settings,
            highest: (0, line),
            positions,
        })
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.positions
            .get(name)
            .or_else(|| self.positions.get(name.trim()))
            .copied()
    }

    pub(super) fn push_ranking(
        &mut self,
        line: usize,
        count: u64,
        ranking: &[usize],
    ) -> Result<(), Fault> {
        let pushed = self.profile.push_choices(count, ranking.iter().copied());
        pushed.map_err(|error| self.invalid(line, error))
    }

    pub(super) fn push_scores(
        &mut self,
        line: usize,
        count: u64,
        scores: &[(usize, u8)],
    ) -> Result<(), Fault> {
        for &(_, score) in scores {
            if score > self.highest.0 {
                self.highest = (score, line);
            }
        }
        let pushed = self.profile.push_scores(count, scores.iter().copied());
        pushed.map_err(|error| self.invalid(line, error))
    }

    fn invalid(&self, line: usize, error: InvalidBallot) -> Fault {
        let name =
            |choice: usize| text::clean(self.choices.get(choice).map_or("?", String::as_str));
        match error {
            InvalidBallot::UnknownChoice(choice) => Fault::at(
                line,
                format!(
                    "The ballot names choice {}, which does not exist.",
                    choice + 1
                ),
                format!("There are {} choices.", self.choices.len()),
            ),
            InvalidBallot::Repeated(choice) => Fault::at(
                line,
                format!("The ballot names {:?} twice.", name(choice)),
                "Name each choice once, or leave it out.",
            ),
            InvalidBallot::TooMany => Fault::at(
                line,
                "There are too many ballots.",
                format!("At most {MAX_BALLOTS} ballots can be counted."),
            ),
        }
    }

    /// The rules and the lot of the count: what the options say, else what the file says.
    pub(super) fn rules(&self, options: &Options) -> Result<(Rules, Option<Vec<usize>>), Failure> {
        let settings = &self.settings;
        let seats = options.seats.or(settings.seats).unwrap_or(1);
        let Some(method) = options
            .method
            .or(settings.method)
            .or_else(|| self.usual_method(seats))
        else {
            return Err(Fault::new(
                "The file does not say how to count.",
                "Add \"method\" to the file, or --method to the command.",
            )
            .into());
        };
        self.check_kind(method, options.method.is_some())?;
        self.check_scores(method)?;
        let seats = if method.has_one_seat() && options.method.is_some() && options.seats.is_none()
        {
            1
        } else {
            seats
        };
        self.check_seats(method, seats, options.seats.is_some())?;
        self.check_threshold()?;
        let lot = self.lot(options)?;
        let usual = if options.lot.is_some() {
            TieBreak::Lot
        } else {
            TieBreak::None
        };
        let rules = Rules {
            method,
            seats,
            quorum: settings.quorum,
            threshold: settings.threshold,
            tie_break: settings.tie_break.unwrap_or(usual),
        };
        Ok((rules, lot))
    }

    /// How formats that have no method are counted.
    const fn usual_method(&self, seats: usize) -> Option<Method> {
        match self.kind {
            BallotKind::Scores => Some(Method::Score),
            BallotKind::Ranking if seats == 1 => Some(Method::InstantRunoff),
            BallotKind::Ranking => Some(Method::SingleTransferableVote),
            BallotKind::Set => None,
        }
    }

    fn check_kind(&self, method: Method, by_option: bool) -> Result<(), Failure> {
        let (has, needs, methods) = match (self.kind, method.ballot_kind()) {
            (BallotKind::Scores, BallotKind::Ranking) => (
                "scores",
                "rankings",
                "score, star, or multiple_choice with scores of 0 and 1",
            ),
            (BallotKind::Ranking | BallotKind::Set, BallotKind::Scores) => (
                "rankings",
                "scores",
                "instant_runoff, single_transferable_vote, ranked_pairs, borda or multiple_choice",
            ),
            _ => return Ok(()),
        };
        let fault = Fault::new(
            format!("{method} counts {needs}, and the ballots have {has}."),
            format!("Choose another method: {methods}."),
        );
        Err(if by_option {
            Failure::Options(fault)
        } else {
            fault.into()
        })
    }

    fn check_scores(&self, method: Method) -> Result<(), Fault> {
        let highest = match method {
            Method::Star => 5,
            Method::MultipleChoice => 1,
            _ => self.settings.max_score.unwrap_or(MAX_SCORE),
        };
        let (score, line) = self.highest;
        if score > highest {
            return Err(Fault::at(
                line,
                format!("The ballot has a score of {score}; {method} takes 0 to {highest} here."),
                "Correct the score, or count with another method.",
            ));
        }
        Ok(())
    }

    fn check_seats(&self, method: Method, seats: usize, by_option: bool) -> Result<(), Failure> {
        let choices = self.choices.len();
        let fault = if method.has_one_seat() && seats != 1 {
            Fault::new(
                format!("{method} has one seat, not {seats}."),
                "Set the seats to 1.",
            )
        } else if seats == 0 || seats >= choices {
            Fault::new(
                format!("There are {seats} seats for {choices} choices."),
                format!("Set the seats to a number from 1 to {}.", choices - 1),
            )
        } else {
            return Ok(());
        };
        Err(if by_option {
            Failure::Options(fault)
        } else {
            fault.into()
        })
    }

    fn check_threshold(&self) -> Result<(), Fault> {
        let Some(threshold) = self.settings.threshold else {
            return Ok(());
        };
        let (numerator, denominator) = (threshold.numerator, threshold.denominator);
        let whole = numerator == denominator;
        if numerator == 0
            || numerator > denominator
            || denominator > 1_000
            || whole && threshold.exceed
        {
            return Err(Fault::new(
                format!("The threshold of {numerator}/{denominator} is not possible."),
                "Take a fraction above 0 and up to 1 (below 1 if it has to be exceeded) with a \
                 denominator of at most 1000.",
            ));
        }
        Ok(())
    }

    /// The order of the lot, as positions of all choices.
    fn lot(&self, options: &Options) -> Result<Option<Vec<usize>>, Failure> {
        if let Some(list) = &options.lot {
            let names = split_names(list).map_err(Failure::Options)?;
            return self.order(&names).map(Some).map_err(Failure::Options);
        }
        let Some((order, line)) = &self.settings.lot else {
            return Ok(None);
        };
        let order = match order {
            LotOrder::Names(names) => self.order(names),
            LotOrder::Numbers(numbers) => self.names(numbers).and_then(|names| self.order(&names)),
        };
        let order = order.map_err(|fault| Fault {
            line: Some(*line),
            ..fault
        })?;
        Ok(Some(order))
    }

    /// The names of the choices with these numbers, counted from 1.
    fn names(&self, numbers: &[usize]) -> Result<Vec<String>, Fault> {
        let name = |number: &usize| {
            let name = number.checked_sub(1);
            let name = name.and_then(|position| self.choices.get(position));
            name.cloned().ok_or_else(|| {
                Fault::new(
                    format!("The lot names choice {number}, which does not exist."),
                    format!("There are {} choices.", self.choices.len()),
                )
            })
        };
        numbers.iter().map(name).collect()
    }

    fn order(&self, names: &[String]) -> Result<Vec<usize>, Fault> {
        let mut order = Vec::new();
        for name in names {
            let position = self.position(name).ok_or_else(|| {
                Fault::new(
                    format!(
                        "The lot names {:?}, which is not a choice.",
                        text::clean(name)
                    ),
                    format!("The choices are {}.", names_as_list(&self.choices)),
                )
            })?;
            if order.contains(&position) {
                let what = format!("The lot names {:?} twice.", text::clean(name));
                return Err(Fault::new(what, "Name every choice once."));
            }
            order.push(position);
        }
        if let Some(missing) = (0..self.choices.len()).find(|position| !order.contains(position)) {
            let what = format!(
                "The lot does not name {:?}.",
                text::clean(&self.choices[missing])
            );
            return Err(Fault::new(
                what,
                "Name all choices in the order in which they were drawn.",
            ));
        }
        Ok(order)
    }
}

/// The highest score that any question allows.
pub(super) const MAX_SCORE: u8 = 100;

/// A score as a file writes it.
pub(super) fn score(line: usize, text: &str, of: &str) -> Result<u8, Fault> {
    let score = text.parse().ok().filter(|&score: &u8| score <= MAX_SCORE);
    score.ok_or_else(|| {
        Fault::at(
            line,
            format!(
                "{:?} is not a score for {:?}.",
                text::clean(text),
                text::clean(of)
            ),
            format!("A score is a whole number from 0 to {MAX_SCORE}."),
        )
    })
}

/// Names separated by commas, where quotes protect a comma in a name.
pub(super) fn split_names(list: &str) -> Result<Vec<String>, Fault> {
    match Records::new(list, ',').next() {
        Some(record) => Ok(record?.1),
        None => Ok(Vec::new()),
    }
}

/// Names as [`split_names`] reads them.
pub(super) fn names_as_list(names: &[String]) -> String {
    let quoted: Vec<String> = names
        .iter()
        .map(|name| {
            let name = text::clean(name);
            if name.contains([',', '"']) {
                format!("\"{}\"", name.replace('"', "\"\""))
            } else {
                name
            }
        })
        .collect();
    let list = quoted.join(",");
    if list.contains([' ', '"', '\'']) {
        format!("'{list}'")
    } else {
        list
    }
}
