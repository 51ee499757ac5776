//! Starting, stopping, moving. A UPID says accepted: a start refused by a lock fails only in its task, and under HA the
//! task only means that the HA manager was asked.

use std::time::Duration;

use crate::ask::{Ask, Params};
use crate::cluster::Cluster;
use crate::error::ProxmoxError;
use crate::ids::{GuestAt, GuestKind, NodeName};
use crate::types::MigrateCheck;
use crate::upid::Upid;

/// How a guest is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// How long it may take.
    pub timeout: Duration,
    /// Whether it is switched off after that.
    pub force: bool,
}

/// How a guest is moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrateOptions {
    /// Where to.
    pub target: NodeName,
    /// A virtual machine that runs keeps running. Without it a running one is refused.
    pub online: bool,
    /// A container that runs is stopped and started again: it cannot move while running.
    pub restart: bool,
    /// Disks that only its node has are copied.
    pub with_local_disks: bool,
    /// The storage they are copied to; the same name when absent.
    pub target_storage: Option<String>,
}

impl MigrateOptions {
    /// A move while it is off, or with storage that both nodes share.
    pub fn offline(target: NodeName) -> Self {
        Self { target, online: false, restart: false, with_local_disks: false, target_storage: None }
    }
}

impl Cluster {
    /// Starts a guest.
    pub async fn start_guest(&self, at: &GuestAt) -> Result<Upid, ProxmoxError> {
        let ask = Ask::post("/api2/json/nodes/{node}/{kind}/{vmid}/status/start", format!("start {at}"));
        self.start_task(ask.at(at)).await
    }

    /// Switches a guest off. A shutdown that is under way is ended by it.
    pub async fn stop_guest(&self, at: &GuestAt) -> Result<Upid, ProxmoxError> {
        let ask = Ask::post("/api2/json/nodes/{node}/{kind}/{vmid}/status/stop", format!("stop {at}"));
        self.start_task(ask.at(at)).await
    }

    /// Asks a guest to shut down.
    pub async fn shutdown_guest(&self, at: &GuestAt, how: Shutdown) -> Result<Upid, ProxmoxError> {
        let ask =
            Ask::post("/api2/json/nodes/{node}/{kind}/{vmid}/status/shutdown", format!("shut down {at}"));
        let params = Params::default().set("timeout", how.timeout.as_secs()).set("forceStop", how.force);
        self.start_task(ask.at(at).with(params)).await
    }

    /// Restarts a guest, by its own doing; pending changes are applied.
    pub async fn reboot_guest(&self, at: &GuestAt, timeout: Duration) -> Result<Upid, ProxmoxError> {
        let ask = Ask::post("/api2/json/nodes/{node}/{kind}/{vmid}/status/reboot", format!("reboot {at}"));
        self.start_task(ask.at(at).with(Params::default().set("timeout", timeout.as_secs()))).await
    }

    /// What stands in the way of moving a virtual machine.
    pub async fn migrate_check(&self, at: &GuestAt) -> Result<MigrateCheck, ProxmoxError> {
        let ask =
            Ask::get("/api2/json/nodes/{node}/{kind}/{vmid}/migrate", format!("ask where {at} can be moved"));
        self.ask(ask.at(at)).await
    }

    /// Moves a guest. Verify by where it is afterwards, not by the task.
    pub async fn migrate_guest(&self, at: &GuestAt, how: &MigrateOptions) -> Result<Upid, ProxmoxError> {
        let MigrateOptions { target, online, restart, with_local_disks, target_storage } = how;
        let ask =
            Ask::post("/api2/json/nodes/{node}/{kind}/{vmid}/migrate", format!("move {at} to {target}"));
        let params = Params::default().set("target", target.as_str());
        let params = match at.kind {
            GuestKind::Qemu => params
                .switch("online", *online)
                .switch("with-local-disks", *with_local_disks)
                .maybe("targetstorage", target_storage.clone()),
            GuestKind::Lxc => {
                params.switch("restart", *restart).maybe("target-storage", target_storage.clone())
            }
        };
        self.start_task(ask.at(at).with(params)).await
    }
}
