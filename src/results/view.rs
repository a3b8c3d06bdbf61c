//! What is shown of one question: a poll as it was read, and the answers made from it.

use std::sync::{Arc, OnceLock};

use serde::Serialize;
use uuid::Uuid;

use super::objects::{ChoiceList, Question};
use super::{BallotResults, Poll, Results, counts, picture};
use crate::clock::Time;
use crate::failure::Failure;
use crate::questions::choices;
use crate::rendered::{Rendered, entity_tag};
use crate::tally::Count;

/// A poll as it was at one moment, and the answers made from it.
#[derive(Debug)]
pub struct View {
    pub poll: Arc<Poll>,
    /// When it was read, or found to be unchanged.
    pub read_at: Time,
    /// Whether the last two queries found the same poll.
    pub(super) is_unchanged: bool,
    answers: Arc<Answers>,
    count: Arc<OnceLock<Arc<Count>>>,
    results: OnceLock<Rendered>,
    explained_results: OnceLock<Rendered>,
    ballot_results: OnceLock<Rendered>,
}

/// The answers that stay the same until the poll changes, or its status.
#[derive(Debug, Default)]
struct Answers {
    with_numbers: OnceLock<Rendered>,
    without_numbers: OnceLock<Rendered>,
    picture: OnceLock<Rendered>,
    card: OnceLock<Rendered>,
}

impl View {
    /// A poll that was read at `now`.
    pub(super) fn new(poll: Poll, now: Time, is_unchanged: bool) -> View {
        View {
            poll: Arc::new(poll),
            read_at: now,
            is_unchanged,
            answers: Arc::default(),
            count: Arc::default(),
            results: OnceLock::new(),
            explained_results: OnceLock::new(),
            ballot_results: OnceLock::new(),
        }
    }

    /// A poll that was read at `now` and counted.
    pub(super) fn counted(poll: Poll, now: Time, count: Arc<Count>) -> View {
        let view = View::new(poll, now, false);
        view.complete(count);
        view
    }

    /// Whether there is a count, or the sums are enough for one.
    pub(super) fn is_counted(&self) -> bool {
        self.count.get().is_some() || !self.poll.question.method.needs_profile()
    }

    /// Gives it the count of its ballots.
    pub(super) fn complete(&self, count: Arc<Count>) {
        // If another request was first, its count is the same.
        let _ = self.count.set(count);
    }

    /// Fails unless [it is counted](View::is_counted).
    pub(super) fn count(&self) -> Result<&Count, Failure> {
        if !self.is_counted() {
            return Err(Failure::internal(
                "the ballots of a question are not counted",
            ));
        }
        let by_sums = || Arc::new(counts::by_sums(&self.poll));
        Ok(self.count.get_or_init(by_sums))
    }

    /// The same poll, which was found to be unchanged at the later time `now`.
    pub(super) fn unchanged_at(&self, now: Time) -> View {
        let question = &self.poll.question;
        let answers = match question.status(now) == question.status(self.read_at) {
            true => self.answers.clone(),
            false => Arc::default(),
        };
        View {
            poll: self.poll.clone(),
            read_at: now,
            is_unchanged: true,
            answers,
            count: self.count.clone(),
            results: OnceLock::new(),
            explained_results: OnceLock::new(),
            ballot_results: OnceLock::new(),
        }
    }

    /// The question, with its numbers or without.
    pub fn question(&self, with_numbers: bool) -> Result<Rendered, Failure> {
        let rendered = if with_numbers {
            &self.answers.with_numbers
        } else {
            &self.answers.without_numbers
        };
        once(rendered, || {
            let question = Question::of(&self.poll, with_numbers, self.read_at);
            Rendered::tagged(&question, question.revision)
        })
    }

    /// The results, with an explanation or without, once the ballots [are
    /// counted](super::Views::counted).
    pub fn results(&self, explained: bool) -> Result<Rendered, Failure> {
        let rendered = match explained {
            true => &self.explained_results,
            false => &self.results,
        };
        once(rendered, || {
            let results = |at| Ok(Results::of(&self.poll, self.count()?, explained, at));
            self.timed(results)
        })
    }

    /// The results beside a ballot, which need no count.
    pub fn ballot_results(&self) -> Result<Rendered, Failure> {
        once(&self.ballot_results, || {
            self.timed(|at| Ok(BallotResults::of(&self.poll, at)))
        })
    }

    /// What was read at a time. Its tag leaves the time out, and so is weak.
    fn timed<T: Serialize>(
        &self,
        results: impl Fn(Time) -> Result<T, Failure>,
    ) -> Result<Rendered, Failure> {
        let rendered = Rendered::plain(&results(self.read_at)?)?;
        let timeless = Rendered::plain(&results(Time(0))?)?;
        let tag = entity_tag(self.poll.question.revision, &timeless.body);
        Ok(rendered.with_etag(format!("W/{tag}")))
    }

    /// The results as a picture, in SVG, once the ballots [are counted](super::Views::counted); without
    /// numbers a picture that says why.
    pub fn picture(&self, with_numbers: bool) -> Result<Rendered, Failure> {
        let rendered = match with_numbers {
            true => &self.answers.picture,
            false => &self.answers.card,
        };
        once(rendered, || {
            let question = &self.poll.question;
            let picture = if with_numbers {
                let results = Results::of(&self.poll, self.count()?, false, self.read_at);
                picture::picture(&question.question_text, &results)
            } else {
                picture::card(question, self.read_at)
            };
            let tag = entity_tag(question.revision, picture.as_bytes());
            Ok(Rendered::picture(picture, tag))
        })
    }

    /// The choices, with their votes or without.
    pub fn choices(&self, with_numbers: bool) -> Result<Rendered, Failure> {
        Rendered::plain(&ChoiceList::of(&self.poll, with_numbers))
    }

    /// One choice, with its votes or without. Its tag has the revision of the question.
    pub fn choice(&self, id: Uuid, with_numbers: bool) -> Result<Rendered, Failure> {
        let choice = self.poll.choices.iter().find(|choice| choice.id == id);
        let choice = choice.ok_or_else(choices::not_found)?.shown(with_numbers);
        Rendered::tagged(&choice, self.poll.question.revision)
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.poll.question.deleted_at.is_some()
    }
}

/// The answer in `cell`, rendered first if nobody has asked for it yet.
fn once(
    cell: &OnceLock<Rendered>,
    render: impl FnOnce() -> Result<Rendered, Failure>,
) -> Result<Rendered, Failure> {
    if let Some(rendered) = cell.get() {
        return Ok(rendered.clone());
    }
    let rendered = render()?.for_many();
    Ok(cell.get_or_init(|| rendered).clone())
}

#[cfg(test)]
mod tests {
    use poem_openapi::types::Example as _;

    use super::*;

    #[test]
    fn what_the_clock_does_not_change_is_rendered_once() {
        let end = Time(100);
        let mut poll = Poll::example();
        poll.question.closes_at = Some(end);
        let view = View::new(poll, Time(10), false);
        let rendered = |view: &View| view.question(true).unwrap().body;
        let later = view.unchanged_at(Time(99));
        assert_eq!(rendered(&later).as_ptr(), rendered(&view).as_ptr());
        let closed = view.unchanged_at(end);
        assert_ne!(rendered(&closed), rendered(&view));
        assert!(!view.is_unchanged && later.is_unchanged);
        // The results tell when they were read.
        let results = |view: &View| view.results(false).unwrap();
        assert_ne!(results(&later).body, results(&view).body);
        assert_eq!(results(&later).etag, results(&view).etag);
    }
}
