//! Storages of a node.

use crate::ask::{Ask, Params};
use crate::cluster::Cluster;
use crate::error::ProxmoxError;
use crate::ids::{NodeName, Vmid};
use crate::types::{StorageContent, StorageStatus, StorageUse};

impl Cluster {
    /// The storages a node has, with their sizes.
    pub async fn storages(&self, node: &NodeName) -> Result<Vec<StorageUse>, ProxmoxError> {
        self.ask(Ask::get("/api2/json/nodes/{node}/storage", format!("list storages of {node}")).on(node))
            .await
    }

    /// One storage.
    pub async fn storage_status(
        &self,
        node: &NodeName,
        storage: &str,
    ) -> Result<StorageStatus, ProxmoxError> {
        let path = "/api2/json/nodes/{node}/storage/{storage}/status";
        self.ask(
            Ask::get(path, format!("read the storage {storage} on {node}")).on(node).arg("storage", storage),
        )
        .await
    }

    /// What lies on a storage: of one content type, of one guest.
    pub async fn storage_content(
        &self,
        node: &NodeName,
        storage: &str,
        content: Option<&str>,
        vmid: Option<Vmid>,
    ) -> Result<Vec<StorageContent>, ProxmoxError> {
        let path = "/api2/json/nodes/{node}/storage/{storage}/content";
        let ask = Ask::get(path, format!("list the content of {storage} on {node}"));
        let params = Params::default().maybe("content", content).maybe("vmid", vmid.map(Vmid::get));
        self.ask(ask.on(node).arg("storage", storage).with(params)).await
    }
}
