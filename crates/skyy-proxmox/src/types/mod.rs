//! What the API answers, in our words. Every field that Proxmox VE may leave out is optional; unknown fields are ignored.
//! Must not know how it was asked for.

mod access;
mod apt;
mod cluster;
mod config;
mod guest;
mod hardware;
mod network;
mod node;
mod storage;
mod task;

pub use access::Permissions;
pub use apt::{
    AptFile, AptFileError, AptInfo, AptRepositories, AptRepository, PackageUpdate, PackageVersion,
    StandardRepository,
};
pub use cluster::{
    ClusterStatus, GuestResource, MemberStatus, NodeEntry, NodeResource, Resources, StorageResource, Version,
};
pub use config::{Disk, GuestConfig, PendingValue};
pub use guest::{AgentInterface, AgentNetwork, GuestState, GuestStatus, LocalDisk, MigrateCheck, Snapshot};
pub use hardware::{MappingCheck, PciDevice, PciMapping, PciMappingEntry};
pub use network::{InterfaceKind, Network, NetworkInterface};
pub use node::{Amount, CpuInfo, Dns, KernelInfo, NodeConfig, NodeStatus, NodeTime};
pub use storage::{StorageContent, StorageStatus, StorageUse};
pub use task::{TaskEntry, TaskExit, TaskLogLine, TaskStatus};
