//! Where guests go, and under which ids: chosen for one Deployment at a time, so that no two choose the same.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use skyy_api::{
    Deployment, ProxmoxHost, Reason,
    deployment::{CloneMode, Guest as Record, GuestPhase, PlacementDecision, SpreadBy},
    quantity,
};
use skyy_proxmox::{Cluster, GuestAt, GuestKind, GuestState, InterfaceKind, Vmid};
use skyy_runtime::{Failure, Mode};
use skyy_scheduler::{
    Blocked, Decision, Disk, Domain, Expression, Gpu, Guest, Host, HostName, Inventory as Hosts, Operator,
    Request, Selector, Spread, SpreadLimit, Storage, Template, TemplateCopy, Verdict, schedule,
};

use super::{
    Deployments,
    template::{self, Copy},
};
use crate::proxmox::{ClusterHub, Inventory, node_of};

/// Of how many hosts a decision is kept.
const HOSTS_KEPT: usize = 16;
/// The one template of a request: hosts either can clone it or cannot.
const TEMPLATE: &str = "template";

/// What was chosen.
pub(super) struct Placed {
    /// The records, new ones among them.
    pub(super) records: Vec<Record>,
    /// Why there.
    pub(super) decisions: Vec<PlacementDecision>,
    /// Why not all could be placed.
    pub(super) failure: Option<Failure>,
}

/// The number at the end of a guest's name.
pub(super) fn ordinal(name: &str) -> u32 {
    name.rsplit('-').next().and_then(|n| n.parse().ok()).unwrap_or(u32::MAX)
}

impl Deployments {
    /// Chooses ids and hosts until there are as many records as are wanted.
    pub(super) async fn place(
        &self,
        deployment: &Deployment,
        hub: &ClusterHub,
        inventory: &Inventory,
        mut records: Vec<Record>,
        wanted: usize,
        mode: Mode,
    ) -> Result<Placed, Failure> {
        // Others see what was chosen here before they choose.
        let _placing = hub.placing.lock().await;
        let client = hub.client()?;
        let uid = deployment.uid().unwrap_or_default();
        let copies = template::find(hub, &client, inventory, &deployment.spec.template).await?;
        let request = request(deployment, &copies)?;
        let hosts = self.hosts_of(deployment, hub, &client, inventory, &copies, &records).await?;
        let mut decisions = Vec::new();
        let mut failure = None;
        while records.len() < wanted {
            let name = free_name(deployment, &records);
            let vmid = match self.free_vmid(hub, &client, inventory, &records).await {
                Ok(vmid) => vmid,
                Err(why) => {
                    failure = Some(why);
                    break;
                }
            };
            let request = Request { name: vmid.to_string(), ..request.clone() };
            let decision = schedule(&hosts, &hub.promises(), &request);
            decisions.push(explain(&name, &decision));
            let Some(host) = decision.chosen.clone() else {
                let message = format!("{name} waits: {}", why_nowhere(&decision));
                failure = Some(Failure::waiting(Reason::NoHostFits, message));
                break;
            };
            let copy = nearest(&copies, host.as_str());
            hub.promise(vmid, request.reservation_on(&host));
            records.push(Record {
                name,
                vmid,
                host: Some(host.to_string()),
                template: copy.map(|copy| copy.vmid),
                phase: GuestPhase::Reserved,
                ..Record::default()
            });
        }
        if mode == Mode::Act {
            hub.keep_records(&uid, records.clone());
        } else {
            for record in records.iter().filter(|record| record.phase == GuestPhase::Reserved) {
                hub.unpromise(record.vmid);
            }
        }
        Ok(Placed { records, decisions, failure })
    }

    /// The lowest id of the cluster's range that nobody has and nobody has reserved.
    async fn free_vmid(
        &self,
        hub: &ClusterHub,
        client: &Cluster,
        inventory: &Inventory,
        own: &[Record],
    ) -> Result<u32, Failure> {
        let range = hub.spec().vmid_range;
        let mut taken: BTreeSet<u32> =
            inventory.resources.guests.iter().map(|guest| guest.vmid.get()).collect();
        taken.extend(own.iter().map(|record| record.vmid));
        taken.extend(hub.all_records().values().flatten().map(|record| record.vmid));
        for other in self.deployments.all() {
            taken.extend(
                other.status.iter().flat_map(|status| status.guests.iter().map(|record| record.vmid)),
            );
        }
        for candidate in (range.first..=range.last).filter(|vmid| !taken.contains(vmid)) {
            let Ok(vmid) = Vmid::try_from(candidate) else { continue };
            // Lists lag behind; the cluster itself knows.
            if client.is_id_free(vmid).await.map_err(|error| hub.failed(&error))? {
                return Ok(candidate);
            }
        }
        Err(Failure::terminal(
            Reason::Invalid,
            format!(
                "no free id between {} and {}: widen spec.vmidRange of the ProxmoxCluster",
                range.first, range.last
            ),
        ))
    }

    /// The hosts of the cluster, as the scheduler sees them.
    async fn hosts_of(
        &self,
        deployment: &Deployment,
        hub: &ClusterHub,
        client: &Cluster,
        inventory: &Inventory,
        copies: &[Copy],
        own: &[Record],
    ) -> Result<Hosts, Failure> {
        let group = deployment.uid().unwrap_or_default();
        let members: BTreeSet<u32> = own.iter().map(|record| record.vmid).collect();
        let wants_gpu = deployment.spec.gpus.as_ref();
        let mut hosts = Vec::new();
        for object in self.hosts.all().iter().filter(|host| host.spec.cluster == deployment.spec.cluster) {
            let name = node_of(object);
            let mut host = host_of(object, &name, inventory);
            host.guests = inventory
                .resources
                .guests
                .iter()
                .filter(|guest| guest.node.as_str() == name)
                .map(|guest| Guest {
                    id: guest.vmid.to_string(),
                    running: guest.status == GuestState::Running,
                    template: guest.template,
                    cores: cores(guest.maxcpu),
                    memory: guest.maxmem.unwrap_or(0),
                    groups: if members.contains(&guest.vmid.get()) {
                        BTreeSet::from([group.clone()])
                    } else {
                        BTreeSet::new()
                    },
                })
                .collect();
            host.templates = copies_on(&name, copies, inventory);
            if let Some(gpus) = wants_gpu {
                let total = inventory.mapped_total(&gpus.mapping, &name);
                if total > 0 && host.online {
                    let used = mapped_now(hub, client, inventory, &name, &gpus.mapping).await?;
                    host.gpus.insert(gpus.mapping.clone(), Gpu { total, free: total.saturating_sub(used) });
                }
            }
            hosts.push(host);
        }
        Hosts::new(hosts).map_err(|error| Failure::terminal(Reason::Conflict, error.to_string()))
    }
}

/// Devices of a mapping that guests on a node have in their configuration now. A promise of a device must not rest on memory.
async fn mapped_now(
    hub: &ClusterHub,
    client: &Cluster,
    inventory: &Inventory,
    node: &str,
    mapping: &str,
) -> Result<u32, Failure> {
    let mut used = 0;
    for guest in inventory.guests_on(node).filter(|guest| guest.kind == GuestKind::Qemu) {
        let at = GuestAt::qemu(guest.node.clone(), guest.vmid);
        match client.guest_config(&at).await {
            Ok(config) => {
                let count = config
                    .pci_devices()
                    .values()
                    .filter(|device| device.get("mapping") == Some(mapping))
                    .count();
                used += u32::try_from(count).unwrap_or(u32::MAX);
            }
            Err(error) if error.is_missing(&at) => {}
            Err(error) => return Err(hub.failed(&error)),
        }
    }
    Ok(used)
}

fn host_of(object: &ProxmoxHost, name: &str, inventory: &Inventory) -> Host {
    let details = inventory.nodes.get(name);
    let listed = inventory.resources.nodes.iter().find(|node| node.node.as_str() == name);
    let threads = listed
        .and_then(|node| node.maxcpu)
        .or_else(|| details.and_then(|d| d.status.cpuinfo.cpus))
        .unwrap_or(0);
    let memory = listed
        .and_then(|node| node.maxmem)
        .or_else(|| details.and_then(|d| d.status.memory.total))
        .unwrap_or(0);
    let mut host = Host::new(name, threads, memory);
    host.online = inventory.is_online(name);
    if !object.spec.schedulable {
        host.blocked.insert(Blocked::Cordoned { why: None });
    }
    if object.metadata.deletion_timestamp.is_some() {
        host.blocked.insert(Blocked::Other("its object is being deleted".into()));
    }
    if details.is_none() && host.online {
        host.blocked.insert(Blocked::Other("its bridges have not been read yet".into()));
    }
    host.labels = object.labels().clone();
    for tag in &object.spec.tags {
        host.labels.entry(tag.clone()).or_insert_with(|| "true".into());
    }
    host.zone.clone_from(&object.spec.zone);
    host.storages = inventory
        .resources
        .storages
        .iter()
        .filter(|storage| storage.node.as_str() == name && storage.status.as_deref() == Some("available"))
        .map(|storage| {
            let free = storage.maxdisk.unwrap_or(0).saturating_sub(storage.disk.unwrap_or(0));
            let kind = storage.plugintype.clone().unwrap_or_default();
            (
                storage.storage.clone(),
                Storage { kind, shared: storage.shared, free, content: storage.content.clone() },
            )
        })
        .collect();
    host.bridges = details
        .iter()
        .flat_map(|details| &details.network.interfaces)
        .filter(|interface| interface.kind == InterfaceKind::Bridge && interface.active)
        .map(|interface| interface.iface.clone())
        .collect();
    host
}

/// From which copies a host can clone: one of its own, or one on storage that it shares.
fn copies_on(host: &str, copies: &[Copy], inventory: &Inventory) -> BTreeMap<String, TemplateCopy> {
    let sees = |storage: &String| {
        inventory
            .resources
            .storages
            .iter()
            .any(|seen| seen.storage == *storage && seen.node.as_str() == host && seen.shared)
    };
    if copies.iter().any(|copy| copy.node == host) {
        BTreeMap::from([(TEMPLATE.to_owned(), TemplateCopy::Here)])
    } else if copies.iter().any(|copy| copy.shared && copy.storages.iter().all(sees)) {
        BTreeMap::from([(TEMPLATE.to_owned(), TemplateCopy::Shared)])
    } else {
        BTreeMap::new()
    }
}

/// The copy on the host itself, else one on shared storage.
fn nearest<'a>(copies: &'a [Copy], host: &str) -> Option<&'a Copy> {
    copies.iter().find(|copy| copy.node == host).or_else(|| copies.iter().find(|copy| copy.shared))
}

fn request(deployment: &Deployment, copies: &[Copy]) -> Result<Request, Failure> {
    let spec = &deployment.spec;
    let invalid = |field: &str, error: &dyn std::fmt::Display| {
        Failure::terminal(Reason::Invalid, format!("spec.{field}: {error}"))
    };
    let Some(copy) = copies.first() else {
        return Err(Failure::waiting(Reason::DependencyMissing, "there is no template"));
    };
    let memory = match &spec.resources.memory {
        Some(memory) => quantity::bytes(memory).map_err(|error| invalid("resources.memory", &error))?,
        None => copy.memory,
    };
    let mut disks = Vec::new();
    let root = spec.disks.iter().find(|disk| disk.name == "root");
    let root_wanted = match root.and_then(|disk| disk.size.as_ref()) {
        Some(size) => quantity::bytes(size).map_err(|error| invalid("disks[root].size", &error))?,
        None => 0,
    };
    let root_storage = match spec.clone {
        CloneMode::Full => root.and_then(|disk| disk.storage.clone()).or_else(|| copy.root_storage.clone()),
        CloneMode::Linked => copy.root_storage.clone(),
    };
    if let Some(storage) = root_storage {
        disks.push(Disk::image(storage, root_wanted.max(copy.root_bytes)));
    }
    for disk in spec.disks.iter().filter(|disk| disk.name != "root") {
        if let (Some(size), Some(storage)) = (&disk.size, &disk.storage) {
            let bytes = quantity::bytes(size)
                .map_err(|error| invalid(&format!("disks[{}].size", disk.name), &error))?;
            disks.push(Disk::image(storage.clone(), bytes));
        }
    }
    let spread = spec.placement.spread.as_ref();
    Ok(Request {
        cores: spec.resources.cores.unwrap_or(copy.cores),
        memory,
        disks,
        gpus: spec.gpus.iter().map(|gpus| (gpus.mapping.clone(), gpus.count)).collect(),
        bridges: spec.network.iter().map(|card| card.bridge.clone()).collect(),
        selector: selector(deployment)?,
        // Guests of one Deployment are kept apart as far as there is room, asked or not.
        spread: vec![Spread {
            group: deployment.uid().unwrap_or_default(),
            by: match spread.map(|spread| spread.by) {
                Some(SpreadBy::Zone) => Domain::Zone,
                Some(SpreadBy::Host) | None => Domain::Host,
            },
            limit: spread.and_then(|spread| spread.max_per_domain).map(SpreadLimit::MaxPerDomain),
        }],
        template: Some(Template { key: TEMPLATE.into(), required: true }),
        ..Request::default()
    })
}

fn selector(deployment: &Deployment) -> Result<Selector, Failure> {
    let Some(selector) = &deployment.spec.placement.host_selector else { return Ok(Selector::default()) };
    let mut expressions = Vec::new();
    for expression in selector.match_expressions.iter().flatten() {
        let operator = match expression.operator.as_str() {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            other => {
                let message = format!(
                    "spec.placement.hostSelector.matchExpressions: {other:?} is not an operator; use In, NotIn, Exists or DoesNotExist"
                );
                return Err(Failure::terminal(Reason::Invalid, message));
            }
        };
        let values = expression.values.iter().flatten().cloned().collect();
        expressions.push(Expression { key: expression.key.clone(), operator, values });
    }
    Ok(Selector {
        match_labels: selector.match_labels.clone().unwrap_or_default(),
        match_expressions: expressions,
    })
}

/// The first name of the row `web-0`, `web-1`, … that no guest of the Deployment has.
fn free_name(deployment: &Deployment, records: &[Record]) -> String {
    let name = deployment.name_any();
    let taken: BTreeSet<u32> = records.iter().map(|record| ordinal(&record.name)).collect();
    let free = (0..=u32::MAX).find(|n| !taken.contains(n)).unwrap_or(0);
    format!("{name}-{free}")
}

fn explain(guest: &str, decision: &Decision) -> PlacementDecision {
    let hosts = decision
        .table
        .iter()
        .take(HOSTS_KEPT)
        .map(|row| {
            let text = match &row.verdict {
                Verdict::Fits { total, .. } => format!("fits, {total}"),
                Verdict::DoesNotFit { reasons } => {
                    reasons.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().join("; ")
                }
            };
            (row.host.to_string(), text)
        })
        .collect();
    PlacementDecision {
        guest: guest.to_owned(),
        host: decision.chosen.as_ref().map(HostName::to_string),
        summary: decision.summary.clone(),
        hosts,
    }
}

/// Why no host fits, a few of them by name.
fn why_nowhere(decision: &Decision) -> String {
    if decision.table.is_empty() {
        return "the cluster has no ProxmoxHost objects; create one for each node that may take guests"
            .into();
    }
    let mut reasons: Vec<String> = decision
        .table
        .iter()
        .filter_map(|row| match &row.verdict {
            Verdict::DoesNotFit { reasons } => Some(format!("{} {}", row.host, reasons.first()?)),
            Verdict::Fits { .. } => None,
        })
        .take(4)
        .collect();
    if decision.table.len() > reasons.len() {
        reasons.push(format!("and {} more", decision.table.len() - reasons.len()));
    }
    format!("no host fits ({})", reasons.join("; "))
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a share of a processor counts as a whole one
fn cores(maxcpu: Option<f64>) -> u32 {
    maxcpu.unwrap_or(0.0).ceil().clamp(0.0, 65_536.0) as u32
}
