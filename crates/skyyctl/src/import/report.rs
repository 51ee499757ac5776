//! What the importer has to say: which place in which file, what it is about, why it matters.
//!
//! Knows no format. Nothing that looks like a secret gets into a finding: whoever quotes a value asks `secret::shown`.

use std::fmt::{self, Write as _};

use serde::Serialize;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Something was left out because it could not be used.
    Error,
    /// The resources wait for something that only a person can add.
    ToDo,
    /// It was used, and looks wrong.
    Warning,
    /// It was not needed, or something was assumed.
    Note,
}

impl Level {
    /// The word in tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::ToDo => "to do",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One thing to say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The file, as the caller named it.
    pub file: String,
    /// The line in it, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// How much it matters.
    pub level: Level,
    /// The key or the thing.
    pub subject: String,
    /// What and why.
    pub message: String,
}

impl Finding {
    /// `FILE:LINE`.
    pub fn place(&self) -> String {
        self.line.map_or_else(|| self.file.clone(), |line| format!("{}:{line}", self.file))
    }
}

/// Everything that was said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    findings: Vec<Finding>,
}

impl Report {
    /// Adds one finding; line 0 stands for the file as a whole.
    pub fn add(
        &mut self,
        level: Level,
        file: &str,
        line: usize,
        subject: impl Into<String>,
        message: impl Into<String>,
    ) {
        self.findings.push(Finding {
            file: file.to_owned(),
            line: (line > 0).then_some(line),
            level,
            subject: subject.into(),
            message: message.into(),
        });
    }

    /// Something left out.
    pub fn error(&mut self, file: &str, line: usize, subject: impl Into<String>, message: impl Into<String>) {
        self.add(Level::Error, file, line, subject, message);
    }

    /// Something a person has to add.
    pub fn to_do(&mut self, file: &str, line: usize, subject: impl Into<String>, message: impl Into<String>) {
        self.add(Level::ToDo, file, line, subject, message);
    }

    /// Something doubtful.
    pub fn warning(
        &mut self,
        file: &str,
        line: usize,
        subject: impl Into<String>,
        message: impl Into<String>,
    ) {
        self.add(Level::Warning, file, line, subject, message);
    }

    /// Something not needed, or assumed.
    pub fn note(&mut self, file: &str, line: usize, subject: impl Into<String>, message: impl Into<String>) {
        self.add(Level::Note, file, line, subject, message);
    }

    /// The findings by place; each once.
    pub fn sorted(mut self) -> Vec<Finding> {
        self.findings.sort();
        self.findings.dedup();
        self.findings
    }
}

/// How many findings of each level there are, in words.
#[derive(Debug)]
pub struct Counts<'a>(pub &'a [Finding]);

impl fmt::Display for Counts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for (level, one, many) in [
            (Level::Error, "error", "errors"),
            (Level::ToDo, "thing to do", "things to do"),
            (Level::Warning, "warning", "warnings"),
            (Level::Note, "note", "notes"),
        ] {
            let n = self.0.iter().filter(|found| found.level == level).count();
            if n > 0 {
                let separator = if text.is_empty() { "" } else { ", " };
                write!(text, "{separator}{n} {}", if n == 1 { one } else { many })?;
            }
        }
        f.write_str(if text.is_empty() { "nothing to report" } else { &text })
    }
}
