//! Questions and choices as clients see and send them.

use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use validator::{Validate, ValidationError};

use crate::clock::Time;
use crate::http::exact;
use crate::page::PageMeta;
use crate::patch::Patch;
use crate::questions::{self, Draft, entity};
use crate::results::{Poll, PollChoice};

/// A question with its choices.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(skip_serializing_if_is_none, example)]
pub struct Question {
    /// The question's id.
    pub id: Uuid,
    /// What people are asked.
    pub question_text: String,
    /// What they should know about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub author: Author,
    /// In their order.
    pub choices: Vec<Choice>,
    /// How many choices a ballot names at least.
    pub min_choices: i32,
    /// How many choices a ballot names at most.
    pub max_choices: i32,
    /// Whether a ballot may be changed or withdrawn.
    pub allow_change: bool,
    pub results_visibility: Visibility,
    /// From when ballots are taken; from the start where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<Time>,
    /// Until when ballots are taken; without end where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closes_at: Option<Time>,
    /// When somebody closed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Time>,
    /// When it was deleted; only its author and admins see it then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Time>,
    pub status: Status,
    /// How many people have voted. Absent while the results are hidden from you.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ballot_count: Option<i64>,
    /// Grows with every change of the question itself; votes leave it.
    pub revision: i32,
    /// When it was asked.
    pub created_at: Time,
    /// When it last changed; votes leave it.
    pub updated_at: Time,
}

/// Who asked.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(skip_serializing_if_is_none)]
pub struct Author {
    /// The account's id.
    pub id: Uuid,
    /// What others see. Absent when the account was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Something to vote for.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(skip_serializing_if_is_none, example)]
pub struct Choice {
    /// The choice's id: what a ballot names.
    pub id: Uuid,
    /// What people can choose.
    pub choice_text: String,
    /// 0 comes first.
    pub position: i32,
    /// How many ballots name it. Absent while the results are hidden from you.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub votes: Option<i64>,
}

/// A page of questions.
#[derive(Debug, Object)]
#[oai(example)]
pub struct QuestionPage {
    /// The questions of this page, in the order of the list.
    pub data: Vec<Question>,
    pub meta: PageMeta,
}

/// The choices of a question, all of them.
#[derive(Debug, Object, Serialize)]
#[oai(example)]
pub struct ChoiceList {
    /// The choices, in their order.
    pub data: Vec<Choice>,
    pub meta: PageMeta,
}

/// Who may see the numbers. The author and admins always may; apart from them:
///
/// - `always`: everyone.
/// - `after_vote`: who has a ballot now, and everyone once it is closed.
/// - `after_close`: everyone once it is closed.
/// - `author`: nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename = "ResultsVisibility", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    Always,
    AfterVote,
    AfterClose,
    Author,
}

/// Whether ballots are taken: not yet (`scheduled`), now (`open`), or no more (`closed`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename = "QuestionStatus", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Scheduled,
    Open,
    Closed,
}

/// A question to be asked.
#[derive(Debug, Clone, Object, Deserialize, Validate)]
#[oai(rename = "QuestionInput", deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "enough_choices", skip_on_field_errors = false))]
pub struct NewQuestion {
    /// What people are asked.
    #[oai(validator(min_length = 1, max_length = 200))]
    #[serde(deserialize_with = "crate::text::normalised")]
    #[validate(length(min = 1, max = 200), custom(function = "crate::text::line"))]
    pub question_text: String,
    /// What they should know about it.
    #[oai(validator(max_length = 2000))]
    #[serde(default, deserialize_with = "crate::text::normalised_if_present")]
    #[validate(length(max = 2000), custom(function = "crate::text::lines"))]
    pub description: Option<String>,
    /// 2 to 100 choices with different texts, in their order.
    #[oai(validator(min_items = 2, max_items = 100))]
    #[serde(deserialize_with = "exact::objects")]
    #[validate(nested)]
    pub choices: Vec<ChoiceText>,
    /// How many choices a ballot names at least; 1 where absent.
    #[oai(
        default = "one",
        validator(minimum(value = "1"), maximum(value = "100"))
    )]
    #[serde(default = "one")]
    #[validate(range(min = 1, max = 100))]
    pub min_choices: i32,
    /// How many choices a ballot names at most; not more than there are, and 1 where absent.
    #[oai(
        default = "one",
        validator(minimum(value = "1"), maximum(value = "100"))
    )]
    #[serde(default = "one")]
    #[validate(range(min = 1, max = 100))]
    pub max_choices: i32,
    /// Whether a ballot may be changed or withdrawn; true where absent.
    #[oai(default = "yes")]
    #[serde(default = "yes")]
    pub allow_change: bool,
    /// Who may see the numbers; `always` where absent.
    #[oai(default = "always")]
    #[serde(default = "always", deserialize_with = "exact::word")]
    pub results_visibility: Visibility,
    /// From when ballots are taken.
    #[serde(default, deserialize_with = "present")]
    pub opens_at: Option<Time>,
    /// Until when ballots are taken; in the future, and later than `opens_at`.
    #[serde(default, deserialize_with = "present")]
    pub closes_at: Option<Time>,
}

/// Not a rule of the field, since that would hide the mistakes in the choices.
fn enough_choices(new: &NewQuestion) -> Result<(), ValidationError> {
    let (min, max) = (questions::MIN_CHOICES, questions::MAX_CHOICES);
    if (min..=max).contains(&new.choices.len()) {
        return Ok(());
    }
    let mut error = ValidationError::new("length");
    error.add_param("at".into(), &"/choices");
    Err(error.with_message(format!("must have {min} to {max} items").into()))
}

/// A choice of a new question.
#[derive(Debug, Clone, Object, Serialize, Deserialize, Validate)]
#[oai(deny_unknown_fields)]
#[serde(deny_unknown_fields)]
pub struct ChoiceText {
    /// What people can choose; unlike the others.
    #[oai(validator(min_length = 1, max_length = 200))]
    #[serde(deserialize_with = "crate::text::normalised")]
    #[validate(length(min = 1, max = 200), custom(function = "crate::text::line"))]
    pub choice_text: String,
}

/// What to change of a question; what is absent stays, and null clears.
#[derive(Debug, Object, Deserialize, Validate)]
#[oai(deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub struct QuestionPatch {
    /// What people are asked; only while nobody has voted.
    #[oai(validator(min_length = 1, max_length = 200))]
    #[serde(default, deserialize_with = "crate::text::normalised_if_present")]
    #[validate(length(min = 1, max = 200), custom(function = "crate::text::line"))]
    pub question_text: Option<String>,
    /// What they should know about it; null removes it.
    #[oai(validator(max_length = 2000))]
    #[serde(default, deserialize_with = "normalised_patch")]
    #[validate(length(max = 2000), custom(function = "lines"))]
    pub description: Patch<String>,
    /// How many choices a ballot names at least; only while nobody has voted.
    #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
    #[serde(default, deserialize_with = "present")]
    #[validate(range(min = 1, max = 100))]
    pub min_choices: Option<i32>,
    /// How many choices a ballot names at most; only while nobody has voted.
    #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
    #[serde(default, deserialize_with = "present")]
    #[validate(range(min = 1, max = 100))]
    pub max_choices: Option<i32>,
    /// Whether a ballot may be changed or withdrawn; only while nobody has voted.
    #[serde(default, deserialize_with = "present")]
    pub allow_change: Option<bool>,
    /// Who may see the numbers; only while nobody has voted.
    #[serde(default, deserialize_with = "exact::word_if_present")]
    pub results_visibility: Option<Visibility>,
    /// From when ballots are taken; only while nobody has voted. Null means from the start.
    #[serde(default)]
    pub opens_at: Patch<Time>,
    /// Until when ballots are taken; in the future. Null means without end.
    #[serde(default)]
    pub closes_at: Patch<Time>,
}

/// A choice to be added.
#[derive(Debug, Object, Deserialize, Validate)]
#[oai(rename = "ChoiceInput", deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub struct NewChoice {
    /// What people can choose; unlike the others.
    #[oai(validator(min_length = 1, max_length = 200))]
    #[serde(deserialize_with = "crate::text::normalised")]
    #[validate(length(min = 1, max = 200), custom(function = "crate::text::line"))]
    pub choice_text: String,
    /// Where it is put; the others move. At the end where absent.
    #[oai(validator(minimum(value = "0"), maximum(value = "99")))]
    #[serde(default, deserialize_with = "present")]
    #[validate(range(min = 0, max = 99))]
    pub position: Option<i32>,
}

/// What to change of a choice; what is absent stays.
#[derive(Debug, Object, Deserialize, Validate)]
#[oai(deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub struct ChoicePatch {
    /// What people can choose; only while nobody has voted.
    #[oai(validator(min_length = 1, max_length = 200))]
    #[serde(default, deserialize_with = "crate::text::normalised_if_present")]
    #[validate(length(min = 1, max = 200), custom(function = "crate::text::line"))]
    pub choice_text: Option<String>,
    /// Where it goes; the others move.
    #[oai(validator(minimum(value = "0"), maximum(value = "99")))]
    #[serde(default, deserialize_with = "present")]
    #[validate(range(min = 0, max = 99))]
    pub position: Option<i32>,
}

/// How voting goes on.
#[derive(Debug, Default, Object, Deserialize, Validate)]
#[oai(deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub struct Reopening {
    /// Until when ballots are taken now; in the future.
    #[serde(default, deserialize_with = "present")]
    pub closes_at: Option<Time>,
}

fn one() -> i32 {
    1
}

fn yes() -> bool {
    true
}

fn always() -> Visibility {
    Visibility::Always
}

/// A value that may be absent but not null.
fn present<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Normalised before it is measured, as in a new question.
fn normalised_patch<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Patch<String>, D::Error> {
    Patch::<String>::deserialize(deserializer)
        .map(|patch| patch.map(|text| crate::text::normalise(&text)))
}

fn lines(patch: &Patch<String>) -> Result<(), ValidationError> {
    patch
        .value()
        .map_or(Ok(()), |text| crate::text::lines(text))
}

impl Question {
    /// What a caller sees of a poll at `now`.
    pub fn of(poll: &Poll, numbers: bool, now: Time) -> Question {
        let question = &poll.question;
        Question {
            id: question.id,
            question_text: question.question_text.clone(),
            description: question.description.clone(),
            author: Author {
                id: question.author_id,
                name: poll.author_name.clone(),
            },
            choices: poll
                .choices
                .iter()
                .map(|choice| Choice::of(choice, numbers))
                .collect(),
            min_choices: question.min_choices,
            max_choices: question.max_choices,
            allow_change: question.allow_change,
            results_visibility: question.results_visibility.into(),
            opens_at: question.opens_at,
            closes_at: question.closes_at,
            closed_at: question.closed_at,
            deleted_at: question.deleted_at,
            status: question.status(now).into(),
            ballot_count: numbers.then_some(poll.ballot_count),
            revision: question.revision,
            created_at: question.created_at,
            updated_at: question.updated_at,
        }
    }
}

impl Choice {
    pub fn of(choice: &PollChoice, numbers: bool) -> Choice {
        Choice {
            id: choice.id,
            choice_text: choice.choice_text.clone(),
            position: choice.position,
            votes: numbers.then_some(choice.votes),
        }
    }
}

impl From<NewQuestion> for Draft {
    fn from(new: NewQuestion) -> Draft {
        Draft {
            question_text: new.question_text,
            description: new.description.filter(|text| !text.is_empty()),
            choices: new
                .choices
                .into_iter()
                .map(|choice| choice.choice_text)
                .collect(),
            min_choices: new.min_choices,
            max_choices: new.max_choices,
            allow_change: new.allow_change,
            results_visibility: new.results_visibility.into(),
            opens_at: new.opens_at,
            closes_at: new.closes_at,
        }
    }
}

impl From<QuestionPatch> for questions::Change {
    fn from(patch: QuestionPatch) -> questions::Change {
        questions::Change {
            question_text: patch.question_text,
            description: match patch.description {
                Patch::Set(text) if text.is_empty() => Patch::Cleared,
                description => description,
            },
            min_choices: patch.min_choices,
            max_choices: patch.max_choices,
            allow_change: patch.allow_change,
            results_visibility: patch.results_visibility.map(Into::into),
            opens_at: patch.opens_at,
            closes_at: patch.closes_at,
        }
    }
}

impl From<Visibility> for entity::Visibility {
    fn from(visibility: Visibility) -> Self {
        match visibility {
            Visibility::Always => entity::Visibility::Always,
            Visibility::AfterVote => entity::Visibility::AfterVote,
            Visibility::AfterClose => entity::Visibility::AfterClose,
            Visibility::Author => entity::Visibility::Author,
        }
    }
}

impl From<entity::Visibility> for Visibility {
    fn from(visibility: entity::Visibility) -> Self {
        match visibility {
            entity::Visibility::Always => Visibility::Always,
            entity::Visibility::AfterVote => Visibility::AfterVote,
            entity::Visibility::AfterClose => Visibility::AfterClose,
            entity::Visibility::Author => Visibility::Author,
        }
    }
}

impl From<entity::Status> for Status {
    fn from(status: entity::Status) -> Self {
        match status {
            entity::Status::Scheduled => Status::Scheduled,
            entity::Status::Open => Status::Open,
            entity::Status::Closed => Status::Closed,
        }
    }
}

impl From<Status> for entity::Status {
    fn from(status: Status) -> Self {
        match status {
            Status::Scheduled => entity::Status::Scheduled,
            Status::Open => entity::Status::Open,
            Status::Closed => entity::Status::Closed,
        }
    }
}
