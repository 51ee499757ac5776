//! `skyyctl validate`: everything that can be known to be wrong before anything is applied, without a cluster.
//!
//! In this order: the files, each object against its CRD (defaults, schema, CEL rules), each object against what the
//! operator makes of it, and all objects against each other. Sends nothing.

mod across;
mod cel;
mod references;
pub mod schema;
mod semantic;

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use skyy_api::{GROUP, VERSION};

use self::schema::{Checker, Problem};
use crate::{
    import::report::{Finding, Level, Report},
    manifests::{Manifest, Manifests, path::Path},
    world::{World, group_of},
};

/// What a check came to.
#[derive(Debug)]
pub struct Validated {
    /// Kind → how many of ours were checked.
    pub counts: BTreeMap<String, usize>,
    /// Everything to say, by place.
    pub findings: Vec<Finding>,
}

impl Validated {
    /// Whether nothing is wrong; warnings and notes are allowed.
    pub fn is_ok(&self) -> bool {
        self.findings.iter().all(|finding| finding.level != Level::Error)
    }
}

/// One of our kinds.
struct Kind {
    schema: Value,
    rules: cel::Rules,
    namespaced: bool,
}

/// The objects of a check, and where each stands.
struct Set<'a> {
    manifests: &'a [Manifest],
    /// (kind, namespace, name) → which.
    at: HashMap<(String, String, String), usize>,
    world: World,
    report: Report,
}

impl Set<'_> {
    fn index(&self, kind: &str, namespace: &str, name: &str) -> Option<usize> {
        self.at.get(&(kind.to_owned(), namespace.to_owned(), name.to_owned())).copied()
    }

    /// Says something about a place in an object.
    fn say(&mut self, level: Level, object: usize, path: &Path, message: &str) {
        let Some(manifest) = self.manifests.get(object) else { return };
        let (file, line) = manifest.place(path);
        let message = if path.is_empty() { message.to_owned() } else { format!("{path}: {message}") };
        self.report.add(level, file, line, manifest.title(), message);
    }

    /// `FILE:LINE` of a place in an object.
    fn place(&self, object: usize, path: &Path) -> String {
        let (file, line) = self.manifests[object].place(path);
        format!("{file}:{line}")
    }
}

/// Checks all objects, each for itself and together.
pub fn validate(manifests: &Manifests) -> Validated {
    let kinds = kinds();
    let mut set = Set {
        manifests: &manifests.objects,
        at: HashMap::new(),
        world: World::default(),
        report: Report::default(),
    };
    for finding in &manifests.findings {
        let Finding { file, line, level, subject, message } = finding.clone();
        set.report.add(level, &file, line.unwrap_or(0), subject, message);
    }
    let mut counts = BTreeMap::new();
    let checker = Checker::default();
    for (n, manifest) in manifests.objects.iter().enumerate() {
        let ours = group_of(manifest.api_version()) == GROUP;
        let kind = kinds.get(manifest.kind()).filter(|_| ours);
        if ours && kind.is_none() {
            let message = format!("there is no kind {} in {GROUP}", manifest.kind());
            set.say(Level::Error, n, &Path::parse("kind"), &message);
            continue;
        }
        if ours && manifest.api_version() != format!("{GROUP}/{VERSION}") {
            set.say(Level::Error, n, &Path::parse("apiVersion"), &format!("should be {GROUP}/{VERSION}"));
            continue;
        }
        let known = ours || ["Secret", "Namespace", "ConfigMap"].contains(&manifest.kind());
        if known && !only_one(&mut set, n, manifest) {
            continue;
        }
        let Some(kind) = kind else {
            // Not ours: it is only looked at where one of ours names it.
            let _ = set.world.insert(&manifest.value);
            continue;
        };
        *counts.entry(manifest.kind().to_owned()).or_insert(0) += 1;
        let (value, problems) = one(kind, &checker, manifest);
        let sound = problems.is_empty();
        for Problem { path, message } in problems {
            set.say(Level::Error, n, &path, &message);
        }
        namespace(&mut set, n, kind);
        // What is wrong in itself would only cause further findings that mean the same.
        if sound && let Err(error) = set.world.insert(&value) {
            set.say(Level::Error, n, &Path::root(), &error.to_string());
        }
    }
    semantic::check(&mut set);
    references::check(&mut set);
    across::check(&mut set);
    Validated { counts, findings: set.report.sorted() }
}

/// All objects as the API server would store them, status apart.
pub fn completed(manifests: &Manifests) -> Vec<Value> {
    let kinds = kinds();
    let complete = |manifest: &Manifest| {
        let ours = group_of(manifest.api_version()) == GROUP;
        match kinds.get(manifest.kind()).filter(|_| ours) {
            Some(kind) => stored(kind, manifest),
            None => manifest.value.clone(),
        }
    };
    manifests.objects.iter().map(complete).collect()
}

/// An object as the API server would store it. It takes a status from the status subresource alone.
fn stored(kind: &Kind, manifest: &Manifest) -> Value {
    let mut value = manifest.value.clone();
    if let Some(object) = value.as_object_mut() {
        object.remove("status");
    }
    schema::complete(&kind.schema, &mut value);
    value
}

fn kinds() -> HashMap<String, Kind> {
    let kinds = skyy_api::all_crds().into_iter().filter_map(|crd| {
        let version = crd.spec.versions.into_iter().find(|version| version.name == VERSION)?;
        let mut schema = serde_json::to_value(version.schema?.open_api_v3_schema?).ok()?;
        // Every object has these, so CRDs do not say them.
        let properties = schema.get_mut("properties")?.as_object_mut()?;
        for (key, kind) in [("apiVersion", "string"), ("kind", "string"), ("metadata", "object")] {
            properties.entry(key).or_insert_with(|| json!({ "type": kind }));
        }
        let rules = cel::Rules::new(&schema);
        Some((crd.spec.names.kind, Kind { schema, rules, namespaced: crd.spec.scope == "Namespaced" }))
    });
    kinds.collect()
}

/// Whether this is the first object of its name.
fn only_one(set: &mut Set<'_>, n: usize, manifest: &Manifest) -> bool {
    let key = (manifest.kind().to_owned(), manifest.namespace().to_owned(), manifest.name().to_owned());
    if let Some(first) = set.at.get(&key).copied() {
        let message =
            format!("stands at {} too; the one that is applied last wins", set.place(first, &Path::root()));
        set.say(Level::Error, n, &Path::root(), &message);
        return false;
    }
    set.at.insert(key, n);
    true
}

/// One object against its CRD: what would be stored, and what is wrong.
fn one(kind: &Kind, checker: &Checker, manifest: &Manifest) -> (Value, Vec<Problem>) {
    let value = stored(kind, manifest);
    let mut problems = metadata(manifest);
    checker.check(&kind.schema, &value, &Path::root(), &mut problems);
    if problems.is_empty() {
        problems.extend(kind.rules.check(&value));
    }
    (value, problems)
}

/// The parts of the metadata that people get wrong.
fn metadata(manifest: &Manifest) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut say = |path: &str, message: String| problems.push(Problem { path: Path::parse(path), message });
    let name = manifest.name();
    let labels_of = |text: &str| text.split('.').all(is_label);
    if let Some(other) = manifest.value.pointer("/metadata/name").filter(|name| !name.is_string()) {
        say("metadata.name", format!("is {other}; a text was expected: write it in quotes"));
    } else if name.is_empty() {
        say("metadata.name", "is required".to_owned());
    } else if name.len() > 253 || !labels_of(name) {
        say("metadata.name", format!("{name:?} is no name: lower-case letters, digits, - and ."));
    }
    let namespace = manifest.namespace();
    if !namespace.is_empty() && !is_label(namespace) {
        say("metadata.namespace", format!("{namespace:?} is no name: lower-case letters, digits and -"));
    }
    for field in ["labels", "annotations"] {
        let entries = manifest.value.pointer(&format!("/metadata/{field}")).and_then(Value::as_object);
        for (key, value) in entries.into_iter().flatten() {
            let path = Path::parse("metadata").key(field).key(key);
            let message = match value {
                Value::String(text) if field == "labels" && !is_label_value(text) => {
                    format!("{text:?} is no value of a label: at most 63 letters, digits, -, _ and .")
                }
                Value::String(_) => continue,
                other => format!("is {other}; a text was expected: write it in quotes"),
            };
            problems.push(Problem { path, message });
        }
    }
    problems
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_label_value(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && edge(text.chars().next())
        && edge(text.chars().last())
}

fn namespace(set: &mut Set<'_>, n: usize, kind: &Kind) {
    let path = Path::parse("metadata.namespace");
    match (kind.namespaced, set.manifests[n].namespace().is_empty()) {
        (true, true) => {
            let message = "is left out: the object goes where kubectl happens to point";
            set.say(Level::Warning, n, &path, message);
        }
        (false, false) => {
            set.say(Level::Warning, n, &path, "this kind has none: it is for the whole cluster");
        }
        _ => {}
    }
}
