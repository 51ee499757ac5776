//! How the changes of one table are written: row by row, or as a whole.
//!
//! It chooses the way, and builds the steps; what is to change was decided before.

use std::collections::BTreeMap;

use super::{
    Fingerprint, Placement, Policy, Step, Table, Target,
    cost::bulk_is_cheaper,
    rows::{Raw, Row, Seen},
    step::{fingerprint_of_list, sent_back},
};
use crate::hash::is_empty;

/// A step and the asks (by number) that it serves.
pub(crate) struct Done {
    pub(crate) step: Step,
    pub(crate) asks: Vec<usize>,
    /// How many rows it deletes.
    pub(crate) deletes: usize,
}

/// The steps of one table: those that add and change, and those that delete.
#[derive(Default)]
pub(crate) struct Steps {
    pub(crate) first: Vec<Done>,
    pub(crate) last: Vec<Done>,
}

/// A row to be made.
pub(crate) struct NewRow {
    pub(crate) ask: usize,
    pub(crate) key: String,
    pub(crate) body: Raw,
}

/// A row to be changed.
pub(crate) struct Update {
    pub(crate) ask: usize,
    pub(crate) at: usize,
    pub(crate) key: String,
    pub(crate) fields: Raw,
}

/// A row to be removed.
pub(crate) struct Removal {
    pub(crate) ask: usize,
    pub(crate) at: usize,
    pub(crate) key: String,
}

/// What is to change in a table whose order does not matter.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) creates: Vec<NewRow>,
    pub(crate) updates: Vec<Update>,
    pub(crate) removals: Vec<Removal>,
}

impl Work {
    fn asks(&self) -> Vec<usize> {
        let mut asks: Vec<usize> = self.creates.iter().map(|one| one.ask).collect();
        asks.extend(self.updates.iter().map(|one| one.ask));
        asks.extend(self.removals.iter().map(|one| one.ask));
        asks.sort_unstable();
        asks.dedup();
        asks
    }

    /// The steps for a table whose rows these are.
    pub(crate) fn steps<R: Row>(self, table: &Table, rows: &[&Seen<R>], policy: &Policy) -> Steps {
        let after = rows.len() + self.creates.len() - self.removals.len();
        let others = self.updates.len() + self.removals.len();
        let whole = after > 0
            && !policy.row_by_row.contains(table)
            && bulk_is_cheaper(table, rows.len(), after, self.creates.len(), others);
        if whole { self.whole(table, rows) } else { self.one_by_one(table, rows) }
    }

    fn whole<R: Row>(self, table: &Table, rows: &[&Seen<R>]) -> Steps {
        let asks = self.asks();
        let deletes = self.removals.len();
        let only_removes = self.creates.is_empty() && self.updates.is_empty();
        let mut list: Vec<Option<Raw>> = rows.iter().map(|seen| Some(sent_back(&seen.raw))).collect();
        for update in self.updates {
            if let Some(row) = &mut list[update.at] {
                overlay(row, update.fields);
            }
        }
        for removal in &self.removals {
            list[removal.at] = None;
        }
        let mut list: Vec<Raw> = list.into_iter().flatten().collect();
        list.extend(self.creates.into_iter().map(|new| new.body));
        let basis = fingerprint_of_list(rows.iter().map(|seen| &seen.raw));
        let done =
            vec![Done { step: Step::Replace { table: table.clone(), rows: list, basis }, asks, deletes }];
        if only_removes {
            Steps { first: Vec::new(), last: done }
        } else {
            Steps { first: done, last: Vec::new() }
        }
    }

    fn one_by_one<R: Row>(self, table: &Table, rows: &[&Seen<R>]) -> Steps {
        let mut alike = Alike::new(rows.iter().enumerate().map(|(at, seen)| (at, seen.print)));
        let mut target = |at: usize, key: String| {
            let expect = rows[at].print;
            Target { key, expect, nth: alike.take(at, expect) }
        };
        let mut steps = Steps::default();
        for NewRow { ask, key, body } in self.creates {
            let step = Step::Create { table: table.clone(), key, body, placement: Placement::End };
            steps.first.push(Done { step, asks: vec![ask], deletes: 0 });
        }
        for Update { ask, at, key, fields } in self.updates {
            let step = Step::Update { table: table.clone(), target: target(at, key), changes: fields };
            steps.first.push(Done { step, asks: vec![ask], deletes: 0 });
        }
        for Removal { ask, at, key } in self.removals {
            let step = Step::Delete { table: table.clone(), target: target(at, key) };
            steps.last.push(Done { step, asks: vec![ask], deletes: 1 });
        }
        steps
    }
}

/// Rows that look alike, in the order in which they stand when something is done to one of them.
pub(crate) struct Alike(BTreeMap<Fingerprint, Vec<usize>>);

impl Alike {
    pub(crate) fn new(rows: impl Iterator<Item = (usize, Fingerprint)>) -> Self {
        let mut groups: BTreeMap<Fingerprint, Vec<usize>> = BTreeMap::new();
        for (at, print) in rows {
            groups.entry(print).or_default().push(at);
        }
        Self(groups)
    }

    /// Which one of its like a row is; after what is done to it now, it is one of them no more.
    pub(crate) fn take(&mut self, at: usize, print: Fingerprint) -> usize {
        let Some(group) = self.0.get_mut(&print) else { return 0 };
        let Some(nth) = group.iter().position(|one| *one == at) else { return 0 };
        group.remove(nth);
        nth
    }
}

/// Puts changed fields into a row that is sent as a whole; a field that becomes empty is left out.
pub(crate) fn overlay(row: &mut Raw, fields: Raw) {
    for (name, value) in fields {
        if is_empty(&value) {
            row.shift_remove(&name);
        } else {
            row.insert(name, value);
        }
    }
}
