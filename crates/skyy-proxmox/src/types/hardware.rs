//! PCI devices of a node and the mappings that offer them to guests.

use serde::Deserialize;

use crate::ids::{Digest, NodeName};
use crate::lenient::{maybe_flag, number, text, texts};
use crate::property::PropertyString;

/// A PCI device.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PciDevice {
    /// Its address: `0000:01:00.0`.
    pub id: String,
    /// Its class as `0x030000`.
    #[serde(default, deserialize_with = "text")]
    pub class: Option<String>,
    /// Its vendor as `0x10de`.
    #[serde(default, deserialize_with = "text")]
    pub vendor: Option<String>,
    /// The vendor's name.
    #[serde(default, deserialize_with = "text")]
    pub vendor_name: Option<String>,
    /// Its device id as `0x2684`.
    #[serde(default, deserialize_with = "text")]
    pub device: Option<String>,
    /// The device's name.
    #[serde(default, deserialize_with = "text")]
    pub device_name: Option<String>,
    /// The vendor of the board.
    #[serde(default, deserialize_with = "text")]
    pub subsystem_vendor: Option<String>,
    /// The board.
    #[serde(default, deserialize_with = "text")]
    pub subsystem_device: Option<String>,
    /// Its IOMMU group; −1 without one, and then it cannot be passed through.
    #[serde(default, deserialize_with = "number")]
    pub iommugroup: Option<i64>,
    /// Whether it can be divided.
    #[serde(default, deserialize_with = "maybe_flag")]
    pub mdev: Option<bool>,
}

impl PciDevice {
    /// Whether its class is a display controller (VGA, 3D): what GPUs are.
    pub fn is_display(&self) -> bool {
        self.class.as_deref().is_some_and(|class| class.trim_start_matches("0x").starts_with("03"))
    }

    /// `10de:2684`, as a mapping writes it.
    pub fn vendor_device(&self) -> Option<String> {
        pair(self.vendor.as_deref()?, self.device.as_deref()?)
    }

    /// The board as `10de:16a4`.
    pub fn subsystem(&self) -> Option<String> {
        pair(self.subsystem_vendor.as_deref()?, self.subsystem_device.as_deref()?)
    }
}

fn pair(vendor: &str, device: &str) -> Option<String> {
    Some(format!("{}:{}", vendor.strip_prefix("0x")?, device.strip_prefix("0x")?))
}

/// A resource mapping: devices of one kind on any number of nodes, under one name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PciMapping {
    /// Its name.
    pub id: String,
    /// What was written about it.
    #[serde(default, deserialize_with = "text")]
    pub description: Option<String>,
    /// The devices, one line each; see [`PciMapping::entries`].
    #[serde(default, deserialize_with = "texts")]
    pub map: Vec<String>,
    /// What to send with a write.
    #[serde(default)]
    pub digest: Option<Digest>,
    /// What is wrong with it on the node that was asked to check.
    #[serde(default)]
    pub checks: Vec<MappingCheck>,
}

/// One device of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PciMappingEntry {
    /// The node it is in.
    pub node: NodeName,
    /// Its addresses; several functions of one device are one entry.
    pub paths: Vec<String>,
    /// Vendor and device.
    pub id: Option<String>,
}

impl PciMapping {
    /// The devices. What names no node or no address is left out.
    pub fn entries(&self) -> Vec<PciMappingEntry> {
        let entry = |line: &String| {
            let parts = PropertyString::parse(line);
            let node = NodeName::new(parts.get("node")?).ok()?;
            let paths = parts.get("path")?.split(';').map(str::to_owned).collect();
            Some(PciMappingEntry { node, paths, id: parts.get("id").map(str::to_owned) })
        };
        self.map.iter().filter_map(entry).collect()
    }
}

/// A remark on a mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct MappingCheck {
    /// `error` or `warning`.
    #[serde(default, deserialize_with = "text")]
    pub severity: Option<String>,
    /// What is wrong.
    #[serde(default, deserialize_with = "text")]
    pub message: Option<String>,
}
