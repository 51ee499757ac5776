//! A plan as a person reads it: a line an endpoint, and with more width each call.
//!
//! Pure: values in, text out.

use std::io::{self, Write};

use super::{Change, EndpointPlan, Planned, Sign, Thing};

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
        let mut things: Vec<Thing> = Vec::new();
        for change in one.changes.iter().filter(|change| change.sign == sign) {
            if !things.contains(&change.thing) {
                things.push(change.thing);
            }
        }
        for thing in things {
            let is = |change: &&Change| change.sign == sign && change.thing == thing;
            let changes: Vec<&Change> = one.changes.iter().filter(is).collect();
            parts.push(format!("{} {}", sign.mark(), thing.counted(changes.len())));
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
    if unknown == planned.endpoints.len() {
        return format!("{endpoints}; nobody can say what would be done.");
    }
    let others = if unknown > 0 { " on the others" } else { "" };
    let unknown = if unknown > 0 { format!(", {unknown} of which cannot be planned") } else { String::new() };
    if planned.is_empty() {
        return format!("{endpoints}{unknown}; nothing to do{others}.");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Held;

    fn change(sign: Sign, thing: Thing, what: &str) -> Change {
        Change { sign, thing, object: "X/y".to_owned(), what: what.to_owned() }
    }

    fn text(planned: &Planned, wide: bool) -> String {
        let mut out = Vec::new();
        render(planned, wide, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn planned() -> Planned {
        let mut edge = EndpointPlan::new("edge", "pfSense");
        edge.changes = (0..3).map(|n| change(Sign::Add, Thing::VirtualIp, &format!("vip {n}"))).collect();
        edge.changes.push(change(Sign::Remove, Thing::Rule, "delete rule 7"));
        edge.calls = vec!["POST virtual IP 198.18.0.2".to_owned(), "apply virtual IPs".to_owned()];
        (edge.applies, edge.requests, edge.seconds) = (Some(1), Some(15), Some(67));
        edge.disruption = vec!["1 row is deleted".to_owned()];
        let mut puma = EndpointPlan::new("puma", "Proxmox");
        puma.changes = vec![change(Sign::Change, Thing::HostSetting, "puma-006: vmbr1: vlan-aware no → yes")];
        let (object, reason) = ("ProxmoxHost/puma-008".to_owned(), "ForeignChangesStaged".to_owned());
        puma.held = vec![Held { object, reason, message: "2 staged changes".to_owned() }];
        Planned { endpoints: vec![edge, puma] }
    }

    #[test]
    fn the_summary_counts_many_and_tells_few() {
        let expected = "\
edge (pfSense)   + 3 virtual IPs   - 1 rule   15 requests, 1 apply, about 67 s of writing
                   - delete rule 7
puma (Proxmox)   ~ 1 setting of a host   disruption: none
                   ~ puma-006: vmbr1: vlan-aware no → yes
                 ! ProxmoxHost/puma-008: 2 staged changes (ForeignChangesStaged)

2 endpoints, 1 deleted, 1 disruption, 1 not done (!). Details: -o wide, one endpoint: --only NAME.
";
        assert_eq!(text(&planned(), false), expected);
    }

    #[test]
    fn wide_shows_each_call() {
        let wide = text(&planned(), true);
        let calls = "                   POST virtual IP 198.18.0.2\n                   apply virtual IPs\n";
        assert!(wide.contains(calls), "{wide}");
        assert!(wide.contains("! 1 row is deleted"), "{wide}");
    }

    #[test]
    fn what_cannot_be_asked_is_never_nothing_to_do() {
        let mut planned =
            Planned { endpoints: vec![EndpointPlan::new("a", "Ceph"), EndpointPlan::new("b", "Ceph")] };
        assert!(text(&planned, false).ends_with("2 endpoints; nothing to do.\n"));
        planned.endpoints[0].error = Some("refused".to_owned());
        let shown = text(&planned, false);
        assert!(shown.starts_with("a (Ceph)   cannot be planned: refused\n"), "{shown}");
        assert!(shown.ends_with("2 endpoints, 1 of which cannot be planned; nothing to do on the others.\n"));
        planned.endpoints[1].error = Some("refused".to_owned());
        assert!(text(&planned, false).ends_with("2 endpoints; nobody can say what would be done.\n"));
        assert!(planned.is_partial());
    }
}
