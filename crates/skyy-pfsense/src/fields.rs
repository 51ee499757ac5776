//! The fields to write to one row.
//!
//! Checked when a write is made; must not know how it is sent.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::table::Table;
use crate::text::{Strictness, TextError, check};

/// Fields by name, as the package takes them.
pub type Fields = Map<String, Value>;

/// Fields that are not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldsError {
    /// A text that the box would lose or refuse.
    #[error("field {field:?}{} {why}", .row.as_ref().map(|row| format!(" of row {row}")).unwrap_or_default())]
    Text {
        /// The field.
        field: String,
        /// Which of several rows, by position.
        row: Option<usize>,
        /// What is wrong.
        why: TextError,
    },
    /// The value given cannot be written as fields.
    #[error("the row cannot be written as JSON fields: {0}")]
    NoFields(String),
    /// A static mapping of another interface, or of none.
    #[error(
        "row {row} is of interface {found:?}, not of {interface:?}: a static mapping cannot move between interfaces"
    )]
    OtherInterface {
        /// Which row.
        row: usize,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        interface: String,
    },
    /// The interface of a static mapping is missing.
    #[error("a static mapping is of an interface: name it (parent_id)")]
    NoInterface,
}

/// Any value whose JSON is an object, as fields.
pub(crate) fn of<T: Serialize>(value: &T) -> Result<Fields, FieldsError> {
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(FieldsError::NoFields(format!("{other} is no object"))),
        Err(cause) => Err(FieldsError::NoFields(cause.to_string())),
    }
}

/// Checks every text of one row, those in lists too.
pub(crate) fn check_texts(
    table: Table,
    fields: &Fields,
    row: Option<usize>,
    strictness: Strictness,
) -> Result<(), FieldsError> {
    for (field, value) in fields {
        let limit = table.text_limit(field);
        texts(value, &mut |text| check(text, limit, strictness)).map_err(|why| FieldsError::Text {
            field: field.clone(),
            row,
            why,
        })?;
    }
    Ok(())
}

fn texts(value: &Value, seen: &mut dyn FnMut(&str) -> Result<(), TextError>) -> Result<(), TextError> {
    match value {
        Value::String(text) => seen(text),
        Value::Array(values) => values.iter().try_for_each(|value| texts(value, seen)),
        Value::Object(values) => values.values().try_for_each(|value| texts(value, seen)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn checked(table: Table, fields: Value, strictness: Strictness, expected: Result<(), &str>) {
        let seen = check_texts(table, &of(&fields).unwrap(), Some(3), strictness);
        assert_eq!(seen.map_err(|refusal| refusal.to_string()), expected.map_err(str::to_owned));
    }

    #[test]
    fn refusals_name_the_field_the_row_and_the_way_out() {
        use Strictness::*;
        checked(Table::VirtualIp, json!({"descr": "x".repeat(1024), "subnet_bits": 23}), Ours, Ok(()));
        checked(Table::StaticMapping, json!({"descr": "x".repeat(255)}), Foreign, Ok(()));
        checked(
            Table::StaticMapping,
            json!({"descr": "x".repeat(256)}),
            Ours,
            Err(
                "field \"descr\" of row 3 is 256 bytes long, the field takes 255: shorten it (a letter outside ASCII counts 2 to 4 bytes)",
            ),
        );
        checked(
            Table::Alias,
            json!({"detail": ["fine", "bell\u{7}"]}),
            Foreign,
            Err(
                "field \"detail\" of row 3 holds the character U+0007, which pfSense cannot store: take it out",
            ),
        );
        checked(Table::Rule, json!({"descr": "two\nlines"}), Foreign, Ok(()));
        checked(
            Table::Rule,
            json!({"descr": "two\nlines"}),
            Ours,
            Err(
                "field \"descr\" of row 3 holds the character U+000A, which pfSense cannot store: take it out",
            ),
        );
    }
}
