//! etcd, kube-apiserver and, when wanted, kube-controller-manager as processes on loopback: how they are started,
//! waited for and stopped. Knows no kubeconfig but the one it writes.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::error::{Context as _, Error};
use super::identity::{Identity, write_private};
use super::tools::{Tool, Tools};
use crate::process::{Guarded, POLL};

const READY_WITHIN: Duration = Duration::from_secs(90);
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// Between asking for a free port and listening on it, somebody else may take it.
const ATTEMPTS: u32 = 3;
const PORT_TAKEN: &str = "address already in use";

#[derive(Debug)]
pub(super) struct Server {
    manager: Option<Guarded>,
    api: Option<Guarded>,
    etcd: Guarded,
    identity: Identity,
    folder: PathBuf,
    api_command: Command,
    kubectl: PathBuf,
    port: u16,
}

impl Server {
    /// Starts both and waits until they are ready; writes the administrator's kubeconfig.
    pub(super) fn start(tools: &Tools, folder: &Path, kubeconfig: &Path) -> Result<Self, Error> {
        let mut attempt = 1;
        loop {
            match Self::try_start(tools, folder, kubeconfig) {
                Err(Error::Died { tail, .. }) if attempt < ATTEMPTS && tail.contains(PORT_TAKEN) => {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    fn try_start(tools: &Tools, folder: &Path, kubeconfig: &Path) -> Result<Self, Error> {
        let identity = Identity::create(folder)?;
        let [client, peer, port] = free_ports()?;
        let etcd = spawn(&etcd_command(&tools.get(Tool::Etcd)?, folder, client, peer), folder, "etcd")?;
        let api_command = api_command(&tools.get(Tool::KubeApiserver)?, folder, &identity, client, port);
        write_private(kubeconfig, &identity.admin_kubeconfig(&url(port)))?;
        let kubectl = tools.get(Tool::Kubectl)?;
        let folder = folder.to_owned();
        let mut server =
            Self { manager: None, api: None, etcd, identity, folder, api_command, kubectl, port };
        server.start_api(kubeconfig)?;
        Ok(server)
    }

    pub(super) fn url(&self) -> String {
        url(self.port)
    }

    pub(super) fn process_ids(&self) -> Vec<u32> {
        let others = [self.api.as_ref(), self.manager.as_ref()].into_iter().flatten();
        std::iter::once(&self.etcd).chain(others).map(Guarded::id).collect()
    }

    pub(super) fn start_api(&mut self, kubeconfig: &Path) -> Result<(), Error> {
        if self.api.is_none() {
            self.api = Some(spawn(&self.api_command, &self.folder, "kube-apiserver")?);
        }
        self.wait_ready(kubeconfig)
    }

    pub(super) fn stop_api(&mut self) -> Result<(), Error> {
        // Killed, not asked: asked, it serves open watches for a minute more.
        match self.api.take() {
            Some(mut api) => api.kill().map(|_| ()).context("stopping kube-apiserver"),
            None => Ok(()),
        }
    }

    pub(super) fn start_manager(&mut self, tools: &Tools, kubeconfig: &Path) -> Result<(), Error> {
        if self.manager.is_some() {
            return Ok(());
        }
        let mut command = Command::new(tools.get(Tool::KubeControllerManager)?);
        command
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .arg(format!("--root-ca-file={}", self.identity.ca.display()))
            .arg(format!("--service-account-private-key-file={}", self.identity.account_key.display()))
            .arg("--controllers=garbage-collector-controller,namespace-controller,serviceaccount-controller")
            // Tests create and delete in quick succession; the defaults are for the peace of large clusters.
            .args(["--kube-api-qps=500", "--kube-api-burst=1000"])
            .args(["--leader-elect=false", "--secure-port=0"]);
        self.manager = Some(spawn(&command, &self.folder, "kube-controller-manager")?);
        Ok(())
    }

    fn wait_ready(&mut self, kubeconfig: &Path) -> Result<(), Error> {
        let until = Instant::now() + READY_WITHIN;
        loop {
            for (name, child) in [("etcd", Some(&mut self.etcd)), ("kube-apiserver", self.api.as_mut())] {
                let Some(child) = child else { continue };
                if let Some(status) = child.exited().context(format!("waiting for {name}"))? {
                    let tail = tail(&self.folder, name);
                    return Err(Error::Died { program: name, status: status.to_string(), tail });
                }
            }
            // A TCP connection first: cheap, and kubectl would wait and retry in its own way.
            let reached = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok();
            if reached && self.is_ready(kubeconfig)? {
                return Ok(());
            }
            if Instant::now() >= until {
                let tail = tail(&self.folder, "kube-apiserver");
                return Err(Error::NotReady {
                    program: "kube-apiserver",
                    seconds: READY_WITHIN.as_secs(),
                    tail,
                });
            }
            std::thread::sleep(POLL);
        }
    }

    fn is_ready(&self, kubeconfig: &Path) -> Result<bool, Error> {
        let status = Command::new(&self.kubectl)
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(["get", "--raw", "/readyz", "--request-timeout=5s"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .context("running kubectl")?;
        Ok(status.success())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Clients before what they talk to.
        drop(self.manager.take());
        let _ = self.stop_api();
        // etcd ends at once when asked and leaves no half-written files for the sweeper to race with.
        let _ = self.etcd.terminate(STOP_WITHIN);
    }
}

fn url(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

fn etcd_command(program: &Path, folder: &Path, client: u16, peer: u16) -> Command {
    let mut command = Command::new(program);
    command
        .arg(format!("--data-dir={}", folder.join("etcd").display()))
        .arg(format!("--listen-client-urls=http://127.0.0.1:{client}"))
        .arg(format!("--advertise-client-urls=http://127.0.0.1:{client}"))
        .arg(format!("--listen-peer-urls=http://127.0.0.1:{peer}"))
        .arg(format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"))
        .arg(format!("--initial-cluster=default=http://127.0.0.1:{peer}"))
        // Nothing here has to survive a power cut.
        .args(["--unsafe-no-fsync=true", "--log-level=warn"]);
    command
}

fn api_command(program: &Path, folder: &Path, identity: &Identity, etcd: u16, port: u16) -> Command {
    let mut command = Command::new(program);
    command
        .arg(format!("--etcd-servers=http://127.0.0.1:{etcd}"))
        .arg(format!("--secure-port={port}"))
        .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
        .arg(format!("--cert-dir={}", folder.join("certificates").display()))
        .arg(format!("--tls-cert-file={}", identity.certificate.display()))
        .arg(format!("--tls-private-key-file={}", identity.key.display()))
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .arg(format!("--service-account-key-file={}", identity.account_public_key.display()))
        .arg(format!("--service-account-signing-key-file={}", identity.account_key.display()))
        .arg(format!("--token-auth-file={}", identity.tokens.display()))
        .args(["--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/16"])
        // The Endpoints of the `kubernetes` Service may not be a loopback address; nobody here looks at them.
        .arg("--endpoint-reconciler-type=none")
        // Many tests at once are one user; none of them is about the API server's own limits.
        .args(["--max-requests-inflight=4000", "--max-mutating-requests-inflight=2000"])
        .args(["--profiling=false", "--v=0"]);
    command
}

/// All at once, so that they differ.
fn free_ports<const N: usize>() -> Result<[u16; N], Error> {
    let mut listeners = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port on 127.0.0.1")?;
        *port = listener.local_addr().context("looking for a free port on 127.0.0.1")?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

fn log_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.log"))
}

fn spawn(command: &Command, folder: &Path, name: &str) -> Result<Guarded, Error> {
    let path = log_path(folder, name);
    let what = format!("writing {}", path.display());
    let log = File::options().create(true).append(true).open(&path).context(what.as_str())?;
    let copy = log.try_clone().context(what)?;
    Guarded::spawn(command, log.into(), copy.into()).context(format!("starting {name}"))
}

/// The last lines of a log, in one.
fn tail(folder: &Path, name: &str) -> String {
    let path = log_path(folder, name);
    let text = fs::read(&path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.iter().skip(lines.len().saturating_sub(3)).copied().collect::<Vec<_>>().join(" | ");
    if last.is_empty() { format!("{name} wrote nothing") } else { format!("{name} wrote: {last}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_differ() {
        let ports: [u16; 8] = free_ports().unwrap();
        let distinct: std::collections::BTreeSet<_> = ports.iter().collect();
        assert_eq!(distinct.len(), 8);
    }

    #[test]
    fn the_tail_of_a_log() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(tail(folder.path(), "x"), "x wrote nothing");
        fs::write(log_path(folder.path(), "x"), "a\nb\n\nc\nd\n\n").unwrap();
        assert_eq!(tail(folder.path(), "x"), "x wrote: b | c | d");
    }
}
