//! The choices of a question, one by one. Any change is a new revision of the question.

use std::collections::HashMap;

use sea_orm::entity::prelude::*;
use sea_orm::{IntoActiveModel as _, QueryOrder as _};

use super::quota::{Quotas, Use};
use super::{MAX_CHOICES, MIN_CHOICES, choice, has_ballots, save, slot, without_ballots};
use crate::clock::Clock;
use crate::db::{Db, Transaction};
use crate::failure::{Failure, FieldError};
use crate::precondition::IfMatch;
use crate::text;
use crate::users::Caller;

/// What to change of a choice; `None` leaves as it is.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub choice_text: Option<String>,
    pub position: Option<usize>,
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

/// Adds a choice at a position, or at the end. Allowed while people vote.
pub async fn add(
    db: &Db,
    clock: &Clock,
    quotas: Quotas,
    caller: Caller,
    question: Uuid,
    if_match: &IfMatch,
    (choice_text, position): (String, Option<usize>),
) -> Result<Uuid, Failure> {
    let (id, choice_text) = (clock.now().new_id(), &choice_text);
    db.write(|transaction| async move {
        let parent = without_ballots(&transaction, caller, question, if_match).await?;
        let mut choices = of(&transaction, question).await?;
        if choices.len() >= MAX_CHOICES {
            return Err(invalid(
                "",
                "length",
                format!("a question has at most {MAX_CHOICES} choices"),
            ));
        }
        let at = place(position, choices.len())?.unwrap_or(choices.len());
        differs(choice_text, &choices)?;
        let (now, used) = (clock.now(), Use::of_choice("", choice_text));
        quotas
            .charge(&transaction, parent.author_id, used, now)
            .await?;
        let choice_text = choice_text.clone();
        let new = choice::Model {
            id,
            question_id: question,
            choice_text,
            position: -1,
        };
        let row = new.clone().into_active_model();
        choice::Entity::insert(row)
            .exec_without_returning(&transaction)
            .await?;
        choices.insert(at, new);
        renumber(&transaction, choices).await?;
        save(&transaction, parent, now).await
    })
    .await?;
    Ok(id)
}

/// Changes a choice's text, which ballots forbid, or its position, which they don't.
pub async fn update(
    db: &Db,
    clock: &Clock,
    quotas: Quotas,
    caller: Caller,
    (question, id): (Uuid, Uuid),
    if_match: &IfMatch,
    change: Change,
) -> Result<(), Failure> {
    let Change {
        choice_text,
        position,
    } = &change;
    db.write(|transaction| async move {
        let parent = without_ballots(&transaction, caller, question, if_match).await?;
        let mut choices = of(&transaction, question).await?;
        let from = index_of(&choices, id)?;
        let to = place(*position, choices.len() - 1)?.unwrap_or(from);
        let rewording = choice_text
            .as_ref()
            .filter(|text| **text != choices[from].choice_text);
        if let Some(text) = rewording {
            if slot::has_ballots(&transaction, question).await? {
                return Err(has_ballots());
            }
            let others = choices.iter().filter(|choice| choice.id != id);
            differs(text, others)?;
            let used = Use::of_choice(&choices[from].choice_text, text);
            quotas
                .charge(&transaction, parent.author_id, used, clock.now())
                .await?;
            choices[from].choice_text.clone_from(text);
            let row = choices[from].clone().into_active_model().reset_all();
            choice::Entity::update(row).exec(&transaction).await?;
        } else if from == to {
            return Ok(());
        }
        let moved = choices.remove(from);
        choices.insert(to, moved);
        renumber(&transaction, choices).await?;
        save(&transaction, parent, clock.now()).await
    })
    .await
}

/// Removes a choice that nobody can have voted for yet.
pub async fn remove(
    db: &Db,
    clock: &Clock,
    quotas: Quotas,
    caller: Caller,
    (question, id): (Uuid, Uuid),
    if_match: &IfMatch,
) -> Result<(), Failure> {
    db.write(|transaction| async move {
        let parent = without_ballots(&transaction, caller, question, if_match).await?;
        let mut choices = of(&transaction, question).await?;
        let index = index_of(&choices, id)?;
        if slot::has_ballots(&transaction, question).await? {
            return Err(has_ballots());
        }
        let least = usize::try_from(parent.max_choices)
            .unwrap_or(0)
            .max(MIN_CHOICES);
        if choices.len() <= least {
            let message = format!("a question needs {least} choices here: 2, and max_choices");
            return Err(invalid("", "length", message));
        }
        let used = Use::of_choice(&choices.remove(index).choice_text, "");
        quotas
            .charge(&transaction, parent.author_id, used, clock.now())
            .await?;
        choice::Entity::delete_by_id(id).exec(&transaction).await?;
        renumber(&transaction, choices).await?;
        save(&transaction, parent, clock.now()).await
    })
    .await
}

/// The texts that look like an earlier one among the choices of a new question.
pub(super) fn repeated(texts: &[String]) -> Vec<FieldError> {
    let mut first = HashMap::new();
    let mut errors = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let earlier = *first.entry(text::appearance(text)).or_insert(index);
        if earlier != index {
            let message =
                format!("must differ from the other choices; number {earlier} is the same");
            errors.push(FieldError::new(
                format!("/choices/{index}/choice_text"),
                "unique",
                message,
            ));
        }
    }
    errors
}

/// Refuses a text that looks like one of the others. The question is locked, so that no other
/// comes in meanwhile; that none is equal byte by byte the database ensures, too.
fn differs<'a>(
    text: &str,
    others: impl IntoIterator<Item = &'a choice::Model>,
) -> Result<(), Failure> {
    let text = text::appearance(text);
    let mut others = others.into_iter();
    if others.any(|other| text::appearance(&other.choice_text) == text) {
        let message = "must differ from the question's other choices";
        return Err(invalid("/choice_text", "unique", message.into()));
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

/// A position among `last + 1` places.
fn place(position: Option<usize>, last: usize) -> Result<Option<usize>, Failure> {
    match position {
        Some(position) if position > last => Err(invalid(
            "/position",
            "range",
            format!("must be 0 to {last}"),
        )),
        position => Ok(position),
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

fn invalid(pointer: &str, code: &'static str, message: String) -> Failure {
    Failure::invalid(vec![FieldError::new(pointer, code, message)])
}
