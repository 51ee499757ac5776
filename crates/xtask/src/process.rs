//! Child processes and folders that never outlive the program that made them, not even when it is killed with
//! SIGKILL. Knows nothing of what runs in them.
//!
//! The way: each child gets a *lifeline*, a pipe of which only we hold the writing end. The kernel closes it when
//! we end, however we end, and a watcher beside the child then kills the child's process group. This needs only
//! `/bin/sh`; `PR_SET_PDEATHSIG` would need unsafe code, is Linux only, and fires when the *thread* that spawned
//! the child ends, which in a test is long before the process does.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Starts the watcher in the background and becomes the program. `$$` is the pid of the program and of its process
/// group; the group cannot be reused while the watcher is in it, so the kill can never hit a stranger.
const WATCH: &str =
    r#"exec 3<&0; (read -r _ <&3; kill -9 "-$$") >/dev/null 2>&1 & exec "$@" </dev/null 3<&-"#;

/// Removes a folder once the lifeline closes. The processes writing in it are being killed at that very moment,
/// so it tries for a while.
const SWEEP: &str =
    r#"read -r _; n=0; until rm -rf -- "$1" 2>/dev/null || [ "$n" -ge 100 ]; do n=$((n+1)); sleep 0.1; done"#;

/// How often a state is looked at while waiting for it.
pub const POLL: Duration = Duration::from_millis(50);

/// A running program that dies with us.
#[derive(Debug)]
pub struct Guarded {
    child: Child,
    lifeline: Option<ChildStdin>,
}

impl Guarded {
    /// Starts `command`'s program, arguments, environment and folder under guard, in a process group of its own.
    /// Stdin is empty; stdout and stderr go where the last two arguments say.
    pub fn spawn(command: &Command, stdout: Stdio, stderr: Stdio) -> io::Result<Self> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", WATCH, "guard"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            shell.current_dir(folder);
        }
        let mut child = shell.process_group(0).stdin(Stdio::piped()).stdout(stdout).stderr(stderr).spawn()?;
        let lifeline = child.stdin.take();
        Ok(Self { child, lifeline })
    }

    /// The program's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The program's stdout, when it was asked for with [`Stdio::piped`] and not taken before.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// The program's stderr, when it was asked for with [`Stdio::piped`] and not taken before.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// How the program ended, or `None` while it runs.
    pub fn exited(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits until the program ends by itself.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }

    /// Asks the program to end (SIGTERM) and waits for it; after `grace` it is killed.
    pub fn terminate(&mut self, grace: Duration) -> io::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        // Not yet waited for, so the pid is still this child's.
        signal("TERM", self.child.id())?;
        let until = Instant::now() + grace;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(POLL);
        }
        self.kill()
    }

    /// Kills the program (SIGKILL) with all it started in its group, and waits for it.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        drop(self.lifeline.take());
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // An error here means that it had ended already.
        let _ = self.kill();
    }
}

/// Sends a signal by its name (`TERM`, `KILL`) to a process.
pub fn signal(name: &str, pid: u32) -> io::Result<()> {
    Command::new("kill").args(["-s", name, &pid.to_string()]).stderr(Stdio::null()).status().map(|_| ())
}

/// Whether a process runs. One that has ended and only waits to be collected by its parent does not.
pub fn is_running(pid: u32) -> bool {
    if let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        // `pid (name) state …`; the name may hold anything.
        return !stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['Z', 'X']));
    }
    let status = Command::new("kill").args(["-s", "0", &pid.to_string()]).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// A fresh folder that is removed when this is dropped or we die.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    sweeper: Child,
    lifeline: Option<ChildStdin>,
}

impl Folder {
    /// Makes an empty folder, readable by this user alone, under `parent`.
    pub fn create(parent: &Path, prefix: &str) -> io::Result<Self> {
        let path = tempfile::Builder::new().prefix(prefix).tempdir_in(parent)?.keep();
        let sweeper = Command::new("/bin/sh")
            .args(["-c", SWEEP, "sweep"])
            .arg(&path)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match sweeper {
            Ok(mut sweeper) => {
                let lifeline = sweeper.stdin.take();
                Ok(Self { path, sweeper, lifeline })
            }
            Err(error) => {
                let _ = std::fs::remove_dir(&path);
                Err(error)
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // One way of cleaning for every end: the sweeper's.
        let _ = self.sweeper.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guarded_program_gets_its_arguments_environment_and_folder() {
        let folder = Folder::create(&std::env::temp_dir(), "skyy-test-").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", r#"printf '%s|%s|%s' "$1" "$GREETING" "$PWD"; exit 7"#, "x", "a b'c"]);
        command.env("GREETING", "hello").current_dir(folder.path());
        let out = folder.path().join("out");
        let mut child =
            Guarded::spawn(&command, std::fs::File::create(&out).unwrap().into(), Stdio::null()).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(7));
        let text = std::fs::read_to_string(&out).unwrap();
        let here = folder.path().canonicalize().unwrap();
        assert_eq!(text, format!("a b'c|hello|{}", here.display()));
    }

    #[test]
    fn dropping_kills_a_program_that_ignores_sigterm() {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"]);
        let mut child = Guarded::spawn(&command, Stdio::piped(), Stdio::null()).unwrap();
        let mut line = String::new();
        let mut out = io::BufReader::new(child.take_stdout().unwrap());
        io::BufRead::read_line(&mut out, &mut line).unwrap();
        assert_eq!(line, "ready\n");
        let pid = child.id();
        assert!(is_running(pid));
        let status = child.terminate(Duration::from_millis(200)).unwrap();
        assert!(!status.success());
        assert!(!is_running(pid));
        // The grandchild `sleep` holds stdout open; the end of the stream shows that it is gone too.
        io::Read::read_to_string(&mut out, &mut line).unwrap();
    }

    #[test]
    fn a_folder_goes_with_its_contents() {
        let folder = Folder::create(&std::env::temp_dir(), "skyy-test-").unwrap();
        let path = folder.path().to_owned();
        std::fs::create_dir(path.join("deep")).unwrap();
        std::fs::write(path.join("deep/file"), "x").unwrap();
        drop(folder);
        assert!(!path.exists());
    }
}
