//! One plan over all rows of one firewall: virtual IPs, 1:1 NAT, DHCP static mappings and filter rules.
//!
//! [`plan`] takes what the objects ask for and what the firewall has, and names the exact calls that make the second
//! follow the first, in their order. It knows the package's data (fields, limits, what a write costs) but no client;
//! it never changes a row that is not marked as ours unless an object says `adopt`; and carrying a plan out makes no
//! further choice: [`Step::resolve`] turns a step into a call against the list as it stands at that moment.

mod ask;
mod chain;
mod cost;
mod desired;
mod dhcp_reservation;
mod diff;
mod firewall_rule;
#[cfg(test)]
mod golden;
mod guard;
#[cfg(test)]
mod laws;
mod lint;
mod mark;
#[cfg(test)]
mod model;
mod nat_mapping;
mod observed;
mod order;
mod outcome;
mod planner;
mod rows;
#[cfg(test)]
mod scenarios;
mod step;
mod virtual_ip;
mod write;
mod write_rules;

pub use ask::{Ask, Desired, Goal, Owner, Policy, RowKind, Subsystem, Table};
pub use cost::{Cost, bulk_is_cheaper};
pub use desired::{desired_dhcp, desired_nat, desired_rule, desired_vip};
pub use dhcp_reservation::DhcpRow;
pub use firewall_rule::{Address, End, RuleRow};
pub use lint::{Finding, lint};
pub use mark::{INSTALLATION_LIMIT, Mark, Marked, TRACKERS, installation_is_valid, tracker, uniqid};
pub use nat_mapping::NatRow;
pub use observed::{DhcpServer, Interface, Observed};
pub use outcome::{Count, Orphan, Plan, Refusal, Verdict};
pub use planner::plan;
pub use rows::{Raw, Row, Seen};
pub use step::{Call, Placement, Stale, Step, Target, fingerprint_of_list, fingerprint_of_row};
pub use virtual_ip::VipRow;

pub use crate::hash::Fingerprint;
