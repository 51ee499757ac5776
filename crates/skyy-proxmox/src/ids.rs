//! Names and numbers that must not be swapped. Parsed at the border, trusted afterwards.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::lenient::Number;

/// A guest id: 100 to 999 999 999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Vmid(u32);

/// A name or number that Proxmox VE would not accept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {given:?}: {rule}")]
pub struct InvalidId {
    /// Which kind of name.
    pub what: &'static str,
    /// What was given.
    pub given: String,
    /// What it must be.
    pub rule: &'static str,
}

impl Vmid {
    /// The lowest id.
    pub const MIN: u32 = 100;
    /// The highest id.
    pub const MAX: u32 = 999_999_999;

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Vmid {
    type Error = InvalidId;

    fn try_from(number: u32) -> Result<Self, InvalidId> {
        if (Self::MIN..=Self::MAX).contains(&number) {
            Ok(Self(number))
        } else {
            let rule = "a VMID is a number from 100 to 999999999";
            Err(InvalidId { what: "VMID", given: number.to_string(), rule })
        }
    }
}

impl FromStr for Vmid {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let rule = "a VMID is a number from 100 to 999999999";
        let invalid = || InvalidId { what: "VMID", given: text.to_owned(), rule };
        text.parse::<u32>().map_err(|_| invalid())?.try_into().map_err(|_| invalid())
    }
}

impl fmt::Display for Vmid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Vmid {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(from)?;
        let number = u32::read(&value).and_then(|number| Self::try_from(number).ok());
        number.ok_or_else(|| serde::de::Error::custom(format!("{value} is not a VMID")))
    }
}

/// The name of a node: a host name of letters, digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct NodeName(String);

impl NodeName {
    /// Checks that a node can have this name. It stands in paths, so nothing else may pass.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidId> {
        let name = name.into();
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let good = !name.is_empty()
            && name.len() <= 63
            && name.chars().all(inner)
            && !name.starts_with('-')
            && !name.ends_with('-');
        if good {
            Ok(Self(name))
        } else {
            let rule = "a node name has letters, digits and inner hyphens, at most 63";
            Err(InvalidId { what: "node name", given: name, rule })
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::new(text)
    }
}

impl TryFrom<String> for NodeName {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::new(text)
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NodeName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

/// The state of a configuration as it was read; sent with a write so that a change in between is noticed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// A digest as the API gave it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The digest as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Virtual machine or container. Most calls have the same shape for both, below another path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuestKind {
    /// A virtual machine.
    Qemu,
    /// A container.
    Lxc,
}

impl GuestKind {
    /// The word in paths and listings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Lxc => "lxc",
        }
    }
}

impl fmt::Display for GuestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a guest was last seen. Its id is its identity; the node is only where to ask.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GuestAt {
    /// The node that holds it.
    pub node: NodeName,
    /// Its kind.
    pub kind: GuestKind,
    /// Its id.
    pub vmid: Vmid,
}

impl GuestAt {
    /// A virtual machine on a node.
    pub fn qemu(node: NodeName, vmid: Vmid) -> Self {
        Self { node, kind: GuestKind::Qemu, vmid }
    }

    /// A container on a node.
    pub fn lxc(node: NodeName, vmid: Vmid) -> Self {
        Self { node, kind: GuestKind::Lxc, vmid }
    }
}

impl fmt::Display for GuestAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} on {}", self.kind, self.vmid, self.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked_at_the_border() {
        let vmid = |text: &str| text.parse::<Vmid>().is_ok();
        assert!(vmid("100") && vmid("999999999"));
        assert!(!vmid("99") && !vmid("1000000000") && !vmid("-1") && !vmid("abc") && !vmid(""));
        assert_eq!(serde_json::from_str::<Vmid>("\"101\"").unwrap(), Vmid(101));
        assert_eq!(serde_json::from_str::<Vmid>("101").unwrap(), Vmid(101));
        assert!(serde_json::from_str::<Vmid>("99").is_err());

        for name in ["pve1", "puma-proxmox-005", "a", "PVE1", "127"] {
            assert!(NodeName::new(name).is_ok(), "{name}");
        }
        for name in ["", "a/b", "..", "a.b", "-a", "a-", "a b", "a%2f", &"x".repeat(64)] {
            assert!(NodeName::new(name).is_err(), "{name}");
        }
    }
}
