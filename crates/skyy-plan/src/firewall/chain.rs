//! The steps of a plan in their order, and whom each serves.
//!
//! It only keeps count; which steps there are, and in which order, is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use super::{Ask, Goal, Observed, Owner, Step, Subsystem, Table, write::Done};

/// The steps so far.
#[derive(Default)]
pub(crate) struct Chain {
    pub(crate) steps: Vec<Step>,
    /// How many rows they delete, those in lists that are written as a whole included.
    pub(crate) deletes: usize,
    by_owner: BTreeMap<Owner, Vec<usize>>,
    touched: BTreeMap<Subsystem, BTreeSet<Owner>>,
}

impl Chain {
    pub(crate) fn add(&mut self, owners: &[Owner], steps: Vec<Done>) {
        for Done { step, asks, deletes } in steps {
            let number = self.steps.len();
            let subsystem = step.table().map(Table::subsystem);
            for owner in asks.iter().map(|n| &owners[*n]) {
                self.by_owner.entry(owner.clone()).or_default().push(number);
                if let Some(subsystem) = subsystem {
                    self.touched.entry(subsystem).or_default().insert(owner.clone());
                }
            }
            self.deletes += deletes;
            self.steps.push(step);
        }
    }

    /// What was left unapplied is applied only for somebody who asks for rows there and is not held back: the apply
    /// would make effective what others have left there, too.
    pub(crate) fn apply(&mut self, asks: &[&Ask], observed: &Observed) {
        for subsystem in [Subsystem::VirtualIps, Subsystem::Dhcp, Subsystem::Filter] {
            let touched = self.touched.get(&subsystem);
            let concerned = |ask: &&Ask| {
                ask.owner.kind.subsystem() == subsystem && ask.goal != Goal::Released && !ask.held
            };
            let left = observed.unapplied.contains(&subsystem) && asks.iter().any(concerned);
            if touched.is_none() && !left {
                continue;
            }
            let number = self.steps.len();
            for owner in touched.into_iter().flatten() {
                self.by_owner.entry(owner.clone()).or_default().push(number);
            }
            self.steps.push(Step::Apply(subsystem));
        }
    }

    pub(crate) fn of(&self, owner: &Owner) -> Vec<usize> {
        self.by_owner.get(owner).cloned().unwrap_or_default()
    }

    pub(crate) fn apply_of(&self, subsystem: Subsystem) -> Option<usize> {
        self.steps.iter().position(|step| *step == Step::Apply(subsystem))
    }
}
