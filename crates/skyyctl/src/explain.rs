//! `skyyctl explain`: why guests are where they are, from what the operator kept on the Deployment's status.
//!
//! Pure: a status in, values and text out. Decides nothing and asks no cluster.

use std::io::{self, Write};

use serde::Serialize;
use skyy_api::deployment::{DeploymentStatus, Guest, PlacementDecision};

use crate::output;

/// What the operator writes before the score of a host that fits.
const FITS: &str = "fits, ";

/// One host that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// Its name.
    pub host: String,
    /// Whether the guest could be there.
    pub fits: bool,
    /// How well, where it fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<String>,
    /// Why not, where it does not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why_not: String,
}

/// One guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// Its name.
    pub guest: String,
    /// Where it is; none: nowhere yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// How far it is, and what holds it up.
    pub state: String,
    /// The decision in a sentence; empty where none is kept.
    pub summary: String,
    /// Its hosts, best first.
    pub candidates: Vec<Candidate>,
}

/// All guests of a Deployment and the decisions on them, by name.
pub fn explain(status: &DeploymentStatus) -> Vec<Explained> {
    let of = |name: &str| status.placement.iter().find(|decision| decision.guest == name);
    let mut explained: Vec<Explained> =
        status.guests.iter().map(|guest| one(&guest.name, Some(guest), of(&guest.name))).collect();
    // Guests that have no host have no record yet, but a decision.
    let known =
        |decision: &&PlacementDecision| status.guests.iter().all(|guest| guest.name != decision.guest);
    explained.extend(
        status.placement.iter().filter(known).map(|decision| one(&decision.guest, None, Some(decision))),
    );
    explained
}

fn one(name: &str, guest: Option<&Guest>, decision: Option<&PlacementDecision>) -> Explained {
    let host = guest
        .and_then(|guest| guest.host.clone())
        .or_else(|| decision.and_then(|decision| decision.host.clone()));
    let state = guest.map_or_else(
        || "waits for a host".to_owned(),
        |guest| {
            let message =
                if guest.message.is_empty() { String::new() } else { format!(": {}", guest.message) };
            format!("{:?}, id {}{message}", guest.phase, guest.vmid)
        },
    );
    let mut candidates: Vec<Candidate> = decision
        .iter()
        .flat_map(|decision| &decision.hosts)
        .map(|(host, text)| {
            let total = text.strip_prefix(FITS).map(ToOwned::to_owned);
            let why_not = if total.is_some() { String::new() } else { text.clone() };
            Candidate { host: host.clone(), fits: total.is_some(), total, why_not }
        })
        .collect();
    let score = |one: &Candidate| one.total.as_ref().and_then(|total| total.parse::<f64>().ok());
    candidates.sort_by(|a, b| score(b).partial_cmp(&score(a)).unwrap_or(std::cmp::Ordering::Equal));
    let summary = decision.map(|decision| decision.summary.clone()).unwrap_or_default();
    Explained { guest: name.to_owned(), host, state, summary, candidates }
}

/// Writes it as a table for each guest.
pub fn render(explained: &[Explained], out: &mut dyn Write) -> io::Result<()> {
    for (n, one) in explained.iter().enumerate() {
        if n > 0 {
            writeln!(out)?;
        }
        let host = one.host.as_deref().unwrap_or("no host");
        writeln!(out, "{} → {host}   {}", one.guest, one.state)?;
        if one.summary.is_empty() {
            writeln!(out, "  no decision is kept for it")?;
        } else {
            writeln!(out, "  {}", one.summary)?;
        }
        if !one.candidates.is_empty() {
            let row = |candidate: &Candidate| {
                let fits = if candidate.fits { "yes" } else { "no" };
                let total = candidate.total.clone().unwrap_or_default();
                vec![format!("  {}", candidate.host), fits.to_owned(), total, candidate.why_not.clone()]
            };
            let rows: Vec<Vec<String>> = one.candidates.iter().map(row).collect();
            output::table(out, &["  HOST", "FITS", "TOTAL", "WHY NOT"], &rows)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status() -> DeploymentStatus {
        serde_json::from_value(json!({
            "guests": [{"name": "gpu-worker-0", "vmid": 100_003, "host": "puma-005", "phase": "Running"}],
            "placement": [
                {"guest": "gpu-worker-0", "host": "puma-005", "summary": "puma-005, 0.11 ahead of puma-007",
                 "hosts": {"puma-005": "fits, 0.84", "puma-006": "cordoned", "puma-007": "fits, 0.73"}},
                {"guest": "gpu-worker-1", "summary": "no host fits",
                 "hosts": {"puma-010": "rtx4090: 0 of 4 free"}},
            ],
        }))
        .unwrap()
    }

    #[test]
    fn the_table_has_the_best_host_first_and_says_why_not() {
        let mut out = Vec::new();
        render(&explain(&status()), &mut out).unwrap();
        let expected = "\
gpu-worker-0 → puma-005   Running, id 100003
  puma-005, 0.11 ahead of puma-007
  HOST       FITS   TOTAL   WHY NOT
  puma-005   yes    0.84
  puma-007   yes    0.73
  puma-006   no             cordoned

gpu-worker-1 → no host   waits for a host
  no host fits
  HOST       FITS   TOTAL   WHY NOT
  puma-010   no             rtx4090: 0 of 4 free
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_guest_whose_decision_was_dropped_is_shown_all_the_same() {
        let mut status = status();
        status.placement.clear();
        let explained = explain(&status);
        assert_eq!((explained.len(), explained[0].host.as_deref()), (1, Some("puma-005")));
        assert!(explained[0].candidates.is_empty());
    }
}
