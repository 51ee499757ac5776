//! The vocabulary of Skyy-Command: what a person may write, and what the operator answers.
//!
//! Custom resource types with their validation, conditions and their reasons, the names of labels, annotations and
//! finalizers. Nothing here performs I/O, knows a client of any system, or reads a clock.

// The derives of `CustomResource` repeat `type_ = "string"` once a column.
#![allow(clippy::duplicated_attributes)]
// They also put what they make into modules of their own, through which the lint does not see.
#![allow(unreachable_pub)]

pub mod address;
pub mod address_claim;
pub mod address_pool;
pub mod ceph_cluster;
pub mod ceph_pool;
pub mod common;
pub mod condition;
pub mod deployment;
pub mod dhcp_reservation;
pub mod firewall;
pub mod firewall_rule;
pub mod nat_mapping;
pub mod proxmox_cluster;
pub mod proxmox_host;
pub mod quantity;
mod schema;
mod status;
pub mod virtual_ip;

pub use address_claim::{AddressClaim, AddressClaimSpec, AddressClaimStatus};
pub use address_pool::{AddressPool, AddressPoolSpec, AddressPoolStatus};
pub use ceph_cluster::{CephCluster, CephClusterSpec, CephClusterStatus};
pub use ceph_pool::{CephPool, CephPoolSpec, CephPoolStatus};
pub use common::{DeletionPolicy, SecretKeyRef, TlsTrust};
pub use condition::{Reason, Reported};
pub use deployment::{Deployment, DeploymentSpec, DeploymentStatus};
pub use dhcp_reservation::{DhcpReservation, DhcpReservationSpec, DhcpReservationStatus};
pub use firewall::{Firewall, FirewallSpec, FirewallStatus};
pub use firewall_rule::{FirewallRule, FirewallRuleSpec, FirewallRuleStatus};
pub use nat_mapping::{NatMapping, NatMappingSpec, NatMappingStatus};
pub use proxmox_cluster::{ProxmoxCluster, ProxmoxClusterSpec, ProxmoxClusterStatus};
pub use proxmox_host::{ProxmoxHost, ProxmoxHostSpec, ProxmoxHostStatus};
pub use virtual_ip::{VirtualIp, VirtualIpSpec, VirtualIpStatus};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The API group of all kinds.
pub const GROUP: &str = "skyy.helloskyy.io";
/// The version of all kinds.
pub const VERSION: &str = "v1alpha1";

/// Every kind, in the order in which a newcomer meets them.
pub fn all_crds() -> Vec<CustomResourceDefinition> {
    [
        ProxmoxCluster::crd(),
        ProxmoxHost::crd(),
        Deployment::crd(),
        Firewall::crd(),
        FirewallRule::crd(),
        VirtualIp::crd(),
        NatMapping::crd(),
        DhcpReservation::crd(),
        AddressPool::crd(),
        AddressClaim::crd(),
        CephCluster::crd(),
        CephPool::crd(),
    ]
    .map(schema::tidy)
    .into()
}
