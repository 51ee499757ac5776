//! The stages of a demo up to the moment at which the wanted state is applied. Each needs what the one before it made,
//! and each says in one line why it cannot go on and what to do about it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use skyy_api::common::CONFIRM_DELETES_ANNOTATION;

use super::endpoints::Endpoints;
use super::manifests::{self, Manifests, SYSTEM};
use super::operator::Operator;
use super::world::World;
use super::{Ports, Settings};
use crate::control_plane::{ControlPlane, GROUP, Tool, Tools};
use crate::{disk, ui, workspace};

/// Everything that is built and found once, however often the demo is started with it.
#[derive(Debug)]
pub struct Prepared {
    settings: Settings,
    root: PathBuf,
    tools: Tools,
    simulator: PathBuf,
    operator: PathBuf,
}

/// A demo that runs. What it started dies with it.
#[derive(Debug)]
pub struct Demo {
    // Dropped in this order: clients before what they talk to.
    /// The operator.
    pub operator: Operator,
    /// What the API server has.
    pub world: World,
    /// The simulated endpoints.
    pub endpoints: Endpoints,
    /// The API server.
    pub plane: ControlPlane,
    /// What is wanted.
    pub manifests: Manifests,
    /// What the chart gives the operator; nothing where it works as the administrator.
    rights: Manifests,
    /// How it was asked for.
    pub settings: Settings,
}

/// Stage 1: what can be known at once, before anybody waits for anything; then the programs.
pub fn prepare(settings: Settings) -> Result<Prepared> {
    settings.ports.must_be_free()?;
    must_have_room(&std::env::temp_dir(), RUNNING_MIB, "TMPDIR")?;
    let tools = Tools::from_env()?;
    let mut wanted = vec![Tool::Kubectl];
    if std::env::var_os("KUBECONFIG").is_none_or(|value| value.is_empty()) {
        wanted.extend([Tool::KubeApiserver, Tool::Etcd]);
    }
    tools.ensure(&wanted)?;
    let root = workspace::root();
    let folder = if let Some(folder) = std::env::var_os("SKYY_BIN_DIR") {
        PathBuf::from(folder)
    } else {
        let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        must_have_room(&folder, BUILDING_MIB, "CARGO_TARGET_DIR")?;
        build(&root)?
    };
    let program = |name: &str| -> Result<PathBuf> {
        let path = folder.join(name);
        if path.is_file() { Ok(path) } else { bail!("there is no program {name} in {}", folder.display()) }
    };
    // reqwest and kube in one process must agree; an error says that somebody was first, with the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(Prepared {
        settings,
        tools,
        simulator: program("skyy-sim")?,
        operator: program("skyy-operator")?,
        root,
    })
}

/// What etcd, the logs and the rest of a run take.
const RUNNING_MIB: u64 = 512;
/// What is left to build after `cargo xtask` itself was built.
const BUILDING_MIB: u64 = 1024;

fn must_have_room(folder: &Path, needed: u64, variable: &str) -> Result<()> {
    // No df, no opinion.
    if let Some(free) = disk::free_mib(folder)
        && free < needed
    {
        bail!(
            "{} has {free} MiB free, and the demo needs {needed}: free some, or point {variable} to a larger disk",
            folder.display()
        );
    }
    Ok(())
}

fn build(root: &Path) -> Result<PathBuf> {
    ui::note("building the programs (cargo build) …");
    let began = Instant::now();
    let folder = crate::testing::build::programs(root)?;
    ui::note(format!("programs: built in {}", ui::duration(began.elapsed())));
    Ok(folder)
}

impl Prepared {
    /// Stages 2 to 5: an API server, our kinds on it, simulated endpoints, the operator.
    pub async fn start(&self) -> Result<Demo> {
        let plane = ControlPlane::start(self.tools.clone())?;
        ui::note(format!("control plane: {}", plane.source()));
        custom_resources(&plane, &self.root.join("crds"))?;

        let folder = self.root.join("desired_state/demo");
        let mut manifests = Manifests::kustomize(&plane, &folder)?;
        if self.settings.ports != Ports::DEFAULT {
            manifests.point_at(self.settings.ports)?;
        }
        plane.apply(&manifests.only(&["Namespace"]).text()).context("making the namespaces")?;

        let endpoints =
            Endpoints::start(&self.simulator, self.settings.ports, self.settings.speed, plane.folder())
                .await?;
        let Ports { pfsense, proxmox, ceph, operator: port } = self.settings.ports;
        ui::note(format!(
            "simulated endpoints: pfSense on 127.0.0.1:{pfsense}, Proxmox VE on :{proxmox}, Ceph on :{ceph}, living \
             {} times as fast as real ones",
            self.settings.speed
        ));

        let world = World::watch(plane.kubeconfig()).await?;
        let (rights, kubeconfig, who) = self.identity(&plane)?;
        let operator = Operator::start(&self.operator, &kubeconfig, port, plane.folder()).await?;
        ui::note(format!("operator: leads, as {who}; metrics on http://127.0.0.1:{port}/metrics"));
        Ok(Demo { operator, world, endpoints, plane, manifests, rights, settings: self.settings.clone() })
    }

    /// The operator's rights, its kubeconfig and, in words, whose it is.
    fn identity(&self, plane: &ControlPlane) -> Result<(Manifests, PathBuf, String)> {
        if let Err(error) = self.tools.ensure(&[Tool::Helm]) {
            ui::note(format!("no helm to render the chart's rights with: {error}"));
            let nobody =
                (Manifests::default(), plane.kubeconfig().to_owned(), String::from("the administrator"));
            return Ok(nobody);
        }
        let rights = manifests::rights(plane, &self.root.join("charts/skyy-command"))?;
        plane.apply(&rights.text()).context("applying the chart's rights")?;
        let name = rights.name_of("ServiceAccount").context("the chart has no ServiceAccount")?;
        let kubeconfig = plane.service_account_kubeconfig(SYSTEM, name)?;
        let who = format!("ServiceAccount {SYSTEM}/{name}, with the chart's rights and no others");
        Ok((rights, kubeconfig, who))
    }
}

impl Demo {
    /// Stage 6: the wanted state.
    pub fn apply(&self) -> Result<Instant> {
        let began = Instant::now();
        for warning in self.plane.apply(&self.manifests.text()).context("applying desired_state/demo")? {
            ui::note(format!("warning from the API server: {warning}"));
        }
        Ok(began)
    }

    /// Says to the Firewall that so many deletions at once are meant.
    pub fn confirm_deletes(&self, rows: usize) -> Result<()> {
        let firewall = self.manifests.name_of("Firewall").context("no Firewall among the manifests")?;
        let confirm = format!("{CONFIRM_DELETES_ANNOTATION}={rows}");
        self.plane.kubectl(&[
            "annotate",
            "--overwrite",
            "firewalls.skyy.helloskyy.io",
            firewall,
            &confirm,
        ])?;
        Ok(())
    }

    /// The end. On a cluster of the user's, what was applied is taken away again while the operator still lives, as
    /// only it can clear its finalizers; an API server of our own goes with all it has.
    pub fn finish(mut self) -> Result<()> {
        if !self.plane.is_own() {
            ui::note("taking everything away from the cluster of KUBECONFIG; CRDs and namespaces stay");
            self.confirm_deletes(self.manifests.rows())?;
            self.plane.delete(&self.manifests.ours().text())?;
            self.plane.delete(&self.manifests.without(&["Namespace"]).text())?;
            self.plane.delete(&self.rights.text())?;
        }
        self.operator.stop()
    }

    /// An error when something that must run has ended.
    pub fn must_run(&mut self) -> Result<()> {
        self.operator.must_run()?;
        self.endpoints.must_run()
    }
}

fn custom_resources(plane: &ControlPlane, folder: &Path) -> Result<()> {
    let warnings = plane.install_crds(folder).context("installing the CRDs")?;
    for warning in warnings {
        ui::note(format!("warning from the API server: {warning}"));
    }
    let kinds = plane.kubectl(&["api-resources", "--api-group", GROUP, "-o", "name"])?;
    if kinds.trim().is_empty() {
        bail!("{} holds no CRDs: cargo xtask generate", folder.display());
    }
    ui::note(format!("CRDs: {} kinds", kinds.lines().count()));
    Ok(())
}

/// The last lines of a log, in one.
pub fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let said: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if said.is_empty() {
        return String::from("it said nothing");
    }
    said[said.len().saturating_sub(lines)..].join(" | ")
}
