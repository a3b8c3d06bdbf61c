//! The ballots of a question as a file, which `polls tally` counts to the same outcome.
//!
//! - `Election` is what a file says before the ballots; `csv`, `blt` and `json` write the three
//!   formats.
//! - `contents` reads what ballots say without who has cast them: distinct ballots in the order of
//!   what they say, so that the file does not tell who voted how. Public ballots are read with their
//!   voters instead.

pub mod api;
mod blt;
mod contents;
mod csv;
mod json;

use std::collections::HashMap;

use poem_openapi::Enum;
use uuid::Uuid;

use super::{Poll, Views};
use crate::ballots::roll::{self, SignedBallot};
use crate::db::Db;
use crate::downloads::{Content, Download, Downloads, Pieces};
use crate::failure::{Code, Failure};
use crate::network::Network;
use crate::page::PageRequest;
use crate::questions::{BallotSecrecy, Question};
use crate::tally::{BallotKind, Rules, TieBreak};
use crate::users::Caller;

use contents::Contents;

/// A format of files with ballots.
///
/// - `csv`: a table, for spreadsheets.
/// - `blt`: rankings or sets, as OpenSTV, OpaVote and others exchange them.
/// - `json`: everything that decides the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "ExportFormat", rename_all = "snake_case")]
pub enum Format {
    Csv,
    Blt,
    Json,
}

impl Format {
    /// What the names of such files end with.
    pub const fn extension(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Blt => "blt",
            Format::Json => "json",
        }
    }

    fn form(self) -> Box<dyn Form> {
        match self {
            Format::Csv => Box::new(csv::Csv),
            Format::Blt => Box::new(blt::Blt),
            Format::Json => Box::new(json::Json::default()),
        }
    }
}

/// Writes files of one format.
trait Form: Send {
    /// What comes before the ballots.
    fn begin(&mut self, election: &Election, out: &mut Vec<u8>);

    /// Ballots that are alike, or one with its voter.
    fn ballot(&mut self, election: &Election, ballot: &Ballot<'_>, out: &mut Vec<u8>);

    /// What comes after the ballots.
    fn end(&mut self, election: &Election, out: &mut Vec<u8>);
}

/// What a file says of a question beside its ballots.
struct Election {
    title: String,
    rules: Rules,
    /// The highest score, if ballots have scores.
    max_score: Option<i32>,
    /// In their order.
    choices: Vec<String>,
    /// The positions of the choices in the order of the lot, once it has decided the result.
    lot: Option<Vec<usize>>,
    /// Whether each ballot is written with its voter.
    is_signed: bool,
}

/// What a file says of a ballot.
struct Ballot<'a> {
    /// How many are alike.
    count: u64,
    /// The positions of the choices that it names, best first, each with its rank or score; 1 in a
    /// set.
    marks: Vec<(usize, i32)>,
    /// Who has cast it, if that is public.
    signed: Option<&'a SignedBallot>,
}

impl Election {
    fn of(poll: &Poll, lot: Option<Vec<usize>>, is_signed: bool) -> Election {
        let question = &poll.question;
        let is_scored = question.method.ballot_kind() == BallotKind::Scores;
        let choices = poll.choices.iter();
        Election {
            title: question.question_text.clone(),
            rules: question.rules(),
            max_score: is_scored.then(|| question.effective_max_score()),
            choices: choices.map(|choice| choice.choice_text.clone()).collect(),
            lot,
            is_signed,
        }
    }

    /// The settings as `polls tally` reads them in the comments of `.csv` and `.blt` files.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let rules = &self.rules;
        let mut settings = vec![
            ("method", rules.method.to_string()),
            ("seats", rules.seats.to_string()),
        ];
        settings.extend(self.max_score.map(|score| ("max_score", score.to_string())));
        settings.extend(rules.quorum.map(|quorum| ("quorum", quorum.to_string())));
        settings.extend(rules.threshold.map(|part| ("threshold", part.to_string())));
        let tie_break = rules.tie_break == TieBreak::Lot;
        settings.extend(tie_break.then(|| ("tie_break", "lot".to_owned())));
        settings.extend(self.lot.as_ref().map(|lot| {
            let numbers = lot.iter().map(|position| (position + 1).to_string());
            ("lot_numbers", numbers.collect::<Vec<_>>().join(" "))
        }));
        settings
    }
}

/// Exports of questions. Clones share the turns of their downloads.
#[derive(Clone)]
pub struct Exports {
    db: Db,
    views: Views,
    downloads: Downloads,
}

/// A file that is being written.
pub struct Export {
    /// The text of the question.
    pub title: String,
    pub download: Download,
}

impl Exports {
    pub fn new(db: Db, views: Views, downloads: Downloads) -> Exports {
        Exports {
            db,
            views,
            downloads,
        }
    }

    /// Begins to write the ballots on a question, for its author or an admin, once voting has ended.
    /// Public ballots are written at any time, and with their voters where the format has room for
    /// them. [`Code::VotingOpen`], [`Code::Forbidden`], [`Code::FormatUnavailable`].
    pub async fn begin(
        &self,
        id: Uuid,
        format: Format,
        caller: Caller,
        network: Network,
    ) -> Result<Export, Failure> {
        let mut view = self.views.find(id, Some(caller)).await?;
        require(&view.poll.question, format, caller)?;
        let mut lot = None;
        if may_be_drawn(&view.poll.question) {
            view = self.views.counted(view).await?;
            // It may have been changed meanwhile.
            require(&view.poll.question, format, caller)?;
            if view.count()?.outcome.decided_by_lot {
                lot = drawn(&view.poll);
            }
        }
        let poll = &view.poll;
        let is_public = poll.question.ballot_secrecy == BallotSecrecy::Public;
        let writing = Writing {
            db: self.db.clone(),
            election: Election::of(poll, lot, is_public && format != Format::Blt),
            form: format.form(),
            source: match is_public {
                true => Source::Signed(Signed::of(poll)),
                false => Source::Contents(Contents::of(&self.db, poll).await?),
            },
        };
        Ok(Export {
            title: poll.question.question_text.clone(),
            download: self.downloads.begin(network, writing).await?,
        })
    }
}

fn require(question: &Question, format: Format, caller: Caller) -> Result<(), Failure> {
    if !question.may_be_changed_by(caller) {
        let detail = "Only the author of a question, or an admin, may export its ballots.";
        return Err(Failure::new(Code::Forbidden, detail));
    }
    if question.ballot_secrecy != BallotSecrecy::Public {
        roll::require_final(question)?;
    }
    if format == Format::Blt && question.method.ballot_kind() == BallotKind::Scores {
        let detail = "BLT files have rankings, and this question's ballots are scores. Take CSV or \
                      JSON.";
        return Err(Failure::new(Code::FormatUnavailable, detail));
    }
    Ok(())
}

/// Whether the lot may have decided the result.
fn may_be_drawn(question: &Question) -> bool {
    question.is_final() && question.effective_tie_break() == TieBreak::Lot
}

/// The positions of the choices in the order of the lot.
fn drawn(poll: &Poll) -> Option<Vec<usize>> {
    let seed = poll.question.lot_seed?;
    Some(seed.order(&poll.votes().collect::<Vec<_>>()))
}

/// A file that is written piece by piece.
struct Writing {
    db: Db,
    election: Election,
    form: Box<dyn Form>,
    source: Source,
}

/// Where the ballots come from.
enum Source {
    Contents(Contents),
    Signed(Signed),
}

impl Content for Writing {
    async fn write(mut self, pieces: &mut Pieces) -> Result<(), Failure> {
        let (form, election) = (&mut self.form, &self.election);
        pieces.write(|out| form.begin(election, out)).await;
        match self.source {
            Source::Contents(mut contents) => loop {
                let turn = pieces.turn().await?;
                let some = contents.next(&self.db).await?;
                drop(turn);
                if some.is_empty() {
                    break;
                }
                for (content, count) in some.iter() {
                    let ballot = Ballot {
                        count,
                        marks: contents.marks(content),
                        signed: None,
                    };
                    pieces
                        .write(|out| form.ballot(election, &ballot, out))
                        .await;
                }
            },
            Source::Signed(mut signed) => loop {
                let turn = pieces.turn().await?;
                let some = signed.next(&self.db).await?;
                drop(turn);
                if some.is_empty() {
                    break;
                }
                for one in &some {
                    let ballot = Ballot {
                        count: 1,
                        marks: signed.marks(one),
                        signed: Some(one).filter(|_| election.is_signed),
                    };
                    pieces
                        .write(|out| form.ballot(election, &ballot, out))
                        .await;
                }
            },
        }
        pieces.write(|out| form.end(election, out)).await;
        Ok(())
    }
}

/// The ballots on a question with their voters, a page at a time. What people change meanwhile is in
/// the file or is not.
struct Signed {
    question: Uuid,
    kind: BallotKind,
    /// The positions of the choices.
    positions: HashMap<Uuid, usize>,
    /// None after the last page.
    next: Option<PageRequest>,
}

/// How many ballots are read at once.
const SIGNED_PAGE: u32 = 500;

impl Signed {
    fn of(poll: &Poll) -> Signed {
        let choices = poll.choices.iter().enumerate();
        let first = PageRequest {
            after: None,
            limit: SIGNED_PAGE,
        };
        Signed {
            question: poll.question.id,
            kind: poll.question.method.ballot_kind(),
            positions: choices
                .map(|(position, choice)| (choice.id, position))
                .collect(),
            next: Some(first),
        }
    }

    /// The next ballots; none after the last.
    async fn next(&mut self, db: &Db) -> Result<Vec<SignedBallot>, Failure> {
        let Some(page) = self.next.take() else {
            return Ok(Vec::new());
        };
        let ballots = roll::signed(db.read(), self.question, page).await?;
        self.next = ballots.next.map(|last| PageRequest {
            after: Some(last),
            ..page
        });
        Ok(ballots.items)
    }

    fn marks(&self, ballot: &SignedBallot) -> Vec<(usize, i32)> {
        // A choice that was added meanwhile is not in the head of the file.
        let marks = ballot.marks.iter();
        let marks = marks.filter_map(|(id, value)| Some((*self.positions.get(id)?, *value)));
        let mut marks: Vec<(usize, i32)> = marks.collect();
        match self.kind {
            BallotKind::Set => marks.sort_unstable(),
            BallotKind::Ranking => marks.sort_unstable_by_key(|(_, rank)| *rank),
            BallotKind::Scores => {
                marks.sort_unstable_by_key(|(position, score)| (-score, *position));
            }
        }
        marks
    }
}
