//! The table that text search looks things up in.

use std::collections::BTreeSet;

use sea_orm::entity::prelude::*;
use sea_orm::{IntoActiveModel as _, QuerySelect as _};

use super::{Question, choice, search};
use crate::clock::Time;
use crate::db::Transaction;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "search_terms")]
pub struct Model {
    /// The [`key`] of a term.
    #[sea_orm(primary_key, auto_increment = false)]
    pub term: String,
    /// The question's, by which the list is sorted.
    #[sea_orm(primary_key, auto_increment = false)]
    pub created_at: Time,
    #[sea_orm(primary_key, auto_increment = false)]
    pub question_id: Uuid,
}

impl ActiveModelBehavior for ActiveModel {}

/// How many rows one statement inserts or deletes.
const ROWS: usize = 1_000;

/// Precedes the terms of questions that are not listed. No word has it.
const UNLISTED: &str = "-";

/// A term as the table has it. The terms of questions that are not listed are apart from the others:
/// a search among the listed ones reads none of them, however many there are.
pub fn key(term: &str, listed: bool) -> String {
    match listed {
        true => term.to_owned(),
        false => {
            let letters = term.chars().take(search::MAX_LENGTH - UNLISTED.len());
            UNLISTED.chars().chain(letters).collect()
        }
    }
}

/// The keys of the terms of a question with these choices.
pub(super) fn of(question: &Question, choices: &[choice::Model]) -> BTreeSet<String> {
    let choices = choices.iter().map(|choice| choice.choice_text.as_str());
    let terms = search::terms(std::iter::once(question.question_text.as_str()).chain(choices));
    let terms = terms.iter().map(|term| key(term, question.listed));
    terms.collect()
}

/// Stores the terms of a question after a change of its text, of its choices or of whether it is
/// listed. Terms that it had before stay, so that a new choice writes few rows.
pub(super) async fn update(
    transaction: &Transaction,
    question: &Question,
    choices: &[choice::Model],
) -> Result<(), DbErr> {
    let stored = Entity::find()
        .select_only()
        .column(Column::Term)
        .filter(Column::QuestionId.eq(question.id));
    let stored: Vec<String> = stored.into_tuple().all(transaction).await?;
    let (stored, wanted) = (BTreeSet::from_iter(stored), of(question, choices));
    let gone: Vec<&String> = stored.difference(&wanted).collect();
    for gone in gone.chunks(ROWS) {
        let rows = Entity::delete_many()
            .filter(Column::Term.is_in(gone.iter().copied()))
            .filter(Column::CreatedAt.eq(question.created_at))
            .filter(Column::QuestionId.eq(question.id));
        rows.exec(transaction).await?;
    }
    let new = wanted.difference(&stored).cloned();
    insert(transaction, rows(question.id, question.created_at, new)).await
}

/// The rows of a question with these terms.
pub(super) fn rows(
    question_id: Uuid,
    created_at: Time,
    terms: impl IntoIterator<Item = String>,
) -> impl Iterator<Item = Model> {
    terms.into_iter().map(move |term| Model {
        term,
        created_at,
        question_id,
    })
}

pub(super) async fn insert(
    transaction: &Transaction,
    rows: impl Iterator<Item = Model>,
) -> Result<(), DbErr> {
    let rows: Vec<ActiveModel> = rows.map(Model::into_active_model).collect();
    for rows in rows.chunks(ROWS) {
        Entity::insert_many(rows.iter().cloned())
            .exec_without_returning(transaction)
            .await?;
    }
    Ok(())
}
