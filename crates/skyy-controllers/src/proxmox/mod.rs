//! Proxmox VE clusters: one hub for each, and the kinds that speak to it.

mod cluster_kind;
mod failure;
mod host_kind;
mod host_steps;
mod hub;
mod inventory;

pub use cluster_kind::ProxmoxClusterKind;
pub use failure::failure;
pub use host_kind::{Plan as HostAction, ProxmoxHostKind, node_of};
pub(crate) use hub::node_name;
pub use hub::{ClusterHub, Clusters, Settings, Wakers};
pub use inventory::{Inventory, NodeDetails};
