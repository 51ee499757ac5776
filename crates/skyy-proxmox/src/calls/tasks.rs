//! Tasks: asked about once per call, found again after a lost answer. Nothing here waits.

use std::cmp::Reverse;

use crate::ask::{Ask, Params};
use crate::cluster::Cluster;
use crate::error::ProxmoxError;
use crate::ids::{NodeName, Vmid};
use crate::types::{TaskEntry, TaskLogLine, TaskStatus};
use crate::upid::Upid;

/// Which tasks of a node to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Only those on this guest (for a clone, the source).
    pub vmid: Option<Vmid>,
    /// Only those of this type (`qmclone`).
    pub kind: Option<String>,
    /// Only those started at or after this second of the node's clock.
    pub since: Option<u64>,
    /// At most this many (the server's own limit is 50).
    pub limit: Option<u32>,
}

/// What is known about a task whose id was lost with the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindTask {
    /// The guest it works on: for a clone the *source*.
    pub vmid: Vmid,
    /// Its type (`qmclone`, `qmstart`, `resize`, …).
    pub kind: String,
    /// The second of the node's clock before which it cannot have started. Allow for clocks that differ.
    pub since: u64,
    /// Who started it: `root@pam`, or with a token `root@pam!ops`. Others' tasks are not ours to follow.
    pub user: String,
}

impl Cluster {
    /// Tasks of a node, running and ended, newest first.
    pub async fn tasks(&self, node: &NodeName, filter: &TaskFilter) -> Result<Vec<TaskEntry>, ProxmoxError> {
        let TaskFilter { vmid, kind, since, limit } = filter;
        let params = Params::default()
            .set("source", "all")
            .maybe("vmid", vmid.map(Vmid::get))
            .maybe("typefilter", kind.clone())
            .maybe("since", *since)
            .maybe("limit", *limit);
        let ask = Ask::get("/api2/json/nodes/{node}/tasks", format!("list tasks of {node}"));
        self.ask(ask.on(node).with(params)).await
    }

    /// Recent tasks of the whole cluster, as broadcast: not complete.
    pub async fn cluster_tasks(&self) -> Result<Vec<TaskEntry>, ProxmoxError> {
        self.ask(Ask::get("/api2/json/cluster/tasks", "list recent tasks of the cluster")).await
    }

    /// Where a task stands. The node that runs it is asked; no other knows it.
    pub async fn task_status(&self, upid: &Upid) -> Result<TaskStatus, ProxmoxError> {
        let ask =
            Ask::get("/api2/json/nodes/{node}/tasks/{upid}/status", format!("ask about the task {upid}"));
        self.ask(ask.on(upid.node()).arg("upid", upid)).await
    }

    /// Lines of a task's log. Logs are rotated away: keep what matters at once. An unknown task has a log that says so.
    pub async fn task_log(
        &self,
        upid: &Upid,
        start: u32,
        limit: u32,
    ) -> Result<Vec<TaskLogLine>, ProxmoxError> {
        let ask =
            Ask::get("/api2/json/nodes/{node}/tasks/{upid}/log", format!("read the log of the task {upid}"));
        let params = Params::default().set("start", start).set("limit", limit);
        self.ask(ask.on(upid.node()).arg("upid", upid).with(params)).await
    }

    /// Asks a task to end. What it did until then stays done.
    pub async fn stop_task(&self, upid: &Upid) -> Result<(), ProxmoxError> {
        let ask = Ask::delete("/api2/json/nodes/{node}/tasks/{upid}", format!("stop the task {upid}"));
        self.tell(ask.on(upid.node()).arg("upid", upid)).await
    }

    /// Finds our own tasks of a kind after an answer was lost, newest first. Several may have been started.
    pub async fn find_tasks(
        &self,
        node: &NodeName,
        wanted: &FindTask,
    ) -> Result<Vec<TaskEntry>, ProxmoxError> {
        let FindTask { vmid, kind, since, user } = wanted;
        let filter =
            TaskFilter { vmid: Some(*vmid), kind: Some(kind.clone()), since: Some(*since), limit: None };
        let mut found = self.tasks(node, &filter).await?;
        // The server's filters are not relied upon: what is followed as ours must be ours.
        found.retain(|task| {
            let upid = &task.upid;
            let by = match upid.token() {
                Some(token) => format!("{}!{token}", upid.user()),
                None => upid.user().to_owned(),
            };
            upid.kind() == kind && upid.vmid() == Some(*vmid) && upid.starttime() >= *since && by == *user
        });
        found.sort_by_key(|task| Reverse(task.upid.starttime()));
        Ok(found)
    }

    /// The newest of [`Cluster::find_tasks`].
    pub async fn find_task(
        &self,
        node: &NodeName,
        wanted: &FindTask,
    ) -> Result<Option<TaskEntry>, ProxmoxError> {
        Ok(self.find_tasks(node, wanted).await?.into_iter().next())
    }
}
