//! `cargo xtask cluster`: an API server in the background for a developer, one per user. Knows nothing of what is
//! done with it.

use std::fs::{self, File, TryLockError};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{self, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use serde::{Deserialize, Serialize};

use crate::control_plane::{ControlPlane, Tool, Tools};
use crate::{process::POLL, process::signal, ui, workspace};

/// Building comes before; this is for starting alone.
const UP_WITHIN: Duration = Duration::from_mins(2);
const DOWN_WITHIN: Duration = Duration::from_secs(20);

/// What to do with the developer's API server.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Command {
    /// Start it in the background, with the CRDs installed
    Up,
    /// Stop it and remove all it kept
    Down,
    /// Print how to reach it: eval "$(cargo xtask cluster env)"
    Env,
    /// Start it in the foreground, until Ctrl-C
    Run,
}

/// What `up` needs to know of `run`, and `env` and `down` of both.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    pid: u32,
    kubeconfig: PathBuf,
    kubectl: PathBuf,
}

/// Does it.
pub fn run(command: &Command) -> Result<ExitCode> {
    let tools = Tools::from_env()?;
    let place = Place::new(&tools)?;
    match command {
        Command::Up => up(&tools, &place)?,
        Command::Down => down(&place)?,
        Command::Env => env(&place)?,
        Command::Run => foreground(tools, &place)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The folder in which a running API server is known. Whoever runs it holds the lock: a pid in a file could by now
/// be anybody's, a lock cannot.
#[derive(Debug)]
struct Place {
    state: PathBuf,
    lock: PathBuf,
    log: PathBuf,
}

impl Place {
    fn new(tools: &Tools) -> Result<Self> {
        let folder =
            std::env::var_os("SKYY_CLUSTER_DIR").map_or_else(|| tools.cache().join("cluster"), PathBuf::from);
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        Ok(Self { state: folder.join("state.json"), lock: folder.join("lock"), log: folder.join("run.log") })
    }

    /// The lock, or `None` while somebody runs.
    fn try_lock(&self) -> Result<Option<File>> {
        let file = File::create(&self.lock).with_context(|| format!("creating {}", self.lock.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).context("locking"),
        }
    }

    fn running(&self) -> Result<Option<State>> {
        if self.try_lock()?.is_some() {
            return Ok(None);
        }
        let Ok(text) = fs::read_to_string(&self.state) else { return Ok(None) };
        Ok(serde_json::from_str(&text).ok())
    }
}

fn up(tools: &Tools, place: &Place) -> Result<()> {
    if let Some(state) = place.running()? {
        ui::note("already up");
        print_env(&state);
        return Ok(());
    }
    // In the foreground, where the progress can be seen.
    tools.ensure(&[Tool::KubeApiserver, Tool::Etcd, Tool::Kubectl])?;
    let log = File::create(&place.log).with_context(|| format!("writing {}", place.log.display()))?;
    let mut child = process::Command::new(std::env::current_exe().context("finding this program")?)
        .args(["cluster", "run"])
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("starting the API server in the background")?;
    let until = Instant::now() + UP_WITHIN;
    loop {
        if let Some(state) = place.running()?
            && state.pid == child.id()
        {
            print_env(&state);
            return Ok(());
        }
        if child.try_wait()?.is_some() || Instant::now() > until {
            let text = fs::read_to_string(&place.log).unwrap_or_default();
            bail!("the API server did not start: {}", text.lines().last().unwrap_or("it wrote nothing"));
        }
        std::thread::sleep(POLL);
    }
}

fn down(place: &Place) -> Result<()> {
    let Some(state) = place.running()? else {
        ui::note("not up");
        return Ok(());
    };
    signal("TERM", state.pid)?;
    let until = Instant::now() + DOWN_WITHIN;
    while place.try_lock()?.is_none() {
        if Instant::now() > until {
            bail!("process {} does not end", state.pid);
        }
        std::thread::sleep(POLL);
    }
    let _ = fs::remove_file(&place.state);
    ui::note("down");
    Ok(())
}

fn env(place: &Place) -> Result<()> {
    match place.running()? {
        Some(state) => print_env(&state),
        None => bail!("not up: cargo xtask cluster up"),
    }
    Ok(())
}

fn print_env(state: &State) {
    ui::line(format!("export KUBECONFIG={}", state.kubeconfig.display()));
    if let Some(folder) = state.kubectl.parent() {
        ui::line(format!("export PATH={}:$PATH", folder.display()));
    }
}

fn foreground(tools: Tools, place: &Place) -> Result<()> {
    let Some(_lock) = place.try_lock()? else { bail!("already up: cargo xtask cluster down") };
    let _ = fs::remove_file(&place.state);
    let plane = ControlPlane::own(tools)?;
    let crds = workspace::root().join("crds");
    if crds.is_dir() {
        // A CRD that the API server refuses is what a developer came to look at, not a reason to stop.
        match plane.install_crds(&crds) {
            Ok(warnings) => {
                for warning in warnings {
                    ui::note(format!("warning from the API server: {warning}"));
                }
            }
            Err(error) => ui::note(format!("the CRDs are not all installed: {error}")),
        }
    }
    let pids: Vec<String> = plane.process_ids().iter().map(u32::to_string).collect();
    ui::line(format!("folder: {}", plane.folder().display()));
    ui::line(format!("processes: {}", pids.join(" ")));
    ui::line(format!("export KUBECONFIG={}", plane.kubeconfig().display()));
    let state = State {
        pid: process::id(),
        kubeconfig: plane.kubeconfig().to_owned(),
        kubectl: plane.tools().get(Tool::Kubectl)?,
    };
    fs::write(&place.state, serde_json::to_string(&state)?)
        .with_context(|| format!("writing {}", place.state.display()))?;
    ui::note(format!("{} is up. Ctrl-C stops it.", plane.source()));
    // Ctrl-C and SIGTERM end this program; the lifelines of its children do the rest.
    loop {
        std::thread::park();
    }
}
