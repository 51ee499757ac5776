//! Which row belongs to which ask, and what becomes of both: the keyed kinds (virtual IP, NAT, static mapping).
//!
//! A row is known by its key first and by its mark second: a row of ours at the right key gets a new mark rather than
//! a new key, so that two rows which were exchanged by hand are put right without ever being two at one key. It must
//! not know how a change is written, nor in which order.

use std::collections::BTreeMap;

use serde_json::Value;
use skyy_api::Reason;

use super::{
    Ask, Goal, Policy,
    mark::{Mark, Marked},
    rows::{Raw, Row, Seen, differences, spoken},
};

/// Whose a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Somebody else's.
    Foreign,
    /// That of an ask, by its mark, or (`false`) only by a further sign.
    Ours(usize, bool),
    /// Of this installation, and nobody asks for it.
    Orphan,
}

/// The asks of one kind by the signs that rows carry.
pub(crate) struct Registry<'a> {
    installation: &'a str,
    by_mark: BTreeMap<Marked, usize>,
    by_witness: BTreeMap<String, Option<usize>>,
}

impl<'a> Registry<'a> {
    /// `witnesses` are the further signs by which an ask's row is known; one that two asks share is none.
    pub(crate) fn new(installation: &'a str, asks: &[&Ask], witnesses: impl Fn(&Ask) -> Vec<String>) -> Self {
        let mut by_mark = BTreeMap::new();
        let mut by_witness = BTreeMap::new();
        for (n, ask) in asks.iter().enumerate() {
            by_mark.insert(Marked::named(&ask.owner), n);
            by_mark.insert(Marked::hashed(&ask.owner), n);
            for witness in witnesses(ask) {
                by_witness.entry(witness).and_modify(|who| *who = None).or_insert(Some(n));
            }
        }
        Self { installation, by_mark, by_witness }
    }

    pub(crate) fn holder<R: Row>(&self, seen: &Seen<R>) -> Holder {
        if seen.associated {
            return Holder::Foreign;
        }
        match &seen.mark {
            Some(mark) if mark.installation == self.installation => {
                self.by_mark.get(&mark.object).map_or(Holder::Orphan, |n| Holder::Ours(*n, true))
            }
            Some(_) => Holder::Foreign,
            None => {
                let known = seen.witness.as_ref().and_then(|witness| self.by_witness.get(witness));
                known.copied().flatten().map_or(Holder::Foreign, |n| Holder::Ours(n, false))
            }
        }
    }
}

/// What a row needs to be as wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// The fields to send.
    pub(crate) fields: Raw,
    /// What a person reads, the mark apart.
    pub(crate) spoken: Vec<String>,
}

/// Compares a row with what is wanted of it; `marked` says that its mark is already right.
pub(crate) fn changes<R: Row>(seen: &Seen<R>, want: &R, mark: &Mark, marked: bool) -> Changes {
    let mut found = Changes::default();
    if !(marked && seen.row.as_ref() == Some(want)) {
        for (field, have, wanted) in differences(&seen.raw, want) {
            found.spoken.push(format!(
                "{field} {} → {}",
                spoken(&have),
                spoken(&R::canonical(&field, &wanted))
            ));
            found.fields.insert(field, wanted);
        }
        if seen.text != want.text() {
            found.spoken.push(format!("description {:?} → {:?}", seen.text, want.text()));
        }
        if !marked || seen.text != want.text() {
            let description = mark.describe(want.text(), R::KIND.description_limit());
            found.fields.insert("descr".into(), Value::String(description));
        }
    }
    found
}

/// What is done for an ask.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Nothing: the row is there.
    Same,
    /// This row is changed.
    Change(usize, Changes, String),
    /// A row is made.
    Create(String),
    /// It is let go, or gone (deletions are listed apart).
    Let,
    /// It cannot be.
    Refuse(Reason, String),
}

/// One ask in the making of a plan.
pub(crate) struct Asked<'a, R> {
    pub(crate) ask: &'a Ask,
    /// The row it wants, with a text that fits; or why it cannot have one.
    pub(crate) want: Result<R, (Reason, String)>,
    pub(crate) mark: Mark,
}

/// What becomes of the asks and the rows of one kind.
pub(crate) struct Matching {
    /// By ask.
    pub(crate) acts: Vec<Act>,
    /// Rows to be removed: the ask, the row, the sentence.
    pub(crate) deletes: Vec<(usize, usize, String)>,
    /// Rows that pass from the one ask, which lets go of it, to the other.
    pub(crate) handed: Vec<(usize, usize)>,
    /// By row.
    pub(crate) holders: Vec<Holder>,
}

/// Matches the asks of a keyed kind with its rows. The asks are in the order of their owners.
pub(crate) fn match_keyed<R: Row>(
    asked: &[Asked<'_, R>],
    rows: &[&Seen<R>],
    registry: &Registry<'_>,
    policy: &Policy,
) -> Matching {
    let holders: Vec<Holder> = rows.iter().map(|seen| registry.holder(seen)).collect();
    let mut at_key: BTreeMap<&R::Key, Vec<usize>> = BTreeMap::new();
    let mut of_ask: Vec<Vec<usize>> = vec![Vec::new(); asked.len()];
    for (n, seen) in rows.iter().enumerate() {
        if let Some(key) = &seen.key {
            at_key.entry(key).or_default().push(n);
        }
        if let Holder::Ours(ask, _) = holders[n] {
            of_ask[ask].push(n);
        }
    }
    let rows_at = |key: &R::Key| at_key.get(key).map(Vec::as_slice).unwrap_or_default();

    let mut acts: Vec<Option<Act>> = vec![None; asked.len()];
    let mut taken = vec![false; rows.len()];
    let mut deletes = Vec::new();
    let mut handed = Vec::new();

    // Who gets a key: the one whose mark stands there already, else the first by name.
    let mut wanted: BTreeMap<R::Key, usize> = BTreeMap::new();
    for (n, one) in asked.iter().enumerate() {
        match (&one.ask.goal, &one.want) {
            (Goal::Present, Ok(row)) => {
                let key = row.key();
                let has_it =
                    rows_at(&key).iter().any(|at| matches!(holders[*at], Holder::Ours(who, _) if who == n));
                match wanted.get(&key) {
                    None => {
                        wanted.insert(key, n);
                    }
                    Some(first) => {
                        let first_has_it = rows_at(&key)
                            .iter()
                            .any(|at| matches!(holders[*at], Holder::Ours(who, _) if who == *first));
                        if has_it && !first_has_it {
                            wanted.insert(key, n);
                        }
                    }
                }
            }
            (Goal::Present, Err((reason, message))) => acts[n] = Some(Act::Refuse(*reason, message.clone())),
            (Goal::Absent | Goal::Released, _) => acts[n] = Some(Act::Let),
        }
    }
    for (n, one) in asked.iter().enumerate() {
        let (None, Ok(row)) = (&acts[n], &one.want) else { continue };
        let key = row.key();
        if let Some(winner) = wanted.get(&key).filter(|winner| **winner != n) {
            let other = &asked[*winner].ask.owner;
            let message = format!(
                "{} {key} is asked for by {} {other} too, which comes first. Change or delete one of the two.",
                R::NOUN,
                other.kind
            );
            acts[n] = Some(Act::Refuse(Reason::Conflict, message));
        }
    }

    // Rows at the right key.
    for (n, one) in asked.iter().enumerate() {
        let (None, Ok(want)) = (&acts[n], &one.want) else { continue };
        let here = rows_at(&want.key());
        let own = here
            .iter()
            .copied()
            .filter(|at| matches!(holders[*at], Holder::Ours(who, _) if who == n))
            .min_by_key(|at| (rows[*at].row.as_ref() != Some(want), *at));
        let act = if let Some(at) = own {
            taken[at] = true;
            let marked = matches!(holders[at], Holder::Ours(_, true));
            let found = changes(rows[at], want, &one.mark, marked);
            if found.fields.is_empty() {
                Act::Same
            } else {
                let sentence = if found.spoken.is_empty() {
                    format!("mark {} {} as {}'s", R::NOUN, want.key(), one.ask.owner)
                } else {
                    format!("change {} {}: {}", R::NOUN, want.key(), found.spoken.join(", "))
                };
                Act::Change(at, found, sentence)
            }
        } else if let Some(&at) = here.iter().find(|at| matches!(holders[**at], Holder::Ours(..))) {
            let Holder::Ours(who, _) = holders[at] else { continue };
            let from = asked[who].ask;
            let may = !from.held
                && match from.goal {
                    Goal::Absent => true,
                    // It wants another key: were it this one, it would have won it.
                    Goal::Present => asked[who].want.is_ok() && !matches!(acts[who], Some(Act::Refuse(..))),
                    Goal::Released => one.ask.adopt,
                };
            if may {
                let found = changes(rows[at], want, &one.mark, false);
                if !one.ask.held {
                    taken[at] = true;
                    handed.push((who, n));
                }
                let more =
                    if found.spoken.is_empty() { "nothing else".to_owned() } else { found.spoken.join(", ") };
                let sentence =
                    format!("take {} {} over from {}: {more} changes", R::NOUN, want.key(), from.owner);
                Act::Change(at, found, sentence)
            } else {
                let message = format!(
                    "{} {} on {} carries the mark of {}, which holds on to it for now.",
                    R::NOUN,
                    want.key(),
                    policy.firewall,
                    from.owner
                );
                Act::Refuse(Reason::Conflict, message)
            }
        } else if let Some(&at) = here.first() {
            let found = changes(rows[at], want, &one.mark, false);
            let difference =
                if found.spoken.is_empty() { "nothing".to_owned() } else { found.spoken.join(", ") };
            if one.ask.adopt {
                taken[at] = true;
                let sentence = format!(
                    "take over {} {} ({}): {difference} changes besides the mark",
                    R::NOUN,
                    want.key(),
                    rows[at].called()
                );
                Act::Change(at, found, sentence)
            } else {
                let who = match &rows[at].mark {
                    Some(mark) if mark.installation == policy.installation => {
                        "with a mark of ours that no object asks for".to_owned()
                    }
                    Some(mark) => format!("made by the installation {:?} of Skyy-Command", mark.installation),
                    None => "not made by Skyy-Command".to_owned(),
                };
                let message = format!(
                    "{} already exists on {} as {}, {who}. Set spec.adopt: true to take it over; plan shows what would change ({difference}).",
                    want.key(),
                    policy.firewall,
                    rows[at].called()
                );
                Act::Refuse(Reason::NotOwned, message)
            }
        } else {
            continue;
        };
        acts[n] = Some(act);
    }

    // Rows with the right mark at another key, where nothing stands at the right one.
    for (n, one) in asked.iter().enumerate() {
        let (None, Ok(want)) = (&acts[n], &one.want) else { continue };
        let key = want.key();
        let stray = of_ask[n]
            .iter()
            .copied()
            .find(|at| !taken[*at] && rows[*at].key.as_ref().is_none_or(|from| R::can_move(from, &key)));
        acts[n] = Some(match stray {
            Some(at) => {
                taken[at] = true;
                let marked = matches!(holders[at], Holder::Ours(_, true));
                let found = changes(rows[at], want, &one.mark, marked);
                let sentence = format!("change {} {key}: {}", R::NOUN, found.spoken.join(", "));
                Act::Change(at, found, sentence)
            }
            None => Act::Create(format!("create {} {}", R::NOUN, want.sentence())),
        });
    }

    // What is left over of an ask's own.
    for (n, one) in asked.iter().enumerate() {
        let surplus = match (&one.ask.goal, &acts[n]) {
            (Goal::Absent, _) => true,
            (Goal::Present, Some(Act::Refuse(..))) | (Goal::Released, _) | (_, None) => false,
            (Goal::Present, Some(_)) => true,
        };
        if !surplus {
            continue;
        }
        for at in of_ask[n].iter().copied().filter(|at| !taken[*at]) {
            let key = rows[at].key.as_ref().map_or_else(|| rows[at].called(), ToString::to_string);
            let why = if one.ask.goal == Goal::Present { ", which is there twice" } else { "" };
            deletes.push((n, at, format!("delete {} {key}{why}", R::NOUN)));
        }
    }
    let acts = acts.into_iter().map(|act| act.unwrap_or(Act::Let)).collect();
    Matching { acts, deletes, handed, holders }
}
