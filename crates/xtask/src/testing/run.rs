//! Runs one test program under a time limit, keeps all it prints in a log, and returns what it said.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::libtest::Outcome;
use crate::process::Guarded;
use crate::ui::Progress;

/// A test program that ended or was ended.
#[derive(Debug)]
pub struct Ran {
    /// What its tests said.
    pub outcome: Outcome,
    /// All it printed.
    pub log: PathBuf,
    /// How long it took.
    pub time: Duration,
}

/// Runs `command`, which prints as libtest does. `name` is for people and for the log's file name. A program that
/// does not come to a summary counts as one failure.
pub fn run(name: &str, command: &Command, logs: &Path, limit: Duration) -> Result<Ran> {
    fs::create_dir_all(logs).with_context(|| format!("creating {}", logs.display()))?;
    let log_path = logs.join(format!("{}.log", name.replace([' ', '/', ':'], "-")));
    let mut log = File::create(&log_path).with_context(|| format!("writing {}", log_path.display()))?;
    let began = Instant::now();
    let mut child = Guarded::spawn(command, Stdio::piped(), log.try_clone()?.into())
        .with_context(|| format!("starting {name}"))?;
    let stdout = child.take_stdout().context("a test program has no stdout")?;
    let (sender, lines) = mpsc::channel();
    // Not joined: a stray grandchild may hold the pipe open for longer than anybody wants to wait.
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });

    let mut outcome = Outcome::default();
    let mut progress = Progress::quiet(name);
    let mut late = false;
    loop {
        match lines.recv_timeout(Duration::from_millis(500)) {
            Ok(line) => {
                let _ = writeln!(log, "{line}");
                outcome.line(&line);
            }
            Err(RecvTimeoutError::Timeout) if child.exited()?.is_some() => break,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        progress.tick(&format!("{} tests done", outcome.ended));
        if began.elapsed() > limit {
            late = true;
            break;
        }
    }
    let status = if late { child.kill()? } else { child.wait()? };
    progress.clear();
    if late || !outcome.is_complete() || (!status.success() && outcome.failed.is_empty()) {
        let slow: Vec<&str> = outcome.slow.iter().map(String::as_str).collect();
        let at = if slow.is_empty() { String::new() } else { format!(", while running {}", slow.join(", ")) };
        let how = if late { format!("not done after {} s", limit.as_secs()) } else { status.to_string() };
        outcome.failed.push(format!("(the program itself: {how}{at})"));
    }
    Ok(Ran { outcome, log: log_path, time: began.elapsed() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(script: &str, limit: Duration) -> Ran {
        let logs = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run("some tests", &command, logs.path(), limit).unwrap()
    }

    const LONG: Duration = Duration::from_mins(1);
    const SUMMARY: &str = "echo 'test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured'";

    #[test]
    fn a_program_without_a_summary_has_failed() {
        fn check(script: &str, limit: Duration, passed: u32, failed: &[&str]) {
            let outcome = ran(script, limit).outcome;
            assert_eq!(outcome.passed, passed, "{script}");
            assert_eq!(outcome.failed, failed, "{script}");
        }
        check(&format!("echo 'test a ... ok'; {SUMMARY}"), LONG, 1, &[]);
        check("echo 'test a ... ok'; exit 3", LONG, 0, &["(the program itself: exit status: 3)"]);
        check(&format!("{SUMMARY}; exit 1"), LONG, 1, &["(the program itself: exit status: 1)"]);
        check("kill -9 $$", LONG, 0, &["(the program itself: signal: 9 (SIGKILL))"]);
        check("sleep 1000", Duration::ZERO, 0, &["(the program itself: not done after 0 s)"]);
    }

    #[test]
    fn a_stray_grandchild_does_not_hold_up_the_run() {
        let ran = ran(&format!("sleep 1000 & {SUMMARY}"), LONG);
        assert_eq!(ran.outcome.passed, 1);
        assert!(ran.outcome.failed.is_empty());
    }
}
