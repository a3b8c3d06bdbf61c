//! Many rows as one value, in both directions.
//!
//! As a parameter, so that a batch is the same statement whatever its size. As a result on SQLite,
//! whose driver hands over each row by itself, at the price of two switches of threads.

use std::fmt::Write as _;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Value};
use serde::de::DeserializeOwned;
use uuid::Uuid;
use uuid::fmt::Simple;

/// A column of [`rows`] or [`documents`], and its form in JSON.
#[derive(Debug, Clone, Copy)]
pub enum Column {
    /// An id, written in hexadecimal digits.
    Id(&'static str),
    /// A whole number.
    Integer(&'static str),
    /// Text.
    Text(&'static str),
    /// True or false, written as 1 or 0.
    Flag(&'static str),
}

impl Column {
    pub(super) fn name(self) -> &'static str {
        match self {
            Column::Id(name) | Column::Integer(name) | Column::Text(name) | Column::Flag(name) => {
                name
            }
        }
    }
}

/// A source to select from: the rows of one parameter, a JSON array of arrays of ids and numbers.
///
/// `rows(db, "r", &[Column::Id("question_id"), Column::Integer("votes")])` is used as
/// `SELECT question_id, votes FROM {rows}` and bound to `[["0196…", 3]]`.
pub fn rows(db: &impl ConnectionTrait, alias: &str, columns: &[Column]) -> String {
    let engine = db.get_database_backend();
    let fields: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let name = column.name();
            match (engine, column) {
                (DbBackend::Postgres, Column::Id(_)) => {
                    format!("CAST(value ->> {index} AS uuid) AS {name}")
                }
                (DbBackend::Postgres, _) => format!("CAST(value ->> {index} AS bigint) AS {name}"),
                (DbBackend::MySql, Column::Id(_)) => format!("unhex(c{index}) AS {name}"),
                (DbBackend::MySql, _) => format!("c{index} AS {name}"),
                (_, Column::Id(_)) => format!("unhex(value ->> {index}) AS {name}"),
                _ => format!("value ->> {index} AS {name}"),
            }
        })
        .collect();
    let source = match engine {
        DbBackend::Postgres => "jsonb_array_elements(CAST(? AS jsonb))".to_owned(),
        DbBackend::MySql => format!("{} AS j", json_table(columns)),
        _ => "json_each(?)".to_owned(),
    };
    format!("(SELECT {} FROM {source}) AS {alias}", fields.join(", "))
}

/// From a table those of its rows whose `column` is one of the ids in `rows`, which are called `r`
/// and each there once: `SELECT c.id {}`. They are looked up, whatever the planner thinks.
pub fn among(db: &impl ConnectionTrait, table: &str, column: &str, rows: &str) -> String {
    match db.get_database_backend() {
        // A parameter is taken for a hundred rows, for which a table of a few thousand is rather
        // read from end to end. An array is taken for ten.
        DbBackend::Postgres => {
            format!("FROM {table} WHERE {column} = ANY(ARRAY(SELECT id FROM {rows}))")
        }
        DbBackend::MySql => format!("FROM {rows} STRAIGHT_JOIN {table} ON {column} = r.id"),
        _ => format!("FROM {table} WHERE {column} IN (SELECT id FROM {rows})"),
    }
}

fn json_table(columns: &[Column]) -> String {
    let columns: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let kind = match column {
                Column::Id(_) => "CHAR(32)",
                _ => "BIGINT",
            };
            format!("c{index} {kind} PATH '$[{index}]'")
        })
        .collect();
    format!("JSON_TABLE(?, '$[*]' COLUMNS ({}))", columns.join(", "))
}

/// A statement: what several sources select at one moment, each row a document. The columns of the
/// first source come first, and so do its parameters. Read by [`read_documents`].
pub fn documents(db: &impl ConnectionTrait, sources: &[(&[Column], &str)]) -> String {
    let engine = db.get_database_backend();
    if engine == DbBackend::Sqlite {
        let arrays = sources.iter().map(|(columns, source)| {
            let object = object(engine, columns);
            format!("(SELECT json_group_array({object}) FROM ({source}) AS d)")
        });
        return format!("SELECT {}", arrays.collect::<Vec<_>>().join(", "));
    }
    // Row by row: MariaDB would write all of a source into a table before it aggregates it.
    let text = match engine {
        DbBackend::Postgres => "text",
        _ => "char",
    };
    let parts = sources.iter().enumerate().map(|(part, (columns, source))| {
        let object = object(engine, columns);
        let fields = (0..sources.len()).map(|field| match field == part {
            true => format!("CAST({object} AS {text})"),
            false => format!("CAST(NULL AS {text})"),
        });
        let fields = fields.collect::<Vec<_>>().join(", ");
        format!("SELECT {fields} FROM ({source}) AS d")
    });
    parts.collect::<Vec<_>>().join(" UNION ALL ")
}

fn object(engine: DbBackend, columns: &[Column]) -> String {
    let fields: Vec<String> = columns
        .iter()
        .map(|column| match column {
            Column::Id(name) if engine != DbBackend::Postgres => format!("'{name}', hex({name})"),
            Column::Id(name) | Column::Integer(name) | Column::Text(name) => {
                format!("'{name}', {name}")
            }
            Column::Flag(name) => format!("'{name}', CASE WHEN {name} THEN 1 ELSE 0 END"),
        })
        .collect();
    let function = match engine {
        DbBackend::Postgres => "json_build_object",
        _ => "json_object",
    };
    format!("{function}({})", fields.join(", "))
}

/// Reads what the source at `part` has selected.
pub fn read_documents<T: DeserializeOwned>(
    rows: &[QueryResult],
    part: usize,
) -> Result<Vec<T>, DbErr> {
    let invalid = |error: serde_json::Error| DbErr::Json(error.to_string());
    let mut documents = Vec::new();
    for row in rows {
        let json: Option<String> = row.try_get_by_index(part)?;
        match json.as_deref() {
            None => {}
            Some(array) if array.starts_with('[') => {
                documents.extend(serde_json::from_str::<Vec<T>>(array).map_err(invalid)?);
            }
            Some(object) => documents.push(serde_json::from_str(object).map_err(invalid)?),
        }
    }
    Ok(documents)
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
            let mut digits = [0; Simple::LENGTH];
            let digits: &str = id.simple().encode_lower(&mut digits);
            self.0.extend([separator, "\"", digits, "\""]);
            separator = ",";
        }
        for number in numbers {
            // Writing to a String cannot fail.
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
