//! A typed client of the Ceph manager's REST API (its dashboard module), for the calls that the operator uses.
//!
//! Any manager may be called: a standby names the active one, and the client goes there. Every call says which version
//! of the answer it understands. What takes longer than a few seconds goes on after a 202 without a ticket to ask by:
//! look at the object itself.
//!
//! It must not know Kubernetes, our custom resources, or who owns a pool.

mod client;
mod cluster;
mod error;
mod lenient;
mod pool;
mod release;
mod session;
mod version;

#[cfg(test)]
mod tests;

pub use client::{Ceph, limits};
pub use cluster::{
    Capacity, CrushRule, ErasureProfile, Health, HealthCheck, HealthReport, Objects, Osd, Summary, Task,
    TaskList,
};
pub use error::CephError;
pub use pool::{Done, NewPool, Pool, PoolChange, PoolStats};
pub use release::Release;
pub use session::Credentials;
