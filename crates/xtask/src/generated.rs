//! The files that are made from the code: CRDs for `crds/` and the chart, reference pages for `docs/reference/`.
//! Computes and compares; only [`write()`] writes.

mod reference;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

const CRDS: &str = "crds";
const CHART: &str = "charts/skyy-command";
const REFERENCE: &str = "docs/reference";
/// What a generated file says of itself; a file that does not say so is never touched.
const YAML_MARK: &str = "# Made by `cargo xtask generate` from crates/skyy-api; change it there.\n";
const MARKDOWN_MARK: &str =
    "<!-- Made by `cargo xtask generate` from crates/skyy-api; change it there. -->\n";

/// What one file should be; `None`: it should not be.
type Files = BTreeMap<PathBuf, Option<String>>;

/// Every generated file under `root` as it should be, with those to be removed.
fn wanted(root: &Path) -> Result<Files> {
    let mut files = Files::new();
    let mut kinds = Vec::new();
    for crd in skyy_api::all_crds() {
        let value = serde_json::to_value(&crd).context("serialising a CRD")?;
        let name = format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural);
        let text = yaml(&value).with_context(|| format!("writing {name} as YAML"))?;
        files.insert(Path::new(CRDS).join(&name), Some(text.clone()));
        if root.join(CHART).join("Chart.yaml").is_file() {
            files.insert(Path::new(CHART).join("crds").join(&name), Some(text));
        }
        let page = format!("{}.md", crd.spec.names.kind.to_lowercase());
        let text = format!("{MARKDOWN_MARK}\n{}", reference::page(&value));
        files.insert(Path::new(REFERENCE).join(page), Some(text));
        kinds.push(value);
    }
    let index = format!("{MARKDOWN_MARK}\n{}", reference::index(&kinds));
    files.insert(Path::new(REFERENCE).join("README.md"), Some(index));

    for folder in [Path::new(CRDS), &Path::new(CHART).join("crds"), Path::new(REFERENCE)] {
        let Ok(entries) = fs::read_dir(root.join(folder)) else { continue };
        for entry in entries {
            let path = folder.join(entry?.file_name());
            let ours = fs::read_to_string(root.join(&path))
                .is_ok_and(|text| text.starts_with(YAML_MARK) || text.starts_with(MARKDOWN_MARK));
            if ours {
                files.entry(path).or_insert(None);
            }
        }
    }
    Ok(files)
}

/// The generated files that are not as they should be.
pub fn stale(root: &Path) -> Result<Vec<PathBuf>> {
    Ok(differing(root, wanted(root)?).into_keys().collect())
}

/// Brings the generated files up to date and returns those that changed.
pub fn write(root: &Path) -> Result<Vec<PathBuf>> {
    let changes = differing(root, wanted(root)?);
    for (path, text) in &changes {
        let full = root.join(path);
        match text {
            Some(text) => {
                if let Some(folder) = full.parent() {
                    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
                }
                fs::write(&full, text)
            }
            None => fs::remove_file(&full),
        }
        .with_context(|| format!("writing {}", full.display()))?;
    }
    Ok(changes.into_keys().collect())
}

fn differing(root: &Path, mut files: Files) -> Files {
    files.retain(|path, text| fs::read_to_string(root.join(path)).ok() != *text);
    files
}

fn yaml(value: &Value) -> Result<String> {
    let options = serde_saphyr::ser_options! { indent_step: 2, prefer_block_scalars: false };
    let mut text = String::from(YAML_MARK);
    serde_saphyr::to_fmt_writer_with_options(&mut text, value, options)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_as_yaml_reads_back_the_same() {
        for crd in skyy_api::all_crds() {
            let value = serde_json::to_value(&crd).unwrap();
            let read: Value = serde_saphyr::from_str(&yaml(&value).unwrap()).unwrap();
            assert_eq!(read, value, "{}", crd.spec.names.kind);
        }
    }

    #[test]
    fn writing_twice_changes_nothing_and_strangers_stay() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(REFERENCE)).unwrap();
        fs::create_dir_all(root.path().join(CRDS)).unwrap();
        fs::write(root.path().join(REFERENCE).join("by-hand.md"), "# Mine\n").unwrap();
        fs::write(root.path().join(CRDS).join("gone.yaml"), YAML_MARK).unwrap();

        let changed = write(root.path()).unwrap();
        assert_eq!(changed.len(), 2 * skyy_api::all_crds().len() + 2);
        assert!(!root.path().join(CRDS).join("gone.yaml").exists());
        assert!(root.path().join(REFERENCE).join("by-hand.md").exists());
        assert!(!root.path().join(CHART).exists(), "no chart, no copies for it");
        assert_eq!(stale(root.path()).unwrap(), Vec::<PathBuf>::new());
        assert_eq!(write(root.path()).unwrap(), Vec::<PathBuf>::new());

        let last = changed.last().unwrap();
        fs::write(root.path().join(last), "old").unwrap();
        assert_eq!(&stale(root.path()).unwrap(), std::slice::from_ref(last));
    }
}
