//! What tasks do. One variant per kind of task; the steps themselves live with their subject.

use serde::{Deserialize, Serialize};

use super::state::Cluster;
use super::tasks::{Next, Task};
use super::{
    apt, clone, create, destroy, disks, ha, image, migrate, network, power, qemu_config, snapshot, storage,
};

/// The work of a task, with all it needs to go on after a restart.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "does", rename_all = "kebab-case")]
pub(crate) enum Work {
    /// Nothing more to do.
    #[default]
    Nothing,
    Create(create::Create),
    Clone(Box<clone::Cloning>),
    Destroy(destroy::Destroy),
    Start(power::Start),
    Stop(power::Stop),
    Shutdown(power::Shutdown),
    Reboot(power::Reboot),
    Suspend(power::Suspend),
    Resume(power::Resume),
    Configure(qemu_config::Configure),
    Resize(image::Resize),
    Template(image::MakeTemplate),
    Snapshot(snapshot::Take),
    DeleteSnapshot(snapshot::Delete),
    Rollback(snapshot::Rollback),
    Migrate(migrate::Migrate),
    ReloadNetwork(network::Reload),
    UpdatePackages(apt::Update),
    RemoveVolume(storage::RemoveVolume),
    AskHa(ha::Ask),
    MakeThinPool(disks::MakeThinPool),
    /// Takes a while, then ends: well, or with a text. The lines go to the log first.
    Wait {
        ms: u64,
        lines: Vec<String>,
        fails: Option<String>,
    },
}

impl Work {
    /// Carries the task on by one step.
    pub(crate) fn step(&mut self, c: &mut Cluster, t: &mut Task) -> Next {
        match self {
            Work::Nothing => Next::Done,
            Work::Create(w) => w.step(c, t),
            Work::Clone(w) => w.step(c, t),
            Work::Destroy(w) => w.step(c, t),
            Work::Start(w) => w.step(c, t),
            Work::Stop(w) => w.step(c, t),
            Work::Shutdown(w) => w.step(c, t),
            Work::Reboot(w) => w.step(c, t),
            Work::Suspend(w) => w.step(c, t),
            Work::Resume(w) => w.step(c, t),
            Work::Configure(w) => w.step(c, t),
            Work::Resize(w) => w.step(c, t),
            Work::Template(w) => w.step(c, t),
            Work::Snapshot(w) => w.step(c, t),
            Work::DeleteSnapshot(w) => w.step(c, t),
            Work::Rollback(w) => w.step(c, t),
            Work::Migrate(w) => w.step(c, t),
            Work::ReloadNetwork(w) => w.step(c, t),
            Work::UpdatePackages(w) => w.step(c, t),
            Work::RemoveVolume(w) => w.step(c, t),
            Work::AskHa(w) => w.step(c, t),
            Work::MakeThinPool(w) => w.step(c, t),
            Work::Wait { ms, lines, fails } => {
                if t.step == 0 {
                    t.log.append(lines);
                    return Next::After(*ms);
                }
                fails.take().map_or(Next::Done, Next::Fail)
            }
        }
    }

    /// Undoes what a task that failed or was stopped has left behind, as far as Proxmox does.
    pub(crate) fn clean_up(&mut self, c: &mut Cluster, t: &mut Task) {
        match self {
            Work::Create(w) => w.clean_up(c, t),
            Work::Clone(w) => w.clean_up(c, t),
            _ => {}
        }
    }
}
