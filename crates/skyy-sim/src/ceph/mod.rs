//! The simulated Ceph manager: the REST API of its dashboard module, as releases 16.2.15 and 18.2.7 answer.
//!
//! Several managers share one cluster; one is active, the others answer 303. The first listens at the root, number `n`
//! below `/_mgr/n/` of the same listener as well, and on a listener of its own where one is made from
//! [`CephMgr::manager_router`]. Control: `/_sim/ceph/...`, see [`control`]. Knows nothing of our client.

mod auth;
mod clock;
mod config;
mod control;
mod health;
mod osd;
mod pool;
mod pool_job;
mod preset;
mod rbd;
mod render;
mod reply;
mod request;
mod routes;
mod state;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body as HttpBody, Bytes},
    extract::State,
    response::Response,
};
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::{
    reply::{Body, Reply},
    request::{Params, Request},
    routes::{Found, Op},
    state::Cluster,
};
use crate::{
    Clock,
    product::{NoAnswer, Product},
};

pub use self::{
    control::{Disks, PoolUsage},
    state::{Health, HealthCheck},
};

/// A release whose answers are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Release {
    /// 16.2.15, Pacific.
    V16,
    /// 18.2.7, Reef.
    V18,
}

impl Release {
    fn major(self) -> u32 {
        match self {
            Self::V16 => 16,
            Self::V18 => 18,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::V16 => "pacific",
            Self::V18 => "reef",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::V16 => "16.2.15",
            Self::V18 => "18.2.7",
        }
    }

    /// The version as daemons report it.
    fn version_line(self) -> &'static str {
        match self {
            Self::V16 => "ceph version 16.2.15 (618f440892089921c3e944a991122ddc44e60516) pacific (stable)",
            Self::V18 => "ceph version 18.2.7 (6b0e988052ec84cf2d4a54ff9bbbc5e720b621ad) reef (stable)",
        }
    }
}

/// A cluster to start with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Preset {
    /// The small cluster of the recorded samples: one host, three OSDs; `admin` / `dev-Passw0rd-1`.
    Golden,
    /// 24 OSDs on 8 hosts, about 200 TiB, pools of others; `skyy` / `skyy-demo-password`, `admin` / `admin-password`.
    Demo,
}

/// How long things take on the simulated clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// From the 202 of a pool's creation to its end; half of it the pool is not to be seen, then it is bare.
    create: Duration,
    /// From the 202 of a change of `pg_num` to its end.
    pg_change: Duration,
    /// One command to the monitors. An edit of several commands that takes longer than `answer` is a task.
    command: Duration,
    /// How long a handler waits before it answers 202.
    answer: Duration,
    /// How long a token counts.
    token: Duration,
    /// How long the manager is away when a module is enabled or disabled.
    restart: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            create: Duration::from_secs(1),
            pg_change: Duration::from_secs(2),
            command: Duration::ZERO,
            answer: Duration::from_secs(2),
            token: Duration::from_hours(8),
            restart: Duration::from_secs(3),
        }
    }
}

/// A change of [`Timing`], in seconds; what is left out stays.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TimingChange {
    /// See [`Timing`].
    pub create_seconds: Option<f64>,
    /// See [`Timing`].
    pub pg_seconds: Option<f64>,
    /// See [`Timing`].
    pub command_seconds: Option<f64>,
    /// See [`Timing`].
    pub answer_seconds: Option<f64>,
    /// See [`Timing`].
    pub token_seconds: Option<f64>,
    /// See [`Timing`].
    pub restart_seconds: Option<f64>,
}

/// What to simulate.
#[derive(Debug, Clone)]
pub struct CephOptions {
    /// Whose answers.
    pub release: Release,
    /// How many managers, one to six.
    pub managers: usize,
    /// With what to start.
    pub preset: Preset,
    /// How long things take.
    pub timing: TimingChange,
    /// Its time; [`CephMgr::advance`] moves the cluster ahead of it.
    pub clock: Clock,
}

impl CephOptions {
    /// The recorded cluster of a release, with one manager.
    pub fn golden(release: Release) -> Self {
        Self { release, managers: 1, preset: Preset::Golden, ..Self::demo() }
    }

    /// A cluster in use on 18, with two managers.
    pub fn demo() -> Self {
        Self {
            release: Release::V18,
            managers: 2,
            preset: Preset::Demo,
            timing: TimingChange::default(),
            clock: Clock::real(1.0),
        }
    }
}

/// A simulated cluster with its managers.
#[derive(Debug)]
pub struct CephMgr {
    clock: Clock,
    inner: Mutex<Inner>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Inner {
    release: Release,
    timing: Timing,
    clock_offset: Duration,
    cluster: Cluster,
    /// Where each manager is reached; where unknown, below the address the request came to.
    #[serde(skip)]
    urls: Vec<Option<String>>,
    #[serde(skip)]
    base_url: Option<String>,
}

impl CephMgr {
    /// A cluster in its start state.
    pub fn new(options: CephOptions) -> Self {
        let CephOptions { release, managers, preset, timing: change, clock } = options;
        let now = clock::millis(clock.now());
        let mut timing = Timing::default();
        if preset == Preset::Golden {
            timing.create = Duration::ZERO;
        }
        timing.apply(&change);
        let cluster = preset::cluster(preset, release, managers, now);
        let inner = Inner {
            release,
            timing,
            clock_offset: Duration::ZERO,
            cluster,
            urls: Vec::new(),
            base_url: None,
        };
        Self { clock, inner: Mutex::new(inner) }
    }

    /// The surface of one manager alone, for a listener of its own.
    pub fn manager_router(self: Arc<Self>, index: usize) -> Router {
        Router::new().fallback(serve).with_state((self, index))
    }

    /// Says where a manager is reached, so that a standby can name the active one.
    pub fn set_manager_url(&self, index: usize, url: &str) {
        let mut inner = self.lock();
        if inner.urls.len() <= index {
            inner.urls.resize(index + 1, None);
        }
        inner.urls[index] = Some(format!("{}/", url.trim_end_matches('/')));
    }

    /// Says where the first manager is reached when all share one listener, as a request does not tell `https`.
    pub fn set_base_url(&self, url: &str) {
        self.lock().base_url = Some(url.trim_end_matches('/').to_owned());
    }

    /// The next manager takes over after `outage`; tasks of the old one are lost.
    pub fn fail_over(&self, outage: Duration) {
        self.with(|cluster, now| cluster.fail_over(now, clock::millis(outage)));
    }

    /// Sets the health, or gives it back to the state.
    pub fn set_health(&self, health: Option<Health>) {
        self.with(|cluster, _| cluster.health = health);
    }

    /// Sets the disks' sizes, use and state.
    pub fn set_disks(&self, disks: &Disks) {
        self.with(|cluster, _| {
            for osd in cluster.osds.values_mut() {
                osd.bytes = disks.bytes_per_osd.unwrap_or(osd.bytes);
                osd.used = disks.used_per_osd.unwrap_or(osd.used);
                if let Some(down) = &disks.down {
                    osd.up = !down.contains(&osd.id);
                }
            }
        });
    }

    /// Puts data into a pool; false when there is no such pool.
    pub fn set_pool_usage(&self, usage: &PoolUsage) -> bool {
        self.with(|cluster, _| match cluster.pool_mut(&usage.name) {
            Some(pool) => {
                pool.stored = usage.stored_bytes.unwrap_or(pool.stored);
                pool.objects = usage.objects.unwrap_or(pool.objects);
                true
            }
            None => false,
        })
    }

    /// Gives a user another password, which ends their tokens and any lock; false when there is no such user.
    pub fn set_password(&self, username: &str, password: &str) -> bool {
        self.with(|cluster, now| match cluster.users.get_mut(username) {
            Some(user) => {
                password.clone_into(&mut user.password);
                user.enabled = true;
                user.attempts = 0;
                user.changed_ms = now;
                cluster.tokens.retain(|_, (who, _)| who != username);
                true
            }
            None => false,
        })
    }

    /// Moves the cluster's clock forward.
    pub fn advance(&self, by: Duration) {
        self.lock().clock_offset += by;
    }

    /// Changes how long things take from now on.
    pub fn change_timing(&self, change: &TimingChange) -> Timing {
        let mut inner = self.lock();
        inner.timing.apply(change);
        inner.timing
    }

    /// The names of all pools that are to be seen.
    pub fn pool_names(&self) -> Vec<String> {
        self.with(|cluster, _| cluster.pools.values().map(|p| p.name.clone()).collect())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cluster at this moment.
    fn with<T>(&self, use_it: impl FnOnce(&mut Cluster, u64) -> T) -> T {
        let mut inner = self.lock();
        let now = clock::millis(self.clock.now() + inner.clock_offset);
        let release = inner.release;
        inner.cluster.settle(release, now);
        use_it(&mut inner.cluster, now)
    }

    fn answer(&self, manager: usize, mut request: Request) -> Response {
        if let [sim, ceph, rest @ ..] = request.segments.as_slice()
            && sim == "_sim"
            && ceph == "ceph"
        {
            let reply = control::handle(self, &request, rest);
            return respond(reply, "application/json");
        }
        let mut manager = manager;
        if let [mgr, index, ..] = request.segments.as_slice()
            && mgr == "_mgr"
            && let Ok(index) = index.parse()
        {
            manager = index;
            request.segments.drain(..2);
            request.path = format!("/{}", request.segments.join("/"));
        }
        let mut inner = self.lock();
        let now = clock::millis(self.clock.now() + inner.clock_offset);
        let release = inner.release;
        inner.cluster.settle(release, now);
        inner.answer(manager, &request, now)
    }
}

impl Inner {
    /// Where a manager is reached, for redirects and the summary.
    fn url_of(&self, manager: usize, request: &Request) -> String {
        if let Some(Some(url)) = self.urls.get(manager) {
            return url.clone();
        }
        let base = self
            .base_url
            .clone()
            .unwrap_or_else(|| format!("http://{}", request.header(header::HOST).unwrap_or("127.0.0.1")));
        if manager == 0 { format!("{base}/") } else { format!("{base}/_mgr/{manager}/") }
    }

    fn answer(&mut self, manager: usize, request: &Request, now: u64) -> Response {
        let outage = self.cluster.outage_until_ms > now;
        if manager != self.cluster.active || manager >= self.cluster.managers.len() {
            let reply = if outage {
                Reply::html("No active ceph-mgr instance is currently running the dashboard.")
            } else {
                Reply::redirect(&self.url_of(self.cluster.active, request))
            };
            return respond(reply, "text/html;charset=utf-8");
        }
        if outage {
            return respond(Reply::dropped(), "");
        }
        let Some(found) = routes::find(self.release, &request.method, &request.segments) else {
            return respond(Reply::no_route(&request.path), "");
        };
        let media_type = routes::media_type(found.version);
        let reply = self.guarded(&found, request, now).unwrap_or_else(|refusal| refusal);
        respond(reply, &media_type)
    }

    /// The order of the real one: body, login, permission, version, and only then the handler.
    fn guarded(&mut self, found: &Found, request: &Request, now: u64) -> Result<Reply, Reply> {
        let params = request.params()?;
        let mut user = String::new();
        if let Some(scope) = found.scope {
            let token = request.token().ok_or_else(Reply::unauthorized)?;
            user = auth::user_of(&self.cluster, &token, now)
                .map_err(|error| auth::refuse_token(self.release, &error))?;
            let known = self.cluster.users.get(&user).ok_or_else(Reply::unauthorized)?;
            if !auth::may(known, scope, routes::permission(&request.method)) {
                return Err(Reply::http_error(403, "You don't have permissions to access that resource"));
            }
        }
        routes::accepts(request.header(header::ACCEPT), found.version)
            .map_err(|text| Reply::http_error(415, &text))?;
        if params.unusable() {
            return Err(Reply::opaque());
        }
        Ok(self.handle(found, request, &params, &user, now))
    }

    fn handle(&mut self, found: &Found, request: &Request, params: &Params, user: &str, now: u64) -> Reply {
        let url = self.url_of(self.cluster.active, request);
        let Self { release, timing, cluster, .. } = self;
        let (release, timing) = (*release, *timing);
        let arg = |i: usize| found.args.get(i).map_or("", String::as_str);
        match found.op {
            Op::Login => auth::login(cluster, params, now, clock::millis(timing.token)),
            Op::AuthCheck => auth::check(cluster, release, params, now),
            Op::Logout => auth::logout(cluster, request.token().as_deref()),
            Op::HealthMinimal => Reply::ok(health::minimal(cluster)),
            Op::HealthFull => Reply::ok(health::full(cluster, release)),
            Op::Capacity => Reply::ok(health::capacity(cluster)),
            Op::Fsid => Reply::ok(json!(cluster.fsid)),
            Op::Summary => Reply::ok(health::summary(cluster, release, &url)),
            Op::Tasks => {
                let (executing, finished) = cluster.tasks_json(params.text("name").as_deref());
                Reply::ok(json!({ "executing_tasks": executing, "finished_tasks": finished }))
            }
            Op::FeatureToggles => {
                let mut toggles = json!({
                    "rbd": true, "mirroring": true, "iscsi": true, "cephfs": true, "rgw": true, "nfs": true,
                });
                if release == Release::V18 {
                    toggles["dashboard"] = json!(true);
                }
                Reply::ok(toggles)
            }
            Op::ClusterStatus => Reply::ok(json!({ "status": "POST_INSTALLED" })),
            Op::EmptyList => Reply::ok(json!([])),
            Op::EmptyObject => Reply::ok(json!({})),
            Op::NoOrchestrator => Reply::no_orchestrator(),
            Op::Pools => pool::list(cluster, release, params, now),
            Op::PoolCreate => pool::create(cluster, release, params, now, &timing),
            Op::Pool => pool::get(cluster, release, arg(0), params, now),
            Op::PoolEdit => pool::edit(cluster, release, arg(0), params, now, &timing),
            Op::PoolDelete => pool::delete(cluster, arg(0), now),
            Op::PoolConfiguration => pool::configuration(cluster, arg(0)),
            Op::Osds => osd::list(cluster, release, params, now),
            Op::Osd => osd::get(cluster, release, arg(0)),
            Op::OsdCreate => osd::create(cluster, params, now),
            Op::OsdEdit => osd::edit(cluster, arg(0), params),
            Op::OsdFlags => osd::flags(cluster),
            Op::OsdFlagsSet => osd::set_flags(cluster, params),
            Op::OsdFlagsIndividual => osd::individual_flags(cluster),
            Op::OsdFlagsIndividualSet => osd::set_individual_flags(cluster, params),
            Op::OsdSettings => osd::settings(),
            Op::OsdSafeToDestroy => osd::safe_to_destroy(cluster, params),
            Op::OsdMark => osd::mark(cluster, arg(0), params),
            Op::OsdReweight => osd::reweight(cluster, arg(0), params),
            Op::OsdScrub => Reply::ok(Value::Null),
            Op::OsdDestroy => osd::destroy(cluster, arg(0)),
            Op::OsdPurge => osd::purge(cluster, arg(0)),
            Op::Hosts => osd::hosts(cluster, release, params),
            Op::Host => osd::host(cluster, release, arg(0)),
            Op::Monitors => Reply::ok(health::monitors(cluster, release, now)),
            Op::CrushRules => pool::rules(cluster, release),
            Op::CrushRule => pool::rule(cluster, release, arg(0)),
            Op::CrushRuleCreate => pool::create_rule(cluster, params),
            Op::CrushRuleDelete => pool::delete_rule(cluster, arg(0)),
            Op::Profiles => pool::profiles(cluster),
            Op::Profile => pool::profile(cluster, arg(0)),
            Op::ProfileCreate => pool::create_profile(cluster, params),
            Op::ProfileDelete => pool::delete_profile(cluster, arg(0)),
            Op::Config => config::list(cluster, release, now),
            Op::ConfigFilter => config::filter(cluster, release, params, now),
            Op::ConfigOption => config::get(cluster, release, arg(0), now),
            Op::ConfigSet => config::set(cluster, params, now),
            Op::ConfigBulk => config::set_many(cluster, params, now),
            Op::ConfigUnset => config::unset(cluster, arg(0), params),
            Op::Modules => config::modules(release),
            Op::Module => config::module(cluster, release, arg(0)),
            Op::ModuleOptions => config::module_option_list(release, arg(0)),
            Op::ModuleSet => config::set_module(cluster, arg(0), params),
            Op::ModuleRestart => {
                cluster.outage_until_ms = now + clock::millis(timing.restart);
                Reply::dropped()
            }
            Op::Images => rbd::list(cluster, release, params),
            Op::Image => rbd::get(cluster, release, arg(0)),
            Op::ImageCreate => rbd::create(cluster, params, now),
            Op::ImageEdit => rbd::edit(cluster, arg(0), params),
            Op::ImageDelete => rbd::delete(cluster, arg(0), now),
            Op::ImageFeatures => rbd::default_features(),
            Op::SnapCreate => rbd::create_snapshot(cluster, arg(0), params),
            Op::SnapEdit => rbd::edit_snapshot(cluster, arg(0), arg(1), params),
            Op::SnapDelete => rbd::delete_snapshot(cluster, arg(0), arg(1)),
            Op::SnapClone => rbd::clone(cluster, arg(0), arg(1), params, now),
            Op::Flatten => rbd::flatten(cluster, arg(0)),
            Op::Namespaces => rbd::namespaces(cluster, arg(0)),
            Op::NamespaceCreate => rbd::create_namespace(cluster, arg(0), params),
            Op::NamespaceDelete => rbd::delete_namespace(cluster, arg(0), arg(1)),
            Op::Users => auth::users(cluster),
            Op::User => auth::user(cluster, arg(0)),
            Op::UserCreate => auth::create_user(cluster, params, now),
            Op::UserEdit => auth::edit_user(cluster, arg(0), params, now),
            Op::UserDelete => auth::delete_user(cluster, arg(0), user),
            Op::NotSimulated => {
                Reply::http_error(501, "The real manager has this endpoint; the simulator has not.")
            }
        }
    }
}

impl Product for CephMgr {
    fn router(self: Arc<Self>) -> Router {
        self.manager_router(0)
    }

    fn snapshot(&self) -> Value {
        serde_json::to_value(&*self.lock()).unwrap_or(Value::Null)
    }

    fn restore(&self, state: Value) -> Result<(), String> {
        let restored: Inner = serde_json::from_value(state).map_err(|e| format!("Ceph: {e}"))?;
        let mut inner = self.lock();
        let (urls, base_url) = (std::mem::take(&mut inner.urls), inner.base_url.take());
        *inner = Inner { urls, base_url, ..restored };
        Ok(())
    }
}

async fn serve(
    State((mgr, index)): State<(Arc<CephMgr>, usize)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query = uri.query().unwrap_or_default();
    mgr.answer(index, Request::new(method, uri.path(), query, headers, body.to_vec()))
}

/// An answer on the wire; `media_type` is the endpoint's own.
fn respond(reply: Reply, media_type: &str) -> Response {
    let Reply { status, body, headers } = reply;
    let (content_type, content) = match body {
        Body::Versioned(value) => (media_type, HttpBody::from(value.to_string())),
        Body::Plain(value) => ("application/json", HttpBody::from(value.to_string())),
        Body::Html(page) => ("text/html;charset=utf-8", HttpBody::from(page)),
        Body::Empty => (media_type, HttpBody::empty()),
        Body::Dropped => {
            let mut response = Response::new(HttpBody::empty());
            response.extensions_mut().insert(NoAnswer);
            return response;
        }
    };
    let mut response = Response::new(content);
    if let Ok(status) = http::StatusCode::from_u16(status) {
        *response.status_mut() = status;
    }
    let map = response.headers_mut();
    map.insert(header::SERVER, HeaderValue::from_static("Ceph-Dashboard"));
    if let Ok(value) = HeaderValue::from_str(content_type)
        && !content_type.is_empty()
    {
        map.insert(header::CONTENT_TYPE, value);
    }
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            map.insert(name, value);
        }
    }
    response
}
