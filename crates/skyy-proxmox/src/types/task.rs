//! Tasks: lists, status, log. What a task ended with is judged here, once.

use std::fmt;

use serde::Deserialize;

use crate::ids::NodeName;
use crate::lenient::{number, text};
use crate::problem::Problem;
use crate::upid::Upid;

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskExit {
    /// It succeeded.
    Ok,
    /// It succeeded with this many warnings.
    Warnings(u32),
    /// It failed, for this reason.
    Failed(String),
    /// Its worker vanished, or the node went down under it: what it did must be looked at.
    Unexpected,
}

impl TaskExit {
    /// Reads an exit status. `OK` and `WARNINGS: n` are success; an absent one is not known.
    pub fn parse(status: &str) -> Self {
        let status = status.trim();
        if status == "OK" {
            return Self::Ok;
        }
        if let Some(count) = status.strip_prefix("WARNINGS:") {
            return Self::Warnings(count.trim().parse().unwrap_or(1));
        }
        if status.is_empty() || status == "unexpected status" || status == "unknown" {
            return Self::Unexpected;
        }
        Self::Failed(status.to_owned())
    }

    /// Whether it succeeded.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Ok | Self::Warnings(_))
    }

    /// Why it failed, told apart as a refused call would be: a lock may stand here as well as in an answer.
    pub fn problem(&self) -> Option<Problem> {
        match self {
            Self::Ok | Self::Warnings(_) | Self::Unexpected => None,
            Self::Failed(text) => Some(Problem::of_text(text)),
        }
    }
}

impl fmt::Display for TaskExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("OK"),
            Self::Warnings(count) => write!(f, "OK with {count} warnings"),
            Self::Failed(text) => f.write_str(text),
            Self::Unexpected => f.write_str("its worker vanished; the outcome must be looked at"),
        }
    }
}

/// Where a task stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    /// Whether it still works.
    pub running: bool,
    /// How it ended; `None` while it works.
    pub exit: Option<TaskExit>,
}

impl<'de> Deserialize<'de> for TaskStatus {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            #[serde(default, deserialize_with = "text")]
            status: Option<String>,
            #[serde(default, deserialize_with = "text")]
            exitstatus: Option<String>,
        }
        let raw = Raw::deserialize(from)?;
        let running = match raw.status.as_deref() {
            Some("running") => true,
            Some("stopped") => false,
            other => {
                let found = other.unwrap_or_default();
                return Err(serde::de::Error::custom(format!(
                    "task status {found:?}, expected running or stopped"
                )));
            }
        };
        // A stopped task without an exit status is one whose end nobody wrote down.
        let exit = (!running).then(|| TaskExit::parse(raw.exitstatus.as_deref().unwrap_or_default()));
        Ok(Self { running, exit })
    }
}

/// A task in a list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TaskEntry {
    /// Its id.
    pub upid: Upid,
    /// The node that runs it.
    pub node: NodeName,
    /// Its type.
    #[serde(rename = "type", default, deserialize_with = "text")]
    pub kind: Option<String>,
    /// What it works on.
    #[serde(default, deserialize_with = "text")]
    pub id: Option<String>,
    /// Who started it.
    #[serde(default, deserialize_with = "text")]
    pub user: Option<String>,
    /// The token that started it.
    #[serde(default, deserialize_with = "text")]
    pub tokenid: Option<String>,
    /// When it started, in seconds since 1970 by its node's clock.
    #[serde(default, deserialize_with = "number")]
    pub starttime: Option<u64>,
    /// When it ended.
    #[serde(default, deserialize_with = "number")]
    pub endtime: Option<u64>,
    /// How it ended, as text; absent, or `RUNNING`, while it works.
    #[serde(default, deserialize_with = "text")]
    pub status: Option<String>,
}

impl TaskEntry {
    /// How it ended; `None` while it works.
    pub fn exit(&self) -> Option<TaskExit> {
        let status = self.status.as_deref().filter(|status| !status.eq_ignore_ascii_case("running"))?;
        Some(TaskExit::parse(status))
    }
}

/// A line of a task's log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct TaskLogLine {
    /// Its number, from 1.
    #[serde(default, deserialize_with = "number")]
    pub n: Option<u64>,
    /// The line.
    #[serde(default, deserialize_with = "text")]
    pub t: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_ok_and_warnings_are_success() {
        let check = |text: &str, exit: TaskExit, success: bool| {
            assert_eq!(TaskExit::parse(text), exit);
            assert_eq!(exit.is_success(), success, "{text}");
        };
        check("OK", TaskExit::Ok, true);
        check("WARNINGS: 3", TaskExit::Warnings(3), true);
        check("unexpected status", TaskExit::Unexpected, false);
        check("", TaskExit::Unexpected, false);
        check("VM 270 already running", TaskExit::Failed("VM 270 already running".to_owned()), false);
        check("OK?", TaskExit::Failed("OK?".to_owned()), false);
    }

    #[test]
    fn a_stopped_task_without_an_end_is_not_a_success() {
        let status = |value| serde_json::from_value::<TaskStatus>(value);
        let ended = status(json!({"status": "stopped"})).unwrap();
        assert_eq!((ended.running, ended.exit), (false, Some(TaskExit::Unexpected)));
        let running = status(json!({"status": "running", "exitstatus": null})).unwrap();
        assert_eq!((running.running, running.exit), (true, None));
        assert!(status(json!({"status": "odd"})).is_err());
        assert!(status(json!({})).is_err());
    }
}
