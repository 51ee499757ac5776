//! What is read of the cluster itself: health, capacity, release, OSDs, CRUSH rules, erasure profiles, tasks.
//!
//! Unknown fields are ignored, missing ones are empty. Must not know how any of it is judged.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use skyy_http::Call;

use crate::client::Ceph;
use crate::error::CephError;
use crate::lenient;
use crate::release::Release;

/// The state of the cluster with its reasons.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Health {
    /// `HEALTH_OK`, `HEALTH_WARN`, `HEALTH_ERR`.
    #[serde(deserialize_with = "lenient::text")]
    pub status: String,
    /// What is wrong.
    #[serde(deserialize_with = "lenient::list")]
    pub checks: Vec<HealthCheck>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HealthCheck {
    /// Its name (`OSD_DOWN`).
    #[serde(rename = "type", deserialize_with = "lenient::text")]
    pub kind: String,
    /// `HEALTH_WARN` or `HEALTH_ERR`.
    #[serde(deserialize_with = "lenient::text")]
    pub severity: String,
    /// In words.
    pub summary: CheckSummary,
    /// Whether somebody has silenced it.
    #[serde(deserialize_with = "lenient::flag")]
    pub muted: bool,
}

/// A check in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CheckSummary {
    /// One sentence.
    #[serde(deserialize_with = "lenient::text")]
    pub message: String,
}

/// Raw bytes of the whole cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Capacity {
    /// All.
    #[serde(deserialize_with = "lenient::number")]
    pub total_bytes: u64,
    /// Free.
    #[serde(deserialize_with = "lenient::number")]
    pub total_avail_bytes: u64,
    /// Used, copies included.
    #[serde(deserialize_with = "lenient::number")]
    pub total_used_raw_bytes: u64,
}

/// How well the objects are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Objects {
    /// All.
    #[serde(rename = "num_objects", deserialize_with = "lenient::number")]
    pub objects: u64,
    /// Copies that are missing.
    #[serde(rename = "num_objects_degraded", deserialize_with = "lenient::number")]
    pub degraded: u64,
    /// Copies that are not where they belong.
    #[serde(rename = "num_objects_misplaced", deserialize_with = "lenient::number")]
    pub misplaced: u64,
    /// Objects of which no copy is found.
    #[serde(rename = "num_objects_unfound", deserialize_with = "lenient::number")]
    pub unfound: u64,
}

/// Health with the counts around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthReport {
    /// State and reasons.
    pub health: Health,
    /// How many monitors there are.
    pub mons: usize,
    /// How many of them form the quorum.
    pub mons_in_quorum: usize,
    /// How many OSDs there are.
    pub osds: usize,
    /// How many of them run.
    pub osds_up: usize,
    /// How many of them hold data.
    pub osds_in: usize,
    /// The active manager's name.
    pub active_manager: String,
    /// How many managers could take over.
    pub standby_managers: usize,
    /// How many pools there are.
    pub pools: usize,
    /// Placement groups by their state (`active+clean`).
    pub placement_groups: BTreeMap<String, u64>,
    /// How well the objects are kept.
    pub objects: Objects,
    /// Raw bytes.
    pub capacity: Capacity,
}

/// The report as it is answered, both the minimal and the full one.
#[derive(Deserialize)]
struct RawReport {
    health: Health,
    #[serde(default)]
    mon_status: Value,
    #[serde(default)]
    osd_map: RawOsdMap,
    #[serde(default)]
    mgr_map: RawMgrMap,
    #[serde(default)]
    pg_info: RawPgInfo,
    #[serde(default, deserialize_with = "lenient::list")]
    pools: Vec<Value>,
    #[serde(default)]
    df: RawDf,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawOsdMap {
    #[serde(deserialize_with = "lenient::list")]
    osds: Vec<RawOsd>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawOsd {
    #[serde(deserialize_with = "lenient::flag")]
    up: bool,
    #[serde(rename = "in", deserialize_with = "lenient::flag")]
    is_in: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawMgrMap {
    #[serde(deserialize_with = "lenient::text")]
    active_name: String,
    #[serde(deserialize_with = "lenient::list")]
    standbys: Vec<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawPgInfo {
    object_stats: Objects,
    statuses: BTreeMap<String, u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawDf {
    stats: Capacity,
}

impl From<RawReport> for HealthReport {
    fn from(raw: RawReport) -> Self {
        let RawReport { health, mon_status, osd_map, mgr_map, pg_info, pools, df } = raw;
        let count = |pointer: &str| mon_status.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len);
        Self {
            health,
            mons: count("/monmap/mons"),
            mons_in_quorum: count("/quorum"),
            osds: osd_map.osds.len(),
            osds_up: osd_map.osds.iter().filter(|osd| osd.up).count(),
            osds_in: osd_map.osds.iter().filter(|osd| osd.is_in).count(),
            active_manager: mgr_map.active_name,
            standby_managers: mgr_map.standbys.len(),
            pools: pools.len(),
            placement_groups: pg_info.statuses,
            objects: pg_info.object_stats,
            capacity: df.stats,
        }
    }
}

/// The short view that every logged-in user has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// `HEALTH_OK`, `HEALTH_WARN`, `HEALTH_ERR`.
    #[serde(deserialize_with = "lenient::text")]
    pub health_status: String,
    /// The active manager's name.
    #[serde(deserialize_with = "lenient::text")]
    pub mgr_id: String,
    /// Whether that manager reaches the monitors; all it says is old where not.
    #[serde(deserialize_with = "lenient::flag")]
    pub have_mon_connection: bool,
    /// The manager's version in words.
    #[serde(deserialize_with = "lenient::text")]
    pub version: String,
}

impl Summary {
    /// The active manager's release.
    pub fn release(&self) -> Option<Release> {
        Release::parse(&self.version)
    }
}

/// A CRUSH rule: where copies go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CrushRule {
    /// Its number.
    #[serde(rename = "rule_id", deserialize_with = "lenient::number")]
    pub id: u64,
    /// Its name.
    #[serde(rename = "rule_name", deserialize_with = "lenient::text")]
    pub name: String,
    /// 1 for copies, 3 for erasure coding.
    #[serde(rename = "type", deserialize_with = "lenient::number")]
    pub kind: u64,
}

/// A way of erasure coding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ErasureProfile {
    /// Its name.
    #[serde(deserialize_with = "lenient::text")]
    pub name: String,
    /// Data chunks.
    #[serde(deserialize_with = "lenient::number")]
    pub k: u64,
    /// Coding chunks: how many may be lost.
    #[serde(deserialize_with = "lenient::number")]
    pub m: u64,
    /// The algorithm.
    #[serde(deserialize_with = "lenient::text")]
    pub plugin: String,
}

/// An OSD.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Osd {
    /// Its number.
    pub id: u64,
    /// Whether it runs.
    pub up: bool,
    /// Whether it holds data.
    pub is_in: bool,
    /// Its host in the CRUSH map.
    pub host: String,
    /// `hdd`, `ssd`, `nvme`.
    pub device_class: String,
    /// Its size.
    pub total_bytes: u64,
    /// How much of it is used.
    pub used_bytes: u64,
}

#[derive(Deserialize)]
struct RawOsdEntry {
    #[serde(rename = "osd", default, deserialize_with = "lenient::number")]
    id: u64,
    #[serde(flatten)]
    state: RawOsd,
    #[serde(default)]
    host: RawNamed,
    #[serde(default)]
    tree: RawTree,
    #[serde(default)]
    stats: RawOsdStats,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawNamed {
    #[serde(deserialize_with = "lenient::text")]
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawTree {
    #[serde(deserialize_with = "lenient::text")]
    device_class: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawOsdStats {
    #[serde(deserialize_with = "lenient::number")]
    stat_bytes: u64,
    #[serde(deserialize_with = "lenient::number")]
    stat_bytes_used: u64,
}

/// Work of the active manager. Known for about a minute after its end, and not by the next manager.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Task {
    /// What (`pool/create`).
    #[serde(deserialize_with = "lenient::text")]
    pub name: String,
    /// Of what (`{"pool_name": "vms"}`).
    pub metadata: Value,
    /// Whether it ended well; false while it runs.
    #[serde(deserialize_with = "lenient::flag")]
    pub success: bool,
    /// Why not.
    pub exception: Option<TaskException>,
}

/// Why work failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TaskException {
    /// In words.
    #[serde(deserialize_with = "lenient::text")]
    pub detail: String,
}

/// The manager's work, running and ended.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct TaskList {
    /// Running.
    #[serde(rename = "executing_tasks", deserialize_with = "lenient::list")]
    pub executing: Vec<Task>,
    /// Ended, the latest first.
    #[serde(rename = "finished_tasks", deserialize_with = "lenient::list")]
    pub finished: Vec<Task>,
}

impl TaskList {
    /// Whether this work on this pool is under way.
    pub fn is_running(&self, name: &str, pool: &str) -> bool {
        self.executing.iter().any(|task| task.is_of(name, pool))
    }

    /// The latest ended work of this name on this pool.
    pub fn last(&self, name: &str, pool: &str) -> Option<&Task> {
        self.finished.iter().find(|task| task.is_of(name, pool))
    }
}

impl Task {
    fn is_of(&self, name: &str, pool: &str) -> bool {
        self.name == name && self.metadata.get("pool_name").and_then(Value::as_str) == Some(pool)
    }
}

impl Ceph {
    /// Health, counts and capacity; cheap.
    pub async fn health(&self) -> Result<HealthReport, CephError> {
        let raw: RawReport = self.ask(Call::get("/api/health/minimal")).await?.json()?;
        Ok(raw.into())
    }

    /// The same from the full report, which is long on a large cluster.
    pub async fn health_full(&self) -> Result<HealthReport, CephError> {
        let raw: RawReport = self.ask(Call::get("/api/health/full")).await?.json()?;
        Ok(raw.into())
    }

    /// Raw bytes of the whole cluster.
    pub async fn capacity(&self) -> Result<Capacity, CephError> {
        // 18 has a call of its own for this, 16 has not.
        Ok(self.health().await?.capacity)
    }

    /// State, release and active manager.
    pub async fn summary(&self) -> Result<Summary, CephError> {
        Ok(self.ask(Call::get("/api/summary")).await?.json()?)
    }

    /// The cluster's identity, which no other cluster shares.
    pub async fn fsid(&self) -> Result<String, CephError> {
        let answer = self.ask(Call::get("/api/monitor")).await?;
        let monitors: Value = answer.json()?;
        match monitors.pointer("/mon_status/monmap/fsid").and_then(Value::as_str) {
            Some(fsid) => Ok(fsid.to_owned()),
            None => Err(answer.wrong_shape("there is no mon_status.monmap.fsid").into()),
        }
    }

    /// The OSDs.
    pub async fn list_osds(&self) -> Result<Vec<Osd>, CephError> {
        let raw: Vec<RawOsdEntry> = self.ask(Call::get("/api/osd")).await?.json()?;
        Ok(raw
            .into_iter()
            .map(|osd| Osd {
                id: osd.id,
                up: osd.state.up,
                is_in: osd.state.is_in,
                host: osd.host.name,
                device_class: osd.tree.device_class,
                total_bytes: osd.stats.stat_bytes,
                used_bytes: osd.stats.stat_bytes_used,
            })
            .collect())
    }

    /// The CRUSH rules.
    pub async fn list_crush_rules(&self) -> Result<Vec<CrushRule>, CephError> {
        Ok(self.ask(Call::get("/api/crush_rule")).await?.json()?)
    }

    /// The erasure coding profiles.
    pub async fn list_erasure_profiles(&self) -> Result<Vec<ErasureProfile>, CephError> {
        Ok(self.ask(Call::get("/api/erasure_code_profile")).await?.json()?)
    }

    /// The active manager's work of this name (`pool/create`), running and ended within about a minute.
    pub async fn tasks(&self, name: &str) -> Result<TaskList, CephError> {
        Ok(self.ask(Call::get("/api/task").query("name", name)).await?.json()?)
    }
}
