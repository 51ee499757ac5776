//! PCI devices and their mappings.

use serde_json::Value;

use crate::ask::{Ask, Params};
use crate::cluster::Cluster;
use crate::error::ProxmoxError;
use crate::ids::{Digest, NodeName};
use crate::types::{PciDevice, PciMapping};

/// A mapping as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewPciMapping {
    /// Its name: two characters at least.
    pub id: String,
    /// What is written about it.
    pub description: Option<String>,
    /// The devices: `node=…,path=…,id=…,subsystem-id=…,iommugroup=…`.
    pub map: Vec<String>,
}

impl NewPciMapping {
    fn params(&self) -> Params {
        let lines: Vec<Value> = self.map.iter().map(|line| Value::from(line.as_str())).collect();
        Params::default().set("map", lines).maybe("description", self.description.clone())
    }
}

impl Cluster {
    /// The PCI devices of a node, without bridges and the like.
    pub async fn pci_devices(&self, node: &NodeName) -> Result<Vec<PciDevice>, ProxmoxError> {
        let ask = Ask::get("/api2/json/nodes/{node}/hardware/pci", format!("list PCI devices of {node}"));
        self.ask(ask.on(node)).await
    }

    /// The mappings; with a node, checked against its devices.
    pub async fn pci_mappings(&self, check: Option<&NodeName>) -> Result<Vec<PciMapping>, ProxmoxError> {
        let params = Params::default().maybe("check-node", check.map(NodeName::as_str));
        self.ask(Ask::get("/api2/json/cluster/mapping/pci", "list PCI mappings").with(params)).await
    }

    /// Makes a mapping.
    pub async fn create_pci_mapping(&self, mapping: &NewPciMapping) -> Result<(), ProxmoxError> {
        let id = &mapping.id;
        let ask = Ask::post("/api2/json/cluster/mapping/pci", format!("create the PCI mapping {id}"));
        self.tell(ask.with(mapping.params().set("id", id.as_str()))).await
    }

    /// Changes a mapping: its devices are replaced.
    pub async fn update_pci_mapping(
        &self,
        mapping: &NewPciMapping,
        digest: Option<&Digest>,
    ) -> Result<(), ProxmoxError> {
        let id = &mapping.id;
        let ask = Ask::put("/api2/json/cluster/mapping/pci/{id}", format!("change the PCI mapping {id}"));
        let params = mapping.params().maybe("digest", digest.map(Digest::as_str));
        self.tell(ask.arg("id", id).with(params)).await
    }

    /// Removes a mapping.
    pub async fn delete_pci_mapping(&self, id: &str) -> Result<(), ProxmoxError> {
        let ask = Ask::delete("/api2/json/cluster/mapping/pci/{id}", format!("delete the PCI mapping {id}"));
        self.tell(ask.arg("id", id)).await
    }
}
