//! `cargo xtask tidy`: the house rules over every file that Git has or would take, generated files fresh, and
//! `cargo deny` where it is installed.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};

use crate::{generated, house, ui, workspace};

/// Does it.
pub fn run() -> Result<ExitCode> {
    let root = workspace::root();
    let mut found = 0_usize;
    let mut files = 0_usize;
    for path in workspace::files()?.iter().filter(|path| house::is_ours(path)) {
        let bytes = std::fs::read(root.join(path)).with_context(|| format!("reading {}", path.display()))?;
        let Ok(text) = String::from_utf8(bytes) else {
            continue; // Not text, so not ours after all.
        };
        files += 1;
        for finding in house::check(path, &text) {
            found += 1;
            ui::line(format!("{}:{}: {}", path.display(), finding.line, finding.message));
        }
    }
    for path in generated::stale(&root)? {
        found += 1;
        ui::line(format!("{}: stale; run cargo xtask generate", path.display()));
    }
    if !dependencies()? {
        found += 1;
    }
    ui::note(format!("{files} files looked at, {found} findings"));
    Ok(if found == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether `cargo deny` is content, or not there to ask. Advisories need the network and change by the day; they
/// are for whoever looks after dependencies, not for every change.
fn dependencies() -> Result<bool> {
    let installed = Command::new("cargo-deny")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !installed {
        ui::note("deny.toml not checked: cargo-deny is not installed");
        return Ok(true);
    }
    let status = Command::new("cargo-deny")
        .args(["--all-features", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"])
        .current_dir(workspace::root())
        .status()
        .context("running cargo-deny")?;
    Ok(status.success())
}
