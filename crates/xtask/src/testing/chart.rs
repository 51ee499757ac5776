//! Helm's own opinion of the chart, with its default values and every values file under `ci/`. Knows nothing of
//! what the chart installs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

/// One call of helm, and what must come of it.
#[derive(Debug, PartialEq, Eq)]
struct Check {
    name: String,
    args: Vec<String>,
    must_pass: bool,
}

/// Runs helm on the chart and returns how many checks passed, and what failed with helm's words.
pub fn run(helm: &Path, chart: &Path, scratch: &Path, filter: Option<&str>) -> Result<(u32, Vec<String>)> {
    let mut passed = 0;
    let mut failed = Vec::new();
    for check in checks(chart)? {
        if filter.is_some_and(|filter| !check.name.contains(filter)) {
            continue;
        }
        let output = Command::new(helm)
            .args(&check.args)
            // The user's plugins and repositories are no part of this.
            .env("HELM_CACHE_HOME", scratch.join("cache"))
            .env("HELM_CONFIG_HOME", scratch.join("config"))
            .env("HELM_DATA_HOME", scratch.join("data"))
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("running {}", helm.display()))?;
        if output.status.success() == check.must_pass {
            passed += 1;
        } else if check.must_pass {
            let said = [output.stdout, output.stderr].concat();
            failed.push(format!("{}: {}", check.name, String::from_utf8_lossy(&said).trim()));
        } else {
            failed.push(format!("{}: helm took values that the schema should refuse", check.name));
        }
    }
    Ok((passed, failed))
}

/// `ci/*.yaml` must work, `ci/refused/*.yaml` must be refused by the values schema.
fn checks(chart: &Path) -> Result<Vec<Check>> {
    let path = chart.display().to_string();
    let lint = |values: &[String]| [&["lint", "--strict", &path].map(String::from)[..], values].concat();
    let template = |values: &[String]| {
        let args = ["template", "skyy", &path, "--namespace", "skyy-system", "--include-crds"];
        [&args.map(String::from)[..], values].concat()
    };
    let check = |name: String, args, must_pass| Check { name, args, must_pass };
    let mut checks = vec![
        check(String::from("helm lint"), lint(&[]), true),
        check(String::from("helm template"), template(&[]), true),
    ];
    for (folder, must_pass) in [("ci", true), ("ci/refused", false)] {
        for file in values_files(&chart.join(folder))? {
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let values = [String::from("--values"), file.display().to_string()];
            if must_pass {
                checks.push(check(format!("helm lint with {folder}/{name}"), lint(&values), true));
            }
            checks.push(check(format!("helm template with {folder}/{name}"), template(&values), must_pass));
        }
    }
    Ok(checks)
}

fn values_files(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_values_file_is_tried() {
        let chart = tempfile::tempdir().unwrap();
        fs::create_dir_all(chart.path().join("ci/refused")).unwrap();
        for file in ["ci/all.yaml", "ci/notes.txt", "ci/refused/replicas.yaml"] {
            fs::write(chart.path().join(file), "").unwrap();
        }
        let names: Vec<(String, bool)> =
            checks(chart.path()).unwrap().into_iter().map(|check| (check.name, check.must_pass)).collect();
        let expected = [
            ("helm lint", true),
            ("helm template", true),
            ("helm lint with ci/all.yaml", true),
            ("helm template with ci/all.yaml", true),
            ("helm template with ci/refused/replicas.yaml", false),
        ];
        assert_eq!(names, expected.map(|(name, must_pass)| (name.to_owned(), must_pass)));
    }

    #[test]
    fn helm_is_heard_in_both_directions() {
        let chart = tempfile::tempdir().unwrap();
        fs::create_dir_all(chart.path().join("ci/refused")).unwrap();
        fs::write(chart.path().join("ci/refused/x.yaml"), "").unwrap();
        // `true` passes everything and `false` nothing, so each must fail the other's half.
        let run = |helm: &str| run(Path::new(helm), chart.path(), chart.path(), None).unwrap();
        let (passed, failed) = run("true");
        assert_eq!((passed, failed.len()), (2, 1));
        assert!(failed[0].contains("should refuse"), "{failed:?}");
        let (passed, failed) = run("false");
        assert_eq!((passed, failed.len()), (1, 2));
    }
}
