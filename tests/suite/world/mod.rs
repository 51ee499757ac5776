//! The world of one test: an API server of its own, simulated endpoints, an operator in this process.
//!
//! [`run`] makes it, lets the test live in it, holds every status that was written against the rules for conditions, and
//! says what was going on when something fails. It must not know what a test is about.

mod apiserver;
mod conditions;
mod log;
mod objects;
mod operator;
mod pfsense;
mod planes;
mod program;

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::FutureExt;
use kube::Client;
use skyy_sim::counter::Logged;
use xtask::control_plane::ControlPlane;

use self::conditions::Watched;
pub(crate) use self::{
    log::Log,
    objects::{Object, with},
    operator::Operator,
    pfsense::{KEY, Pf, TABLES, dhcp, firewall, nat, pool, rule, vip},
    program::Program,
};

/// How long a state may take to come. Long, as machines are slow; no test waits for it unless it fails.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often a state is looked at while it is waited for.
const POLL: Duration = Duration::from_millis(50);
/// Where objects live unless a test says otherwise; the firewalls take rows from here.
pub(crate) const NAMESPACE: &str = "tenants";
/// Where Secrets and the Lease are.
pub(crate) const SYSTEM: &str = "skyy-system";
/// The word in the marks.
pub(crate) const INSTALLATION: &str = "suite";

type Requests = Box<dyn Fn() -> Vec<Logged> + Send + Sync>;

/// What a test lives in.
pub(crate) struct World {
    plane: Arc<Mutex<ControlPlane>>,
    client: Client,
    log: Log,
    watched: Watched,
    operator: tokio::sync::Mutex<Option<Operator>>,
    endpoints: Mutex<Vec<(String, Requests)>>,
    names: AtomicUsize,
    spoilt: AtomicBool,
}

/// Lets a test live in a world of its own.
pub(crate) fn run(test: impl AsyncFnOnce(&World)) {
    let lease = planes::acquire();
    let log = Log::default();
    let there = log.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(move || std::mem::forget(there.listen()))
        .build()
        .unwrap();
    let _here = log.listen();
    let outcome = runtime.block_on(async {
        let world = World::new(lease.plane(), log.clone()).await;
        let mut outcome = AssertUnwindSafe(test(&world)).catch_unwind().await;
        if outcome.is_err() {
            world.tell().await;
        }
        world.stop_operator().await;
        let broken = world.watched.broken();
        if outcome.is_ok() && !broken.is_empty() {
            world.tell().await;
            outcome = Err(Box::new(format!("rules for conditions were broken:\n{}", broken.join("\n"))));
        }
        if outcome.is_ok() && log.says(KEY) {
            outcome = Err(Box::new("a secret stands in the operator's log".to_owned()));
        }
        if outcome.is_ok() {
            world.sweep().await;
            if !world.spoilt.load(Ordering::Relaxed) {
                lease.keep();
            }
        }
        outcome
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    drop(lease);
    if let Err(panic) = outcome {
        if let Some(text) = panic.downcast_ref::<String>() {
            println!("{text}");
        }
        std::panic::resume_unwind(panic);
    }
}

/// Whether the long runs are asked for.
pub(crate) fn soak() -> bool {
    std::env::var_os("SKYY_SOAK").is_some_and(|value| value == "1")
}

impl World {
    async fn new(plane: Arc<Mutex<ControlPlane>>, log: Log) -> Self {
        let kubeconfig = lock(&plane).kubeconfig().to_owned();
        let client = objects::client(&kubeconfig).await;
        let watched = Watched::begin(&client);
        Self {
            plane,
            client,
            log,
            watched,
            operator: tokio::sync::Mutex::default(),
            endpoints: Mutex::default(),
            names: AtomicUsize::new(0),
            spoilt: AtomicBool::new(false),
        }
    }

    /// The control plane itself, to run kubectl or helm.
    pub(crate) fn plane(&self) -> MutexGuard<'_, ControlPlane> {
        lock(&self.plane)
    }

    /// The API server is not fit for another test after this one.
    pub(crate) fn spoil(&self) {
        self.spoilt.store(true, Ordering::Relaxed);
    }

    /// A number that nobody else in this world has.
    pub(crate) fn number(&self) -> usize {
        self.names.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Waits until `look` finds what it looks for.
    pub(crate) async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "not within {} s: {what}", PATIENCE.as_secs());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Has an endpoint's requests told when a test fails.
    fn follow(&self, name: &str, requests: Requests) {
        lock(&self.endpoints).push((name.to_owned(), requests));
    }

    /// Starts the operator in this process.
    pub(crate) async fn operator(&self) {
        let mut operator = self.operator.lock().await;
        assert!(operator.is_none(), "one operator at a time");
        let kubeconfig = self.plane().kubeconfig().to_owned();
        let client = objects::client(&kubeconfig).await;
        *operator = Some(Operator::start(client));
    }

    /// Ends the operator as a SIGTERM would.
    pub(crate) async fn stop_operator(&self) {
        if let Some(operator) = self.operator.lock().await.take() {
            operator.stop().await;
        }
    }

    /// What the operator says in its metrics: the sum over all labels.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let operator = self.operator.lock().await;
        let text = operator.as_ref().expect("an operator runs").metrics.text().unwrap();
        apiserver::sum(&text, name, |_| true)
    }

    /// Says how everything stands.
    async fn tell(&self) {
        println!("--- objects");
        for line in self.all_objects().await {
            println!("{line}");
        }
        println!("--- how Ready went");
        for line in self.watched.history() {
            println!("{line}");
        }
        for (name, requests) in lock(&self.endpoints).iter() {
            println!("--- last requests to {name}");
            let requests = requests();
            for request in requests.iter().skip(requests.len().saturating_sub(25)) {
                println!("{:>5} {} {} → {}", request.seq, request.method, request.path, request.status);
            }
        }
        println!("--- the operator's log, the end of it");
        print!("{}", self.log.tail(120));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
