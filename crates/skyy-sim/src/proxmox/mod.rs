//! The simulated Proxmox VE: a whole cluster behind the HTTP API of any of its nodes.
//!
//! It keeps nodes, guests, volumes, tasks and users, lets time pass for them, and answers as the recorded real
//! software did, errors included. It shares no types with our client and knows nothing of what the operator wants.

mod access;
mod agent;
mod answer;
mod apt;
mod auth;
mod call;
mod clock;
mod clone;
mod cluster;
mod control;
mod create;
mod destroy;
mod disk;
mod formats;
mod ha;
mod image;
mod interfaces;
mod lxc;
mod migrate;
mod network;
mod nodes;
mod num;
mod params;
mod pci;
mod pools;
mod power;
mod preset;
mod preset_demo;
mod qemu;
mod qemu_config;
mod routes;
mod schema;
mod snapshot;
mod state;
mod storage;
mod tasks;
mod wire;
mod work;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::Request;
use serde_json::Value;

pub use self::clock::{Clock, ManualClock, SystemClock};
pub use self::control::GuestSummary;
use self::state::Cluster;
use crate::product::Product;

/// The state a simulated cluster starts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preset {
    /// One standalone node pve1, as the recordings s* began.
    Golden,
    /// The cluster "lab" of pve1 to pve3, as the recordings c* began.
    GoldenCluster,
    /// The cluster "puma": eight hosts, GPUs, templates, guests of others.
    #[default]
    Demo,
}

/// How a simulated cluster is set up.
#[derive(Clone)]
pub struct PveOptions {
    /// What it starts with.
    pub preset: Preset,
    /// How many times faster than real everything goes: clones, starts, reboots, time limits.
    pub speed: f64,
    /// Where all chance comes from: MAC addresses, UUIDs, token secrets.
    pub seed: u64,
    /// How often nodes tell each other about their guests, in milliseconds; 10 s by the speed when not given.
    pub broadcast_ms: Option<u64>,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
}

impl Default for PveOptions {
    fn default() -> Self {
        Self {
            preset: Preset::default(),
            speed: 1.0,
            seed: 1,
            broadcast_ms: None,
            clock: Arc::new(SystemClock),
        }
    }
}

/// A simulated Proxmox VE cluster.
pub struct Pve {
    cluster: Mutex<Cluster>,
    clock: Arc<dyn Clock>,
}

impl Pve {
    /// A cluster in the state of the preset.
    pub fn new(options: PveOptions) -> Self {
        let mut cluster = match options.preset {
            Preset::Golden => preset::golden(&options),
            Preset::GoldenCluster => preset::golden_cluster(&options),
            Preset::Demo => preset_demo::demo(&options),
        };
        cluster.advance(options.clock.now_ms());
        Self { cluster: Mutex::new(cluster), clock: options.clock }
    }

    /// The API as one of the nodes serves it; several may be served at once.
    pub fn router_for(self: &Arc<Self>, node: &str) -> Router {
        let (pve, via) = (Arc::clone(self), node.to_string());
        let api = move |request: Request| wire::serve(Arc::clone(&pve), via.clone(), request);
        control::router(self).fallback(api)
    }

    /// The names of the nodes, in order.
    pub fn nodes(&self) -> Vec<String> {
        self.locked().nodes.keys().cloned().collect()
    }

    fn locked(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Product for Pve {
    fn router(self: Arc<Self>) -> Router {
        let first = self.nodes().into_iter().next().unwrap_or_default();
        self.router_for(&first)
    }

    fn snapshot(&self) -> Value {
        let mut cluster = self.locked();
        cluster.advance(self.clock.now_ms());
        serde_json::to_value(&*cluster).unwrap_or_default()
    }

    fn restore(&self, state: Value) -> Result<(), String> {
        let cluster: Cluster =
            serde_json::from_value(state).map_err(|e| format!("not a state of this Proxmox: {e}"))?;
        *self.locked() = cluster;
        Ok(())
    }
}
