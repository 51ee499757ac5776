//! What the four kinds of rows have in common: typed values on one side, the package's JSON on the other.
//!
//! Reading is lenient and canonical: whatever the package answers for what we sent compares equal to what we sent.

use std::fmt::{Debug, Display};

use serde_json::{Map, Value};

use super::{RowKind, mark::Mark, step::fingerprint_of_row};
use crate::hash::{Fingerprint, is_empty};

/// A row as the package answers it.
pub type Raw = Map<String, Value>;

/// A row in our terms.
pub trait Row: Clone + Eq + Debug {
    /// Which kind of row.
    const KIND: RowKind;
    /// What one row is called in a sentence.
    const NOUN: &'static str;
    /// What no two rows may share. Of rules, which may share all, it is the interface.
    type Key: Ord + Clone + Debug + Display;

    /// The key.
    fn key(&self) -> Self::Key;
    /// The key of a row of anybody; none where it is nothing that we could make.
    fn key_of(raw: &Raw) -> Option<Self::Key>;
    /// The row in our terms, the description apart. None where our terms cannot say it.
    fn read(raw: &Raw, text: &str) -> Option<Self>;
    /// Every field that we look after, the description apart, as the package takes it.
    fn fields(&self) -> Raw;
    /// One spelling for all values of a field that mean the same.
    fn canonical(field: &str, value: &Value) -> Value;
    /// What people say of the row; stands before the mark.
    fn text(&self) -> &str;
    /// The row in a few words, its noun apart.
    fn sentence(&self) -> String;
    /// Say something else of it.
    fn set_text(&mut self, text: String);
    /// A further sign that a row is ours, for when a person has removed the mark.
    fn witness(raw: &Raw) -> Option<String> {
        let _ = raw;
        None
    }
    /// Whether a row with the one key can be given the other.
    fn can_move(from: &Self::Key, to: &Self::Key) -> bool {
        let _ = (from, to);
        true
    }
}

/// A row that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<R: Row> {
    /// Where it stood.
    pub position: usize,
    /// Its key, where it has one in our terms.
    pub key: Option<R::Key>,
    /// The row, where our terms can say all of it.
    pub row: Option<R>,
    /// What people say of it, without the mark.
    pub text: String,
    /// Whose it is.
    pub mark: Option<Mark>,
    /// A further sign of whose it is.
    pub witness: Option<String>,
    /// Whether the package keeps it together with a row of another list (a rule of a port forward).
    pub associated: bool,
    /// As it was answered.
    pub raw: Raw,
    /// What it looks like, to recognise it at the moment of writing.
    pub print: Fingerprint,
}

impl<R: Row> Seen<R> {
    /// The row that the package answered at this position.
    pub fn from_raw(position: usize, raw: Raw) -> Self {
        let (text, mark) = Mark::split(&string(&raw, "descr"));
        let row = R::read(&raw, &text).filter(|row| differences::<R>(&raw, row).is_empty());
        Self {
            position,
            key: R::key_of(&raw),
            row,
            text,
            mark,
            witness: R::witness(&raw),
            associated: !is_empty(raw.get("associated_rule_id").unwrap_or(&Value::Null)),
            print: fingerprint_of_row(&raw),
            raw,
        }
    }

    /// A whole list, in its order.
    pub fn list(rows: Vec<Raw>) -> Vec<Self> {
        rows.into_iter().enumerate().map(|(position, raw)| Self::from_raw(position, raw)).collect()
    }

    /// What a person would call it: its description, or nothing.
    pub fn called(&self) -> String {
        if self.text.is_empty() {
            "a row without a description".to_owned()
        } else {
            format!("{:?}", self.text)
        }
    }
}

/// The fields in which a row differs from what is wanted: name, what it is, what it should be.
pub(crate) fn differences<R: Row>(raw: &Raw, wanted: &R) -> Vec<(String, Value, Value)> {
    let mut found = Vec::new();
    for (field, value) in wanted.fields() {
        let have = R::canonical(&field, raw.get(&field).unwrap_or(&Value::Null));
        let want = R::canonical(&field, &value);
        if have != want && !(is_empty(&have) && is_empty(&want)) {
            found.push((field, have, value));
        }
    }
    found
}

/// A text field; numbers are taken as they read.
pub(crate) fn string(raw: &Raw, field: &str) -> String {
    match raw.get(field) {
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// A yes or no, however it is spelled; pfSense's own files say yes by an empty element's presence or by "yes".
pub(crate) fn boolean(value: &Value) -> bool {
    match value {
        Value::Bool(yes) => *yes,
        Value::String(text) => matches!(text.as_str(), "true" | "yes" | "1" | "on"),
        Value::Number(number) => number.as_i64() == Some(1),
        _ => false,
    }
}

/// A whole number, also where it is spelled as a text.
pub(crate) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A list of texts, also where it is spelled as one text with commas.
pub(crate) fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
        Value::String(text) => {
            text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
        }
        _ => Vec::new(),
    }
}

/// A value as it stands in a sentence.
pub(crate) fn spoken(value: &Value) -> String {
    match value {
        value if is_empty(value) => "none".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(spoken).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
