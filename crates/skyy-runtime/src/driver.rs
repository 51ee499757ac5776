//! The driver: what happens to every object, in this order.
//!
//! Pause → finalizer before anything outside → observe → plan → (plan-only stops here) → apply, and look again → status, written
//! once and only when different → event on a change → when to come back. On deletion the finalizer goes only when the plan for
//! absence is empty, which is to say when nothing of the object was seen outside any more.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt, StreamExt};
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{DeserializeGuard, object::HasStatus},
    runtime::{
        Controller as KubeController, Predicate, PredicateConfig, WatchStreamExt,
        controller::{self, Action},
        predicates, reflector,
    },
};
use skyy_api::{
    Reason, Reported,
    common::{PAUSED_ANNOTATION, PLAN_ONLY_ANNOTATION},
    condition::Fact,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    backoff::{Backoff, jittered},
    events::{Events, of_change},
    failure::{Class, Failure},
    finalizer,
    kind::{Goal, Kind, Mode, Progress, StatusOf},
    metrics::Metrics,
    scope::ApiScope,
    status::{self, Outcome},
    watch::{Listed, Lookup, SetAside, Wake, Waker, readable},
};

/// How often one pass may act and look again.
const ROUNDS: usize = 8;
/// How long to leave an object that waits for another; the other's change wakes it sooner.
const WAITING: Duration = Duration::from_secs(30);

/// What all drivers of a process share.
#[derive(Clone)]
pub struct Runtime {
    /// The API server.
    pub client: Client,
    /// Writes events.
    pub events: Events,
    /// Counts.
    pub metrics: Metrics,
    /// The clock.
    pub now: fn() -> Timestamp,
    /// How long one pass over one object may take.
    pub limit: Duration,
    /// How many objects of a kind are looked at side by side.
    pub concurrency: u16,
    /// No pass begins before it opens.
    pub gate: Gate,
}

impl Runtime {
    /// The usual bounds.
    pub fn new(client: Client, instance: Option<String>, metrics: Metrics) -> Self {
        Self {
            events: Events::new(client.clone(), instance, metrics.clone()),
            client,
            metrics,
            now: Timestamp::now,
            limit: Duration::from_mins(2),
            concurrency: 16,
            gate: Gate::default(),
        }
    }
}

/// Holds all passes back until what they read from other kinds is known.
#[derive(Clone, Debug)]
pub struct Gate(tokio::sync::watch::Receiver<bool>);

/// Opens a gate, once.
#[derive(Debug)]
pub struct GateKeeper(tokio::sync::watch::Sender<bool>);

impl Gate {
    /// A closed gate, and who opens it.
    pub fn closed() -> (GateKeeper, Self) {
        let (keeper, gate) = tokio::sync::watch::channel(false);
        (GateKeeper(keeper), Self(gate))
    }

    /// False when the gate will never open: its keeper went, as the process ends.
    async fn pass(&self) -> bool {
        self.0.clone().wait_for(|open| *open).await.is_ok()
    }
}

impl Default for Gate {
    /// An open gate.
    fn default() -> Self {
        let (keeper, gate) = Self::closed();
        keeper.open();
        gate
    }
}

impl GateKeeper {
    /// Lets all through, from now on.
    pub fn open(self) {
        self.0.send_replace(true);
    }
}

/// Called for each event of the kind's objects that the watch brings: to wake objects that depend on them.
pub type Hook<O> = Box<dyn Fn(&O) + Send + Sync>;

/// The controller of one kind, before it runs.
pub struct Controller<O: crate::kind::Object> {
    told: Listed,
    listed: tokio::sync::watch::Receiver<bool>,
    reader: reflector::Store<O>,
    writer: reflector::store::Writer<O>,
    waker: Waker,
    woken: mpsc::UnboundedReceiver<Wake>,
    hooks: Vec<Hook<O>>,
}

impl<O: crate::kind::Object> Default for Controller<O> {
    fn default() -> Self {
        let (reader, writer) = reflector::store();
        let (waker, woken) = Waker::new();
        let (told, listed) = Listed::new();
        Self { told, listed, reader, writer, waker, woken, hooks: Vec::new() }
    }
}

impl<O: crate::kind::Object> Controller<O> {
    /// Wakes this kind's objects.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// What the watch knows.
    pub fn lookup(&self) -> Lookup<O> {
        Lookup::new(self.reader.clone(), self.listed.clone())
    }

    /// Calls back for each object that changed or went.
    pub fn on_change(&mut self, hook: impl Fn(&O) + Send + Sync + 'static) {
        self.hooks.push(Box::new(hook));
    }

    /// Runs until told to stop; passes that have begun are finished.
    pub async fn run<K: Kind<Object = O>>(self, kind: K, runtime: Runtime, stop: CancellationToken) {
        let Self { told, listed: _, reader, writer, waker: _, woken, hooks } = self;
        let api: Api<DeserializeGuard<O>> = Api::all(runtime.client.clone());
        let set_aside = SetAside::new(runtime.client.clone(), runtime.metrics.clone(), K::NAME);
        let context = Arc::new(Context {
            kind,
            runtime: runtime.clone(),
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_mins(5)),
            current: Some(reader.clone()),
        });
        let gone = context.clone();
        let store = reader.clone();
        let mut before: Vec<Arc<O>> = Vec::new();
        let stream = readable::<O>(api, set_aside)
            .reflect(writer) // before the filter, or the store misses what the filter drops
            .inspect(move |event| {
                use kube::runtime::watcher::Event;
                told.hear(event);
                match event {
                    // A watch that broke may have missed a deletion: what stood in the store before a new full list, and
                    // does not after it, is gone.
                    Ok(Event::Init) => before = store.state(),
                    Ok(Event::InitDone) => {
                        for object in before.drain(..) {
                            let now = store.get(&Wake::of(&*object).object_ref());
                            if now.is_none_or(|now| now.uid() != object.uid()) {
                                tell(&hooks, &object);
                                gone.forget(&object);
                            }
                        }
                    }
                    Ok(Event::Apply(object) | Event::InitApply(object)) => {
                        tell(&hooks, object);
                    }
                    Ok(Event::Delete(object)) => {
                        tell(&hooks, object);
                        gone.forget(object);
                    }
                    Err(_) => {}
                }
            })
            .applied_objects()
            // A status that was written must not wake its own writer. The finalizer is written by a pass that goes on;
            // a deletion moves the generation.
            .predicate_filter(
                predicates::generation.combine(predicates::annotations),
                PredicateConfig::default(),
            );
        let woken = UnboundedReceiverStream::new(woken).map(|wake| wake.object_ref());
        KubeController::for_stream(stream, reader)
            .with_config(controller::Config::default().concurrency(runtime.concurrency))
            .reconcile_on(woken)
            .graceful_shutdown_on(stop.cancelled_owned())
            .run(reconcile, error_policy, context)
            .for_each(async |result| match result {
                Ok(_)
                | Err(controller::Error::ReconcilerFailed(..) | controller::Error::ObjectNotFound(_)) => {}
                Err(error) => tracing::warn!(%error, kind = K::NAME, "watch"),
            })
            .await;
    }
}

fn tell<O>(hooks: &[Hook<O>], object: &O) {
    for hook in hooks {
        hook(object);
    }
}

/// What the passes over one kind share.
pub struct Context<K: Kind> {
    kind: K,
    runtime: Runtime,
    backoff: Backoff,
    current: Option<reflector::Store<K::Object>>,
}

impl<K: Kind> Context<K> {
    fn forget(&self, object: &K::Object) {
        self.backoff.forget(&object.uid().unwrap_or_default());
        self.kind.forget(object);
    }

    /// The object as the watch knows it now, which may be newer than the one that the pass began with.
    fn now(&self, object: &Arc<K::Object>) -> Arc<K::Object> {
        let known = self.current.as_ref().and_then(|store| store.get(&Wake::of(&**object).object_ref()));
        known.filter(|known| known.uid() == object.uid()).unwrap_or_else(|| object.clone())
    }

    /// For tests that drive single passes.
    pub fn new(kind: K, runtime: Runtime) -> Self {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(5));
        Self { kind, runtime, backoff, current: None }
    }
}

/// What one look brought: the outcome, and what the kind told about it.
struct Pass<O: crate::kind::Object> {
    outcome: Outcome,
    told: Option<(StatusOf<O>, Vec<Fact>)>,
    notes: Vec<crate::kind::Note>,
    look_again: Option<Duration>,
    quiet: bool,
}

impl<O: crate::kind::Object> Pass<O> {
    fn of(outcome: Outcome) -> Self {
        Self { outcome, told: None, notes: Vec::new(), look_again: None, quiet: false }
    }
}

/// One pass over one object.
pub async fn reconcile<K: Kind>(object: Arc<K::Object>, ctx: Arc<Context<K>>) -> Result<Action, Failure> {
    if !ctx.runtime.gate.pass().await {
        return Ok(Action::await_change());
    }
    let started = Instant::now();
    let span = tracing::info_span!(
        "reconcile",
        kind = K::NAME,
        namespace = object.namespace(),
        name = object.name_any(),
        generation = object.meta().generation
    );
    let result = pass(object, &ctx).instrument(span).await;
    let word = match &result {
        Ok((word, _)) => word,
        Err(failure) => Outcome::Failed(failure.clone()).word(),
    };
    ctx.runtime.metrics.reconciled(K::NAME, word, started.elapsed());
    result.map(|(_, action)| action)
}

async fn pass<K: Kind>(
    mut object: Arc<K::Object>,
    ctx: &Context<K>,
) -> Result<(&'static str, Action), Failure> {
    let runtime = &ctx.runtime;
    let api: Api<K::Object> = <<K::Object as Resource>::Scope as ApiScope>::api(
        runtime.client.clone(),
        object.namespace().as_deref(),
    );
    let deleting = object.meta().deletion_timestamp.is_some();
    if deleting && !finalizer::present(&*object) {
        return Ok(("gone", Action::await_change()));
    }
    let goal = if deleting { Goal::Absent } else { Goal::Present };

    let pass = if annotated(&*object, PAUSED_ANNOTATION) {
        ctx.kind.hold(&object);
        Pass::of(Outcome::Paused)
    } else {
        if !deleting && !finalizer::present(&*object) {
            object = Arc::new(timed(finalizer::add(&api, &*object)).await?);
        }
        bounded(runtime.limit, look(ctx, &object, goal)).await
    };

    if goal == Goal::Absent && matches!(pass.outcome, Outcome::Settled(..)) {
        for note in &pass.notes {
            runtime.events.publish(K::NAME, &*object, note).await;
        }
        timed(finalizer::remove(&api, &*object)).await?;
        ctx.backoff.forget(&object.uid().unwrap_or_default());
        return Ok(("gone", Action::await_change()));
    }
    report(ctx, &api, &object, &pass, goal).await?;
    finish(ctx, &object, pass)
}

/// Observe, plan, apply; and again while the kind asks for it.
async fn look<K: Kind>(ctx: &Context<K>, object: &Arc<K::Object>, goal: Goal) -> Pass<K::Object> {
    let kind = &ctx.kind;
    let mode = if annotated(&**object, PLAN_ONLY_ANNOTATION) { Mode::PlanOnly } else { Mode::Act };
    let mut notes = Vec::new();
    for _ in 0..ROUNDS {
        let seen = match kind.observe(object, goal, mode).await {
            Ok(seen) => seen,
            Err(failure) => return Pass { notes, ..Pass::of(Outcome::Failed(failure)) },
        };
        notes.extend(kind.notes(object, &seen));
        let mut status = object.status().cloned().unwrap_or_default();
        let facts = kind.report(object, &seen, &mut status);
        let told = Some((status, facts));
        let with = |outcome| Pass { told: told.clone(), notes: notes.clone(), ..Pass::of(outcome) };
        let plan = match kind.plan(object, &seen, goal) {
            Err(failure) => return with(Outcome::Failed(failure)),
            Ok(None) => {
                let (reason, message) = kind.settled(object, &seen);
                return with(Outcome::Settled(reason, message));
            }
            Ok(Some(plan)) => plan,
        };
        let lines = plan.to_string();
        // A person may have held it back since the pass began: that counts at the moment of the side effect.
        let now = ctx.now(object);
        if annotated(&*now, PAUSED_ANNOTATION) {
            kind.hold(object);
            return Pass { notes, ..Pass::of(Outcome::Paused) };
        }
        if mode == Mode::PlanOnly || annotated(&*now, PLAN_ONLY_ANNOTATION) {
            return with(Outcome::Planned(lines.lines().map(str::to_owned).collect()));
        }
        tracing::debug!(plan = lines, "acting");
        match kind.apply(object, &seen, plan).await {
            Ok(Progress::Again) => {}
            Ok(Progress::Working { what, look_again }) => {
                return Pass { look_again: Some(look_again), ..with(Outcome::Working(what)) };
            }
            Ok(Progress::Quiet { look_again }) => {
                return Pass {
                    look_again: Some(look_again),
                    quiet: true,
                    ..with(Outcome::Working(String::new()))
                };
            }
            Err(failure) => return with(Outcome::Failed(failure)),
        }
    }
    let what = format!("{ROUNDS} steps done in one pass; going on in the next");
    Pass { look_again: Some(Duration::from_secs(1)), notes, ..Pass::of(Outcome::Working(what)) }
}

/// Neither a hang nor a panic of one object may stop the others.
async fn bounded<O: crate::kind::Object>(limit: Duration, work: impl Future<Output = Pass<O>>) -> Pass<O> {
    match tokio::time::timeout(limit, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(pass)) => pass,
        Ok(Err(panic)) => {
            let what = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            tracing::error!(what, "a defect: the pass panicked");
            let message = "a defect in the operator ended the pass; its log has more. Other objects go on";
            Pass::of(Outcome::Failed(Failure::transient(Reason::Panicked, message)))
        }
        Err(_) => {
            let message =
                format!("the pass took longer than {} s and was ended; trying again", limit.as_secs());
            Pass::of(Outcome::Failed(Failure::transient(Reason::TimedOut, message)))
        }
    }
}

/// Writes the status when it differs, and the events that the change deserves.
async fn report<K: Kind>(
    ctx: &Context<K>,
    api: &Api<K::Object>,
    object: &Arc<K::Object>,
    pass: &Pass<K::Object>,
    goal: Goal,
) -> Result<(), Failure> {
    let runtime = &ctx.runtime;
    for note in &pass.notes {
        runtime.events.publish(K::NAME, &**object, note).await;
    }
    if pass.quiet {
        return Ok(());
    }
    let new = status::status_of(&**object, pass.told.clone(), &pass.outcome, goal, (runtime.now)());
    if object.status() == Some(&new) {
        return Ok(());
    }
    match timed_kube(status::write(api, &**object, &new)).await? {
        Ok(()) => runtime.metrics.status_written(K::NAME),
        // It went while we looked.
        Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
        // The object is newer than the one we looked at: what we know is old, and the next pass knows better.
        Err(kube::Error::Api(status)) if status.is_conflict() => {
            return Err(Failure::transient(Reason::ApiServerError, STALE).not_before(None));
        }
        Err(error) => return Err(error.into()),
    }
    let old = object.status().map(|status| status.conditions().to_vec()).unwrap_or_default();
    if let Some(note) = of_change(&old, new.conditions()) {
        runtime.events.publish(K::NAME, &**object, &note).await;
    }
    Ok(())
}

/// When to come back.
fn finish<K: Kind>(
    ctx: &Context<K>,
    object: &K::Object,
    pass: Pass<K::Object>,
) -> Result<(&'static str, Action), Failure> {
    let uid = object.uid().unwrap_or_default();
    let word = pass.outcome.word();
    let action = match pass.outcome {
        Outcome::Failed(failure) => return Err(failure),
        Outcome::Paused => Action::await_change(),
        Outcome::Working(_) => Action::requeue(pass.look_again.unwrap_or(WAITING)),
        Outcome::Settled(..) | Outcome::Planned(_) => Action::requeue(jittered(ctx.kind.resync())),
    };
    ctx.backoff.forget(&uid);
    Ok((word, action))
}

/// What a pass says that began with an object which has changed since.
const STALE: &str = "the object changed while it was looked at; looking again";

/// How long a call to the API server may take.
const API_LIMIT: Duration = Duration::from_secs(30);

/// The outer error is that the API server did not answer at all.
async fn timed_kube<T>(
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<Result<T, kube::Error>, Failure> {
    tokio::time::timeout(API_LIMIT, call).await.map_err(|_| {
        let message = format!("the Kubernetes API server did not answer within {} s", API_LIMIT.as_secs());
        Failure::transient(Reason::ApiServerError, message)
    })
}

async fn timed<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Failure> {
    timed_kube(call).await?.map_err(Failure::from)
}

/// When to come back after a failure.
pub fn error_policy<K: Kind>(object: Arc<K::Object>, failure: &Failure, ctx: Arc<Context<K>>) -> Action {
    let uid = object.uid().unwrap_or_default();
    if failure.message == STALE {
        // Nothing failed; the watch needs a moment.
        return Action::requeue(jittered(Duration::from_millis(300)));
    }
    let wait = match failure.class {
        Class::Transient => ctx.backoff.next(&uid),
        Class::Waiting => jittered(WAITING),
        Class::Terminal => jittered(ctx.kind.resync()),
    };
    tracing::warn!(
        kind = K::NAME,
        namespace = object.namespace(),
        name = object.name_any(),
        reason = failure.reason.as_str(),
        tries = ctx.backoff.tries(&uid),
        message = failure.message,
        "not yet"
    );
    Action::requeue(failure.retry_after.map_or(wait, |least| wait.max(least)))
}

/// Is the annotation set to `true`?
pub fn annotated<K: ResourceExt>(object: &K, annotation: &str) -> bool {
    object.annotations().get(annotation).is_some_and(|value| value == "true")
}
