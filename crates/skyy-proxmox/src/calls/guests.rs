//! Guests: listing, configuration, creation, cloning, growth, removal.

use std::collections::BTreeSet;

use serde_json::Value;
use skyy_http::Secret;

use crate::ask::{Ask, Params};
use crate::cluster::Cluster;
use crate::error::ProxmoxError;
use crate::ids::{Digest, GuestAt, GuestKind, NodeName, Vmid};
use crate::property::{encode_ssh_keys, format_tags};
use crate::types::{AgentNetwork, GuestConfig, GuestStatus, PendingValue};
use crate::upid::Upid;

/// What a clone is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloneRequest {
    /// The id it gets. Reserve it first: the lowest free id is only a hint.
    pub new_id: Vmid,
    /// Its name (a container's host name). Hidden by the API until the clone is done.
    pub name: Option<String>,
    /// Its notes: the place for a mark of ownership. Hidden like the name.
    pub description: Option<String>,
    /// A copy of all data; otherwise linked to the template's.
    pub full: bool,
    /// Where a full copy is put; the source's storages when absent. Not for linked clones.
    pub storage: Option<String>,
    /// The node it goes to; only with storage that both share.
    pub target: Option<NodeName>,
    /// The pool it is put into.
    pub pool: Option<String>,
}

impl CloneRequest {
    /// A full clone with this id beside its source.
    pub fn full(new_id: Vmid) -> Self {
        let (name, description, storage, target, pool) = (None, None, None, None, None);
        Self { new_id, name, description, full: true, storage, target, pool }
    }
}

/// Changes to a configuration, or the whole of a new one.
///
/// With the digest of the configuration that was read, the change is refused when somebody else was quicker: always send it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfigChange {
    params: Params,
    keys: BTreeSet<String>,
    remove: BTreeSet<String>,
    revert: BTreeSet<String>,
    digest: Option<Digest>,
}

impl ConfigChange {
    /// No change yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key.
    #[must_use]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        let key = key.into();
        self.keys.insert(key.clone());
        self.params = self.params.set(key, value);
        self
    }

    /// Sets a key to something that must not be shown.
    #[must_use]
    pub fn set_secret(mut self, key: impl Into<String>, value: &Secret) -> Self {
        let key = key.into();
        self.keys.insert(key.clone());
        self.params = self.params.secret(key, value);
        self
    }

    /// Sets the tags.
    #[must_use]
    pub fn tags<I: IntoIterator<Item: AsRef<str>>>(self, tags: I) -> Self {
        self.set("tags", format_tags(tags))
    }

    /// Sets the SSH keys of cloud-init, one per line.
    #[must_use]
    pub fn ssh_keys(self, keys: &str) -> Self {
        self.set("sshkeys", encode_ssh_keys(keys))
    }

    /// Takes a key away.
    #[must_use]
    pub fn remove(mut self, key: impl Into<String>) -> Self {
        self.remove.insert(key.into());
        self
    }

    /// Takes back a change that waits for a restart.
    #[must_use]
    pub fn revert(mut self, key: impl Into<String>) -> Self {
        self.revert.insert(key.into());
        self
    }

    /// Says which state of the configuration this is a change of.
    #[must_use]
    pub fn digest(mut self, digest: Option<&Digest>) -> Self {
        self.digest = digest.cloned();
        self
    }

    /// Whether nothing would change. Such a write is refused by the server.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.remove.is_empty() && self.revert.is_empty()
    }

    /// The keys touched, for people.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().chain(&self.remove).chain(&self.revert).map(String::as_str)
    }

    fn into_params(self) -> Params {
        let Self { params, keys: _, remove, revert, digest } = self;
        let list = |keys: BTreeSet<String>| {
            Some(keys.into_iter().collect::<Vec<_>>().join(",")).filter(|l| !l.is_empty())
        };
        params
            .maybe("delete", list(remove))
            .maybe("revert", list(revert))
            .maybe("digest", digest.map(|digest| digest.as_str().to_owned()))
    }
}

/// How far a removal goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Also from backup jobs, replication and HA. A guest under HA cannot be removed without it.
    pub purge: bool,
    /// Also disks that carry its id and stand in no configuration.
    pub unreferenced_disks: bool,
}

impl Cluster {
    /// The guests of one kind on a node.
    pub async fn guests(&self, node: &NodeName, kind: GuestKind) -> Result<Vec<GuestStatus>, ProxmoxError> {
        let ask = Ask::get("/api2/json/nodes/{node}/{kind}", format!("list {kind} guests of {node}"));
        self.ask(ask.on(node).arg("kind", kind)).await
    }

    /// The configuration as it will be after the next start. When the guest runs, changes wait: see
    /// [`Cluster::guest_config_live`] and [`Cluster::guest_pending`].
    pub async fn guest_config(&self, at: &GuestAt) -> Result<GuestConfig, ProxmoxError> {
        let ask = Ask::get(
            "/api2/json/nodes/{node}/{kind}/{vmid}/config",
            format!("read the configuration of {at}"),
        );
        self.ask(ask.at(at)).await
    }

    /// The configuration that is live now.
    pub async fn guest_config_live(&self, at: &GuestAt) -> Result<GuestConfig, ProxmoxError> {
        let ask = Ask::get(
            "/api2/json/nodes/{node}/{kind}/{vmid}/config",
            format!("read the live configuration of {at}"),
        );
        self.ask(ask.at(at).with(Params::default().set("current", 1))).await
    }

    /// Every key with its live value and what waits for a restart.
    pub async fn guest_pending(&self, at: &GuestAt) -> Result<Vec<PendingValue>, ProxmoxError> {
        let ask = Ask::get(
            "/api2/json/nodes/{node}/{kind}/{vmid}/pending",
            format!("read pending changes of {at}"),
        );
        self.ask(ask.at(at)).await
    }

    /// Makes a guest from nothing. The id must be free: of two that try at once, exactly one succeeds.
    pub async fn create_guest(&self, at: &GuestAt, config: ConfigChange) -> Result<Upid, ProxmoxError> {
        let ask = Ask::post("/api2/json/nodes/{node}/{kind}", format!("create {at}"));
        let params = config.into_params().set("vmid", at.vmid.get());
        self.start_task(ask.on(&at.node).arg("kind", at.kind).with(params)).await
    }

    /// Clones a guest. Until the task ends, the new one shows neither name nor notes nor tags.
    pub async fn clone_guest(&self, source: &GuestAt, clone: &CloneRequest) -> Result<Upid, ProxmoxError> {
        let CloneRequest { new_id, name, description, full, storage, target, pool } = clone;
        let ask =
            Ask::post("/api2/json/nodes/{node}/{kind}/{vmid}/clone", format!("clone {source} to {new_id}"));
        let name_key = match source.kind {
            GuestKind::Qemu => "name",
            GuestKind::Lxc => "hostname",
        };
        let params = Params::default()
            .set("newid", new_id.get())
            .set("full", *full)
            .maybe(name_key, name.clone())
            .maybe("description", description.clone())
            .maybe("storage", storage.clone())
            .maybe("target", target.as_ref().map(NodeName::as_str))
            .maybe("pool", pool.clone());
        self.start_task(ask.at(source).with(params)).await
    }

    /// Changes the configuration, at once. Disks that must be made take as long as they take: prefer
    /// [`Cluster::update_guest_task`] for those.
    pub async fn update_guest(&self, at: &GuestAt, change: ConfigChange) -> Result<(), ProxmoxError> {
        let ask = Ask::put(
            "/api2/json/nodes/{node}/{kind}/{vmid}/config",
            format!("change the configuration of {at}"),
        );
        self.tell(ask.at(at).with(change.into_params())).await
    }

    /// Changes the configuration of a virtual machine in a task. `None` when it was done within the call.
    /// Containers have no such call.
    pub async fn update_guest_task(
        &self,
        at: &GuestAt,
        change: ConfigChange,
    ) -> Result<Option<Upid>, ProxmoxError> {
        let ask = Ask::post(
            "/api2/json/nodes/{node}/{kind}/{vmid}/config",
            format!("change the configuration of {at}"),
        );
        self.ask(ask.at(at).with(change.into_params())).await
    }

    /// Grows a disk *to* a size in bytes. Always absolute: a relative size repeated after a lost answer would grow it
    /// twice. Shrinking, a missing disk and a stale digest fail in the task.
    pub async fn resize_disk(
        &self,
        at: &GuestAt,
        disk: &str,
        bytes: u64,
        digest: Option<&Digest>,
    ) -> Result<Upid, ProxmoxError> {
        let ask = Ask::put("/api2/json/nodes/{node}/{kind}/{vmid}/resize", format!("resize {disk} of {at}"));
        let params = Params::default()
            .set("disk", disk)
            .set("size", size_text(bytes))
            .maybe("digest", digest.map(Digest::as_str));
        self.start_task(ask.at(at).with(params)).await
    }

    /// Makes a guest a template. A container is done within the call.
    pub async fn convert_to_template(&self, at: &GuestAt) -> Result<Option<Upid>, ProxmoxError> {
        let ask =
            Ask::post("/api2/json/nodes/{node}/{kind}/{vmid}/template", format!("make {at} a template"));
        self.ask(ask.at(at)).await
    }

    /// Removes a guest with its disks. It must not run.
    pub async fn delete_guest(&self, at: &GuestAt, options: DeleteOptions) -> Result<Upid, ProxmoxError> {
        let DeleteOptions { purge, unreferenced_disks } = options;
        let ask = Ask::delete("/api2/json/nodes/{node}/{kind}/{vmid}", format!("delete {at}"));
        let params =
            Params::default().switch("purge", purge).set("destroy-unreferenced-disks", unreferenced_disks);
        self.start_task(ask.at(at).with(params)).await
    }

    /// What a guest does right now.
    pub async fn guest_status(&self, at: &GuestAt) -> Result<GuestStatus, ProxmoxError> {
        let ask = Ask::get(
            "/api2/json/nodes/{node}/{kind}/{vmid}/status/current",
            format!("read the status of {at}"),
        );
        self.ask(ask.at(at)).await
    }

    /// The interfaces inside a virtual machine, as its agent says. The agent may take seconds not to answer.
    pub async fn agent_network(&self, at: &GuestAt) -> Result<AgentNetwork, ProxmoxError> {
        let path = "/api2/json/nodes/{node}/{kind}/{vmid}/agent/network-get-interfaces";
        self.ask(Ask::get(path, format!("ask the agent of {at} for its network")).at(at)).await
    }

    /// Cloud-init values, and which of them wait for the drive to be made anew.
    pub async fn cloud_init_pending(&self, at: &GuestAt) -> Result<Vec<PendingValue>, ProxmoxError> {
        let ask =
            Ask::get("/api2/json/nodes/{node}/{kind}/{vmid}/cloudinit", format!("read cloud-init of {at}"));
        self.ask(ask.at(at)).await
    }

    /// Makes the cloud-init drive anew from the configuration. A start does so too.
    pub async fn regenerate_cloud_init(&self, at: &GuestAt) -> Result<(), ProxmoxError> {
        let ask = Ask::put(
            "/api2/json/nodes/{node}/{kind}/{vmid}/cloudinit",
            format!("regenerate cloud-init of {at}"),
        );
        self.tell(ask.at(at)).await
    }
}

/// A size without loss, in the largest unit that has none.
fn size_text(bytes: u64) -> String {
    for (shift, unit) in [(30, "G"), (20, "M"), (10, "K")] {
        if bytes.is_multiple_of(1 << shift) && bytes > 0 {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::property::parse_size;

    #[test]
    fn sizes_are_absolute_and_lose_nothing() {
        for (bytes, text) in
            [(200 << 30, "200G"), (1536 << 20, "1536M"), (2048, "2K"), (513, "513"), (0, "0")]
        {
            assert_eq!(size_text(bytes), text);
            assert_eq!(parse_size(text), Some(bytes));
        }
    }

    #[test]
    fn a_change_without_changes_is_known() {
        assert!(ConfigChange::new().digest(Some(&Digest::new("x"))).is_empty());
        let change = ConfigChange::new().set("cores", 2).remove("net1").revert("memory");
        assert!(!change.is_empty());
        assert_eq!(change.keys().collect::<Vec<_>>(), ["cores", "net1", "memory"]);
    }

    #[test]
    fn secrets_do_not_show() {
        let change = ConfigChange::new().set_secret("cipassword", &Secret::new("hunter2"));
        assert!(!format!("{change:?}").contains("hunter2"), "{change:?}");
    }
}
