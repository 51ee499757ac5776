//! The house rules that neither rustfmt nor clippy knows, as functions from a file's name and text to findings.
//! Reads nothing itself.

use std::path::Path;

/// Beyond this, a Rust file says why it is one file.
const MAX_LINES: usize = 600;
const LONG_BECAUSE: &str = "// Long because: ";
/// Folders of the machines this was written on mean nothing anywhere else. Put together here so that this file
/// does not find itself.
const FOREIGN: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];

/// One thing to be put right.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// Counted from 1; 0 where it is about the whole file.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Whether a file is text of ours. Lock files, the licence and what tools record are not.
pub fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let recorded = path.components().any(|part| part.as_os_str() == "proptest-regressions");
    !recorded
        && (matches!(extension, "rs" | "toml" | "md" | "yaml" | "yml" | "sh" | "tpl" | "mod" | "txt")
            || (extension.is_empty() && !matches!(name, "LICENSE" | "go.sum")))
}

/// All rules that apply to the file.
pub fn check(path: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |line: usize, message: String| findings.push(Finding { line, message });
    for (number, line) in text.lines().enumerate() {
        if line.ends_with([' ', '\t', '\r']) {
            add(number + 1, String::from("white space at the end of the line"));
        }
        for word in FOREIGN {
            if line.contains(word) {
                add(number + 1, format!("{word} is a folder of somebody's machine"));
            }
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        add(text.lines().count(), String::from("no newline at the end of the file"));
    }
    if path.extension().is_some_and(|extension| extension == "rs") {
        rust(text, &mut add);
    }
    if path.file_name().is_some_and(|name| name == "Cargo.toml") {
        manifest(text, &mut add);
    }
    findings
}

fn rust(text: &str, add: &mut impl FnMut(usize, String)) {
    if !text.trim_start().starts_with("//!") {
        add(1, String::from("a module begins with //! and says what it is and what it must not know"));
    }
    let lines = text.lines().count();
    if lines > MAX_LINES && !text.lines().any(|line| line.trim_start().starts_with(LONG_BECAUSE)) {
        add(0, format!("{lines} lines, more than {MAX_LINES}: split it by meaning, or say {LONG_BECAUSE:?}"));
    }
}

/// Versions stand in the root manifest alone, and lints apply everywhere.
fn manifest(text: &str, add: &mut impl FnMut(usize, String)) {
    if text.lines().any(|line| line == "[workspace]") {
        return;
    }
    let mut section = "";
    let mut lints = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
            continue;
        }
        if section == "lints" && line.replace(' ', "") == "workspace=true" {
            lints = true;
        }
        let is_dependency = section.ends_with("dependencies") && line.contains('=') && !line.starts_with('#');
        if is_dependency && !line.replace(' ', "").contains("workspace=true") {
            add(number + 1, String::from("versions belong in [workspace.dependencies] of the root manifest"));
        }
    }
    if !lints {
        add(0, String::from("no [lints] workspace = true"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        fn check(name: &str, text: &str, expected: &[(usize, &str)]) {
            let found = super::check(Path::new(name), text);
            assert_eq!(found.len(), expected.len(), "{name}: {found:?}");
            for (finding, (line, words)) in found.iter().zip(expected) {
                assert_eq!(finding.line, *line, "{name}: {finding:?}");
                assert!(finding.message.contains(words), "{name}: {finding:?}");
            }
        }
        let code = |lines: usize| format!("//! About.\n{}", "// x\n".repeat(lines - 1));
        let foreign = format!("a\nsee {}main\n", FOREIGN[0]);
        let good = "[package]\nname = \"x\"\n\n[dependencies]\nclap.workspace = true\nkube = { workspace = true, features = [\"client\"] }\n\n[lints]\nworkspace = true\n";

        check("a.md", "fine\n", &[]);
        check("a.md", "", &[]);
        check("a.md", "a \nb\t\nc\n", &[(1, "white space"), (2, "white space")]);
        check("a.md", "a\nb", &[(2, "no newline")]);
        check("a.md", &foreign, &[(2, "somebody's machine")]);
        check("a.rs", "//! About.\nfn main() {}\n", &[]);
        check("a.rs", "fn main() {}\n", &[(1, "begins with //!")]);
        check("a.rs", &code(600), &[]);
        check("a.rs", &code(601), &[(0, "601 lines")]);
        check("a.rs", &format!("{}// Long because: a table.\n", code(700)), &[]);
        check("x/Cargo.toml", good, &[]);
        check(
            "x/Cargo.toml",
            &good.replace("clap.workspace = true", "clap = \"4\""),
            &[(5, "root manifest")],
        );
        check("x/Cargo.toml", "[package]\nname = \"x\"\n", &[(0, "[lints]")]);
        check("Cargo.toml", "[workspace]\n\n[workspace.dependencies]\nclap = \"4\"\n", &[]);
    }

    #[test]
    fn what_is_ours() {
        fn check(path: &str, ours: bool) {
            assert_eq!(is_ours(Path::new(path)), ours, "{path}");
        }
        check("crates/a/src/lib.rs", true);
        check(".ci/run", true);
        check("charts/a/templates/_helpers.tpl", true);
        check("Cargo.lock", false);
        check("LICENSE", false);
        check("crates/xtask/control-plane/go.sum", false);
        check("crates/a/proptest-regressions/x.txt", false);
        check("docs/picture.png", false);
    }
}
