//! What a plan says: its steps, what becomes of each ask, and what it would not do.

use std::{collections::BTreeMap, fmt};

use skyy_api::Reason;

use super::{Owner, RowKind, Step};

/// What becomes of one ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The row is there as asked.
    InSync,
    /// Something is to be done.
    Change {
        /// What, in sentences for a person.
        actions: Vec<String>,
        /// The steps of the plan that do it, the apply included. None: it is held back, or waits for a further plan.
        steps: Vec<usize>,
    },
    /// Nothing of the object is left, or it was let go.
    Gone,
    /// It cannot be done, or must not.
    Refused {
        /// Why, in a word.
        reason: Reason,
        /// Why, and what to do about it.
        message: String,
    },
}

/// How many rows of a kind are whose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Those with a mark of this installation.
    pub owned: u32,
    /// All others.
    pub foreign: u32,
}

/// A row with a mark of ours that nobody asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Orphan {
    /// Its kind.
    pub kind: RowKind,
    /// Its key.
    pub key: String,
    /// Its description.
    pub description: String,
}

impl fmt::Display for Orphan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:?}", self.kind, self.key, self.description)
    }
}

/// What a plan would not do as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It would delete more than the limit allows; nothing is deleted, all the rest is done.
    TooManyDeletes {
        /// How many rows would go.
        deletes: u32,
        /// How many may, without a person's word.
        limit: u32,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyDeletes { deletes, limit } => write!(
                f,
                "{deletes} rows would be deleted at once; the limit is {limit}. If that is meant, set the annotation {}: \"{deletes}\" on the Firewall",
                skyy_api::common::CONFIRM_DELETES_ANNOTATION
            ),
        }
    }
}

/// What is to be done on one firewall, and what becomes of each ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The calls, in their order.
    pub steps: Vec<Step>,
    /// What becomes of each ask.
    pub verdicts: BTreeMap<Owner, Verdict>,
    /// How many rows are whose, as seen before the plan.
    pub counts: BTreeMap<RowKind, Count>,
    /// Rows with a mark of ours that nobody asks for; they are left alone.
    pub orphans: Vec<Orphan>,
    /// What was not planned as a whole.
    pub refusal: Option<Refusal>,
    /// How many rows the steps delete, those in bulk writes included.
    pub deletes: u32,
    /// Something waits for the next plan: look again when this one is done.
    pub again: bool,
}
