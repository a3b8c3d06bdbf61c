//! Many rows as one JSON value, as a parameter ([`rows`]) and as a result ([`documents`]).
//!
//! With one parameter for all rows, a statement has the same text whatever the size of the batch,
//! so the database plans it once. One result row for all rows saves time on SQLite, whose driver
//! switches threads twice for each row it returns.

use std::fmt::Write as _;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Value};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;
use uuid::fmt::Simple;

/// A column of [`rows`] or [`documents`] and its JSON type.
#[derive(Debug, Clone, Copy)]
pub enum Column {
    /// A UUID, as a string of hexadecimal digits.
    Id(&'static str),
    /// A 64-bit integer.
    Integer(&'static str),
    /// Text.
    Text(&'static str),
    /// A boolean, as 1 or 0.
    Flag(&'static str),
    /// Up to `MAX_BYTES` bytes, as a string of hexadecimal digits.
    Bytes(&'static str),
}

/// How many bytes a value of [`Column::Bytes`] has at most.
const MAX_BYTES: usize = 200;

impl Column {
    pub(super) fn name(self) -> &'static str {
        match self {
            Column::Id(name)
            | Column::Integer(name)
            | Column::Text(name)
            | Column::Flag(name)
            | Column::Bytes(name) => name,
        }
    }
}

/// A table expression with the rows of one parameter, for use after `FROM`. The parameter is a JSON
/// array of arrays such as `[["0196…", 3]]`; [`Rows`] writes it.
///
/// `rows(db, "r", &[Column::Id("question_id"), Column::Integer("votes")])` is
///
/// - on SQLite `(SELECT unhex(value ->> 0) AS question_id, value ->> 1 AS votes FROM json_each(?))
///   AS r`,
/// - on PostgreSQL `(SELECT CAST(value ->> 0 AS uuid) AS question_id, CAST(value ->> 1 AS bigint)
///   AS votes FROM jsonb_array_elements(CAST(? AS jsonb))) AS r`,
/// - on MariaDB and MySQL `(SELECT unhex(c0) AS question_id, c1 AS votes FROM JSON_TABLE(?, '$[*]'
///   COLUMNS (c0 CHAR(32) PATH '$[0]', c1 BIGINT PATH '$[1]')) AS j) AS r`.
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
                (DbBackend::Postgres, Column::Bytes(_)) => {
                    format!("decode(value ->> {index}, 'hex') AS {name}")
                }
                (DbBackend::Postgres, _) => format!("CAST(value ->> {index} AS bigint) AS {name}"),
                (DbBackend::MySql, Column::Id(_) | Column::Bytes(_)) => {
                    format!("unhex(c{index}) AS {name}")
                }
                (DbBackend::MySql, _) => format!("c{index} AS {name}"),
                (_, Column::Id(_) | Column::Bytes(_)) => {
                    format!("unhex(value ->> {index}) AS {name}")
                }
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

/// The `FROM` of a query that looks rows of `table` up by the index on `column`, one lookup for
/// each id in `rows`. `rows` comes from [`rows`], with the alias `r` and one column `id` without
/// duplicates.
///
/// `format!("SELECT c.id {}", among(db, "choices c", "c.question_id", &rows))` is
///
/// - on SQLite `SELECT c.id FROM choices c WHERE c.question_id IN (SELECT id FROM {rows})`,
/// - on PostgreSQL `SELECT c.id FROM choices c WHERE c.question_id = ANY(ARRAY(SELECT id FROM
///   {rows}))`,
/// - on MariaDB and MySQL `SELECT c.id FROM {rows} STRAIGHT_JOIN choices c ON c.question_id =
///   r.id`.
///
/// With a plain join, PostgreSQL and MariaDB would scan tables of a few thousand rows instead.
pub fn among(db: &impl ConnectionTrait, table: &str, column: &str, rows: &str) -> String {
    match db.get_database_backend() {
        // PostgreSQL expects 100 rows of a JSON parameter, and for so many it prefers to scan a
        // table of a few thousand rows. Of an array it expects 10 elements.
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
                Column::Id(_) => "CHAR(32)".to_owned(),
                Column::Bytes(_) => format!("VARCHAR({})", 2 * MAX_BYTES),
                _ => "BIGINT".to_owned(),
            };
            format!("c{index} {kind} PATH '$[{index}]'")
        })
        .collect();
    format!("JSON_TABLE(?, '$[*]' COLUMNS ({}))", columns.join(", "))
}

/// A statement that runs several queries (`sources`: the columns and the SQL of each) in one
/// snapshot and returns their rows as JSON objects. Its parameters are those of the first query,
/// then those of the second, and so on. [`read_documents`] reads the result.
///
/// With two sources `a` and `b`, each with a column `id`, it is
///
/// - on SQLite one row with an array for each source: `SELECT (SELECT
///   json_group_array(json_object('id', hex(id))) FROM (a) AS d), (SELECT … FROM (b) AS d)`,
/// - on the servers one row for each row of a source, in the column of its source: `SELECT
///   CAST(json_object('id', hex(id)) AS char), CAST(NULL AS char) FROM (a) AS d UNION ALL SELECT
///   CAST(NULL AS char), … FROM (b) AS d`; on PostgreSQL with `json_build_object('id', id)` and
///   `text`.
pub fn documents(db: &impl ConnectionTrait, sources: &[(&[Column], &str)]) -> String {
    let engine = db.get_database_backend();
    if engine == DbBackend::Sqlite {
        let arrays = sources.iter().map(|(columns, source)| {
            let object = object(engine, columns);
            format!("(SELECT json_group_array({object}) FROM ({source}) AS d)")
        });
        return format!("SELECT {}", arrays.collect::<Vec<_>>().join(", "));
    }
    // Not aggregated into arrays: MariaDB would first write each source into a temporary table.
    document_rows(db, sources)
}

/// The same with one row for each document on every engine, for sources that are too large to be one
/// text.
pub fn document_rows(db: &impl ConnectionTrait, sources: &[(&[Column], &str)]) -> String {
    let engine = db.get_database_backend();
    let text = match engine {
        DbBackend::MySql => "char",
        _ => "text",
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
            Column::Bytes(name) => format!("'{name}', {}", hex(engine, name)),
        })
        .collect();
    let function = match engine {
        DbBackend::Postgres => "json_build_object",
        _ => "json_object",
    };
    format!("{function}({})", fields.join(", "))
}

/// An expression for the bytes of a column as hexadecimal digits.
fn hex(engine: DbBackend, column: &str) -> String {
    match engine {
        DbBackend::Postgres => format!("encode({column}, 'hex')"),
        _ => format!("hex({column})"),
    }
}

/// Reads the rows of the source with the index `part` from the result of [`documents`].
pub fn read_documents<T: DeserializeOwned>(
    rows: &[QueryResult],
    part: usize,
) -> Result<Vec<T>, DbErr> {
    let mut documents = Vec::new();
    for row in rows {
        documents.append(&mut documents_of(row, part)?);
    }
    Ok(documents)
}

/// Reads the documents of the source with the index `part` from one row of the result.
pub fn documents_of<T: DeserializeOwned>(row: &QueryResult, part: usize) -> Result<Vec<T>, DbErr> {
    let invalid = |error: serde_json::Error| DbErr::Json(error.to_string());
    let json: Option<String> = row.try_get_by_index(part)?;
    match json.as_deref() {
        None => Ok(Vec::new()),
        Some(array) if array.starts_with('[') => serde_json::from_str(array).map_err(invalid),
        Some(object) => Ok(vec![serde_json::from_str(object).map_err(invalid)?]),
    }
}

/// The columns of a query that [`packed`] returns.
pub const PACKED: [Column; 2] = [Column::Integer("entries"), Column::Text("packed")];

/// A query that packs the rows of another one, `rows` with the columns `bytes` and `n`, into about
/// `packs` rows of text: reading a row costs more than reading some hundred bytes. [`Packed`] is a
/// document of it.
///
/// On SQLite: `SELECT COUNT(*) AS entries, group_concat(concat(hex(bytes), ':', n)) AS packed FROM
/// (SELECT p.*, ROW_NUMBER() OVER () % {packs} AS pack FROM ({rows}) AS p) AS q GROUP BY pack`.
pub fn packed(db: &impl ConnectionTrait, rows: &str, packs: u64) -> String {
    let engine = db.get_database_backend();
    let entry = format!("concat({}, ':', n)", hex(engine, "bytes"));
    format!(
        "SELECT COUNT(*) AS entries, {} AS packed \
         FROM (SELECT p.*, ROW_NUMBER() OVER () % {packs} AS pack FROM ({rows}) AS p) AS q \
         GROUP BY pack",
        joined(db, &entry)
    )
}

/// An aggregate of all values of a text expression, in any order and with a comma between them.
pub fn joined(db: &impl ConnectionTrait, text: &str) -> String {
    match db.get_database_backend() {
        DbBackend::Postgres => format!("string_agg({text}, ',')"),
        _ => format!("group_concat({text})"),
    }
}

/// A row of [`packed`].
#[derive(Debug, Deserialize)]
pub struct Packed {
    entries: usize,
    packed: String,
}

impl Packed {
    /// Calls `take` with the bytes and the number of each row that is packed here.
    pub fn unpack(
        &self,
        mut take: impl FnMut(&[u8], i64) -> Result<(), DbErr>,
    ) -> Result<(), DbErr> {
        let invalid = || DbErr::Type("packed rows are cut off".to_owned());
        let mut bytes = Vec::new();
        let mut entries = 0;
        for entry in self.packed.split(',') {
            let (digits, number) = entry.split_once(':').ok_or_else(invalid)?;
            bytes.clear();
            for pair in digits.as_bytes().chunks(2) {
                let pair = std::str::from_utf8(pair).ok();
                let byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
                bytes.push(byte.ok_or_else(invalid)?);
            }
            take(&bytes, number.parse().map_err(|_| invalid())?)?;
            entries += 1;
        }
        // MariaDB cuts a text that is longer than group_concat_max_len.
        if entries == self.entries {
            Ok(())
        } else {
            Err(invalid())
        }
    }
}

/// The parameter of [`rows`]: rows written as JSON.
#[derive(Debug, Clone)]
pub struct Rows(String);

impl Rows {
    pub fn new() -> Self {
        Rows(String::from("["))
    }

    pub fn is_empty(&self) -> bool {
        self.0.len() == 1
    }

    /// Adds a row. Its ids must be the first columns, its numbers the last.
    pub fn push(&mut self, ids: &[Uuid], numbers: &[i64]) {
        let separator = self.begin(ids);
        self.end(separator, numbers);
    }

    /// Adds a row with a column of [bytes](Column::Bytes) between its ids and its numbers.
    pub fn push_bytes(&mut self, ids: &[Uuid], bytes: &[u8], numbers: &[i64]) {
        let separator = self.begin(ids);
        self.0.extend([separator, "\""]);
        for byte in bytes {
            // Writing to a String cannot fail.
            let _ = write!(self.0, "{byte:02x}");
        }
        self.0.push('"');
        self.end(",", numbers);
    }

    fn begin(&mut self, ids: &[Uuid]) -> &'static str {
        let mut separator = if self.is_empty() { "[" } else { ",[" };
        for id in ids {
            let mut digits = [0; Simple::LENGTH];
            let digits: &str = id.simple().encode_lower(&mut digits);
            self.0.extend([separator, "\"", digits, "\""]);
            separator = ",";
        }
        separator
    }

    fn end(&mut self, mut separator: &str, numbers: &[i64]) {
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

/// The parameter of a [`rows`] with one column of ids.
pub fn ids(ids: impl IntoIterator<Item = Uuid>) -> Rows {
    let mut rows = Rows::new();
    for id in ids {
        rows.push(&[id], &[]);
    }
    rows
}
