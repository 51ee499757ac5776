//! One node: version, status, notes, DNS, time.

use crate::ask::{Ask, Params};
use crate::cluster::Cluster;
use crate::error::ProxmoxError;
use crate::ids::{Digest, NodeName};
use crate::types::{Dns, NodeConfig, NodeStatus, NodeTime, Version};

/// Changes to a node's own configuration. It has notes and no tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeConfigChange {
    /// New notes.
    pub description: Option<String>,
    /// Keys to take away.
    pub remove: Vec<String>,
    /// Which state this is a change of.
    pub digest: Option<Digest>,
}

impl Cluster {
    /// The version of a node.
    pub async fn node_version(&self, node: &NodeName) -> Result<Version, ProxmoxError> {
        let ask = Ask::get("/api2/json/nodes/{node}/version", format!("read the version of {node}"));
        self.ask(ask.on(node)).await
    }

    /// Load, memory, kernel and uptime of a node.
    pub async fn node_status(&self, node: &NodeName) -> Result<NodeStatus, ProxmoxError> {
        let ask = Ask::get("/api2/json/nodes/{node}/status", format!("read the status of {node}"));
        self.ask(ask.on(node)).await
    }

    /// A node's own configuration.
    pub async fn node_config(&self, node: &NodeName) -> Result<NodeConfig, ProxmoxError> {
        let ask = Ask::get("/api2/json/nodes/{node}/config", format!("read the configuration of {node}"));
        self.ask(ask.on(node)).await
    }

    /// Changes it.
    pub async fn update_node_config(
        &self,
        node: &NodeName,
        change: NodeConfigChange,
    ) -> Result<(), ProxmoxError> {
        let NodeConfigChange { description, remove, digest } = change;
        let remove = Some(remove.join(",")).filter(|list| !list.is_empty());
        let params = Params::default()
            .maybe("description", description)
            .maybe("delete", remove)
            .maybe("digest", digest.as_ref().map(Digest::as_str));
        let ask = Ask::put("/api2/json/nodes/{node}/config", format!("change the configuration of {node}"));
        self.tell(ask.on(node).with(params)).await
    }

    /// A node's name servers.
    pub async fn dns(&self, node: &NodeName) -> Result<Dns, ProxmoxError> {
        self.ask(Ask::get("/api2/json/nodes/{node}/dns", format!("read the DNS settings of {node}")).on(node))
            .await
    }

    /// Sets them; what is absent is taken away. The search domain is required.
    pub async fn set_dns(&self, node: &NodeName, dns: &Dns) -> Result<(), ProxmoxError> {
        let Dns { search, dns1, dns2, dns3 } = dns;
        let params = Params::default()
            .maybe("search", search.clone())
            .maybe("dns1", dns1.clone())
            .maybe("dns2", dns2.clone())
            .maybe("dns3", dns3.clone());
        let ask = Ask::put("/api2/json/nodes/{node}/dns", format!("change the DNS settings of {node}"));
        self.tell(ask.on(node).with(params)).await
    }

    /// A node's clock and time zone.
    pub async fn time(&self, node: &NodeName) -> Result<NodeTime, ProxmoxError> {
        self.ask(Ask::get("/api2/json/nodes/{node}/time", format!("read the time of {node}")).on(node)).await
    }

    /// Sets the time zone.
    pub async fn set_timezone(&self, node: &NodeName, timezone: &str) -> Result<(), ProxmoxError> {
        let ask = Ask::put("/api2/json/nodes/{node}/time", format!("change the time zone of {node}"));
        self.tell(ask.on(node).with(Params::default().set("timezone", timezone))).await
    }
}
