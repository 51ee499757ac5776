//! Carrying out one action for one guest. Nothing is chosen here.

use std::time::Duration;

use kube::ResourceExt;
use skyy_api::{
    Deployment, Reason,
    deployment::{CloneMode, Guest as Record, GuestPhase},
};
use skyy_plan::guest::{Sight, Step};
use skyy_proxmox::{
    CloneRequest, Cluster, ConfigChange, DeleteOptions, Digest, GuestAt, Problem, Sent, Shutdown, Vmid,
};
use skyy_runtime::Failure;

use super::{Action, Deployments, GuestView};
use crate::proxmox::{ClusterHub, node_name};

/// How long a guest may take to shut down before it is switched off.
const SHUTDOWN: Duration = Duration::from_secs(90);

impl Deployments {
    /// Carries out one action, and keeps what it began.
    pub(super) async fn act(
        &self,
        deployment: &Deployment,
        hub: &ClusterHub,
        view: &GuestView,
        action: Action,
    ) -> Result<(), Failure> {
        let uid = deployment.uid().unwrap_or_default();
        let mut record = view.record.clone();
        let result = match action {
            Action::Claim => self.claim(deployment, &mut record).await,
            Action::Forget => {
                self.release_claims(deployment, &record).await?;
                hub.unfollow(record.vmid);
                let left =
                    hub.records(&uid, Vec::new).into_iter().filter(|kept| kept.vmid != record.vmid).collect();
                hub.keep_records(&uid, left);
                tracing::info!(guest = record.name, vmid = record.vmid, "given up");
                return Ok(());
            }
            Action::Step(Step::Wait(_)) => return Ok(()),
            Action::Step(step) => {
                tracing::info!(guest = record.name, vmid = record.vmid, host = record.host, %step, "acting");
                self.step(deployment, hub, view, &mut record, step).await
            }
        };
        if let Err(failure) = &result {
            record.message.clone_from(&failure.message);
        }
        keep(hub, deployment, &record);
        result
    }

    async fn step(
        &self,
        deployment: &Deployment,
        hub: &ClusterHub,
        view: &GuestView,
        record: &mut Record,
        step: Step,
    ) -> Result<(), Failure> {
        let client = hub.client()?;
        let vmid = Vmid::try_from(record.vmid)
            .map_err(|error| Failure::terminal(Reason::Invalid, error.to_string()))?;
        let node = match (&view.sight, &record.host) {
            (Sight::Ours(guest), _) => guest.node.clone(),
            (_, Some(host)) => host.clone(),
            (_, None) => {
                return Err(Failure::transient(
                    Reason::NoHostFits,
                    format!("{} has no host yet", record.name),
                ));
            }
        };
        let at = GuestAt::qemu(node_name(&node)?, vmid);
        let task = match step {
            Step::Clone => return self.clone_template(deployment, hub, &client, record, &at).await,
            Step::Configure { set, delete, digest, .. } => {
                let mut change = ConfigChange::new().digest(Some(&Digest::new(digest)));
                for (key, value) in set {
                    change = change.set(key, value);
                }
                for key in delete {
                    change = change.remove(key);
                }
                hub.forget_config(record.vmid);
                client.update_guest(&at, change).await.map(|()| None)
            }
            Step::Resize { disk, bytes, digest } => {
                client.resize_disk(&at, &disk, bytes, Some(&Digest::new(digest))).await.map(Some)
            }
            Step::Start => client.start_guest(&at).await.map(Some),
            Step::Stop => {
                client.shutdown_guest(&at, Shutdown { timeout: SHUTDOWN, force: true }).await.map(Some)
            }
            Step::Destroy => {
                hub.forget_config(record.vmid);
                client
                    .delete_guest(&at, DeleteOptions { purge: true, unreferenced_disks: false })
                    .await
                    .map(Some)
            }
            Step::Wait(_) => Ok(None),
        };
        if deployment.spec.gpus.is_some() && task.is_ok() {
            hub.forget_config(record.vmid);
            hub.read_soon(&node);
        }
        match task {
            Ok(task) => {
                record.task = task.map(|upid| upid.to_string());
                record.message.clear();
                Ok(())
            }
            // Somebody was quicker, or a lock stood in the way: the next look tells.
            Err(error)
                if matches!(
                    error.problem(),
                    Problem::DigestMismatch | Problem::AlreadyRunning(_) | Problem::NotRunning(_)
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(hub.failed(&error)),
        }
    }

    async fn clone_template(
        &self,
        deployment: &Deployment,
        hub: &ClusterHub,
        client: &Cluster,
        record: &mut Record,
        at: &GuestAt,
    ) -> Result<(), Failure> {
        let inventory = hub.inventory()?;
        let Some(template) = record.template.and_then(|template| inventory.guest(template)) else {
            // It was removed since: choose again with the next pass.
            record.host = None;
            record.template = None;
            let message = format!("the template of {} is gone; choosing again", record.name);
            return Err(Failure::transient(Reason::DependencyMissing, message));
        };
        // One at a time: whoever counts must see the clones that others have just begun.
        let _turn = hub.cloning.lock().await;
        let cloning = hub
            .all_records()
            .values()
            .flatten()
            .filter(|other| {
                other.vmid != record.vmid && other.phase == GuestPhase::Cloning && other.task.is_some()
            })
            .count();
        let most = hub.spec().max_clones as usize;
        if cloning >= most {
            record.message = format!("waits for its turn: {most} clones run already");
            return Ok(());
        }
        let source = GuestAt::qemu(template.node.clone(), template.vmid);
        let full = deployment.spec.clone == CloneMode::Full;
        let root = deployment.spec.disks.iter().find(|disk| disk.name == "root");
        let request = CloneRequest {
            name: Some(record.name.clone()),
            description: Some(self.mark(deployment, &record.name).description()),
            full,
            storage: root.and_then(|disk| disk.storage.clone()).filter(|_| full),
            target: (template.node != at.node).then(|| at.node.clone()),
            ..CloneRequest::full(at.vmid)
        };
        match client.clone_guest(&source, &request).await {
            Ok(upid) => {
                record.task = Some(upid.to_string());
                record.phase = GuestPhase::Cloning;
                record.message.clear();
                keep(hub, deployment, record);
                Ok(())
            }
            // Taken since it was reserved, by us with an answer that was lost, or by somebody else: the next look tells whose it is.
            Err(error) if matches!(error.problem(), Problem::AlreadyExists { .. }) => Ok(()),
            Err(error) if error.sent() == Sent::Maybe => {
                // It may have begun. The next pass looks before it repeats anything.
                record.message = error.to_string();
                Err(hub.failed(&error))
            }
            Err(error) => Err(hub.failed(&error)),
        }
    }
}

/// Keeps what is known of one guest.
fn keep(hub: &ClusterHub, deployment: &Deployment, record: &Record) {
    let uid = deployment.uid().unwrap_or_default();
    let mut records = hub.records(&uid, Vec::new);
    if let Some(kept) = records.iter_mut().find(|kept| kept.vmid == record.vmid) {
        kept.clone_from(record);
    }
    hub.keep_records(&uid, records);
}
