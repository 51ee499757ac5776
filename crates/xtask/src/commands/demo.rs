//! `cargo xtask demo`, in stages: each needs what the one before it made, and each says in one line why it cannot
//! go on and what to do about it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::control_plane::{ControlPlane, Tools};
use crate::{ui, workspace};

/// How to show it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave everything up after convergence, until Ctrl-C
    #[arg(long)]
    pub keep: bool,
}

/// Does it. Whatever was started dies with this program, however it ends.
pub fn run(args: &Args) -> Result<ExitCode> {
    let began = Instant::now();
    let root = workspace::root();
    let plane = control_plane()?;
    custom_resources(&plane, &root)?;
    ui::line(format!(
        "up after {}: export KUBECONFIG={}",
        ui::duration(began.elapsed()),
        plane.kubeconfig().display()
    ));
    // The stages to come, in order. They are errors and not silence: a demo that shows nothing has not succeeded.
    let programs = programs(&root)?;
    endpoints(&programs)?;
    if args.keep {
        ui::note("everything stays up. Ctrl-C stops it.");
        loop {
            std::thread::park();
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Stage 1: an API server.
fn control_plane() -> Result<ControlPlane> {
    let plane = ControlPlane::start(Tools::from_env()?)?;
    ui::note(format!("control plane: {}", plane.source()));
    Ok(plane)
}

/// Stage 2: our kinds on it.
fn custom_resources(plane: &ControlPlane, root: &Path) -> Result<()> {
    let folder = root.join("crds");
    let warnings = plane.install_crds(&folder).context("installing the CRDs")?;
    for warning in warnings {
        ui::note(format!("warning from the API server: {warning}"));
    }
    let kinds =
        plane.kubectl(&["api-resources", "--api-group", crate::control_plane::GROUP, "-o", "name"])?;
    if kinds.trim().is_empty() {
        bail!("{} holds no CRDs: cargo xtask generate", folder.display());
    }
    ui::note(format!("CRDs: {} kinds", kinds.lines().count()));
    Ok(())
}

/// The programs that the demo shows.
#[derive(Debug)]
struct Programs {
    simulator: PathBuf,
    operator: PathBuf,
}

/// Stage 3: the operator and the simulated endpoints, built.
fn programs(root: &Path) -> Result<Programs> {
    let folder = crate::testing::build::programs(root)?;
    let program = |name: &str| -> Result<PathBuf> {
        let path = folder.join(name);
        if path.is_file() { Ok(path) } else { bail!("there is no program {name} in the workspace yet") }
    };
    Ok(Programs { simulator: program("skyy-sim")?, operator: program("skyy-operator")? })
}

/// Stage 4: simulated endpoints, the operator, `desired_state/`.
fn endpoints(programs: &Programs) -> Result<()> {
    bail!(
        "starting the simulated endpoints ({}) and the operator ({}) is not part of the demo yet",
        programs.simulator.display(),
        programs.operator.display()
    )
}
