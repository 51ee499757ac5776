//! What would be done on a Ceph cluster: each pool by the operator's own kind.

use std::{collections::BTreeMap, sync::Arc};

use skyy_api::{
    CephCluster, CephPool, Reason,
    common::{PAUSED_ANNOTATION, PLAN_ONLY_ANNOTATION},
};
use skyy_controllers::ceph::{CephHub, CephPoolKind, Cephs, Settings, Wakers};
use skyy_plan::ceph_pool::Step;
use skyy_runtime::{Goal, Kind as _, Mode, secrets::Secrets};

use super::{
    Change, EndpointPlan, Sign, Thing,
    session::{PATIENCE, Quiet, SOON, Session},
};
use crate::{rows::is_set, world::World};

pub(super) async fn plan(
    world: &World,
    installation: &str,
    is_meant: &dyn Fn(&str) -> bool,
) -> anyhow::Result<Vec<EndpointPlan>> {
    let names: Vec<&String> =
        world.ceph_clusters.keys().map(|(_, name)| name).filter(|name| is_meant(name)).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let session = Session::new(world)?;
    let secrets = Secrets::new(session.client.clone(), |_, _| {});
    let wakers = Wakers { cluster: Session::waker(), pools: Session::nobody() };
    let hubs = Arc::new(Cephs::new(secrets, Arc::new(Quiet), wakers, session.stop.clone()));
    let kind = CephPoolKind {
        hubs: hubs.clone(),
        clusters: session.lookup().await,
        installation: installation.to_owned(),
    };
    let mut shown = Vec::new();
    for name in names {
        shown.push(cluster(world, name, &kind).await);
    }
    Ok(shown)
}

async fn cluster(world: &World, name: &str, kind: &CephPoolKind) -> EndpointPlan {
    let mut shown = EndpointPlan::new(name, "Ceph");
    let Some(cluster) = world.ceph_clusters.get(&(String::new(), name.to_owned())) else { return shown };
    if is_set(cluster, PAUSED_ANNOTATION) {
        let message = format!("nothing is done while the annotation {PAUSED_ANNOTATION} is set");
        shown.hold(format!("CephCluster/{name}"), Reason::PausedByUser, message);
        return shown;
    }
    if let Err(message) = first_look(&kind.hubs, name, cluster).await {
        shown.error = Some(message);
        return shown;
    }
    let pools: BTreeMap<_, _> =
        world.ceph_pools.iter().filter(|(_, pool)| pool.spec.cluster == name).collect();
    for ((namespace, object), pool) in pools {
        pool_of(kind, &format!("CephPool/{namespace}/{object}"), pool, &mut shown).await;
    }
    shown
}

async fn first_look(hubs: &Cephs, name: &str, cluster: &CephCluster) -> Result<Arc<CephHub>, String> {
    let hub = hubs.ensure(name, Settings { spec: cluster.spec.clone(), paused: false });
    let looked = tokio::time::timeout(PATIENCE, async {
        loop {
            match hub.view() {
                Some(Ok(_)) => return Ok(()),
                Some(Err(failure)) => return Err(failure.message),
                None => tokio::time::sleep(SOON).await,
            }
        }
    });
    looked.await.unwrap_or_else(|_| Err(format!("{name} did not answer in time")))?;
    Ok(hub)
}

async fn pool_of(kind: &CephPoolKind, title: &str, pool: &CephPool, shown: &mut EndpointPlan) {
    if is_set(pool, PAUSED_ANNOTATION) {
        let message = format!("not looked at while the annotation {PAUSED_ANNOTATION} is set");
        return shown.hold(title, Reason::PausedByUser, message);
    }
    let goal = if pool.metadata.deletion_timestamp.is_some() { Goal::Absent } else { Goal::Present };
    let pool = Arc::new(pool.clone());
    let planned = match kind.observe(&pool, goal, Mode::PlanOnly).await {
        Ok(seen) => kind.plan(&pool, &seen, goal),
        Err(failure) => Err(failure),
    };
    let plan = match planned {
        Ok(Some(plan)) => plan,
        Ok(None) => return,
        Err(failure) => return shown.hold(title, failure.reason, failure.message),
    };
    let (sign, call) = match &plan.step {
        Step::Create { pool, .. } => (Sign::Add, format!("POST pool {pool}")),
        Step::Update { pool, .. } => (Sign::Change, format!("PUT pool {pool}")),
        Step::Delete { pool } => {
            shown.disruption.push(format!("pool {pool} is deleted, which is empty"));
            (Sign::Remove, format!("DELETE pool {pool}"))
        }
    };
    let what = plan.to_string();
    if is_set(&*pool, PLAN_ONLY_ANNOTATION) {
        let message = format!("{what}: held back by the annotation {PLAN_ONLY_ANNOTATION}");
        return shown.hold(title, Reason::PlanOnly, message);
    }
    shown.calls.push(format!("{call}: {}", plan.actions.join(", ")));
    shown.changes.push(Change { sign, thing: Thing::Pool, object: title.to_owned(), what });
}
