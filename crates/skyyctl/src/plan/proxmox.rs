//! What would be done on a Proxmox VE cluster: hosts and guests by the operator's own kinds.
//!
//! A guest that does not exist yet gets its id, its host and its addresses here as the operator would choose them, and
//! its life up to running is told from the template's configuration: the operator looks again between the steps.

use std::{collections::BTreeMap, sync::Arc};

use kube::ResourceExt;
use skyy_api::{
    AddressClaim, AddressClaimSpec, Deployment, ProxmoxCluster, ProxmoxHost, Reason,
    address::parse_ip,
    address_claim::{Claimant, claim_name},
    common::{PAUSED_ANNOTATION, PLAN_ONLY_ANNOTATION},
    condition::SCHEDULED,
    deployment::{DeploymentStatus, Guest as Record},
};
use skyy_controllers::{
    deployment::{Action, Deployments},
    proxmox::{ClusterHub, Clusters, Inventory, ProxmoxHostKind, Settings, Wakers},
};
use skyy_plan::{guest, host};
use skyy_proxmox::{GuestAt, Vmid};
use skyy_runtime::{Failure, Goal, Kind, Mode, secrets::Secrets};

use super::{
    Change, EndpointPlan, Sign, Thing,
    session::{PATIENCE, Quiet, SOON, Session},
};
use crate::{
    rows::is_set,
    world::{Objects, World},
};

/// More steps than this has no guest's way from its template to running.
const MOST_STEPS: usize = 32;

/// The key of an object in the world.
type Key = (String, String);

pub(super) async fn plan(
    world: &mut World,
    installation: &str,
    is_meant: &dyn Fn(&str) -> bool,
) -> anyhow::Result<Vec<EndpointPlan>> {
    // Guests claim addresses, and with them a firewall gets rows: their clusters are looked at for its sake, too.
    let names: Vec<String> = world.proxmox_clusters.keys().map(|(_, name)| name.clone()).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let any_firewall = world.firewalls.keys().any(|(_, name)| is_meant(name));
    let session = Session::new(world)?;
    let secrets = Secrets::new(session.client.clone(), |_, _| {});
    let wakers = Wakers {
        cluster: Session::waker(),
        hosts: Session::nobody(),
        deployments: Session::waker(),
        all_deployments: Session::nobody(),
    };
    let hubs = Arc::new(Clusters::new(secrets, Arc::new(Quiet), wakers, session.stop.clone()));
    let mut shown = Vec::new();
    for name in names.iter().filter(|name| is_meant(name) || any_firewall) {
        let mut one = EndpointPlan::new(name, "Proxmox");
        let claims = any_firewall && claims_addresses(world, name);
        if is_meant(name) || claims {
            cluster(world, name, installation, &hubs, &mut one).await?;
        }
        if is_meant(name) {
            shown.push(one);
        }
    }
    Ok(shown)
}

/// Whether a guest of the cluster may claim an address that it does not have yet.
fn claims_addresses(world: &World, cluster: &str) -> bool {
    world.deployments.values().any(|deployment| {
        let spec = &deployment.spec;
        spec.cluster == cluster && spec.network.iter().any(|card| card.address_pool.is_some())
    })
}

async fn cluster(
    world: &mut World,
    name: &str,
    installation: &str,
    hubs: &Arc<Clusters>,
    shown: &mut EndpointPlan,
) -> anyhow::Result<()> {
    let Some(object) = world.proxmox_clusters.get(&(String::new(), name.to_owned())) else { return Ok(()) };
    if is_set(object, PAUSED_ANNOTATION) {
        let message = format!("nothing is done while the annotation {PAUSED_ANNOTATION} is set");
        shown.hold(format!("ProxmoxCluster/{name}"), Reason::PausedByUser, message);
        return Ok(());
    }
    let hub = match first_look(hubs, name, object).await {
        Ok(hub) => hub,
        Err(message) => {
            shown.error = Some(message);
            return Ok(());
        }
    };
    let host_kind = ProxmoxHostKind { hubs: hubs.clone() };
    for ((_, title), object) in of_cluster(&world.proxmox_hosts, |host| &host.spec.cluster, name) {
        host_of(&host_kind, &title, object, shown).await;
    }
    choose(world, name, installation, hubs, shown).await?;
    let session = Session::new(world)?;
    let kind = deployments(&session, installation, hubs).await;
    for (key, object) in of_cluster(&world.deployments, |deployment| &deployment.spec.cluster, name) {
        guests(&kind, &hub, &key, object, shown).await;
    }
    Ok(())
}

fn of_cluster<T: Clone>(
    objects: &Objects<T>,
    cluster_of: impl Fn(&T) -> &str,
    cluster: &str,
) -> Vec<(Key, T)> {
    let of_it = objects.iter().filter(|(_, object)| cluster_of(object) == cluster);
    of_it.map(|(key, object)| (key.clone(), object.clone())).collect()
}

/// Waits until every node that answers has been read once.
async fn first_look(
    hubs: &Clusters,
    name: &str,
    cluster: &ProxmoxCluster,
) -> Result<Arc<ClusterHub>, String> {
    let hub = hubs.ensure(name, Settings { spec: cluster.spec.clone(), paused: false });
    let complete = |inventory: &Inventory| {
        let mut online = inventory.status.members.iter().filter(|member| member.online);
        online.all(|member| inventory.nodes.contains_key(member.name.as_str()))
    };
    let looked = tokio::time::timeout(PATIENCE, async {
        loop {
            match hub.view() {
                Some(Ok(inventory)) if complete(&inventory) => return Ok(()),
                Some(Err(failure)) => return Err(failure.message),
                Some(Ok(_)) | None => tokio::time::sleep(SOON).await,
            }
        }
    });
    match looked.await {
        Ok(done) => done.map(|()| hub),
        // Some node cannot be read; what is known of the others is good enough to plan by.
        Err(_) if matches!(hub.view(), Some(Ok(_))) => Ok(hub),
        Err(_) => Err(format!("{name} did not answer in time")),
    }
}

async fn deployments(session: &Session, installation: &str, hubs: &Arc<Clusters>) -> Deployments {
    Deployments {
        client: session.client.clone(),
        hubs: hubs.clone(),
        clusters: session.lookup().await,
        hosts: session.lookup().await,
        deployments: session.lookup().await,
        pools: session.lookup().await,
        claims: session.lookup().await,
        secrets: Secrets::new(session.client.clone(), |_, _| {}),
        installation: installation.to_owned(),
    }
}

fn goal_of<O: ResourceExt>(object: &O) -> Goal {
    if object.meta().deletion_timestamp.is_some() { Goal::Absent } else { Goal::Present }
}

async fn host_of(kind: &ProxmoxHostKind, name: &str, object: ProxmoxHost, shown: &mut EndpointPlan) {
    let title = format!("ProxmoxHost/{name}");
    if is_set(&object, PAUSED_ANNOTATION) {
        let message = format!("not looked at while the annotation {PAUSED_ANNOTATION} is set");
        return shown.hold(title, Reason::PausedByUser, message);
    }
    let only_plan = is_set(&object, PLAN_ONLY_ANNOTATION);
    let (goal, object) = (goal_of(&object), Arc::new(object));
    let planned = match kind.observe(&object, goal, Mode::PlanOnly).await {
        Ok(seen) => kind.plan(&object, &seen, goal),
        Err(failure) => Err(failure),
    };
    let plan = match planned {
        Ok(Some(skyy_controllers::proxmox::HostAction::Act(plan))) => plan,
        Ok(Some(skyy_controllers::proxmox::HostAction::Wait(what))) => {
            return shown.hold(title, Reason::Progressing, what);
        }
        Ok(None) => return,
        Err(failure) => return shown.hold(title, failure.reason, failure.message),
    };
    for refusal in plan.refusals {
        shown.hold(title.clone(), refusal.reason, refusal.message);
    }
    if only_plan {
        let message =
            format!("{}: held back by the annotation {PLAN_ONLY_ANNOTATION}", plan.actions.join("; "));
        return shown.hold(title, Reason::PlanOnly, message);
    }
    for what in plan.actions {
        let sign = Sign::Change;
        shown.changes.push(Change {
            sign,
            thing: Thing::HostSetting,
            object: title.clone(),
            what: format!("{name}: {what}"),
        });
    }
    for step in plan.steps {
        if matches!(step, host::Step::ApplyNetwork) {
            shown.disruption.push(format!("{name}: its network is reloaded"));
        }
        shown.calls.push(format!("{name}: {step}"));
    }
    if plan.again {
        shown.notes.push(format!("{name}: more comes with the next round, after this one"));
    }
}

/// Chooses ids, hosts and addresses for the guests that are missing, as the operator would, and keeps them in the world.
async fn choose(
    world: &mut World,
    cluster: &str,
    installation: &str,
    hubs: &Arc<Clusters>,
    shown: &mut EndpointPlan,
) -> anyhow::Result<()> {
    let session = Session::new(world)?;
    let kind = deployments(&session, installation, hubs).await;
    for (key, object) in of_cluster(&world.deployments, |deployment| &deployment.spec.cluster, cluster) {
        let known = object.status.as_ref().map_or(0, |status| status.guests.len());
        let missing = goal_of(&object) == Goal::Present && known < object.spec.replicas as usize;
        if !missing || is_set(&object, PAUSED_ANNOTATION) {
            continue;
        }
        let object = Arc::new(object);
        // Nothing outside is touched by looking. That ids and room are promised is what the next one must see.
        match kind.observe(&object, Goal::Present, Mode::Act).await {
            Ok(seen) => {
                let mut status = object.status.clone().unwrap_or_default();
                told(&key, &kind.report(&object, &seen, &mut status), shown);
                claim(world, &object, &mut status, shown);
                if let Some(kept) = world.deployments.get_mut(&key) {
                    kept.status = Some(status);
                }
            }
            Err(failure) => shown.hold(title(&key), failure.reason, failure.message),
        }
    }
    Ok(())
}

fn title((namespace, name): &Key) -> String {
    format!("Deployment/{namespace}/{name}")
}

/// Guests without a host.
fn told(key: &Key, facts: &[skyy_api::condition::Fact], shown: &mut EndpointPlan) {
    for fact in facts.iter().filter(|fact| fact.condition == SCHEDULED && fact.holds != Some(true)) {
        shown.hold(title(key), fact.reason, fact.message.clone());
    }
}

/// Claims for guests the first addresses that nobody has.
fn claim(world: &mut World, object: &Deployment, status: &mut DeploymentStatus, shown: &mut EndpointPlan) {
    let key = (object.namespace().unwrap_or_default(), object.name_any());
    let pools: Vec<&String> =
        object.spec.network.iter().filter_map(|card| card.address_pool.as_ref()).collect();
    for record in &mut status.guests {
        for pool in pools.iter().skip(record.addresses.len()) {
            let entries = world.address_pools.get(&(String::new(), (*pool).clone()));
            let Some(entries) = entries.map(|pool| pool.spec.addresses.clone()) else {
                let message = format!("AddressPool {pool} does not exist");
                shown.hold(title(&key), Reason::DependencyMissing, message);
                break;
            };
            let free = entries.iter().find_map(|entry| {
                let name = claim_name(pool, parse_ip(&entry.external).ok()?);
                let taken = world.address_claims.contains_key(&(String::new(), name.clone()));
                (!taken).then(|| (name, entry.external.clone()))
            });
            let Some((name, external)) = free else {
                let message =
                    format!("AddressPool {pool} has no free address: all {} are claimed", entries.len());
                shown.hold(title(&key), Reason::PoolExhausted, message);
                break;
            };
            let claimant = Claimant {
                namespace: key.0.clone(),
                deployment: key.1.clone(),
                uid: object.uid().unwrap_or_default(),
                guest: record.name.clone(),
            };
            let spec = AddressClaimSpec { pool: (*pool).clone(), external: external.clone(), claimant };
            world.address_claims.insert((String::new(), name.clone()), AddressClaim::new(&name, spec));
            record.addresses.push(external);
        }
    }
}

/// The guests of one Deployment.
async fn guests(
    kind: &Deployments,
    hub: &ClusterHub,
    key: &Key,
    object: Deployment,
    shown: &mut EndpointPlan,
) {
    let title = title(key);
    if is_set(&object, PAUSED_ANNOTATION) {
        let message = format!("not looked at while the annotation {PAUSED_ANNOTATION} is set");
        return shown.hold(title, Reason::PausedByUser, message);
    }
    let only_plan = is_set(&object, PLAN_ONLY_ANNOTATION);
    let (goal, object) = (goal_of(&object), Arc::new(object));
    let seen = match kind.observe(&object, goal, Mode::Act).await {
        Ok(seen) => seen,
        Err(failure) => return shown.hold(title, failure.reason, failure.message),
    };
    let mut status = object.status.clone().unwrap_or_default();
    told(key, &kind.report(&object, &seen, &mut status), shown);
    let plan = match kind.plan(&object, &seen, goal) {
        Ok(Some(plan)) => plan,
        Ok(None) => return,
        // Addresses of guests that would be made are not published yet.
        Err(failure) if failure.reason == Reason::DependencyNotReady => return,
        Err(failure) => return shown.hold(title, failure.reason, failure.message),
    };
    let records: BTreeMap<&str, &Record> =
        status.guests.iter().map(|record| (record.name.as_str(), record)).collect();
    let mut one = EndpointPlan::default();
    for (name, action) in plan.actions() {
        let Some(record) = records.get(name) else { continue };
        if let Err(failure) = act(kind, hub, &object, record, action, &title, &mut one).await {
            one.hold(title.clone(), failure.reason, failure.message);
        }
    }
    if only_plan {
        for change in one.changes {
            let message = format!("{}: held back by the annotation {PLAN_ONLY_ANNOTATION}", change.what);
            shown.hold(title.clone(), Reason::PlanOnly, message);
        }
        return;
    }
    shown.changes.append(&mut one.changes);
    shown.calls.append(&mut one.calls);
    shown.disruption.append(&mut one.disruption);
    shown.held.append(&mut one.held);
}

async fn act(
    kind: &Deployments,
    hub: &ClusterHub,
    object: &Deployment,
    record: &Record,
    action: &Action,
    title: &str,
    shown: &mut EndpointPlan,
) -> Result<(), Failure> {
    let Record { name, vmid, .. } = record;
    let host = record.host.as_deref().unwrap_or("no host yet");
    let mut change = |sign, what: String| {
        shown.changes.push(Change { sign, thing: Thing::Guest, object: title.to_owned(), what });
    };
    let step = match action {
        Action::Claim => {
            let message = format!("{name} waits for an address");
            shown.hold(title, Reason::PoolExhausted, message);
            return Ok(());
        }
        Action::Forget => {
            change(Sign::Remove, format!("{name}: give up its id {vmid} and its addresses"));
            return Ok(());
        }
        Action::Step(step) => step,
    };
    match step {
        guest::Step::Wait(what) => shown.hold(title, Reason::Progressing, format!("{name} waits: {what}")),
        guest::Step::Clone => {
            let template = record.template.map(|id| id.to_string()).unwrap_or_default();
            let addresses = if record.addresses.is_empty() {
                String::new()
            } else {
                format!(", address {}", record.addresses.join(", "))
            };
            change(Sign::Add, format!("{name} → {host} as {vmid}, from template {template}{addresses}"));
            shown.calls.push(format!("{name}: clone template {template} → {vmid} on {host}"));
            for step in life(kind, hub, object, record).await? {
                shown.calls.push(format!("{name}: {step}"));
            }
        }
        guest::Step::Stop | guest::Step::Destroy => {
            change(Sign::Remove, format!("{name} ({vmid} on {host}) is removed with its disks"));
            if matches!(step, guest::Step::Stop) {
                shown.calls.push(format!("{name}: {step}"));
            }
            shown.calls.push(format!("{name}: {}", guest::Step::Destroy));
            shown.disruption.push(format!("{name} is removed with its disks"));
        }
        guest::Step::Configure { .. } | guest::Step::Resize { .. } | guest::Step::Start => {
            change(Sign::Change, format!("{name} ({host}): {step}"));
            shown.calls.push(format!("{name}: {step}"));
            if matches!(step, guest::Step::Configure { .. }) && kind_interrupts(object) {
                shown.disruption.push(format!("{name} may be restarted, as spec.disruption allows"));
            }
        }
    }
    Ok(())
}

fn kind_interrupts(object: &Deployment) -> bool {
    object.spec.disruption == skyy_api::deployment::Disruption::Allowed
}

/// What follows the clone until the guest runs: the planner's steps, each carried out on the template's configuration.
async fn life(
    kind: &Deployments,
    hub: &ClusterHub,
    object: &Deployment,
    record: &Record,
) -> Result<Vec<guest::Step>, Failure> {
    let spec = kind.guest_spec(object, record).await?;
    let inventory = hub.inventory()?;
    let Some(template) = record.template.and_then(|id| inventory.guest(id)) else { return Ok(Vec::new()) };
    let Ok(vmid) = Vmid::try_from(template.vmid.get()) else { return Ok(Vec::new()) };
    let at = GuestAt::qemu(template.node.clone(), vmid);
    let config = hub.client()?.guest_config(&at).await.map_err(|error| hub.failed(&error))?;
    let mut keys: BTreeMap<String, String> =
        config.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    keys.remove("template");
    keys.insert("name".into(), spec.name.clone());
    keys.insert("description".into(), spec.mark.description());
    let node = record.host.clone().unwrap_or_default();
    let mut guest = guest::Guest {
        node,
        running: false,
        config: guest::Config { keys, digest: String::new() },
        lock: None,
    };
    let mut steps = Vec::new();
    while steps.len() < MOST_STEPS {
        let sight = guest::Sight::Ours(guest.clone());
        let Ok(Some(step)) = guest::plan(&spec, &sight, guest::GuestGoal::Running) else { break };
        let keys = &mut guest.config.keys;
        match &step {
            guest::Step::Configure { set, delete, .. } => {
                keys.extend(set.clone());
                keys.retain(|key, _| !delete.contains(key));
            }
            guest::Step::Resize { disk, bytes, .. } => {
                if let Some(value) = keys.get_mut(disk) {
                    let parts = value.split(',').map(|part| match part.split_once('=') {
                        Some(("size", _)) => format!("size={bytes}"),
                        _ => part.to_owned(),
                    });
                    *value = parts.collect::<Vec<_>>().join(",");
                }
            }
            guest::Step::Start => guest.running = true,
            guest::Step::Clone | guest::Step::Stop | guest::Step::Destroy | guest::Step::Wait(_) => break,
        }
        steps.push(step);
    }
    Ok(steps)
}
