//! What the simulated cluster is made of. Plain data that can be saved; no HTTP and no rules of the API.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::tasks::Task;

/// A configuration file as Proxmox keeps it: every value is text.
pub(crate) type Conf = BTreeMap<String, String>;

/// The whole cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cluster {
    /// None for a node that never joined or made a cluster.
    pub(crate) name: Option<String>,
    pub(crate) nodes: BTreeMap<String, Node>,
    pub(crate) guests: BTreeMap<u32, Guest>,
    pub(crate) storages: BTreeMap<String, Storage>,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) flocks: BTreeMap<u32, Flock>,
    pub(crate) access: Access,
    pub(crate) pools: BTreeMap<String, Pool>,
    pub(crate) options: Conf,
    pub(crate) mappings: BTreeMap<String, Mapping>,
    pub(crate) ha: BTreeMap<String, HaResource>,
    pub(crate) ha_rules: BTreeMap<String, Conf>,
    pub(crate) timing: Timing,
    /// Milliseconds since 1970 up to which everything has happened.
    pub(crate) now: u64,
    pub(crate) last_broadcast: u64,
    pub(crate) rng: u64,
    pub(crate) next_pid: u32,
    /// Signs tickets and CSRF tokens.
    pub(crate) secret: String,
}

/// How long things take, in milliseconds of the cluster's own time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Timing {
    /// How often a node tells the others about its guests and storages.
    pub(crate) broadcast_ms: u64,
    /// Copying a disk, in bytes per second.
    pub(crate) copy_rate: u64,
    /// How long allocating one volume holds the storage's lock.
    pub(crate) allocate_ms: u64,
    /// From the start of a guest until its agent answers.
    pub(crate) agent_ms: u64,
    /// From the reboot command until the node is back.
    pub(crate) reboot_ms: u64,
}

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Link {
    Up,
    /// Runs, but pveproxy does not: the others get "Connection refused".
    DaemonsStopped,
    /// Runs, but no packet reaches it.
    Cut,
    /// Without power.
    Off,
}

/// One host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) id: u32,
    pub(crate) ip: String,
    pub(crate) fingerprint: String,
    pub(crate) link: Link,
    pub(crate) link_since: u64,
    /// When it will have come back from a reboot.
    pub(crate) back_at: Option<u64>,
    pub(crate) booted: u64,
    pub(crate) cpus: u32,
    pub(crate) sockets: u32,
    pub(crate) cpu_model: String,
    pub(crate) memory: u64,
    pub(crate) root_size: u64,
    pub(crate) version: Version,
    pub(crate) net: super::network::NetState,
    pub(crate) apt: super::apt::AptState,
    pub(crate) pci: Vec<PciDevice>,
    pub(crate) disks: Vec<Disk>,
    pub(crate) config: Conf,
    pub(crate) dns: Conf,
    pub(crate) hosts: String,
    pub(crate) timezone: String,
    /// What the node last told the others.
    pub(crate) told: Option<Told>,
    /// Storage name to the time until which its lock is taken, for storages of this node alone.
    pub(crate) storage_busy: BTreeMap<String, u64>,
}

/// Software on a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) number: String,
    pub(crate) release: String,
    pub(crate) repoid: String,
    pub(crate) kernel: String,
    pub(crate) kernel_build: String,
}

/// A broadcast: what resources show of a node's guests until the next one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) at: u64,
    pub(crate) guests: BTreeMap<u32, ToldGuest>,
    pub(crate) storages: BTreeSet<String>,
}

/// One guest in a broadcast.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ToldGuest {
    pub(crate) name: String,
    pub(crate) running: bool,
    pub(crate) template: bool,
    pub(crate) cpus: u64,
    pub(crate) max_mem: u64,
    pub(crate) max_disk: u64,
    pub(crate) started: Option<u64>,
}

/// A PCI device of a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PciDevice {
    pub(crate) id: String,
    pub(crate) class: String,
    pub(crate) vendor: String,
    pub(crate) device: String,
    pub(crate) vendor_name: Option<String>,
    pub(crate) device_name: Option<String>,
    pub(crate) subsystem_vendor: String,
    pub(crate) subsystem_device: String,
    pub(crate) subsystem_vendor_name: Option<String>,
    pub(crate) iommu_group: i32,
}

/// A disk of a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Disk {
    pub(crate) path: String,
    pub(crate) size: u64,
    pub(crate) kind: String,
    pub(crate) model: String,
    pub(crate) serial: String,
    /// "LVM", "BIOS boot" and the like; None when empty.
    pub(crate) used: Option<String>,
}

/// What kind of guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum GuestKind {
    Qemu,
    Lxc,
}

impl GuestKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            GuestKind::Qemu => "qemu",
            GuestKind::Lxc => "lxc",
        }
    }

    /// The folder of the configuration files below nodes/N.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            GuestKind::Qemu => "qemu-server",
            GuestKind::Lxc => "lxc",
        }
    }
}

/// One virtual machine or container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Guest {
    pub(crate) vmid: u32,
    pub(crate) kind: GuestKind,
    pub(crate) node: String,
    pub(crate) conf: Conf,
    pub(crate) pending: Conf,
    pub(crate) pending_delete: BTreeSet<String>,
    /// What the cloud-init drive was last made from.
    pub(crate) cloudinit: Option<Conf>,
    pub(crate) snapshots: BTreeMap<String, Snapshot>,
    pub(crate) run: Option<Run>,
    /// Does not react to a shutdown request.
    pub(crate) deaf: bool,
}

/// A running guest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) since: u64,
    pub(crate) pid: u32,
    pub(crate) paused: bool,
    /// PCI devices of the node that it holds.
    pub(crate) pci: Vec<String>,
}

/// A snapshot: the configuration at that time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) conf: Conf,
    pub(crate) description: String,
    pub(crate) parent: Option<String>,
    pub(crate) time: u64,
    pub(crate) vmstate: bool,
}

/// Who holds a guest's file lock.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Flock {
    pub(crate) exclusive: Option<String>,
    pub(crate) shared: Vec<String>,
}

/// A storage definition.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Storage {
    pub(crate) kind: String,
    pub(crate) conf: Conf,
    /// Bytes, per node when not shared.
    pub(crate) size: u64,
    /// Bytes taken by what is not a volume here.
    pub(crate) base_used: u64,
    /// Until when the cluster-wide lock is taken.
    pub(crate) busy: u64,
}

/// A volume on a storage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Volume {
    pub(crate) storage: String,
    /// None on shared storage.
    pub(crate) node: Option<String>,
    /// Without the storage: `100/vm-100-disk-0.qcow2`, `vm-100-disk-0`.
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) format: String,
    pub(crate) content: String,
    pub(crate) vmid: Option<u32>,
    /// The base image of a linked clone, as the storage names it.
    pub(crate) parent: Option<String>,
    pub(crate) ctime: u64,
}

/// Users, roles and who may do what where.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Access {
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) roles: BTreeMap<String, BTreeSet<String>>,
    pub(crate) acl: Vec<Acl>,
}

/// A user.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) password: Option<String>,
    pub(crate) enable: bool,
    pub(crate) expire: u64,
    pub(crate) props: Conf,
    pub(crate) tokens: BTreeMap<String, Token>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("enable", &self.enable)
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}

/// An API token.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) secret: String,
    pub(crate) privsep: bool,
    pub(crate) comment: Option<String>,
    pub(crate) expire: u64,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("privsep", &self.privsep).finish_non_exhaustive()
    }
}

/// One line of the access control list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Acl {
    pub(crate) path: String,
    /// "user" or "token".
    pub(crate) kind: String,
    pub(crate) who: String,
    pub(crate) role: String,
    pub(crate) propagate: bool,
}

/// A pool of guests and storages.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Pool {
    pub(crate) comment: Option<String>,
    pub(crate) guests: BTreeSet<u32>,
    pub(crate) storages: BTreeSet<String>,
}

/// A PCI resource mapping.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Mapping {
    pub(crate) description: Option<String>,
    pub(crate) map: Vec<String>,
    pub(crate) mdev: Option<bool>,
    pub(crate) live: Option<bool>,
}

/// A guest under high availability.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct HaResource {
    pub(crate) props: Conf,
    /// What the manager has brought about so far.
    pub(crate) state: String,
    pub(crate) changed: u64,
    /// Where it has been asked to go.
    pub(crate) move_to: Option<String>,
}

impl Cluster {
    /// A pseudo-random number; the sequence is part of the state.
    pub(crate) fn random(&mut self) -> u64 {
        self.rng = self.rng.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.rng;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A random UUID of version 4.
    pub(crate) fn uuid(&mut self) -> String {
        let (a, b) = (self.random(), self.random());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            0x8000 | ((b >> 48) & 0x3fff),
            b & 0xffff_ffff_ffff
        )
    }

    /// A MAC address below the cluster's prefix.
    pub(crate) fn mac(&mut self) -> String {
        let prefix = self.options.get("mac_prefix").cloned().unwrap_or_else(|| "BC:24:11".into());
        let r = self.random();
        format!("{prefix}:{:02X}:{:02X}:{:02X}", r & 0xff, (r >> 8) & 0xff, (r >> 16) & 0xff)
    }

    /// A process number that no other has.
    pub(crate) fn pid(&mut self) -> u32 {
        self.next_pid += 1;
        self.next_pid
    }

    /// Seconds since 1970.
    pub(crate) fn seconds(&self) -> u64 {
        self.now / 1000
    }

    /// The storage's bytes taken on a node.
    pub(crate) fn storage_used(&self, storage: &str, node: &str) -> u64 {
        let base = self.storages.get(storage).map_or(0, |s| s.base_used);
        let volumes = self.volumes.iter().filter(|v| v.storage == storage);
        base + volumes.filter(|v| v.node.as_deref().is_none_or(|n| n == node)).map(|v| v.size).sum::<u64>()
    }
}

impl Storage {
    /// Whether every node sees the same volumes.
    pub(crate) fn shared(&self) -> bool {
        matches!(self.kind.as_str(), "rbd" | "cephfs" | "nfs" | "cifs" | "pbs" | "iscsi")
            || self.conf.get("shared").is_some_and(|v| v == "1")
    }

    pub(crate) fn disabled(&self) -> bool {
        self.conf.get("disable").is_some_and(|v| v == "1")
    }

    /// Whether a node may use it.
    pub(crate) fn on(&self, node: &str) -> bool {
        self.conf.get("nodes").is_none_or(|n| n.split(',').any(|n| n == node))
    }

    /// Whether it holds files in folders, which changes how volumes are named.
    pub(crate) fn file_based(&self) -> bool {
        matches!(self.kind.as_str(), "dir" | "nfs" | "cifs" | "btrfs" | "cephfs")
    }

    /// Where a file storage keeps its files.
    pub(crate) fn path(&self) -> String {
        self.conf.get("path").cloned().unwrap_or_else(|| "/mnt/pve".into())
    }

    pub(crate) fn content(&self) -> String {
        self.conf.get("content").cloned().unwrap_or_else(|| "images,rootdir".into())
    }

    pub(crate) fn allows(&self, content: &str) -> bool {
        self.content().split(',').any(|c| c == content)
    }
}

/// The digest of a configuration: forty hex digits, as Proxmox gives them.
pub(crate) fn digest(parts: &[&Conf]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        for (key, value) in *part {
            hash.update(key.as_bytes());
            hash.update(b": ");
            hash.update(value.as_bytes());
            hash.update(b"\n");
        }
        hash.update(b"\n");
    }
    hex::encode(hash.finalize())[..40].to_string()
}

/// The digest of any text.
pub(crate) fn digest_text(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))[..40].to_string()
}
