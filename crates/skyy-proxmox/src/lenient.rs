//! Reading what Proxmox VE means: numbers as strings, booleans as 0 and 1, fields that are there only sometimes.
//!
//! A field that cannot be read becomes `None`; only what identifies a thing is required, and that is decided by the type
//! that uses these readers. Must not know any particular field.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A number that may come as a number or as a string.
pub(crate) trait Number: Sized {
    fn read(value: &Value) -> Option<Self>;
}

impl Number for u64 {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_u64().or_else(|| number.as_f64().and_then(whole)),
            Value::String(text) => {
                let text = text.trim();
                text.parse().ok().or_else(|| text.parse().ok().and_then(whole))
            }
            Value::Bool(flag) => Some(u64::from(*flag)),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

impl Number for u32 {
    fn read(value: &Value) -> Option<Self> {
        u64::read(value).and_then(|number| Self::try_from(number).ok())
    }
}

impl Number for i64 {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

impl Number for f64 {
    fn read(value: &Value) -> Option<Self> {
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        number.filter(|number: &f64| number.is_finite())
    }
}

/// A float that is a whole number a `u64` can hold exactly.
fn whole(number: f64) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    if number.fract() == 0.0 && (0.0..=EXACT).contains(&number) {
        // The range was checked: the text of such a float is an integer.
        format!("{number:.0}").parse().ok()
    } else {
        None
    }
}

pub(crate) fn number<'de, D: Deserializer<'de>, N: Number>(from: D) -> Result<Option<N>, D::Error> {
    Ok(N::read(&Value::deserialize(from)?))
}

pub(crate) fn read_flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => Some(number.as_f64() != Some(0.0)),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Some(true),
            "0" | "false" | "no" | "off" | "" => Some(false),
            _ => None,
        },
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// `1`, `"1"`, `true`, …; `None` when it is absent or means nothing.
pub(crate) fn maybe_flag<'de, D: Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    Ok(read_flag(&Value::deserialize(from)?))
}

/// The same where absence means no.
pub(crate) fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(read_flag(&Value::deserialize(from)?).unwrap_or(false))
}

pub(crate) fn read_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(u8::from(*flag).to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Text, also where a number was sent.
pub(crate) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(read_text(&Value::deserialize(from)?))
}

/// A list of texts; `null` and a single text are lists too.
pub(crate) fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::Array(items) => items.iter().filter_map(read_text).collect(),
        other => read_text(&other).into_iter().collect(),
    })
}

/// Words between commas, semicolons or blanks: how Proxmox VE writes content types, tags and privileges.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ';', ' ', '\t', '\n']).filter(|word| !word.is_empty())
}

/// Words as a set.
pub(crate) fn word_set<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<std::collections::BTreeSet<String>, D::Error> {
    let text = read_text(&Value::deserialize(from)?).unwrap_or_default();
    Ok(words(&text).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_come_in_every_shape() {
        let check = |value: Value, expected: Option<u64>| assert_eq!(u64::read(&value), expected, "{value}");
        check(json!(5), Some(5));
        check(json!("5"), Some(5));
        check(json!(" 5 "), Some(5));
        check(json!(5.0), Some(5));
        check(json!("1e3"), Some(1000));
        check(json!(u64::MAX), Some(u64::MAX));
        check(json!("18446744073709551615"), Some(u64::MAX));
        check(json!(5.5), None);
        check(json!(-1), None);
        check(json!("<any>"), None);
        check(json!(null), None);
        check(json!([5]), None);
        assert_eq!(u32::read(&json!(4_294_967_296_u64)), None);
        assert_eq!(i64::read(&json!("-1")), Some(-1));
        assert_eq!(f64::read(&json!("0.25")), Some(0.25));
        assert_eq!(f64::read(&json!("NaN")), None);
    }

    #[test]
    fn flags_come_in_every_shape() {
        let check = |value: Value, expected: Option<bool>| assert_eq!(read_flag(&value), expected, "{value}");
        check(json!(1), Some(true));
        check(json!(0), Some(false));
        check(json!("1"), Some(true));
        check(json!("0"), Some(false));
        check(json!(""), Some(false));
        check(json!(true), Some(true));
        check(json!("off"), Some(false));
        check(json!("maybe"), None);
        check(json!(null), None);
    }
}
