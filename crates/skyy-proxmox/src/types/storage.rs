//! Storages as a node sees them, and what lies on them.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::ids::Vmid;
use crate::lenient::{flag, number, text, word_set};

/// A storage in a node's list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StorageUse {
    /// The storage.
    pub storage: String,
    /// Its state and size.
    #[serde(flatten)]
    pub status: StorageStatus,
}

/// The state and size of a storage on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct StorageStatus {
    /// `dir`, `lvmthin`, `rbd`, …
    #[serde(default, rename = "type", deserialize_with = "text")]
    pub kind: Option<String>,
    /// Content types it takes.
    #[serde(default, deserialize_with = "word_set")]
    pub content: BTreeSet<String>,
    /// Whether it is there and usable.
    #[serde(default, deserialize_with = "flag")]
    pub active: bool,
    /// Whether it is switched on.
    #[serde(default, deserialize_with = "flag")]
    pub enabled: bool,
    /// Whether all nodes see the same space.
    #[serde(default, deserialize_with = "flag")]
    pub shared: bool,
    /// Size in bytes.
    #[serde(default, deserialize_with = "number")]
    pub total: Option<u64>,
    /// Used bytes.
    #[serde(default, deserialize_with = "number")]
    pub used: Option<u64>,
    /// Free bytes.
    #[serde(default, deserialize_with = "number")]
    pub avail: Option<u64>,
}

/// A volume on a storage.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StorageContent {
    /// The volume.
    pub volid: String,
    /// What it is: `images`, `iso`, `backup`, …
    #[serde(default, deserialize_with = "text")]
    pub content: Option<String>,
    /// Its format.
    #[serde(default, deserialize_with = "text")]
    pub format: Option<String>,
    /// Its size in bytes.
    #[serde(default, deserialize_with = "number")]
    pub size: Option<u64>,
    /// The guest it belongs to.
    #[serde(default)]
    pub vmid: Option<Vmid>,
    /// The volume it was cloned from.
    #[serde(default, deserialize_with = "text")]
    pub parent: Option<String>,
}
