//! Snapshots.

use crate::ask::{Ask, Params};
use crate::cluster::Cluster;
use crate::error::ProxmoxError;
use crate::ids::GuestAt;
use crate::types::Snapshot;
use crate::upid::Upid;

impl Cluster {
    /// The snapshots of a guest, without the entry for the present state.
    pub async fn snapshots(&self, at: &GuestAt) -> Result<Vec<Snapshot>, ProxmoxError> {
        let ask =
            Ask::get("/api2/json/nodes/{node}/{kind}/{vmid}/snapshot", format!("list snapshots of {at}"));
        let mut snapshots: Vec<Snapshot> = self.ask(ask.at(at)).await?;
        snapshots.retain(|snapshot| !snapshot.is_current());
        Ok(snapshots)
    }

    /// Takes a snapshot of the disks. The name needs two characters at least and begins with a letter.
    pub async fn create_snapshot(
        &self,
        at: &GuestAt,
        name: &str,
        description: Option<&str>,
    ) -> Result<Upid, ProxmoxError> {
        let ask = Ask::post(
            "/api2/json/nodes/{node}/{kind}/{vmid}/snapshot",
            format!("take the snapshot {name} of {at}"),
        );
        let params = Params::default().set("snapname", name).maybe("description", description);
        self.start_task(ask.at(at).with(params)).await
    }

    /// Removes a snapshot. One that does not exist fails in the task.
    pub async fn delete_snapshot(&self, at: &GuestAt, name: &str) -> Result<Upid, ProxmoxError> {
        let path = "/api2/json/nodes/{node}/{kind}/{vmid}/snapshot/{name}";
        let ask = Ask::delete(path, format!("delete the snapshot {name} of {at}"));
        self.start_task(ask.at(at).arg("name", name)).await
    }

    /// Takes a guest back to a snapshot: what came after it is lost.
    pub async fn rollback_snapshot(&self, at: &GuestAt, name: &str) -> Result<Upid, ProxmoxError> {
        let path = "/api2/json/nodes/{node}/{kind}/{vmid}/snapshot/{name}/rollback";
        let ask = Ask::post(path, format!("roll {at} back to the snapshot {name}"));
        self.start_task(ask.at(at).arg("name", name)).await
    }
}
