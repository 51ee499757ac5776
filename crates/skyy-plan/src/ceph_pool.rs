//! What is to be done so that a pool on a Ceph cluster is as its object says.
//!
//! Pools hold data, so what could lose some is refused: a pool that is not marked as ours is never changed, one with
//! anything in it is never deleted, and one whose content cannot be seen counts as full. The mark is an application of
//! the pool: that is what Ceph's dashboard shows and keeps. Pure; it must not know the client.

use std::fmt;

use serde_json::{Map, Value};
use skyy_api::{CephPoolSpec, Reason, ceph_pool::PoolApplication, ceph_pool::PoolQuota, quantity};

use crate::{Invalid, hash::hash64};

/// The most bytes that Ceph takes in an application's name.
const APPLICATION_LIMIT: usize = 128;
/// The most applications that Ceph lets a pool have.
const APPLICATIONS_LIMIT: usize = 4;

/// The object to which a pool belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolOwner {
    /// The operator's installation.
    pub installation: String,
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

impl PoolOwner {
    /// The application by which the pool is known as this object's.
    pub fn mark(&self) -> String {
        let Self { installation, namespace, name } = self;
        let mark = format!("skyy:{installation}/{namespace}/{name}");
        if mark.len() <= APPLICATION_LIMIT {
            return mark;
        }
        format!("skyy:{installation}/~{:016x}", hash64(&["pool", namespace, name]))
    }
}

/// A pool as it was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// `replicated` or `erasure`.
    pub kind: String,
    /// Copies of each object.
    pub size: u32,
    /// Copies with which it still takes writes.
    pub min_size: u32,
    /// Its CRUSH rule.
    pub crush_rule: String,
    /// Its applications, marks among them.
    pub applications: Vec<String>,
    /// How many bytes may be stored; 0: no limit.
    pub quota_bytes: u64,
    /// How many objects may be stored; 0: no limit.
    pub quota_objects: u64,
    /// How many bytes are stored. None where Ceph does not say, or where its manager has not heard of all placement
    /// groups yet: then it says 0 of a full pool, too.
    pub stored_bytes: Option<u64>,
    /// How many objects are stored; none as above.
    pub stored_objects: Option<u64>,
}

impl Pool {
    /// A pool as `GET /api/pool/{name}?stats=true` answers it.
    pub fn from_raw(raw: &Map<String, Value>) -> Self {
        let number = |name: &str| raw.get(name).and_then(Value::as_u64).unwrap_or_default();
        let text = |name: &str| raw.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        // A manager that has just taken over reports zeros until it has heard of every placement group.
        let heard = raw.get("pg_status").and_then(Value::as_object).is_some_and(|states| {
            !states.is_empty() && !states.keys().any(|state| state.contains("unknown"))
        });
        // A number may come as a fraction.
        let latest = |name: &str| {
            if !heard {
                return None;
            }
            let value = raw.get("stats")?.get(name)?.get("latest")?;
            value.as_u64().or_else(|| format!("{:.0}", value.as_f64()?).parse().ok())
        };
        let applications = raw.get("application_metadata").and_then(Value::as_array);
        Self {
            id: raw.get("pool").and_then(Value::as_i64).unwrap_or_default(),
            name: text("pool_name"),
            kind: text("type"),
            size: u32::try_from(number("size")).unwrap_or_default(),
            min_size: u32::try_from(number("min_size")).unwrap_or_default(),
            crush_rule: text("crush_rule"),
            applications: applications
                .into_iter()
                .flatten()
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect(),
            quota_bytes: number("quota_max_bytes"),
            quota_objects: number("quota_max_objects"),
            stored_bytes: latest("stored"),
            stored_objects: latest("objects"),
        }
    }

    fn marks(&self) -> impl Iterator<Item = &String> {
        self.applications.iter().filter(|name| name.starts_with("skyy:"))
    }
}

/// What is to become of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// It is there, as asked.
    Present,
    /// It is gone.
    Absent,
}

/// Settings of a pool; what is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Copies of each object.
    pub size: Option<u32>,
    /// Copies with which it still takes writes.
    pub min_size: Option<u32>,
    /// Its CRUSH rule. The dashboard calls it `rule_name` when a pool is made, `crush_rule` when it is changed.
    pub crush_rule: Option<String>,
    /// All its applications: the dashboard removes those that are not told.
    pub applications: Option<Vec<String>>,
    /// How many bytes may be stored; 0: no limit.
    pub quota_bytes: Option<u64>,
    /// How many objects may be stored; 0: no limit.
    pub quota_objects: Option<u64>,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `POST /api/pool`. Only where no pool has the name: Ceph would silently change the one that has it.
    Create {
        /// The pool's name.
        pool: String,
        /// Its placement groups at the start.
        pg_num: u32,
        /// Its settings.
        settings: Settings,
    },
    /// `PUT /api/pool/{pool}`.
    Update {
        /// The pool's name.
        pool: String,
        /// What changes.
        settings: Settings,
    },
    /// `DELETE /api/pool/{pool}`.
    Delete {
        /// The pool's name.
        pool: String,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The call.
    pub step: Step,
    /// What it does, for a person.
    pub actions: Vec<String>,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.step {
            Step::Create { pool, .. } => write!(f, "create pool {pool}: {}", self.actions.join(", ")),
            Step::Update { pool, .. } => write!(f, "pool {pool}: {}", self.actions.join(", ")),
            Step::Delete { pool } => write!(f, "delete pool {pool}, which is empty"),
        }
    }
}

/// Why nothing is done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// In a word.
    pub reason: Reason,
    /// In a sentence, with the way out.
    pub message: String,
}

impl Refusal {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl From<Invalid> for Refusal {
    fn from(wrong: Invalid) -> Self {
        Self::new(Reason::Invalid, wrong.to_string())
    }
}

/// The next call for the pool of this name, or none; `seen` is the pool of this name, looked at just now.
///
/// With the goal `Absent` the caller has made sure that the object's policy is to delete. `begun` says that the object
/// has sent a create before (its status says so): Ceph makes a pool first and marks it after, so a failure in between
/// leaves an empty one without applications, which is then ours.
pub fn plan(
    name: &str,
    spec: &CephPoolSpec,
    seen: Option<&Pool>,
    owner: &PoolOwner,
    goal: Goal,
    begun: bool,
) -> Result<Option<Plan>, Refusal> {
    match (goal, seen) {
        (Goal::Absent, None) => Ok(None),
        (Goal::Absent, Some(pool)) => delete(pool, owner),
        (Goal::Present, None) => create(name, spec, owner).map(Some),
        (Goal::Present, Some(pool)) => change(spec, pool, owner, begun),
    }
}

fn delete(pool: &Pool, owner: &PoolOwner) -> Result<Option<Plan>, Refusal> {
    // What is not ours was never made by this object, or has been given away: there is nothing of ours to remove.
    if !pool.applications.contains(&owner.mark()) {
        return Ok(None);
    }
    let name = &pool.name;
    match (pool.stored_bytes, pool.stored_objects) {
        (Some(0), Some(0)) => {
            let step = Step::Delete { pool: name.clone() };
            Ok(Some(Plan { step, actions: vec![format!("delete pool {name}")] }))
        }
        (Some(bytes), Some(objects)) => Err(Refusal::new(
            Reason::Refused,
            format!(
                "pool {name} holds {} in {objects} object(s) and is not deleted. Empty it, or set spec.deletionPolicy: Retain to leave it.",
                quantity::human(bytes)
            ),
        )),
        _ => Err(Refusal::new(
            Reason::EndpointUnavailable,
            format!("Ceph does not say what pool {name} holds; it is not deleted before that is known."),
        )),
    }
}

struct Wanted {
    size: u32,
    min_size: Option<u32>,
    crush_rule: Option<String>,
    application: &'static str,
    quota_bytes: u64,
    quota_objects: u64,
    pg_num: u32,
    adopt: bool,
}

impl Wanted {
    fn of(spec: &CephPoolSpec) -> Result<Self, Invalid> {
        let CephPoolSpec {
            cluster: _,
            pool: _,
            size,
            min_size,
            pg_num,
            crush_rule,
            application,
            quota: PoolQuota { bytes, objects },
            adopt,
            deletion_policy: _,
        } = spec;
        if min_size.is_some_and(|min| min > *size) {
            return Err(Invalid::new("minSize", "must not be above size"));
        }
        let quota_bytes = bytes.as_ref().map(quantity::bytes).transpose();
        Ok(Self {
            size: *size,
            min_size: *min_size,
            crush_rule: crush_rule.clone(),
            application: match application {
                PoolApplication::Rbd => "rbd",
                PoolApplication::Cephfs => "cephfs",
                PoolApplication::Rgw => "rgw",
            },
            quota_bytes: quota_bytes.map_err(|wrong| Invalid::new("quota.bytes", wrong))?.unwrap_or(0),
            quota_objects: objects.unwrap_or(0),
            pg_num: *pg_num,
            adopt: *adopt,
        })
    }
}

fn create(name: &str, spec: &CephPoolSpec, owner: &PoolOwner) -> Result<Plan, Refusal> {
    let wanted = Wanted::of(spec)?;
    let mut actions = vec![format!("size {}", wanted.size), format!("for {}", wanted.application)];
    if wanted.quota_bytes > 0 {
        actions.push(format!("quota {}", quantity::human(wanted.quota_bytes)));
    }
    let settings = Settings {
        size: Some(wanted.size),
        min_size: wanted.min_size,
        crush_rule: wanted.crush_rule,
        applications: Some(vec![wanted.application.to_owned(), owner.mark()]),
        quota_bytes: Some(wanted.quota_bytes).filter(|bytes| *bytes > 0),
        quota_objects: Some(wanted.quota_objects).filter(|objects| *objects > 0),
    };
    Ok(Plan { step: Step::Create { pool: name.to_owned(), pg_num: wanted.pg_num, settings }, actions })
}

fn change(spec: &CephPoolSpec, pool: &Pool, owner: &PoolOwner, begun: bool) -> Result<Option<Plan>, Refusal> {
    let wanted = Wanted::of(spec)?;
    let name = &pool.name;
    let mark = owner.mark();
    let ours = pool.applications.contains(&mark);
    let (settings, actions) = differences(&wanted, pool, &mark);
    if !ours {
        let difference = if actions.is_empty() { "nothing".to_owned() } else { actions.join(", ") };
        if let Some(other) = pool.marks().next() {
            let message =
                format!("pool {name} carries the mark {other} of another object. Release it there first.");
            return Err(Refusal::new(Reason::Conflict, message));
        }
        let empty = (pool.stored_bytes, pool.stored_objects) == (Some(0), Some(0));
        let half_made = begun && pool.applications.is_empty() && empty;
        if !wanted.adopt && !half_made {
            let message = format!(
                "pool {name} already exists, not made by Skyy-Command. Set spec.adopt: true to take it over; plan shows what would change ({difference})."
            );
            return Err(Refusal::new(Reason::NotOwned, message));
        }
    }
    if pool.kind != "replicated" {
        let message = format!("pool {name} is {}, and a CephPool describes a replicated one.", pool.kind);
        return Err(Refusal::new(Reason::Invalid, message));
    }
    if settings == Settings::default() {
        return Ok(None);
    }
    let holds = pool.stored_bytes != Some(0) || pool.stored_objects != Some(0);
    if holds && settings.size == Some(1) {
        let message =
            format!("pool {name} holds data; with spec.size: 1 the loss of one disk would lose some of it.");
        return Err(Refusal::new(Reason::Refused, message));
    }
    for (quota, stored, what) in [
        (settings.quota_bytes, pool.stored_bytes, "bytes"),
        (settings.quota_objects, pool.stored_objects, "objects"),
    ] {
        if let (Some(quota), Some(stored)) = (quota.filter(|quota| *quota > 0), stored)
            && stored >= quota
        {
            let message = format!(
                "pool {name} holds {stored} {what} already; with spec.quota.{what} at {quota} Ceph would refuse all writes."
            );
            return Err(Refusal::new(Reason::Refused, message));
        }
    }
    if settings.applications.as_ref().is_some_and(|all| all.len() > APPLICATIONS_LIMIT) {
        let message = format!(
            "pool {name} has {} applications; Ceph takes {APPLICATIONS_LIMIT}, and ours need a place. Disable one.",
            pool.applications.len()
        );
        return Err(Refusal::new(Reason::Refused, message));
    }
    let mut actions = actions;
    if !ours {
        actions.insert(0, "take it over".to_owned());
    }
    Ok(Some(Plan { step: Step::Update { pool: name.clone(), settings }, actions }))
}

fn differences(wanted: &Wanted, pool: &Pool, mark: &str) -> (Settings, Vec<String>) {
    let mut settings = Settings::default();
    let mut actions = Vec::new();
    if wanted.size != pool.size {
        actions.push(format!("size {} → {}", pool.size, wanted.size));
        settings.size = Some(wanted.size);
    }
    if let Some(min_size) = wanted.min_size.filter(|min| *min != pool.min_size) {
        actions.push(format!("minSize {} → {min_size}", pool.min_size));
        settings.min_size = Some(min_size);
    }
    if let Some(rule) = wanted.crush_rule.as_ref().filter(|rule| **rule != pool.crush_rule) {
        actions.push(format!("crushRule {} → {rule}", pool.crush_rule));
        settings.crush_rule = Some(rule.clone());
    }
    let quota = |bytes: u64| if bytes == 0 { "none".to_owned() } else { quantity::human(bytes) };
    if wanted.quota_bytes != pool.quota_bytes {
        actions.push(format!("quota {} → {}", quota(pool.quota_bytes), quota(wanted.quota_bytes)));
        settings.quota_bytes = Some(wanted.quota_bytes);
    }
    if wanted.quota_objects != pool.quota_objects {
        let say = |objects: u64| if objects == 0 { "none".to_owned() } else { objects.to_string() };
        actions.push(format!("quota of objects {} → {}", say(pool.quota_objects), say(wanted.quota_objects)));
        settings.quota_objects = Some(wanted.quota_objects);
    }
    let mut applications = pool.applications.clone();
    if !applications.iter().any(|one| one == wanted.application) {
        actions.push(format!("application {}", wanted.application));
        applications.push(wanted.application.to_owned());
    }
    if !applications.iter().any(|one| one == mark) {
        applications.push(mark.to_owned());
    }
    if applications != pool.applications {
        settings.applications = Some(applications);
    }
    (settings, actions)
}

#[cfg(test)]
#[path = "ceph_pool_tests.rs"]
mod tests;
