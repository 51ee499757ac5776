//! A node's network: read, stage, apply, take back. Staging is shared with people; nothing is rolled back by itself when
//! the link dies.

use serde::Deserialize;

use crate::ask::{Ask, Params};
use crate::cluster::Cluster;
use crate::error::ProxmoxError;
use crate::ids::NodeName;
use crate::types::{InterfaceKind, Network, NetworkInterface};
use crate::upid::Upid;

/// An interface as it should be. A change replaces all of it: give every value that is to stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceSpec {
    /// Its name.
    pub iface: String,
    /// What it is.
    pub kind: InterfaceKind,
    /// Whether it comes up at boot.
    pub autostart: bool,
    /// Address with prefix length.
    pub cidr: Option<String>,
    /// IPv6 address with prefix length.
    pub cidr6: Option<String>,
    /// The gateway.
    pub gateway: Option<String>,
    /// The IPv6 gateway.
    pub gateway6: Option<String>,
    /// The MTU.
    pub mtu: Option<u32>,
    /// Ports of a bridge.
    pub bridge_ports: Vec<String>,
    /// Whether a bridge knows VLANs.
    pub bridge_vlan_aware: bool,
    /// VLANs a bridge lets through. A bridge that knows VLANs reads back `2-4094` when nothing was given.
    pub bridge_vids: Option<String>,
    /// The interface a VLAN is on.
    pub vlan_raw_device: Option<String>,
    /// The VLAN's number.
    pub vlan_id: Option<u32>,
    /// Members of a bond.
    pub slaves: Vec<String>,
    /// How a bond shares its load.
    pub bond_mode: Option<String>,
    /// The hash it uses.
    pub bond_xmit_hash_policy: Option<String>,
    /// The member it prefers.
    pub bond_primary: Option<String>,
    /// What is written about it.
    pub comments: Option<String>,
    /// Settings to take away with a change, by their names at the API. A bridge stops being VLAN-aware in no other way.
    pub unset: Vec<String>,
}

impl InterfaceSpec {
    /// What an interface is now, to change only a part of it.
    pub fn of(interface: &NetworkInterface) -> Self {
        let interface = interface.clone();
        Self {
            iface: interface.iface,
            kind: interface.kind,
            autostart: interface.autostart,
            cidr: interface.cidr,
            cidr6: interface.cidr6,
            gateway: interface.gateway,
            gateway6: interface.gateway6,
            mtu: interface.mtu,
            bridge_ports: interface.bridge_ports.into_iter().collect(),
            bridge_vlan_aware: interface.bridge_vlan_aware,
            bridge_vids: interface.bridge_vids,
            vlan_raw_device: interface.vlan_raw_device,
            vlan_id: interface.vlan_id,
            slaves: interface.slaves.into_iter().collect(),
            bond_mode: interface.bond_mode,
            bond_xmit_hash_policy: interface.bond_xmit_hash_policy,
            bond_primary: interface.bond_primary,
            comments: interface.comments.map(|text| text.trim_end_matches('\n').to_owned()),
            unset: Vec::new(),
        }
    }

    fn params(&self) -> Params {
        let words = |list: &[String]| Some(list.join(" ")).filter(|words| !words.is_empty());
        let params = Params::default()
            .set("type", self.kind.to_string())
            .switch("autostart", self.autostart)
            .maybe("cidr", self.cidr.clone())
            .maybe("cidr6", self.cidr6.clone())
            .maybe("gateway", self.gateway.clone())
            .maybe("gateway6", self.gateway6.clone())
            .maybe("mtu", self.mtu)
            .maybe("vlan-raw-device", self.vlan_raw_device.clone())
            .maybe("slaves", words(&self.slaves))
            .maybe("bond_mode", self.bond_mode.clone())
            .maybe("bond_xmit_hash_policy", self.bond_xmit_hash_policy.clone())
            .maybe("bond-primary", self.bond_primary.clone())
            .maybe("comments", self.comments.clone());
        match self.kind {
            InterfaceKind::Bridge => params
                .maybe("bridge_ports", words(&self.bridge_ports))
                .switch("bridge_vlan_aware", self.bridge_vlan_aware)
                .maybe("bridge_vids", self.bridge_vids.clone()),
            // The server derives the number from a name like vmbr0.30 and reports it; only a name without it needs it.
            InterfaceKind::Vlan if !self.iface.contains('.') => params.maybe("vlan-id", self.vlan_id),
            _ => params,
        }
    }
}

/// The answer has the difference beside the data, not in it.
#[derive(Deserialize)]
struct NetworkAnswer {
    data: Vec<NetworkInterface>,
    #[serde(default)]
    changes: Option<String>,
}

impl Cluster {
    /// The staged interfaces, and how they differ from what runs.
    pub async fn network(&self, node: &NodeName) -> Result<Network, ProxmoxError> {
        let ask = Ask::get("/api2/json/nodes/{node}/network", format!("read the network of {node}"));
        let NetworkAnswer { mut data, changes } = self.ask_whole(ask.on(node)).await?;
        data.sort_by(|one, other| one.iface.cmp(&other.iface));
        Ok(Network { interfaces: data, changes: changes.filter(|changes| !changes.trim().is_empty()) })
    }

    /// Stages a new interface.
    pub async fn create_interface(
        &self,
        node: &NodeName,
        interface: &InterfaceSpec,
    ) -> Result<(), ProxmoxError> {
        let name = &interface.iface;
        let ask =
            Ask::post("/api2/json/nodes/{node}/network", format!("stage the new interface {name} on {node}"));
        self.tell(ask.on(node).with(interface.params().set("iface", name.as_str()))).await
    }

    /// Stages a change.
    pub async fn update_interface(
        &self,
        node: &NodeName,
        interface: &InterfaceSpec,
    ) -> Result<(), ProxmoxError> {
        let name = &interface.iface;
        let unset = Some(interface.unset.join(",")).filter(|names| !names.is_empty());
        let ask = Ask::put(
            "/api2/json/nodes/{node}/network/{iface}",
            format!("stage a change of {name} on {node}"),
        );
        self.tell(ask.on(node).arg("iface", name).with(interface.params().maybe("delete", unset))).await
    }

    /// Stages a removal.
    pub async fn delete_interface(&self, node: &NodeName, iface: &str) -> Result<(), ProxmoxError> {
        let ask = Ask::delete(
            "/api2/json/nodes/{node}/network/{iface}",
            format!("stage the removal of {iface} on {node}"),
        );
        self.tell(ask.on(node).arg("iface", iface)).await
    }

    /// Applies everything that is staged, by whomever.
    pub async fn apply_network(&self, node: &NodeName) -> Result<Upid, ProxmoxError> {
        self.start_task(
            Ask::put("/api2/json/nodes/{node}/network", format!("apply the network of {node}")).on(node),
        )
        .await
    }

    /// Throws away everything that is staged, by whomever.
    pub async fn revert_network(&self, node: &NodeName) -> Result<(), ProxmoxError> {
        let ask = Ask::delete(
            "/api2/json/nodes/{node}/network",
            format!("discard staged network changes of {node}"),
        );
        self.tell(ask.on(node)).await
    }
}
