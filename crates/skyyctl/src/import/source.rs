//! Finding the files and telling what each is.
//!
//! Reads and never writes. What cannot be read is reported, and the rest goes on.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    report::{Level, Report},
    yaml::{self, Node},
};

/// Larger files are not read.
const MAX_BYTES: u64 = 4 << 20;
/// More files than this are not read.
const MAX_FILES: usize = 5000;
/// Folders deeper than this are not entered.
const MAX_DEPTH: usize = 16;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sort {
    /// One host.
    Host,
    /// A list of addresses.
    Networking,
    /// What runs in a guest.
    Compose,
    /// Global settings.
    Config,
}

/// A file with something in it.
#[derive(Debug, Clone)]
pub struct Source {
    /// As the caller named it.
    pub file: String,
    /// The file's name without its endings.
    pub stem: String,
    /// What it is.
    pub sort: Sort,
    /// Its content.
    pub node: Node,
}

/// All usable documents below the paths, in the order of their names.
pub fn gather(paths: &[PathBuf], report: &mut Report) -> Vec<Source> {
    let mut files = Vec::new();
    for path in paths {
        walk(path, 0, &mut files, report);
    }
    files.sort();
    files.dedup();
    if files.len() > MAX_FILES {
        let name = files[MAX_FILES].display().to_string();
        report.error(
            &name,
            0,
            "files",
            format!(
                "{} files, and {MAX_FILES} are read: this one and all after it are left out",
                files.len()
            ),
        );
        files.truncate(MAX_FILES);
    }
    files.iter().flat_map(|path| read(path, report)).collect()
}

fn walk(path: &Path, depth: usize, files: &mut Vec<PathBuf>, report: &mut Report) {
    let name = path.display().to_string();
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) => {
            report.error(&name, 0, "the file", format!("cannot be read: {}", error.kind()));
            return;
        }
    };
    if meta.is_file() {
        files.push(path.to_owned());
    } else if meta.is_dir() {
        if depth >= MAX_DEPTH {
            report.error(&name, 0, "the folder", format!("more than {MAX_DEPTH} folders deep; left out"));
            return;
        }
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) => {
                report.error(&name, 0, "the folder", format!("cannot be read: {}", error.kind()));
                return;
            }
        };
        for entry in entries.flatten() {
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            let link = entry.file_type().is_ok_and(|t| t.is_symlink());
            if link && entry.path().is_dir() {
                report.note(
                    &entry.path().display().to_string(),
                    0,
                    "the folder",
                    "a link to a folder; not followed",
                );
            } else if !hidden {
                walk(&entry.path(), depth + 1, files, report);
            }
        }
    } else {
        report.error(&name, 0, "the file", "neither a file nor a folder; left out");
    }
}

fn read(path: &Path, report: &mut Report) -> Vec<Source> {
    let file = path.display().to_string();
    let file_name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let Some(stem) = [".yaml", ".yml"].iter().find_map(|end| file_name.strip_suffix(end)) else {
        report.note(&file, 0, "the file", "no YAML file by its name; left out");
        return Vec::new();
    };
    let text = match text_of(path) {
        Ok(text) => text,
        Err(why) => {
            report.error(&file, 0, "the file", why);
            return Vec::new();
        }
    };
    let documents = match yaml::parse(&file, &text, report) {
        Ok(documents) => documents,
        Err(error) => {
            report.error(&file, error.line(), "the file", format!("{error}; nothing of it is imported"));
            return Vec::new();
        }
    };
    if documents.iter().all(Node::is_null) {
        report.error(&file, 0, "the file", "empty");
        return Vec::new();
    }
    let documents = documents.into_iter().filter(|d| !d.is_null());
    documents
        .filter_map(|node| match sort(stem, &node) {
            Ok(sort) => Some(Source { file: file.clone(), stem: stem.to_owned(), sort, node }),
            Err((level, why)) => {
                report.add(level, &file, node.line, "the file", why);
                None
            }
        })
        .collect()
}

fn text_of(path: &Path) -> Result<String, String> {
    let read = |e: std::io::Error| format!("cannot be read: {}", e.kind());
    let size = fs::metadata(path).map_err(read)?.len();
    if size > MAX_BYTES {
        return Err(format!("{size} bytes, and {MAX_BYTES} are read; left out"));
    }
    let bytes = fs::read(path).map_err(read)?;
    let text = String::from_utf8(bytes).map_err(|_| "not text in UTF-8; left out".to_owned())?;
    if text.contains('\0') {
        return Err("not text; left out".to_owned());
    }
    Ok(text)
}

/// What a document is: by what is in it, and where that does not tell, by the file's name.
fn sort(stem: &str, node: &Node) -> Result<Sort, (Level, String)> {
    let Some(entries) = node.map() else {
        return Err((Level::Error, format!("should be a map, and is {}; left out", node.what())));
    };
    let has = |key: &str| entries.iter().any(|(k, _)| k.text == key);
    if has("apiVersion") && has("kind") {
        return Err((Level::Note, "a Kubernetes resource already; left out".to_owned()));
    }
    let lower = stem.to_lowercase();
    let by_content = [
        (has("services"), Sort::Compose),
        (has("ips"), Sort::Networking),
        (has("hostname") || has("ip_address"), Sort::Host),
        (has("main") || has("proxmox") || has("ceph"), Sort::Config),
    ];
    let by_name = [
        (lower.contains("compose"), Sort::Compose),
        (lower.starts_with("networking"), Sort::Networking),
        (lower == "config", Sort::Config),
        (has("settings") || has("roles"), Sort::Host),
    ];
    by_content.into_iter().chain(by_name).find_map(|(is, sort)| is.then_some(sort)).ok_or_else(|| {
        let why = "neither a host, nor addresses, nor a compose file, nor the settings; left out";
        (Level::Error, why.to_owned())
    })
}
