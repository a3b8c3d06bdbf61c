//! Questions as they come in one document with others; see [`db::documents`](crate::db::documents).

use sea_orm::{ActiveEnum as _, DbErr};
use serde::Deserialize;
use uuid::Uuid;

use super::entity::{Model, Visibility};
use crate::clock::Time;
use crate::db::Column;

/// The columns of a question.
pub const COLUMNS: [Column; 17] = [
    Column::Id("id"),
    Column::Id("author_id"),
    Column::Text("question_text"),
    Column::Text("description"),
    Column::Integer("min_choices"),
    Column::Integer("max_choices"),
    Column::Flag("allow_change"),
    Column::Text("results_visibility"),
    Column::Integer("opens_at"),
    Column::Integer("closes_at"),
    Column::Integer("closes_order"),
    Column::Integer("closed_at"),
    Column::Integer("sealed_at"),
    Column::Integer("deleted_at"),
    Column::Integer("revision"),
    Column::Integer("created_at"),
    Column::Integer("updated_at"),
];

/// A question's [`COLUMNS`].
#[derive(Debug, Deserialize)]
pub struct Document {
    id: Uuid,
    author_id: Uuid,
    question_text: String,
    description: Option<String>,
    min_choices: i32,
    max_choices: i32,
    allow_change: u8,
    results_visibility: String,
    opens_at: Option<i64>,
    closes_at: Option<i64>,
    closes_order: i64,
    closed_at: Option<i64>,
    sealed_at: Option<i64>,
    deleted_at: Option<i64>,
    revision: i32,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<Document> for Model {
    type Error = DbErr;

    fn try_from(document: Document) -> Result<Model, DbErr> {
        Ok(Model {
            id: document.id,
            author_id: document.author_id,
            question_text: document.question_text,
            description: document.description,
            min_choices: document.min_choices,
            max_choices: document.max_choices,
            allow_change: document.allow_change != 0,
            results_visibility: Visibility::try_from_value(&document.results_visibility)?,
            opens_at: document.opens_at.map(Time),
            closes_at: document.closes_at.map(Time),
            closes_order: Time(document.closes_order),
            closed_at: document.closed_at.map(Time),
            sealed_at: document.sealed_at.map(Time),
            deleted_at: document.deleted_at.map(Time),
            revision: document.revision,
            created_at: Time(document.created_at),
            updated_at: Time(document.updated_at),
        })
    }
}
