//! What the objects ask of a firewall, and within which bounds.
//!
//! Values only; it must not know what the firewall has.

use std::{collections::BTreeSet, fmt};

use ipnet::IpNet;
use skyy_api::Reason;

use super::{DhcpRow, NatRow, RuleRow, VipRow};

/// The kinds of rows, in the order in which they are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RowKind {
    /// A virtual IP.
    VirtualIp,
    /// A 1:1 NAT mapping.
    NatMapping,
    /// A static mapping of a DHCP server.
    DhcpReservation,
    /// A rule of the packet filter.
    FirewallRule,
}

impl RowKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::VirtualIp, Self::NatMapping, Self::DhcpReservation, Self::FirewallRule];

    /// What has to be applied after a change of such rows.
    pub fn subsystem(self) -> Subsystem {
        match self {
            Self::VirtualIp => Subsystem::VirtualIps,
            Self::DhcpReservation => Subsystem::Dhcp,
            Self::NatMapping | Self::FirewallRule => Subsystem::Filter,
        }
    }

    /// As the status of a Firewall counts them.
    pub fn plural(self) -> &'static str {
        match self {
            Self::VirtualIp => "virtualIPs",
            Self::NatMapping => "natMappings",
            Self::DhcpReservation => "dhcpReservations",
            Self::FirewallRule => "firewallRules",
        }
    }
}

impl fmt::Display for RowKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::VirtualIp => "VirtualIP",
            Self::NatMapping => "NatMapping",
            Self::DhcpReservation => "DhcpReservation",
            Self::FirewallRule => "FirewallRule",
        })
    }
}

/// One list of rows on the firewall.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// The virtual IPs.
    VirtualIps,
    /// The 1:1 NAT mappings.
    NatMappings,
    /// The static mappings of one interface's DHCP server.
    StaticMaps(String),
    /// The rules of the packet filter, of all interfaces.
    Rules,
}

impl Table {
    /// What has to be applied after a change here.
    pub fn subsystem(&self) -> Subsystem {
        match self {
            Self::VirtualIps => Subsystem::VirtualIps,
            Self::NatMappings | Self::Rules => Subsystem::Filter,
            Self::StaticMaps(_) => Subsystem::Dhcp,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VirtualIps => f.write_str("virtual IP"),
            Self::NatMappings => f.write_str("1:1 NAT"),
            Self::StaticMaps(interface) => write!(f, "static mapping on {interface}"),
            Self::Rules => f.write_str("rule"),
        }
    }
}

/// What one apply makes effective, in the order in which applies are done: the filter's comes last, because the
/// others clear its flag without proving that it was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subsystem {
    /// `firewall/virtual_ip/apply`.
    VirtualIps,
    /// `services/dhcp_server/apply`.
    Dhcp,
    /// `firewall/apply`: NAT and rules.
    Filter,
}

impl fmt::Display for Subsystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::VirtualIps => "virtual IPs",
            Self::Dhcp => "DHCP server",
            Self::Filter => "filter",
        })
    }
}

/// The object to which a row belongs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// Its kind.
    pub kind: RowKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What is to become of an object's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Goal {
    /// It is there, as asked.
    Present,
    /// It is gone.
    Absent,
    /// It is left as it is, without an owner: nothing is looked at and nothing changed.
    Released,
}

/// The row that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Desired {
    /// A virtual IP.
    Vip(VipRow),
    /// A 1:1 NAT mapping.
    Nat(NatRow),
    /// A DHCP static mapping.
    Dhcp(DhcpRow),
    /// A rule, on one interface or several; it becomes one row on each.
    Rule(RuleRow),
    /// The spec cannot be carried out; what is there is left alone.
    Nothing(Reason, String),
}

impl From<VipRow> for Desired {
    fn from(row: VipRow) -> Self {
        Self::Vip(row)
    }
}

impl From<NatRow> for Desired {
    fn from(row: NatRow) -> Self {
        Self::Nat(row)
    }
}

impl From<DhcpRow> for Desired {
    fn from(row: DhcpRow) -> Self {
        Self::Dhcp(row)
    }
}

impl From<RuleRow> for Desired {
    fn from(row: RuleRow) -> Self {
        Self::Rule(row)
    }
}

impl<R: Into<Desired>> From<Result<R, crate::Invalid>> for Desired {
    fn from(row: Result<R, crate::Invalid>) -> Self {
        match row {
            Ok(row) => row.into(),
            Err(wrong) => Self::Nothing(Reason::Invalid, wrong.to_string()),
        }
    }
}

/// What one object asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The object.
    pub owner: Owner,
    /// The row. With the goals `Absent` and `Released` it is not looked at, so that an object whose spec has become
    /// nonsense can still go.
    pub row: Desired,
    /// What is to become of it.
    pub goal: Goal,
    /// Take over a row that somebody else made for the same key.
    pub adopt: bool,
    /// Say what would be done, and do nothing.
    pub held: bool,
    /// Where a rule stands among ours of its interface; other kinds ignore it.
    pub priority: i32,
}

/// The bounds of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The operator's installation, as it stands in marks.
    pub installation: String,
    /// The Firewall's name, for messages.
    pub firewall: String,
    /// More deletions than this need a person's word.
    pub max_deletes_per_batch: u32,
    /// The person's word: that many deletions are meant.
    pub confirmed_deletes: Option<u32>,
    /// Networks from which the firewall is administered.
    pub management_sources: Vec<IpNet>,
    /// Tables to be written row by row this time, because the firewall refused to take one of them as a whole: then
    /// the row at fault fails alone.
    pub row_by_row: BTreeSet<Table>,
}

impl Policy {
    /// The ordinary bounds for a Firewall.
    pub fn new(installation: impl Into<String>, firewall: impl Into<String>) -> Self {
        Self {
            installation: installation.into(),
            firewall: firewall.into(),
            max_deletes_per_batch: 100,
            confirmed_deletes: None,
            management_sources: Vec::new(),
            row_by_row: BTreeSet::new(),
        }
    }
}
