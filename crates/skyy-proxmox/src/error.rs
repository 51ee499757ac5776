//! The error of every call: what was tried, and what came of it.

use std::fmt;

use skyy_http::{Class, Sent};

use crate::ids::GuestAt;
use crate::problem::Problem;

/// A call that failed. It says what was tried in words, never with the values sent.
#[derive(Debug)]
pub struct ProxmoxError(Box<Failed>);

#[derive(Debug)]
struct Failed {
    operation: String,
    problem: Problem,
}

impl ProxmoxError {
    pub(crate) fn new(operation: impl Into<String>, problem: Problem) -> Self {
        Self(Box::new(Failed { operation: operation.into(), problem }))
    }

    /// What was tried: `clone qemu/9000 on pve1 to 120`.
    pub fn operation(&self) -> &str {
        &self.0.operation
    }

    /// What came of it.
    pub fn problem(&self) -> &Problem {
        &self.0.problem
    }

    /// Who must act before it makes sense to try again.
    pub fn class(&self) -> Class {
        self.0.problem.class()
    }

    /// Whether the call may have had an effect. After [`Sent::Maybe`], look before anything is repeated.
    pub fn sent(&self) -> Sent {
        self.0.problem.sent()
    }

    /// Whether exactly this guest is not on exactly this node. It may be on another; never true for a missing right or
    /// a silent node.
    pub fn is_missing(&self, at: &GuestAt) -> bool {
        self.0.problem.is_missing(at)
    }

    /// Whether a lock stood in the way.
    pub fn is_lock(&self) -> bool {
        self.0.problem.is_lock()
    }
}

impl fmt::Display for ProxmoxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.operation, self.0.problem)
    }
}

impl std::error::Error for ProxmoxError {}
