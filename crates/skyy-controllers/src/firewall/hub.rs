//! One writer for one firewall: gathers what the objects ask, looks once, plans once, writes once, looks again, answers each.
//!
//! A batch is: read all rows → plan over all asks → carry out the plan's steps, each resolved against the list as it stands at that
//! moment → read all rows again and plan again. Only that second plan says that an ask is fulfilled. The hub chooses nothing;
//! the planner chose.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use skyy_api::firewall::FirewallSpec;
use skyy_http::CallObserver;
use skyy_plan::firewall::{
    Ask, Call, Count, Observed, Owner, Plan, Policy, RowKind, Step, Subsystem, Table, Verdict, plan,
};
use skyy_runtime::{Class, Failure, Wake, Waker, backoff::jittered, secrets::Secrets};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    api::{CallFailure, Facts, FirewallApi},
    board::{Board, Known},
    connector::Connector,
};

/// Asks that come within this time of each other belong together.
const LULL: Duration = Duration::from_millis(400);
/// But the first of them does not wait longer than this.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often a batch begins anew at once because the firewall changed under it, before it waits.
const TRIES: usize = 4;
/// How long versions and interfaces are taken as known.
const FACTS_KEEP: Duration = Duration::from_mins(5);

/// What a hub is told about its firewall.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The Firewall's spec.
    pub spec: FirewallSpec,
    /// The number of deletions that a person has confirmed.
    pub confirmed_deletes: Option<u32>,
    /// Nothing is sent at all.
    pub paused: bool,
    /// Nothing is written.
    pub plan_only: bool,
    /// The request to look now, as the annotation has it.
    pub look_at: Option<String>,
}

/// What is known of a firewall as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// What it is.
    pub facts: Facts,
    /// Rows by kind.
    pub counts: BTreeMap<RowKind, Count>,
    /// Rows with our mark that belong to no object.
    pub orphans: Vec<String>,
    /// What the last plan would not do.
    pub refusal: Option<String>,
    /// What the last plan would do, while nothing may be written.
    pub held: Vec<String>,
}

/// The hub of one firewall.
pub struct Hub {
    name: String,
    board: Mutex<Board>,
    view: Mutex<Option<Result<View, Failure>>>,
    settings: Mutex<Settings>,
    /// Since when these settings hold.
    since: Mutex<Instant>,
    poke: Notify,
    stop: CancellationToken,
}

impl Hub {
    /// Takes an ask; the hub looks at it soon.
    pub fn declare(&self, ask: Ask) {
        if lock(&self.board).declare(ask) {
            self.poke.notify_one();
        }
    }

    /// The object asks for nothing any more.
    pub fn withdraw(&self, owner: &Owner) {
        lock(&self.board).withdraw(owner);
    }

    /// What is known about an ask.
    pub fn know(&self, ask: &Ask) -> Known {
        lock(&self.board).know(ask)
    }

    /// What was put right behind the object's back since it last asked.
    pub fn take_repair(&self, owner: &Owner) -> Option<String> {
        lock(&self.board).take_repair(owner)
    }

    /// What is known of the firewall; none before the first look under the settings as they are.
    pub fn view(&self) -> Option<Result<View, Failure>> {
        lock(&self.view).clone()
    }

    /// For how long these settings have held.
    pub fn age(&self) -> Duration {
        lock(&self.since).elapsed()
    }

    /// A person wants this ask answered anew.
    pub fn look_for(&self, owner: &Owner, request: &str) {
        if lock(&self.board).look_for(owner, request) {
            self.poke();
        }
    }

    /// Look now.
    pub fn poke(&self) {
        self.poke.notify_one();
    }
}

/// Wakes the objects of a firewall.
#[derive(Clone)]
pub struct Wakers {
    /// The Firewall itself.
    pub firewall: Waker,
    /// Its rows, by kind.
    pub rows: BTreeMap<RowKind, Waker>,
    /// All rows of the firewall of this name.
    pub all_rows: Arc<dyn Fn(&str) + Send + Sync>,
}

/// The hubs of all firewalls.
pub struct Firewalls {
    hubs: Mutex<BTreeMap<String, Arc<Hub>>>,
    installation: String,
    secrets: Secrets,
    observer: Arc<dyn CallObserver>,
    wakers: Wakers,
    stop: CancellationToken,
    running: tokio_util::task::TaskTracker,
}

impl Firewalls {
    /// No hubs yet.
    pub fn new(
        installation: String,
        secrets: Secrets,
        observer: Arc<dyn CallObserver>,
        wakers: Wakers,
        stop: CancellationToken,
    ) -> Self {
        let running = tokio_util::task::TaskTracker::new();
        Self { hubs: Mutex::default(), installation, secrets, observer, wakers, stop, running }
    }

    /// The hub of a firewall, where it has one.
    pub fn get(&self, name: &str) -> Option<Arc<Hub>> {
        lock(&self.hubs).get(name).cloned()
    }

    /// The hub of a firewall; it is started, or told of new settings.
    pub fn ensure(&self, name: &str, settings: Settings) -> Arc<Hub> {
        let mut hubs = lock(&self.hubs);
        if let Some(hub) = hubs.get(name) {
            let changed = {
                let mut now = lock(&hub.settings);
                let changed = *now != settings;
                *now = settings;
                changed
            };
            if changed {
                // What was seen under other settings says nothing about these.
                *lock(&hub.view) = None;
                *lock(&hub.since) = Instant::now();
                hub.poke();
            }
            return hub.clone();
        }
        let hub = Arc::new(Hub {
            name: name.to_owned(),
            board: Mutex::default(),
            view: Mutex::default(),
            settings: Mutex::new(settings.clone()),
            since: Mutex::new(Instant::now()),
            poke: Notify::new(),
            stop: self.stop.child_token(),
        });
        hubs.insert(name.to_owned(), hub.clone());
        let worker = Worker {
            hub: hub.clone(),
            installation: self.installation.clone(),
            wakers: self.wakers.clone(),
            connector: Connector {
                secrets: self.secrets.clone(),
                observer: self.observer.clone(),
                known: None,
            },
            facts: None,
            // What was written before a restart may never have become effective, and rules never say so.
            unapplied: BTreeSet::from([Subsystem::VirtualIps, Subsystem::Dhcp, Subsystem::Filter]),
            row_by_row: BTreeSet::new(),
            failures: 0,
            restarted: true,
            under: settings,
        };
        self.running.spawn(worker.run());
        // Rows that came before their hub wait for it.
        (self.wakers.all_rows)(name);
        hub
    }

    /// The firewall is no longer ours to look after.
    pub fn remove(&self, name: &str) {
        if let Some(hub) = lock(&self.hubs).remove(name) {
            hub.stop.cancel();
        }
    }

    /// A Secret changed: the hubs that log in by it look at once.
    pub fn secret_changed(&self, namespace: &str, name: &str) {
        for hub in lock(&self.hubs).values() {
            let reference = lock(&hub.settings).spec.api_key.secret.clone();
            if reference.namespace == namespace && reference.name == name {
                hub.poke();
            }
        }
    }

    /// Waits until every hub has finished what it had begun. The stop must have been told before.
    pub async fn finished(&self) {
        self.running.close();
        self.running.wait().await;
    }
}

struct Worker {
    hub: Arc<Hub>,
    installation: String,
    wakers: Wakers,
    connector: Connector,
    facts: Option<(Instant, Facts)>,
    unapplied: BTreeSet<Subsystem>,
    row_by_row: BTreeSet<Table>,
    failures: u32,
    restarted: bool,
    /// The settings of the batch.
    under: Settings,
}

/// How a batch ended.
enum End {
    /// All was looked at, and what could be done is done.
    Done,
    /// The firewall or the asks changed meanwhile: look again at once.
    Again,
    /// Something is in the way.
    Failed(Failure),
}

impl Worker {
    async fn run(mut self) {
        let mut wait = Duration::ZERO;
        loop {
            tokio::select! {
                () = self.hub.stop.cancelled() => return,
                () = self.hub.poke.notified() => self.gather().await,
                () = tokio::time::sleep(wait) => {}
            }
            let settings = lock(&self.hub.settings).clone();
            self.under.clone_from(&settings);
            let interval = Duration::from(settings.spec.interval);
            if settings.paused {
                wait = interval;
                continue;
            }
            let mut end = End::Again;
            for _ in 0..TRIES {
                end = self.batch(&settings).await;
                if !matches!(end, End::Again) || self.hub.stop.is_cancelled() {
                    break;
                }
            }
            wait = match end {
                End::Done => {
                    self.failures = 0;
                    jittered(interval)
                }
                End::Again => Duration::from_secs(1),
                End::Failed(failure) => {
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
        }
    }

    /// Waits until no more asks come, but not for ever.
    async fn gather(&self) {
        let first = Instant::now();
        let mut changes = lock(&self.hub.board).changes();
        while first.elapsed() < PATIENCE && !self.hub.stop.is_cancelled() {
            tokio::time::sleep(LULL).await;
            let now = lock(&self.hub.board).changes();
            if now == changes {
                return;
            }
            changes = now;
        }
    }

    async fn batch(&mut self, settings: &Settings) -> End {
        let api = match self.connector.connect(&self.hub.name, &settings.spec).await {
            Ok(api) => api,
            Err(failure) => return self.nobody_knows(failure),
        };
        let observed = match self.observe(&*api).await {
            Ok(observed) => observed,
            Err(failure) => return self.nobody_knows(failure.failure),
        };
        let policy = self.policy(settings);
        let (mut asks, withdrawals) = {
            let board = lock(&self.hub.board);
            (board.asks(), board.withdrawals())
        };
        if settings.plan_only {
            for ask in &mut asks {
                ask.held = true;
            }
        }
        let first = plan(&asks, &observed, &policy);
        if first.steps.is_empty() {
            self.publish(&asks, &first, settings, &BTreeMap::new());
            self.restarted = false;
            return if first.again { End::Again } else { End::Done };
        }
        self.note_repairs(&asks, &first);
        tracing::info!(firewall = self.hub.name, steps = first.steps.len(), asks = asks.len(), "writing");
        let mut refused = BTreeMap::new();
        if let Err(end) = self.carry_out(&*api, &first, withdrawals, &mut refused).await {
            if let End::Failed(failure) = &end {
                self.answer_unfinished(&asks, &first, failure);
            } else if self.hub.stop.is_cancelled() {
                self.make_effective(&*api).await;
            }
            return end;
        }
        // Only what can be read back counts.
        let observed = match self.observe(&*api).await {
            Ok(observed) => observed,
            Err(failure) => {
                self.answer_unfinished(&asks, &first, &failure.failure);
                return End::Failed(failure.failure);
            }
        };
        let second = plan(&asks, &observed, &policy);
        self.publish(&asks, &second, settings, &refused);
        self.restarted = false;
        let leftover = second.verdicts.iter().any(|(owner, verdict)| {
            matches!(verdict, Verdict::Change { steps, .. } if !steps.is_empty())
                && !refused.contains_key(owner)
        });
        if second.again || leftover || lock(&self.hub.board).anything_unanswered() {
            return End::Again;
        }
        self.row_by_row.clear();
        End::Done
    }

    fn policy(&self, settings: &Settings) -> Policy {
        let spec = &settings.spec;
        let mut policy = Policy::new(self.installation.clone(), self.hub.name.clone());
        policy.max_deletes_per_batch = spec.limits.max_deletes_per_batch;
        policy.confirmed_deletes = settings.confirmed_deletes;
        policy.management_sources = spec
            .protect
            .management_sources
            .iter()
            .filter_map(|net| skyy_api::address::parse_network(net).ok())
            .collect();
        policy.row_by_row.clone_from(&self.row_by_row);
        policy
    }

    async fn observe(&mut self, api: &impl FirewallApi) -> Result<Observed, CallFailure> {
        let facts = match &self.facts {
            Some((when, facts)) if when.elapsed() < FACTS_KEEP => facts.clone(),
            _ => {
                let facts = api.facts().await?;
                self.facts = Some((Instant::now(), facts.clone()));
                facts
            }
        };
        let mut observed = api.observe().await?;
        observed.interfaces = facts.interfaces;
        observed.unapplied.extend(self.unapplied.iter().copied());
        Ok(observed)
    }

    /// Carries out the steps in their order.
    async fn carry_out(
        &mut self,
        api: &impl FirewallApi,
        plan: &Plan,
        withdrawals: u64,
        refused: &mut BTreeMap<Owner, Failure>,
    ) -> Result<(), End> {
        for (n, step) in plan.steps.iter().enumerate() {
            // Pauses and changes count at the moment of the side effect. What was written is made effective all the same.
            let is_apply = step.table().is_none();
            if !is_apply
                && (lock(&self.hub.board).withdrawals() != withdrawals || self.hub.stop.is_cancelled())
            {
                return Err(End::Again);
            }
            let now = match step.needs() {
                Some(table) => api.read(table).await.map_err(|failure| End::Failed(failure.failure))?,
                None => Vec::new(),
            };
            let call = match step.resolve(&now) {
                Ok(call) => call,
                Err(stale) => {
                    tracing::info!(firewall = self.hub.name, %stale, "planning anew");
                    return Err(End::Again);
                }
            };
            if let Some(table) = step.table() {
                self.unapplied.insert(table.subsystem());
            }
            tracing::debug!(firewall = self.hub.name, %step, "step");
            match api.call(&call).await {
                Ok(()) => {
                    if let Step::Apply(subsystem) = step {
                        self.unapplied.remove(subsystem);
                    }
                }
                Err(failure) if failure.refused => {
                    if let (Call::Replace { table, .. }, false) =
                        (&call, step.table().is_some_and(|table| self.row_by_row.contains(table)))
                    {
                        // One row is at fault, and nobody says which: row by row it fails alone.
                        tracing::info!(firewall = self.hub.name, %table, message = failure.failure.message, "refused as a whole");
                        self.row_by_row.insert(table.clone());
                        return Err(End::Again);
                    }
                    for (owner, verdict) in &plan.verdicts {
                        if matches!(verdict, Verdict::Change { steps, .. } if steps.contains(&n)) && !is_apply
                        {
                            refused.insert(owner.clone(), failure.failure.clone());
                        }
                    }
                    if is_apply {
                        return Err(End::Failed(failure.failure));
                    }
                }
                Err(failure) => return Err(End::Failed(failure.failure)),
            }
        }
        Ok(())
    }

    /// The batch ends here for good: what of it was written must not wait for the next process. Where that fails, the next
    /// process does it.
    async fn make_effective(&mut self, api: &impl FirewallApi) {
        for subsystem in self.unapplied.clone() {
            match api.call(&Call::Apply(subsystem)).await {
                Ok(()) => drop(self.unapplied.remove(&subsystem)),
                Err(error) => {
                    tracing::warn!(firewall = self.hub.name, %subsystem, message = error.failure.message, "not made effective");
                }
            }
        }
    }

    /// What was right when it was last looked at, and is not now, was changed by somebody else.
    fn note_repairs(&self, asks: &[Ask], plan: &Plan) {
        let mut board = lock(&self.hub.board);
        for ask in asks.iter().filter(|ask| !ask.held) {
            let Some(Verdict::Change { actions, steps }) = plan.verdicts.get(&ask.owner) else { continue };
            if !steps.is_empty() && !self.restarted && board.was_in_sync(ask) {
                let what = format!(
                    "changed by somebody else on {}; put right: {}",
                    self.hub.name,
                    actions.join("; ")
                );
                board.note_repair(ask.owner.clone(), what);
            }
        }
    }

    /// Nobody could look: nothing is known, which is not to say that anything is gone.
    fn nobody_knows(&mut self, failure: Failure) -> End {
        let asks = lock(&self.hub.board).asks();
        for ask in &asks {
            self.tell(ask, Err(failure.clone()));
        }
        self.see(Err(failure.clone()));
        End::Failed(failure)
    }

    /// The writing stopped half-way: the asks that were part of it do not know how they stand.
    fn answer_unfinished(&self, asks: &[Ask], plan: &Plan, failure: &Failure) {
        for ask in asks {
            match plan.verdicts.get(&ask.owner) {
                Some(Verdict::Change { steps, .. }) if !steps.is_empty() => {
                    self.tell(ask, Err(failure.clone()));
                }
                Some(verdict) => self.tell(ask, Ok(verdict.clone())),
                None => {}
            }
        }
        self.see(Err(failure.clone()));
    }

    fn publish(&self, asks: &[Ask], plan: &Plan, settings: &Settings, refused: &BTreeMap<Owner, Failure>) {
        // While the whole firewall is held back, the asks on the board are not: the answers are for them as they stand there.
        let on_board: BTreeMap<Owner, Ask> = if settings.plan_only {
            lock(&self.hub.board).asks().into_iter().map(|ask| (ask.owner.clone(), ask)).collect()
        } else {
            BTreeMap::new()
        };
        for ask in asks {
            let Some(verdict) = plan.verdicts.get(&ask.owner) else { continue };
            let verdict = match (verdict, refused.get(&ask.owner)) {
                (Verdict::Change { .. }, Some(failure)) => Err(failure.clone()),
                (verdict, _) => Ok(verdict.clone()),
            };
            self.tell(on_board.get(&ask.owner).unwrap_or(ask), verdict);
        }
        let held = if settings.plan_only {
            plan.verdicts
                .values()
                .filter_map(|v| {
                    if let Verdict::Change { actions, .. } = v { Some(actions.join("; ")) } else { None }
                })
                .collect()
        } else {
            Vec::new()
        };
        self.see(Ok(View {
            facts: self.facts.as_ref().map(|(_, facts)| facts.clone()).unwrap_or_default(),
            counts: plan.counts.clone(),
            orphans: plan.orphans.iter().map(ToString::to_string).collect(),
            refusal: plan.refusal.as_ref().map(ToString::to_string),
            held,
        }));
    }

    fn tell(&self, ask: &Ask, verdict: Result<Verdict, Failure>) {
        if lock(&self.hub.board).answer(ask, verdict)
            && let Some(waker) = self.wakers.rows.get(&ask.owner.kind)
        {
            waker.wake(Wake { namespace: Some(ask.owner.namespace.clone()), name: ask.owner.name.clone() });
        }
    }

    fn see(&self, view: Result<View, Failure>) {
        let changed = {
            let settings = lock(&self.hub.settings);
            if *settings != self.under {
                // They changed during the batch, and the next one is on its way.
                return;
            }
            let mut now = lock(&self.hub.view);
            let changed = now.as_ref() != Some(&view);
            *now = Some(view);
            changed
        };
        if changed {
            self.wakers.firewall.wake(Wake { namespace: None, name: self.hub.name.clone() });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
