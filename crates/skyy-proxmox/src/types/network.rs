//! A node's interfaces: the staged view, and what differs from the running one.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::lenient::{flag, maybe_flag, number, text, texts, word_set};

/// `/nodes/N/network`. The interfaces are the *staged* ones; [`Network::changes`] says what waits to be applied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    /// The interfaces as they would be after applying, by name.
    pub interfaces: Vec<NetworkInterface>,
    /// The difference to what runs, as text; `None` when nothing is staged. Staging is shared with people: anything here
    /// that was not staged by this very run is somebody else's.
    pub changes: Option<String>,
}

/// What an interface is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum InterfaceKind {
    /// A Linux bridge.
    Bridge,
    /// A bond.
    Bond,
    /// A VLAN interface.
    Vlan,
    /// A network card.
    #[default]
    Eth,
    /// Anything else, as Proxmox VE calls it.
    Other(String),
}

impl From<String> for InterfaceKind {
    fn from(text: String) -> Self {
        match text.as_str() {
            "bridge" => Self::Bridge,
            "bond" => Self::Bond,
            "vlan" => Self::Vlan,
            "eth" => Self::Eth,
            _ => Self::Other(text),
        }
    }
}

impl From<InterfaceKind> for String {
    fn from(kind: InterfaceKind) -> Self {
        kind.to_string()
    }
}

impl fmt::Display for InterfaceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bridge => "bridge",
            Self::Bond => "bond",
            Self::Vlan => "vlan",
            Self::Eth => "eth",
            Self::Other(other) => other,
        })
    }
}

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct NetworkInterface {
    /// Its name.
    pub iface: String,
    /// What it is.
    #[serde(default, rename = "type")]
    pub kind: InterfaceKind,
    /// Whether it is up. Absent for one that is only staged.
    #[serde(default, deserialize_with = "flag")]
    pub active: bool,
    /// Whether it comes up at boot.
    #[serde(default, deserialize_with = "flag")]
    pub autostart: bool,
    /// Whether the device exists. A card that is not even present says so by its absence.
    #[serde(default, deserialize_with = "maybe_flag")]
    pub exists: Option<bool>,
    /// `static`, `dhcp`, `manual`.
    #[serde(default, deserialize_with = "text")]
    pub method: Option<String>,
    /// Address with prefix length.
    #[serde(default, deserialize_with = "text")]
    pub cidr: Option<String>,
    /// IPv6 address with prefix length.
    #[serde(default, deserialize_with = "text")]
    pub cidr6: Option<String>,
    /// The address without a prefix length.
    #[serde(default, deserialize_with = "text")]
    pub address: Option<String>,
    /// The gateway.
    #[serde(default, deserialize_with = "text")]
    pub gateway: Option<String>,
    /// The IPv6 gateway.
    #[serde(default, deserialize_with = "text")]
    pub gateway6: Option<String>,
    /// The MTU, if one is set.
    #[serde(default, deserialize_with = "number")]
    pub mtu: Option<u32>,
    /// Ports of a bridge.
    #[serde(default, deserialize_with = "word_set")]
    pub bridge_ports: BTreeSet<String>,
    /// Whether a bridge knows VLANs.
    #[serde(default, deserialize_with = "flag")]
    pub bridge_vlan_aware: bool,
    /// VLANs a bridge lets through.
    #[serde(default, deserialize_with = "text")]
    pub bridge_vids: Option<String>,
    /// The interface a VLAN is on.
    #[serde(default, rename = "vlan-raw-device", deserialize_with = "text")]
    pub vlan_raw_device: Option<String>,
    /// The VLAN's number.
    #[serde(default, rename = "vlan-id", deserialize_with = "number")]
    pub vlan_id: Option<u32>,
    /// Members of a bond.
    #[serde(default, deserialize_with = "word_set")]
    pub slaves: BTreeSet<String>,
    /// How a bond shares its load.
    #[serde(default, deserialize_with = "text")]
    pub bond_mode: Option<String>,
    /// The hash a bond uses.
    #[serde(default, deserialize_with = "text")]
    pub bond_xmit_hash_policy: Option<String>,
    /// The member a bond prefers.
    #[serde(default, rename = "bond-primary", deserialize_with = "text")]
    pub bond_primary: Option<String>,
    /// What was written about it; the server adds a line end.
    #[serde(default, deserialize_with = "text")]
    pub comments: Option<String>,
    /// Other names of the device.
    #[serde(default, deserialize_with = "texts")]
    pub altnames: Vec<String>,
}
