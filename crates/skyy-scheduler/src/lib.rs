//! Placement: which host a guest should go to, and why.
//!
//! [`schedule`] is a pure function of an [`Inventory`], the [`Reservation`]s that the inventory does not show yet, and a
//! [`Request`]. It filters, scores, and answers with a [`Decision`] that names every host exactly once, so that a person
//! can follow it. Equal input gives an equal decision, whatever the order of its lists; ties go to the lower name.
//!
//! This crate must not know: tokio, any client, any custom resource, the clock, random numbers. It never iterates over
//! an unordered map. What it is given is what it believes; freshness is the caller's business.

mod decision;
mod explain;
mod filter;
mod inventory;
mod ledger;
mod reason;
mod request;
mod score;
mod units;

pub use decision::{Decision, Margin, Policy, Row, Verdict, schedule, schedule_many};
pub use explain::{Candidate, Explanation};
pub use inventory::{
    Blocked, DuplicateHost, Gpu, Guest, Host, HostName, Inventory, Overcommit, Storage, TemplateCopy,
};
pub use reason::Reason;
pub use request::{
    AntiAffinity, Disk, Domain, Expression, Operator, Request, Reservation, Selector, Spread, SpreadLimit,
    Template,
};
pub use score::{NamedScore, Score, Scorer, Weights};
