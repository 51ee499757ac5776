//! A decision for people: a bounded value for a status field, and a table. Must not decide anything.

use serde::{Deserialize, Serialize};

use crate::decision::{Decision, Row, Verdict};
use crate::score::NamedScore;

/// A decision small enough for a status field. It says the same for the same decision: no times in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The guest it was made for.
    pub request: String,
    /// The chosen host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The policy that decided.
    pub policy: String,
    /// The lead over the runner-up, with two decimals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<String>,
    /// The runner-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<String>,
    /// The decision in one sentence.
    pub summary: String,
    /// The first hosts of the table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
    /// How many more hosts were looked at.
    #[serde(default)]
    pub omitted: u32,
}

/// One host of an [`Explanation`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The host.
    pub host: String,
    /// Whether it fits.
    pub fits: bool,
    /// Its total, with two decimals, when it fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<String>,
    /// What each scorer said, `name=value`, when it fits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<String>,
    /// Why not, when it does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// Bounds of what an explanation keeps of one host.
const REASONS_KEPT: usize = 3;
const CHARS_KEPT: usize = 160;
const SUMMARY_CHARS: usize = 512;

impl Decision {
    /// The decision with at most `hosts` rows, each with at most three reasons of at most 160 characters.
    pub fn explanation(&self, hosts: usize) -> Explanation {
        let omitted = self.table.len().saturating_sub(hosts);
        Explanation {
            request: self.request.clone(),
            host: self.chosen.as_ref().map(ToString::to_string),
            policy: self.policy.clone(),
            margin: self.margin.as_ref().map(|margin| margin.lead.to_string()),
            over: self.margin.as_ref().map(|margin| margin.over.to_string()),
            summary: cut(&self.summary, SUMMARY_CHARS),
            candidates: self.table.iter().take(hosts).map(candidate).collect(),
            omitted: u32::try_from(omitted).unwrap_or(u32::MAX),
        }
    }

    /// The whole table as text, headed by the decision, as `skyyctl explain` prints it.
    pub fn render(&self) -> String {
        self.explanation(self.table.len()).render()
    }
}

fn candidate(row: &Row) -> Candidate {
    let host = row.host.to_string();
    match &row.verdict {
        Verdict::Fits { scores, total } => {
            let scores =
                scores.iter().map(|NamedScore { scorer, score }| format!("{scorer}={score}")).collect();
            Candidate { host, fits: true, total: Some(total.to_string()), scores, reasons: Vec::new() }
        }
        Verdict::DoesNotFit { reasons } => {
            let mut kept: Vec<String> = reasons
                .iter()
                .take(REASONS_KEPT)
                .map(|reason| cut(&reason.to_string(), CHARS_KEPT))
                .collect();
            if let more @ 1.. = reasons.len().saturating_sub(REASONS_KEPT) {
                kept.push(format!("and {more} more"));
            }
            Candidate { host, fits: false, total: None, scores: Vec::new(), reasons: kept }
        }
    }
}

fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    text.chars().take(chars.saturating_sub(1)).chain(['…']).collect()
}

impl Explanation {
    /// A table for a terminal: one line per host, scorers as columns, reasons for those that do not fit.
    pub fn render(&self) -> String {
        let mut out = match (&self.host, &self.margin, &self.over) {
            (Some(host), Some(margin), Some(over)) => {
                format!("{} → {host}   policy {}, margin {margin} over {over}\n", self.request, self.policy)
            }
            (Some(host), ..) => {
                format!("{} → {host}   policy {}, no other host fits\n", self.request, self.policy)
            }
            (None, ..) => format!("{} → nowhere yet   policy {}\n", self.request, self.policy),
        };
        if self.candidates.is_empty() {
            out.push_str("  no hosts are known\n");
            return out;
        }
        let columns = self.scorers();
        let head = ["host", "fits", "why not"].into_iter().chain(columns.iter().copied()).chain(["total"]);
        let mut rows = vec![head.map(str::to_owned).collect::<Vec<_>>()];
        rows.extend(self.candidates.iter().map(|candidate| candidate.cells(&columns)));
        out.push_str(&layout(&rows));
        if self.omitted > 0 {
            out.push_str("  and ");
            out.push_str(&self.omitted.to_string());
            out.push_str(" more hosts\n");
        }
        out
    }

    fn scorers(&self) -> Vec<&str> {
        let first = self.candidates.iter().find(|candidate| candidate.fits);
        let names = first.into_iter().flat_map(|candidate| &candidate.scores);
        names.filter_map(|score| Some(score.split_once('=')?.0)).collect()
    }
}

impl Candidate {
    fn cells(&self, columns: &[&str]) -> Vec<String> {
        let score = |name: &&str| {
            let found =
                self.scores.iter().filter_map(|score| score.split_once('=')).find(|(key, _)| key == name);
            found.map(|(_, value)| value.to_owned()).unwrap_or_default()
        };
        let fits = if self.fits { "yes" } else { "no" };
        let mut cells = vec![self.host.clone(), fits.to_owned(), self.reasons.join("; ")];
        cells.extend(columns.iter().map(score));
        cells.push(self.total.clone().unwrap_or_default());
        cells
    }
}

/// Two spaces before each line and between columns. The text column does not widen for its longest reason: rows with
/// reasons have no numbers, so what is long simply runs on.
fn layout(rows: &[Vec<String>]) -> String {
    const TEXT_COLUMN: usize = 2;
    const TEXT_WIDTH: usize = 24;
    let width = |column: usize| {
        let widest =
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
        if column == TEXT_COLUMN { widest.min(TEXT_WIDTH) } else { widest }
    };
    let mut out = String::new();
    for row in rows {
        let cells =
            row.iter().enumerate().map(|(column, cell)| format!("{cell:<width$}", width = width(column)));
        let line = format!("  {}", cells.collect::<Vec<_>>().join("  "));
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
