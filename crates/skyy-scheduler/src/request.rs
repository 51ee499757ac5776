//! What is asked for, and what was already promised. Must not know hosts beyond their names.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::inventory::HostName;

/// One guest that needs a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Request {
    /// What identifies the guest; used in messages and as [`Reservation::guest`].
    pub name: String,
    /// Virtual CPUs.
    pub cores: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// Disks that must find room.
    pub disks: Vec<Disk>,
    /// How many devices of which mapping.
    pub gpus: BTreeMap<String, u32>,
    /// Bridges the guest is attached to.
    pub bridges: BTreeSet<String>,
    /// Which hosts may be taken.
    pub selector: Selector,
    /// The one host it must be, if a person said so.
    pub host: Option<HostName>,
    /// How members of a group are spread; the guest counts as a member of each.
    pub spread: Vec<Spread>,
    /// Groups whose members are kept apart; the guest counts as a member of each.
    pub anti_affinity: Vec<AntiAffinity>,
    /// The template it is cloned from.
    pub template: Option<Template>,
    /// The guest exists and looks for another host: what it uses now is not counted against it.
    pub moving: bool,
}

impl Request {
    /// The groups the guest will belong to.
    pub fn groups(&self) -> BTreeSet<String> {
        let spread = self.spread.iter().map(|spread| &spread.group);
        spread.chain(self.anti_affinity.iter().map(|apart| &apart.group)).cloned().collect()
    }

    /// The promise that placing this request on `host` is.
    pub fn reservation_on(&self, host: &HostName) -> Reservation {
        Reservation {
            guest: self.name.clone(),
            host: host.clone(),
            cores: self.cores,
            memory: self.memory,
            disks: self.disks.clone(),
            gpus: self.gpus.clone(),
            groups: self.groups(),
        }
    }

    /// Bytes needed per storage: several disks on one storage need their sum.
    pub(crate) fn bytes_by_storage(&self) -> BTreeMap<&str, u64> {
        let mut needed = BTreeMap::<&str, u64>::new();
        for disk in &self.disks {
            let sum = needed.entry(&disk.storage).or_default();
            *sum = sum.saturating_add(disk.bytes);
        }
        needed
    }

    /// Devices really needed; a count of zero asks for nothing.
    pub(crate) fn gpus_needed(&self) -> impl Iterator<Item = (&str, u32)> {
        self.gpus.iter().filter(|(_, count)| **count > 0).map(|(mapping, count)| (mapping.as_str(), *count))
    }
}

/// A placement of ours that the inventory may not show yet. Kept by the caller from the decision until the guest runs.
///
/// It stops counting by itself once the host shows the guest running, so that keeping it a little too long is harmless.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reservation {
    /// The guest it is for, in the same words as [`Guest::id`](crate::Guest::id).
    pub guest: String,
    /// Where it goes.
    pub host: HostName,
    /// Virtual CPUs.
    pub cores: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// Disks.
    pub disks: Vec<Disk>,
    /// Devices by mapping.
    pub gpus: BTreeMap<String, u32>,
    /// Groups it belongs to.
    pub groups: BTreeSet<String>,
}

impl Default for HostName {
    fn default() -> Self {
        Self::new("")
    }
}

/// A disk to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    /// The storage by name.
    pub storage: String,
    /// Its size.
    pub bytes: u64,
    /// The content type the storage must take.
    #[serde(default = "images")]
    pub content: String,
}

fn images() -> String {
    "images".to_owned()
}

impl Disk {
    /// A disk of a virtual machine (content type `images`).
    pub fn image(storage: impl Into<String>, bytes: u64) -> Self {
        Self { storage: storage.into(), bytes, content: images() }
    }

    /// A disk of a container (content type `rootdir`).
    pub fn rootdir(storage: impl Into<String>, bytes: u64) -> Self {
        Self { storage: storage.into(), bytes, content: "rootdir".to_owned() }
    }
}

/// Which hosts may be taken, by label, with the meaning Kubernetes gives to label selectors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// Labels with exactly this value.
    pub match_labels: BTreeMap<String, String>,
    /// Further conditions; all must hold.
    pub match_expressions: Vec<Expression>,
}

/// One condition on a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expression {
    /// The label.
    pub key: String,
    /// The condition.
    pub operator: Operator,
    /// The values for `In` and `NotIn`.
    #[serde(default)]
    pub values: BTreeSet<String>,
}

/// The condition of an [`Expression`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// The label is there with one of the values.
    In,
    /// The label is absent, or has none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

impl Expression {
    /// Whether a host with these labels satisfies it.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = || self.values.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        match self.operator {
            Operator::In => write!(f, "{} in ({})", self.key, values()),
            Operator::NotIn => write!(f, "{} not in ({})", self.key, values()),
            Operator::Exists => write!(f, "{} exists", self.key),
            Operator::DoesNotExist => write!(f, "{} does not exist", self.key),
        }
    }
}

/// What members are counted in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Domain {
    /// Each host for itself.
    #[default]
    Host,
    /// All hosts of a zone together.
    Zone,
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Zone => "zone",
        })
    }
}

/// How members of a group are spread. Members are the guests and reservations that carry the group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// The group.
    pub group: String,
    /// By host or by zone.
    #[serde(default)]
    pub by: Domain,
    /// The hard limit; without one spreading is only a preference.
    #[serde(default)]
    pub limit: Option<SpreadLimit>,
}

/// A limit that is never exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SpreadLimit {
    /// A domain may have at most this many more than the emptiest domain that could ever take the guest: one with a host
    /// that is open, selected, and has the storages, bridges and mappings, full or not. At least 1 is assumed.
    MaxSkew(u32),
    /// A domain may have at most this many, whatever the others have: losing it loses no more.
    MaxPerDomain(u32),
}

/// A group of guests of which no two may share a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AntiAffinity {
    /// The group.
    pub group: String,
    /// By host or by zone.
    #[serde(default)]
    pub by: Domain,
}

/// The template a guest is cloned from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// The key that [`Host::templates`](crate::Host::templates) uses.
    pub key: String,
    /// Only hosts that can clone it without a copy across the network.
    #[serde(default)]
    pub required: bool,
}
