//! Firewall: keeps the hub of one pfSense running, and tells what the hub saw.

use std::{fmt, sync::Arc, time::Duration};

use kube::ResourceExt;
use skyy_api::{
    DhcpReservation, Firewall, FirewallRule, FirewallStatus, NatMapping, Reason, VirtualIp,
    common::{CONFIRM_DELETES_ANNOTATION, RECONCILE_AT_ANNOTATION},
    condition::{Fact, REACHABLE},
    firewall::RowCount,
};
use skyy_plan::firewall::RowKind;
use skyy_runtime::{Failure, Goal, Kind, Lookup, Mode, Progress};

use super::{
    hub::{Firewalls, Settings, View},
    row::RowObject,
};

/// The Firewall kind.
pub struct FirewallKind {
    /// The hubs.
    pub hubs: Arc<Firewalls>,
    /// Rows that name a firewall.
    pub virtual_ips: Lookup<VirtualIp>,
    /// Rows that name a firewall.
    pub nat_mappings: Lookup<NatMapping>,
    /// Rows that name a firewall.
    pub dhcp_reservations: Lookup<DhcpReservation>,
    /// Rows that name a firewall.
    pub firewall_rules: Lookup<FirewallRule>,
}

/// What was seen of a firewall.
pub struct Seen {
    view: Option<Result<View, Failure>>,
    /// For how long the hub has known what it is to look at.
    age: Duration,
    attached: usize,
}

/// How long a first look may take before it is worth a status.
const PATIENCE: Duration = Duration::from_secs(20);

/// A Firewall itself does nothing outside; there is only waiting.
pub struct Wait {
    what: String,
    /// How long it is worth no status.
    quiet: Duration,
}

impl Wait {
    fn of(what: String) -> Self {
        Self { what, quiet: Duration::ZERO }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl FirewallKind {
    fn attached(&self, firewall: &str) -> usize {
        fn on<R: RowObject>(rows: &Lookup<R>, firewall: &str) -> usize {
            rows.all().iter().filter(|row| row.firewall() == firewall).count()
        }
        on(&self.virtual_ips, firewall)
            + on(&self.nat_mappings, firewall)
            + on(&self.dhcp_reservations, firewall)
            + on(&self.firewall_rules, firewall)
    }
}

fn settings(firewall: &Firewall, paused: bool, plan_only: bool) -> Settings {
    Settings {
        spec: firewall.spec.clone(),
        confirmed_deletes: firewall
            .annotations()
            .get(CONFIRM_DELETES_ANNOTATION)
            .and_then(|n| n.trim().parse().ok()),
        paused,
        plan_only,
        look_at: firewall.annotations().get(RECONCILE_AT_ANNOTATION).cloned(),
    }
}

impl Kind for FirewallKind {
    type Object = Firewall;
    type Observed = Seen;
    type Plan = Wait;
    const NAME: &'static str = "firewall";

    async fn observe(&self, firewall: &Arc<Firewall>, goal: Goal, mode: Mode) -> Result<Seen, Failure> {
        let name = firewall.name_any();
        for (n, net) in firewall.spec.protect.management_sources.iter().enumerate() {
            skyy_api::address::parse_network(net).map_err(|error| {
                Failure::terminal(Reason::Invalid, format!("spec.protect.managementSources[{n}]: {error}"))
            })?;
        }
        let attached = self.attached(&name);
        if goal == Goal::Absent && attached == 0 {
            self.hubs.remove(&name);
            return Ok(Seen { view: None, age: Duration::ZERO, attached });
        }
        let hub = self.hubs.ensure(&name, settings(firewall, false, mode == Mode::PlanOnly));
        Ok(Seen { view: hub.view(), age: hub.age(), attached })
    }

    fn plan(&self, _: &Firewall, seen: &Seen, goal: Goal) -> Result<Option<Wait>, Failure> {
        if goal == Goal::Absent {
            return Ok((seen.attached > 0).then(|| {
                Wait::of(format!(
                    "{} objects still name this Firewall; it stays until they are gone",
                    seen.attached
                ))
            }));
        }
        match &seen.view {
            None => Ok(Some(Wait {
                what: "looking at the firewall for the first time".into(),
                quiet: PATIENCE.saturating_sub(seen.age),
            })),
            Some(Err(failure)) => Err(failure.clone()),
            Some(Ok(View { refusal: Some(refusal), .. })) => {
                Err(Failure::terminal(Reason::TooManyDeletes, refusal.clone()))
            }
            Some(Ok(view)) if !view.held.is_empty() => Ok(Some(Wait::of(view.held.join("\n")))),
            Some(Ok(_)) => Ok(None),
        }
    }

    async fn apply(&self, _: &Arc<Firewall>, _: &Seen, wait: Wait) -> Result<Progress, Failure> {
        // The hub wakes the object as soon as it has looked: after a restart, a status that is right stays as it is.
        if !wait.quiet.is_zero() {
            return Ok(Progress::Quiet { look_again: wait.quiet });
        }
        Ok(Progress::working(wait.what, Duration::from_secs(5)))
    }

    fn report(&self, _: &Firewall, seen: &Seen, status: &mut FirewallStatus) -> Vec<Fact> {
        match &seen.view {
            None => Vec::new(),
            Some(Err(failure)) => vec![Fact::no(REACHABLE, failure.reason, failure.message.clone())],
            Some(Ok(view)) => {
                status.version.clone_from(&view.facts.version);
                status.package_version.clone_from(&view.facts.package_version);
                status.interfaces.clone_from(&view.facts.shown);
                status.rows = RowKind::ALL
                    .iter()
                    .map(|kind| {
                        let count = view.counts.get(kind).copied().unwrap_or_default();
                        RowCount { kind: kind.plural().into(), owned: count.owned, foreign: count.foreign }
                    })
                    .collect();
                status.owned_rows = status.rows.iter().map(|row| row.owned).sum();
                status.foreign_rows = status.rows.iter().map(|row| row.foreign).sum();
                status.orphaned_rows = view.orphans.iter().take(20).cloned().collect();
                vec![Fact::yes(REACHABLE, Reason::InSync, "")]
            }
        }
    }

    fn hold(&self, firewall: &Firewall) {
        self.hubs.ensure(&firewall.name_any(), settings(firewall, true, false));
    }

    fn forget(&self, firewall: &Firewall) {
        self.hubs.remove(&firewall.name_any());
    }
}
