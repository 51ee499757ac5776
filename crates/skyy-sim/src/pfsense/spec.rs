//! What sets the collections apart: paths, fields, limits, what a write makes pending.

use serde_json::{Map, Value};

use super::{
    alias,
    config::Kind,
    dhcp,
    envelope::ApiResult,
    fields::{Field, Scope},
    nat, rule, vip,
};

/// Something whose changes wait to be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subsystem {
    Aliases,
    NatConf,
    VirtualIp,
    Dhcp,
}

/// Who applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dispatcher {
    Firewall,
    VirtualIp,
    Dhcp,
}

impl Dispatcher {
    pub(super) const ALL: [Self; 3] = [Self::Firewall, Self::VirtualIp, Self::Dhcp];

    /// Its name in what `/_sim/loaded` shows.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Firewall => "firewall",
            Self::VirtualIp => "virtual_ip",
            Self::Dhcp => "dhcp_server",
        }
    }
}

type Whole = fn(&Scope<'_>, &mut Map<String, Value>) -> ApiResult<()>;

/// One collection.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) kind: Kind,
    /// Below `/api/v2/`.
    pub(super) singular: &'static str,
    pub(super) plural: &'static str,
    pub(super) fields: &'static [Field],
    pub(super) singular_methods: &'static [&'static str],
    pub(super) plural_methods: &'static [&'static str],
    /// Objects that must remain.
    pub(super) minimum: usize,
    pub(super) subsystem: Option<Subsystem>,
    pub(super) dispatcher: Dispatcher,
    /// Objects at which a mass delete runs out of memory.
    pub(super) mass_delete_dies_at: Option<usize>,
    /// Checks of the object as a whole, after the fields.
    pub(super) whole: Whole,
}

pub(super) const CRUD: &[&str] = &["GET", "POST", "PATCH", "DELETE"];
pub(super) const GET_PUT_DELETE: &[&str] = &["GET", "PUT", "DELETE"];
pub(super) const GET_DELETE: &[&str] = &["GET", "DELETE"];

const SPECS: [&Spec; 9] = [
    &vip::SPEC,
    &nat::ONE_TO_ONE,
    &nat::PORT_FORWARD,
    &nat::OUTBOUND,
    &rule::SPEC,
    &alias::SPEC,
    &dhcp::SERVER,
    &dhcp::STATIC_MAP,
    &INTERFACE,
];

/// Interfaces are shown, not changed: nothing of ours touches them.
static INTERFACE: Spec = Spec {
    kind: Kind::Interface,
    singular: "interface",
    plural: "interfaces",
    fields: &[],
    singular_methods: &["GET"],
    plural_methods: &["GET"],
    minimum: 0,
    subsystem: None,
    dispatcher: Dispatcher::Firewall,
    mass_delete_dies_at: None,
    whole: |_, _| Ok(()),
};

/// The collection of a kind.
pub(super) fn of(kind: Kind) -> &'static Spec {
    match kind {
        Kind::Vip => &vip::SPEC,
        Kind::OneToOne => &nat::ONE_TO_ONE,
        Kind::PortForward => &nat::PORT_FORWARD,
        Kind::Outbound => &nat::OUTBOUND,
        Kind::Rule => &rule::SPEC,
        Kind::Alias => &alias::SPEC,
        Kind::DhcpServer => &dhcp::SERVER,
        Kind::StaticMap => &dhcp::STATIC_MAP,
        Kind::Interface => &INTERFACE,
    }
}

/// The collection served at a path below `/api/v2/`, and whether the path is its plural one.
pub(super) fn at(path: &str) -> Option<(&'static Spec, bool)> {
    SPECS.iter().find_map(|spec| match path {
        _ if path == spec.singular => Some((*spec, false)),
        _ if path == spec.plural => Some((*spec, true)),
        _ => None,
    })
}
