//! Starting, stopping and the rest of power: the calls and their tasks.

use serde::{Deserialize, Serialize};

use super::answer::{Fault, Reply};
use super::call::Call;
use super::disk;
use super::pci;
use super::qemu_config::net_of;
use super::state::{Cluster, Conf, GuestKind, Run};
use super::tasks::{Next, Task};
use super::work::Work;

/// Configuration that goes into the cloud-init drive.
pub(crate) const CLOUDINIT_KEYS: [&str; 6] =
    ["cipassword", "ciuser", "citype", "nameserver", "searchdomain", "sshkeys"];

fn skiplock(call: &Call<'_>) -> Result<bool, Fault> {
    let skip = call.p.is_set("skiplock");
    if skip && !call.caller.is_root() {
        return Err(Fault::param("skiplock", "Only root may use this option."));
    }
    Ok(skip)
}

fn need_running(call: &Call<'_>) -> Result<(), Fault> {
    let guest = call.guest(GuestKind::Qemu)?;
    if guest.run.is_none() {
        return Err(Fault::die(format!("VM {} not running", guest.vmid)));
    }
    Ok(())
}

/// POST .../status/start
pub(crate) fn start(call: &mut Call<'_>) -> Reply {
    let vmid = call.vmid();
    let skiplock = skiplock(call)?;
    call.need_quorum()?;
    if call.c.ha_managed(vmid) {
        return super::ha::ask(call, "hastart", "started");
    }
    call.fork("qmstart", &vmid.to_string(), Work::Start(Start { vmid, skiplock }))
}

/// POST .../status/stop
pub(crate) fn stop(call: &mut Call<'_>) -> Reply {
    let vmid = call.vmid();
    let skiplock = skiplock(call)?;
    if call.c.ha_managed(vmid) {
        return super::ha::ask(call, "hastop", "stopped");
    }
    call.fork("qmstop", &vmid.to_string(), Work::Stop(Stop { vmid, skiplock }))
}

/// POST .../status/shutdown
pub(crate) fn shutdown(call: &mut Call<'_>) -> Reply {
    let vmid = call.vmid();
    let skiplock = skiplock(call)?;
    if call.c.ha_managed(vmid) {
        return super::ha::ask(call, "hastop", "stopped");
    }
    let timeout_s = call.p.number("timeout").unwrap_or(60);
    let work = Shutdown { vmid, skiplock, timeout_s, force: call.p.is_set("forceStop"), since: None };
    call.fork("qmshutdown", &vmid.to_string(), Work::Shutdown(work))
}

/// POST .../status/reboot
pub(crate) fn reboot(call: &mut Call<'_>) -> Reply {
    need_running(call)?;
    let vmid = call.vmid();
    let timeout_s = call.p.number("timeout").unwrap_or(60);
    let down = Shutdown { vmid, skiplock: false, timeout_s, force: false, since: None };
    call.fork("qmreboot", &vmid.to_string(), Work::Reboot(Reboot { down, stopped: false }))
}

/// POST .../status/reset
pub(crate) fn reset(call: &mut Call<'_>) -> Reply {
    skiplock(call)?;
    need_running(call)?;
    let id = call.vmid().to_string();
    call.fork("qmreset", &id, Work::Wait { ms: 100, lines: Vec::new(), fails: None })
}

/// POST .../status/suspend
pub(crate) fn suspend(call: &mut Call<'_>) -> Reply {
    skiplock(call)?;
    need_running(call)?;
    if call.p.is_set("todisk") {
        return Err(Fault::die("suspending to disk is not simulated"));
    }
    let vmid = call.vmid();
    call.fork("qmpause", &vmid.to_string(), Work::Suspend(Suspend { vmid }))
}

/// POST .../status/resume
pub(crate) fn resume(call: &mut Call<'_>) -> Reply {
    skiplock(call)?;
    need_running(call)?;
    let vmid = call.vmid();
    call.fork("qmresume", &vmid.to_string(), Work::Resume(Resume { vmid }))
}

/// The task of a start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) vmid: u32,
    pub(crate) skiplock: bool,
}

impl Start {
    pub(crate) fn step(&mut self, c: &mut Cluster, t: &mut Task) -> Next {
        if t.step > 0 {
            return match c.begin_running(&t.node, self.vmid) {
                Ok(()) => Next::Done,
                Err(text) => Next::Fail(text),
            };
        }
        match c.lock_for(t, self.vmid, false, 10_000) {
            Ok(true) => {}
            Ok(false) => return Next::Again,
            Err(text) => return Next::Fail(text),
        }
        let node = t.node.clone();
        match self.check(c, &node, t) {
            Ok(()) => Next::After(500),
            Err(text) => Next::Fail(text),
        }
    }

    fn check(&self, c: &mut Cluster, node: &str, t: &mut Task) -> Result<(), String> {
        let guest = c.guest_on(node, self.vmid, GuestKind::Qemu)?;
        if guest.is_template() {
            return Err("you can't start a vm if it's a template".into());
        }
        if !self.skiplock {
            guest.check_lock()?;
        }
        if guest.run.is_some() {
            return Err(format!("VM {} already running", self.vmid));
        }
        let conf = guest.with_pending();
        c.check_devices(node, self.vmid, &conf, t)
    }
}

impl Cluster {
    /// What a start finds missing: volumes, bridges, PCI devices, memory.
    fn check_devices(&self, node: &str, vmid: u32, conf: &Conf, t: &mut Task) -> Result<(), String> {
        for (_, drive) in disk::drives(conf) {
            let volid = &drive["file"];
            if volid.contains(':') && !volid.starts_with('/') {
                let storage = volid.split(':').next().unwrap_or_default();
                self.usable_storage(storage, node)?;
                if self.volume(volid, node).is_none() {
                    return Err(format!("volume '{volid}' does not exist"));
                }
            }
        }
        pci::check_start(self, node, vmid, conf, t)?;
        let host = self.nodes.get(node).ok_or("no such node")?;
        for (key, value) in conf.iter().filter(|(k, _)| k.starts_with("net")) {
            let bridge = net_of(value).get("bridge").cloned().unwrap_or_default();
            if key[3..].parse::<u32>().is_ok() && !bridge.is_empty() && !host.net.has_bridge(&bridge) {
                return Err(format!("bridge '{bridge}' does not exist"));
            }
        }
        let taken: u64 = self
            .guests
            .values()
            .filter(|g| g.node == node && g.run.is_some())
            .map(super::state::Guest::memory)
            .sum();
        let wants = self.guests.get(&vmid).map_or(0, super::state::Guest::memory);
        if taken + wants > host.memory {
            t.say("kvm: cannot set up guest memory 'pc.ram': Cannot allocate memory");
            return Err("start failed: QEMU exited with code 1".into());
        }
        Ok(())
    }

    /// The guest runs from now on, with what was pending.
    pub(crate) fn begin_running(&mut self, node: &str, vmid: u32) -> Result<(), String> {
        let (pid, since) = (self.pid(), self.now);
        let conf = self.guest_mut(node, vmid)?.with_pending();
        let pci = pci::assign(self, node, vmid, &conf)?;
        let guest = self.guest_mut(node, vmid)?;
        guest.apply_pending();
        let keys = CLOUDINIT_KEYS;
        guest.cloudinit = Some(
            guest
                .conf
                .iter()
                .filter(|(k, _)| keys.contains(&k.as_str()))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
        );
        guest.run = Some(Run { since, pid, paused: false, pci });
        Ok(())
    }
}

/// The task of a stop.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stop {
    pub(crate) vmid: u32,
    pub(crate) skiplock: bool,
}

impl Stop {
    pub(crate) fn step(&mut self, c: &mut Cluster, t: &mut Task) -> Next {
        if t.step > 0 {
            if let Ok(guest) = c.guest_mut(&t.node, self.vmid) {
                guest.run = None;
            }
            return Next::Done;
        }
        match c.lock_for(t, self.vmid, false, 10_000) {
            Ok(true) => {}
            Ok(false) => return Next::Again,
            Err(text) => return Next::Fail(text),
        }
        match c.guest_on(&t.node, self.vmid, GuestKind::Qemu) {
            Err(text) => Next::Fail(text),
            Ok(guest) => match guest.check_lock() {
                Err(text) if !self.skiplock => Next::Fail(text),
                _ if guest.run.is_none() => Next::Done,
                _ => Next::After(300),
            },
        }
    }
}

/// The task of a shutdown by the guest's own doing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Shutdown {
    pub(crate) vmid: u32,
    pub(crate) skiplock: bool,
    pub(crate) timeout_s: u64,
    pub(crate) force: bool,
    pub(crate) since: Option<u64>,
}

impl Shutdown {
    pub(crate) fn step(&mut self, c: &mut Cluster, t: &mut Task) -> Next {
        if let Some(since) = self.since {
            let limit = since + (self.timeout_s.max(1) * 1000);
            let now = c.now;
            let deaf = c.guests.get(&self.vmid).is_some_and(|g| g.deaf);
            if deaf && now < limit {
                return Next::After(limit - now);
            }
            if deaf && !self.force {
                return Next::Fail("VM quit/powerdown failed - got timeout".into());
            }
            if deaf {
                t.say("VM quit/powerdown failed - terminating now with SIGTERM");
            }
            if let Ok(guest) = c.guest_mut(&t.node, self.vmid) {
                guest.run = None;
            }
            return Next::Done;
        }
        match c.lock_for(t, self.vmid, false, 10_000) {
            Ok(true) => {}
            Ok(false) => return Next::Again,
            Err(text) => return Next::Fail(text),
        }
        match c.guest_on(&t.node, self.vmid, GuestKind::Qemu) {
            Err(text) => Next::Fail(text),
            Ok(guest) => match guest.check_lock() {
                Err(text) if !self.skiplock => Next::Fail(text),
                _ if guest.run.is_none() => Next::Done,
                _ => {
                    self.since = Some(c.now);
                    Next::After(2000)
                }
            },
        }
    }
}

/// The task of a reboot: down by the guest's own doing, then up with what was pending.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Reboot {
    down: Shutdown,
    stopped: bool,
}

impl Reboot {
    pub(crate) fn step(&mut self, c: &mut Cluster, t: &mut Task) -> Next {
        if self.stopped {
            return match c.begin_running(&t.node, self.down.vmid) {
                Ok(()) => Next::Done,
                Err(text) => Next::Fail(text),
            };
        }
        match self.down.step(c, t) {
            Next::Done => {
                self.stopped = true;
                Next::After(500)
            }
            other => other,
        }
    }
}

/// The task of a pause.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Suspend {
    vmid: u32,
}

impl Suspend {
    pub(crate) fn step(&mut self, c: &mut Cluster, t: &mut Task) -> Next {
        set_paused(c, t, self.vmid, true)
    }
}

/// The task of a resume.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Resume {
    vmid: u32,
}

impl Resume {
    pub(crate) fn step(&mut self, c: &mut Cluster, t: &mut Task) -> Next {
        set_paused(c, t, self.vmid, false)
    }
}

fn set_paused(c: &mut Cluster, t: &mut Task, vmid: u32, paused: bool) -> Next {
    match c.guest_mut(&t.node, vmid) {
        Err(text) => Next::Fail(text),
        Ok(guest) => match guest.run.as_mut() {
            None => Next::Fail(format!("VM {vmid} not running")),
            Some(run) => {
                run.paused = paused;
                Next::Done
            }
        },
    }
}
