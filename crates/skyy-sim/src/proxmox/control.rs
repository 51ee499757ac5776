//! What tests and demos do to the cluster behind its back: power, cables, guests that die. In Rust and over HTTP.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::Pve;
use super::apt::standard;
use super::state::{Cluster, Link};

/// What a test wants to know of a guest without asking the API.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct GuestSummary {
    /// Its number.
    pub vmid: u32,
    /// Its name, as lists show it.
    pub name: String,
    /// The node it is on.
    pub node: String,
    /// Whether it runs.
    pub running: bool,
    /// Whether it is a template.
    pub template: bool,
    /// Its tags, as they are kept.
    pub tags: String,
    /// Its description.
    pub description: String,
}

impl Pve {
    fn node_is(&self, node: &str, link: Link) -> bool {
        self.change(|c| {
            let known = c.nodes.contains_key(node);
            match link {
                Link::Up => c.power_on(node),
                _ => c.power_off(node, link),
            }
            known
        })
    }

    /// A node loses power: its guests and tasks die. False when there is no such node.
    pub fn node_down(&self, node: &str) -> bool {
        self.node_is(node, Link::Off)
    }

    /// A node comes back, after loss of power with the guests that start at boot.
    pub fn node_up(&self, node: &str) -> bool {
        self.node_is(node, Link::Up)
    }

    /// A node's network cable is pulled: it and its guests go on, unseen.
    pub fn node_cut(&self, node: &str) -> bool {
        self.node_is(node, Link::Cut)
    }

    /// A node's API daemons stop; the node stays a member.
    pub fn node_stop_daemons(&self, node: &str) -> bool {
        self.node_is(node, Link::DaemonsStopped)
    }

    /// A node is installed anew: no local volumes, one bridge, the enterprise repository, another certificate.
    pub fn node_reinstall(&self, node: &str) -> bool {
        self.change(|c| c.reinstall(node))
    }

    /// A guest stops as if its process was killed. False when it did not run.
    pub fn stop_guest_by_hand(&self, vmid: u32) -> bool {
        self.change(|c| c.guests.get_mut(&vmid).and_then(|g| g.run.take()).is_some())
    }

    /// Whether a guest ignores requests to shut down, and its agent is silent.
    pub fn set_guest_deaf(&self, vmid: u32, deaf: bool) -> bool {
        self.change(|c| c.guests.get_mut(&vmid).map(|g| g.deaf = deaf).is_some())
    }

    /// Sets a guest's configuration lock, or takes it away.
    pub fn set_guest_lock(&self, vmid: u32, lock: Option<&str>) -> bool {
        self.change(|c| {
            let Some(guest) = c.guests.get_mut(&vmid) else { return false };
            match lock {
                Some(lock) => guest.conf.insert("lock".into(), lock.into()),
                None => guest.conf.remove("lock"),
            };
            true
        })
    }

    /// Every guest, in order of their numbers.
    pub fn guests(&self) -> Vec<GuestSummary> {
        self.change(|c| {
            let text = |g: &super::state::Guest, key: &str| g.conf.get(key).cloned().unwrap_or_default();
            let summary = |g: &super::state::Guest| GuestSummary {
                vmid: g.vmid,
                name: g.shown_name(),
                node: g.node.clone(),
                running: g.run.is_some(),
                template: g.is_template(),
                tags: text(g, "tags"),
                description: text(g, "description"),
            };
            c.guests.values().map(summary).collect()
        })
    }

    /// The IDs of all volumes, those of local storages with their node in front: `pve1/local-lvm:vm-100-disk-0`.
    pub fn volumes(&self) -> Vec<String> {
        self.change(|c| {
            let id = |v: &super::state::Volume| match &v.node {
                Some(node) => format!("{node}/{}:{}", v.storage, v.name),
                None => format!("{}:{}", v.storage, v.name),
            };
            let mut found: Vec<String> = c.volumes.iter().map(id).collect();
            found.sort();
            found
        })
    }

    /// How many tasks run now.
    pub fn running_tasks(&self) -> usize {
        self.change(|c| c.tasks.iter().filter(|t| t.end.is_none()).count())
    }
}

impl Cluster {
    fn reinstall(&mut self, name: &str) -> bool {
        if !self.nodes.contains_key(name) {
            return false;
        }
        self.power_off(name, Link::Off);
        self.volumes.retain(|v| v.node.as_deref() != Some(name));
        self.guests.retain(|_, g| g.node != name);
        let now = self.now;
        if let Some(node) = self.nodes.get_mut(name) {
            node.fingerprint = super::nodes::fingerprint(&format!("{name} {now}"));
            node.net.pending = None;
            node.net.active.retain(|i| i.kind == "eth" || i.name == "vmbr0");
            node.net = super::network::NetState::installed(node.net.active.clone());
            node.apt.files = standard("enterprise", true).into_iter().collect();
            node.config.clear();
        }
        self.power_on(name);
        true
    }
}

/// The control calls, below `/_sim/proxmox`.
pub(crate) fn router(pve: &Arc<Pve>) -> Router {
    Router::new()
        .route("/_sim/proxmox", get(overview))
        .route("/_sim/proxmox/guests", get(guests))
        .route("/_sim/proxmox/volumes", get(volumes))
        .route("/_sim/proxmox/nodes/{node}/{what}", post(node))
        .route("/_sim/proxmox/guests/{vmid}/{what}", post(guest))
        .with_state(Arc::clone(pve))
}

async fn overview(State(pve): State<Arc<Pve>>) -> Json<Value> {
    let nodes: Vec<Value> = pve.change(|c| {
        c.nodes.iter().map(|(n, node)| json!({"node": n, "link": format!("{:?}", node.link)})).collect()
    });
    Json(json!({"nodes": nodes, "guests": pve.guests().len(), "running_tasks": pve.running_tasks()}))
}

async fn guests(State(pve): State<Arc<Pve>>) -> Json<Value> {
    Json(json!(pve.guests()))
}

async fn volumes(State(pve): State<Arc<Pve>>) -> Json<Value> {
    Json(json!(pve.volumes()))
}

fn done(known: bool) -> (StatusCode, Json<Value>) {
    if known {
        (StatusCode::OK, Json(json!({"done": true})))
    } else {
        (
            StatusCode::NOT_FOUND,
            Json(json!({"done": false, "error": "no such node or guest, or nothing to do"})),
        )
    }
}

fn unknown(what: &str, known: &str) -> (StatusCode, Json<Value>) {
    (StatusCode::NOT_FOUND, Json(json!({"done": false, "error": format!("'{what}' is not one of {known}")})))
}

async fn node(
    State(pve): State<Arc<Pve>>,
    Path((node, what)): Path<(String, String)>,
) -> (StatusCode, Json<Value>) {
    done(match what.as_str() {
        "down" => pve.node_down(&node),
        "up" => pve.node_up(&node),
        "cut" => pve.node_cut(&node),
        "stop-daemons" => pve.node_stop_daemons(&node),
        "reinstall" => pve.node_reinstall(&node),
        other => return unknown(other, "down, up, cut, stop-daemons, reinstall"),
    })
}

async fn guest(
    State(pve): State<Arc<Pve>>,
    Path((vmid, what)): Path<(u32, String)>,
) -> (StatusCode, Json<Value>) {
    done(match what.as_str() {
        "kill" => pve.stop_guest_by_hand(vmid),
        "deaf" => pve.set_guest_deaf(vmid, true),
        "hearing" => pve.set_guest_deaf(vmid, false),
        "lock" => pve.set_guest_lock(vmid, Some("backup")),
        "unlock" => pve.set_guest_lock(vmid, None),
        other => return unknown(other, "kill, deaf, hearing, lock, unlock"),
    })
}
