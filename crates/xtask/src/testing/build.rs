//! One build of everything, and the list of test programs that came of it. Runs none of them.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::layer::Layer;
use crate::process::Guarded;

/// A program full of tests.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Program {
    /// Where its tests are counted.
    pub layer: Layer,
    /// The crate.
    pub package: String,
    /// The target in the crate: the library, a binary, an integration test.
    pub target: String,
    /// The crate's folder; tests run in it, as cargo has it.
    pub folder: PathBuf,
    /// The program itself.
    pub executable: PathBuf,
}

/// What the build made.
#[derive(Debug, Default)]
pub struct Built {
    /// The test programs, by layer.
    pub tests: Vec<Program>,
    /// The folder with the workspace's own programs (`skyy-operator`, `skyy-sim`, …).
    pub programs: Option<PathBuf>,
    /// Whether all of it could be built; cargo has said on stderr what could not.
    pub complete: bool,
}

/// One of cargo's messages; there are many kinds, and one is of interest.
#[derive(Debug, Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Profile {
    test: bool,
}

/// Builds programs and tests in one go: two builds would compile shared dependencies twice wherever tests ask
/// more features of them. What does not build keeps nothing else from being built.
pub fn build(root: &Path) -> Result<Built> {
    cargo_build(root, "--all-targets")
}

/// Builds the workspace's programs and returns the folder they are in.
pub fn programs(root: &Path) -> Result<PathBuf> {
    let built = cargo_build(root, "--bins")?;
    if !built.complete {
        bail!("the workspace does not build");
    }
    built.programs.context("cargo built no program")
}

fn cargo_build(root: &Path, targets: &str) -> Result<Built> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["build", "--workspace", "--keep-going", targets, "--message-format=json-render-diagnostics"])
        .current_dir(root);
    without_cargo(&mut command);
    let mut child = Guarded::spawn(&command, Stdio::piped(), Stdio::inherit()).context("starting cargo")?;
    let stdout = child.take_stdout().context("cargo has no stdout")?;
    let mut built = Built::default();
    for line in BufReader::new(stdout).lines() {
        built.take(&line.context("reading what cargo says")?);
    }
    built.complete = child.wait()?.success();
    built.tests.sort();
    Ok(built)
}

impl Built {
    fn take(&mut self, line: &str) {
        let Ok(message) = serde_json::from_str::<Message>(line) else { return };
        let (Some(manifest), Some(target), Some(profile), Some(executable)) =
            (message.manifest_path, message.target, message.profile, message.executable)
        else {
            return;
        };
        if message.reason != "compiler-artifact" {
            return;
        }
        let Some(folder) = manifest.parent() else { return };
        if profile.test {
            let package = package_name(folder);
            self.tests.push(Program {
                layer: Layer::of(&package),
                package,
                target: target.name,
                folder: folder.to_owned(),
                executable,
            });
        } else if target.kind.iter().any(|kind| kind == "bin") {
            self.programs = executable.parent().map(Path::to_owned);
        }
    }
}

/// The crates are folders named as they are; the integration suite is the exception.
fn package_name(folder: &Path) -> String {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if name == "tests" { String::from("skyy-tests") } else { name }
}

/// Takes away what `cargo run` told this program of itself: build scripts and tests started from here would take
/// it for theirs, and cargo would build anew what it believes to have changed.
pub fn without_cargo(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO_CRATE_NAME"
        {
            command.env_remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_programs_are_told_from_others() {
        let mut built = Built::default();
        for line in [
            r#"{"reason":"compiler-artifact","package_id":"x","manifest_path":"/w/crates/skyy-plan/Cargo.toml","target":{"kind":["lib"],"name":"skyy_plan"},"profile":{"opt_level":"0","test":true},"filenames":[],"executable":"/w/target/debug/deps/skyy_plan-1","fresh":true}"#,
            r#"{"reason":"compiler-artifact","manifest_path":"/w/crates/skyy-plan/Cargo.toml","target":{"kind":["lib"],"name":"skyy_plan"},"profile":{"test":false},"executable":null}"#,
            r#"{"reason":"compiler-artifact","manifest_path":"/w/crates/skyy-sim/Cargo.toml","target":{"kind":["bin"],"name":"skyy-sim"},"profile":{"test":false},"executable":"/w/target/debug/skyy-sim"}"#,
            r#"{"reason":"compiler-artifact","manifest_path":"/w/tests/Cargo.toml","target":{"kind":["test"],"name":"suite"},"profile":{"test":true},"executable":"/w/target/debug/deps/suite-2"}"#,
            r#"{"reason":"build-script-executed","package_id":"x"}"#,
            r#"{"reason":"build-finished","success":true}"#,
            "not JSON",
        ] {
            built.take(line);
        }
        let found: Vec<(Layer, &str, &str)> = built
            .tests
            .iter()
            .map(|program| (program.layer, program.package.as_str(), program.target.as_str()))
            .collect();
        let expected = [(Layer::Pure, "skyy-plan", "skyy_plan"), (Layer::Cluster, "skyy-tests", "suite")];
        assert_eq!(found, expected);
        assert_eq!(built.programs.as_deref(), Some(Path::new("/w/target/debug")));
    }
}
