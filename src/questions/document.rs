//! Questions as documents of a statement that reads several tables at once; see
//! [`db::documents`](crate::db::documents()).

use std::fmt::Display;
use std::str::FromStr;
use std::sync::LazyLock;

use sea_orm::{ColumnTrait as _, ColumnType, IdenStatic as _, Iterable as _};
use serde::{Deserialize as _, Deserializer, de};

use super::entity;
use crate::clock::Time;
use crate::db::Column;

/// The columns of a question, as its [entity] declares them.
pub static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    let column = |column: entity::Column| {
        let name = column.as_str();
        match column.def().get_column_type() {
            ColumnType::Uuid => Column::Id(name),
            ColumnType::Boolean => Column::Flag(name),
            ColumnType::Integer | ColumnType::BigInteger => Column::Integer(name),
            _ => Column::Text(name),
        }
    };
    entity::Column::iter().map(column).collect()
});

/// For `#[serde(deserialize_with)]`: a [`Column::Flag`].
pub fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    u8::deserialize(deserializer).map(|flag| flag != 0)
}

/// For `#[serde(deserialize_with)]`: a time as it is stored, in microseconds.
pub(super) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
    i64::deserialize(deserializer).map(Time)
}

/// For `#[serde(deserialize_with)]`: the same, or null.
pub(super) fn time_or_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Time>, D::Error> {
    Option::<i64>::deserialize(deserializer).map(|time| time.map(Time))
}

/// For `#[serde(deserialize_with)]`: a value that is stored as text, or null.
pub(super) fn text_or_null<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let text = Option::<String>::deserialize(deserializer)?;
    let value = text.map(|text| text.parse().map_err(de::Error::custom));
    value.transpose()
}
