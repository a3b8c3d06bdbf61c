//! Many rows as one value, in both directions.
//!
//! As a parameter, so that a batch is the same statement whatever its size. As a result, because
//! SQLite's driver hands over each row by itself, at the price of two switches of threads.

use std::fmt::Write as _;

use sea_orm::{DbErr, QueryResult, Value};
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// A column of [`rows`] or [`documents`], and its form in JSON.
#[derive(Debug, Clone, Copy)]
pub enum Column {
    /// An id, written as 32 hexadecimal digits.
    Id(&'static str),
    /// A whole number.
    Integer(&'static str),
    /// Text.
    Text(&'static str),
    /// True or false, written as 1 or 0.
    Flag(&'static str),
}

/// A source to select from: the rows of one parameter, a JSON array of arrays.
///
/// `rows("r", &[Column::Id("question_id"), Column::Integer("votes")])` is used as
/// `SELECT question_id, votes FROM {rows}` and bound to `[["0196…", 3]]`.
pub fn rows(alias: &str, columns: &[Column]) -> String {
    let columns: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| match column {
            Column::Id(name) => format!("unhex(value ->> {index}) AS {name}"),
            Column::Integer(name) | Column::Text(name) | Column::Flag(name) => {
                format!("value ->> {index} AS {name}")
            }
        })
        .collect();
    format!(
        "(SELECT {} FROM json_each(?)) AS {alias}",
        columns.join(", ")
    )
}

/// An expression: the rows that `source` selects, as one JSON array of objects.
pub fn documents(columns: &[Column], source: &str) -> String {
    let fields: Vec<String> = columns
        .iter()
        .map(|column| match column {
            Column::Id(name) => format!("'{name}', hex({name})"),
            Column::Integer(name) | Column::Text(name) => format!("'{name}', {name}"),
            Column::Flag(name) => format!("'{name}', CASE WHEN {name} THEN 1 ELSE 0 END"),
        })
        .collect();
    format!(
        "(SELECT json_group_array(json_object({})) FROM ({source}))",
        fields.join(", ")
    )
}

/// Reads the [`documents`] in a row's column.
pub fn read_documents<T: DeserializeOwned>(
    row: &QueryResult,
    index: usize,
) -> Result<Vec<T>, DbErr> {
    let json: String = row.try_get_by_index(index)?;
    serde_json::from_str(&json).map_err(|error| DbErr::Json(error.to_string()))
}

/// Rows for [`rows`], written as the JSON that it reads.
#[derive(Debug, Clone)]
pub struct Rows(String);

impl Rows {
    pub fn new() -> Self {
        Rows(String::from("["))
    }

    pub fn is_empty(&self) -> bool {
        self.0.len() == 1
    }

    /// Adds a row: first its ids, then its numbers.
    pub fn push(&mut self, ids: &[Uuid], numbers: &[i64]) {
        let mut separator = if self.is_empty() { "[" } else { ",[" };
        for id in ids {
            // Writing to a String cannot fail.
            let _ = write!(self.0, "{separator}\"{}\"", id.simple());
            separator = ",";
        }
        for number in numbers {
            let _ = write!(self.0, "{separator}{number}");
            separator = ",";
        }
        self.0.push(']');
    }

    pub fn to_value(&self) -> Value {
        format!("{}]", self.0).into()
    }
}

impl Default for Rows {
    fn default() -> Self {
        Rows::new()
    }
}

/// Ids for a [`rows`] of one column.
pub fn ids(ids: impl IntoIterator<Item = Uuid>) -> Rows {
    let mut rows = Rows::new();
    for id in ids {
        rows.push(&[id], &[]);
    }
    rows
}
