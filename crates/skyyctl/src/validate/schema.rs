//! What the API server checks by a CRD's structural schema: defaults, unknown fields, types, bounds, patterns.
//!
//! Works on any structural schema and knows none of our kinds. Where the server would drop something without a word
//! (an unknown field), this says so, as strict field validation does.

use std::{cell::RefCell, collections::HashMap};

use regex::Regex;
use serde_json::{Map, Value};

use crate::manifests::path::Path;

/// Something that the schema does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub path: Path,
    /// What, and what would be right.
    pub message: String,
}

/// The object as the API server would store it: nothing where null is not allowed, defaults where nothing was said.
pub fn complete(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            let empty = Map::new();
            let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
            map.retain(|key, value| {
                let nullable = |schema: &Value| schema.get("nullable") == Some(&Value::Bool(true));
                !value.is_null() || properties.get(key).is_none_or(nullable)
            });
            for (key, schema) in properties {
                if let Some(default) = schema.get("default")
                    && !map.contains_key(key)
                {
                    map.insert(key.clone(), default.clone());
                }
            }
            let additional = schema.get("additionalProperties").filter(|schema| schema.is_object());
            for (key, value) in map {
                if let Some(schema) = properties.get(key).or(additional) {
                    complete(schema, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for item in items {
                    complete(schema, item);
                }
            }
        }
        _ => {}
    }
}

/// Checks values against schemas; keeps the patterns that it has read.
#[derive(Debug, Default)]
pub struct Checker {
    patterns: RefCell<HashMap<String, Option<Regex>>>,
}

impl Checker {
    /// Everything in a value that its schema does not allow.
    pub fn check(&self, schema: &Value, value: &Value, path: &Path, problems: &mut Vec<Problem>) {
        let flag = |name: &str| schema.get(name) == Some(&Value::Bool(true));
        if value.is_null() && flag("nullable") {
            return;
        }
        let mut say = |path: &Path, message: String| problems.push(Problem { path: path.clone(), message });
        if flag("x-kubernetes-int-or-string") {
            if !value.is_i64() && !value.is_u64() && !value.is_string() {
                say(path, format!("is {}; a number or a text was expected", what(value)));
            }
            return;
        }
        if let Some(wanted) = schema.get("type").and_then(Value::as_str)
            && !is_a(value, wanted)
        {
            return say(path, wrong_type(value, wanted));
        }
        if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
            && !allowed.contains(value)
        {
            let words: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
            let near = value.as_str().and_then(|text| nearest(text, words.iter().copied()));
            let meant = near.map(|word| format!("; was {word} meant?")).unwrap_or_default();
            return say(path, format!("{} is none of {}{meant}", shown(value), words.join(", ")));
        }
        match value {
            Value::Object(map) => self.object(schema, map, path, problems),
            Value::Array(items) => self.list(schema, items, path, problems),
            Value::String(text) => self.text(schema, text, path, problems),
            Value::Number(_) => bounds(schema, value, path, problems),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn object(&self, schema: &Value, map: &Map<String, Value>, path: &Path, problems: &mut Vec<Problem>) {
        let empty = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let additional = schema.get("additionalProperties");
        let open = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
        for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            let name = required.as_str().unwrap_or_default();
            if !map.contains_key(name) {
                problems.push(Problem { path: path.key(name), message: "is required".to_owned() });
            }
        }
        for (key, value) in map {
            let path = path.key(key);
            match (properties.get(key), additional) {
                (Some(schema), _) | (None, Some(schema @ Value::Object(_))) => {
                    self.check(schema, value, &path, problems);
                }
                (None, Some(Value::Bool(true))) => {}
                (None, _) if open || properties.is_empty() => {}
                (None, _) => {
                    let near = nearest(key, properties.keys().map(String::as_str));
                    let meant = near.map(|name| format!("; was {name} meant?")).unwrap_or_default();
                    problems.push(Problem { path, message: format!("there is no such field{meant}") });
                }
            }
        }
    }

    fn list(&self, schema: &Value, items: &[Value], path: &Path, problems: &mut Vec<Problem>) {
        let count = items.len() as u64;
        let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
        let wrong = match (bound("minItems"), bound("maxItems")) {
            (Some(least), _) if count < least => Some(format!("at least {least} are needed")),
            (_, Some(most)) if count > most => Some(format!("at most {most} are allowed")),
            _ => None,
        };
        if let Some(wrong) = wrong {
            problems.push(Problem { path: path.clone(), message: format!("has {count} entries; {wrong}") });
        }
        if let Some(schema) = schema.get("items") {
            for (n, item) in items.iter().enumerate() {
                self.check(schema, item, &path.index(n), problems);
            }
        }
        let keys: Vec<&str> = schema
            .get("x-kubernetes-list-map-keys")
            .and_then(Value::as_array)
            .map(|keys| keys.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        if keys.is_empty() {
            return;
        }
        let mut first: HashMap<Vec<Option<&Value>>, usize> = HashMap::new();
        for (n, item) in items.iter().enumerate() {
            let key: Vec<Option<&Value>> = keys.iter().map(|key| item.get(*key)).collect();
            if let Some(other) = first.insert(key.clone(), n) {
                let which: Vec<String> = key.into_iter().flatten().map(shown).collect();
                let message = format!("{} stands at {path}[{other}] too", which.join(", "));
                problems.push(Problem { path: path.index(n), message });
            }
        }
    }

    fn text(&self, schema: &Value, text: &str, path: &Path, problems: &mut Vec<Problem>) {
        let mut say = |message: String| problems.push(Problem { path: path.clone(), message });
        let length = text.chars().count() as u64;
        let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
        // A format that is known tells more than a count of letters.
        if let Some(wrong) = address(path, text) {
            return say(wrong);
        }
        match (bound("minLength"), bound("maxLength")) {
            (Some(1), _) if text.is_empty() => return say("is empty".to_owned()),
            (Some(least), _) if length < least => {
                return say(format!("{text:?} has {length} letters; at least {least} are needed"));
            }
            (_, Some(most)) if length > most => {
                let start: String = text.chars().take(24).collect();
                return say(format!("\"{start}…\" has {length} letters; at most {most} are allowed"));
            }
            _ => {}
        }
        if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
            let mut patterns = self.patterns.borrow_mut();
            let regex = patterns.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).ok());
            match regex {
                Some(regex) if !regex.is_match(text) => say(format!("{text:?} does not look like {pattern}")),
                Some(_) => {}
                None => say(format!("the pattern {pattern} cannot be read: not checked")),
            }
        }
        let format = schema.get("format").and_then(Value::as_str);
        if format == Some("date-time") && text.parse::<k8s_openapi::jiff::Timestamp>().is_err() {
            say(format!("{text:?} is not a time such as 2026-01-02T03:04:05Z"));
        }
    }
}

/// What is wrong with a text that stands where a MAC is meant, in the words of those who read it later.
fn address(path: &Path, text: &str) -> Option<String> {
    (path.last_key() == Some("mac"))
        .then(|| text.parse::<skyy_api::address::Mac>().err())
        .flatten()
        .map(|error| error.to_string())
}

fn bounds(schema: &Value, value: &Value, path: &Path, problems: &mut Vec<Problem>) {
    let Some(number) = value.as_f64() else { return };
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    let (least, most) = (bound("minimum"), bound("maximum"));
    if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
        let range = match (least, most) {
            (Some(least), Some(most)) => format!("from {least} to {most}"),
            (Some(least), None) => format!("{least} or more"),
            (_, most) => format!("{} or less", most.unwrap_or_default()),
        };
        problems.push(Problem { path: path.clone(), message: format!("{value} is not {range}") });
    }
    let whole = match schema.get("format").and_then(Value::as_str) {
        Some("int32") => value.as_i64().is_none_or(|n| i32::try_from(n).is_ok()),
        _ => true,
    };
    if !whole {
        problems.push(Problem { path: path.clone(), message: format!("{value} is too large") });
    }
}

fn is_a(value: &Value, wanted: &str) -> bool {
    match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0),
        "number" => value.is_number(),
        _ => true,
    }
}

fn wrong_type(value: &Value, wanted: &str) -> String {
    let expected = match wanted {
        "object" => "a map",
        "array" => "a list",
        "string" => "a text",
        "boolean" => "true or false",
        "integer" => "a whole number",
        _ => wanted,
    };
    let quotes = match value {
        Value::Number(_) | Value::Bool(_) if wanted == "string" => ": write it in quotes",
        Value::String(_) if matches!(wanted, "integer" | "boolean") => ": write it without quotes",
        _ => "",
    };
    format!("is {}; {expected} was expected{quotes}", what(value))
}

fn what(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => shown(value),
    }
}

/// A value in a sentence.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if text.chars().count() > 80 => {
            format!("\"{}…\"", text.chars().take(60).collect::<String>())
        }
        Value::String(text) => format!("{text:?}"),
        other => other.to_string(),
    }
}

/// The word that was most likely meant: the same in other letters, or at most two letters away.
fn nearest<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = text.to_lowercase();
    let bound = if text.len() < 4 { 1 } else { 2 };
    words
        .map(|word| (distance(&lower, &word.to_lowercase()), word))
        .filter(|(distance, _)| *distance <= bound)
        .min()
        .map(|(_, word)| word)
}

/// How many letters have to be changed, added or left out.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn problems(schema: &Value, value: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        Checker::default().check(schema, value, &Path::root(), &mut problems);
        problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
    }

    #[test]
    fn each_keyword_says_what_is_wrong() {
        let schema = json!({"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 5, "pattern": "^[a-z]+$"},
            "count": {"type": "integer", "minimum": 1, "maximum": 9, "format": "int32"},
            "mode": {"type": "string", "enum": ["Pass", "Block"]},
            "on": {"type": "boolean"},
            "mac": {"type": "string"},
            "size": {"x-kubernetes-int-or-string": true},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "list": {"type": "array", "maxItems": 2, "items": {"type": "object", "properties": {"k": {"type": "string"}}},
                     "x-kubernetes-list-map-keys": ["k"]},
        }});
        let check =
            |value: Value, expected: &[&str]| assert_eq!(problems(&schema, &value), expected, "{value}");
        check(json!({"name": "a", "count": 9, "mode": "Pass", "size": "4Ti", "labels": {"x": "y"}}), &[]);
        check(json!({}), &["name: is required"]);
        check(json!({"name": ""}), &["name: is empty"]);
        check(json!({"name": "abcdef"}), &[r#"name: "abcdef…" has 6 letters; at most 5 are allowed"#]);
        check(json!({"name": "A"}), &[r#"name: "A" does not look like ^[a-z]+$"#]);
        check(json!({"name": true}), &["name: is true; a text was expected: write it in quotes"]);
        check(json!({"name": "a", "count": 10}), &["count: 10 is not from 1 to 9"]);
        check(
            json!({"name": "a", "count": "3"}),
            &[r#"count: is "3"; a whole number was expected: write it without quotes"#],
        );
        check(
            json!({"name": "a", "mode": "pass"}),
            &[r#"mode: "pass" is none of Pass, Block; was Pass meant?"#],
        );
        check(json!({"name": "a", "cuont": 1}), &["cuont: there is no such field; was count meant?"]);
        check(
            json!({"name": "a", "mac": "02:00:2e:8c:5e"}),
            &[r#"mac: "02:00:2e:8c:5e" has 5 groups; a MAC has 6, each two hexadecimal digits"#],
        );
        check(json!({"name": "a", "size": 1.5}), &["size: is 1.5; a number or a text was expected"]);
        check(
            json!({"name": "a", "labels": {"x": 1}}),
            &["labels.x: is 1; a text was expected: write it in quotes"],
        );
        check(
            json!({"name": "a", "list": [{"k": "x"}, {"k": "y"}, {"k": "x"}]}),
            &["list: has 3 entries; at most 2 are allowed", r#"list[2]: "x" stands at list[0] too"#],
        );
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let word = prop::sample::select(vec![
            "apiVersion",
            "kind",
            "metadata",
            "spec",
            "firewall",
            "address",
            "addresses",
            "external",
            "mac",
            "name",
            "cluster",
            "template",
            "tag",
            "disks",
            "size",
            "network",
            "replicas",
            "",
            "198.18.0.2/23",
            "32Gi",
        ]);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            word.clone().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 48, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((word.clone(), inner), 0..5).prop_map(|pairs| pairs
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect()),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Whatever stands in a file: it is judged, and completing it twice is completing it once.
        #[test]
        fn nonsense_is_judged_and_completing_settles(value in any_json()) {
            let checker = Checker::default();
            for crd in skyy_api::all_crds() {
                let schema = crd.spec.versions[0].schema.clone().unwrap().open_api_v3_schema.unwrap();
                let schema = serde_json::to_value(schema).unwrap();
                let mut once = value.clone();
                complete(&schema, &mut once);
                let mut twice = once.clone();
                complete(&schema, &mut twice);
                prop_assert_eq!(&once, &twice);
                let mut problems = Vec::new();
                checker.check(&schema, &once, &Path::root(), &mut problems);
                prop_assert!(problems.iter().all(|problem| !problem.message.is_empty()));
            }
        }
    }

    #[test]
    fn defaults_are_put_in_and_nothing_is_taken_out_of_null() {
        let schema = json!({"properties": {
            "a": {"default": {"c": 1}, "properties": {"c": {"default": 2}, "d": {"default": 3}}},
            "l": {"items": {"properties": {"x": {"default": "y"}}}},
            "n": {"nullable": true},
        }});
        let mut value = json!({"a": null, "l": [{}, {"x": "z"}], "n": null});
        complete(&schema, &mut value);
        assert_eq!(value, json!({"a": {"c": 1, "d": 3}, "l": [{"x": "y"}, {"x": "z"}], "n": null}));
    }
}
