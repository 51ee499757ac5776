//! A kind that does as it is told, and a bench on which single passes over one object of it are driven.

use std::{
    cell::Cell,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;
use serde_json::{Value, json};
use skyy_api::{Reason, VirtualIp, VirtualIpStatus, condition::Fact, condition::PROGRAMMED};
use skyy_runtime::{
    Failure, Goal, Kind, Mode, Note, Progress, Runtime,
    driver::{Context, error_policy, reconcile},
    metrics::Metrics,
};

use crate::server::{Server, Story, lock};

pub(crate) const LIMIT: Duration = Duration::from_mins(1);
pub(crate) const RESYNC: Duration = Duration::from_mins(10);

/// How a step of the kind goes, when it does not go well.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Trouble {
    Fails(Failure),
    Panics,
    Hangs,
}

/// How acting goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Acting {
    /// What was planned is done at once.
    #[default]
    Does,
    /// It says it did something, and nothing changes.
    Nothing,
    /// Work goes on elsewhere.
    Works,
    /// Work was handed over a moment ago.
    Quiet,
    Trouble(Trouble),
}

/// What is outside, and how the kind behaves; changed by tests between passes.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    /// Rows of the object that are there.
    pub(crate) rows: u32,
    pub(crate) observe: Option<Trouble>,
    pub(crate) plan: Option<Failure>,
    pub(crate) plan_panics: bool,
    pub(crate) acting: Acting,
    pub(crate) note: Option<Note>,
    pub(crate) lines: usize,
    /// Whether the kind tells its own condition.
    pub(crate) programmed: Option<bool>,
}

pub(crate) struct Fake {
    world: Arc<Mutex<World>>,
    story: Story,
}

pub(crate) struct Steps(Vec<String>);

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl Fake {
    pub(crate) fn new(world: Arc<Mutex<World>>, story: Story) -> Self {
        Self { world, story }
    }

    async fn suffer(&self, trouble: Option<Trouble>) -> Result<(), Failure> {
        match trouble {
            None => Ok(()),
            Some(Trouble::Fails(failure)) => Err(failure),
            Some(Trouble::Panics) => panic!("a defect, on purpose"),
            Some(Trouble::Hangs) => std::future::pending().await,
        }
    }

    fn world(&self) -> World {
        lock(&self.world).clone()
    }
}

impl Kind for Fake {
    type Object = VirtualIp;
    type Observed = u32;
    type Plan = Steps;
    const NAME: &'static str = "virtualip";

    async fn observe(&self, _: &Arc<VirtualIp>, _: Goal, mode: Mode) -> Result<u32, Failure> {
        self.story.tell(if mode == Mode::Act { "observe" } else { "observe, to plan only" });
        let world = self.world();
        self.suffer(world.observe).await?;
        Ok(world.rows)
    }

    fn plan(&self, _: &VirtualIp, rows: &u32, goal: Goal) -> Result<Option<Steps>, Failure> {
        let world = self.world();
        assert!(!world.plan_panics, "a defect, on purpose");
        if let Some(failure) = world.plan {
            return Err(failure);
        }
        let verb = match (goal, rows) {
            (Goal::Present, 0) => "make",
            (Goal::Absent, 1..) => "remove",
            _ => return Ok(None),
        };
        Ok(Some(Steps((0..world.lines.max(1)).map(|n| format!("{verb} row {n}")).collect())))
    }

    async fn apply(&self, _: &Arc<VirtualIp>, _: &u32, plan: Steps) -> Result<Progress, Failure> {
        self.story.tell(format!("apply: {}", plan.0[0]));
        let second = Duration::from_secs(3);
        match self.world().acting {
            Acting::Does => {
                lock(&self.world).rows = u32::from(plan.0[0].starts_with("make"));
                Ok(Progress::Again)
            }
            Acting::Nothing => Ok(Progress::Again),
            Acting::Works => Ok(Progress::working("a task runs", second)),
            Acting::Quiet => Ok(Progress::Quiet { look_again: second }),
            Acting::Trouble(trouble) => self.suffer(Some(trouble)).await.map(|()| Progress::Again),
        }
    }

    fn report(&self, _: &VirtualIp, _: &u32, _: &mut VirtualIpStatus) -> Vec<Fact> {
        self.world()
            .programmed
            .map(|holds| Fact {
                condition: PROGRAMMED,
                holds: Some(holds),
                reason: Reason::InSync,
                message: String::new(),
            })
            .into_iter()
            .collect()
    }

    fn notes(&self, _: &VirtualIp, _: &u32) -> Vec<Note> {
        lock(&self.world).note.take().into_iter().collect()
    }

    fn hold(&self, _: &VirtualIp) {
        self.story.tell("hold");
    }

    fn resync(&self) -> Duration {
        RESYNC
    }
}

thread_local! {
    /// A test runs on one thread, and so does the clock of its driver.
    static NOW: Cell<i64> = const { Cell::new(1_800_000_000) };
}

fn now() -> Timestamp {
    Timestamp::from_second(NOW.get()).expect("a time")
}

/// One object, its API server, its kind, and the driver's context.
pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) metrics: Metrics,
    world: Arc<Mutex<World>>,
    context: Arc<Context<Fake>>,
}

/// An object that nobody has looked at yet.
pub(crate) fn fresh() -> Value {
    json!({
        "apiVersion": "skyy.helloskyy.io/v1alpha1", "kind": "VirtualIP",
        "metadata": {"name": "a", "namespace": "tenants", "uid": "6b0f9c1e", "generation": 3, "resourceVersion": "100",
            "finalizers": [], "annotations": {}},
        "spec": {"firewall": "edge", "address": "198.18.0.2/23", "interface": "wan"},
        "status": {"observedGeneration": -1},
    })
}

impl Bench {
    /// An object that nobody has looked at yet, in a world where nothing is there.
    pub(crate) fn new() -> Self {
        let (client, server) = Server::serve(fresh());
        let world = Arc::new(Mutex::new(World::default()));
        let metrics = Metrics::default();
        let mut runtime = Runtime::new(client, Some("pod-1".into()), metrics.clone());
        runtime.now = now;
        runtime.limit = LIMIT;
        let kind = Fake::new(world.clone(), server.story.clone());
        Self { server, metrics, world, context: Arc::new(Context::new(kind, runtime)) }
    }

    /// One that is settled already, with its finalizer and status; the story begins after that.
    pub(crate) async fn settled() -> Self {
        let bench = Self::new();
        bench.pass().await.expect("the first pass settles");
        bench.server.story.take();
        bench
    }

    /// One that is settled and is being deleted now.
    pub(crate) async fn deleting() -> Self {
        let bench = Self::settled().await;
        bench.delete();
        bench
    }

    pub(crate) fn delete(&self) {
        self.server.change(|object| {
            object["metadata"]["deletionTimestamp"] = json!("2027-01-15T08:00:00Z");
            object["metadata"]["generation"] =
                json!(object["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
        });
    }

    pub(crate) fn world(&self, change: impl FnOnce(&mut World)) {
        change(&mut lock(&self.world));
    }

    pub(crate) fn rows(&self) -> u32 {
        lock(&self.world).rows
    }

    /// Sets the annotation, or takes it off.
    pub(crate) fn annotate(&self, annotation: &str, value: Option<&str>) {
        self.server.change(|object| object["metadata"]["annotations"][annotation] = json!(value));
        if value.is_none() {
            self.server.change(|object| {
                object["metadata"]["annotations"].as_object_mut().expect("annotations").remove(annotation);
            });
        }
    }

    /// A person changes the spec.
    pub(crate) fn edit(&self) {
        self.server.change(|object| {
            object["metadata"]["generation"] =
                json!(object["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
        });
    }

    /// One pass over the object as the API server has it.
    pub(crate) async fn pass(&self) -> Result<Action, Failure> {
        self.pass_over(Arc::new(self.server.object())).await
    }

    /// One pass over an object as some watch has it, a second after the last one.
    pub(crate) async fn pass_over(&self, object: Arc<VirtualIp>) -> Result<Action, Failure> {
        NOW.set(NOW.get() + 1);
        let result = reconcile(object, self.context.clone()).await;
        self.server.check_conditions();
        result
    }

    /// When the driver comes back after this failure.
    pub(crate) fn policy(&self, failure: &Failure) -> Action {
        error_policy(Arc::new(self.server.object()), failure, self.context.clone())
    }

    #[track_caller]
    pub(crate) fn story(&self, expected: &[&str]) {
        assert_eq!(self.server.story.take(), expected);
    }

    /// The last status's condition: status, reason and message.
    pub(crate) fn condition(&self, name: &str) -> Option<[String; 3]> {
        let status = self.server.status();
        let condition = status["conditions"].as_array()?.iter().find(|c| c["type"] == name)?.clone();
        Some(
            ["status", "reason", "message"]
                .map(|field| condition[field].as_str().unwrap_or_default().to_owned()),
        )
    }

    #[track_caller]
    pub(crate) fn check(&self, name: &str, status: &str, reason: &str, message: &str) {
        let [is, because, says] = self.condition(name).unwrap_or_else(|| panic!("{name} is not there"));
        assert_eq!((is.as_str(), because.as_str()), (status, reason), "{name}");
        assert!(says.contains(message), "{name} says {says:?}");
    }
}

/// Whether the action is this wait, more or less the fifth that jitter makes of it.
pub(crate) fn is_about(action: &Action, wait: Duration) -> bool {
    (0..=400).any(|n| *action == Action::requeue(wait.mul_f64(0.8 + f64::from(n) / 1000.0)))
}
