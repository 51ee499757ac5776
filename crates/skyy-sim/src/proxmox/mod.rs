//! The simulated proxmox.
