//! One reader for one Ceph cluster: health and pools at an interval, and the client that the pools' kind writes through.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use skyy_api::{Reason, ceph_cluster::CephClusterSpec};
use skyy_ceph::{Ceph, CephError, Credentials, HealthReport, Pool, Summary};
use skyy_http::{CallObserver, Class as HttpClass, Secret};
use skyy_runtime::{Class, Failure, Wake, Waker, backoff::jittered, secrets::Secrets};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::endpoint;

/// What a hub is told about its cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The CephCluster's spec.
    pub spec: CephClusterSpec,
    /// Nothing is sent at all.
    pub paused: bool,
}

/// Who is told of changes.
#[derive(Clone)]
pub struct Wakers {
    /// The CephCluster.
    pub cluster: Waker,
    /// The CephPools of the cluster of this name.
    pub pools: Arc<dyn Fn(&str) + Send + Sync>,
}

/// What was seen of a cluster.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Who answers.
    pub summary: Summary,
    /// How it is.
    pub health: HealthReport,
    /// Its pools.
    pub pools: Vec<Pool>,
}

/// The hub of one cluster.
pub struct CephHub {
    name: String,
    settings: Mutex<Settings>,
    client: Mutex<Option<(Settings, [String; 2], Ceph)>>,
    view: Mutex<Option<Result<Arc<View>, Failure>>>,
    /// Held while a pool is written: the map of a cluster takes its changes one after the other.
    pub writing: tokio::sync::Mutex<()>,
    poke: Notify,
    stop: CancellationToken,
}

impl CephHub {
    /// What was seen last; none before the first look.
    pub fn view(&self) -> Option<Result<Arc<View>, Failure>> {
        lock(&self.view).clone()
    }

    /// The client, where the hub has one.
    pub fn client(&self) -> Result<Ceph, Failure> {
        match &*lock(&self.client) {
            Some((_, _, client)) => Ok(client.clone()),
            None => Err(match self.view() {
                Some(Err(failure)) => failure,
                _ => Failure::waiting(
                    Reason::DependencyNotReady,
                    format!("CephCluster {} has not been reached yet", self.name),
                ),
            }),
        }
    }

    /// Does the hub do nothing, because its object is paused?
    pub fn is_paused(&self) -> bool {
        lock(&self.settings).paused
    }

    /// Look soon.
    pub fn poke(&self) {
        self.poke.notify_one();
    }

    /// What a failed call means.
    pub fn failed(&self, error: &CephError) -> Failure {
        let text = format!("{}: {error}", self.name);
        match error {
            CephError::LoginRefused { .. } | CephError::LoginHeld { .. } | CephError::PasswordExpired { .. } => Failure::terminal(
                Reason::LoginRefused,
                format!("{text}. Not trying again until the Secret changes or half a day has passed: ten refusals disable the account"),
            ),
            CephError::Forbidden { .. } => Failure::terminal(Reason::PrivilegeMissing, text),
            CephError::Http(cause) => endpoint::failure(cause),
            other => match other.class() {
                HttpClass::Transient => Failure::transient(Reason::EndpointUnavailable, text),
                HttpClass::Auth => Failure::terminal(Reason::LoginRefused, text),
                HttpClass::Untrusted => Failure::terminal(Reason::CertificateMismatch, text),
                HttpClass::Protocol => Failure::transient(Reason::EndpointNotUnderstood, text),
                HttpClass::Refused => Failure::terminal(Reason::Refused, text),
            },
        }
        .not_before(error.retry_after())
    }
}

/// The hubs of all clusters.
pub struct Cephs {
    hubs: Mutex<BTreeMap<String, Arc<CephHub>>>,
    secrets: Secrets,
    observer: Arc<dyn CallObserver>,
    wakers: Wakers,
    stop: CancellationToken,
    running: TaskTracker,
}

impl Cephs {
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
    pub fn get(&self, name: &str) -> Option<Arc<CephHub>> {
        lock(&self.hubs).get(name).cloned()
    }

    /// The hub of a cluster; it is started, or told of new settings.
    pub fn ensure(&self, name: &str, settings: Settings) -> Arc<CephHub> {
        let mut hubs = lock(&self.hubs);
        if let Some(hub) = hubs.get(name) {
            let changed = std::mem::replace(&mut *lock(&hub.settings), settings.clone()) != settings;
            if changed {
                hub.poke();
            }
            return hub.clone();
        }
        let hub = Arc::new(CephHub {
            name: name.to_owned(),
            settings: Mutex::new(settings),
            client: Mutex::default(),
            view: Mutex::default(),
            writing: tokio::sync::Mutex::new(()),
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
            let spec = lock(&hub.settings).spec.clone();
            let meant =
                |secret: &skyy_api::SecretKeyRef| secret.namespace == namespace && secret.name == name;
            if meant(&spec.username.secret) || meant(&spec.password.secret) {
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
    hub: Arc<CephHub>,
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
            let interval = Duration::from(settings.spec.interval);
            if settings.paused {
                wait = interval;
                continue;
            }
            let seen = tokio::select! {
                () = self.hub.stop.cancelled() => return,
                seen = self.look(&settings) => seen,
            };
            wait = match &seen {
                Ok(_) => {
                    self.failures = 0;
                    jittered(interval)
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
            let before = lock(&self.hub.view).replace(seen.clone());
            self.wakers.cluster.wake(Wake { namespace: None, name: self.hub.name.clone() });
            let same = matches!((&before, &seen), (Some(Ok(before)), Ok(now)) if before.pools == now.pools)
                || matches!((&before, &seen), (Some(Err(before)), Err(now)) if before == now);
            if !same {
                (self.wakers.pools)(&self.hub.name);
            }
        }
    }

    async fn connect(&self, settings: &Settings) -> Result<Ceph, Failure> {
        let spec = &settings.spec;
        let username = self.secrets.get(&spec.username.secret).await?;
        let password = self.secrets.get(&spec.password.secret).await?;
        let versions = [username.version.clone(), password.version.clone()];
        let same = |known: &Settings| {
            let known = &known.spec;
            known.managers == spec.managers
                && known.tls == spec.tls
                && known.username == spec.username
                && known.password == spec.password
        };
        if let Some((known, seen, client)) = &*lock(&self.hub.client)
            && same(known)
            && *seen == versions
        {
            return Ok(client.clone());
        }
        let observer = self.observer.clone();
        let http = endpoint::client(
            "ceph",
            &self.hub.name,
            &spec.managers,
            spec.tls.as_ref(),
            skyy_ceph::limits(),
            observer,
        )?;
        let credentials = Credentials { username: username.value, password: Secret::new(password.value) };
        let client = Ceph::new(http, credentials);
        *lock(&self.hub.client) = Some((settings.clone(), versions, client.clone()));
        Ok(client)
    }

    async fn look(&self, settings: &Settings) -> Result<Arc<View>, Failure> {
        let client = self.connect(settings).await?;
        let failed = |error: CephError| self.hub.failed(&error);
        let health = client.health().await.map_err(failed)?;
        let pools = client.list_pools().await.map_err(failed)?;
        let summary = client.summary().await.map_err(failed)?;
        Ok(Arc::new(View { summary, health, pools }))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
