//! ProxmoxHost: what a node should be, and what it is.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use kube::ResourceExt;
use skyy_api::{
    ProxmoxHost, ProxmoxHostStatus, Reason,
    condition::{Fact, JOINED, REACHABLE},
    proxmox_host::{SeenBridge, SeenGpu, SeenStorage},
    quantity::human,
};
use skyy_plan::host::Plan as HostPlan;
use skyy_proxmox::InterfaceKind;
use skyy_runtime::{Failure, Goal, Kind, Mode, Progress};

use super::{
    hub::{ClusterHub, Clusters},
    inventory::{Inventory, NodeDetails},
};

/// The ProxmoxHost kind.
pub struct ProxmoxHostKind {
    /// The hubs.
    pub hubs: Arc<Clusters>,
}

/// What was seen of a node.
pub struct Seen {
    hub: Option<Arc<ClusterHub>>,
    inventory: Option<Arc<Inventory>>,
    wanted: Option<HostPlan>,
}

/// What is to be done on a node.
pub enum Plan {
    /// Wait for its first reading.
    Wait(String),
    /// Carry out these steps.
    Act(HostPlan),
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wait(what) => f.write_str(what),
            Self::Act(plan) => {
                let lines: Vec<String> =
                    plan.actions.iter().cloned().chain(plan.steps.iter().map(ToString::to_string)).collect();
                f.write_str(&lines.join("\n"))
            }
        }
    }
}

/// The node's name in its cluster.
pub fn node_of(host: &ProxmoxHost) -> String {
    host.spec.node.clone().unwrap_or_else(|| host.name_any())
}

impl Kind for ProxmoxHostKind {
    type Object = ProxmoxHost;
    type Observed = Seen;
    type Plan = Plan;
    const NAME: &'static str = "proxmoxhost";

    async fn observe(&self, host: &Arc<ProxmoxHost>, goal: Goal, _: Mode) -> Result<Seen, Failure> {
        if goal == Goal::Absent {
            // A node is let go as it stands: nothing of it was made by this object.
            return Ok(Seen { hub: None, inventory: None, wanted: None });
        }
        let cluster = &host.spec.cluster;
        let Some(hub) = self.hubs.get(cluster) else {
            let message = format!("ProxmoxCluster {cluster} does not exist or has not been looked at yet");
            return Err(Failure::waiting(Reason::DependencyMissing, message));
        };
        let inventory =
            hub.inventory().map_err(|failure| Failure { class: skyy_runtime::Class::Waiting, ..failure })?;
        let node = node_of(host);
        let wanted =
            inventory.nodes.get(&node).filter(|_| inventory.is_online(&node)).map(|details| {
                skyy_plan::host::plan(&host.spec, &node, &super::host_steps::as_planned(details))
            });
        Ok(Seen { hub: Some(hub), inventory: Some(inventory), wanted })
    }

    fn plan(&self, host: &ProxmoxHost, seen: &Seen, goal: Goal) -> Result<Option<Plan>, Failure> {
        let (Goal::Present, Some(inventory)) = (goal, &seen.inventory) else { return Ok(None) };
        let node = node_of(host);
        if !inventory.is_member(&node) {
            let members: Vec<String> =
                inventory.status.members.iter().map(|member| member.name.to_string()).collect();
            return Err(Failure::terminal(
                Reason::DependencyMissing,
                format!(
                    "{node} is not a member of {}; its members are {}. Joining is not yet acted on: join it by hand",
                    host.spec.cluster,
                    members.join(", ")
                ),
            ));
        }
        if !inventory.is_online(&node) {
            return Err(Failure::waiting(
                Reason::NodeOffline,
                format!("{node} is offline; what runs there is unknown, not gone"),
            ));
        }
        if let (Some(hub), Some(details)) = (&seen.hub, inventory.nodes.get(&node))
            && hub.is_outdated(&node, details.taken)
        {
            return Ok(Some(Plan::Wait(format!("{node} was changed; reading it again"))));
        }
        if !inventory.nodes.contains_key(&node) {
            return Ok(Some(Plan::Wait(format!("read {node} for the first time"))));
        }
        let Some(wanted) = &seen.wanted else { return Ok(None) };
        if !wanted.steps.is_empty() {
            if !inventory.status.quorate {
                return Err(Failure::transient(
                    Reason::NoQuorum,
                    format!("{} has no quorum: nothing is changed on {node}", host.spec.cluster),
                ));
            }
            return Ok(Some(Plan::Act(wanted.clone())));
        }
        match wanted.refusals.first() {
            Some(refusal) => Err(Failure::terminal(refusal.reason, refusal.message.clone())),
            None => Ok(None),
        }
    }

    async fn apply(&self, host: &Arc<ProxmoxHost>, seen: &Seen, plan: Plan) -> Result<Progress, Failure> {
        let (plan, hub) = match (plan, &seen.hub) {
            (Plan::Wait(what), _) => return Ok(Progress::working(what, Duration::from_secs(2))),
            (Plan::Act(_), None) => return Ok(Progress::Again),
            (Plan::Act(plan), Some(hub)) => (plan, hub),
        };
        let node = node_of(host);
        let what = format!("{node}: {}", plan.actions.join("; "));
        tracing::info!(node, plan = plan.actions.join("; "), "acting");
        let done = super::host_steps::carry_out(hub, &node, plan).await;
        // Whatever became of it, what was known of the node is old.
        hub.refresh_node(&node);
        done?;
        Ok(Progress::working(what, Duration::from_secs(3)))
    }

    fn report(&self, host: &ProxmoxHost, seen: &Seen, status: &mut ProxmoxHostStatus) -> Vec<Fact> {
        let Some(inventory) = &seen.inventory else { return Vec::new() };
        let node = node_of(host);
        let member = inventory.is_member(&node);
        let online = inventory.is_online(&node);
        status.state = Some(match (member, online, host.spec.schedulable) {
            (false, ..) => "unknown".into(),
            (true, false, _) => "offline".into(),
            (true, true, false) => "cordoned".into(),
            (true, true, true) => "online".into(),
        });
        status.not_acted_on = not_acted_on(host);
        let mut facts = vec![if member {
            Fact::yes(JOINED, Reason::InSync, "")
        } else {
            Fact::no(
                JOINED,
                Reason::DependencyMissing,
                format!("{node} is not a member of {}", host.spec.cluster),
            )
        }];
        facts.push(if online {
            Fact::yes(REACHABLE, Reason::InSync, "")
        } else {
            Fact::no(REACHABLE, Reason::NodeOffline, format!("{node} is offline"))
        });
        // An offline node keeps what was last seen of it: it is not known to have changed.
        if online {
            status.guests = u32::try_from(inventory.guests_on(&node).count()).unwrap_or(u32::MAX);
            if let Some(details) = inventory.nodes.get(&node) {
                tell(&node, inventory, details, status);
            }
        }
        facts
    }

    fn resync(&self) -> Duration {
        Duration::from_mins(5)
    }
}

/// What of a node goes into its status: facts that stand still while nothing happens.
fn tell(node: &str, inventory: &Inventory, details: &NodeDetails, status: &mut ProxmoxHostStatus) {
    let version =
        details.status.pveversion.as_deref().and_then(|text| text.split('/').nth(1)).map(str::to_owned);
    status.version =
        version.or_else(|| Some(inventory.version.version.clone()).filter(|text| !text.is_empty()));
    status.kernel.clone_from(&details.status.current_kernel.release);
    status.cores = details.status.cpuinfo.cpus.unwrap_or(0);
    status.memory = details.status.memory.total.map(to_gib);
    status.pending_updates = details.updates;
    status.storages = inventory
        .resources
        .storages
        .iter()
        .filter(|storage| storage.node.as_str() == node)
        .map(|storage| SeenStorage {
            name: storage.storage.clone(),
            kind: storage.plugintype.clone().unwrap_or_default(),
            shared: storage.shared,
            active: storage.status.as_deref() == Some("available"),
            size: to_gib(storage.maxdisk.unwrap_or(0)),
        })
        .collect();
    status.bridges = details
        .network
        .interfaces
        .iter()
        .filter(|interface| interface.kind == InterfaceKind::Bridge)
        .map(|bridge| SeenBridge {
            name: bridge.iface.clone(),
            ports: bridge.bridge_ports.iter().cloned().collect(),
            vlan_aware: bridge.bridge_vlan_aware,
            address: bridge.cidr.clone(),
        })
        .collect();
    status.gpus = gpus(node, inventory, details);
    let (count, free) =
        status.gpus.iter().fold((0, 0), |(count, free), gpu| (count + gpu.count, free + gpu.free));
    status.gpu_free = (count > 0).then(|| format!("{free}/{count}"));
}

/// Sizes move a little all the time; to the nearest GiB they stand still.
fn to_gib(bytes: u64) -> String {
    human((bytes >> 30) << 30)
}

/// Display devices by model, and how many of them no guest has.
fn gpus(node: &str, inventory: &Inventory, details: &NodeDetails) -> Vec<SeenGpu> {
    let mut by_model: BTreeMap<(String, Option<String>), u32> = BTreeMap::new();
    for device in details.devices.iter().filter(|device| device.is_display()) {
        let mapping = inventory.mappings.iter().find(|mapping| {
            mapping.entries().iter().any(|entry| {
                entry.node.as_str() == node
                    && entry
                        .paths
                        .iter()
                        .any(|path| device.id == *path || device.id.starts_with(&format!("{path}.")))
            })
        });
        // Boards carry a display chip of their own; only what a mapping offers, or what a vendor of GPUs made, is one.
        let vendor = device.vendor_name.as_deref().unwrap_or_default();
        let offered = mapping.is_some()
            || ["NVIDIA", "Advanced Micro Devices", "Intel"].iter().any(|name| vendor.starts_with(name));
        if offered {
            let model = device.device_name.clone().or_else(|| device.vendor_device()).unwrap_or_default();
            *by_model.entry((model, mapping.map(|mapping| mapping.id.clone()))).or_default() += 1;
        }
    }
    by_model
        .into_iter()
        .map(|((model, mapping), count)| {
            let used = mapping.as_ref().and_then(|mapping| details.mapped.get(mapping)).copied().unwrap_or(0);
            SeenGpu { model, mapping, count, free: count.saturating_sub(used) }
        })
        .collect()
}

/// What the spec names and the operator does not do yet.
fn not_acted_on(host: &ProxmoxHost) -> Vec<String> {
    let mut names = Vec::new();
    if host.spec.tailscale.is_some() {
        names.push("spec.tailscale".to_owned());
    }
    if let Some(storage) = &host.spec.storage {
        names.extend(
            storage
                .thin_pools
                .iter()
                .filter(|pool| !pool.devices.is_empty())
                .map(|pool| format!("spec.storage.thinPools[{}].devices", pool.name)),
        );
    }
    names
}
