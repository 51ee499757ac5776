//! One guest, from its reserved id to running and back to nothing: the next step, from observation alone.
//!
//! A guest is ours when it carries our mark in its description. While Proxmox clones, it shows no mark: then it is ours only when
//! its id is the one reserved for it *and* the task list shows our own clone of it. Anything else under that id is foreign,
//! and a foreign guest is never touched.

mod config;
mod mark;

use std::{collections::BTreeMap, fmt};

pub use config::{Config, Difference, PropertyString, boot_disk};
pub use mark::GuestMark;
use skyy_api::Reason;

/// What a guest should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestSpec {
    /// Its name on Proxmox.
    pub name: String,
    /// Its mark.
    pub mark: GuestMark,
    /// Processor cores; none: as the template has.
    pub cores: Option<u32>,
    /// Memory in MiB; none: as the template has.
    pub memory_mib: Option<u64>,
    /// The size of the boot disk in bytes; none: as the template has.
    pub root_bytes: Option<u64>,
    /// Further disks, by name.
    pub disks: Vec<DiskSpec>,
    /// The PCI resource mappings of its GPUs, one for each.
    pub gpus: Vec<String>,
    /// Network cards; none: those of the template.
    pub cards: Vec<CardSpec>,
    /// What cloud-init gets; none: nothing of it is looked after.
    pub cloud_init: Option<CloudInitSpec>,
    /// May a change interrupt it while it runs?
    pub may_interrupt: bool,
}

/// A further disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskSpec {
    /// Its name; stands in the drive's serial number, by which it is found again.
    pub name: String,
    /// Its storage.
    pub storage: String,
    /// Its size.
    pub bytes: u64,
}

/// A network card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardSpec {
    /// The host's bridge.
    pub bridge: String,
    /// The VLAN on it.
    pub vlan: Option<u32>,
    /// Its MAC; none: the one that Proxmox gave it.
    pub mac: Option<String>,
}

/// What cloud-init gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloudInitSpec {
    /// The user.
    pub user: Option<String>,
    /// Public keys, one a line.
    pub ssh_keys: Option<String>,
    /// Name servers.
    pub name_servers: Vec<String>,
    /// Search domain.
    pub search_domain: Option<String>,
}

/// What was seen of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Nobody could see: never taken for absent.
    Unknown(String),
    /// The cluster was asked, and there is no guest of this id.
    Absent,
    /// A task works on it.
    Busy {
        /// What it does.
        what: String,
    },
    /// It is there, and it is ours.
    Ours(Guest),
    /// It is there under our id, and it is not ours.
    Foreign {
        /// How it calls itself.
        name: String,
    },
}

/// A guest of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Where it is.
    pub node: String,
    /// Whether it runs.
    pub running: bool,
    /// Its configuration.
    pub config: Config,
    /// Its lock, where it has one.
    pub lock: Option<String>,
}

/// Where it is to be brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestGoal {
    /// It runs as specified.
    Running,
    /// It is gone.
    Gone,
    /// It stays as it is, without our mark.
    Released,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Clone the template under the reserved id.
    Clone,
    /// Write these settings.
    Configure {
        /// What to set.
        set: BTreeMap<String, String>,
        /// What to remove.
        delete: Vec<String>,
        /// The version of the configuration that was read.
        digest: String,
        /// What changes, for people.
        why: Vec<String>,
    },
    /// Grow a disk to this size.
    Resize {
        /// Which: `scsi0`.
        disk: String,
        /// To how many bytes.
        bytes: u64,
        /// The version of the configuration that was read.
        digest: String,
    },
    /// Start it.
    Start,
    /// Shut it down, and stop it when it does not obey.
    Stop,
    /// Destroy it with its disks.
    Destroy,
    /// Wait for a task.
    Wait(String),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clone => f.write_str("clone the template"),
            Self::Configure { why, .. } => write!(f, "configure: {}", why.join(", ")),
            Self::Resize { disk, bytes, .. } => {
                write!(f, "grow {disk} to {}", skyy_api::quantity::human(*bytes))
            }
            Self::Start => f.write_str("start"),
            Self::Stop => f.write_str("shut down"),
            Self::Destroy => f.write_str("destroy with its disks"),
            Self::Wait(what) => write!(f, "wait: {what}"),
        }
    }
}

/// Why there is no next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The condition's reason.
    pub reason: Reason,
    /// One sentence.
    pub message: String,
}

/// The next step; none when the goal is reached.
pub fn plan(spec: &GuestSpec, sight: &Sight, goal: GuestGoal) -> Result<Option<Step>, Refusal> {
    let refuse = |reason, message: String| Err(Refusal { reason, message });
    match (sight, goal) {
        (Sight::Unknown(why), _) => {
            refuse(Reason::EndpointUnavailable, format!("{}: nobody can see it now: {why}", spec.name))
        }
        (Sight::Busy { what }, _) => Ok(Some(Step::Wait(what.clone()))),
        (Sight::Absent, GuestGoal::Running) => Ok(Some(Step::Clone)),
        // What somebody else made is not ours to remove, whatever its id.
        (Sight::Absent | Sight::Foreign { .. }, GuestGoal::Gone | GuestGoal::Released) => Ok(None),
        (Sight::Foreign { name }, GuestGoal::Running) => refuse(
            Reason::NotOwned,
            format!(
                "{}: its reserved id was taken by {name:?}, which is not ours; another id will be reserved",
                spec.name
            ),
        ),
        (Sight::Ours(guest), _) if guest.lock.is_some() => {
            Ok(Some(Step::Wait(format!("it is locked ({})", guest.lock.as_deref().unwrap_or_default()))))
        }
        (Sight::Ours(guest), GuestGoal::Gone) => {
            Ok(Some(if guest.running { Step::Stop } else { Step::Destroy }))
        }
        (Sight::Ours(guest), GuestGoal::Released) => Ok(release(guest)),
        (Sight::Ours(guest), GuestGoal::Running) => run(spec, guest),
    }
}

fn run(spec: &GuestSpec, guest: &Guest) -> Result<Option<Step>, Refusal> {
    let difference = config::difference(spec, &guest.config);
    let allowed = !guest.running || spec.may_interrupt;
    let held: Vec<String> =
        if allowed { Vec::new() } else { difference.cold.iter().map(|change| change.why.clone()).collect() };
    let mut changes = difference.live;
    if allowed {
        changes.extend(difference.cold);
    }
    if !changes.is_empty() {
        let mut set = BTreeMap::new();
        let mut delete = Vec::new();
        let mut why = Vec::new();
        for change in changes {
            match change.value {
                Some(value) => {
                    set.insert(change.key, value);
                }
                None => delete.push(change.key),
            }
            why.push(change.why);
        }
        return Ok(Some(Step::Configure { set, delete, digest: guest.config.digest.clone(), why }));
    }
    if let Some((disk, bytes)) = difference.grow.into_iter().next() {
        return Ok(Some(Step::Resize { disk, bytes, digest: guest.config.digest.clone() }));
    }
    if !guest.running {
        return Ok(Some(Step::Start));
    }
    if !held.is_empty() {
        return Err(Refusal {
            reason: Reason::DisruptionNotAllowed,
            message: format!(
                "{} runs, and a restart is needed for: {}. Set spec.disruption: Allowed, or stop it yourself",
                spec.name,
                held.join(", ")
            ),
        });
    }
    Ok(None)
}

fn release(guest: &Guest) -> Option<Step> {
    let change = config::without_mark(&guest.config)?;
    let mut set = BTreeMap::new();
    let mut delete = Vec::new();
    for (key, value) in change {
        match value {
            Some(value) => {
                set.insert(key, value);
            }
            None => delete.push(key),
        }
    }
    let why = vec!["let go: take our mark off".into()];
    Some(Step::Configure { set, delete, digest: guest.config.digest.clone(), why })
}

#[cfg(test)]
mod tests;
