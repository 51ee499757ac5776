//! One reader for one cluster: looks at an interval, keeps what it saw in memory, and wakes only the objects concerned.
//!
//! The cost is per cluster, not per guest: two calls an interval, and each node's details more rarely. Writes are made by the
//! kinds through the same client; the hub keeps what must be shared between them, so that no two reserve the same id or
//! promise the same room.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use skyy_api::{Reason, deployment::Guest as Record, proxmox_cluster::ProxmoxClusterSpec};
use skyy_http::{CallObserver, Secret};
use skyy_proxmox::{Auth, Cluster, GuestAt, GuestConfig, GuestKind, NodeName, ProxmoxError, Vmid};
use skyy_runtime::{Class, Failure, Wake, Waker, backoff::jittered, secrets::Secrets};
use skyy_scheduler::Reservation;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    failure::failure,
    inventory::{Face, Inventory, NodeDetails},
};
use crate::endpoint;

/// Each node's details are read again after this time, or later where there are many nodes.
const DETAILS_KEEP: Duration = Duration::from_mins(1);
/// So that details cost at most some forty calls a minute, however many nodes there are.
const DETAILS_PER_NODE: Duration = Duration::from_millis(7500);
/// How many nodes' details one look reads, so that a start does not come as a burst.
const NODES_A_LOOK: usize = 4;
/// How long a guest's configuration is believed, where only an idea of it is needed.
const CONFIG_KEEP: Duration = Duration::from_mins(2);

/// What a hub is told about its cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The ProxmoxCluster's spec.
    pub spec: ProxmoxClusterSpec,
    /// Nothing is sent at all.
    pub paused: bool,
}

/// Who is told of changes.
#[derive(Clone)]
pub struct Wakers {
    /// The ProxmoxCluster.
    pub cluster: Waker,
    /// The ProxmoxHosts of the cluster of this name.
    pub hosts: Arc<dyn Fn(&str) + Send + Sync>,
    /// The Deployments, one by one.
    pub deployments: Waker,
    /// All Deployments on the cluster of this name.
    pub all_deployments: Arc<dyn Fn(&str) + Send + Sync>,
}

/// The hub of one cluster.
pub struct ClusterHub {
    name: String,
    settings: Mutex<Settings>,
    client: Mutex<Option<(Settings, String, Cluster)>>,
    view: Mutex<Option<Result<Arc<Inventory>, Failure>>>,
    configs: Mutex<BTreeMap<u32, (Instant, Arc<GuestConfig>)>>,
    interest: Mutex<BTreeMap<u32, Wake>>,
    records: Mutex<BTreeMap<String, Vec<Record>>>,
    stale: Mutex<BTreeMap<String, Instant>>,
    soon: Mutex<std::collections::BTreeSet<String>>,
    reservations: Mutex<BTreeMap<u32, Reservation>>,
    /// Held while somebody chooses ids and hosts: two at once would choose the same.
    pub placing: tokio::sync::Mutex<()>,
    /// Held while somebody begins a clone: whoever counts the clones that run must see those just begun.
    pub cloning: tokio::sync::Mutex<()>,
    looks: tokio::sync::watch::Sender<u64>,
    poke: Notify,
    stop: CancellationToken,
}

impl ClusterHub {
    /// Room that is promised to a guest which does not run yet.
    pub fn promise(&self, vmid: u32, reservation: Reservation) {
        lock(&self.reservations).insert(vmid, reservation);
    }

    /// The guest runs, or will not: its room is no longer promised.
    pub fn unpromise(&self, vmid: u32) {
        lock(&self.reservations).remove(&vmid);
    }

    /// All room that is promised.
    pub fn promises(&self) -> Vec<Reservation> {
        lock(&self.reservations).values().cloned().collect()
    }

    /// What is remembered of a guest's configuration is not so any more.
    pub fn forget_config(&self, vmid: u32) {
        lock(&self.configs).remove(&vmid);
    }

    /// What was seen last; none before the first look.
    pub fn view(&self) -> Option<Result<Arc<Inventory>, Failure>> {
        lock(&self.view).clone()
    }

    /// What was seen last, or why nobody could see.
    pub fn inventory(&self) -> Result<Arc<Inventory>, Failure> {
        self.view().unwrap_or_else(|| {
            let message = format!("ProxmoxCluster {} has not been looked at yet", self.name);
            Err(Failure::waiting(Reason::DependencyNotReady, message))
        })
    }

    /// The client, where the hub has one.
    pub fn client(&self) -> Result<Cluster, Failure> {
        lock(&self.client).as_ref().map(|(_, _, client)| client.clone()).ok_or_else(|| {
            Failure::waiting(
                Reason::DependencyNotReady,
                format!("ProxmoxCluster {} has not been reached yet", self.name),
            )
        })
    }

    /// The spec.
    pub fn spec(&self) -> ProxmoxClusterSpec {
        lock(&self.settings).spec.clone()
    }

    /// Does the hub do nothing, because its object is paused?
    pub fn is_paused(&self) -> bool {
        lock(&self.settings).paused
    }

    /// What a failed call means.
    pub fn failed(&self, error: &ProxmoxError) -> Failure {
        failure(&self.name, error)
    }

    /// Look soon.
    pub fn poke(&self) {
        self.poke.notify_one();
    }

    /// A node's details are not what they were: read them with the next look.
    pub fn refresh_node(&self, node: &str) {
        lock(&self.stale).insert(node.to_owned(), Instant::now());
        self.poke();
    }

    /// A guest took or gave back a device of the node: read its details with the next look.
    pub fn read_soon(&self, node: &str) {
        lock(&self.soon).insert(node.to_owned());
        self.poke();
    }

    /// Was the node changed since this reading of it began? Nothing may be planned on such a reading.
    pub fn is_outdated(&self, node: &str, taken: Instant) -> bool {
        lock(&self.stale).get(node).is_some_and(|changed| *changed >= taken)
    }

    /// Wakes this object when something about the guest changes.
    pub fn follow(&self, vmid: u32, wake: Wake) {
        lock(&self.interest).insert(vmid, wake);
    }

    /// Nobody follows the guest any more.
    pub fn unfollow(&self, vmid: u32) {
        lock(&self.interest).remove(&vmid);
        lock(&self.configs).remove(&vmid);
        self.unpromise(vmid);
    }

    /// The records of a Deployment's guests as this process knows them; `first` gives them where it does not know any yet.
    ///
    /// The status of an object that was just read may be older than what this process has decided since.
    pub fn records(&self, uid: &str, first: impl FnOnce() -> Vec<Record>) -> Vec<Record> {
        lock(&self.records).entry(uid.to_owned()).or_insert_with(first).clone()
    }

    /// Keeps the records of a Deployment's guests.
    pub fn keep_records(&self, uid: &str, records: Vec<Record>) {
        lock(&self.records).insert(uid.to_owned(), records);
    }

    /// The Deployment is gone.
    pub fn forget_records(&self, uid: &str) {
        for record in lock(&self.records).remove(uid).into_iter().flatten() {
            self.unfollow(record.vmid);
        }
    }

    /// All records of all Deployments on this cluster, by the Deployment's uid.
    pub fn all_records(&self) -> BTreeMap<String, Vec<Record>> {
        lock(&self.records).clone()
    }

    /// A guest's configuration, perhaps a moment old. For deciding where there is room, never for writing.
    pub async fn config_lately(
        &self,
        client: &Cluster,
        at: &GuestAt,
    ) -> Result<Arc<GuestConfig>, ProxmoxError> {
        let vmid = at.vmid.get();
        let known = lock(&self.configs)
            .get(&vmid)
            .filter(|(when, _)| when.elapsed() < CONFIG_KEEP)
            .map(|(_, config)| config.clone());
        if let Some(known) = known {
            return Ok(known);
        }
        let config = Arc::new(client.guest_config(at).await?);
        lock(&self.configs).insert(vmid, (Instant::now(), config.clone()));
        Ok(config)
    }

    /// Waits for a look that begins after now; false when it did not come in time.
    pub async fn looked_anew(&self, patience: Duration) -> bool {
        let mut looks = self.looks.subscribe();
        let before = *looks.borrow_and_update();
        self.poke();
        // The look that may be under way began before; the one after it is meant.
        tokio::time::timeout(patience, looks.wait_for(|now| *now >= before + 2))
            .await
            .is_ok_and(|seen| seen.is_ok())
    }
}

/// The hubs of all clusters.
pub struct Clusters {
    hubs: Mutex<BTreeMap<String, Arc<ClusterHub>>>,
    secrets: Secrets,
    observer: Arc<dyn CallObserver>,
    wakers: Wakers,
    stop: CancellationToken,
    running: TaskTracker,
}

impl Clusters {
    /// No hubs yet.
    pub fn new(
        secrets: Secrets,
        observer: Arc<dyn CallObserver>,
        wakers: Wakers,
        stop: CancellationToken,
    ) -> Self {
        Self { hubs: Mutex::default(), secrets, observer, wakers, stop, running: TaskTracker::new() }
    }

    /// The hub of a cluster, where it has one.
    pub fn get(&self, name: &str) -> Option<Arc<ClusterHub>> {
        lock(&self.hubs).get(name).cloned()
    }

    /// The hub of a cluster; it is started, or told of new settings.
    pub fn ensure(&self, name: &str, settings: Settings) -> Arc<ClusterHub> {
        let mut hubs = lock(&self.hubs);
        if let Some(hub) = hubs.get(name) {
            let changed = std::mem::replace(&mut *lock(&hub.settings), settings.clone()) != settings;
            if changed {
                hub.poke();
            }
            return hub.clone();
        }
        let hub = Arc::new(ClusterHub {
            name: name.to_owned(),
            settings: Mutex::new(settings),
            client: Mutex::default(),
            view: Mutex::default(),
            configs: Mutex::default(),
            interest: Mutex::default(),
            records: Mutex::default(),
            stale: Mutex::default(),
            soon: Mutex::default(),
            reservations: Mutex::default(),
            placing: tokio::sync::Mutex::new(()),
            cloning: tokio::sync::Mutex::new(()),
            looks: tokio::sync::watch::Sender::new(0),
            poke: Notify::new(),
            stop: self.stop.child_token(),
        });
        hubs.insert(name.to_owned(), hub.clone());
        let reader = Reader {
            hub: hub.clone(),
            secrets: self.secrets.clone(),
            observer: self.observer.clone(),
            wakers: self.wakers.clone(),
            failures: 0,
        };
        self.running.spawn(reader.run());
        hub
    }

    /// The cluster is no longer ours to look after.
    pub fn remove(&self, name: &str) {
        if let Some(hub) = lock(&self.hubs).remove(name) {
            hub.stop.cancel();
        }
    }

    /// A Secret changed: the hubs that log in by it look at once.
    pub fn secret_changed(&self, namespace: &str, name: &str) {
        for hub in lock(&self.hubs).values() {
            let reference = hub.spec().token.secret;
            if reference.namespace == namespace && reference.name == name {
                hub.poke();
            }
        }
    }

    /// Waits until every hub has ended.
    pub async fn finished(&self) {
        self.running.close();
        self.running.wait().await;
    }
}

struct Reader {
    hub: Arc<ClusterHub>,
    secrets: Secrets,
    observer: Arc<dyn CallObserver>,
    wakers: Wakers,
    failures: u32,
}

impl Reader {
    async fn run(mut self) {
        let mut wait = Duration::ZERO;
        loop {
            tokio::select! {
                () = self.hub.stop.cancelled() => return,
                () = self.hub.poke.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
            let settings = lock(&self.hub.settings).clone();
            let interval = Duration::from(settings.spec.poll_interval);
            if settings.paused {
                wait = interval;
                continue;
            }
            let seen = tokio::select! {
                () = self.hub.stop.cancelled() => return,
                seen = self.look(&settings) => seen,
            };
            wait = match &seen {
                Ok((_, complete)) => {
                    self.failures = 0;
                    if *complete { jittered(interval) } else { Duration::from_secs(1).min(interval) }
                }
                Err(failure) => {
                    self.failures = self.failures.saturating_add(1);
                    let backoff = Duration::from_secs(2_u64.saturating_pow(self.failures.min(6)));
                    let wait = if failure.class == Class::Terminal {
                        interval.max(Duration::from_mins(1))
                    } else {
                        backoff.min(interval)
                    };
                    jittered(wait).max(failure.retry_after.unwrap_or_default())
                }
            };
            self.publish(seen.map(|(inventory, _)| inventory));
            self.hub.looks.send_modify(|looks| *looks += 1);
        }
    }

    async fn connect(&self, settings: &Settings) -> Result<Cluster, Failure> {
        let spec = &settings.spec;
        let token = self.secrets.get(&spec.token.secret).await?;
        let same = |known: &Settings| {
            known.spec.endpoints == spec.endpoints
                && known.spec.tls == spec.tls
                && known.spec.token == spec.token
        };
        if let Some((known, version, client)) = &*lock(&self.hub.client)
            && same(known)
            && *version == token.version
        {
            return Ok(client.clone());
        }
        let (id, secret) =
            token.value.split_once('=').filter(|(id, _)| id.contains('@') && id.contains('!')).ok_or_else(
                || {
                    Failure::terminal(
                        Reason::Invalid,
                        format!("{}: an API token has the form USER@REALM!TOKENID=SECRET", spec.token.secret),
                    )
                },
            )?;
        let name = &self.hub.name;
        let clients = spec
            .endpoints
            .iter()
            .map(|url| {
                let urls = [url.clone()];
                endpoint::client(
                    "proxmox",
                    name,
                    &urls,
                    spec.tls.as_ref(),
                    skyy_proxmox::limits(),
                    self.observer.clone(),
                )
            })
            .collect::<Result<Vec<_>, _>>()?;
        let client = Cluster::new(clients, Auth::Token { id: id.to_owned(), secret: Secret::new(secret) });
        *lock(&self.hub.client) = Some((settings.clone(), token.version, client.clone()));
        Ok(client)
    }

    /// One look. False when some nodes' details are still to be read.
    async fn look(&self, settings: &Settings) -> Result<(Arc<Inventory>, bool), Failure> {
        let client = self.connect(settings).await?;
        let failed = |error: ProxmoxError| self.hub.failed(&error);
        let before = match self.hub.view() {
            Some(Ok(inventory)) => inventory,
            _ => Arc::default(),
        };
        let status = client.cluster_status().await.map_err(failed)?;
        let resources = client.cluster_resources().await.map_err(failed)?;
        let version = if before.version.version.is_empty() {
            client.version().await.map_err(failed)?
        } else {
            before.version.clone()
        };
        let mut seen = Inventory {
            version,
            status,
            resources,
            mappings: before.mappings.clone(),
            nodes: before.nodes.clone(),
        };
        let members: Vec<String> = seen.status.members.iter().map(|member| member.name.to_string()).collect();
        seen.nodes.retain(|name, _| members.contains(name));
        let keep = DETAILS_KEEP.max(DETAILS_PER_NODE * u32::try_from(members.len()).unwrap_or(u32::MAX));
        let soon = std::mem::take(&mut *lock(&self.hub.soon));
        let outdated = |name: &str| {
            seen.nodes.get(name).is_some_and(|details| self.hub.is_outdated(name, details.taken))
        };
        let mut due: Vec<&String> = members
            .iter()
            .filter(|name| seen.is_online(name))
            .filter(|name| {
                soon.contains(*name)
                    || outdated(name)
                    || seen.nodes.get(*name).is_none_or(|details| details.taken.elapsed() > keep)
            })
            .collect();
        let complete = due.len() <= NODES_A_LOOK;
        due.truncate(NODES_A_LOOK);
        if !due.is_empty() {
            // Without the privilege to see mappings there are none to offer; the rest goes on.
            if let Ok(mappings) = client.pci_mappings(None).await {
                seen.mappings = mappings;
            }
        }
        for name in due {
            match self.details(&client, &seen, name).await {
                Ok(details) => drop(seen.nodes.insert(name.clone(), details)),
                Err(error) => {
                    tracing::info!(cluster = self.hub.name, node = name, %error, "a node's details could not be read");
                }
            }
        }
        Ok((Arc::new(seen), complete))
    }

    async fn details(
        &self,
        client: &Cluster,
        seen: &Inventory,
        name: &str,
    ) -> Result<NodeDetails, ProxmoxError> {
        let Some(node) =
            seen.status.members.iter().map(|member| &member.name).find(|node| node.as_str() == name)
        else {
            return Ok(NodeDetails {
                status: skyy_proxmox::NodeStatus::default(),
                network: skyy_proxmox::Network::default(),
                devices: Vec::new(),
                updates: None,
                repositories: None,
                mapped: BTreeMap::new(),
                taken: Instant::now(),
            });
        };
        let taken = Instant::now();
        let status = client.node_status(node).await?;
        let network = client.network(node).await?;
        // What a token may not see, or an older version does not have, is unknown, and no reason to know nothing.
        let updates =
            client.apt_updates(node).await.ok().map(|list| u32::try_from(list.len()).unwrap_or(u32::MAX));
        let repositories = client.apt_repositories(node).await.ok();
        let devices = client.pci_devices(node).await.unwrap_or_default();
        let mut mapped = BTreeMap::new();
        let offers = seen.mappings.iter().any(|mapping| seen.mapped_total(&mapping.id, name) > 0);
        if offers {
            for guest in seen.guests_on(name).filter(|guest| guest.kind == GuestKind::Qemu) {
                let at = GuestAt::qemu(node.clone(), guest.vmid);
                let Ok(config) = self.hub.config_lately(client, &at).await else { continue };
                for mapping in config
                    .pci_devices()
                    .values()
                    .filter_map(|device| device.get("mapping").map(str::to_owned))
                {
                    *mapped.entry(mapping).or_default() += 1;
                }
            }
        }
        Ok(NodeDetails { status, network, devices, updates, repositories, mapped, taken })
    }

    /// Keeps what was seen, and wakes the objects that it concerns.
    fn publish(&self, seen: Result<Arc<Inventory>, Failure>) {
        let before = lock(&self.hub.view).replace(seen.clone());
        self.wakers.cluster.wake(Wake { namespace: None, name: self.hub.name.clone() });
        let everybody = match (&before, &seen) {
            (Some(Ok(_)), Ok(_)) => false,
            (Some(Err(before)), Err(now)) => before != now,
            _ => true,
        };
        // A node whose details are known for the first time may be the host that somebody waits for.
        let known = |view: &Result<Arc<Inventory>, Failure>| {
            view.as_ref().map_or(0, |inventory| inventory.nodes.len())
        };
        if everybody || before.as_ref().map_or(0, known) != known(&seen) {
            (self.wakers.all_deployments)(&self.hub.name);
        }
        let interest = lock(&self.hub.interest).clone();
        let face =
            |view: &Arc<Inventory>, vmid: u32| -> Option<Face> { view.face(Vmid::try_from(vmid).ok()?) };
        let mut woken = std::collections::BTreeSet::new();
        for (vmid, wake) in interest {
            let changed = match (&before, &seen) {
                (Some(Ok(before)), Ok(now)) => face(before, vmid) != face(now, vmid),
                _ => everybody,
            };
            if changed {
                woken.insert(wake);
            }
        }
        for wake in woken {
            self.wakers.deployments.wake(wake);
        }
        // Hosts are few, and a look at one that did not change writes nothing.
        (self.wakers.hosts)(&self.hub.name);
    }
}

/// The name of a node, from a text that an object holds.
pub(crate) fn node_name(text: &str) -> Result<NodeName, Failure> {
    NodeName::new(text).map_err(|error| Failure::terminal(Reason::Invalid, error.to_string()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
