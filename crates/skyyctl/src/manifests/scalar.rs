//! YAML values as the Kubernetes tools read them: the booleans and numbers of YAML 1.1.
//!
//! The importer keeps `yes` and `0755` as text, because its files mean text; a manifest that says so has a boolean and
//! a number, and the API server refuses them where it wants text. This is what makes a check without it right.

use serde_json::{Map, Number, Value};

use crate::import::yaml::{Kind, Node, Scalar};

pub(super) fn json(node: &Node) -> Value {
    match &node.kind {
        Kind::Scalar(scalar) => value(scalar),
        Kind::List(items) => items.iter().map(json).collect(),
        Kind::Map(entries) => {
            let pairs = entries.iter().map(|(key, value)| (key.text.clone(), json(value)));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
    }
}

fn value(scalar: &Scalar) -> Value {
    let text = scalar.text.as_str();
    if scalar.quoted {
        return Value::String(text.to_owned());
    }
    if scalar.is_null() {
        return Value::Null;
    }
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "true" | "True" | "TRUE" => {
            return Value::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "false" | "False" | "FALSE" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

fn number(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let plain = digits.replace('_', "");
    let radix = |prefix: &str, radix: u32| {
        plain.strip_prefix(prefix).and_then(|digits| i64::from_str_radix(digits, radix).ok())
    };
    let whole = radix("0x", 16).or_else(|| radix("0o", 8)).or_else(|| radix("0b", 2)).or_else(|| {
        let octal = plain.len() > 1 && plain.starts_with('0') && plain.bytes().all(|b| b.is_ascii_digit());
        if octal { i64::from_str_radix(&plain, 8).ok() } else { plain.parse().ok() }
    });
    if let Some(whole) = whole {
        return if negative { whole.checked_neg().map(Number::from) } else { Some(Number::from(whole)) };
    }
    let float = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
    let parsed: f64 = if float { digits.parse().ok()? } else { return None };
    Number::from_f64(if negative { -parsed } else { parsed })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn as_kubectl_reads_them() {
        let cases = [
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("0755", json!(493)),
            ("0x10", json!(16)),
            ("1_000", json!(1000)),
            ("-3", json!(-3)),
            ("3.10", json!(3.1)),
            ("1e3", json!(1000.0)),
            ("10.20.0.1", json!("10.20.0.1")),
            ("02:00:2e:8c:5e:78", json!("02:00:2e:8c:5e:78")),
            ("4Ti", json!("4Ti")),
            ("-", json!("-")),
            ("-0x-8000000000000000", json!("-0x-8000000000000000")),
            ("2026-01-02", json!("2026-01-02")),
            ("~", json!(null)),
        ];
        for (text, expected) in cases {
            assert_eq!(value(&Scalar { text: text.to_owned(), quoted: false }), expected, "{text}");
        }
        assert_eq!(value(&Scalar { text: "yes".to_owned(), quoted: true }), json!("yes"));
    }
}
