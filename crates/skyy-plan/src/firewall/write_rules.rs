//! How changes of the rules are written: row by row with placements, or as a whole.

use super::{
    Placement, Policy, RuleRow, Step, Table, Target,
    cost::bulk_is_cheaper,
    order::{Item, Slot},
    rows::{Raw, Row, Seen},
    step::{fingerprint_of_list, new_body, sent_back},
    write::{Alike, Done, Removal, Steps, overlay},
};

/// What is to become of the list of rules.
pub(crate) struct RuleWork<'a> {
    pub(crate) items: &'a [Item],
    /// Those that are written; the others are only looked at.
    pub(crate) active: &'a [bool],
    /// The tracker of each item that is made.
    pub(crate) trackers: &'a [Option<u32>],
    /// What people know an item by.
    pub(crate) names: &'a [String],
    /// The list as it shall be.
    pub(crate) list: Vec<Slot>,
    /// The same with the rows that are removed: as it stands before they are.
    pub(crate) placed: Vec<Slot>,
    pub(crate) removals: Vec<Removal>,
}

impl RuleWork<'_> {
    fn body(&self, n: usize) -> Raw {
        let item = &self.items[n];
        let description = item.mark.describe(item.row.text(), RuleRow::KIND.description_limit());
        let mut body = new_body(item.row.fields(), description);
        if let Some(tracker) = self.trackers[n] {
            body.insert("tracker".into(), serde_json::json!(tracker));
        }
        body
    }

    /// The steps for the rules that these are.
    pub(crate) fn steps(self, rows: &[Seen<RuleRow>], policy: &Policy) -> Steps {
        let placed: Vec<usize> = self
            .list
            .iter()
            .filter_map(|slot| if let Slot::Item(n) = slot { Some(*n) } else { None })
            .collect();
        let creates = placed.iter().filter(|n| self.items[**n].seen.is_none()).count();
        let changed: Vec<usize> = (0..self.items.len())
            .filter(|n| self.active[*n] && self.items[*n].seen.is_some())
            .filter(|n| !self.items[*n].changes.fields.is_empty())
            .collect();
        let others = placed.len() - creates + changed.len() + self.removals.len();
        if creates + others == 0 {
            return Steps::default();
        }
        // A rule of a port forward would lose the one it belongs to.
        let whole = !self.list.is_empty()
            && !rows.iter().any(|seen| seen.associated)
            && !policy.row_by_row.contains(&Table::Rules)
            && bulk_is_cheaper(&Table::Rules, rows.len(), self.list.len(), creates, others);
        if whole { self.whole(rows, &placed, &changed) } else { self.one_by_one(rows, &changed) }
    }

    fn whole(self, rows: &[Seen<RuleRow>], placed: &[usize], changed: &[usize]) -> Steps {
        let mut asks: Vec<usize> = placed.iter().chain(changed).map(|n| self.items[*n].ask).collect();
        asks.extend(self.removals.iter().map(|removal| removal.ask));
        let deletes = self.removals.len();
        asks.sort_unstable();
        asks.dedup();
        let item_of_row = self.item_of_row(rows);
        let existing = |at: usize, item: Option<usize>| {
            let mut row = sent_back(&rows[at].raw);
            if let Some(n) = item {
                overlay(&mut row, self.items[n].changes.fields.clone());
            }
            row
        };
        let list = self
            .list
            .iter()
            .map(|slot| match slot {
                Slot::Row(at) => existing(*at, item_of_row[*at]),
                Slot::Item(n) => match self.items[*n].seen {
                    Some(at) => existing(at, Some(*n)),
                    None => self.body(*n),
                },
            })
            .collect();
        let basis = fingerprint_of_list(rows.iter().map(|seen| &seen.raw));
        let done =
            vec![Done { step: Step::Replace { table: Table::Rules, rows: list, basis }, asks, deletes }];
        if placed.is_empty() && changed.is_empty() {
            Steps { first: Vec::new(), last: done }
        } else {
            Steps { first: done, last: Vec::new() }
        }
    }

    /// Rows are put in place before their fields change, so that what a step looks for is what was read.
    fn one_by_one(self, rows: &[Seen<RuleRow>], changed: &[usize]) -> Steps {
        let item_of_row = self.item_of_row(rows);
        let table = || Table::Rules;
        let mut steps = Steps::default();

        // What is placed stands just before a row of ours that stays, or after everything. Of rows that look alike the
        // first one is ours to keep, so nothing has to be counted yet.
        let first =
            |at: usize, n: usize| Target { key: self.names[n].clone(), expect: rows[at].print, nth: 0 };
        let mut anchor: Option<Target> = None;
        let mut placements: Vec<(usize, Placement)> = Vec::new();
        for slot in self.list.iter().rev() {
            match slot {
                Slot::Row(at) => anchor = item_of_row[*at].map(|n| first(*at, n)).or(anchor),
                Slot::Item(n) => {
                    placements.push((*n, anchor.clone().map_or(Placement::End, Placement::Before)));
                }
            }
        }
        for (n, placement) in placements.into_iter().rev() {
            let step = match self.items[n].seen {
                None => {
                    Step::Create { table: table(), key: self.names[n].clone(), body: self.body(n), placement }
                }
                Some(at) => Step::Move { table: table(), target: first(at, n), placement },
            };
            steps.first.push(Done { step, asks: vec![self.items[n].ask], deletes: 0 });
        }

        // From here on the rows stand as in `placed`.
        let placed = self.placed.iter().filter_map(|slot| match slot {
            Slot::Row(at) => Some(*at),
            Slot::Item(n) => self.items[*n].seen,
        });
        let mut alike = Alike::new(placed.map(|at| (at, rows[at].print)));
        let mut target = |at: usize, key: &str| {
            let expect = rows[at].print;
            Target { key: key.to_owned(), expect, nth: alike.take(at, expect) }
        };
        for n in changed {
            let Some(at) = self.items[*n].seen else { continue };
            let changes = self.items[*n].changes.fields.clone();
            let step = Step::Update { table: table(), target: target(at, &self.names[*n]), changes };
            steps.first.push(Done { step, asks: vec![self.items[*n].ask], deletes: 0 });
        }
        for Removal { ask, at, key } in &self.removals {
            let step = Step::Delete { table: table(), target: target(*at, key) };
            steps.last.push(Done { step, asks: vec![*ask], deletes: 1 });
        }
        steps
    }

    fn item_of_row(&self, rows: &[Seen<RuleRow>]) -> Vec<Option<usize>> {
        let mut item_of_row = vec![None; rows.len()];
        for (n, item) in self.items.iter().enumerate().filter(|(n, _)| self.active[*n]) {
            if let Some(at) = item.seen {
                item_of_row[at] = Some(n);
            }
        }
        item_of_row
    }
}
