//! CephPool: makes a pool, keeps its settings, and removes it only when it is empty and that is asked for.

use std::{sync::Arc, time::Duration};

use kube::ResourceExt;
use skyy_api::{
    CephCluster, CephPool, CephPoolStatus, Reason, common::DataDeletionPolicy, condition::Fact,
    quantity::human,
};
use skyy_ceph::{NewPool, PoolChange};
use skyy_plan::ceph_pool::{Goal as PoolGoal, Plan, Pool, PoolOwner, Settings, Step, plan};
use skyy_runtime::{Failure, Goal, Kind, Lookup, Mode, Note, Progress};

use super::hub::{CephHub, Cephs};

/// How soon to look again while Ceph works.
const FOLLOW: Duration = Duration::from_secs(2);

/// The CephPool kind.
pub struct CephPoolKind {
    /// The hubs.
    pub hubs: Arc<Cephs>,
    /// The clusters.
    pub clusters: Lookup<CephCluster>,
    /// The word by which this installation marks pools.
    pub installation: String,
}

/// What was seen of a pool.
#[derive(Default)]
pub struct Seen {
    hub: Option<Arc<CephHub>>,
    pool: Option<Pool>,
    let_go: Option<String>,
}

/// The pool's name on Ceph.
fn name_of(pool: &CephPool) -> String {
    pool.spec.pool.clone().unwrap_or_else(|| pool.name_any())
}

impl CephPoolKind {
    fn owner(&self, pool: &CephPool) -> PoolOwner {
        PoolOwner {
            installation: self.installation.clone(),
            namespace: pool.namespace().unwrap_or_default(),
            name: pool.name_any(),
        }
    }

    fn next(&self, pool: &CephPool, seen: &Seen, goal: Goal) -> Result<Option<Plan>, Failure> {
        let begun = pool.status.as_ref().is_some_and(|status| status.pool.is_some());
        let goal = if goal == Goal::Present { PoolGoal::Present } else { PoolGoal::Absent };
        plan(&name_of(pool), &pool.spec, seen.pool.as_ref(), &self.owner(pool), goal, begun).map_err(
            |refusal| {
                let passing = refusal.reason == Reason::EndpointUnavailable;
                if passing {
                    Failure::transient(refusal.reason, refusal.message)
                } else {
                    Failure::terminal(refusal.reason, refusal.message)
                }
            },
        )
    }
}

impl Kind for CephPoolKind {
    type Object = CephPool;
    type Observed = Seen;
    type Plan = Plan;
    const NAME: &'static str = "cephpool";

    async fn observe(&self, pool: &Arc<CephPool>, goal: Goal, _: Mode) -> Result<Seen, Failure> {
        let cluster = &pool.spec.cluster;
        if goal == Goal::Absent && pool.spec.deletion_policy == DataDeletionPolicy::Retain {
            let what = format!(
                "pool {} stays on {cluster} with what is in it, as spec.deletionPolicy says",
                name_of(pool)
            );
            return Ok(Seen { let_go: Some(what), ..Seen::default() });
        }
        let Some(hub) = self.hubs.get(cluster) else {
            if goal == Goal::Absent && self.clusters.get(None, cluster).is_none() {
                let what = format!("CephCluster {cluster} is gone; pool {} was left", name_of(pool));
                return Ok(Seen { let_go: Some(what), ..Seen::default() });
            }
            let message = format!("CephCluster {cluster} does not exist or has not been looked at yet");
            return Err(Failure::waiting(Reason::DependencyMissing, message));
        };
        if hub.is_paused() {
            return Err(Failure::waiting(Reason::PausedByUser, format!("CephCluster {cluster} is paused")));
        }
        let seen = hub.client()?.pool(&name_of(pool)).await.map_err(|error| hub.failed(&error))?;
        Ok(Seen { hub: Some(hub), pool: seen.map(as_planned), let_go: None })
    }

    fn plan(&self, pool: &CephPool, seen: &Seen, goal: Goal) -> Result<Option<Plan>, Failure> {
        if seen.let_go.is_some() {
            return Ok(None);
        }
        self.next(pool, seen, goal)
    }

    async fn apply(&self, pool: &Arc<CephPool>, seen: &Seen, plan: Plan) -> Result<Progress, Failure> {
        let Some(hub) = &seen.hub else { return Ok(Progress::Again) };
        let client = hub.client()?;
        let what = plan.to_string();
        let noted = pool.status.as_ref().is_some_and(|status| status.pool.is_some());
        if matches!(plan.step, Step::Create { .. }) && !noted {
            // That a pool will be made must stand in the status first: a half-made one then is known as ours.
            return Ok(Progress::working(what, Duration::from_millis(500)));
        }
        tracing::info!(pool = name_of(pool), plan = what, "acting");
        let _turn = hub.writing.lock().await;
        let done = match plan.step {
            Step::Create { pool, pg_num, settings } => {
                client.create_pool(&new_pool(pool, pg_num, settings)).await
            }
            Step::Update { pool, settings } => client.change_pool(&pool, &change(settings)).await,
            Step::Delete { pool } => client.delete_pool(&pool).await,
        };
        match done {
            Ok(_) => {
                hub.poke();
                Ok(Progress::working(what, FOLLOW))
            }
            Err(error) => Err(hub.failed(&error)),
        }
    }

    fn report(&self, pool: &CephPool, seen: &Seen, status: &mut CephPoolStatus) -> Vec<Fact> {
        let creates =
            matches!(self.next(pool, seen, Goal::Present), Ok(Some(Plan { step: Step::Create { .. }, .. })));
        if creates && seen.hub.is_some() && pool.metadata.deletion_timestamp.is_none() {
            status.pool = Some(name_of(pool));
        }
        if let Some(known) = &seen.pool
            && known.applications.contains(&self.owner(pool).mark())
        {
            status.pool = Some(known.name.clone());
            status.pool_id = Some(known.id);
            // To one decimal of its unit, the size of a pool in use stands still for a while.
            status.stored = known.stored_bytes.map(human);
        }
        Vec::new()
    }

    fn notes(&self, _: &CephPool, seen: &Seen) -> Vec<Note> {
        seen.let_go
            .iter()
            .map(|what| Note { warning: false, reason: "Retained".into(), message: what.clone() })
            .collect()
    }
}

/// The client's words in the planner's.
fn as_planned(pool: skyy_ceph::Pool) -> Pool {
    let short = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    // A manager that has just taken over has no figures yet and says zero: a full pool must not look empty.
    let counted = !pool.pg_status.is_empty() && !pool.pg_status.keys().any(|state| state.contains("unknown"));
    Pool {
        id: i64::try_from(pool.id).unwrap_or(i64::MAX),
        name: pool.name,
        kind: pool.kind,
        size: short(pool.size),
        min_size: short(pool.min_size),
        crush_rule: pool.crush_rule,
        applications: pool.application_metadata,
        quota_bytes: pool.quota_max_bytes,
        quota_objects: pool.quota_max_objects,
        stored_bytes: counted.then_some(pool.stats.stored),
        stored_objects: counted.then_some(pool.stats.objects),
    }
}

fn new_pool(name: String, pg_num: u32, settings: Settings) -> NewPool {
    let Settings { size, min_size, crush_rule, applications, quota_bytes, quota_objects } = settings;
    NewPool {
        min_size,
        rule_name: crush_rule,
        application_metadata: applications.unwrap_or_default(),
        quota_max_bytes: quota_bytes,
        quota_max_objects: quota_objects,
        pg_autoscale_mode: Some("on".into()),
        size,
        ..NewPool::replicated(name, pg_num, size.unwrap_or(3))
    }
}

fn change(settings: Settings) -> PoolChange {
    let Settings { size, min_size, crush_rule, applications, quota_bytes, quota_objects } = settings;
    PoolChange {
        size,
        min_size,
        pg_num: None,
        pg_autoscale_mode: None,
        rule_name: crush_rule,
        application_metadata: applications,
        quota_max_bytes: quota_bytes,
        quota_max_objects: quota_objects,
    }
}
