//! The operator as a program of its own: started, watched, killed, asked for its numbers. Knows nothing of what it does.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::manifests::SYSTEM;
use super::stages::tail;
use crate::process::{Guarded, POLL};

/// Longer than a Lease is good for: the one before may have been killed with it.
const UP_WITHIN: Duration = Duration::from_mins(1);
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// The operator's process.
#[derive(Debug)]
pub struct Operator {
    command: Command,
    process: Option<Guarded>,
    log: PathBuf,
    url: String,
    client: reqwest::Client,
}

/// What the kernel says of its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Resident now.
    pub now_kib: u64,
    /// The most there ever was.
    pub peak_kib: u64,
}

impl Operator {
    /// Starts it as whoever the kubeconfig is of, and waits until it leads.
    pub async fn start(program: &Path, kubeconfig: &Path, port: u16, folder: &Path) -> Result<Self> {
        let mut command = Command::new(program);
        command
            .arg("run")
            .env("KUBECONFIG", kubeconfig)
            .env("SKYY_LISTEN", format!("127.0.0.1:{port}"))
            .env("POD_NAMESPACE", SYSTEM)
            // A container that is restarted keeps the pod's name.
            .env("POD_NAME", "skyy-command-demo")
            .env("NO_COLOR", "1");
        // The user's own settings are for the user's own operators.
        for name in ["SKYY_NO_LEADER_ELECTION", "SKYY_INSTALLATION", "SKYY_LOG_FORMAT"] {
            command.env_remove(name);
        }
        let client =
            reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy().build().context("HTTP")?;
        let url = format!("http://127.0.0.1:{port}");
        let mut operator =
            Self { command, process: None, log: folder.join("skyy-operator.log"), url, client };
        operator.spawn()?;
        operator.wait_ready().await?;
        Ok(operator)
    }

    /// Starts it again, without waiting for anything.
    pub fn spawn(&mut self) -> Result<()> {
        let what = || format!("writing {}", self.log.display());
        let log = File::options().create(true).append(true).open(&self.log).with_context(what)?;
        let process =
            Guarded::spawn(&self.command, Stdio::null(), log.into()).context("starting skyy-operator")?;
        self.process = Some(process);
        Ok(())
    }

    /// Waits until it holds the Lease.
    pub async fn wait_ready(&mut self) -> Result<()> {
        let until = Instant::now() + UP_WITHIN;
        loop {
            self.must_run()?;
            if let Ok(text) = self.get("/metrics").await
                && metric(&text, "skyy_leader", |_| true) == 1
            {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("skyy-operator does not lead after {} s: {}", UP_WITHIN.as_secs(), tail(&self.log, 1));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Kills it the hardest way there is.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill().context("killing skyy-operator")?;
        }
        Ok(())
    }

    /// Asks it to end, and waits.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.terminate(STOP_WITHIN).context("stopping skyy-operator")?;
        }
        Ok(())
    }

    /// An error, with its last words, when it has ended.
    pub fn must_run(&mut self) -> Result<()> {
        if let Some(process) = &mut self.process
            && let Some(status) = process.exited()?
        {
            bail!("skyy-operator ended ({status}): {}", tail(&self.log, 1));
        }
        Ok(())
    }

    /// The file with all it said.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its metrics, as text.
    pub async fn metrics(&self) -> Result<String> {
        self.get("/metrics").await
    }

    /// Its memory; `None` where the kernel does not say.
    pub fn memory(&self) -> Option<Memory> {
        let id = self.process.as_ref()?.id();
        parse_memory(&std::fs::read_to_string(format!("/proc/{id}/status")).ok()?)
    }

    async fn get(&self, path: &str) -> Result<String> {
        let what = || format!("asking the operator for {path}");
        let answer = self.client.get(format!("{}{path}", self.url)).send().await.with_context(what)?;
        answer.error_for_status().with_context(what)?.text().await.with_context(what)
    }
}

/// The sum of a metric over the labels that fit; counters only, so whole numbers.
pub fn metric(text: &str, name: &str, fits: impl Fn(&str) -> bool) -> u64 {
    text.lines()
        .filter_map(|line| line.strip_prefix(name))
        .filter(|rest| rest.starts_with(['{', ' ']))
        .filter(|rest| fits(rest))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

fn parse_memory(text: &str) -> Option<Memory> {
    let kib = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some(Memory { now_kib: kib("VmRSS:")?, peak_kib: kib("VmHWM:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_over_the_labels_that_fit() {
        let text = "# TYPE a counter\na_total{kind=\"x\"} 2\na_total{kind=\"y\"} 3\na_totals 9\nb 1\n";
        assert_eq!(metric(text, "a_total", |_| true), 5);
        assert_eq!(metric(text, "a_total", |labels| labels.contains("\"x\"")), 2);
        assert_eq!(metric(text, "b", |_| true), 1);
        assert_eq!(metric(text, "c", |_| true), 0);
    }

    #[test]
    fn memory_as_the_kernel_says_it() {
        let text = "Name:\tx\nVmHWM:\t   93012 kB\nVmRSS:\t   90100 kB\n";
        assert_eq!(parse_memory(text), Some(Memory { now_kib: 90_100, peak_kib: 93_012 }));
        assert_eq!(parse_memory("Name:\tx\n"), None);
    }
}
