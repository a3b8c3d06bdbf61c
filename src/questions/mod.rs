//! Questions and their choices: what people vote on.
//!
//! What ballots forbid (a new text, fewer choices) is checked while all slots of the question are
//! held, so that no ballot can come in between; see [`slot`].

pub mod api;
pub mod choice;
pub mod choices;
pub mod closing;
pub mod document;
pub mod entity;
mod facet;
pub mod list;
pub mod quota;
pub mod search;
pub mod slot;
pub mod term;
pub mod usage;

use std::collections::BTreeSet;

use sea_orm::entity::prelude::*;
use sea_orm::{IntoActiveModel as _, Set};

use crate::clock::{Clock, Time};
use crate::db::{self, Db, Transaction};
use crate::failure::{Code, Failure, FieldError};
use crate::patch::Patch;
use crate::precondition::IfMatch;
use crate::users::Caller;

pub use entity::{Model as Question, Status, Visibility};
pub use quota::Quotas;
use quota::Use;

/// A question as its author writes it. Texts are normalised and within their limits.
#[derive(Debug, Clone)]
pub struct Draft {
    pub question_text: String,
    pub description: Option<String>,
    /// 2 to 100 texts.
    pub choices: Vec<String>,
    pub min_choices: i32,
    pub max_choices: i32,
    pub allow_change: bool,
    pub results_visibility: Visibility,
    pub opens_at: Option<Time>,
    pub closes_at: Option<Time>,
}

/// What to change of a question; `None` leaves as it is.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub question_text: Option<String>,
    pub description: Patch<String>,
    pub min_choices: Option<i32>,
    pub max_choices: Option<i32>,
    pub allow_change: Option<bool>,
    pub results_visibility: Option<Visibility>,
    pub opens_at: Patch<Time>,
    pub closes_at: Patch<Time>,
}

/// Asks a question, with its choices, all or nothing. [`Code::QuotaExceeded`].
pub async fn create(
    db: &Db,
    clock: &Clock,
    quotas: Quotas,
    author: Uuid,
    draft: Draft,
) -> Result<Uuid, Failure> {
    let used = Use::of_draft(&draft);
    let new = New::of(author, draft, clock.now())?;
    let new = &new;
    db.write(|transaction| async move {
        let charged = quotas.charge(&transaction, author, used, clock.now());
        charged.await?;
        insert(&transaction, clock, std::slice::from_ref(new)).await
    })
    .await?;
    Ok(new.question.id)
}

/// How many questions [`create_all`] takes: SQLite's statements have room for 32,766 values.
pub const MOST_AT_ONCE: usize = 50;

/// Asks up to [`MOST_AT_ONCE`] questions, each with its author, all or nothing. For operators: no
/// quota counts them.
pub async fn create_all(
    db: &Db,
    clock: &Clock,
    drafts: impl IntoIterator<Item = (Uuid, Draft)>,
) -> Result<Vec<Uuid>, Failure> {
    let now = clock.now();
    let new = drafts
        .into_iter()
        .map(|(author, draft)| New::of(author, draft, now));
    let new = new.collect::<Result<Vec<New>, Failure>>()?;
    let all = &new;
    db.write(|transaction| async move { insert(&transaction, clock, all).await })
        .await?;
    Ok(new.iter().map(|new| new.question.id).collect())
}

/// A question that is not stored yet.
struct New {
    question: Question,
    choices: Vec<choice::Model>,
    terms: BTreeSet<String>,
}

impl New {
    fn of(author: Uuid, draft: Draft, now: Time) -> Result<New, Failure> {
        let errors = mistakes(&draft, now);
        if !errors.is_empty() {
            return Err(Failure::invalid(errors));
        }
        let question = Question {
            id: now.new_id(),
            author_id: author,
            question_text: draft.question_text,
            description: draft.description,
            min_choices: draft.min_choices,
            max_choices: draft.max_choices,
            allow_change: draft.allow_change,
            results_visibility: draft.results_visibility,
            opens_at: draft.opens_at,
            closes_at: draft.closes_at,
            closes_order: closes_order(draft.closes_at),
            closed_at: None,
            sealed_at: None,
            deleted_at: None,
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        let choices = (0..)
            .zip(draft.choices)
            .map(|(position, choice_text)| choice::Model {
                id: now.new_id(),
                question_id: question.id,
                choice_text,
                position,
            })
            .collect();
        let terms = search::terms(&question.question_text);
        Ok(New {
            question,
            choices,
            terms,
        })
    }
}

async fn insert(transaction: &Transaction, clock: &Clock, new: &[New]) -> Result<(), Failure> {
    // The time of writing, so that a page of the newest never misses what is on its way.
    let new: Vec<(&New, Time)> = new.iter().map(|new| (new, clock.now())).collect();
    let questions = new.iter().map(|&(new, now)| {
        let mut row = new.question.clone();
        (row.created_at, row.updated_at) = (now, now);
        row.into_active_model()
    });
    entity::Entity::insert_many(questions)
        .exec_without_returning(transaction)
        .await?;
    let choices = new.iter().flat_map(|(new, _)| &new.choices).cloned();
    choice::Entity::insert_many(choices.map(choice::Model::into_active_model))
        .exec_without_returning(transaction)
        .await?;
    let terms = new
        .iter()
        .flat_map(|&(new, now)| terms_of(new.question.id, now, &new.terms));
    insert_terms(transaction, terms.collect()).await
}

/// Which fields of a draft contradict each other, or come too late at `now`.
pub fn mistakes(draft: &Draft, now: Time) -> Vec<FieldError> {
    let mut errors = choices::repeated(&draft.choices);
    errors.extend(contradictions(
        draft.min_choices..=draft.max_choices,
        draft.choices.len(),
        draft.opens_at,
        draft.closes_at,
        now,
    ));
    errors
}

/// Changes a question. Once a ballot exists, only its description and its end can be changed.
pub async fn update(
    db: &Db,
    clock: &Clock,
    quotas: Quotas,
    caller: Caller,
    id: Uuid,
    if_match: &IfMatch,
    change: Change,
) -> Result<(), Failure> {
    let change = &change;
    db.write(|transaction| async move {
        let before = without_ballots(&transaction, caller, id, if_match).await?;
        let now = clock.now();
        let after = changed(&before, change.clone());
        if after == before {
            return Ok(());
        }
        if after.closes_at != before.closes_at && before.status(now) == Status::Closed {
            return Err(closed(&before).detail("Reopen the question to give it another end."));
        }
        if settled(&after) != settled(&before) && slot::has_ballots(&transaction, id).await? {
            return Err(has_ballots());
        }
        let count = choices::of(&transaction, id).await?.len();
        let errors = contradictions_of_change(&before, &after, count, now);
        if !errors.is_empty() {
            return Err(Failure::invalid(errors));
        }
        let used = Use::of_change(&before, &after);
        quotas
            .charge(&transaction, before.author_id, used, now)
            .await?;
        if after.question_text != before.question_text {
            let terms = search::terms(&after.question_text);
            store_terms(&transaction, id, before.created_at, &terms).await?;
        }
        save(&transaction, after, now).await
    })
    .await
}

/// The question, for one who may change it: its author or an admin.
pub async fn for_change(
    transaction: &Transaction,
    caller: Caller,
    id: Uuid,
    if_match: &IfMatch,
) -> Result<Question, Failure> {
    let question = owned(transaction, caller, id).await?;
    if question.deleted_at.is_some() {
        return Err(Failure::new(
            Code::NotFound,
            "The question is deleted; restore it first.",
        ));
    }
    if_match.check(question.revision)?;
    Ok(question)
}

/// The question, deleted or not, for its author or an admin.
async fn owned(transaction: &Transaction, caller: Caller, id: Uuid) -> Result<Question, Failure> {
    let question = db::lock(transaction, entity::Entity::find_by_id(id));
    let question = question.one(transaction).await?.ok_or_else(not_found)?;
    if question.may_be_changed_by(caller) {
        Ok(question)
    } else if question.deleted_at.is_some() {
        Err(not_found())
    } else {
        let detail = "Only the author of a question, or an admin, may change it.";
        Err(Failure::new(Code::Forbidden, detail))
    }
}

/// The question for a change that ballots may forbid: none comes in until the commit.
async fn without_ballots(
    transaction: &Transaction,
    caller: Caller,
    id: Uuid,
    if_match: &IfMatch,
) -> Result<Question, Failure> {
    for_change(transaction, caller, id, if_match).await?;
    slot::take_all(transaction, id).await?;
    // What was read before the slots were held may have changed while waiting for them.
    for_change(transaction, caller, id, if_match).await
}

/// Stores a changed question as its next revision, unless somebody else was faster: then the
/// transaction begins anew.
pub(crate) async fn save(
    transaction: &Transaction,
    mut question: Question,
    now: Time,
) -> Result<(), Failure> {
    let (id, seen) = (question.id, question.revision);
    question.closes_order = closes_order(question.closes_at);
    question.revision += 1;
    question.updated_at = now;
    let stored = entity::Entity::update_many()
        .set(question.into_active_model().reset_all())
        .filter(entity::Column::Id.eq(id))
        .filter(entity::Column::Revision.eq(seen))
        .exec(transaction)
        .await?;
    if stored.rows_affected == 0 {
        return Err(DbErr::RecordNotUpdated.into());
    }
    Ok(())
}

pub fn not_found() -> Failure {
    Failure::not_found("question")
}

pub fn has_ballots() -> Failure {
    Failure::new(
        Code::HasBallots,
        "People have voted already; description, closes_at and the choices' positions can still be changed.",
    )
}

/// Why no ballot is taken at `now`, if none is.
pub fn not_open(question: &Question, now: Time) -> Option<Failure> {
    match question.status(now) {
        Status::Open => None,
        Status::Closed => Some(closed(question)),
        Status::Scheduled => {
            let opens_at = question
                .opens_at
                .map(|time| time.to_string())
                .unwrap_or_default();
            let detail = format!("Voting on this question opens at {opens_at}.");
            Some(Failure::new(Code::VotingNotOpen, detail))
        }
    }
}

fn closed(question: &Question) -> Failure {
    let ended_at = question
        .ended_at()
        .map(|time| time.to_string())
        .unwrap_or_default();
    Failure::new(
        Code::VotingClosed,
        format!("Voting on this question closed at {ended_at}."),
    )
}

fn closes_order(closes_at: Option<Time>) -> Time {
    closes_at.unwrap_or(Time(i64::MAX))
}

fn changed(before: &Question, change: Change) -> Question {
    let mut after = before.clone();
    let Change {
        question_text,
        min_choices,
        max_choices,
        allow_change,
        ..
    } = change;
    after.question_text = question_text.unwrap_or(after.question_text);
    after.min_choices = min_choices.unwrap_or(after.min_choices);
    after.max_choices = max_choices.unwrap_or(after.max_choices);
    after.allow_change = allow_change.unwrap_or(after.allow_change);
    after.results_visibility = change
        .results_visibility
        .unwrap_or(after.results_visibility);
    change.description.apply(&mut after.description);
    change.opens_at.apply(&mut after.opens_at);
    change.closes_at.apply(&mut after.closes_at);
    after
}

/// What people rely on when they vote.
fn settled(question: &Question) -> (&str, i32, i32, bool, Visibility, Option<Time>) {
    (
        &question.question_text,
        question.min_choices,
        question.max_choices,
        question.allow_change,
        question.results_visibility,
        question.opens_at,
    )
}

/// Which fields contradict each other, given how many of how many choices a ballot names.
fn contradictions(
    named: std::ops::RangeInclusive<i32>,
    choices: usize,
    opens_at: Option<Time>,
    closes_at: Option<Time>,
    now: Time,
) -> Vec<FieldError> {
    let (min, max) = (*named.start(), *named.end());
    let mut errors = Vec::new();
    if usize::try_from(max).is_ok_and(|max| max > choices) {
        let message = format!("must be at most the number of choices, which is {choices}");
        errors.push(FieldError::new("/max_choices", "range", message));
    }
    if min > max {
        let message = format!("must be at most max_choices, which is {max}");
        errors.push(FieldError::new("/min_choices", "range", message));
    }
    if closes_at.is_some_and(|closes_at| closes_at <= now) {
        let message = "must lie in the future; to end voting now, close the question";
        errors.push(FieldError::new("/closes_at", "past", message));
    } else if closes_at.is_some() && opens_at >= closes_at {
        let message = "must be later than opens_at";
        errors.push(FieldError::new("/closes_at", "order", message));
    }
    errors
}

/// The same for a changed question; an end that has passed before is not the change's mistake.
fn contradictions_of_change(
    before: &Question,
    after: &Question,
    choices: usize,
    now: Time,
) -> Vec<FieldError> {
    let named = after.min_choices..=after.max_choices;
    let mut errors = contradictions(named, choices, after.opens_at, after.closes_at, now);
    if after.closes_at == before.closes_at {
        errors.retain(|error| error.code != "past");
    }
    errors
}

async fn store_terms(
    transaction: &Transaction,
    question: Uuid,
    created_at: Time,
    terms: &BTreeSet<String>,
) -> Result<(), Failure> {
    term::Entity::delete_many()
        .filter(term::Column::QuestionId.eq(question))
        .exec(transaction)
        .await?;
    let terms = terms_of(question, created_at, terms);
    insert_terms(transaction, terms.collect()).await
}

fn terms_of(
    question: Uuid,
    created_at: Time,
    terms: &BTreeSet<String>,
) -> impl Iterator<Item = term::ActiveModel> {
    terms.iter().map(move |term| term::ActiveModel {
        term: Set(term.clone()),
        created_at: Set(created_at),
        question_id: Set(question),
    })
}

async fn insert_terms(
    transaction: &Transaction,
    terms: Vec<term::ActiveModel>,
) -> Result<(), Failure> {
    if terms.is_empty() {
        return Ok(());
    }
    term::Entity::insert_many(terms)
        .exec_without_returning(transaction)
        .await?;
    Ok(())
}

impl Question {
    pub fn may_be_changed_by(&self, caller: Caller) -> bool {
        self.author_id == caller.id || caller.is_admin()
    }
}

/// The fewest choices a question may have.
pub const MIN_CHOICES: usize = 2;
/// The most choices a question may have.
pub const MAX_CHOICES: usize = 100;
