//! The demo as a person runs it: from one command to everything Ready, and nothing left behind however it ends. Needs
//! the operator and the simulator built; `cargo xtask test` says where they are.

// clippy.toml allows these in tests, and does not see that what serves only tests is one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use xtask::demo::Ports;
use xtask::process::is_running;

/// The demo, or `None` where its programs are not built.
fn demo(args: &[&str]) -> Option<Command> {
    let Some(folder) = std::env::var_os("SKYY_BIN_DIR") else {
        println!("skipped: SKYY_BIN_DIR does not say where skyy-operator and skyy-sim are");
        return None;
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("demo").args(args).env("SKYY_BIN_DIR", folder).env_remove("KUBECONFIG").stdin(Stdio::null());
    Some(command)
}

/// The first of four ports that nobody has. The tests of this file run at the same time, so each has a range.
fn free_ports(range: std::ops::Range<u16>) -> String {
    let free = |base: &u16| Ports::from_base(*base).is_some_and(|ports| ports.must_be_free().is_ok());
    range.step_by(4).find(free).expect("four free ports in a row").to_string()
}

#[test]
fn everything_becomes_ready_and_the_summary_says_what_it_took() {
    let ports = free_ports(23_000..23_400);
    let Some(mut command) = demo(&["--port-base", &ports, "--speed", "20"]) else { return };
    let output = command.output().unwrap();
    let (said, noted) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{noted}");
    assert!(said.contains("2057 objects Ready"), "{said}");
    assert!(said.contains("0 refused for want of a right"), "{said}");
    assert!(noted.contains("ServiceAccount skyy-system/skyy-command"), "{noted}");
    let line = said.lines().find(|line| line.contains("rows on the firewall")).expect(&said);
    let requests: u32 = line.split_whitespace().next().unwrap().parse().unwrap();
    assert!(requests <= 1_100, "{line}");
    assert!(line.contains("for 2036 rows"), "{line}");
}

#[test]
fn what_is_not_ready_in_time_is_named() {
    let ports = free_ports(23_400..23_800);
    let Some(mut command) = demo(&["--port-base", &ports, "--timeout", "1"]) else { return };
    let output = command.output().unwrap();
    let (said, noted) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}\n{noted}");
    assert!(said.lines().any(|line| line.starts_with("VirtualIP ")), "{said}");
    let error = noted.lines().last().unwrap_or_default();
    assert!(error.starts_with("error: not everything is Ready after 1.0 s"), "{noted}");
    assert!(error.contains("--timeout"), "{error}");
}

#[test]
fn a_port_that_is_taken_is_named_before_anything_is_started() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let Some(mut command) = demo(&["--port-base", &port.to_string()]) else { return };
    let output = command.output().unwrap();
    let noted = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{noted}");
    assert_eq!(noted.lines().count(), 1, "{noted}");
    assert!(noted.contains(&port.to_string()) && noted.contains("--port-base"), "{noted}");
}

/// Ctrl-C, and the hardest end there is.
#[test]
fn nothing_is_left_behind_by_a_demo_that_is_ended_in_the_middle() {
    for (signal, ports) in [("INT", 23_800..24_000), ("KILL", 24_000..24_200)] {
        let ports = free_ports(ports);
        let Some(mut command) = demo(&["--port-base", &ports, "--keep"]) else { return };
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The first line of the table: the wanted state is applied, and everybody is at work.
        BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
        let (programs, folders) = descendants(&child);
        assert!(programs.len() >= 4, "etcd, API server, simulator and operator: {programs:?}");
        assert!(!folders.is_empty(), "the API server has a folder");
        xtask::process::signal(signal, child.id()).unwrap();
        child.wait().unwrap();
        wait_until("the programs are gone", || programs.iter().all(|pid| !is_running(*pid)));
        wait_until("the folder is gone", || folders.iter().all(|folder| !folder.exists()));
    }
}

/// The processes that a demo started, and the folders that they name.
fn descendants(child: &Child) -> (Vec<u32>, Vec<PathBuf>) {
    let output = Command::new("ps").args(["-eo", "pid=,ppid=,args="]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let (mut programs, mut folders) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let pid: u32 = words.next().unwrap().parse().unwrap();
        let parent: u32 = words.next().unwrap().parse().unwrap();
        if parent != child.id() {
            continue;
        }
        programs.push(pid);
        let folder = words.filter_map(|word| word.strip_prefix("--data-dir=")).map(Path::new);
        folders.extend(folder.filter_map(Path::parent).map(Path::to_owned));
    }
    (programs, folders)
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !condition() {
        assert!(std::time::Instant::now() < until, "not within 30 s: {what}");
        std::thread::sleep(xtask::process::POLL);
    }
}
