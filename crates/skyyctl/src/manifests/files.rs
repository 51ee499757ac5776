//! Finding the files: folders with all below them, Kustomize trees by their resources, standard input.
//!
//! Of Kustomize the resources and the patches that are themselves objects are read, which is JSON merge for kinds
//! that Kustomize does not know. What else a kustomization does is not done here, and is said.

use std::{
    collections::HashSet,
    fs,
    io::Read,
    path::{Component, Path as FilePath, PathBuf},
};

use super::{Manifest, Manifests};
use crate::import::{
    report::{Level, Report},
    yaml::{self, Node},
};

/// Larger files are not read.
const MAX_BYTES: u64 = 16 << 20;
/// Folders deeper than this are not entered.
const MAX_DEPTH: usize = 16;
/// The names by which Kustomize knows its file.
const KUSTOMIZATION: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// What a kustomization may say without changing what we look at.
const HARMLESS: [&str; 8] =
    ["apiVersion", "kind", "metadata", "resources", "bases", "commonAnnotations", "labels", "sortOptions"];

/// Reads everything below the paths; `-` is standard input.
pub fn read(paths: &[PathBuf], stdin: &mut dyn Read) -> Manifests {
    let mut reader = Reader::default();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            match stdin.take(MAX_BYTES).read_to_string(&mut text) {
                Ok(_) => reader.text("standard input", &text),
                Err(error) => reader.report.error("standard input", 0, "the file", cannot(&error)),
            }
        } else {
            reader.found = false;
            reader.path(path, 0);
        }
    }
    Manifests { objects: reader.objects, findings: reader.report.sorted() }
}

#[derive(Default)]
struct Reader {
    objects: Vec<Manifest>,
    report: Report,
    seen: HashSet<PathBuf>,
    /// Nobody named the file: it was found in a folder, and may be anything.
    found: bool,
}

/// A path seen from a folder, without the detours.
fn joined(folder: &FilePath, relative: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for part in folder.join(relative).components() {
        let back = matches!(part, Component::ParentDir);
        if !(back && matches!(path.components().next_back(), Some(Component::Normal(_))) && path.pop()) {
            path.push(part);
        }
    }
    path
}

fn cannot(error: &std::io::Error) -> String {
    format!("cannot be read: {}", error.kind())
}

impl Reader {
    fn path(&mut self, path: &FilePath, depth: usize) {
        let name = path.display().to_string();
        let real = match fs::canonicalize(path) {
            Ok(real) => real,
            Err(error) => return self.report.error(&name, 0, "the file", cannot(&error)),
        };
        if !self.seen.insert(real) {
            return;
        }
        if depth > MAX_DEPTH {
            return self.report.error(&name, 0, "the folder", format!("more than {MAX_DEPTH} folders deep"));
        }
        if path.is_dir() {
            return match KUSTOMIZATION.iter().map(|name| path.join(name)).find(|file| file.is_file()) {
                Some(file) => self.kustomization(path, &file, depth),
                None => self.folder(path, depth),
            };
        }
        if let Some(text) = self.content(path) {
            self.text(&name, &text);
        }
    }

    fn folder(&mut self, path: &FilePath, depth: usize) {
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) => {
                return self.report.error(&path.display().to_string(), 0, "the folder", cannot(&error));
            }
        };
        let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        entries.sort();
        for entry in entries {
            let hidden = entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            let yaml = entry.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
            let link_to_folder = entry.is_symlink() && entry.is_dir();
            if !hidden && !link_to_folder && (yaml || entry.is_dir()) {
                self.found = true;
                self.path(&entry, depth + 1);
            }
        }
    }

    fn kustomization(&mut self, folder: &FilePath, file: &FilePath, depth: usize) {
        let name = file.display().to_string();
        let Some(text) = self.content(file) else { return };
        let Some(node) = self.documents(&name, &text).into_iter().next() else {
            return self.report.error(&name, 0, "the file", "empty");
        };
        let first = self.objects.len();
        for key in ["resources", "bases"] {
            for item in node.get(key).and_then(Node::list).unwrap_or_default() {
                let Some(resource) = item.text() else { continue };
                let path = joined(folder, resource);
                self.found = false;
                if !path.exists() && (resource.contains("://") || resource.contains("?ref=")) {
                    let why = format!("{resource} is elsewhere, and not read");
                    self.report.note(&name, item.line, key, why);
                } else {
                    self.path(&path, depth + 1);
                }
            }
        }
        self.patches(folder, &name, &node, first);
        for (key, _) in node.map().unwrap_or_default() {
            if !HARMLESS.contains(&key.text.as_str())
                && !["patches", "patchesStrategicMerge"].contains(&key.text.as_str())
            {
                let why = "not done here. For the whole: kubectl kustomize DIR | skyyctl validate -";
                self.report.note(&name, key.line, &key.text, why);
            }
        }
    }

    /// Lays patches over the objects that were read for this kustomization.
    fn patches(&mut self, folder: &FilePath, name: &str, node: &Node, first: usize) {
        let mut sources: Vec<(String, Node)> = Vec::new();
        let mut left_out = Vec::new();
        let list = |key: &str| node.get(key).and_then(Node::list).unwrap_or_default();
        for item in list("patches") {
            let inline = item.get("patch").and_then(Node::text);
            let path = item.get("path").and_then(Node::text);
            match (item.get("target"), inline, path) {
                (None, Some(text), _) => {
                    sources
                        .extend(self.documents(name, text).into_iter().map(|node| (name.to_owned(), node)));
                }
                (None, None, Some(path)) => self.patch_file(&joined(folder, path), &mut sources),
                _ => left_out.push(item.line),
            }
        }
        for item in list("patchesStrategicMerge") {
            if let Some(path) = item.text() {
                self.patch_file(&joined(folder, path), &mut sources);
            }
        }
        for (file, patch) in sources {
            if !patch.map().is_some_and(|map| map.iter().any(|(key, _)| key.text == "kind")) {
                left_out.push(patch.line);
                continue;
            }
            let wanted = Manifest::new(file.clone(), patch.clone());
            let same = |object: &&mut Manifest| {
                object.kind() == wanted.kind()
                    && object.name() == wanted.name()
                    && object.api_version() == wanted.api_version()
                    && (wanted.namespace().is_empty() || object.namespace() == wanted.namespace())
            };
            // What several overlays share is read once; each is laid over it in its turn.
            let (before, of_this) = self.objects.split_at_mut(first);
            if let Some(object) = of_this.iter_mut().find(same).or_else(|| before.iter_mut().find(same)) {
                object.patch(&file, &patch);
            } else {
                let why = format!("{} is patched, and not among the resources", wanted.title());
                self.report.error(&file, patch.line, "the patch", why);
            }
        }
        if let Some(line) = left_out.first() {
            let why =
                format!("{} with a target, or as a list of operations: not applied here", left_out.len());
            self.report.note(name, *line, "patches", why);
        }
    }

    fn patch_file(&mut self, path: &FilePath, sources: &mut Vec<(String, Node)>) {
        let name = path.display().to_string();
        if let Ok(real) = fs::canonicalize(path) {
            self.seen.insert(real);
        }
        if let Some(text) = self.content(path) {
            sources.extend(self.documents(&name, &text).into_iter().map(|node| (name.clone(), node)));
        }
    }

    fn content(&mut self, path: &FilePath) -> Option<String> {
        let name = path.display().to_string();
        let text = fs::metadata(path).map_err(|error| cannot(&error)).and_then(|meta| {
            if meta.len() > MAX_BYTES {
                return Err(format!("{} bytes, and {MAX_BYTES} are read", meta.len()));
            }
            let bytes = fs::read(path).map_err(|error| cannot(&error))?;
            String::from_utf8(bytes).map_err(|_| "not text in UTF-8".to_owned())
        });
        text.map_err(|why| self.report.error(&name, 0, "the file", why)).ok()
    }

    /// The documents of a text that are not empty. What the importer would tolerate, the Kubernetes tools refuse.
    fn documents(&mut self, file: &str, text: &str) -> Vec<Node> {
        let mut doubts = Report::default();
        let documents = yaml::parse(file, text, &mut doubts);
        for doubt in doubts.sorted() {
            self.report.add(Level::Error, file, doubt.line.unwrap_or(0), doubt.subject, doubt.message);
        }
        match documents {
            Ok(documents) => documents.into_iter().filter(|node| !node.is_null()).collect(),
            Err(error) => {
                self.report.error(file, error.line(), "the file", error.to_string());
                Vec::new()
            }
        }
    }

    fn text(&mut self, file: &str, text: &str) {
        let level = if self.found { Level::Note } else { Level::Error };
        for node in self.documents(file, text) {
            let line = node.line;
            if node.map().is_none() {
                let why = format!("a Kubernetes object is a map, and this is {}", node.what());
                self.report.add(level, file, line, "the document", why);
                continue;
            }
            let object = Manifest::new(file.to_owned(), node.clone());
            if object.kind() == "List" {
                let items = node.get("items").and_then(Node::list).unwrap_or_default();
                self.objects.extend(items.iter().map(|item| Manifest::new(file.to_owned(), item.clone())));
            } else if object.kind().is_empty() || object.api_version().is_empty() {
                let why = "no Kubernetes object: apiVersion and kind are needed";
                self.report.add(level, file, line, "the document", why);
            } else {
                self.objects.push(object);
            }
        }
    }
}
