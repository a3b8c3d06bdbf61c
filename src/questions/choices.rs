//! The choices of a question, one by one. Any change is a new revision of the question.

use poem_openapi::Object;
use poem_openapi::types::Example;
use sea_orm::entity::prelude::*;
use sea_orm::{IntoActiveModel as _, QueryOrder as _};
use serde::Deserialize;
use validator::Validate;

use super::draft::{ChoiceText, MAX_CHOICES, MIN_CHOICES};
use super::quota::Use;
use super::{
    Question, Questions, Status, choice, closed, has_ballots_failure, lock_out_ballots, save, slot,
    term,
};
use crate::clock::Time;
use crate::db::Transaction;
use crate::failure::{Failure, FieldError, Rule};
use crate::input::{Number, present};
use crate::precondition::IfMatch;
use crate::text;
use crate::users::Caller;

/// A choice's place among the others.
pub type Position = Number<0, { MAX_CHOICES as i32 - 1 }>;

/// A choice to be added.
#[derive(Debug, Object, Deserialize, Validate)]
#[oai(rename = "ChoiceInput", deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub struct NewChoice {
    /// What people can choose; unlike the others.
    #[validate(nested)]
    pub choice_text: ChoiceText,
    /// Where it is put; the others move. At the end where absent.
    #[serde(default, deserialize_with = "present")]
    #[validate(nested)]
    pub position: Option<Position>,
}

/// What to change of a choice; what is absent stays.
#[derive(Debug, Object, Deserialize, Validate)]
#[oai(deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub struct ChoicePatch {
    /// What people can choose; only while nobody has voted.
    #[serde(default, deserialize_with = "present")]
    #[validate(nested)]
    pub choice_text: Option<ChoiceText>,
    /// Where it goes; the others move.
    #[serde(default, deserialize_with = "present")]
    #[validate(nested)]
    pub position: Option<Position>,
}

impl Questions {
    /// Adds a choice at a position, or at the end. Allowed while people vote, but not afterwards.
    pub async fn add_choice(
        &self,
        caller: Caller,
        question: Uuid,
        if_match: &IfMatch,
        new: &NewChoice,
    ) -> Result<Uuid, Failure> {
        let id = self.clock.now().new_id();
        self.db
            .write(|transaction| async move {
                let locked = self.lock_choices(&transaction, caller, question, if_match);
                let (parent, mut choices) = locked.await?;
                if choices.len() >= MAX_CHOICES {
                    let message = format!("a question has at most {MAX_CHOICES} choices");
                    return Err(invalid("", Rule::Length, message));
                }
                let at = place(new.position, choices.len())?.unwrap_or(choices.len());
                differs(&new.choice_text, &choices)?;
                let (now, used) = (self.clock.now(), Use::of_choice("", &new.choice_text));
                self.quotas
                    .charge(&transaction, parent.author_id, used, now)
                    .await?;
                let added = choice::Model {
                    id,
                    question_id: question,
                    choice_text: new.choice_text.to_string(),
                    position: -1,
                    ordinal: free_ordinals(&choices).next(),
                };
                let row = added.clone().into_active_model();
                choice::Entity::insert(row)
                    .exec_without_returning(&transaction)
                    .await?;
                choices.insert(at, added);
                store(&transaction, parent, choices, now).await
            })
            .await?;
        self.share.tell_of_question(question);
        Ok(id)
    }

    /// Changes a choice's text, which ballots forbid, or its position, which they don't. Neither
    /// changes any more once voting has ended.
    pub async fn update_choice(
        &self,
        caller: Caller,
        (question, id): (Uuid, Uuid),
        if_match: &IfMatch,
        patch: &ChoicePatch,
    ) -> Result<(), Failure> {
        self.db
            .write(|transaction| async move {
                let locked = self.lock_choices(&transaction, caller, question, if_match);
                let (parent, mut choices) = locked.await?;
                let from = index_of(&choices, id)?;
                let to = place(patch.position, choices.len() - 1)?.unwrap_or(from);
                let new_text = patch.choice_text.as_deref();
                if let Some(text) = new_text.filter(|text| *text != choices[from].choice_text) {
                    if slot::has_ballots(&transaction, question).await? {
                        return Err(has_ballots_failure());
                    }
                    let others = choices.iter().filter(|choice| choice.id != id);
                    differs(text, others)?;
                    let used = Use::of_choice(&choices[from].choice_text, text);
                    self.quotas
                        .charge(&transaction, parent.author_id, used, self.clock.now())
                        .await?;
                    text.clone_into(&mut choices[from].choice_text);
                    let row = choices[from].clone().into_active_model().reset_all();
                    choice::Entity::update(row).exec(&transaction).await?;
                } else if from == to {
                    return Ok(());
                }
                let moved = choices.remove(from);
                choices.insert(to, moved);
                store(&transaction, parent, choices, self.clock.now()).await
            })
            .await?;
        self.share.tell_of_question(question);
        Ok(())
    }

    /// Removes a choice while nobody has voted on the question and voting has not ended.
    pub async fn remove_choice(
        &self,
        caller: Caller,
        (question, id): (Uuid, Uuid),
        if_match: &IfMatch,
    ) -> Result<(), Failure> {
        self.db
            .write(|transaction| async move {
                let locked = self.lock_choices(&transaction, caller, question, if_match);
                let (parent, mut choices) = locked.await?;
                let index = index_of(&choices, id)?;
                if slot::has_ballots(&transaction, question).await? {
                    return Err(has_ballots_failure());
                }
                let at_least = |number: i32| usize::try_from(number).unwrap_or(0);
                let least = MIN_CHOICES
                    .max(at_least(parent.limit().unwrap_or(0)))
                    .max(at_least(parent.seats) + 1);
                if choices.len() <= least {
                    let message = format!(
                        "a question needs {least} choices here: {MIN_CHOICES}, max_choices, and one \
                         more than seats"
                    );
                    return Err(invalid("", Rule::Length, message));
                }
                let used = Use::of_choice(&choices.remove(index).choice_text, "");
                self.quotas
                    .charge(&transaction, parent.author_id, used, self.clock.now())
                    .await?;
                choice::Entity::delete_by_id(id).exec(&transaction).await?;
                store(&transaction, parent, choices, self.clock.now()).await
            })
            .await?;
        self.share.tell_of_question(question);
        Ok(())
    }
}

impl Questions {
    /// A question and its choices in their order, which nobody else changes before the commit.
    /// Fails once voting has ended: results that are final must not change any more.
    async fn lock_choices(
        &self,
        transaction: &Transaction,
        caller: Caller,
        question: Uuid,
        if_match: &IfMatch,
    ) -> Result<(Question, Vec<choice::Model>), Failure> {
        let parent = lock_out_ballots(transaction, caller, question, if_match).await?;
        if parent.status(self.clock.now()) == Status::Closed {
            let detail = "The choices of a closed question do not change; reopen it first.";
            return Err(closed(&parent).detail(detail));
        }
        let choices = numbered(transaction, question).await?;
        Ok((parent, choices))
    }
}

/// Stores the choices of a question in this order, and the question as a new revision.
async fn store(
    transaction: &Transaction,
    question: Question,
    choices: Vec<choice::Model>,
    now: Time,
) -> Result<(), Failure> {
    term::update(transaction, &question, &choices).await?;
    renumber(transaction, choices).await?;
    save(transaction, question, now).await
}

/// The choices of a question in their order.
pub async fn of(db: &impl ConnectionTrait, question: Uuid) -> Result<Vec<choice::Model>, DbErr> {
    choice::Entity::find()
        .filter(choice::Column::QuestionId.eq(question))
        .order_by_asc(choice::Column::Position)
        .order_by_asc(choice::Column::Id)
        .all(db)
        .await
}

/// The choices of a question whose slots are all taken, in their order. Those that a process of the
/// version before has added get an ordinal.
pub(super) async fn numbered(
    transaction: &Transaction,
    question: Uuid,
) -> Result<Vec<choice::Model>, DbErr> {
    let mut choices = of(transaction, question).await?;
    let free: Vec<i32> = free_ordinals(&choices).take(MAX_CHOICES).collect();
    let without = choices.iter_mut().filter(|choice| choice.ordinal.is_none());
    for (choice, ordinal) in without.zip(free) {
        choice.ordinal = Some(ordinal);
        let row = choice.clone().into_active_model().reset_all();
        choice::Entity::update(row).exec(transaction).await?;
    }
    Ok(choices)
}

/// The ordinals that none of the choices has, the smallest first.
fn free_ordinals(choices: &[choice::Model]) -> impl Iterator<Item = i32> {
    (0..).filter(|ordinal| {
        choices
            .iter()
            .all(|choice| choice.ordinal != Some(*ordinal))
    })
}

/// Refuses a text that looks like one of the others. The question is locked, so that no choice is
/// added meanwhile. A constraint of the database refuses texts that are equal byte by byte.
fn differs<'a>(
    text: &str,
    others: impl IntoIterator<Item = &'a choice::Model>,
) -> Result<(), Failure> {
    let text = text::appearance(text);
    let mut others = others.into_iter();
    if others.any(|other| text::appearance(&other.choice_text) == text) {
        let message = "must differ from the question's other choices";
        return Err(invalid("/choice_text", Rule::Unique, message.into()));
    }
    Ok(())
}

fn index_of(choices: &[choice::Model], id: Uuid) -> Result<usize, Failure> {
    choices
        .iter()
        .position(|choice| choice.id == id)
        .ok_or_else(not_found)
}

pub fn not_found() -> Failure {
    Failure::not_found("choice in this question")
}

/// The index of a position among `last + 1` places.
fn place(position: Option<Position>, last: usize) -> Result<Option<usize>, Failure> {
    let Some(position) = position else {
        return Ok(None);
    };
    match usize::try_from(position.0) {
        Ok(position) if position <= last => Ok(Some(position)),
        _ => Err(invalid(
            "/position",
            Rule::Range,
            format!("must be 0 to {last}"),
        )),
    }
}

/// Stores the order, without gaps.
async fn renumber(transaction: &Transaction, choices: Vec<choice::Model>) -> Result<(), DbErr> {
    for (position, choice) in (0..).zip(choices) {
        if choice.position != position {
            let row = choice::Model { position, ..choice }
                .into_active_model()
                .reset_all();
            choice::Entity::update(row).exec(transaction).await?;
        }
    }
    Ok(())
}

fn invalid(pointer: &str, rule: Rule, message: String) -> Failure {
    Failure::invalid(vec![FieldError::new(pointer, rule, message)])
}

impl Example for NewChoice {
    fn example() -> Self {
        NewChoice {
            choice_text: ChoiceText::new("rust"),
            position: Some(Number(0)),
        }
    }
}

impl Example for ChoicePatch {
    fn example() -> Self {
        ChoicePatch {
            choice_text: None,
            position: Some(Number(1)),
        }
    }
}
