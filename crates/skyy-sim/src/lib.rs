//! Simulators of the systems that Skyy-Command drives: Proxmox VE, pfSense behind its REST package, and the Ceph manager.
//!
//! They answer as the recorded real software did, keep state, and fail on command. They share no types with our
//! clients: a misreading of the vendor's API must not be able to hide on both sides of the wire.

pub mod ceph;
pub mod pfsense;
pub mod product;
pub mod proxmox;
