//! Reading of values that the package answers in more than one type.
//!
//! A value not set comes as null, as an empty text or not at all; a number as number or text; a list as list, null or
//! text with commas. Must not know which field it reads.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A text; null is empty.
pub(crate) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(as_text(&Value::deserialize(from)?).unwrap_or_default())
}

/// A text, none where there is nothing in it.
pub(crate) fn option_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(as_text(&Value::deserialize(from)?).filter(|text| !text.is_empty()))
}

/// A whole number, none where there is none or not one.
pub(crate) fn option_number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    Ok(as_number(&Value::deserialize(from)?))
}

/// A number that may have a fraction.
pub(crate) fn option_float<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().trim_end_matches('%').parse().ok(),
        _ => None,
    })
}

/// Yes or no; null is no.
pub(crate) fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::Bool(value) => value,
        Value::Number(number) => number.as_f64().is_some_and(|number| number != 0.0),
        Value::String(text) => {
            !matches!(text.trim().to_ascii_lowercase().as_str(), "" | "0" | "no" | "false" | "off")
        }
        _ => false,
    })
}

/// A list of texts; null is empty, a text is split at commas.
pub(crate) fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::Array(values) => values.iter().map(|value| as_text(value).unwrap_or_default()).collect(),
        Value::String(text) => {
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    })
}

/// A text or number as text.
pub(crate) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A whole number given as number or text.
pub(crate) fn as_number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Read {
        #[serde(deserialize_with = "text")]
        text: String,
        #[serde(deserialize_with = "option_text")]
        option: Option<String>,
        #[serde(deserialize_with = "option_number")]
        number: Option<u64>,
        #[serde(deserialize_with = "flag")]
        flag: bool,
        #[serde(deserialize_with = "list")]
        list: Vec<String>,
    }

    #[track_caller]
    fn check(from: Value, expected: Read) {
        assert_eq!(serde_json::from_value::<Read>(from).unwrap(), expected);
    }

    #[test]
    fn what_is_not_set_reads_alike_in_every_spelling() {
        let empty = || Read::default();
        check(json!({}), empty());
        check(json!({"text": null, "option": null, "number": null, "flag": null, "list": null}), empty());
        check(json!({"text": "", "option": "", "number": "", "flag": "", "list": ""}), empty());
        check(json!({"flag": false, "list": []}), empty());
        check(json!({"text": {}, "option": [], "number": {}, "flag": [], "list": {}, "unknown": 1}), empty());
    }

    #[test]
    fn numbers_and_texts_read_alike() {
        let expected = || Read {
            text: "17".into(),
            option: Some("17".into()),
            number: Some(17),
            flag: true,
            list: vec!["1".into(), "2".into()],
        };
        check(
            json!({"text": "17", "option": "17", "number": "17", "flag": "yes", "list": "1, 2"}),
            expected(),
        );
        check(json!({"text": 17, "option": 17, "number": 17, "flag": 1, "list": [1, 2]}), expected());
    }

    #[test]
    fn what_is_no_number_is_none() {
        for value in [json!(-1), json!("x"), json!(1.5), json!(true)] {
            check(json!({"number": value}), Read::default());
        }
    }
}
