//! Recorded exchanges held against a simulator: how a request is sent again and when an answer agrees.
//!
//! The rules are those of the recordings: `<any>` matches anything, within a text too; `<any?>` may be absent; `<cut>`
//! ends a comparison; `<from:7:data.x>` in a request is taken from the answer to line 7.

#![allow(dead_code)] // each test binary uses its part
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)] // helpers of tests are tests

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

/// The folder of the recordings, if it is there; says so in one line when it is not.
pub(crate) fn recordings(product: &str) -> Option<PathBuf> {
    let contracts = std::env::var_os("SKYY_CONTRACTS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/contracts"),
        PathBuf::from,
    );
    let folder = contracts.join(product).join("golden");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no recordings at {}; set SKYY_CONTRACTS to where they are", folder.display());
    None
}

/// The recorded exchanges of one file.
pub(crate) fn exchanges(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// All recordings in a folder, in order.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|ext| ext == "jsonl")).collect();
    files.sort();
    files
}

/// Whether an exchange is one whose answer can be compared.
pub(crate) fn stable(exchange: &Value) -> bool {
    let unstable = ["varies", "status_other_run", "reason_other_run", "log_filtered"];
    exchange["real"] != false && unstable.iter().all(|mark| exchange.get(mark).is_none())
}

/// Whether lists are compared in their order (pfSense) or sorted by id (Proxmox).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lists {
    InOrder,
    Sorted,
}

/// What earlier answers gave for later requests.
#[derive(Debug, Default)]
pub(crate) struct Earlier(BTreeMap<u64, Value>);

impl Earlier {
    /// Keeps the answer to an exchange.
    pub(crate) fn keep(&mut self, exchange: &Value, body: &Value) {
        if let Some(seq) = exchange["seq"].as_u64() {
            self.0.insert(seq, body.clone());
        }
    }

    /// A recorded request value as it can be sent: earlier answers put in, what varies left to the server.
    pub(crate) fn filled(&self, value: &Value) -> Value {
        match value {
            Value::Object(members) => {
                let sent = members.iter().filter(|(_, value)| *value != "<any>");
                Value::Object(sent.map(|(name, value)| (name.clone(), self.filled(value))).collect())
            }
            Value::Array(items) => items.iter().map(|item| self.filled(item)).collect(),
            Value::String(text) => Value::String(self.filled_text(text)),
            other => other.clone(),
        }
    }

    fn filled_text(&self, text: &str) -> String {
        let Some((head, tail)) = text.split_once("<from:") else { return text.to_owned() };
        let (reference, rest) = tail.split_once('>').expect("<from:…> is closed");
        let (seq, path) = reference.split_once(':').expect("<from:seq:path>");
        let answer = &self.0[&seq.parse::<u64>().expect("seq is a number")];
        let found = path.split('.').fold(answer, |value, step| match value {
            Value::Array(items) => &items[step.parse::<usize>().expect("an index")],
            other => &other[step],
        });
        let found = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
        format!("{head}{found}{}", self.filled_text(rest))
    }
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: Value,
}

/// Where an answer differs from the recorded one.
pub(crate) fn compare(exchange: &Value, answer: &Answer, lists: Lists) -> Vec<String> {
    let recorded = &exchange["response"];
    let mut found = Vec::new();
    let status = recorded["status"].as_u64().unwrap();
    if u64::from(answer.status) != status {
        found.push(format!("status: {}, recorded {status}", answer.status));
    }
    let recorded_type =
        recorded["content_type"].as_str().or_else(|| recorded["headers"]["content-type"].as_str());
    let media = |text: &str| text.split(';').next().unwrap_or_default().trim().to_owned();
    if let Some(wanted) = recorded_type.filter(|wanted| media(wanted) != media(&answer.content_type)) {
        found.push(format!("content type: {}, recorded {wanted}", answer.content_type));
    }
    let (mut wanted, mut got) = (recorded["body"].clone(), answer.body.clone());
    if status == 500 && answer.status == 500 && wanted.get("response_id").is_some() && got.is_object() {
        // The text of a PHP error is a trace with line numbers.
        let only = |body: &Value| {
            let names = ["code", "response_id"];
            Value::Object(
                names.iter().map(|name| ((*name).to_owned(), body[*name].clone())).collect::<Map<_, _>>(),
            )
        };
        (wanted, got) = (only(&wanted), only(&got));
    }
    if wanted.is_null() && got == "" {
        got = Value::Null;
    }
    differences(&wanted, &got, lists, "body", &mut found);
    found
}

fn differences(wanted: &Value, got: &Value, lists: Lists, at: &str, found: &mut Vec<String>) {
    match (wanted, got) {
        (Value::String(mark), _) if ["<any>", "<cut>", "<any?>"].contains(&mark.as_str()) => {}
        (Value::String(pattern), Value::String(text)) if fits(pattern, text) => {}
        (Value::String(a), Value::String(b)) if lists == Lists::Sorted && same_items(a, b) => {}
        (Value::Object(wanted), Value::Object(got)) => {
            for (name, value) in wanted {
                match got.get(name) {
                    Some(other) => differences(value, other, lists, &format!("{at}.{name}"), found),
                    None if value == "<any?>" => {}
                    None => found.push(format!("{at}.{name}: absent, recorded {value}")),
                }
            }
            let more = got.iter().filter(|(name, _)| !wanted.contains_key(*name));
            found.extend(more.map(|(name, value)| format!("{at}.{name}: not in the record, got {value}")));
        }
        (Value::Array(wanted), Value::Array(_)) if wanted.iter().any(|item| item == "<cut>") => {}
        (Value::Array(wanted), Value::Array(got)) => {
            if wanted.len() != got.len() {
                found.push(format!("{at}: {} items, recorded {}", got.len(), wanted.len()));
            }
            let (mut wanted, mut got) = (wanted.clone(), got.clone());
            if lists == Lists::Sorted && wanted.iter().chain(&got).all(Value::is_object) {
                wanted.sort_by_key(key_of);
                got.sort_by_key(key_of);
            }
            for (position, (wanted, got)) in wanted.iter().zip(&got).enumerate() {
                differences(wanted, got, lists, &format!("{at}[{position}]"), found);
            }
        }
        _ if wanted == got => {}
        _ => found.push(format!("{at}: {got}, recorded {wanted}")),
    }
}

/// Where a list of Proxmox keeps an object: its order is random there, and the record is sorted.
fn key_of(item: &Value) -> String {
    let names = [
        "id", "vmid", "upid", "name", "storage", "iface", "poolid", "userid", "roleid", "node", "volid",
        "path", "key", "type",
    ];
    let key = names.iter().find_map(|name| item.get(*name));
    key.map_or_else(|| item.to_string(), |key| key.as_str().map_or_else(|| key.to_string(), str::to_owned))
}

fn same_items(a: &str, b: &str) -> bool {
    let sorted = |text: &str| {
        let mut items: Vec<_> = text.split(',').map(str::to_owned).collect();
        items.sort();
        items
    };
    sorted(a) == sorted(b)
}

/// Whether a text fits a recorded one, in which `<any>` and `<cut>` stand for any run of characters.
fn fits(pattern: &str, text: &str) -> bool {
    let parts: Vec<&str> = pattern.split("<any>").flat_map(|part| part.split("<cut>")).collect();
    let [first, middle @ .., last] = parts.as_slice() else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}
