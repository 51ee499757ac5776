//! Packages: repositories and what could be updated. There is no call that upgrades.

use crate::ask::{Ask, Params};
use crate::cluster::Cluster;
use crate::error::ProxmoxError;
use crate::ids::{Digest, NodeName};
use crate::types::{AptRepositories, PackageUpdate, PackageVersion};
use crate::upid::Upid;

/// A repository, by where it stands. Positions shift: only with the digest of the same read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryPlace {
    /// The file.
    pub path: String,
    /// The position in it, from 0.
    pub index: u32,
}

impl Cluster {
    /// The repositories of a node.
    pub async fn apt_repositories(&self, node: &NodeName) -> Result<AptRepositories, ProxmoxError> {
        let ask =
            Ask::get("/api2/json/nodes/{node}/apt/repositories", format!("read the repositories of {node}"));
        self.ask(ask.on(node)).await
    }

    /// Switches a repository on or off.
    pub async fn set_apt_repository(
        &self,
        node: &NodeName,
        place: &RepositoryPlace,
        enabled: bool,
        digest: Option<&Digest>,
    ) -> Result<(), ProxmoxError> {
        let RepositoryPlace { path, index } = place;
        let word = if enabled { "enable" } else { "disable" };
        let ask = Ask::post(
            "/api2/json/nodes/{node}/apt/repositories",
            format!("{word} repository {index} of {path} on {node}"),
        );
        let params = Params::default()
            .set("path", path.as_str())
            .set("index", *index)
            .set("enabled", enabled)
            .maybe("digest", digest.map(Digest::as_str));
        self.tell(ask.on(node).with(params)).await
    }

    /// Adds a repository that Proxmox VE knows by a handle, and enables it.
    pub async fn add_standard_repository(
        &self,
        node: &NodeName,
        handle: &str,
        digest: Option<&Digest>,
    ) -> Result<(), ProxmoxError> {
        let ask = Ask::put(
            "/api2/json/nodes/{node}/apt/repositories",
            format!("add the repository {handle} on {node}"),
        );
        let params = Params::default().set("handle", handle).maybe("digest", digest.map(Digest::as_str));
        self.tell(ask.on(node).with(params)).await
    }

    /// Fetches the package index. Fails in the task where an enterprise repository has no subscription.
    pub async fn refresh_apt(&self, node: &NodeName) -> Result<Upid, ProxmoxError> {
        let ask =
            Ask::post("/api2/json/nodes/{node}/apt/update", format!("refresh the package index of {node}"));
        self.start_task(ask.on(node).with(Params::default().set("notify", 0).set("quiet", 1))).await
    }

    /// What could be updated, as of the last refresh.
    pub async fn apt_updates(&self, node: &NodeName) -> Result<Vec<PackageUpdate>, ProxmoxError> {
        let ask = Ask::get("/api2/json/nodes/{node}/apt/update", format!("list pending updates of {node}"));
        self.ask(ask.on(node)).await
    }

    /// The packages Proxmox VE is made of, with the kernel that runs.
    pub async fn apt_versions(&self, node: &NodeName) -> Result<Vec<PackageVersion>, ProxmoxError> {
        let ask =
            Ask::get("/api2/json/nodes/{node}/apt/versions", format!("list package versions of {node}"));
        self.ask(ask.on(node)).await
    }
}
