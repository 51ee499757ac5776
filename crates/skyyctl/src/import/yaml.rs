//! YAML as a tree that remembers its lines: scalars as they were written, maps in their order.
//!
//! Bounded against files made to hurt. Knows nothing of what the files mean.

use std::collections::{HashMap, HashSet};

use serde_json::{Number, Value};
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle};

use super::report::Report;

/// More nodes than this, aliases spread out, and the file is not read.
const MAX_NODES: usize = 200_000;
/// Deeper than this, and the file is not read.
const MAX_DEPTH: usize = 64;

/// A place in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The line it begins on, from 1.
    pub line: usize,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A single value.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A map in its order; each key once.
    Map(Vec<(Key, Node)>),
}

/// A single value as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text, quotes resolved.
    pub text: String,
    /// Written with quotes or as a block: always text.
    pub quoted: bool,
}

/// A key of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its text.
    pub text: String,
    /// Its line.
    pub line: usize,
}

impl Scalar {
    /// Nothing: an empty value, `~`, `null`.
    pub fn is_null(&self) -> bool {
        !self.quoted && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// True or false, in the spellings that YAML ever knew.
    pub fn as_bool(&self) -> Option<bool> {
        match self.text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" => Some(false),
            _ => None,
        }
    }
}

impl Node {
    /// The text of a scalar that is not nothing.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(scalar) if !scalar.is_null() => Some(&scalar.text),
            _ => None,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar) if scalar.is_null())
    }

    /// The entries of a map.
    pub fn map(&self) -> Option<&[(Key, Self)]> {
        match &self.kind {
            Kind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The items of a list.
    pub fn list(&self) -> Option<&[Self]> {
        match &self.kind {
            Kind::List(items) => Some(items),
            _ => None,
        }
    }

    /// The value of a key of a map.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.map()?.iter().find(|(k, _)| k.text == key).map(|(_, node)| node)
    }

    /// In words, for messages.
    pub fn what(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(scalar) if scalar.is_null() => "nothing",
            Kind::Scalar(_) => "a single value",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    /// As JSON. A plain scalar that is no number in its own spelling (`3.10`, `0755`) stays the text it was.
    pub fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Scalar(scalar) => scalar.to_json(),
            Kind::List(items) => items.iter().map(Self::to_json).collect(),
            Kind::Map(entries) => entries.iter().map(|(k, v)| (k.text.clone(), v.to_json())).collect(),
        }
    }
}

impl Scalar {
    fn to_json(&self) -> Value {
        let text = || Value::String(self.text.clone());
        if self.quoted {
            return text();
        }
        if self.is_null() {
            return Value::Null;
        }
        match self.text.as_str() {
            "true" => return Value::Bool(true),
            "false" => return Value::Bool(false),
            _ => {}
        }
        let canonical = |number: Number| number.to_string() == self.text;
        match self.text.parse::<i64>().map(Number::from) {
            Ok(number) if canonical(number.clone()) => Value::Number(number),
            _ => match self.text.parse::<f64>().ok().and_then(Number::from_f64) {
                Some(number) if canonical(number.clone()) => Value::Number(number),
                _ => text(),
            },
        }
    }
}

/// Why a file could not be read as YAML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum YamlError {
    /// It is not YAML.
    #[error("not YAML: {message}")]
    Syntax {
        /// The line.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// It would become too big or too deep.
    #[error("more than {MAX_NODES} values or {MAX_DEPTH} levels, aliases spread out")]
    TooMuch {
        /// The line where the bound was met.
        line: usize,
    },
}

impl YamlError {
    /// The line it was found on.
    pub const fn line(&self) -> usize {
        match self {
            Self::Syntax { line, .. } | Self::TooMuch { line } => *line,
        }
    }
}

/// Reads all documents of a file. Doubtful places go to the report.
pub fn parse(file: &str, text: &str, report: &mut Report) -> Result<Vec<Node>, YamlError> {
    let tabs: Vec<usize> = tab_indented(text);
    if tabs.is_empty() {
        return Builder::new(file, report).documents(text);
    }
    let spaced = with_spaces(text);
    let documents = Builder::new(file, report).documents(&spaced)?;
    for line in tabs {
        let why = "YAML forbids tabs in indentation; each was read as two spaces: check what it means";
        report.warning(file, line, "indentation", why);
    }
    Ok(documents)
}

fn tab_indented(text: &str) -> Vec<usize> {
    let lines = text.lines().enumerate();
    let indented = |line: &str| {
        let content = line.trim_start();
        !content.is_empty() && !content.starts_with('#') && line[..line.len() - content.len()].contains('\t')
    };
    lines.filter(|(_, line)| indented(line)).map(|(n, _)| n + 1).collect()
}

fn with_spaces(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let content = line.trim_start_matches([' ', '\t']);
        for c in line[..line.len() - content.len()].chars() {
            out.push_str(if c == '\t' { "  " } else { " " });
        }
        out.push_str(content);
    }
    out
}

/// A collection that is being read.
enum Open {
    List(usize, Vec<Node>, usize),
    Map(usize, Entries, Pending, usize),
}

/// The entries of a map, with where each key is.
#[derive(Default)]
struct Entries {
    list: Vec<(Key, Node)>,
    at: HashMap<String, usize>,
}

/// What comes next in a map: a key, or the value of one (of none, when the key cannot be used).
enum Pending {
    Key,
    Value(Option<Key>),
}

struct Builder<'a> {
    file: &'a str,
    report: &'a mut Report,
    nodes: usize,
    stack: Vec<Open>,
    /// Anchored nodes with their sizes.
    anchors: HashMap<usize, (Node, usize)>,
    documents: Vec<Node>,
}

impl<'a> Builder<'a> {
    fn new(file: &'a str, report: &'a mut Report) -> Self {
        Self { file, report, nodes: 0, stack: Vec::new(), anchors: HashMap::new(), documents: Vec::new() }
    }

    fn documents(mut self, text: &str) -> Result<Vec<Node>, YamlError> {
        for next in Parser::new_from_str(text) {
            let (event, span) = next.map_err(|e| YamlError::Syntax {
                line: e.marker().line(),
                message: first_line(&e.kind().to_string()),
            })?;
            let line = span.start.line();
            self.count(1, line)?;
            match event {
                Event::DocumentStart(..) => self.anchors.clear(),
                Event::Scalar(text, style, anchor, _) => {
                    let quoted = style != ScalarStyle::Plain;
                    let kind = Kind::Scalar(Scalar { text: text.into_owned(), quoted });
                    self.put(Node { line, kind }, anchor);
                }
                Event::Alias(anchor) => {
                    let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                        let message = "an alias inside of what it stands for".to_owned();
                        return Err(YamlError::Syntax { line, message });
                    };
                    self.count(size, line)?;
                    self.put(node, 0);
                }
                Event::SequenceStart(_, anchor, _) => self.open(Open::List(line, Vec::new(), anchor))?,
                Event::MappingStart(_, anchor, _) => {
                    self.open(Open::Map(line, Entries::default(), Pending::Key, anchor))?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(),
                _ => {}
            }
        }
        Ok(self.documents)
    }

    fn count(&mut self, nodes: usize, line: usize) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES { Err(YamlError::TooMuch { line }) } else { Ok(()) }
    }

    fn open(&mut self, open: Open) -> Result<(), YamlError> {
        if self.stack.len() >= MAX_DEPTH {
            let (Open::List(line, ..) | Open::Map(line, ..)) = open;
            return Err(YamlError::TooMuch { line });
        }
        self.stack.push(open);
        Ok(())
    }

    fn close(&mut self) {
        match self.stack.pop() {
            Some(Open::List(line, items, anchor)) => self.put(Node { line, kind: Kind::List(items) }, anchor),
            Some(Open::Map(line, entries, _, anchor)) => {
                let kind = Kind::Map(self.merged(entries.list));
                self.put(Node { line, kind }, anchor);
            }
            None => {}
        }
    }

    fn put(&mut self, node: Node, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), size(&node)));
        }
        match self.stack.last_mut() {
            None => self.documents.push(node),
            Some(Open::List(_, items, _)) => items.push(node),
            Some(Open::Map(_, _, pending @ Pending::Key, _)) => {
                let text = match &node.kind {
                    Kind::Scalar(scalar) => Some(scalar.text.clone()),
                    Kind::List(_) | Kind::Map(_) => {
                        let why = "a key that is not a single value; it and its value are not used";
                        self.report.warning(self.file, node.line, node.what(), why);
                        None
                    }
                };
                *pending = Pending::Value(text.map(|text| Key { text, line: node.line }));
            }
            Some(Open::Map(_, entries, pending @ Pending::Value(_), _)) => {
                let Pending::Value(Some(key)) = std::mem::replace(pending, Pending::Key) else { return };
                // The last of several wins, as it did for the programs that read these files.
                if key.text != "<<"
                    && let Some(at) = entries.at.get(&key.text)
                {
                    let first = entries.list[*at].0.line;
                    let why = format!("the key is there twice (first on line {first}); the last is used");
                    self.report.warning(self.file, key.line, super::secret::shown_key(&key.text), why);
                    entries.list[*at] = (key, node);
                    return;
                }
                entries.at.insert(key.text.clone(), entries.list.len());
                entries.list.push((key, node));
            }
        }
    }

    /// Spreads out `<<`: what the map says itself comes before what it takes over.
    fn merged(&mut self, entries: Vec<(Key, Node)>) -> Vec<(Key, Node)> {
        if !entries.iter().any(|(k, _)| k.text == "<<") {
            return entries;
        }
        let (merges, mut own): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(k, _)| k.text == "<<");
        let mut names: HashSet<String> = own.iter().map(|(k, _)| k.text.clone()).collect();
        for (key, node) in merges {
            let sources = match node.kind {
                Kind::List(items) => items,
                _ => vec![node],
            };
            for source in sources {
                let Kind::Map(taken) = source.kind else {
                    self.report.warning(self.file, key.line, "<<", "not a map; not used");
                    continue;
                };
                for (k, v) in taken {
                    if names.insert(k.text.clone()) {
                        own.push((k, v));
                    }
                }
            }
        }
        own
    }
}

fn size(node: &Node) -> usize {
    match &node.kind {
        Kind::Scalar(_) => 1,
        Kind::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Kind::Map(entries) => 1 + entries.iter().map(|(_, v)| 1 + size(v)).sum::<usize>(),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> (Result<Vec<Value>, YamlError>, Vec<String>) {
        let mut report = Report::default();
        let documents = parse("f", text, &mut report);
        let found = report.sorted();
        let found = found.iter().map(|f| format!("{} {}: {}", f.place(), f.subject, f.message)).collect();
        (documents.map(|d| d.iter().map(Node::to_json).collect()), found)
    }

    #[test]
    fn scalars_keep_what_would_get_lost() {
        let (documents, found) = read("a: 1\nb: 3.10\nc: 0755\nd: yes\ne: 1.5\nf: '7'\ng: ~\nh: true\n");
        let expected = json!({
            "a": 1, "b": "3.10", "c": "0755", "d": "yes", "e": 1.5, "f": "7", "g": null, "h": true,
        });
        assert_eq!((documents.unwrap(), found), (vec![expected], vec![]));
    }

    #[test]
    fn a_repeated_key_is_told_and_the_last_one_counts() {
        let (documents, found) = read("a: 1\nb: 2\na: 3\n");
        assert_eq!(documents.unwrap(), [json!({ "a": 3, "b": 2 })]);
        assert_eq!(found, ["f:3 a: the key is there twice (first on line 1); the last is used"]);
    }

    #[test]
    fn merges_and_aliases_are_spread_out() {
        let (documents, found) = read("x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3\nz: [*x]\n");
        let expected = json!({ "x": {"a": 1, "b": 2}, "y": {"b": 3, "a": 1}, "z": [{"a": 1, "b": 2}] });
        assert_eq!((documents.unwrap(), found), (vec![expected], vec![]));
    }

    #[test]
    fn tabs_are_read_as_two_spaces_and_told() {
        let (documents, found) = read("a:\n\tb: 1\n\tc: 2\n# \tcomment\nd:\t4\n");
        assert_eq!(documents.unwrap(), [json!({ "a": {"b": 1, "c": 2}, "d": 4 })]);
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("f:2 indentation: YAML forbids tabs"), "{found:?}");
    }

    #[test]
    fn a_bomb_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..12 {
            let refs = vec![format!("*a{}", i - 1); 9].join(", ");
            text.extend([format!("a{i}: &a{i} [{refs}]\n")]);
        }
        assert!(matches!(read(&text).0, Err(YamlError::TooMuch { line }) if line <= 8));
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(matches!(read(&deep).0, Err(YamlError::TooMuch { .. } | YamlError::Syntax { .. })));
    }

    #[test]
    fn a_syntax_error_names_its_line() {
        let (documents, _) = read("a: 1\nb: [1, 2\nc: 3\n");
        assert!(documents.unwrap_err().line() >= 2);
        assert!(read("a: &x [*x]\n").0.is_err());
    }
}
