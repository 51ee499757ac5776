//! Reading a map key by key: what is of the wrong type, and what nobody asked for, is reported with its line.
//!
//! Knows no kind of file.

use std::collections::BTreeSet;

use super::{
    report::Report,
    secret,
    yaml::{Key, Kind, Node},
};

/// A value with the line it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// The line.
    pub line: usize,
}

/// The keys of one map.
#[derive(Debug)]
pub struct Fields<'a> {
    file: &'a str,
    path: String,
    entries: &'a [(Key, Node)],
    left: BTreeSet<usize>,
}

impl<'a> Fields<'a> {
    /// The keys of `node`; nothing but a report when it is no map.
    pub fn of(file: &'a str, path: &str, node: &'a Node, report: &mut Report) -> Option<Self> {
        let Some(entries) = node.map() else {
            let subject = if path.is_empty() { "the file" } else { path };
            report.error(file, node.line, subject, format!("should be a map, and is {}", node.what()));
            return None;
        };
        Some(Self { file, path: path.to_owned(), entries, left: (0..entries.len()).collect() })
    }

    /// `settings.gpu` for the key `gpu`.
    pub fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The file.
    pub fn file(&self) -> &'a str {
        self.file
    }

    /// The value of a key; from now on it counts as used.
    pub fn take(&mut self, key: &str) -> Option<&'a Node> {
        let at = self.entries.iter().position(|(k, _)| k.text == key)?;
        self.left.remove(&at);
        Some(&self.entries[at].1)
    }

    /// The line of a key, if it is there.
    pub fn line_of(&self, key: &str) -> Option<usize> {
        self.entries.iter().find(|(k, _)| k.text == key).map(|(k, _)| k.line)
    }

    fn wrong(&self, key: &str, node: &Node, expected: &str, report: &mut Report) {
        report.error(
            self.file,
            node.line,
            self.name(key),
            format!("should be {expected}, and is {}", node.what()),
        );
    }

    /// A text; numbers count as written.
    pub fn text(&mut self, key: &str, report: &mut Report) -> Option<At<String>> {
        let node = self.take(key)?;
        match &node.kind {
            Kind::Scalar(scalar) if scalar.is_null() => None,
            Kind::Scalar(scalar) => Some(At { value: scalar.text.clone(), line: node.line }),
            _ => {
                self.wrong(key, node, "a single value", report);
                None
            }
        }
    }

    /// True or false.
    pub fn flag(&mut self, key: &str, report: &mut Report) -> Option<At<bool>> {
        let node = self.take(key)?;
        if node.is_null() {
            return None;
        }
        match &node.kind {
            Kind::Scalar(scalar) if scalar.as_bool().is_some() => {
                Some(At { value: scalar.as_bool().unwrap_or_default(), line: node.line })
            }
            Kind::Scalar(scalar) => {
                let got = secret::shown(&scalar.text);
                report.error(
                    self.file,
                    node.line,
                    self.name(key),
                    format!("should be true or false, and is {got}"),
                );
                None
            }
            _ => {
                self.wrong(key, node, "true or false", report);
                None
            }
        }
    }

    /// A whole number within bounds.
    pub fn number(&mut self, key: &str, least: u32, most: u32, report: &mut Report) -> Option<At<u32>> {
        let At { value, line } = self.text(key, report)?;
        match value.trim().parse::<u32>() {
            Ok(n) if (least..=most).contains(&n) => Some(At { value: n, line }),
            _ => {
                let message =
                    format!("should be a number from {least} to {most}, and is {}", secret::shown(&value));
                report.error(self.file, line, self.name(key), message);
                None
            }
        }
    }

    /// A map inside.
    pub fn section(&mut self, key: &str, report: &mut Report) -> Option<Self> {
        let node = self.take(key)?;
        if node.is_null() {
            report.note(self.file, node.line, self.name(key), "empty; nothing is taken from it");
            return None;
        }
        Self::of(self.file, &self.name(key), node, report)
    }

    /// The items of a list; a single value counts as a list of one.
    pub fn items(&mut self, key: &str, report: &mut Report) -> Vec<&'a Node> {
        match self.take(key) {
            None => Vec::new(),
            Some(node) if node.is_null() => Vec::new(),
            Some(node) => match &node.kind {
                Kind::List(items) => items.iter().collect(),
                Kind::Scalar(_) => vec![node],
                Kind::Map(_) => {
                    self.wrong(key, node, "a list", report);
                    Vec::new()
                }
            },
        }
    }

    /// Reports every key that nobody took: with its reason where one is given, else as unknown.
    pub fn rest(self, reasons: &[(&str, &str)], report: &mut Report) {
        for at in &self.left {
            let (key, _) = &self.entries[*at];
            if let Some((_, why)) = reasons.iter().find(|(known, _)| *known == key.text) {
                report.note(self.file, key.line, self.name(&key.text), format!("not used: {why}"));
            } else {
                let name = self.name(&secret::shown_key(&key.text));
                report.warning(self.file, key.line, name, "unknown key, not used");
            }
        }
    }
}
