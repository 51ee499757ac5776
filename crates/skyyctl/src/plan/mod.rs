//! `skyyctl plan`: what the operator would do now, call by call, changing nothing.
//!
//! The operator's own kinds, hubs and planners decide, over an API server in memory that takes no writes, and with
//! clients of which only the reading half is used. What they decide is collected here as values.

mod ceph;
mod firewall;
mod memory;
mod proxmox;
pub mod render;
mod session;

use serde::Serialize;

use crate::world::World;

/// Which way something changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sign {
    /// It is made.
    Add,
    /// It is changed.
    Change,
    /// It is removed.
    Remove,
}

/// What kind of thing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Thing {
    /// A virtual IP.
    VirtualIp,
    /// A 1:1 NAT mapping.
    Nat,
    /// A static mapping of a DHCP server.
    Dhcp,
    /// A rule of the packet filter.
    Rule,
    /// A guest.
    Guest,
    /// A bridge or a repository of a host.
    HostSetting,
    /// A pool of Ceph.
    Pool,
}

impl Thing {
    /// So many of it, in words.
    pub fn counted(self, n: usize) -> String {
        let (one, many) = match self {
            Self::VirtualIp => ("virtual IP", "virtual IPs"),
            Self::Nat => ("NAT", "NAT"),
            Self::Dhcp => ("DHCP", "DHCP"),
            Self::Rule => ("rule", "rules"),
            Self::Guest => ("guest", "guests"),
            Self::HostSetting => ("setting of a host", "settings of hosts"),
            Self::Pool => ("pool", "pools"),
        };
        format!("{n} {}", if n == 1 { one } else { many })
    }
}

/// One thing that changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// Which way.
    pub sign: Sign,
    /// What kind of thing.
    pub thing: Thing,
    /// The object that asks for it: `VirtualIP/tenants/web`.
    pub object: String,
    /// What happens, in words.
    pub what: String,
}

/// Something that is not done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Held {
    /// The object that asks for it.
    pub object: String,
    /// Why, in a word.
    pub reason: String,
    /// Why, and the way out.
    pub message: String,
}

/// What would be done on one endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointPlan {
    /// The object's name.
    pub name: String,
    /// What is there: `pfSense`.
    pub product: &'static str,
    /// What changes.
    pub changes: Vec<Change>,
    /// The calls that write, in their order.
    pub calls: Vec<String>,
    /// What is interrupted, or could be.
    pub disruption: Vec<String>,
    /// What is not done.
    pub held: Vec<Held>,
    /// What a person should know besides: rows that are left alone, what comes after.
    pub notes: Vec<String>,
    /// How many applies are among the calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applies: Option<usize>,
    /// How many requests, those that only read included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<usize>,
    /// About how many seconds the writing takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// Why nobody can say what would be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl EndpointPlan {
    fn new(name: &str, product: &'static str) -> Self {
        Self { name: name.to_owned(), product, ..Self::default() }
    }

    fn hold(&mut self, object: impl Into<String>, reason: impl ToString, message: impl Into<String>) {
        let held = Held { object: object.into(), reason: reason.to_string(), message: message.into() };
        if !self.held.contains(&held) {
            self.held.push(held);
        }
    }

    /// How many things change this way.
    pub fn count(&self, sign: Sign) -> usize {
        self.changes.iter().filter(|change| change.sign == sign).count()
    }
}

/// What would be done everywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// By endpoint.
    pub endpoints: Vec<EndpointPlan>,
}

impl Planned {
    /// Whether somebody could not be asked.
    pub fn is_partial(&self) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.error.is_some())
    }

    /// Whether there is nothing to do, and nothing that waits.
    pub fn is_empty(&self) -> bool {
        self.endpoints.iter().all(|one| one.changes.is_empty() && one.calls.is_empty() && one.held.is_empty())
    }
}

/// What the operator of this installation would do now for these objects; of one endpoint, or of all.
pub async fn plan(mut world: World, installation: &str, only: Option<&str>) -> anyhow::Result<Planned> {
    skyy_controllers::install_crypto_provider();
    let is_meant = |name: &str| only.is_none_or(|only| only == name);
    let mut planned = Planned::default();
    // Guests first: the addresses that they would claim decide which rows a firewall would get.
    planned.endpoints.extend(proxmox::plan(&mut world, installation, &is_meant).await?);
    let mut firewalls = Vec::new();
    for (_, name) in world.firewalls.keys().filter(|(_, name)| is_meant(name)) {
        firewalls.push(firewall::plan(&world, name, installation).await);
    }
    planned.endpoints.splice(0..0, firewalls);
    planned.endpoints.extend(ceph::plan(&world, installation, &is_meant).await?);
    Ok(planned)
}
