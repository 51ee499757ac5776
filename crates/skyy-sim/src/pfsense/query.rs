//! Filters, order and paging of plural requests, with PHP's loose comparison.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::{
    envelope::{ApiError, ApiResult, plain},
    fields::{Field, truthy},
    request::{CONTROL, Control},
};

/// Whether any member of the data can be a filter.
pub(super) fn has_filter(data: &Map<String, Value>) -> bool {
    data.keys().any(|name| !CONTROL.contains(&name.as_str()))
}

/// Keeps what passes every filter. A filter for a field that does not exist passes everything.
pub(super) fn filter(
    objects: Vec<Value>,
    data: &Map<String, Value>,
    fields: &[String],
) -> ApiResult<Vec<Value>> {
    let mut filters = Vec::new();
    for (name, wanted) in data.iter().filter(|(name, _)| !CONTROL.contains(&name.as_str())) {
        let (field, operator) = name.split_once("__").unwrap_or((name, "exact"));
        let operator = Operator::named(operator)?;
        if fields.iter().any(|known| known == field) {
            filters.push((field, operator, wanted));
        }
    }
    let passes = |object: &Value| {
        filters.iter().all(|(field, operator, wanted)| operator.passes(&object[*field], wanted))
    };
    Ok(objects.into_iter().filter(passes).collect())
}

/// Orders and pages.
pub(super) fn page(mut objects: Vec<Value>, control: &Control, fields: &[String]) -> ApiResult<Vec<Value>> {
    sort(&mut objects, control, fields)?;
    if control.reverse {
        objects.reverse();
    }
    let limit = if control.limit == 0 { usize::MAX } else { control.limit };
    Ok(objects.into_iter().skip(control.offset).take(limit).collect())
}

/// Orders by the fields wanted; without any nothing is moved.
pub(super) fn sort(objects: &mut [Value], control: &Control, fields: &[String]) -> ApiResult<()> {
    if control.sort_by.iter().any(|field| !fields.contains(field)) {
        let message = "Field `sort_by` must be a valid field in the Model.";
        return Err(ApiError::bad("ENDPOINT_SORT_BY_FIELD_NON_EXISTENT_FIELD", message));
    }
    objects.sort_by(|a, b| {
        let by_field = |field: &String| {
            let order = ordered(&a[field], &b[field], &control.sort_flags);
            if control.descending { order.reverse() } else { order }
        };
        control.sort_by.iter().map(by_field).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    });
    Ok(())
}

fn ordered(a: &Value, b: &Value, flags: &str) -> Ordering {
    match flags {
        "SORT_NATURAL" => natural(&plain(a), &plain(b)),
        "SORT_STRING" => plain(a).cmp(&plain(b)),
        _ => compare(a, b).unwrap_or_else(|| plain(a).cmp(&plain(b))),
    }
}

/// Orders runs of digits by their number.
fn natural(a: &str, b: &str) -> Ordering {
    let runs = |text: &str| {
        let mut runs: Vec<(bool, String)> = Vec::new();
        for c in text.chars() {
            match runs.last_mut() {
                Some((digits, run)) if *digits == c.is_ascii_digit() => run.push(c),
                _ => runs.push((c.is_ascii_digit(), c.to_string())),
            }
        }
        runs
    };
    let (a, b) = (runs(a), runs(b));
    let differing = a.iter().zip(&b).map(|((a_digits, a), (b_digits, b))| match (a_digits, b_digits) {
        (true, true) => a.parse::<u64>().ok().cmp(&b.parse::<u64>().ok()),
        _ => a.cmp(b),
    });
    differing.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Exact,
    Except,
    Contains,
    StartsWith,
    EndsWith,
    In,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Regex,
}

impl Operator {
    fn named(name: &str) -> ApiResult<Self> {
        Ok(match name {
            "exact" => Self::Exact,
            "except" => Self::Except,
            "contains" => Self::Contains,
            "startswith" => Self::StartsWith,
            "endswith" => Self::EndsWith,
            "in" => Self::In,
            "gt" => Self::Greater,
            "gte" => Self::GreaterOrEqual,
            "lt" => Self::Less,
            "lte" => Self::LessOrEqual,
            "regex" => Self::Regex,
            _ => {
                let message = format!("No QueryFilter class found with the name `{name}`.");
                return Err(ApiError::new(404, "QUERY_FILTER_NOT_FOUND", message));
            }
        })
    }

    fn passes(self, value: &Value, wanted: &Value) -> bool {
        let order = || compare(value, wanted);
        match self {
            Self::Exact => loosely_equal(value, wanted),
            Self::Except => !loosely_equal(value, wanted),
            Self::Contains => match value {
                Value::Array(items) => items.iter().any(|item| loosely_equal(item, wanted)),
                _ => plain(value).contains(&plain(wanted)),
            },
            Self::StartsWith => match value {
                Value::Array(items) => items.first().is_some_and(|item| loosely_equal(item, wanted)),
                _ => plain(value).starts_with(&plain(wanted)),
            },
            Self::EndsWith => match value {
                Value::Array(items) => items.last().is_some_and(|item| loosely_equal(item, wanted)),
                _ => plain(value).ends_with(&plain(wanted)),
            },
            Self::In => wanted.as_array().is_some_and(|all| all.iter().any(|one| loosely_equal(value, one))),
            Self::Greater => order().is_some_and(Ordering::is_gt),
            Self::GreaterOrEqual => order().is_some_and(Ordering::is_ge),
            Self::Less => order().is_some_and(Ordering::is_lt),
            Self::LessOrEqual => order().is_some_and(Ordering::is_le),
            Self::Regex => regex(&plain(wanted), &plain(value)),
        }
    }
}

/// PHP's `==`: `true` equals every value that is not empty, numbers equal the texts that spell them.
fn loosely_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Bool(_), _) | (_, Value::Bool(_)) => truthy(Some(a)) == truthy(Some(b)),
        (Value::Null, Value::String(text)) | (Value::String(text), Value::Null) => text.is_empty(),
        (Value::Null, other) | (other, Value::Null) => !truthy(Some(other)),
        (Value::Array(_), Value::Array(_)) | (Value::Object(_), _) | (_, Value::Object(_)) => a == b,
        (Value::Array(_), _) | (_, Value::Array(_)) => false,
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => (a - b).abs() < f64::EPSILON,
            _ => plain(a) == plain(b),
        },
    }
}

/// PHP's order: by number where both are numbers, else as texts.
fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.partial_cmp(&b),
        _ if a.is_array() || b.is_array() || a.is_object() || b.is_object() => None,
        _ => Some(plain(a).cmp(&plain(b))),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}

/// The names by which a collection's objects can be filtered and ordered.
pub(super) fn field_names(fields: &'static [Field], sample: Option<&Value>) -> Vec<String> {
    let mut names = vec!["id".to_owned(), "parent_id".to_owned()];
    names.extend(fields.iter().map(|field| field.name.to_owned()));
    if let Some(Value::Object(sample)) = sample.filter(|_| fields.is_empty()) {
        names.extend(sample.keys().cloned()); // a collection that is only shown
    }
    names
}

/// A PHP pattern with its delimiters; one that is malformed matches nothing.
fn regex(pattern: &str, text: &str) -> bool {
    let Some(delimiter) = pattern.chars().next() else { return false };
    let Some((body, flags)) = pattern[delimiter.len_utf8()..].rsplit_once(delimiter) else { return false };
    let built = regex::RegexBuilder::new(body).case_insensitive(flags.contains('i')).build();
    built.is_ok_and(|regex| regex.is_match(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn php_equality() {
        let cases = [
            (json!("vip1"), json!(true), true),
            (json!(""), json!(true), false),
            (json!("5"), json!(5), true),
            (json!("x"), json!(0), false),
            (json!(null), json!(""), true),
            (json!(null), json!(false), true),
            (json!(["wan"]), json!("wan"), false),
            (json!(["wan"]), json!(["wan"]), true),
            (json!(false), json!(0), true),
            (json!("a"), json!("A"), false),
        ];
        for (a, b, expected) in cases {
            assert_eq!(loosely_equal(&a, &b), expected, "{a} == {b}");
        }
    }

    #[test]
    fn natural_order() {
        assert_eq!(natural("q_e9", "q_e10"), Ordering::Less);
        assert_eq!(natural("q_b", "q_c"), Ordering::Less);
        assert_eq!(natural("a", "a1"), Ordering::Less);
    }
}
