//! A plan as a person reads it: a line an endpoint, and with more width each call.
//!
//! Pure: values in, text out.

use std::io::{self, Write};

use super::{Change, EndpointPlan, Planned, Sign};

/// So many changes of one kind are told one by one; more are counted.
const TOLD: usize = 2;
/// So much that is not done is told; the rest with `-o wide`.
const HELD: usize = 5;

impl Sign {
    const fn mark(self) -> char {
        match self {
            Self::Add => '+',
            Self::Change => '~',
            Self::Remove => '-',
        }
    }
}

/// Writes the plan: its summary, and with `wide` each call.
pub fn render(planned: &Planned, wide: bool, out: &mut dyn Write) -> io::Result<()> {
    let title = |one: &EndpointPlan| format!("{} ({})", one.name, one.product);
    let width = planned.endpoints.iter().map(|one| title(one).chars().count()).max().unwrap_or(0) + 3;
    for one in &planned.endpoints {
        let indent = " ".repeat(width);
        let mut lines = lines(one, wide).into_iter();
        let first = lines.next().unwrap_or_default();
        writeln!(out, "{:width$}{first}", title(one))?;
        for line in lines {
            writeln!(out, "{indent}{line}")?;
        }
        let shown = if wide { one.held.len() } else { HELD };
        for held in one.held.iter().take(shown) {
            writeln!(out, "{indent}! {}: {} ({})", held.object, held.message, held.reason)?;
        }
        if one.held.len() > shown {
            writeln!(out, "{indent}! and {} more that are not done", one.held.len() - shown)?;
        }
        for note in one.notes.iter().take(if wide { one.notes.len() } else { TOLD }) {
            writeln!(out, "{indent}  {note}")?;
        }
        if one.notes.len() > TOLD && !wide {
            writeln!(out, "{indent}  and {} more to know", one.notes.len() - TOLD)?;
        }
        if wide {
            for disruption in &one.disruption {
                writeln!(out, "{indent}! {disruption}")?;
            }
            for call in &one.calls {
                writeln!(out, "{indent}  {call}")?;
            }
        }
    }
    if !planned.endpoints.is_empty() {
        writeln!(out)?;
    }
    writeln!(out, "{}", conclusion(planned, wide))
}

/// What changes on an endpoint.
fn lines(one: &EndpointPlan, wide: bool) -> Vec<String> {
    if let Some(error) = &one.error {
        return vec![format!("cannot be planned: {error}")];
    }
    if one.changes.is_empty() && one.calls.is_empty() {
        return vec!["nothing to do".to_owned()];
    }
    let mut parts = Vec::new();
    let mut told = Vec::new();
    for sign in [Sign::Add, Sign::Change, Sign::Remove] {
        let mut things: Vec<&'static str> = Vec::new();
        for change in one.changes.iter().filter(|change| change.sign == sign) {
            if !things.contains(&change.thing) {
                things.push(change.thing);
            }
        }
        for thing in things {
            let is = |change: &&Change| change.sign == sign && change.thing == thing;
            let changes: Vec<&Change> = one.changes.iter().filter(is).collect();
            parts.push(format!("{} {} {thing}", sign.mark(), changes.len()));
            // Where each call is shown, new rows are told by their calls.
            let rows = one.applies.is_some() && sign == Sign::Add;
            if changes.len() <= TOLD || (wide && !rows) {
                told.extend(changes.iter().map(|change| format!("  {} {}", sign.mark(), change.what)));
            }
        }
    }
    if let (Some(requests), Some(applies)) = (one.requests, one.applies) {
        let seconds = match one.seconds {
            Some(seconds) if seconds > 1 => format!(", about {seconds} s of writing"),
            _ => String::new(),
        };
        parts.push(format!("{requests} requests, {}{seconds}", plural(applies, "apply", "applies")));
    }
    if one.applies.is_none() {
        let disruption = match one.disruption.len() {
            0 => "disruption: none".to_owned(),
            n if n <= TOLD => format!("disruption: {}", one.disruption.join("; ")),
            n => format!("disruption: {}; and {} more", one.disruption[0], n - 1),
        };
        parts.push(disruption);
    }
    let mut lines = vec![parts.join("   ")];
    lines.append(&mut told);
    lines
}

fn plural(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

fn conclusion(planned: &Planned, wide: bool) -> String {
    let endpoints = plural(planned.endpoints.len(), "endpoint", "endpoints");
    if planned.endpoints.is_empty() {
        return "There is no endpoint: no Firewall, no ProxmoxCluster, no CephCluster.".to_owned();
    }
    let unknown = planned.endpoints.iter().filter(|one| one.error.is_some()).count();
    let unknown = if unknown > 0 { format!(", {unknown} of which cannot be planned") } else { String::new() };
    if planned.is_empty() {
        return format!("{endpoints}{unknown}; nothing to do.");
    }
    let removed: usize = planned.endpoints.iter().map(|one| one.count(Sign::Remove)).sum();
    let removed = if removed == 0 { "nothing deleted".to_owned() } else { format!("{removed} deleted") };
    let disruption: usize = planned.endpoints.iter().map(|one| one.disruption.len()).sum();
    let disruption = match disruption {
        0 => ", nothing interrupted".to_owned(),
        n => format!(", {}", plural(n, "disruption", "disruptions")),
    };
    let held: usize = planned.endpoints.iter().map(|one| one.held.len()).sum();
    let held = if held > 0 { format!(", {held} not done (!)") } else { String::new() };
    let more = if wide { "" } else { " Details: -o wide, one endpoint: --only NAME." };
    format!("{endpoints}{unknown}, {removed}{disruption}{held}.{more}")
}
