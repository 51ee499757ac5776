//! ProxmoxCluster: keeps the hub of one cluster running, and tells what the hub saw.

use std::{fmt, sync::Arc, time::Duration};

use kube::ResourceExt;
use skyy_api::{
    Deployment, ProxmoxCluster, ProxmoxClusterStatus, ProxmoxHost, Reason,
    condition::{Fact, REACHABLE},
    proxmox_cluster::ClusterNode,
};
use skyy_runtime::{Failure, Goal, Kind, Lookup, Mode, Progress};

use super::{
    hub::{Clusters, Settings},
    inventory::Inventory,
};

/// The ProxmoxCluster kind.
pub struct ProxmoxClusterKind {
    /// The hubs.
    pub hubs: Arc<Clusters>,
    /// Objects that name a cluster.
    pub hosts: Lookup<ProxmoxHost>,
    /// Objects that name a cluster.
    pub deployments: Lookup<Deployment>,
    /// The word by which this installation marks guests.
    pub installation: String,
}

/// What was seen of a cluster.
pub struct Seen {
    view: Option<Result<Arc<Inventory>, Failure>>,
    attached: usize,
}

/// A ProxmoxCluster itself does nothing outside; there is only waiting.
pub struct Wait(String);

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Kind for ProxmoxClusterKind {
    type Object = ProxmoxCluster;
    type Observed = Seen;
    type Plan = Wait;
    const NAME: &'static str = "proxmoxcluster";

    async fn observe(&self, cluster: &Arc<ProxmoxCluster>, goal: Goal, _: Mode) -> Result<Seen, Failure> {
        let name = cluster.name_any();
        let attached = self.hosts.all().iter().filter(|host| host.spec.cluster == name).count()
            + self.deployments.all().iter().filter(|deployment| deployment.spec.cluster == name).count();
        if goal == Goal::Absent && attached == 0 {
            self.hubs.remove(&name);
            return Ok(Seen { view: None, attached });
        }
        let hub = self.hubs.ensure(&name, Settings { spec: cluster.spec.clone(), paused: false });
        Ok(Seen { view: hub.view(), attached })
    }

    fn plan(&self, _: &ProxmoxCluster, seen: &Seen, goal: Goal) -> Result<Option<Wait>, Failure> {
        if goal == Goal::Absent {
            return Ok((seen.attached > 0).then(|| {
                Wait(format!(
                    "{} objects still name this ProxmoxCluster; it stays until they are gone",
                    seen.attached
                ))
            }));
        }
        match &seen.view {
            None => Ok(Some(Wait("looking at the cluster for the first time".into()))),
            Some(Err(failure)) => Err(failure.clone()),
            Some(Ok(inventory)) if !inventory.status.quorate => Err(Failure::transient(
                Reason::NoQuorum,
                "the cluster has no quorum: it can be read, and nothing can be done until enough nodes are back",
            )),
            Some(Ok(_)) => Ok(None),
        }
    }

    async fn apply(&self, _: &Arc<ProxmoxCluster>, _: &Seen, Wait(what): Wait) -> Result<Progress, Failure> {
        Ok(Progress::working(what, Duration::from_secs(5)))
    }

    fn report(&self, _: &ProxmoxCluster, seen: &Seen, status: &mut ProxmoxClusterStatus) -> Vec<Fact> {
        match &seen.view {
            None => Vec::new(),
            Some(Err(failure)) => vec![Fact::no(REACHABLE, failure.reason, failure.message.clone())],
            Some(Ok(inventory)) => {
                let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
                let members = &inventory.status.members;
                let online = members.iter().filter(|member| member.online).count();
                let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
                let prefix = format!("skyy-{}-", self.installation.to_lowercase());
                status.version = text(&inventory.version.version);
                status.cluster_name.clone_from(&inventory.status.name);
                status.quorate = Some(inventory.status.quorate);
                status.nodes = members
                    .iter()
                    .map(|member| ClusterNode { name: member.name.to_string(), online: member.online })
                    .collect();
                status.nodes_summary = Some(format!("{online}/{} online", members.len()));
                let guests = || inventory.resources.guests.iter().filter(|guest| !guest.template);
                status.guests = count(guests().count());
                status.owned_guests = count(
                    guests().filter(|guest| guest.tags.iter().any(|tag| tag.starts_with(&prefix))).count(),
                );
                vec![Fact::yes(REACHABLE, Reason::InSync, "")]
            }
        }
    }

    fn hold(&self, cluster: &ProxmoxCluster) {
        self.hubs.ensure(&cluster.name_any(), Settings { spec: cluster.spec.clone(), paused: true });
    }

    fn forget(&self, cluster: &ProxmoxCluster) {
        self.hubs.remove(&cluster.name_any());
    }
}
