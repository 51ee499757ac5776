//! A typed client of the Proxmox VE API, for the calls the operator uses.
//!
//! [`Cluster`] speaks to one cluster (or single node) through any of its endpoints. What the API means is decided here
//! and nowhere else: which 500 says "no such guest", which task end is a success, which refusal is a lock that passes.
//! Errors ([`ProxmoxError`]) say who must act ([`Class`]) and whether a write may have happened ([`Sent`]).
//!
//! Nothing here waits for a task: a call gives its [`Upid`], and [`Cluster::task_status`] asks once.
//!
//! Must not know Kubernetes, our custom resources, or what is wanted.

mod ask;
mod auth;
mod calls;
mod cluster;
mod error;
#[cfg(test)]
mod golden;
mod ids;
mod lenient;
mod problem;
mod property;
mod types;
mod upid;

pub use auth::Auth;
pub use calls::*;
pub use cluster::{Cluster, EndpointHealth, limits};
pub use error::ProxmoxError;
pub use ids::{Digest, GuestAt, GuestKind, InvalidId, NodeName, Vmid};
pub use problem::{AuthFailure, Problem};
pub use property::{PropertyString, decode_ssh_keys, encode_ssh_keys, format_tags, parse_size, parse_tags};
pub use skyy_http::{Class, Secret, Sent};
pub use types::*;
pub use upid::Upid;
