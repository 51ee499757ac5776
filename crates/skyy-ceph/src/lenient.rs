//! Reading of values that come in more than one type between releases and calls.
//!
//! Must not know which field it reads.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A whole number given as number or text; what is missing or no number is 0.
pub(crate) fn number<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    Ok(as_number(&Value::deserialize(from)?))
}

/// 0, 1 or a boolean.
pub(crate) fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::Bool(value) => value,
        other => as_number(&other) != 0,
    })
}

/// A text; null is empty.
pub(crate) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    })
}

/// A list; null and objects without order are empty.
pub(crate) fn list<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: serde::de::DeserializeOwned,
{
    match Value::deserialize(from)? {
        values @ Value::Array(_) => serde_json::from_value(values).map_err(serde::de::Error::custom),
        _ => Ok(Vec::new()),
    }
}

/// The `latest` of a statistic with a history, or the plain number.
pub(crate) fn latest<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(from)?;
    Ok(as_number(value.get("latest").unwrap_or(&value)))
}

fn as_number(value: &Value) -> u64 {
    match value {
        // Byte counts come as floats in places; below zero and beyond 2^53 there are none.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Value::Number(number) => {
            number.as_u64().or_else(|| number.as_f64().map(|number| number as u64)).unwrap_or(0)
        }
        Value::String(text) => text.trim().parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Read {
        #[serde(deserialize_with = "number")]
        number: u64,
        #[serde(deserialize_with = "flag")]
        flag: bool,
        #[serde(deserialize_with = "text")]
        text: String,
        #[serde(deserialize_with = "list")]
        list: Vec<u8>,
        #[serde(deserialize_with = "latest")]
        latest: u64,
    }

    #[track_caller]
    fn check(from: Value, expected: (u64, bool, &str, &[u8], u64)) {
        let (number, flag, text, list, latest) = expected;
        let expected = Read { number, flag, text: text.into(), list: list.into(), latest };
        assert_eq!(serde_json::from_value::<Read>(from).unwrap(), expected);
    }

    #[test]
    fn values_read_in_every_type() {
        check(json!({}), (0, false, "", &[], 0));
        check(
            json!({"number": null, "flag": null, "text": null, "list": null, "latest": null}),
            (0, false, "", &[], 0),
        );
        check(
            json!({"number": "7", "flag": 1, "text": "a", "list": [1], "latest": {"latest": 9}}),
            (7, true, "a", &[1], 9),
        );
        check(
            json!({"number": 7.0, "flag": true, "text": 3, "list": {}, "latest": 9.0}),
            (7, true, "3", &[], 9),
        );
    }
}
