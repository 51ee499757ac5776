//! The simulated ceph.
