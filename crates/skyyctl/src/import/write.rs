//! Writing the tree: the same files from the same input, byte by byte, and nobody else's file touched.
//!
//! Knows no kind.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// Path below the target folder → content.
pub type Files = BTreeMap<String, String>;

/// The first line of every file written, by which a later import knows its own.
const MARK: &str =
    "# Written by skyyctl import. A new import writes it anew: change it by a Kustomize overlay.\n";

/// Why the tree could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file system refuses.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something is in the way.
    #[error("{0} is there and was not written by an import; move it away, or give another folder by --out")]
    Foreign(PathBuf),
}

/// YAML documents behind comments.
pub fn yaml_text(notes: &[&str], documents: &[Value]) -> String {
    let mut text = String::new();
    for note in notes {
        text.extend(["# ", &note.replace('\n', " "), "\n"]);
    }
    for (n, document) in documents.iter().enumerate() {
        if n > 0 {
            text.push_str("---\n");
        }
        text.push_str(&document_text(document));
    }
    text
}

fn document_text(document: &Value) -> String {
    // Long lines stay lines: folding would make a diff of a compose file unreadable.
    let options = serde_saphyr::ser_options! { indent_step: 2, folded_wrap_chars: 1_000_000 };
    let mut text = String::new();
    // JSON always fits into YAML; where the writer is of another opinion, JSON itself is YAML too.
    if serde_saphyr::to_fmt_writer_with_options(&mut text, document, options).is_err() {
        text = document.to_string();
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Writes the files below `out` and removes those that an earlier import wrote and this one has not.
pub fn write(out: &Path, files: &Files) -> Result<(), WriteError> {
    let io = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| WriteError::Io { doing, path, source }
    };
    // Look first, so that a refusal leaves everything as it was.
    for path in files.keys().map(|p| out.join(p)) {
        if path.exists() && !ours(&path) {
            return Err(WriteError::Foreign(path));
        }
    }
    for (path, text) in files {
        let path = out.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(io("make the folder", folder))?;
        }
        fs::write(&path, format!("{MARK}{text}")).map_err(io("write", &path))?;
    }
    let folders = ["", "endpoints", "hosts", "address-pools", "deployments"];
    for folder in folders {
        for entry in fs::read_dir(out.join(folder)).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let below = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let stale = entry.path().is_file() && !files.contains_key(&below) && ours(&entry.path());
            if stale {
                fs::remove_file(entry.path()).map_err(io("remove", &entry.path()))?;
            }
        }
    }
    Ok(())
}

fn ours(path: &Path) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes.starts_with(MARK.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_import_replaces_its_own_files_only() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        let files = |names: &[&str]| -> Files {
            names.iter().map(|n| ((*n).to_owned(), "a: 1\n".to_owned())).collect()
        };
        write(out, &files(&["kustomization.yaml", "hosts/a.yaml", "hosts/b.yaml"])).unwrap();
        fs::write(out.join("hosts/mine.yaml"), "mine").unwrap();
        write(out, &files(&["kustomization.yaml", "hosts/b.yaml"])).unwrap();
        assert!(!out.join("hosts/a.yaml").exists());
        assert_eq!(fs::read_to_string(out.join("hosts/mine.yaml")).unwrap(), "mine");

        fs::write(out.join("hosts/b.yaml"), "changed by hand").unwrap();
        let refused = write(out, &files(&["hosts/b.yaml", "hosts/c.yaml"])).unwrap_err().to_string();
        assert!(refused.contains("b.yaml is there and was not written by an import"), "{refused}");
        assert!(!out.join("hosts/c.yaml").exists());
    }

    fn anything() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,20}".prop_map(Value::from),
            "[ -~\n]{0,200}".prop_map(Value::from),
            prop::sample::select(vec![
                "yes", "no", "0755", "3.10", "1e3", "~", "null", "- a", "a: b", "#x", " x ", "02:00"
            ])
            .prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[a-zA-Z_.-]{1,12}", inner, 0..6)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(value in anything()) {
            let document = json!({ "a": value });
            let text = yaml_text(&["note"], std::slice::from_ref(&document));
            let read: Value = serde_saphyr::from_str(&text).unwrap();
            prop_assert_eq!(read, document);
        }
    }
}
