//! The decision: filter, score, choose. Must not render for people (that is `explain`), beyond one sentence.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::filter::{Fewest, reasons};
use crate::inventory::{HostName, Inventory};
use crate::ledger::Ledger;
use crate::reason::Reason;
use crate::request::{Request, Reservation};
use crate::score::{NamedScore, Score, Weights, scores};

/// Who weighs the hosts that fit. Filters are the same under every policy: no scorer can place where a rule forbids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Policy {
    /// Fixed scorers with weights.
    Rules {
        /// How much each counts.
        weights: Weights,
    },
}

impl Default for Policy {
    fn default() -> Self {
        Self::Rules { weights: Weights::default() }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rules { .. } => f.write_str("Rules"),
        }
    }
}

/// Where a request goes, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The name of the request.
    pub request: String,
    /// The policy that decided.
    pub policy: String,
    /// The host; `None` when none fits.
    pub chosen: Option<HostName>,
    /// Every host exactly once: those that fit with the best first, then the others by name.
    pub table: Vec<Row>,
    /// How close it was; `None` unless at least two hosts fit.
    pub margin: Option<Margin>,
    /// All of it in one sentence.
    pub summary: String,
}

/// What was found about one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The host.
    pub host: HostName,
    /// Whether it fits.
    pub verdict: Verdict,
}

/// Whether a host fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does, this well.
    Fits {
        /// What each scorer said.
        scores: Vec<NamedScore>,
        /// Their weighted mean.
        total: Score,
    },
    /// It does not, for all of these reasons.
    DoesNotFit {
        /// At least one.
        reasons: Vec<Reason>,
    },
}

/// The lead over the runner-up. 0 means that only the name decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Margin {
    /// The difference of totals.
    pub lead: Score,
    /// The runner-up.
    pub over: HostName,
}

/// Decides where one request goes, by the default rules.
pub fn schedule(inventory: &Inventory, reservations: &[Reservation], request: &Request) -> Decision {
    Policy::default().schedule(inventory, reservations, request)
}

/// Decides for several requests in their order, each seeing those before it as placed, by the default rules.
pub fn schedule_many(
    inventory: &Inventory,
    reservations: &[Reservation],
    requests: &[Request],
) -> Vec<Decision> {
    Policy::default().schedule_many(inventory, reservations, requests)
}

impl Policy {
    /// Decides where one request goes.
    pub fn schedule(
        &self,
        inventory: &Inventory,
        reservations: &[Reservation],
        request: &Request,
    ) -> Decision {
        self.decide(inventory, reservations, &[], request)
    }

    /// Decides for several requests in their order, each seeing those before it as placed.
    pub fn schedule_many(
        &self,
        inventory: &Inventory,
        reservations: &[Reservation],
        requests: &[Request],
    ) -> Vec<Decision> {
        let mut assumed = Vec::new();
        let decide = |request: &Request| {
            let decision = self.decide(inventory, reservations, &assumed, request);
            assumed.extend(decision.chosen.as_ref().map(|host| request.reservation_on(host)));
            decision
        };
        requests.iter().map(decide).collect()
    }

    fn decide(
        &self,
        inventory: &Inventory,
        reservations: &[Reservation],
        assumed: &[Reservation],
        request: &Request,
    ) -> Decision {
        let Self::Rules { weights } = self;
        let moving = request.moving.then_some(request.name.as_str());
        let ledger = Ledger::new(inventory, reservations, assumed, moving);
        let fewest = Fewest::new(&ledger, request);
        let rows = ledger.rooms().map(|room| {
            let reasons = reasons(&ledger, room, request, &fewest);
            let verdict = if reasons.is_empty() {
                let scores = scores(inventory, &ledger, room, request);
                Verdict::Fits { total: weights.total(&scores), scores }
            } else {
                Verdict::DoesNotFit { reasons }
            };
            Row { host: room.host.name.clone(), verdict }
        });
        let mut table: Vec<Row> = rows.collect();
        // Rooms come by name and the sort is stable: equal totals stay in the order of names.
        table.sort_by_key(|row| Reverse(row.total()));
        let chosen = table.first().filter(|row| row.total().is_some()).map(|row| row.host.clone());
        let margin = margin(&table);
        let summary = summary(&request.name, &table, margin.as_ref());
        Decision { request: request.name.clone(), policy: self.to_string(), chosen, table, margin, summary }
    }
}

impl Row {
    /// The total when the host fits.
    pub fn total(&self) -> Option<Score> {
        match &self.verdict {
            Verdict::Fits { total, .. } => Some(*total),
            Verdict::DoesNotFit { .. } => None,
        }
    }
}

fn margin(table: &[Row]) -> Option<Margin> {
    let [first, second, ..] = table else { return None };
    Some(Margin { lead: first.total()?.above(second.total()?), over: second.host.clone() })
}

fn summary(request: &str, table: &[Row], margin: Option<&Margin>) -> String {
    let fitting = table.iter().filter(|row| row.total().is_some()).count();
    match table.first() {
        None => format!("{request} waits: no hosts are known"),
        Some(Row { host, verdict: Verdict::Fits { total, .. } }) => {
            let all = table.len();
            match margin {
                // A lead that shows as 0.00 is no lead to a reader, even where it decided.
                Some(Margin { lead, over }) if lead.ten_thousandths() < 50 => {
                    format!(
                        "{request} goes to {host} (score {total}, level with {over}; {fitting} of {all} hosts fit)"
                    )
                }
                Some(Margin { lead, over }) => {
                    format!(
                        "{request} goes to {host} (score {total}, {lead} ahead of {over}; {fitting} of {all} hosts fit)"
                    )
                }
                None if all == 1 => format!("{request} goes to {host} (the only host)"),
                None => format!("{request} goes to {host} (the only one of {all} hosts that fits)"),
            }
        }
        Some(_) => format!("{request} waits: no host fits. {}", why_none(table)),
    }
}

/// How many different reasons, and how many hosts for each, the sentence names.
const REASONS_NAMED: usize = 4;
const HOSTS_NAMED: usize = 3;

/// Hosts grouped by their first reason (the one that is hardest to change), most frequent first.
fn why_none(table: &[Row]) -> String {
    let mut by_reason = BTreeMap::<String, Vec<&str>>::new();
    for row in table {
        if let Verdict::DoesNotFit { reasons } = &row.verdict
            && let Some(first) = reasons.first()
        {
            by_reason.entry(first.to_string()).or_default().push(row.host.as_str());
        }
    }
    let mut groups: Vec<(String, Vec<&str>)> = by_reason.into_iter().collect();
    groups.sort_by_key(|(_, hosts)| Reverse(hosts.len()));
    let left_out: usize = groups.iter().skip(REASONS_NAMED).map(|(_, hosts)| hosts.len()).sum();
    let mut parts: Vec<String> =
        groups.iter().take(REASONS_NAMED).map(|(why, hosts)| part(why, hosts)).collect();
    if left_out > 0 {
        parts.push(format!("{left_out} more for other reasons"));
    }
    format!("{}.", parts.join("; "))
}

fn part(why: &str, hosts: &[&str]) -> String {
    let named = hosts.iter().take(HOSTS_NAMED).copied().collect::<Vec<_>>().join(", ");
    match hosts.len().saturating_sub(HOSTS_NAMED) {
        0 => format!("{named}: {why}"),
        more => format!("{named} and {more} more: {why}"),
    }
}
