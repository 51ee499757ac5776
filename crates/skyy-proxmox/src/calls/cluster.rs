//! The cluster as a whole.

use crate::ask::{Ask, Params};
use crate::cluster::Cluster;
use crate::error::ProxmoxError;
use crate::ids::Vmid;
use crate::types::{ClusterStatus, NodeEntry, Resources, Version};

impl Cluster {
    /// The version of whichever node answers; see [`Cluster::node_version`] for a certain one.
    pub async fn version(&self) -> Result<Version, ProxmoxError> {
        self.ask(Ask::get("/api2/json/version", "read the version")).await
    }

    /// Members and quorum. Check it before any node action.
    pub async fn cluster_status(&self) -> Result<ClusterStatus, ProxmoxError> {
        self.ask(Ask::get("/api2/json/cluster/status", "read the cluster status")).await
    }

    /// All guests, nodes and storages the caller may see. Up to 10 s old, and for a dead node up to five minutes.
    pub async fn cluster_resources(&self) -> Result<Resources, ProxmoxError> {
        self.ask(Ask::get("/api2/json/cluster/resources", "read the cluster resources")).await
    }

    /// The nodes with the fingerprints of their certificates.
    pub async fn nodes(&self) -> Result<Vec<NodeEntry>, ProxmoxError> {
        self.ask(Ask::get("/api2/json/nodes", "list the nodes")).await
    }

    /// The lowest free guest id: a hint, not a reservation.
    pub async fn next_id(&self) -> Result<Vmid, ProxmoxError> {
        self.ask(Ask::get("/api2/json/cluster/nextid", "ask for the next free guest id")).await
    }

    /// Whether a guest id is free in the whole cluster at this moment.
    pub async fn is_id_free(&self, vmid: Vmid) -> Result<bool, ProxmoxError> {
        let ask = Ask::get("/api2/json/cluster/nextid", format!("ask whether the guest id {vmid} is free"));
        match self.ask::<Vmid>(ask.with(Params::default().set("vmid", vmid.get()))).await {
            Ok(_) => Ok(true),
            Err(error) => match error.problem() {
                crate::Problem::ParameterInvalid { errors }
                    if errors.get("vmid").is_some_and(|why| why.ends_with("already exists")) =>
                {
                    Ok(false)
                }
                _ => Err(error),
            },
        }
    }
}
