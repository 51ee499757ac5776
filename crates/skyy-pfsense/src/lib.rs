//! A typed client of pfSense's REST package, version 2, for the calls that the operator uses.
//!
//! The package identifies rows by their position, changes nothing in the running firewall until an apply, and does not
//! notice two writers at once. So: look up a row by its own key at the moment of writing, write from one place only,
//! apply once at the end, and read back. This crate does one request per write and says what the box answered; the
//! order of the steps is the caller's.
//!
//! It must not know Kubernetes, our custom resources, or who owns a row.

mod apply;
mod auth;
mod client;
mod error;
mod fields;
mod lenient;
mod privilege;
mod rows;
mod system;
mod table;
mod text;
mod typed;
mod write;

#[cfg(test)]
mod tests;

pub use apply::{Pending, Subsystem};
pub use auth::Auth;
pub use client::{PfSense, limits};
pub use error::PfSenseError;
pub use fields::{Fields, FieldsError};
pub use privilege::{privilege, required_privileges};
pub use rows::{
    Alias, AliasFields, AliasMembers, FirewallRule, FirewallRuleFields, OneToOne, OneToOneFields, StaticMap,
    StaticMapFields, VirtualIp, VirtualIpFields,
};
pub use system::{
    ApplyState, DhcpServer, Gateway, Interface, InterfaceStatus, PackageVersion, Settings, SystemStatus,
    Version,
};
pub use table::{At, Row, Table};
pub use text::{TextError, clean};
