//! A question as its author sends it, and changes of a question: limits, and which values
//! contradict each other.

use std::collections::HashMap;

use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::{Deserialize, Deserializer};
use uuid::Uuid;
use validator::{Validate, ValidationError};

use super::entity::closes_order;
use super::lot::Seed;
use super::{BallotSecrecy, Electorate, Question, Visibility};
use crate::clock::Time;
use crate::failure::{FieldError, Rule};
use crate::input::{Line, Lines, Number, exact, present};
use crate::patch::Patch;
use crate::tally::{Method, Threshold, TieBreak};
use crate::text;

/// The fewest choices that a question may have.
pub const MIN_CHOICES: usize = 2;
/// The most choices that a question may have.
pub const MAX_CHOICES: usize = 100;

pub type QuestionText = Line<1, 200>;
pub type Description = Lines<2000>;
pub type ChoiceText = Line<1, 200>;
/// How many choices a ballot names at least.
pub type LeastChoices = Number<0, { MAX_CHOICES as i32 }>;
/// How many choices a ballot names at most.
pub type MostChoices = Number<1, { MAX_CHOICES as i32 }>;
pub type Seats = Number<1, { MAX_CHOICES as i32 - 1 }>;
pub type MaxScore = Number<1, 100>;
pub type Quorum = Number<1, 1_000_000_000>;
pub type BallotsPerAddress = Number<1, 1_000_000>;

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
    /// How ballots are counted; `multiple_choice` where absent.
    #[oai(default)]
    #[serde(default, deserialize_with = "exact::word")]
    pub method: Method,
    /// How many choices are elected: fewer than there are, and only 1 with `instant_runoff`,
    /// `ranked_pairs` and `star`; 1 where absent.
    #[oai(default = "one_seat")]
    #[serde(default = "one_seat")]
    #[validate(nested)]
    pub seats: Seats,
    /// How many choices a ballot names at least; 1 where absent. With 0, a ballot may abstain.
    #[oai(default = "one_choice")]
    #[serde(default = "one_choice")]
    #[validate(nested)]
    pub min_choices: LeastChoices,
    /// How many choices a ballot names at most; not more than there are. Where absent, 1 with
    /// `multiple_choice`, otherwise all, also those that are added later.
    #[serde(default, deserialize_with = "present")]
    #[validate(nested)]
    pub max_choices: Option<MostChoices>,
    /// The highest score; only with `score`, and 5 where absent.
    #[serde(default, deserialize_with = "present")]
    #[validate(nested)]
    pub max_score: Option<MaxScore>,
    /// What happens to a tie for the last seat. Where absent, `none` with `multiple_choice`, `borda`
    /// and `score`; the other methods always use the lot.
    #[serde(default, deserialize_with = "exact::word_if_present")]
    pub tie_break: Option<TieBreak>,
    /// The least number of ballots, abstentions included, without which nothing is decided.
    #[serde(default, deserialize_with = "present")]
    #[validate(nested)]
    pub quorum: Option<Quorum>,
    /// The part of the votes that a choice needs to be elected; only with `multiple_choice`.
    #[serde(default, deserialize_with = "exact::object_if_present")]
    #[validate(nested)]
    pub threshold: Option<Threshold>,
    /// Whether a ballot may be changed or withdrawn; true where absent.
    #[oai(default = "yes")]
    #[serde(default = "yes")]
    pub allow_change: bool,
    /// Who may see the numbers; `always` where absent.
    #[oai(default = "always")]
    #[serde(default = "always", deserialize_with = "exact::word")]
    pub results_visibility: Visibility,
    /// Who may vote; `accounts` where absent.
    #[oai(default)]
    #[serde(default, deserialize_with = "exact::word")]
    pub electorate: Electorate,
    /// How many ballots of guests one network address may cast; only where `anyone` may vote, and any
    /// number where absent.
    #[serde(default, deserialize_with = "present")]
    #[validate(nested)]
    pub ballots_per_address: Option<BallotsPerAddress>,
    /// Whether lists and searches show it; true where absent. A question that is not listed is read
    /// by whoever has its link.
    #[oai(default = "yes")]
    #[serde(default = "yes")]
    pub listed: bool,
    /// Who learns how somebody voted; `secret` where absent. `anonymous` needs `allow_change` to be
    /// false.
    #[oai(default)]
    #[serde(default, deserialize_with = "exact::word")]
    pub ballot_secrecy: BallotSecrecy,
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
    /// How ballots are counted; only while nobody has voted.
    #[serde(default, deserialize_with = "exact::word_if_present")]
    pub method: Option<Method>,
    /// How many choices are elected; only while nobody has voted.
    #[serde(default, deserialize_with = "present")]
    #[validate(nested)]
    pub seats: Option<Seats>,
    /// How many choices a ballot names at least; only while nobody has voted.
    #[serde(default, deserialize_with = "present")]
    #[validate(nested)]
    pub min_choices: Option<LeastChoices>,
    /// How many choices a ballot names at most; only while nobody has voted. Null restores the
    /// default.
    #[serde(default)]
    #[validate(nested)]
    pub max_choices: Patch<MostChoices>,
    /// The highest score; only while nobody has voted. Null restores the default.
    #[serde(default)]
    #[validate(nested)]
    pub max_score: Patch<MaxScore>,
    /// What happens to a tie for the last seat; only while nobody has voted. Null restores the
    /// default.
    #[serde(default, deserialize_with = "exact::word_or_null")]
    pub tie_break: Patch<TieBreak>,
    /// The least number of ballots; only while nobody has voted. Null means that any number will do.
    #[serde(default)]
    #[validate(nested)]
    pub quorum: Patch<Quorum>,
    /// The part of the votes that a choice needs; only while nobody has voted. Null means that any
    /// will do.
    #[serde(default, deserialize_with = "exact::object_or_null")]
    #[validate(nested)]
    pub threshold: Patch<Threshold>,
    /// Whether a ballot may be changed or withdrawn; only while nobody has voted.
    #[serde(default, deserialize_with = "present")]
    pub allow_change: Option<bool>,
    /// Who may see the numbers; only while nobody has voted.
    #[serde(default, deserialize_with = "exact::word_if_present")]
    pub results_visibility: Option<Visibility>,
    /// Who may vote; only while nobody has voted.
    #[serde(default, deserialize_with = "exact::word_if_present")]
    pub electorate: Option<Electorate>,
    /// How many ballots of guests one network address may cast; only while nobody has voted. Null
    /// means any number.
    #[serde(default)]
    #[validate(nested)]
    pub ballots_per_address: Patch<BallotsPerAddress>,
    /// Whether lists and searches show it.
    #[serde(default, deserialize_with = "present")]
    pub listed: Option<bool>,
    /// Who learns how somebody voted; only while nobody has voted. `anonymous` cannot be taken back.
    #[serde(default, deserialize_with = "exact::word_if_present")]
    pub ballot_secrecy: Option<BallotSecrecy>,
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
            method: Method::default(),
            seats: one_seat(),
            min_choices: one_choice(),
            max_choices: None,
            max_score: None,
            tie_break: None,
            quorum: None,
            threshold: None,
            allow_change: yes(),
            results_visibility: always(),
            electorate: Electorate::default(),
            ballots_per_address: None,
            listed: yes(),
            ballot_secrecy: BallotSecrecy::default(),
            opens_at: None,
            closes_at: None,
        }
    }

    /// The question that `author` asks at `now`.
    pub fn question(&self, author: Uuid, now: Time) -> Question {
        let draft = self.clone();
        let mut question = Question {
            id: now.new_id(),
            author_id: author,
            question_text: draft.question_text.into(),
            description: draft.description.map(Into::into),
            method: draft.method,
            seats: draft.seats.0,
            min_choices: draft.min_choices.0,
            max_choices: 0,
            choice_limit: None,
            max_score: draft.max_score.map(|score| score.0),
            tie_break: draft.tie_break,
            quorum: draft.quorum.map(|quorum| quorum.0),
            threshold: draft.threshold,
            lot_seed: Some(Seed::draw()),
            older_allow_change: false,
            changes_allowed: false,
            results_visibility: draft.results_visibility,
            electorate: draft.electorate,
            ballots_per_address: draft.ballots_per_address.map(|ballots| ballots.0),
            listed: draft.listed,
            ballot_secrecy: draft.ballot_secrecy,
            reopened: false,
            opens_at: draft.opens_at,
            closes_at: draft.closes_at,
            closes_order: closes_order(draft.closes_at),
            closed_at: None,
            frozen_at: None,
            sealed_at: None,
            deleted_at: None,
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        let limit = draft.max_choices.map(|choices| choices.0);
        question.set_ballot_rules(limit, draft.allow_change);
        question
    }

    /// The choices that look like an earlier one.
    pub(super) fn repeated_choices(&self) -> Vec<FieldError> {
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
        after.method = patch.method.unwrap_or(before.method);
        if let Some(seats) = patch.seats {
            after.seats = seats.0;
        }
        if let Some(min_choices) = patch.min_choices {
            after.min_choices = min_choices.0;
        }
        patch
            .max_score
            .map(|score| score.0)
            .apply(&mut after.max_score);
        patch.tie_break.apply(&mut after.tie_break);
        patch.quorum.map(|quorum| quorum.0).apply(&mut after.quorum);
        patch.threshold.apply(&mut after.threshold);
        after.results_visibility = patch
            .results_visibility
            .unwrap_or(before.results_visibility);
        after.electorate = patch.electorate.unwrap_or(before.electorate);
        patch
            .ballots_per_address
            .map(|ballots| ballots.0)
            .apply(&mut after.ballots_per_address);
        after.listed = patch.listed.unwrap_or(before.listed);
        after.ballot_secrecy = patch.ballot_secrecy.unwrap_or(before.ballot_secrecy);
        let mut limit = before.limit();
        patch.max_choices.map(|choices| choices.0).apply(&mut limit);
        let allows_change = patch.allow_change.unwrap_or(before.allows_change());
        after.set_ballot_rules(limit, allows_change);
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
    let mut errors = contradictions(after, choices, now);
    if after.closes_at == before.closes_at {
        errors.retain(|error| error.code != Rule::Past);
    }
    if before.ballot_secrecy == BallotSecrecy::Anonymous
        && after.ballot_secrecy != before.ballot_secrecy
    {
        let message = "must stay anonymous, as voters were promised";
        errors.push(FieldError::new("/ballot_secrecy", Rule::Conflict, message));
    }
    errors
}

/// Which fields of a question with this number of choices contradict each other, or come too late
/// at `now`.
pub(super) fn contradictions(question: &Question, choices: usize, now: Time) -> Vec<FieldError> {
    let mut errors = contradictions_of_method(question, choices);
    let (min, max) = (question.min_choices, question.effective_limit(choices));
    if usize::try_from(max).is_ok_and(|max| max > choices) {
        let message = format!("must be at most the number of choices, which is {choices}");
        errors.push(FieldError::new("/max_choices", Rule::Range, message));
    }
    if min > max {
        let message = format!("must be at most max_choices, which is {max}");
        errors.push(FieldError::new("/min_choices", Rule::Range, message));
    }
    if question.ballot_secrecy == BallotSecrecy::Anonymous && question.allows_change() {
        let message = "must be false with anonymous ballots, of which nobody knows whose they are";
        errors.push(FieldError::new("/allow_change", Rule::Conflict, message));
    }
    if question.ballots_per_address.is_some() && question.electorate != Electorate::Anyone {
        let message = "is only for questions on which anyone may vote";
        let pointer = "/ballots_per_address";
        errors.push(FieldError::new(pointer, Rule::Conflict, message));
    }
    let (opens_at, closes_at) = (question.opens_at, question.closes_at);
    if closes_at.is_some_and(|closes_at| closes_at <= now) {
        let message = "must lie in the future; to end voting now, close the question";
        errors.push(FieldError::new("/closes_at", Rule::Past, message));
    } else if closes_at.is_some() && opens_at >= closes_at {
        let message = "must be later than opens_at";
        errors.push(FieldError::new("/closes_at", Rule::Order, message));
    }
    errors
}

/// Which fields contradict the method.
fn contradictions_of_method(question: &Question, choices: usize) -> Vec<FieldError> {
    let method = question.method;
    let mut errors = Vec::new();
    let mut refuse = |pointer: &str, code: Rule, message: String| {
        errors.push(FieldError::new(pointer, code, message));
    };
    if method.has_one_seat() && question.seats != 1 {
        refuse("/seats", Rule::Method, format!("must be 1 with {method}"));
    } else if usize::try_from(question.seats).is_ok_and(|seats| seats >= choices) {
        let message = format!("must be less than the number of choices, which is {choices}");
        refuse("/seats", Rule::Range, message);
    }
    if question.max_score.is_some() && method != Method::Score {
        let message = format!("is only for score, not for {method}");
        refuse("/max_score", Rule::Method, message);
    }
    if question.tie_break == Some(TieBreak::None) && !method.can_show_ties() {
        let message = format!("must be lot with {method}, which breaks ties during the count");
        refuse("/tie_break", Rule::Method, message);
    }
    if let Some(threshold) = question.threshold {
        if method != Method::MultipleChoice {
            let message = format!("is only for multiple_choice, not for {method}");
            refuse("/threshold", Rule::Method, message);
        }
        let (numerator, denominator) = (threshold.numerator, threshold.denominator);
        if numerator > denominator {
            let message = format!("must be at most the denominator, which is {denominator}");
            refuse("/threshold/numerator", Rule::Range, message);
        } else if numerator == denominator && threshold.exceed {
            let message = "must be false where the threshold is the whole".to_owned();
            refuse("/threshold/exceed", Rule::Range, message);
        }
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

fn one_seat() -> Seats {
    Number(1)
}

fn one_choice() -> LeastChoices {
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
