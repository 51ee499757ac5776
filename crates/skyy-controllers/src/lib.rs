//! The kinds: for each, how to look, decide and act; and one hub for each endpoint.
//!
//! This crate wires vocabulary, decisions and clients together. It must not know about arguments, signals or processes.

pub mod address_claim;
pub mod address_pool;
pub mod ceph;
mod debounce;
pub mod deployment;
pub mod endpoint;
pub mod firewall;
pub mod proxmox;

use std::{
    collections::BTreeMap,
    marker::PhantomData,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use futures::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, ResourceExt};
use skyy_api::{
    AddressClaim, AddressPool, CephCluster, CephPool, Deployment, DhcpReservation, Firewall, FirewallRule,
    NatMapping, ProxmoxCluster, ProxmoxHost, VirtualIp, common::POOL_LABEL,
};
use skyy_http::HttpMetrics;
use skyy_plan::firewall::RowKind;
use skyy_runtime::{Controller, Gate, Lookup, Runtime, Wake, metrics::Metrics, secrets::Secrets};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    address_claim::AddressClaims,
    address_pool::AddressPools,
    ceph::{CephClusterKind, CephPoolKind, Cephs},
    debounce::Debounced,
    deployment::Deployments,
    firewall::{FirewallKind, Firewalls, RowObject, Rows, Wakers},
    proxmox::{Clusters, ProxmoxClusterKind, ProxmoxHostKind},
};

/// Makes the process use one crypto provider; call it before the first client.
pub fn install_crypto_provider() {
    skyy_http::install_crypto_provider();
}

/// What the process tells the controllers.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The word by which this installation knows what it made outside; none: from the cluster.
    pub installation: Option<String>,
    /// This replica's name, for events.
    pub instance: Option<String>,
}

/// The controllers could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The cluster has no identity that can be read.
    #[error(
        "cannot read the namespace kube-system, whose uid names this installation: {0}. Set --installation to do without"
    )]
    Installation(#[source] kube::Error),
    /// The word given for the installation cannot be used.
    #[error(
        "--installation {0:?} cannot be used in marks: letters, digits, - and . only, at most 40 of them"
    )]
    BadInstallation(String),
}

/// Runs all controllers until told to stop, and ends when what had begun is finished.
pub async fn run(
    client: Client,
    metrics: Metrics,
    options: Options,
    stop: CancellationToken,
) -> Result<(), StartError> {
    let installation = installation(&client, options.installation).await?;
    tracing::info!(installation, "starting the controllers");
    let runtime = Runtime::new(client.clone(), options.instance, metrics.clone());
    let mut observer = None;
    metrics.register(|registry| observer = Some(HttpMetrics::register(registry)));
    let Some(observer) = observer else { return Ok(()) };

    let tasks = TaskTracker::new();
    let mut firewalls = Controller::<Firewall>::default();
    let mut virtual_ips = Controller::<VirtualIp>::default();
    let mut nat_mappings = Controller::<NatMapping>::default();
    let mut dhcp_reservations = Controller::<DhcpReservation>::default();
    let mut firewall_rules = Controller::<FirewallRule>::default();
    let mut pools = Controller::<AddressPool>::default();
    let mut claims = Controller::<AddressClaim>::default();
    let mut clusters = Controller::<ProxmoxCluster>::default();
    let mut hosts = Controller::<ProxmoxHost>::default();
    let mut deployments = Controller::<Deployment>::default();
    let mut ceph_clusters = Controller::<CephCluster>::default();
    let mut ceph_pools = Controller::<CephPool>::default();

    let wakers = Wakers {
        firewall: firewalls.waker(),
        rows: BTreeMap::from([
            (RowKind::VirtualIp, virtual_ips.waker()),
            (RowKind::NatMapping, nat_mappings.waker()),
            (RowKind::DhcpReservation, dhcp_reservations.waker()),
            (RowKind::FirewallRule, firewall_rules.waker()),
        ]),
        all_rows: {
            let wakes = [
                rows_on(&virtual_ips),
                rows_on(&nat_mappings),
                rows_on(&dhcp_reservations),
                rows_on(&firewall_rules),
            ];
            Arc::new(move |firewall| wakes.iter().for_each(|wake| wake(firewall)))
        },
    };
    // Secrets are watched before anything that reads them exists; the hubs hear of changes through this slot.
    let listeners: Arc<OnceLock<AllHubs>> = Arc::default();
    let slot = listeners.clone();
    let secrets = Secrets::new(client.clone(), move |namespace, name| {
        if let Some((firewalls, clusters, cephs)) = slot.get() {
            firewalls.secret_changed(namespace, name);
            clusters.secret_changed(namespace, name);
            cephs.secret_changed(namespace, name);
        }
    });
    let hubs = Arc::new(Firewalls::new(
        installation.clone(),
        secrets.clone(),
        observer.clone(),
        wakers,
        stop.clone(),
    ));
    let proxmox = Arc::new(Clusters::new(
        secrets.clone(),
        observer.clone(),
        proxmox_wakers(&clusters, &hosts, &deployments),
        stop.clone(),
    ));
    let ceph_wakers = ceph::Wakers {
        cluster: ceph_clusters.waker(),
        pools: objects_of(&ceph_pools, |pool| &pool.spec.cluster),
    };
    let cephs = Arc::new(Cephs::new(secrets.clone(), observer.clone(), ceph_wakers, stop.clone()));
    // The slot is fresh: nobody else has filled it.
    let _ = listeners.set((hubs.clone(), proxmox.clone(), cephs.clone()));

    let (namespaces, namespace_watch) = skyy_runtime::watch::follow::<Namespace>(Api::all(client.clone()));
    tasks.spawn(until(stop.clone(), namespace_watch));

    // A firewall that changed is news for its rows.
    wake_rows(&mut firewalls, &virtual_ips);
    wake_rows(&mut firewalls, &nat_mappings);
    wake_rows(&mut firewalls, &dhcp_reservations);
    wake_rows(&mut firewalls, &firewall_rules);
    // A row that changed is news for its pool, and a row that went for its firewall.
    let pool_news = Debounced::spawn(pools.waker(), Duration::from_secs(1), &tasks, stop.clone());
    let firewall_news = Debounced::spawn(firewalls.waker(), Duration::from_secs(1), &tasks, stop.clone());
    tell_pool_and_firewall(&mut virtual_ips, &pool_news, &firewall_news);
    tell_pool_and_firewall(&mut nat_mappings, &pool_news, &firewall_news);
    tell_pool_and_firewall(&mut dhcp_reservations, &pool_news, &firewall_news);
    tell_pool_and_firewall(&mut firewall_rules, &pool_news, &firewall_news);
    {
        let (pool_news, known_claims) = (pool_news.clone(), claims.lookup());
        claims.on_change(move |claim: &AddressClaim| {
            pool_news.wake(Wake { namespace: None, name: claim.spec.pool.clone() });
        });
        let waker = claims.waker();
        pools.on_change(move |pool: &AddressPool| {
            for claim in known_claims.all().iter().filter(|claim| claim.spec.pool == pool.name_any()) {
                waker.wake(Wake::of(&**claim));
            }
        });
    }

    // What a cluster's objects decide from it waits for it; what names it keeps it from going.
    wake_by_cluster(&mut ceph_clusters, &ceph_pools, |pool| &pool.spec.cluster);
    let ceph_news = Debounced::spawn(ceph_clusters.waker(), Duration::from_secs(1), &tasks, stop.clone());
    tell_cluster(&mut ceph_pools, &ceph_news, |pool| &pool.spec.cluster);
    wake_by_cluster(&mut clusters, &hosts, |host| &host.spec.cluster);
    wake_by_cluster(&mut clusters, &deployments, |deployment| &deployment.spec.cluster);
    let cluster_news = Debounced::spawn(clusters.waker(), Duration::from_secs(1), &tasks, stop.clone());
    tell_cluster(&mut hosts, &cluster_news, |host| &host.spec.cluster);
    tell_cluster(&mut deployments, &cluster_news, |deployment| &deployment.spec.cluster);
    let deployment_news = Debounced::spawn(deployments.waker(), Duration::from_secs(1), &tasks, stop.clone());
    claims.on_change(move |claim: &AddressClaim| {
        let claimant = &claim.spec.claimant;
        deployment_news
            .wake(Wake { namespace: Some(claimant.namespace.clone()), name: claimant.deployment.clone() });
    });

    let firewall_kind = FirewallKind {
        hubs: hubs.clone(),
        virtual_ips: virtual_ips.lookup(),
        nat_mappings: nat_mappings.lookup(),
        dhcp_reservations: dhcp_reservations.lookup(),
        firewall_rules: firewall_rules.lookup(),
    };
    let pool_kind = AddressPools {
        client: client.clone(),
        virtual_ips: virtual_ips.lookup(),
        nat_mappings: nat_mappings.lookup(),
        dhcp_reservations: dhcp_reservations.lookup(),
        firewall_rules: firewall_rules.lookup(),
        claims: claims.lookup(),
    };
    let claim_kind = AddressClaims {
        pools: pools.lookup(),
        virtual_ips: virtual_ips.lookup(),
        nat_mappings: nat_mappings.lookup(),
        dhcp_reservations: dhcp_reservations.lookup(),
        firewall_rules: firewall_rules.lookup(),
    };
    let cluster_kind = ProxmoxClusterKind {
        hubs: proxmox.clone(),
        hosts: hosts.lookup(),
        deployments: deployments.lookup(),
        installation: installation.clone(),
    };
    let ceph_cluster_kind = CephClusterKind { hubs: cephs.clone(), pools: ceph_pools.lookup() };
    let ceph_pool_kind = CephPoolKind {
        hubs: cephs.clone(),
        clusters: ceph_clusters.lookup(),
        installation: installation.clone(),
    };
    let host_kind = ProxmoxHostKind { hubs: proxmox.clone() };
    let deployment_kind = Deployments {
        client: client.clone(),
        hubs: proxmox.clone(),
        clusters: clusters.lookup(),
        hosts: hosts.lookup(),
        deployments: deployments.lookup(),
        pools: pools.lookup(),
        claims: claims.lookup(),
        secrets,
        installation,
    };
    let world = World { hubs: hubs.clone(), firewalls: firewalls.lookup(), namespaces };

    // What a kind decides from other kinds' objects is decided only once those are known: an empty list means nothing before.
    let (open, gate) = Gate::closed();
    let runtime = Runtime { gate, ..runtime };
    let all_known: Vec<BoxFuture<'static, bool>> = vec![
        known(&firewalls),
        known(&virtual_ips),
        known(&nat_mappings),
        known(&dhcp_reservations),
        known(&firewall_rules),
        known(&pools),
        known(&claims),
        known(&clusters),
        known(&hosts),
        known(&deployments),
        known(&ceph_clusters),
        known(&ceph_pools),
        {
            let namespaces = world.namespaces.clone();
            async move { namespaces.ready().await }.boxed()
        },
    ];
    tasks.spawn(until(stop.clone(), async move {
        if join_all(all_known).await.into_iter().all(|ready| ready) {
            tracing::info!("all objects are known; beginning");
            open.open();
        }
    }));

    tasks.spawn(firewalls.run(firewall_kind, runtime.clone(), stop.clone()));
    tasks.spawn(virtual_ips.run(world.rows(), runtime.clone(), stop.clone()));
    tasks.spawn(nat_mappings.run(world.rows(), runtime.clone(), stop.clone()));
    tasks.spawn(dhcp_reservations.run(world.rows(), runtime.clone(), stop.clone()));
    tasks.spawn(firewall_rules.run(world.rows(), runtime.clone(), stop.clone()));
    tasks.spawn(pools.run(pool_kind, runtime.clone(), stop.clone()));
    tasks.spawn(claims.run(claim_kind, runtime.clone(), stop.clone()));
    tasks.spawn(clusters.run(cluster_kind, runtime.clone(), stop.clone()));
    tasks.spawn(hosts.run(host_kind, runtime.clone(), stop.clone()));
    tasks.spawn(deployments.run(deployment_kind, runtime.clone(), stop.clone()));
    tasks.spawn(ceph_clusters.run(ceph_cluster_kind, runtime.clone(), stop.clone()));
    tasks.spawn(ceph_pools.run(ceph_pool_kind, runtime, stop.clone()));

    tasks.close();
    tasks.wait().await;
    hubs.finished().await;
    proxmox.finished().await;
    cephs.finished().await;
    Ok(())
}

/// The hubs of every product.
type AllHubs = (Arc<Firewalls>, Arc<Clusters>, Arc<Cephs>);

/// What the four kinds of row share.
struct World {
    hubs: Arc<Firewalls>,
    firewalls: Lookup<Firewall>,
    namespaces: Lookup<Namespace>,
}

impl World {
    fn rows<R: RowObject>(&self) -> Rows<R> {
        Rows {
            hubs: self.hubs.clone(),
            firewalls: self.firewalls.clone(),
            namespaces: self.namespaces.clone(),
            kind: PhantomData,
        }
    }
}

/// Ends with the work, or with the process.
async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

fn known<O: skyy_runtime::kind::Object>(controller: &Controller<O>) -> BoxFuture<'static, bool> {
    let lookup = controller.lookup();
    async move { lookup.ready().await }.boxed()
}

type WakeRows = Box<dyn Fn(&str) + Send + Sync>;

/// Wakes the rows of one kind that are on a firewall.
fn rows_on<R: RowObject>(rows: &Controller<R>) -> WakeRows {
    let (waker, lookup) = (rows.waker(), rows.lookup());
    Box::new(move |firewall| {
        for row in lookup.all().iter().filter(|row| row.firewall() == firewall) {
            waker.wake(Wake::of(&**row));
        }
    })
}

fn wake_rows<R: RowObject>(firewalls: &mut Controller<Firewall>, rows: &Controller<R>) {
    let wake = rows_on(rows);
    // A status that was written is no news: only the spec, the annotations and the going of a firewall matter to its rows.
    let seen: Mutex<BTreeMap<String, (Option<i64>, bool)>> = Mutex::default();
    firewalls.on_change(move |firewall: &Firewall| {
        let name = firewall.name_any();
        let now = (firewall.metadata.generation, firewall.metadata.deletion_timestamp.is_some());
        let before = seen.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), now);
        if before != Some(now) {
            wake(&name);
        }
    });
}

fn tell_pool_and_firewall<R: RowObject>(rows: &mut Controller<R>, pools: &Debounced, firewalls: &Debounced) {
    let (pools, firewalls) = (pools.clone(), firewalls.clone());
    rows.on_change(move |row: &R| {
        if let Some(pool) = row.labels().get(POOL_LABEL) {
            pools.wake(Wake { namespace: None, name: pool.clone() });
        }
        if row.meta().deletion_timestamp.is_some() {
            firewalls.wake(Wake { namespace: None, name: row.firewall().to_owned() });
        }
    });
}

fn proxmox_wakers(
    clusters: &Controller<ProxmoxCluster>,
    hosts: &Controller<ProxmoxHost>,
    deployments: &Controller<Deployment>,
) -> proxmox::Wakers {
    proxmox::Wakers {
        cluster: clusters.waker(),
        hosts: objects_of(hosts, |host| &host.spec.cluster),
        deployments: deployments.waker(),
        all_deployments: objects_of(deployments, |deployment| &deployment.spec.cluster),
    }
}

/// Wakes the objects that name a cluster.
fn objects_of<O: skyy_runtime::kind::Object>(
    objects: &Controller<O>,
    cluster_of: fn(&O) -> &String,
) -> Arc<dyn Fn(&str) + Send + Sync> {
    let (waker, lookup) = (objects.waker(), objects.lookup());
    Arc::new(move |cluster| {
        for object in lookup.all().iter().filter(|object| cluster_of(object) == cluster) {
            waker.wake(Wake::of(&**object));
        }
    })
}

/// Wakes the objects that name a cluster when its spec changed.
fn wake_by_cluster<C: skyy_runtime::kind::Object, O: skyy_runtime::kind::Object>(
    clusters: &mut Controller<C>,
    objects: &Controller<O>,
    cluster_of: fn(&O) -> &String,
) {
    let wake = objects_of(objects, cluster_of);
    let seen: Mutex<BTreeMap<String, Option<i64>>> = Mutex::default();
    clusters.on_change(move |cluster: &C| {
        let name = cluster.name_any();
        let now = cluster.meta().generation;
        let before = seen.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), now);
        if before != Some(now) {
            wake(&name);
        }
    });
}

/// An object that goes is news for the cluster that it named.
fn tell_cluster<O: skyy_runtime::kind::Object>(
    objects: &mut Controller<O>,
    clusters: &Debounced,
    cluster_of: fn(&O) -> &String,
) {
    let clusters = clusters.clone();
    objects.on_change(move |object: &O| {
        if object.meta().deletion_timestamp.is_some() {
            clusters.wake(Wake { namespace: None, name: cluster_of(object).clone() });
        }
    });
}

async fn installation(client: &Client, given: Option<String>) -> Result<String, StartError> {
    if let Some(given) = given {
        return if skyy_plan::firewall::installation_is_valid(&given) {
            Ok(given)
        } else {
            Err(StartError::BadInstallation(given))
        };
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = namespaces.get("kube-system").await.map_err(StartError::Installation)?;
    let uid = namespace.uid().unwrap_or_default();
    Ok(uid.chars().filter(char::is_ascii_hexdigit).take(8).collect())
}
