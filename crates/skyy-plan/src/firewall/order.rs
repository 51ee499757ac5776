//! Rules: which row belongs to which ask, and in which order they stand.
//!
//! The order is a value, not a side effect of creation: on each interface our rules stand after those of others, by
//! priority, namespace and name. As few rows as possible move (all but a longest run that is in order already), and
//! never one of others.

use std::collections::BTreeMap;

use skyy_api::Reason;

use super::{
    Goal, RuleRow,
    diff::{Act, Asked, Changes, Holder, Registry, changes},
    firewall_rule::{floats, interfaces},
    mark::Mark,
    rows::{Row, Seen},
};

/// One row that is wanted: an ask's rule on one interface.
pub(crate) struct Item {
    pub(crate) ask: usize,
    pub(crate) interface: String,
    pub(crate) row: RuleRow,
    pub(crate) mark: Mark,
    /// Its place among all items.
    pub(crate) rank: usize,
    /// The row that it is now.
    pub(crate) seen: Option<usize>,
    pub(crate) changes: Changes,
}

/// What becomes of the asks and rows, their order apart.
pub(crate) struct RuleMatching {
    /// By ask: `Let` for what has items or needs none, `Refuse` for what cannot be.
    pub(crate) acts: Vec<Act>,
    /// In the order in which they shall stand.
    pub(crate) items: Vec<Item>,
    /// Rows to be removed: the ask, the row, the sentence.
    pub(crate) deletes: Vec<(usize, usize, String)>,
    /// By row.
    pub(crate) holders: Vec<Holder>,
}

/// Matches rules with rows, by mark and then by interface. The asks are in the order of their owners.
pub(crate) fn match_rules(
    asked: &[Asked<'_, RuleRow>],
    rows: &[Seen<RuleRow>],
    registry: &Registry<'_>,
) -> RuleMatching {
    let holders: Vec<Holder> = rows.iter().map(|seen| registry.holder(seen)).collect();
    let mut of_ask: Vec<Vec<usize>> = vec![Vec::new(); asked.len()];
    for (n, holder) in holders.iter().enumerate() {
        if let Holder::Ours(ask, _) = holder {
            of_ask[*ask].push(n);
        }
    }
    let mut acts = Vec::with_capacity(asked.len());
    let mut items: Vec<Item> = Vec::new();
    let mut deletes = Vec::new();
    for (n, one) in asked.iter().enumerate() {
        let mut left = std::mem::take(&mut of_ask[n]);
        match (&one.ask.goal, &one.want) {
            (Goal::Released, _) => {
                acts.push(Act::Let);
                continue;
            }
            (Goal::Present, Err((reason, message))) => {
                acts.push(Act::Refuse(*reason, message.clone()));
                continue;
            }
            (Goal::Absent, _) => {}
            (Goal::Present, Ok(row)) => {
                // A floating row cannot be brought down to an interface's list: it is made anew.
                let mut usable: Vec<usize> =
                    left.iter().copied().filter(|at| !floats(&rows[*at].raw)).collect();
                let mut seen: Vec<Option<usize>> = Vec::new();
                for interface in &row.interfaces {
                    let want = row.on(interface);
                    let found = usable
                        .iter()
                        .enumerate()
                        .filter(|(_, at)| rows[**at].key.as_deref() == Some(interface))
                        .min_by_key(|(_, at)| (rows[**at].row.as_ref() != Some(&want), **at))
                        .map(|(index, _)| index);
                    seen.push(found.map(|index| usable.remove(index)));
                }
                for slot in seen.iter_mut().filter(|slot| slot.is_none()) {
                    if !usable.is_empty() {
                        *slot = Some(usable.remove(0));
                    }
                }
                left.retain(|at| !seen.contains(&Some(*at)));
                for (interface, seen) in row.interfaces.iter().zip(seen) {
                    let want = row.on(interface);
                    let changes = seen.map_or_else(Changes::default, |at| {
                        let marked = matches!(holders[at], Holder::Ours(_, true));
                        changes(&rows[at], &want, &one.mark, marked)
                    });
                    items.push(Item {
                        ask: n,
                        interface: interface.clone(),
                        row: want,
                        mark: one.mark.clone(),
                        rank: 0,
                        seen,
                        changes,
                    });
                }
            }
        }
        acts.push(Act::Let);
        for at in left {
            let why = match &one.want {
                Ok(row) if rows[at].key.as_ref().is_some_and(|on| row.interfaces.contains(on)) => {
                    ", which is there twice"
                }
                Ok(_) => ", which is asked for there no more",
                Err(_) => "",
            };
            let what = rows[at].row.as_ref().map_or_else(|| rows[at].called(), Row::sentence);
            deletes.push((n, at, format!("delete rule {what}{why}")));
        }
    }
    items.sort_by(|a, b| {
        let by = |item: &Item| (asked[item.ask].ask.priority, item.ask);
        by(a).cmp(&by(b)).then_with(|| a.interface.cmp(&b.interface))
    });
    for (rank, item) in items.iter_mut().enumerate() {
        item.rank = rank;
    }
    RuleMatching { acts, items, deletes, holders }
}

/// One place in a list of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// A row that stays where it is.
    Row(usize),
    /// An item that is put here: made, or moved.
    Item(usize),
}

/// The list of rules as it shall be. `active` items are put in order; rows that are `gone` are left out.
pub(crate) fn arrange(
    items: &[Item],
    rows: &[Seen<RuleRow>],
    holders: &[Holder],
    active: impl Fn(&Item) -> bool,
    gone: &[bool],
) -> Vec<Slot> {
    // Where the rules of others end, by interface.
    let mut floor: BTreeMap<String, usize> = BTreeMap::new();
    for (at, seen) in rows.iter().enumerate() {
        if holders[at] == Holder::Foreign {
            for interface in interfaces(&seen.raw) {
                floor.insert(interface, at);
            }
        }
    }
    // By interface: the rows of our items, in the list's order.
    let mut standing: BTreeMap<&str, Vec<(usize, usize)>> = BTreeMap::new();
    let mut item_of_row: Vec<Option<usize>> = vec![None; rows.len()];
    for (n, item) in items.iter().enumerate().filter(|(_, item)| active(item)) {
        let Some(at) = item.seen else { continue };
        item_of_row[at] = Some(n);
        if floor.get(&item.interface).is_none_or(|floor| at > *floor) {
            standing.entry(&item.interface).or_default().push((at, n));
        }
    }
    let mut kept = vec![false; items.len()];
    for run in standing.values_mut() {
        run.sort_unstable();
        for n in longest_run(&run.iter().map(|(_, n)| *n).collect::<Vec<_>>()) {
            kept[n] = true;
        }
    }
    // The others, by interface, the first one last so that it can be popped.
    let mut pending: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (n, item) in items.iter().enumerate().rev().filter(|(n, item)| active(item) && !kept[*n]) {
        pending.entry(&item.interface).or_default().push(n);
    }
    let mut list = Vec::with_capacity(rows.len() + items.len());
    for at in 0..rows.len() {
        match item_of_row[at] {
            Some(n) if kept[n] => {
                if let Some(waiting) = pending.get_mut(items[n].interface.as_str()) {
                    while let Some(next) = waiting.pop_if(|next| *next < n) {
                        list.push(Slot::Item(next));
                    }
                }
                list.push(Slot::Row(at));
            }
            Some(_) => {}
            None if gone[at] => {}
            None => list.push(Slot::Row(at)),
        }
    }
    let mut rest: Vec<usize> = pending.into_values().flatten().collect();
    rest.sort_unstable();
    list.extend(rest.into_iter().map(Slot::Item));
    list
}

/// A longest rising run within a sequence of distinct numbers: patience sorting, n log n.
fn longest_run(sequence: &[usize]) -> Vec<usize> {
    let mut tops: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = vec![None; sequence.len()];
    for (at, value) in sequence.iter().enumerate() {
        let pile = tops.partition_point(|top| sequence[*top] < *value);
        before[at] = pile.checked_sub(1).map(|left| tops[left]);
        if pile == tops.len() {
            tops.push(at);
        } else {
            tops[pile] = at;
        }
    }
    let mut run = Vec::with_capacity(tops.len());
    let mut next = tops.last().copied();
    while let Some(at) = next {
        run.push(sequence[at]);
        next = before[at];
    }
    run.reverse();
    run
}

/// The reason for which a rule is not deleted although it should be.
pub(crate) fn last_rule(firewall: &str) -> (Reason, String) {
    let message = format!(
        "{firewall} keeps at least one rule, and this is the last one. Add a rule of your own on the firewall; then this one can go."
    );
    (Reason::Refused, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_run_moves_the_fewest() {
        let check = |sequence: &[usize], want: &[usize]| assert_eq!(longest_run(sequence), want);
        check(&[], &[]);
        check(&[1, 2, 3], &[1, 2, 3]);
        check(&[3, 2, 1], &[1]);
        check(&[9, 1, 2, 3], &[1, 2, 3]);
        check(&[2, 3, 1, 4], &[2, 3, 4]);
    }
}
