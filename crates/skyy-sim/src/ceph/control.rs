//! What a test or a demo does to the simulated cluster from outside: `/_sim/ceph/...`.
//!
//! No vendor has these paths.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    CephMgr, Timing, TimingChange,
    reply::Reply,
    request::Request,
    state::{Cluster, Health},
};

/// Numbers of a pool that only a test sets.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PoolUsage {
    /// The pool's name.
    pub name: String,
    /// Bytes stored in it, beside its images.
    #[serde(default)]
    pub stored_bytes: Option<u64>,
    /// Objects in it, beside its images.
    #[serde(default)]
    pub objects: Option<u64>,
}

/// The disks' numbers.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Disks {
    /// Size of each disk.
    #[serde(default)]
    pub bytes_per_osd: Option<u64>,
    /// Used on each disk, beside what the pools hold.
    #[serde(default)]
    pub used_per_osd: Option<u64>,
    /// OSDs that are down; all others are up.
    #[serde(default)]
    pub down: Option<Vec<u32>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct FailOver {
    outage_seconds: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Clock {
    advance_seconds: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Password {
    username: String,
    password: String,
}

fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Reply> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|e| refuse(400, &format!("the body does not fit: {e}")))
}

fn refuse(status: u16, detail: &str) -> Reply {
    Reply::http_error(status, detail)
}

/// A control request; `rest` is the path behind `/_sim/ceph/`.
pub(super) fn handle(mgr: &CephMgr, request: &Request, rest: &[String]) -> Reply {
    let answer = || -> Result<Reply, Reply> {
        let path: Vec<&str> = rest.iter().map(String::as_str).collect();
        let body = &request.body;
        match (request.method.as_str(), path.as_slice()) {
            ("GET", []) => Ok(Reply::ok(mgr.with(|cluster, _| overview(cluster)))),
            ("POST", ["failover"]) => {
                let FailOver { outage_seconds } = parse(body)?;
                mgr.fail_over(Duration::from_secs(outage_seconds));
                Ok(Reply::ok(mgr.with(|cluster, _| overview(cluster))))
            }
            ("POST", ["health"]) => {
                let health: Value = parse(body)?;
                // `{}` gives the health back to the state.
                let health = match health.as_object() {
                    Some(empty) if empty.is_empty() => None,
                    _ => Some(
                        serde_json::from_value::<Health>(health)
                            .map_err(|e| refuse(400, &format!("the body does not fit: {e}")))?,
                    ),
                };
                mgr.set_health(health);
                Ok(Reply::ok(Value::Null))
            }
            ("POST", ["osds"]) => {
                mgr.set_disks(&parse::<Disks>(body)?);
                Ok(Reply::ok(Value::Null))
            }
            ("POST", ["pool"]) => {
                let usage: PoolUsage = parse(body)?;
                let found = mgr.set_pool_usage(&usage);
                found.then(|| Reply::ok(Value::Null)).ok_or_else(|| refuse(404, "no such pool"))
            }
            ("POST", ["clock"]) => {
                let Clock { advance_seconds } = parse(body)?;
                mgr.advance(Duration::from_secs(advance_seconds));
                Ok(Reply::ok(Value::Null))
            }
            ("POST", ["timing"]) => {
                let change: TimingChange = parse(body)?;
                Ok(Reply::ok(json!(mgr.change_timing(&change))))
            }
            ("POST", ["password"]) => {
                let Password { username, password } = parse(body)?;
                let found = mgr.set_password(&username, &password);
                found.then(|| Reply::ok(Value::Null)).ok_or_else(|| refuse(404, "no such user"))
            }
            _ => Err(refuse(404, "no such control; see the documentation of the Ceph simulator")),
        }
    };
    answer().unwrap_or_else(|refusal| refusal)
}

/// What a person or a test wants to see at a glance.
fn overview(cluster: &Cluster) -> Value {
    let pools = cluster.pools.values().map(|p| {
        let (stored, objects) = cluster.usage(p);
        json!({
            "name": p.name, "size": p.size, "pgNum": p.pg_num, "quotaBytes": p.quota_bytes,
            "applications": p.applications, "storedBytes": stored, "objects": objects,
            "images": cluster.images.iter().filter(|i| i.pool == p.id).count(),
        })
    });
    json!({
        "fsid": cluster.fsid, "health": cluster.health_now().0, "managers": cluster.managers,
        "active": cluster.active, "pools": pools.collect::<Vec<_>>(), "osds": cluster.osds.len(),
        "runningTasks": cluster.jobs.len(),
    })
}

impl Timing {
    pub(super) fn apply(&mut self, change: &TimingChange) {
        let set = |field: &mut Duration, seconds: Option<f64>| {
            if let Some(duration) = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()) {
                *field = duration;
            }
        };
        let TimingChange {
            create_seconds,
            pg_seconds,
            command_seconds,
            answer_seconds,
            token_seconds,
            restart_seconds,
        } = change;
        set(&mut self.create, *create_seconds);
        set(&mut self.pg_change, *pg_seconds);
        set(&mut self.command, *command_seconds);
        set(&mut self.answer, *answer_seconds);
        set(&mut self.token, *token_seconds);
        set(&mut self.restart, *restart_seconds);
    }
}
