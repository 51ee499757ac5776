//! Growing a disk and turning a guest into a template.

use serde::{Deserialize, Serialize};

use super::answer::{Fault, Reply};
use super::call::Call;
use super::disk;
use super::num;
use super::state::{Cluster, GuestKind};
use super::tasks::{Next, Task};
use super::work::Work;

/// PUT /nodes/{node}/qemu/{vmid}/resize
pub(crate) fn resize(call: &mut Call<'_>) -> Reply {
    if call.p.is_set("skiplock") && !call.caller.is_root() {
        return Err(Fault::param("skiplock", "Only root may use this option."));
    }
    let vmid = call.vmid();
    let work = Resize {
        vmid,
        disk: call.p.need("disk").to_string(),
        size: call.p.need("size").to_string(),
        digest: call.p.get("digest").map(str::to_string),
        skiplock: call.p.is_set("skiplock"),
    };
    call.fork("resize", &vmid.to_string(), Work::Resize(work))
}

/// The task of a resize.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Resize {
    vmid: u32,
    disk: String,
    size: String,
    digest: Option<String>,
    skiplock: bool,
}

impl Resize {
    pub(crate) fn step(&mut self, c: &mut Cluster, t: &mut Task) -> Next {
        if t.step > 0 {
            return Next::Done;
        }
        match c.lock_for(t, self.vmid, false, 10_000) {
            Ok(true) => {}
            Ok(false) => return Next::Again,
            Err(text) => return Next::Fail(text),
        }
        match self.grow(c, t) {
            Ok(()) => Next::After(200),
            Err(text) => Next::Fail(text),
        }
    }

    fn grow(&self, c: &mut Cluster, t: &mut Task) -> Result<(), String> {
        let node = t.node.clone();
        let guest = c.guest_on(&node, self.vmid, GuestKind::Qemu)?;
        if self.digest.as_ref().is_some_and(|d| *d != guest.digest()) {
            return Err("checksum mismatch (file change by other user?)".into());
        }
        if !self.skiplock {
            guest.check_lock()?;
        }
        let line = guest.conf.get(&self.disk);
        let line = line.ok_or_else(|| format!("disk '{}' does not exist", self.disk))?;
        let mut drive = disk::parse_drive(line);
        let volid = drive["file"].clone();
        if disk::is_cdrom(&drive) {
            return Err("you can't resize a cdrom".into());
        }
        let running = guest.run.is_some();
        let volume = c.volume(&volid, &node).ok_or_else(|| format!("volume '{volid}' does not exist"))?;
        let old = volume.size;
        let new = match self.size.strip_prefix('+') {
            Some(more) => old + num::parse_size(more).unwrap_or_default(),
            None => num::parse_size(&self.size).unwrap_or_default(),
        };
        if new < old {
            return Err("shrinking disks is not supported".into());
        }
        let name = volume.name.rsplit('/').next().unwrap_or_default().to_string();
        let (path, format) = (c.volume_path(&volid), volume.format.clone());
        if name.starts_with("base-") {
            t.say(format!(
                "qemu-img: Could not open '{path}': Could not open '{path}': Operation not permitted"
            ));
            let option = if format == "qcow2" { "'--preallocation=metadata' " } else { "" };
            return Err(format!(
                "command '/usr/bin/qemu-img resize {option}-f {format} {path} {new}' failed: exit code 1"
            ));
        }
        if new > old {
            if !running
                && c.storages
                    .get(volid.split(':').next().unwrap_or_default())
                    .is_some_and(super::state::Storage::file_based)
            {
                t.say("Image resized.");
            }
            if let Some(volume) = c.volume_mut(&volid, &node) {
                volume.size = new;
            }
        }
        c.may_write(&node, GuestKind::Qemu, self.vmid)?;
        drive.insert("size".into(), num::format_size(new));
        let guest = c.guest_mut(&node, self.vmid)?;
        guest.conf.insert(self.disk.clone(), disk::print_drive(&drive));
        Ok(())
    }
}

/// POST /nodes/{node}/qemu/{vmid}/template
pub(crate) fn template(call: &mut Call<'_>) -> Reply {
    let vmid = call.vmid();
    let guest = call.guest(GuestKind::Qemu)?;
    guest.check_lock().map_err(Fault::die)?;
    if !guest.snapshots.is_empty() {
        return Err(Fault::die("unable to create template, because VM contains snapshots"));
    }
    if guest.is_template() {
        return Err(Fault::die("you can't convert a template to a template"));
    }
    if guest.run.is_some() {
        return Err(Fault::die("you can't convert a VM to template if VM is running"));
    }
    call.fork("qmtemplate", &vmid.to_string(), Work::Template(MakeTemplate { vmid }))
}

/// The task that makes a template.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MakeTemplate {
    vmid: u32,
}

impl MakeTemplate {
    pub(crate) fn step(&mut self, c: &mut Cluster, t: &mut Task) -> Next {
        if t.step > 0 {
            return Next::Done;
        }
        match c.lock_for(t, self.vmid, false, 10_000) {
            Ok(true) => {}
            Ok(false) => return Next::Again,
            Err(text) => return Next::Fail(text),
        }
        let node = t.node.clone();
        match c.may_write(&node, GuestKind::Qemu, self.vmid).and_then(|()| c.make_template(&node, self.vmid))
        {
            Ok(()) => Next::After(300),
            Err(text) => Next::Fail(text),
        }
    }
}

impl Cluster {
    /// Turns a guest's disks into base images and marks it.
    pub(crate) fn make_template(&mut self, node: &str, vmid: u32) -> Result<(), String> {
        let guest = self.guest_on(node, vmid, GuestKind::Qemu)?;
        let mut renamed = Vec::new();
        for (key, mut drive) in disk::drives(&guest.conf) {
            let volid = drive["file"].clone();
            if disk::is_cdrom(&drive) || disk::is_cloudinit(&volid) || !volid.contains(':') {
                continue;
            }
            // A linked clone that becomes a template keeps its own name, without its base's.
            let (storage, name) = volid.split_once(':').unwrap_or_default();
            let file = name.rsplit('/').next().unwrap_or(name);
            let new_file = file.replacen("vm-", "base-", 1);
            let new_name = name.replace(file, &new_file);
            drive.insert("file".into(), format!("{storage}:{new_name}"));
            renamed.push((key, volid.clone(), new_name, disk::print_drive(&drive)));
        }
        for (key, volid, new_name, line) in renamed {
            if let Some(volume) = self.volume_mut(&volid, node) {
                volume.name = new_name;
            }
            self.guest_mut(node, vmid)?.conf.insert(key, line);
        }
        self.guest_mut(node, vmid)?.conf.insert("template".into(), "1".into());
        Ok(())
    }
}
