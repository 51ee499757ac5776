//! Desired against observed, as values: pure, total, deterministic functions that say what is to be done.
//!
//! Nothing here reads a clock, draws a random number, opens a socket or knows a client: whatever a decision needs is
//! an argument, and whatever it decides is a value that can be printed, tested, and carried out by somebody else. Two
//! laws hold for every planner: carried out, a plan leaves nothing to plan; and what carries no mark of ours is never
//! changed unless a spec says that it is to be taken over.

pub mod ceph_pool;
pub mod firewall;
pub mod guest;
mod hash;
pub mod host;

/// A part of a spec that cannot be carried out, with the field that says it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("spec.{field}: {message}")]
pub struct Invalid {
    /// The field, as a person would write it after `spec.`.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

impl Invalid {
    /// A field and what is wrong with it.
    pub fn new(field: impl Into<String>, message: impl ToString) -> Self {
        Self { field: field.into(), message: message.to_string() }
    }
}
