//! One call as a handler sees it, and the checks that many handlers share.

use super::answer::{Fault, Reply};
use super::auth::Caller;
use super::params::Params;
use super::state::{Cluster, Guest, GuestKind, Link};
use super::tasks::lock_text;
use super::work::Work;

/// A verified call.
pub(crate) struct Call<'a> {
    pub(crate) c: &'a mut Cluster,
    pub(crate) caller: &'a Caller,
    pub(crate) p: Params,
    /// The node that the client is connected to.
    pub(crate) via: &'a str,
    /// The node in the path, or the one the client is connected to.
    pub(crate) node: String,
}

impl Call<'_> {
    /// The guest's number in the path.
    pub(crate) fn vmid(&self) -> u32 {
        self.p.need("vmid").parse().unwrap_or_default()
    }

    /// The guest in the path, which must be on the node in the path.
    pub(crate) fn guest(&self, kind: GuestKind) -> Result<&Guest, Fault> {
        self.c.guest_on(&self.node, self.vmid(), kind).map_err(Fault::die)
    }

    /// Refuses when the node in the path has no quorum.
    pub(crate) fn need_quorum(&self) -> Result<(), Fault> {
        if self.c.quorate(&self.node) { Ok(()) } else { Err(Fault::die("cluster not ready - no quorum?")) }
    }

    /// Refuses a change of a cluster-wide file without quorum.
    pub(crate) fn need_cfs(&self, file: &str, doing: &str) -> Result<(), Fault> {
        if self.c.quorate(&self.node) {
            return Ok(());
        }
        let what = if doing.is_empty() { String::new() } else { format!("{doing}: ") };
        Err(Fault::die(format!("{what}cfs-lock 'file-{file}' error: no quorum!")))
    }

    /// Refuses while a task holds the guest's file lock; the wire waits before it says so.
    pub(crate) fn need_flock(&self) -> Result<(), Fault> {
        if self.c.locked_out(self.vmid()) {
            return Err(Fault::die(lock_text(self.vmid())).unless_within(10_000));
        }
        Ok(())
    }

    /// Starts a task on the node in the path; the answer is its UPID.
    pub(crate) fn fork(&mut self, kind: &str, id: &str, work: Work) -> Reply {
        let node = self.node.clone();
        let upid = self.c.fork(self.caller, &node, kind, id, work);
        Ok(serde_json::Value::String(upid).into())
    }
}

impl Cluster {
    /// The guest of that number and kind on a node, or the text for its absence.
    pub(crate) fn guest_on(&self, node: &str, vmid: u32, kind: GuestKind) -> Result<&Guest, String> {
        self.guests.get(&vmid).filter(|g| g.node == node && g.kind == kind).ok_or_else(|| {
            format!("Configuration file 'nodes/{node}/{}/{vmid}.conf' does not exist", kind.folder())
        })
    }

    pub(crate) fn guest_mut(&mut self, node: &str, vmid: u32) -> Result<&mut Guest, String> {
        self.guests.get_mut(&vmid).filter(|g| g.node == node).ok_or_else(|| {
            format!("Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist")
        })
    }

    /// Whether one node hears another in the cluster network.
    pub(crate) fn sees(&self, from: &str, to: &str) -> bool {
        let linked =
            |n: &str| self.nodes.get(n).is_some_and(|n| matches!(n.link, Link::Up | Link::DaemonsStopped));
        from == to || (linked(from) && linked(to))
    }

    /// Whether a node is part of a majority.
    pub(crate) fn quorate(&self, node: &str) -> bool {
        if self.name.is_none() {
            return true;
        }
        let heard = self.nodes.keys().filter(|n| self.sees(node, n)).count();
        heard * 2 > self.nodes.len()
    }

    /// Whether a guest's configuration can be written, or the error of the write.
    pub(crate) fn may_write(&mut self, node: &str, kind: GuestKind, vmid: u32) -> Result<(), String> {
        if self.quorate(node) {
            return Ok(());
        }
        let pid = self.pid();
        let file = format!("/etc/pve/nodes/{node}/{}/{vmid}.conf.tmp.{pid}", kind.folder());
        Err(format!("unable to open file '{file}' - Permission denied"))
    }
}

impl Guest {
    /// Refuses when the configuration says it is locked.
    pub(crate) fn check_lock(&self) -> Result<(), String> {
        match self.conf.get("lock") {
            Some(lock) => Err(format!("VM is locked ({lock})")),
            None => Ok(()),
        }
    }

    pub(crate) fn is_template(&self) -> bool {
        self.conf.get("template").is_some_and(|t| t == "1")
    }

    /// The name that lists show.
    pub(crate) fn shown_name(&self) -> String {
        let key = if self.kind == GuestKind::Qemu { "name" } else { "hostname" };
        let prefix = if self.kind == GuestKind::Qemu { "VM" } else { "CT" };
        self.conf.get(key).cloned().unwrap_or_else(|| format!("{prefix} {}", self.vmid))
    }

    /// A number in the configuration.
    pub(crate) fn number(&self, key: &str, default: u64) -> u64 {
        self.conf.get(key).and_then(|v| v.parse().ok()).unwrap_or(default)
    }

    pub(crate) fn cpus(&self) -> u64 {
        self.number("sockets", 1) * self.number("cores", 1)
    }

    /// Memory in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let text = self.conf.get("memory").map_or("512", String::as_str);
        let text = text.strip_prefix("current=").unwrap_or(text);
        text.parse::<u64>().unwrap_or(512) * super::num::MIB
    }

    /// Whether the guest agent is configured.
    pub(crate) fn has_agent(&self) -> bool {
        let Some(agent) = self.conf.get("agent") else { return false };
        agent.split(',').any(|part| matches!(part, "1" | "enabled=1"))
    }
}
