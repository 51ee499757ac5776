//! The simulated Proxmox VE: a whole cluster behind the HTTP API of any of its nodes.
//!
//! It keeps nodes, guests, volumes, tasks and users, lets time pass for them, and answers as the recorded real
//! software did, errors included. It shares no types with our client and knows nothing of what the operator wants.

#![allow(clippy::unnecessary_wraps, reason = "every handler has the one form, whether it can refuse or not")]

mod access;
mod agent;
mod answer;
mod apt;
mod auth;
mod call;
mod clone;
mod cluster;
mod control;
mod create;
mod destroy;
mod disk;
mod disks;
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
#[cfg(test)]
mod tests;
mod wire;
mod work;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use serde_json::Value;
use tokio::sync::Semaphore;

pub use self::control::GuestSummary;
use self::state::Cluster;
use crate::clock::Clock;
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
#[derive(Debug, Clone)]
pub struct PveOptions {
    /// What it starts with.
    pub preset: Preset,
    /// How many times as fast as real time it lives: clones, starts, reboots, time limits.
    pub speed: f64,
    /// The time it lives by; the real clock at `speed` when none is given.
    pub clock: Option<Clock>,
    /// Where all chance comes from: MAC addresses, UUIDs, token secrets.
    pub seed: u64,
    /// How often nodes tell each other about their guests, in milliseconds of the clock.
    pub broadcast_ms: u64,
    /// Calls take as long as measured on the real stack, and a node's daemon does three at a time.
    pub realistic_cost: bool,
}

impl PveOptions {
    /// A preset on the real clock.
    pub fn new(preset: Preset) -> Self {
        Self { preset, speed: 1.0, clock: None, seed: 0, broadcast_ms: 10_000, realistic_cost: false }
    }

    /// One standalone node pve1.
    pub fn golden() -> Self {
        Self::new(Preset::Golden)
    }

    /// The cluster "puma".
    pub fn demo() -> Self {
        Self::new(Preset::Demo)
    }
}

impl Default for PveOptions {
    fn default() -> Self {
        Self::demo()
    }
}

/// A simulated Proxmox VE cluster.
pub struct Pve {
    cluster: Mutex<Cluster>,
    clock: Clock,
    /// How far the cluster's time is ahead of the clock's, in milliseconds: a state from a faster run.
    ahead: AtomicU64,
    /// The workers of each node's daemon, when calls cost time.
    workers: Option<BTreeMap<String, Semaphore>>,
}

/// How many calls a node's daemon does at a time.
const WORKERS: usize = 3;

fn in_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A clock's time in milliseconds.
fn millis(clock: &Clock) -> u64 {
    in_millis(clock.now())
}

impl Pve {
    /// A cluster in the state of the preset.
    pub fn new(options: PveOptions) -> Self {
        let clock = options.clock.clone().unwrap_or_else(|| Clock::real(options.speed));
        let empty = |name| preset::empty(&options, name, millis(&clock));
        let cluster = match options.preset {
            Preset::Golden => preset::golden(empty(None)),
            Preset::GoldenCluster => preset::golden_cluster(empty(Some("lab"))),
            Preset::Demo => preset_demo::demo(empty(Some("puma"))),
        };
        let names = cluster.nodes.keys().cloned();
        let workers = options.realistic_cost.then(|| names.map(|n| (n, Semaphore::new(WORKERS))).collect());
        Self { cluster: Mutex::new(cluster), clock, ahead: AtomicU64::new(0), workers }
    }

    fn now(&self) -> u64 {
        millis(&self.clock) + self.ahead.load(Ordering::Relaxed)
    }

    /// Lets what is due happen, then looks at the cluster or changes it.
    fn change<T>(&self, does: impl FnOnce(&mut Cluster) -> T) -> T {
        let mut cluster = self.locked();
        cluster.advance(self.now());
        does(&mut cluster)
    }

    /// The API as one of the nodes serves it; several may be served at once.
    pub fn router_for(self: &Arc<Self>, node: &str) -> Router {
        let (pve, via) = (Arc::clone(self), node.to_string());
        let api = move |request: Request| wire::serve(Arc::clone(&pve), via.clone(), request);
        control::router(self).fallback(api)
    }

    /// One node as an endpoint of its own, for a server that carries several of one cluster.
    pub fn member(self: &Arc<Self>, node: &str) -> Member {
        Member { pve: Arc::clone(self), node: node.to_string() }
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
        self.change(|c| serde_json::to_value(&*c).unwrap_or_default())
    }

    fn restore(&self, state: Value) -> Result<(), String> {
        let cluster: Cluster =
            serde_json::from_value(state).map_err(|e| format!("not a state of this Proxmox: {e}"))?;
        self.ahead.store(cluster.now.saturating_sub(millis(&self.clock)), Ordering::Relaxed);
        *self.locked() = cluster;
        Ok(())
    }
}

/// One node of a cluster as an endpoint; the cluster's state is kept by whoever carries the [`Pve`] itself.
pub struct Member {
    pve: Arc<Pve>,
    node: String,
}

impl Product for Member {
    fn router(self: Arc<Self>) -> Router {
        self.pve.router_for(&self.node)
    }

    fn snapshot(&self) -> Value {
        Value::Null
    }

    fn restore(&self, _: Value) -> Result<(), String> {
        Ok(())
    }
}
