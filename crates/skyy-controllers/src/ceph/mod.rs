//! Ceph clusters: one hub for each, and the kinds that speak to it.

mod cluster_kind;
mod hub;
mod pool_kind;

pub use cluster_kind::CephClusterKind;
pub use hub::{CephHub, Cephs, Settings, View, Wakers};
pub use pool_kind::CephPoolKind;
