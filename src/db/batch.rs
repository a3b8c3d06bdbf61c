//! Many rows as one parameter, so that a batch is the same statement whatever its size.

/// A column of [`rows`] and how its JSON value is read.
#[derive(Debug, Clone, Copy)]
pub enum Column {
    /// An id, written as 32 hexadecimal digits.
    Id(&'static str),
    /// A whole number.
    Integer(&'static str),
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
            Column::Integer(name) => format!("value ->> {index} AS {name}"),
        })
        .collect();
    format!("(SELECT {} FROM json_each(?)) AS {alias}", columns.join(", "))
}
