//! The simulated cluster: everything that outlives a request, as plain data that can be saved.
//!
//! Knows nothing of HTTP.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Release, clock,
    pool_job::{Job, Step},
    reply::MonError,
};

/// A whole cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Cluster {
    pub(super) fsid: String,
    pub(super) created_ms: u64,
    pub(super) epoch: u64,
    /// Names of the managers; `active` is an index into them.
    pub(super) managers: Vec<String>,
    pub(super) active: usize,
    /// Until then no manager is active: the old one is gone, the next one not ready.
    pub(super) outage_until_ms: u64,
    pub(super) mons: Vec<Mon>,
    pub(super) osds: BTreeMap<u32, Osd>,
    pub(super) flags: BTreeSet<String>,
    pub(super) pools: BTreeMap<u32, Pool>,
    pub(super) last_pool: u32,
    pub(super) rules: BTreeMap<u32, CrushRule>,
    pub(super) profiles: BTreeMap<String, BTreeMap<String, String>>,
    pub(super) images: Vec<Image>,
    pub(super) namespaces: BTreeSet<(u32, String)>,
    /// The monitors' configuration database: option → section → (value, since when).
    pub(super) config: BTreeMap<String, BTreeMap<String, (String, u64)>>,
    /// What the daemons read from their files, below the configuration database.
    pub(super) conf_file: BTreeMap<String, String>,
    pub(super) modules: BTreeMap<String, BTreeMap<String, Value>>,
    pub(super) users: BTreeMap<String, User>,
    /// Tokens that still count: id → who and until when.
    pub(super) tokens: BTreeMap<String, (String, u64)>,
    pub(super) token_secret: String,
    pub(super) tasks: Vec<Finished>,
    pub(super) jobs: Vec<Job>,
    /// Set from outside: what the health says instead of what follows from the state.
    pub(super) health: Option<Health>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Mon {
    pub(super) name: String,
    pub(super) host: String,
    pub(super) addr: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Osd {
    pub(super) id: u32,
    pub(super) host: String,
    pub(super) up: bool,
    pub(super) weight: f64,
    pub(super) class: String,
    pub(super) uuid: String,
    pub(super) bytes: u64,
    pub(super) used: u64,
    pub(super) addr: String,
    pub(super) port: u32,
    pub(super) flags: BTreeSet<String>,
    /// Registered, but no daemon ever ran.
    pub(super) new: bool,
    pub(super) destroyed: bool,
}

impl Osd {
    pub(super) fn is_in(&self) -> bool {
        self.weight > 0.0 || self.new
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum PoolType {
    Replicated,
    Erasure,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pool {
    pub(super) id: u32,
    pub(super) name: String,
    pub(super) kind: PoolType,
    pub(super) size: u32,
    pub(super) min_size: u32,
    pub(super) rule: u32,
    pub(super) profile: String,
    pub(super) pg_num: u32,
    /// What `pg_num` moves towards.
    pub(super) pg_target: u32,
    pub(super) autoscale: String,
    pub(super) quota_bytes: u64,
    pub(super) quota_objects: u64,
    pub(super) applications: BTreeSet<String>,
    pub(super) options: BTreeMap<String, Value>,
    /// RBD settings of the pool's own.
    pub(super) configuration: BTreeMap<String, String>,
    pub(super) ec_overwrites: bool,
    pub(super) created_ms: u64,
    pub(super) changed_epoch: u64,
    /// What is stored beside RBD images.
    pub(super) stored: u64,
    pub(super) objects: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CrushRule {
    pub(super) id: u32,
    pub(super) name: String,
    pub(super) kind: PoolType,
    pub(super) root: String,
    pub(super) domain: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Image {
    pub(super) id: String,
    pub(super) pool: u32,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) order: u32,
    pub(super) features: BTreeSet<String>,
    pub(super) data_pool: Option<String>,
    pub(super) created_ms: u64,
    pub(super) used: u64,
    /// The image (its id) and snapshot it was cloned from.
    pub(super) parent: Option<(String, String)>,
    pub(super) snapshots: BTreeMap<String, bool>,
    pub(super) configuration: BTreeMap<String, String>,
    pub(super) metadata: BTreeMap<String, String>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct User {
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
    pub(super) password: String,
    pub(super) roles: BTreeSet<String>,
    pub(super) enabled: bool,
    pub(super) attempts: u32,
    pub(super) changed_ms: u64,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("password", &"***")
            .field("roles", &self.roles)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

/// A task that ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Finished {
    pub(super) name: String,
    pub(super) metadata: Value,
    pub(super) begin_ms: u64,
    pub(super) end_ms: u64,
    pub(super) error: Option<String>,
    pub(super) value: Value,
}

/// A health set from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `HEALTH_OK`, `HEALTH_WARN` or `HEALTH_ERR`.
    pub status: String,
    /// What is wrong.
    #[serde(default)]
    pub checks: Vec<HealthCheck>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Its code, such as `OSD_DOWN`.
    #[serde(rename = "type")]
    pub code: String,
    /// One sentence.
    pub message: String,
    /// How many things it is about.
    #[serde(default)]
    pub count: u64,
}

/// Flags that make the cluster warn while they are set.
const WARNING_FLAGS: [&str; 11] = [
    "nobackfill",
    "nodeep-scrub",
    "nodown",
    "noin",
    "noout",
    "norebalance",
    "norecover",
    "noscrub",
    "notieragent",
    "noup",
    "pause",
];
/// Flags that nobody can set or unset.
pub(super) const BUILT_IN_FLAGS: [&str; 4] =
    ["pglog_hardlimit", "purged_snapdirs", "recovery_deletes", "sortbitwise"];

pub(super) fn is_known_flag(flag: &str) -> bool {
    WARNING_FLAGS.contains(&flag)
}

impl Cluster {
    pub(super) fn pool(&self, name: &str) -> Option<&Pool> {
        self.pools.values().find(|p| p.name == name)
    }

    pub(super) fn pool_mut(&mut self, name: &str) -> Option<&mut Pool> {
        self.pools.values_mut().find(|p| p.name == name)
    }

    pub(super) fn rule(&self, name: &str) -> Option<&CrushRule> {
        self.rules.values().find(|r| r.name == name)
    }

    pub(super) fn rule_name(&self, id: u32) -> String {
        self.rules.get(&id).map_or_else(|| id.to_string(), |r| r.name.clone())
    }

    /// The value of an option, wherever it is set.
    pub(super) fn option(&self, name: &str) -> Option<&str> {
        let set = self.config.get(name).and_then(|sections| sections.values().next());
        set.map(|(value, _)| value.as_str()).or_else(|| self.conf_file.get(name).map(String::as_str))
    }

    pub(super) fn may_delete_pools(&self) -> bool {
        self.option("mon_allow_pool_delete") == Some("true")
    }

    pub(super) fn hosts(&self) -> BTreeSet<&str> {
        let osds = self.osds.values().filter(|o| !o.new).map(|o| o.host.as_str());
        osds.chain(self.mons.iter().map(|m| m.host.as_str())).collect()
    }

    pub(super) fn manager_host(&self, index: usize) -> &str {
        self.mons.get(index).or(self.mons.first()).map_or("", |m| m.host.as_str())
    }

    /// Bytes and objects stored in a pool, images included.
    pub(super) fn usage(&self, pool: &Pool) -> (u64, u64) {
        let images = self.images.iter().filter(|i| i.pool == pool.id);
        let (bytes, objects) = images
            .map(|i| (i.used, i.used.div_ceil(1 << i.order) + 3))
            .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        (pool.stored + bytes, pool.objects + objects)
    }

    /// What a byte stored in the pool takes on the disks.
    pub(super) fn overhead(&self, pool: &Pool) -> f64 {
        if pool.kind == PoolType::Replicated {
            return f64::from(pool.size);
        }
        let of = |key: &str| {
            self.profiles.get(&pool.profile).and_then(|p| p.get(key)?.parse::<f64>().ok()).unwrap_or(2.0)
        };
        (of("k") + of("m")) / of("k")
    }

    /// Total, used and available bytes of the cluster.
    pub(super) fn capacity(&self) -> (u64, u64, u64) {
        let (total, mut used) = self
            .osds
            .values()
            .filter(|o| o.up && o.is_in())
            .fold((0, 0), |a, o| (a.0 + o.bytes, a.1 + o.used));
        for pool in self.pools.values() {
            used += scaled(self.usage(pool).0, self.overhead(pool));
        }
        (total, used, total.saturating_sub(used))
    }

    /// Status and checks: what was set from outside, or what follows from the state.
    pub(super) fn health_now(&self) -> (String, Vec<Value>) {
        let check = |severity: &str, code: &str, message: &str, count: u64| {
            json!({
                "severity": severity, "summary": { "message": message, "count": count },
                "detail": [], "muted": false, "type": code,
            })
        };
        if let Some(health) = &self.health {
            let checks = health.checks.iter();
            let checks = checks.map(|c| check(&health.status, &c.code, &c.message, c.count)).collect();
            return (health.status.clone(), checks);
        }
        let mut checks = Vec::new();
        let set: Vec<&str> = self.flags.iter().map(String::as_str).filter(|f| is_known_flag(f)).collect();
        if !set.is_empty() {
            let count = (set.len() + BUILT_IN_FLAGS.len()) as u64;
            let message = format!("{} flag(s) set", set.join(","));
            checks.push(check("HEALTH_WARN", "OSDMAP_FLAGS", &message, count));
        }
        let down = self.osds.values().filter(|o| !o.up && !o.new && o.is_in()).count();
        if down > 0 {
            let message = format!("{down} osds down");
            checks.push(check("HEALTH_WARN", "OSD_DOWN", &message, down as u64));
        }
        let full = self.pools.values().filter(|p| {
            let (bytes, objects) = self.usage(p);
            p.quota_bytes > 0 && bytes >= p.quota_bytes || p.quota_objects > 0 && objects >= p.quota_objects
        });
        let full = full.count();
        if full > 0 {
            let message = format!("{full} pool(s) full");
            checks.push(check("HEALTH_WARN", "POOL_FULL", &message, full as u64));
        }
        let status = if checks.is_empty() { "HEALTH_OK" } else { "HEALTH_WARN" };
        (status.to_owned(), checks)
    }

    /// Lets time pass: every job does the steps that are due.
    pub(super) fn settle(&mut self, release: Release, now: u64) {
        let mut jobs = std::mem::take(&mut self.jobs);
        jobs.retain_mut(|job| {
            while let Some((at, step)) = job.steps.first() {
                if *at > now {
                    return true;
                }
                let (at, step) = (*at, step.clone());
                job.steps.remove(0);
                if let Err(error) = step.run(self, release, at) {
                    self.finish(&job.name, &job.metadata, job.begin_ms, at, Some(error.detail()));
                    return false;
                }
                if job.steps.is_empty() {
                    self.finish(&job.name, &job.metadata, job.begin_ms, at, None);
                    return false;
                }
            }
            true
        });
        self.jobs = jobs;
        self.forget(now);
    }

    /// Does steps at once, up to the first that is refused.
    pub(super) fn run_now(&mut self, steps: &[Step], release: Release, now: u64) -> Result<(), MonError> {
        steps.iter().try_for_each(|step| step.run(self, release, now))
    }

    pub(super) fn finish(
        &mut self,
        name: &str,
        metadata: &Value,
        begin: u64,
        end: u64,
        error: Option<String>,
    ) {
        let (name, metadata) = (name.to_owned(), metadata.clone());
        self.tasks
            .insert(0, Finished { name, metadata, begin_ms: begin, end_ms: end, error, value: Value::Null });
    }

    /// The last ten tasks stay, older ones for a minute.
    fn forget(&mut self, now: u64) {
        let mut index = 0;
        self.tasks.retain(|t| {
            index += 1;
            index <= 10 || now.saturating_sub(t.end_ms) <= 60_000
        });
        self.tokens.retain(|_, (_, until)| *until > now);
    }

    /// The next manager takes over. What the old one was doing is lost with it, and so is its history.
    pub(super) fn fail_over(&mut self, now: u64, outage_ms: u64) {
        self.active = (self.active + 1) % self.managers.len().max(1);
        self.outage_until_ms = now + outage_ms;
        self.jobs.clear();
        self.tasks.clear();
    }

    /// Executing and finished tasks as the API lists them; `name` may end in `*`.
    pub(super) fn tasks_json(&self, name: Option<&str>) -> (Vec<Value>, Vec<Value>) {
        let wanted = |task: &str| match name {
            None | Some("") => true,
            Some(pattern) => match pattern.strip_suffix('*') {
                Some(prefix) => task.starts_with(prefix),
                None => task == pattern,
            },
        };
        let z = |ms| format!("{}Z", clock::iso(ms));
        let executing = self.jobs.iter().filter(|j| wanted(&j.name)).map(
            |j| json!({ "name": j.name, "metadata": j.metadata, "begin_time": z(j.begin_ms), "progress": 0 }),
        );
        let finished = self.tasks.iter().filter(|t| wanted(&t.name)).map(|t| {
            json!({
                "name": t.name, "metadata": t.metadata, "begin_time": z(t.begin_ms), "end_time": z(t.end_ms),
                "duration": seconds_f64(t.end_ms.saturating_sub(t.begin_ms)),
                "progress": if t.error.is_some() { 0 } else { 100 }, "success": t.error.is_none(),
                "ret_value": t.value, "exception": t.error.as_ref().map(|detail| json!({ "detail": detail })),
            })
        });
        (executing.collect(), finished.collect())
    }
}

#[allow(clippy::cast_precision_loss)]
fn seconds_f64(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// `bytes` times `factor`.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(super) fn scaled(bytes: u64, factor: f64) -> u64 {
    (bytes as f64 * factor) as u64
}
