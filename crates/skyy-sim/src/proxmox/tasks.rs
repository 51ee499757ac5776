//! Tasks: their UPIDs, the engine that carries them on as time passes, their locks, and the calls about them.
//!
//! A task is data: what it does ([`Work`]), how far it is, and when its next step is due. So it is saved with the
//! state, and a manual clock drives it as well as the real one.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::answer::{Answer, Fault, Reply, nothing};
use super::auth::Caller;
use super::call::Call;
use super::state::{Cluster, Link};
use super::work::Work;

/// Finished tasks kept; older ones vanish as the real index rotates.
const KEPT: usize = 1000;

/// One task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) upid: String,
    pub(crate) node: String,
    pub(crate) pid: u32,
    pub(crate) pstart: u64,
    pub(crate) start: u64,
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) user: String,
    pub(crate) token: Option<String>,
    pub(crate) log: Vec<String>,
    pub(crate) work: Work,
    /// How many steps are behind it.
    pub(crate) step: u32,
    /// When the next step is due, in milliseconds.
    pub(crate) due: u64,
    /// Since when it has been waiting for a lock.
    pub(crate) waiting: Option<u64>,
    pub(crate) end: Option<End>,
}

/// How a task ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) at: u64,
    pub(crate) status: String,
}

/// What a step of a task leads to.
#[derive(Debug)]
pub(crate) enum Next {
    /// The next step comes after that many milliseconds.
    After(u64),
    /// The same step again: a lock is held by another.
    Again,
    Done,
    /// Done, with that many warnings.
    Warned(u32),
    Fail(String),
}

impl Task {
    /// Adds a line to the log.
    pub(crate) fn say(&mut self, line: impl Into<String>) {
        self.log.push(line.into());
    }

    fn running(&self) -> bool {
        self.end.is_none()
    }
}

impl Cluster {
    /// Starts a task and gives its UPID.
    pub(crate) fn fork(&mut self, caller: &Caller, node: &str, kind: &str, id: &str, work: Work) -> String {
        let pid = self.pid();
        let start = self.seconds();
        let booted = self.nodes.get(node).map_or(0, |n| n.booted);
        let pstart = self.now.saturating_sub(booted) / 10;
        let user = caller.id();
        let upid = format!("UPID:{node}:{pid:08X}:{pstart:08X}:{start:08X}:{kind}:{id}:{user}:");
        let due = self.now + 20;
        self.tasks.push(Task {
            upid: upid.clone(),
            node: node.to_string(),
            pid,
            pstart,
            start,
            kind: kind.to_string(),
            id: id.to_string(),
            user: caller.user.clone(),
            token: caller.token.clone(),
            log: Vec::new(),
            work,
            step: 0,
            due,
            waiting: None,
            end: None,
        });
        upid
    }

    /// Lets everything happen that is due until `now`.
    pub(crate) fn advance(&mut self, now: u64) {
        loop {
            let next = (0..self.tasks.len())
                .filter(|i| self.tasks[*i].running())
                .min_by_key(|i| (self.tasks[*i].due, self.tasks[*i].pid));
            let due = next.map(|i| self.tasks[i].due).filter(|due| *due <= now);
            let (Some(index), Some(due)) = (next, due) else { break };
            self.tick(due);
            self.step(index);
        }
        self.tick(now);
        self.forget_old();
    }

    /// Time passes without any task: nodes come back, broadcasts go out, the HA manager acts.
    fn tick(&mut self, now: u64) {
        self.now = self.now.max(now);
        self.nodes_come_back();
        self.broadcast();
        self.ha_acts();
    }

    fn step(&mut self, index: usize) {
        let Some(mut task) = self.tasks.get(index).cloned() else { return };
        let node_gone = self.nodes.get(&task.node).is_none_or(|n| n.link == Link::Off);
        let next = if node_gone {
            Next::Fail("unexpected status".into())
        } else {
            let mut work = std::mem::take(&mut task.work);
            let next = work.step(self, &mut task);
            if matches!(next, Next::Fail(_)) {
                work.clean_up(self, &mut task);
            }
            task.work = work;
            next
        };
        match next {
            Next::After(ms) => {
                task.step += 1;
                task.waiting = None;
                task.due = self.now + ms.max(1);
            }
            Next::Again => task.due = self.now + 100,
            Next::Done => self.finish(&mut task, "OK", "TASK OK"),
            Next::Warned(n) => {
                let status = format!("WARNINGS: {n}");
                self.finish(&mut task, &status, &format!("TASK WARNINGS: {n}"));
            }
            Next::Fail(text) => self.finish(&mut task, &text, &format!("TASK ERROR: {text}")),
        }
        if let Some(slot) = self.tasks.iter_mut().find(|t| t.upid == task.upid) {
            *slot = task;
        }
    }

    fn finish(&mut self, task: &mut Task, status: &str, line: &str) {
        task.say(line);
        task.end = Some(End { at: self.seconds(), status: status.to_string() });
        self.release(&task.upid);
    }

    /// Ends a task from outside: by a user's request, or with its node.
    pub(crate) fn interrupt(&mut self, upid: &str, status: &str) {
        let Some(index) = self.tasks.iter().position(|t| t.upid == upid && t.running()) else { return };
        let mut task = self.tasks[index].clone();
        let mut work = std::mem::take(&mut task.work);
        if status == "received interrupt" {
            work.clean_up(self, &mut task);
        }
        task.work = work;
        self.finish(&mut task, status, &format!("TASK ERROR: {status}"));
        self.tasks[index] = task;
    }

    fn forget_old(&mut self) {
        let finished = self.tasks.iter().filter(|t| !t.running()).count();
        let mut surplus = finished.saturating_sub(KEPT);
        self.tasks.retain(|t| {
            let drop = surplus > 0 && !t.running();
            surplus -= usize::from(drop);
            !drop
        });
    }

    /// Takes a guest's file lock for a task: held, not yet, or given up after its patience.
    pub(crate) fn lock_for(
        &mut self,
        task: &mut Task,
        vmid: u32,
        shared: bool,
        patience_ms: u64,
    ) -> Result<bool, String> {
        let lock = self.flocks.entry(vmid).or_default();
        let mine = lock.exclusive.as_deref() == Some(&task.upid) || lock.shared.contains(&task.upid);
        let free = lock.exclusive.is_none() && (shared || lock.shared.is_empty());
        if mine || free {
            if free && !mine {
                if shared {
                    lock.shared.push(task.upid.clone());
                } else {
                    lock.exclusive = Some(task.upid.clone());
                }
            }
            if task.waiting.take().is_some() {
                task.say(" OK");
            }
            return Ok(true);
        }
        if task.waiting.is_none() {
            task.say("trying to acquire lock...");
        }
        let since = *task.waiting.get_or_insert(self.now);
        if self.now >= since + patience_ms {
            return Err(lock_text(vmid));
        }
        Ok(false)
    }

    /// Whether someone holds a guest's file lock.
    pub(crate) fn locked_out(&self, vmid: u32) -> bool {
        self.flocks.get(&vmid).is_some_and(|l| l.exclusive.is_some() || !l.shared.is_empty())
    }

    fn release(&mut self, upid: &str) {
        self.flocks.retain(|_, lock| {
            lock.exclusive.take_if(|u| u == upid);
            lock.shared.retain(|u| u != upid);
            lock.exclusive.is_some() || !lock.shared.is_empty()
        });
    }
}

/// What a caller hears who could not get a guest's file lock in time.
pub(crate) fn lock_text(vmid: u32) -> String {
    format!("can't lock file '/var/lock/qemu-server/lock-{vmid}.conf' - got timeout")
}

/// Whether a text has the form of a UPID; gives its node.
fn upid_node(upid: &str) -> Option<&str> {
    let parts: Vec<&str> = upid.split(':').collect();
    match parts.as_slice() {
        ["UPID", node, pid, pstart, start, kind, _, user, ""] => {
            let hex = |t: &str| t.len() >= 8 && t.bytes().all(|b| b.is_ascii_hexdigit());
            (hex(pid) && hex(pstart) && hex(start) && !kind.is_empty() && user.contains('@')).then_some(node)
        }
        _ => None,
    }
}

fn show(task: &Task) -> Map<String, Value> {
    let mut found = Map::new();
    for (key, value) in [
        ("id", json!(task.id)),
        ("node", json!(task.node)),
        ("pid", json!(task.pid)),
        ("pstart", json!(task.pstart)),
        ("starttime", json!(task.start)),
        ("type", json!(task.kind)),
        ("upid", json!(task.upid)),
        ("user", json!(task.user)),
    ] {
        found.insert(key.into(), value);
    }
    if let Some(token) = &task.token {
        found.insert("tokenid".into(), json!(token));
    }
    found
}

/// Whether a caller may see a task: its own, or all of a node's with Sys.Audit there.
fn may_see(call: &Call<'_>, task: &Task) -> bool {
    let own = match (&call.caller.token, &task.token) {
        (Some(mine), Some(its)) => mine == its && call.caller.user == task.user,
        (Some(_), None) => false,
        (None, _) => call.caller.user == task.user,
    };
    own || call.c.may(call.caller, &format!("/nodes/{}", task.node), &["Sys.Audit"])
}

/// GET /nodes/{node}/tasks
pub(crate) fn list(call: &mut Call<'_>) -> Reply {
    let p = &call.p;
    let source = p.get("source").unwrap_or("archive");
    let wanted = |t: &&Task| {
        let status = t.end.as_ref().map(|e| e.status.as_str());
        let class = match status {
            None | Some("unexpected status") => "unknown",
            Some("OK") => "ok",
            Some(s) if s.starts_with("WARNINGS") => "warning",
            Some(_) => "error",
        };
        let filters = p.items("statusfilter");
        t.node == call.node
            && match source {
                "archive" => !t.running(),
                "active" => t.running(),
                _ => true,
            }
            && p.get("vmid").is_none_or(|v| v == t.id)
            && p.get("typefilter").is_none_or(|v| v == t.kind)
            && p.get("userfilter").is_none_or(|v| t.user.contains(v))
            && p.number("since").is_none_or(|v| t.start >= v)
            && p.number("until").is_none_or(|v| t.start <= v)
            && (!p.is_set("errors") || !matches!(class, "ok" | "warning") && status.is_some())
            && (filters.is_empty() || filters.iter().any(|f| f.eq_ignore_ascii_case(class)))
            && may_see(call, t)
    };
    let mut found: Vec<&Task> = call.c.tasks.iter().filter(wanted).collect();
    // Running ones first, then the latest ending first.
    found.sort_by_key(|t| std::cmp::Reverse((t.running(), t.end.as_ref().map_or(t.start, |e| e.at), t.pid)));
    let total = found.len();
    let start = usize::try_from(p.number("start").unwrap_or(0)).unwrap_or(usize::MAX);
    let limit = match p.number("limit") {
        None => 50,
        Some(0) => usize::MAX,
        Some(n) => usize::try_from(n).unwrap_or(usize::MAX),
    };
    let rows = found.into_iter().skip(start).take(limit).map(|t| {
        let mut row = show(t);
        if let Some(end) = &t.end {
            row.insert("endtime".into(), json!(end.at));
            row.insert("status".into(), json!(end.status));
        } else {
            row.insert("saved".into(), json!("0"));
            row.insert("status".into(), json!("RUNNING"));
        }
        Value::Object(row)
    });
    let beside = if total > 0 { Map::from_iter([("total".to_string(), json!(total))]) } else { Map::new() };
    Ok(Answer::with(rows.collect(), beside))
}

/// GET /cluster/tasks
pub(crate) fn recent(call: &mut Call<'_>) -> Reply {
    let visible = |t: &&Task| call.c.sees(call.via, &t.node) && may_see(call, t);
    let mut found: Vec<&Task> = call.c.tasks.iter().filter(visible).collect();
    found.sort_by_key(|t| std::cmp::Reverse((t.running(), t.start, t.pid)));
    let rows = found.into_iter().take(25).map(|t| {
        let mut row = show(t);
        row.remove("pstart");
        if let Some(end) = &t.end {
            row.remove("pid");
            row.insert("endtime".into(), json!(end.at));
            row.insert("saved".into(), json!("1"));
            row.insert("status".into(), json!(end.status));
        }
        Value::Object(row)
    });
    Ok(rows.collect::<Value>().into())
}

fn find(call: &Call<'_>) -> Result<usize, Fault> {
    let upid = call.p.need("upid");
    upid_node(upid).ok_or_else(|| Fault::param("upid", "unable to parse worker upid"))?;
    let index = call.c.tasks.iter().position(|t| t.upid == upid && t.node == call.node);
    let index = index.ok_or_else(|| Fault::param("upid", "no such task"))?;
    if !may_see(call, &call.c.tasks[index]) {
        return Err(Fault::perm(format!("/nodes/{}, Sys.Audit", call.node)));
    }
    Ok(index)
}

/// GET /nodes/{node}/tasks/{upid}
pub(crate) fn index(call: &mut Call<'_>) -> Reply {
    upid_node(call.p.need("upid")).ok_or_else(|| Fault::param("upid", "unable to parse worker upid"))?;
    Ok(json!([{"name": "log"}, {"name": "status"}]).into())
}

/// GET /nodes/{node}/tasks/{upid}/status
pub(crate) fn status(call: &mut Call<'_>) -> Reply {
    let task = &call.c.tasks[find(call)?];
    let mut row = show(task);
    row.insert("status".into(), json!(if task.running() { "running" } else { "stopped" }));
    if let Some(end) = &task.end {
        row.insert("exitstatus".into(), json!(end.status));
    }
    Ok(Value::Object(row).into())
}

/// GET /nodes/{node}/tasks/{upid}/log
pub(crate) fn log(call: &mut Call<'_>) -> Reply {
    let lines = match find(call) {
        Ok(index) => call.c.tasks[index].log.clone(),
        Err(fault) if fault.status == 400 && fault_is_unknown(&fault) => {
            vec!["unable to open file - No such file or directory".to_string()]
        }
        Err(fault) => return Err(fault),
    };
    let total = lines.len().max(1);
    let start = usize::try_from(call.p.number("start").unwrap_or(0)).unwrap_or(usize::MAX);
    let limit = match call.p.number("limit") {
        None => 50,
        Some(0) => usize::MAX,
        Some(n) => usize::try_from(n).unwrap_or(usize::MAX),
    };
    let numbered = if lines.is_empty() { vec!["no content".to_string()] } else { lines };
    let rows = numbered.into_iter().enumerate().skip(start).take(limit);
    let rows: Value = rows.map(|(i, t)| json!({"n": i + 1, "t": t})).collect();
    Ok(Answer::with(rows, Map::from_iter([("total".to_string(), json!(total))])))
}

fn fault_is_unknown(fault: &Fault) -> bool {
    matches!(&fault.body, super::answer::FaultBody::Message { errors: Some(errors), .. }
        if errors.get("upid").is_some_and(|e| e == "no such task"))
}

/// DELETE /nodes/{node}/tasks/{upid}
pub(crate) fn stop(call: &mut Call<'_>) -> Reply {
    let index = find(call)?;
    let upid = call.c.tasks[index].upid.clone();
    call.c.interrupt(&upid, "received interrupt");
    nothing()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upids_are_told_from_rubbish() {
        for (upid, node) in [
            ("UPID:pve1:00000001:00000001:6B039776:qmstart:1:root@pam:", Some("pve1")),
            ("UPID:pve1:00000001:00000001:6B039776:aptupdate::root@pam!tok:", Some("pve1")),
            ("garbage", None),
            ("UPID:pve1:1:2:3:qmstart:1:root@pam:", None),
        ] {
            assert_eq!(upid_node(upid), node, "{upid}");
        }
    }
}
