//! The operator as a process of its own: what can only be shown by killing, by signals, or with rights of its own.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::OnceLock,
    time::Duration,
};

use serde_json::Value;
use xtask::process::{Guarded, signal};

use super::{INSTALLATION, World, apiserver, planes::root};

/// A running operator process.
pub(crate) struct Program {
    child: Guarded,
    log: PathBuf,
}

impl World {
    /// Starts the operator as the administrator.
    pub(crate) fn program(&self, arguments: &[&str]) -> Program {
        let kubeconfig = self.plane().kubeconfig().to_owned();
        self.program_as(&kubeconfig, &[&["--installation", INSTALLATION], arguments].concat())
    }

    /// Starts the operator as somebody.
    pub(crate) fn program_as(&self, kubeconfig: &Path, arguments: &[&str]) -> Program {
        let log = self.plane().folder().join(format!("operator-{}.log", self.number()));
        let file = File::create(&log).unwrap();
        let mut command = Command::new(binary());
        command
            .args(["run", "--listen=127.0.0.1:0", "--log-format=json"])
            .args(arguments)
            .env("KUBECONFIG", kubeconfig);
        let child = Guarded::spawn(&command, Stdio::null(), file.into()).unwrap();
        Program { child, log }
    }
}

impl Program {
    /// Kills it, as the machine's end would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
    }

    /// Asks it to end, as Kubernetes does, and waits.
    pub(crate) async fn terminate(mut self) -> ExitStatus {
        signal("TERM", self.child.id()).unwrap();
        let ended = async {
            loop {
                if let Some(status) = self.child.exited().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(super::PATIENCE, ended).await.expect("the operator ends on SIGTERM")
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.exited().unwrap().is_none()
    }

    /// How it ended; it must have.
    pub(crate) fn exit(&mut self) -> ExitStatus {
        self.child.exited().unwrap().expect("it has ended")
    }

    /// Its log, a JSON object a line.
    pub(crate) fn log(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).unwrap();
        // The last line may be on its way.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The log as it was written.
    pub(crate) fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// One of its metrics, summed over all labels; none as long as it does not answer.
    pub(crate) async fn metric(&self, name: &str) -> Option<u64> {
        let log = self.log();
        let line = log.iter().find(|line| line["fields"]["message"] == "metrics and health are served")?;
        let address = line["fields"]["address"].as_str()?;
        let answer = reqwest::get(format!("http://{address}/metrics")).await.ok()?;
        Some(apiserver::sum(&answer.text().await.ok()?, name, |_| true))
    }
}

/// The program: where the test runner says, else built now, as cargo does not build another crate's program for a test.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(folder) = std::env::var_os("SKYY_BIN_DIR") {
            return PathBuf::from(folder).join("skyy-operator");
        }
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        xtask::testing::build::without_cargo(&mut command);
        command.args(["build", "--quiet", "--package", "skyy-operator"]).current_dir(root());
        assert!(command.status().unwrap().success(), "the operator does not build");
        let tests = std::env::current_exe().unwrap();
        tests.ancestors().nth(2).unwrap().join("skyy-operator")
    })
}
