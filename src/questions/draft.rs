//! A question as its author sends it, and changes of a question: limits, and which values
//! contradict each other.

use std::collections::HashMap;

use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::{Deserialize, Deserializer};
use uuid::Uuid;
use validator::{Validate, ValidationError};

use super::entity::closes_order;
use super::{Question, Visibility};
use crate::clock::Time;
use crate::failure::{FieldError, Rule};
use crate::input::{Line, Lines, Number, exact, present};
use crate::patch::Patch;
use crate::text;

/// The fewest choices that a question may have.
pub const MIN_CHOICES: usize = 2;
/// The most choices that a question may have.
pub const MAX_CHOICES: usize = 100;

pub type QuestionText = Line<1, 200>;
pub type Description = Lines<2000>;
pub type ChoiceText = Line<1, 200>;
/// How many choices a ballot names.
pub type BallotSize = Number<1, { MAX_CHOICES as i32 }>;

/// A question to be asked.
#[derive(Debug, Clone, Object, Deserialize, Validate)]
#[oai(rename = "QuestionInput", deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "enough_choices", skip_on_field_errors = false))]
pub struct Draft {
    /// What people are asked.
    #[validate(nested)]
    pub question_text: QuestionText,
    /// What they should know about it.
    #[serde(default, deserialize_with = "none_if_empty")]
    #[validate(nested)]
    pub description: Option<Description>,
    /// 2 to 100 choices with different texts, in their order.
    #[oai(validator(min_items = 2, max_items = 100))]
    #[serde(deserialize_with = "exact::objects")]
    #[validate(nested)]
    pub choices: Vec<DraftChoice>,
    /// How many choices a ballot names at least; 1 where absent.
    #[oai(default = "one")]
    #[serde(default = "one")]
    #[validate(nested)]
    pub min_choices: BallotSize,
    /// How many choices a ballot names at most; not more than there are, and 1 where absent.
    #[oai(default = "one")]
    #[serde(default = "one")]
    #[validate(nested)]
    pub max_choices: BallotSize,
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

/// A choice of a new question.
#[derive(Debug, Clone, Object, Deserialize, Validate)]
#[oai(rename = "ChoiceText", deny_unknown_fields)]
#[serde(deny_unknown_fields)]
pub struct DraftChoice {
    /// What people can choose; unlike the others.
    #[validate(nested)]
    pub choice_text: ChoiceText,
}

/// What to change of a question; what is absent stays, and null clears.
#[derive(Debug, Clone, Default, Object, Deserialize, Validate)]
#[oai(deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub struct QuestionPatch {
    /// What people are asked; only while nobody has voted.
    #[serde(default, deserialize_with = "present")]
    #[validate(nested)]
    pub question_text: Option<QuestionText>,
    /// What they should know about it; null removes it.
    #[serde(default, deserialize_with = "cleared_if_empty")]
    #[validate(nested)]
    pub description: Patch<Description>,
    /// How many choices a ballot names at least; only while nobody has voted.
    #[serde(default, deserialize_with = "present")]
    #[validate(nested)]
    pub min_choices: Option<BallotSize>,
    /// How many choices a ballot names at most; only while nobody has voted.
    #[serde(default, deserialize_with = "present")]
    #[validate(nested)]
    pub max_choices: Option<BallotSize>,
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

impl Draft {
    /// A question of which everybody may choose one, for ever.
    pub fn new(question_text: &str, choices: impl IntoIterator<Item: AsRef<str>>) -> Draft {
        let choices = choices.into_iter().map(|text| DraftChoice {
            choice_text: ChoiceText::new(text.as_ref()),
        });
        Draft {
            question_text: QuestionText::new(question_text),
            description: None,
            choices: choices.collect(),
            min_choices: one(),
            max_choices: one(),
            allow_change: yes(),
            results_visibility: always(),
            opens_at: None,
            closes_at: None,
        }
    }

    /// The question that `author` asks at `now`.
    pub fn question(&self, author: Uuid, now: Time) -> Question {
        let draft = self.clone();
        Question {
            id: now.new_id(),
            author_id: author,
            question_text: draft.question_text.into(),
            description: draft.description.map(Into::into),
            min_choices: draft.min_choices.0,
            max_choices: draft.max_choices.0,
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
        }
    }

    /// Which fields contradict each other, or come too late at `now`.
    pub(super) fn contradictions(&self, now: Time) -> Vec<FieldError> {
        let mut errors = self.repeated_choices();
        errors.extend(contradictions(
            (self.min_choices.0, self.max_choices.0),
            self.choices.len(),
            (self.opens_at, self.closes_at),
            now,
        ));
        errors
    }

    /// The choices that look like an earlier one.
    fn repeated_choices(&self) -> Vec<FieldError> {
        let mut first = HashMap::new();
        let mut errors = Vec::new();
        for (index, choice) in self.choices.iter().enumerate() {
            let appearance = text::appearance(&choice.choice_text);
            let earlier = *first.entry(appearance).or_insert(index);
            if earlier != index {
                let same = earlier + 1;
                let message =
                    format!("must differ from the other choices; choice {same} is the same");
                let pointer = format!("/choices/{index}/choice_text");
                errors.push(FieldError::new(pointer, Rule::Unique, message));
            }
        }
        errors
    }
}

impl QuestionPatch {
    /// The question with these changes.
    pub(super) fn applied_to(&self, before: &Question) -> Question {
        let (patch, mut after) = (self.clone(), before.clone());
        if let Some(question_text) = patch.question_text {
            after.question_text = question_text.into();
        }
        patch
            .description
            .map(Into::into)
            .apply(&mut after.description);
        if let Some(min_choices) = patch.min_choices {
            after.min_choices = min_choices.0;
        }
        if let Some(max_choices) = patch.max_choices {
            after.max_choices = max_choices.0;
        }
        after.allow_change = patch.allow_change.unwrap_or(before.allow_change);
        after.results_visibility = patch
            .results_visibility
            .unwrap_or(before.results_visibility);
        patch.opens_at.apply(&mut after.opens_at);
        patch.closes_at.apply(&mut after.closes_at);
        after
    }
}

/// Which fields of a changed question contradict each other. An end that had passed before the
/// change is no mistake of the change.
pub(super) fn contradictions_of_change(
    before: &Question,
    after: &Question,
    choices: usize,
    now: Time,
) -> Vec<FieldError> {
    let sizes = (after.min_choices, after.max_choices);
    let mut errors = contradictions(sizes, choices, (after.opens_at, after.closes_at), now);
    if after.closes_at == before.closes_at {
        errors.retain(|error| error.code != Rule::Past);
    }
    errors
}

/// Which fields contradict each other, given how many of how many choices a ballot names.
fn contradictions(
    (min, max): (i32, i32),
    choices: usize,
    (opens_at, closes_at): (Option<Time>, Option<Time>),
    now: Time,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if usize::try_from(max).is_ok_and(|max| max > choices) {
        let message = format!("must be at most the number of choices, which is {choices}");
        errors.push(FieldError::new("/max_choices", Rule::Range, message));
    }
    if min > max {
        let message = format!("must be at most max_choices, which is {max}");
        errors.push(FieldError::new("/min_choices", Rule::Range, message));
    }
    if closes_at.is_some_and(|closes_at| closes_at <= now) {
        let message = "must lie in the future; to end voting now, close the question";
        errors.push(FieldError::new("/closes_at", Rule::Past, message));
    } else if closes_at.is_some() && opens_at >= closes_at {
        let message = "must be later than opens_at";
        errors.push(FieldError::new("/closes_at", Rule::Order, message));
    }
    errors
}

/// Checks the number of choices. Not a rule of the field `choices`, since such a rule would hide
/// the mistakes in the choices themselves.
fn enough_choices(draft: &Draft) -> Result<(), ValidationError> {
    if (MIN_CHOICES..=MAX_CHOICES).contains(&draft.choices.len()) {
        return Ok(());
    }
    let mut error = ValidationError::new("length");
    error.add_param("at".into(), &"/choices");
    let message = format!("must have {MIN_CHOICES} to {MAX_CHOICES} items");
    Err(error.with_message(message.into()))
}

/// A description that may be absent but not null. An empty one is none.
fn none_if_empty<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Description>, D::Error> {
    Description::deserialize(deserializer).map(|text| Some(text).filter(|text| !text.is_empty()))
}

/// A changed description. An empty one, like null, clears it.
fn cleared_if_empty<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Patch<Description>, D::Error> {
    let text = Option::<Description>::deserialize(deserializer)?;
    let text = text.filter(|text| !text.is_empty());
    Ok(text.map_or(Patch::Cleared, Patch::Set))
}

fn one() -> BallotSize {
    Number(1)
}

fn yes() -> bool {
    true
}

fn always() -> Visibility {
    Visibility::Always
}

impl Example for Draft {
    fn example() -> Self {
        Draft {
            description: Some(Description::new("Name the one that you like best.")),
            ..Draft::new("最受欢迎的计算机语言?", ["python", "java", "go"])
        }
    }
}

impl Example for QuestionPatch {
    fn example() -> Self {
        QuestionPatch {
            description: Patch::Set(Description::new("Name the one that you like best.")),
            closes_at: Patch::Cleared,
            ..QuestionPatch::default()
        }
    }
}
