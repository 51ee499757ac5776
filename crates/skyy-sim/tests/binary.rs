//! The program itself: what it prints, how it ends, what it says when it cannot start.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
};

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skyy-sim"));
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts the program and gives it with the lines it prints, one for each endpoint.
fn started(args: &[&str], endpoints: usize) -> (Child, Vec<String>) {
    let mut child = program(args).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let printed = lines.take(endpoints).map(Result::unwrap).collect();
    (child, printed)
}

fn signalled(mut child: Child, signal: &str) -> Option<i32> {
    let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    child.wait().unwrap().code()
}

fn refused(args: &[&str]) -> String {
    let Output { status, stderr, .. } = program(args).output().unwrap();
    assert_eq!(status.code(), Some(1));
    let text = String::from_utf8(stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "one line: {text}");
    text
}

#[test]
fn several_endpoints_run_and_end_on_a_signal() {
    for signal in ["TERM", "INT"] {
        let (child, lines) = started(&["--pfsense", "127.0.0.1:0", "--ceph", "127.0.0.1:0"], 2);
        assert!(lines[0].starts_with("pfsense http://127.0.0.1:"), "{lines:?}");
        assert!(lines[1].starts_with("ceph http://127.0.0.1:"), "{lines:?}");
        assert_eq!(signalled(child, signal), Some(0));
    }
}

#[test]
fn state_and_certificate_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let args = ["--pfsense", "127.0.0.1:0", "--tls", "--state", path.to_str().unwrap()];
    let fingerprint = || {
        let (child, lines) = started(&args, 1);
        assert_eq!(signalled(child, "TERM"), Some(0));
        lines[0].split_once(" sha256 ").unwrap().1.to_owned()
    };
    let first = fingerprint();
    assert!(path.exists());
    assert_eq!(fingerprint(), first);
}

#[test]
fn what_cannot_start_says_so_in_one_line() {
    assert!(refused(&[]).contains("give --pfsense"));
    let (child, lines) = started(&["--pfsense", "127.0.0.1:0"], 1);
    let addr = lines[0].rsplit('/').next().unwrap();
    let text = refused(&["--pfsense", addr]);
    assert!(text.contains(addr) && text.contains("port 0") && text.contains("in use"), "{text}");
    assert_eq!(signalled(child, "TERM"), Some(0));
}
