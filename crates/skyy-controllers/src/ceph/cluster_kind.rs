//! CephCluster: keeps the hub of one Ceph running, and tells what the hub saw.

use std::{fmt, sync::Arc, time::Duration};

use kube::ResourceExt;
use skyy_api::{
    CephCluster, CephClusterStatus, CephPool, Reason,
    condition::{Fact, REACHABLE},
    quantity::human,
};
use skyy_runtime::{Failure, Goal, Kind, Lookup, Mode, Progress};

use super::hub::{Cephs, Settings, View};

/// A condition of its own: what Ceph says of its health. It does not gate Ready, for a cluster that warns still serves.
const HEALTHY: &str = "Healthy";

/// The CephCluster kind.
pub struct CephClusterKind {
    /// The hubs.
    pub hubs: Arc<Cephs>,
    /// Objects that name a cluster.
    pub pools: Lookup<CephPool>,
}

/// What was seen of a cluster.
pub struct Seen {
    view: Option<Result<Arc<View>, Failure>>,
    attached: usize,
}

/// A CephCluster itself does nothing outside; there is only waiting.
pub struct Wait(String);

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Kind for CephClusterKind {
    type Object = CephCluster;
    type Observed = Seen;
    type Plan = Wait;
    const NAME: &'static str = "cephcluster";

    async fn observe(&self, cluster: &Arc<CephCluster>, goal: Goal, _: Mode) -> Result<Seen, Failure> {
        let name = cluster.name_any();
        let attached = self.pools.all().iter().filter(|pool| pool.spec.cluster == name).count();
        if goal == Goal::Absent && attached == 0 {
            self.hubs.remove(&name);
            return Ok(Seen { view: None, attached });
        }
        let hub = self.hubs.ensure(&name, Settings { spec: cluster.spec.clone(), paused: false });
        Ok(Seen { view: hub.view(), attached })
    }

    fn plan(&self, _: &CephCluster, seen: &Seen, goal: Goal) -> Result<Option<Wait>, Failure> {
        if goal == Goal::Absent {
            return Ok((seen.attached > 0).then(|| {
                Wait(format!(
                    "{} CephPools still name this CephCluster; it stays until they are gone",
                    seen.attached
                ))
            }));
        }
        match &seen.view {
            None => Ok(Some(Wait("looking at the cluster for the first time".into()))),
            Some(Err(failure)) => Err(failure.clone()),
            Some(Ok(_)) => Ok(None),
        }
    }

    async fn apply(&self, _: &Arc<CephCluster>, _: &Seen, Wait(what): Wait) -> Result<Progress, Failure> {
        Ok(Progress::working(what, Duration::from_secs(5)))
    }

    fn report(&self, _: &CephCluster, seen: &Seen, status: &mut CephClusterStatus) -> Vec<Fact> {
        match &seen.view {
            None => Vec::new(),
            Some(Err(failure)) => vec![Fact::no(REACHABLE, failure.reason, failure.message.clone())],
            Some(Ok(view)) => {
                let health = &view.health;
                status.release = view.summary.release().map(|release| release.to_string());
                status.health = Some(health.health.status.clone()).filter(|text| !text.is_empty());
                let mut checks: Vec<String> = health
                    .health
                    .checks
                    .iter()
                    .filter(|check| !check.muted)
                    .map(|check| check.kind.clone())
                    .collect();
                checks.sort();
                status.osds = Some(format!("{}/{} up", health.osds_up, health.osds));
                // Sizes and use move with every write; whole tenths of a TiB and whole percent stand still.
                status.capacity = Some(human(health.capacity.total_bytes));
                let percent = (health.capacity.total_used_raw_bytes.saturating_mul(100))
                    .checked_div(health.capacity.total_bytes);
                status.used = percent.map(|percent| format!("{percent} %"));
                status.pools = u32::try_from(view.pools.len()).unwrap_or(u32::MAX);
                let healthy = if health.health.status == "HEALTH_OK" {
                    Fact::yes(HEALTHY, Reason::InSync, "")
                } else {
                    Fact::no(
                        HEALTHY,
                        Reason::Unhealthy,
                        format!("{}: {}", health.health.status, checks.join(", ")),
                    )
                };
                status.health_checks = checks;
                vec![Fact::yes(REACHABLE, Reason::InSync, ""), healthy]
            }
        }
    }

    fn hold(&self, cluster: &CephCluster) {
        self.hubs.ensure(&cluster.name_any(), Settings { spec: cluster.spec.clone(), paused: true });
    }

    fn forget(&self, cluster: &CephCluster) {
        self.hubs.remove(&cluster.name_any());
    }
}
