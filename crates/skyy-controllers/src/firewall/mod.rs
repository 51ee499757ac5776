//! Firewalls: one hub for each, and the kinds that speak to it.

mod adapter;
mod api;
mod board;
mod connector;
mod hub;
mod kind;
mod row;

pub use adapter::PfSenseFirewall;
pub use api::{CallFailure, Facts, FirewallApi};
pub use board::{Answer, Known};
pub use hub::{Firewalls, Hub, Settings, View, Wakers};
pub use kind::FirewallKind;
pub use row::{RowObject, Rows, owner_of};
